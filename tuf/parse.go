package tuf

import (
	"bytes"
	"fmt"
	"strings"
)

// Limits of a metadata file. They are part of the rules by which a log is
// replayed, so they never depend on the machine.
const (
	MaxFileSize   = 32 << 20 // bytes
	MaxSignatures = 1024     // per file, empty ones included, each under another key id

	// The sender of a file controls all bytes that no signature covers, and a log
	// keeps them forever. So a file with a payload of n bytes has at most
	// PayloadFactor*n + UnsignedBytes + BytesPerSignature for each signature: room
	// for indentation and escapes, and for every kind of signature. When the file
	// is judged, only signatures under ids of the role's keys add to this limit.
	PayloadFactor     = 4
	UnsignedBytes     = 64 << 10
	BytesPerSignature = 16 << 10

	MaxKeyID = 256 // bytes of the key id of a signature; the hash of a key has 64 to 128

	// MaxSignatureField is how many bytes the name or the value of any other field
	// of a signature may take in the file. The specification knows none; in use is
	// "method". "bundle" is where securesystemslib puts a Sigstore identity's
	// signature; it may take MaxBundle bytes.
	MaxSignatureField = 64
	MaxBundle         = BytesPerSignature

	// MaxSigned is how many bytes the checked signatures may cover together: for
	// a payload of n bytes, MaxSigned/n signatures are checked. The owner of a
	// repository can list any number of key ids.
	MaxSigned = 512 << 20

	// MaxListed is how many members an object may have, such as that of the targets
	// or of the files of a snapshot, and how many patterns, hash prefixes and key ids
	// all delegations together.
	MaxListed = 200_000

	// MaxHashes is how many hashes a file may be listed with; two algorithms are
	// known.
	MaxHashes = 16

	// MaxRoleName is how many bytes the name of a role may have, percent-encoded
	// (EscapeRole): that always fits a leaf. MaxTargetPath is how many bytes a
	// target's path may have: the limit of a Linux path. No device could store the
	// metadata of a role, or a target, with a longer name, an empty one or one with
	// a NUL.
	MaxRoleName   = 3584
	MaxTargetPath = 4096

	MaxKeys        = 1024      // per root or delegations, and key ids and threshold per role
	MaxDelegations = 16384     // roles delegated to by one file
	MaxDepth       = 64        // arrays and objects around a value
	MaxBitLength   = 14        // of succinct delegations: at most MaxDelegations bins
	MaxVersion     = 1<<53 - 1 // the largest that every JSON reader can hold
)

// ParseJSON reads a file of JSON metadata. The error is a *SyntaxError. The
// result keeps file, which must not change afterwards. Signatures are not
// checked: see Metadata.Meets.
func ParseJSON(file []byte) (*Metadata, error) {
	m, err := parseJSON(file)
	if err == nil {
		m.FileDigest = Sum(file)
	}
	return m, err
}

// parseJSON is ParseJSON but for the digest of the file.
func parseJSON(file []byte) (*Metadata, error) {
	if len(file) > MaxFileSize {
		return nil, &SyntaxError{Reason: fmt.Sprintf("file of %d bytes, the limit is %d", len(file), MaxFileSize)}
	}
	if bytes.HasPrefix(file, []byte("\xef\xbb\xbf")) {
		return nil, &SyntaxError{Reason: "a byte order mark (EF BB BF) before the object: save the file without one"}
	}
	m := &Metadata{File: file, Encoding: JSON}
	r := &reader{scanner: scanner{src: file, out: make([]byte, 0, len(file))}, m: m, keyIDs: seen{}}
	if err := r.file(); err != nil {
		if e, ok := err.(*SyntaxError); ok {
			e.Path = strings.TrimPrefix(e.Path, ".")
		}
		return nil, err
	}
	m.kept = r.kept + len(file) - cap(m.Payload) // the payload has been given room for all of it
	m.PayloadDigest = Sum(m.Payload)
	for _, l := range m.indexes() {
		l.payload = m.Payload
	}
	return m, nil
}

// ParseJSONKnown is ParseJSON for a file of which the caller knows that sum is its
// SHA-256.
func ParseJSONKnown(file []byte, sum Digest) (*Metadata, error) {
	m, err := parseJSON(file)
	if err == nil {
		m.FileDigest = sum
	}
	return m, err
}
