package pigweed

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tuflog/tuflog/tuf"
)

// The fields of Pigweed's tuf.proto that are read, or whose spelling is at least checked.
var (
	signedFields = schema{
		1: {name: "serialized_metadata", wire: protowire.BytesType},
		2: {name: "signatures", wire: protowire.BytesType, repeated: true},
	}
	signatureFields = schema{
		1: {name: "key_id", wire: protowire.BytesType},
		2: {name: "sig", wire: protowire.BytesType},
	}
	firstFields = schema{
		1: {name: "common_metadata", wire: protowire.BytesType},
	}
	commonFields = schema{
		1: {name: "spec_version", wire: protowire.BytesType},
		2: {name: "version", wire: protowire.VarintType},
		3: {name: "expires", wire: protowire.BytesType},
		4: {name: "role", wire: protowire.BytesType},
	}
)

// sigSize is how many bytes a signature has: r and s.
const sigSize = 64

// Parse reads a SignedRootMetadata or SignedTargetsMetadata. The error is a
// *tuf.SyntaxError. The result keeps file, which must not change afterwards. Signatures are
// not checked: see VerifyRoot, VerifyTargets and tuf.Metadata.Meets.
func Parse(file []byte) (*tuf.Metadata, error) {
	return parse(&message{b: file, index: -1})
}

func parse(signed *message) (*tuf.Metadata, error) {
	if len(signed.b) > tuf.MaxFileSize {
		return nil, signed.errorf(0, "file of %d bytes, the limit is %d", len(signed.b), tuf.MaxFileSize)
	}
	m := &tuf.Metadata{File: signed.b, Encoding: tuf.Pigweed}
	var payload *message
	ids := map[string]bool{}
	err := signed.each(signedFields, func(f field) error {
		switch f.name {
		case "serialized_metadata":
			payload = signed.sub(f)
		case "signatures":
			if f.index >= tuf.MaxSignatures {
				return signed.errorf(f.at-signed.at, "more than %d signatures", tuf.MaxSignatures)
			}
			sub := signed.sub(f)
			sig, err := sub.signature()
			if err != nil {
				return err
			}
			if ids[sig.KeyID] {
				return sub.errorf(0, "second signature under key id %s", sig.KeyID)
			}
			ids[sig.KeyID] = true
			m.Signatures = append(m.Signatures, sig)
		case "":
			if _, ok := bundleFields[f.number]; ok {
				return signed.errorf(f.at-signed.at, "field %d, which a bundle has: a device would read the file as a bundle of other metadata", f.number)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if payload == nil || len(payload.b) == 0 {
		return nil, signed.errorf(0, "serialized_metadata is missing")
	}
	if most := tuf.PayloadFactor*len(payload.b) + tuf.UnsignedBytes + tuf.BytesPerSignature*len(m.Signatures); len(signed.b) > most {
		return nil, signed.errorf(0, "file of %d bytes, the limit for a payload of %d bytes with %d signatures is %d: signatures cover only the payload",
			len(signed.b), len(payload.b), len(m.Signatures), most)
	}
	m.Payload = payload.b
	if err := payload.signedPart(m); err != nil {
		return nil, err
	}
	m.FileDigest, m.PayloadDigest = tuf.Sum(m.File), tuf.Sum(m.Payload)
	return m, nil
}

// signature reads a Signature.
func (m *message) signature() (tuf.Signature, error) {
	var sig tuf.Signature
	err := m.each(signatureFields, func(f field) (err error) {
		switch f.name {
		case "key_id":
			sig.KeyID, err = m.keyID(f)
		case "sig":
			sig.Sig, err = m.ecdsa(f)
		}
		return err
	})
	switch {
	case err != nil:
	case sig.KeyID == "":
		err = m.errorf(0, "key_id is missing")
	case sig.Sig == nil:
		err = m.errorf(0, "sig is missing")
	}
	return sig, err
}

// keyID returns the value of a field that has a key id, in hex.
func (m *message) keyID(f field) (string, error) {
	if len(f.bytes) != len(tuf.Digest{}) {
		return "", m.sub(f).errorf(0, "key id of %d bytes, want the %d of a SHA-256", len(f.bytes), len(tuf.Digest{}))
	}
	return hex.EncodeToString(f.bytes), nil
}

// ecdsa returns a signature in ASN.1. There is one for every r and s, so that nobody can
// spell a signature in another way.
func (m *message) ecdsa(f field) ([]byte, error) {
	if len(f.bytes) != sigSize {
		return nil, m.sub(f).errorf(0, "signature of %d bytes, want the %d of r and s", len(f.bytes), sigSize)
	}
	return asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(f.bytes[:sigSize/2]),
		new(big.Int).SetBytes(f.bytes[sigSize/2:]),
	})
}

// signedPart reads a RootMetadata or TargetsMetadata. The role comes first: it says as
// which of the two the bytes are signed.
func (m *message) signedPart(to *tuf.Metadata) error {
	var common *message
	err := m.each(firstFields, func(f field) error {
		if f.name != "" {
			common = m.sub(f)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if common == nil {
		return m.errorf(0, "common_metadata is missing")
	}
	if err := common.common(to); err != nil {
		return err
	}
	if to.Type == tuf.RoleRoot {
		to.Root, err = m.root()
	} else {
		to.Targets, err = m.targets()
	}
	return err
}

// common reads a CommonMetadata.
func (m *message) common(to *tuf.Metadata) error {
	err := m.each(commonFields, func(f field) (err error) {
		switch f.name {
		case "spec_version":
			to.SpecVersion, err = m.text(f)
		case "version":
			to.Version, err = m.number(f, 0, math.MaxUint32)
		case "role":
			to.Type, err = m.text(f)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case to.Type == "":
		return m.errorf(0, "role is missing")
	case to.Type != tuf.RoleRoot && to.Type != tuf.RoleTargets:
		return m.errorf(0, "role %s, want root or targets", tuf.Word(to.Type))
	case to.Version == 0:
		return m.errorf(0, "version 0, which is what a missing one reads as: versions begin at 1")
	}
	return nil
}

// SameButVersion reports whether the payloads of two metadata that Parse has read are alike
// but for the version.
func SameButVersion(a, b *tuf.Metadata) bool {
	return bytes.Equal(withoutVersion(a.Payload), withoutVersion(b.Payload))
}

func withoutVersion(payload []byte) (rest []byte) {
	m := &message{b: payload, index: -1}
	err := m.each(firstFields, func(f field) error {
		if f.name == "" {
			rest = append(rest, f.raw...)
			return nil
		}
		var common []byte
		err := m.sub(f).each(commonFields, func(f field) error {
			if f.name != "version" {
				common = append(common, f.raw...)
			}
			return nil
		})
		rest = protowire.AppendBytes(protowire.AppendTag(rest, f.number, protowire.BytesType), common)
		return err
	})
	if err != nil {
		return payload // which Parse does not accept
	}
	return rest
}

// badName returns why no device could store a target of this name; "" for a good name.
func badName(name string) string {
	switch {
	case name == "":
		return "target without a name"
	case len(name) > tuf.MaxTargetPath:
		return fmt.Sprintf("target name of %d bytes, the limit is %d: no device could store it", len(name), tuf.MaxTargetPath)
	case strings.IndexByte(name, 0) >= 0:
		return "target name with a NUL: no device could store it"
	}
	return ""
}

// copied reads a file that is a part of a larger one, without keeping the larger one.
func (m *message) copied() (*tuf.Metadata, error) {
	own := *m
	if len(m.b) <= tuf.MaxFileSize { // parse refuses a larger one
		own.b = bytes.Clone(m.b)
	}
	return parse(&own)
}
