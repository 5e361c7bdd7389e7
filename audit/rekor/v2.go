package rekor

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	pb "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tuflog/tuflog/proofs"
)

const (
	versionV2 = "0.0.2"                   // of hashedrekord
	hashV2    = "SHA2_256"                // of the digest
	detailsV2 = "PKIX_ECDSA_P256_SHA_256" // of the public key
)

// checkV2 verifies an entry of Rekor v2, and returns what it says.
func checkV2(entry json.RawMessage, rekorKeys []crypto.PublicKey, origin string) (*Anchor, *body, error) {
	if len(entry) > maxEntry {
		return nil, nil, fmt.Errorf("entry of %d bytes, more than %d", len(entry), maxEntry)
	}
	var e pb.TransparencyLogEntry
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(entry, &e); err != nil {
		return nil, nil, fmt.Errorf("entry: %w", err)
	}
	b, err := completeV2(&e)
	if err != nil {
		return nil, nil, fmt.Errorf("entry: %w", err)
	}
	p := e.GetInclusionProof()
	tree, key, err := openV2([]byte(p.GetCheckpoint().GetEnvelope()), rekorKeys, origin)
	if err != nil {
		return nil, nil, fmt.Errorf("entry: %w", err)
	}
	switch id := e.GetLogId().GetKeyId(); {
	case tree.N != p.GetTreeSize():
		return nil, nil, fmt.Errorf("entry: rekor's checkpoint has size %d, the inclusion proof is for %d", tree.N, p.GetTreeSize())
	case !bytes.Equal(tree.Hash[:], p.GetRootHash()):
		return nil, nil, errors.New("entry: rekor's checkpoint has another root than the inclusion proof")
	case len(id) > 0 && !bytes.HasPrefix(id, binary.BigEndian.AppendUint32(nil, key.ID())):
		return nil, nil, fmt.Errorf("entry: key id %x of the log, the checkpoint is signed by %08x", id, key.ID())
	}
	leaf := proofs.LeafHash(e.GetCanonicalizedBody())
	hashes := make([]proofs.Hash, len(p.GetHashes()))
	for i, h := range p.GetHashes() {
		hashes[i] = proofs.Hash(h) // of 32 bytes: see completeV2
	}
	if err := proofs.VerifyInclusion(tree, p.GetLogIndex(), leaf, hashes); err != nil {
		return nil, nil, fmt.Errorf("entry: %w", err)
	}
	a := &Anchor{
		Digest:    b.digest,
		Signature: b.signature,
		UUID:      fmt.Sprintf("%x", leaf[:]),
		LogIndex:  e.GetLogIndex(),
		LogID:     key.Name(),
		Entry:     entry,
	}
	return a, b, nil
}

// completeV2 checks the form of an entry, and returns what its leaf says.
func completeV2(e *pb.TransparencyLogEntry) (*body, error) {
	p := e.GetInclusionProof()
	switch kv := e.GetKindVersion(); {
	case kv.GetKind() != kind || kv.GetVersion() != versionV2:
		return nil, fmt.Errorf("%.50q of version %.50q: %w", kv.GetKind(), kv.GetVersion(), errOther)
	case p == nil:
		return nil, errors.New("no inclusion proof")
	case p.GetCheckpoint().GetEnvelope() == "":
		return nil, errors.New("no checkpoint")
	case len(p.GetHashes()) > proofs.MaxProofHashes:
		return nil, fmt.Errorf("an inclusion proof of %d hashes", len(p.GetHashes()))
	case p.GetLogIndex() < 0 || p.GetLogIndex() >= p.GetTreeSize():
		return nil, fmt.Errorf("index %d in a tree of size %d", p.GetLogIndex(), p.GetTreeSize())
	case e.GetLogIndex() != p.GetLogIndex():
		return nil, fmt.Errorf("log index %d, the inclusion proof is for %d", e.GetLogIndex(), p.GetLogIndex())
	}
	for _, h := range p.GetHashes() {
		if len(h) != len(proofs.Hash{}) {
			return nil, fmt.Errorf("an inclusion proof with a hash of %d bytes", len(h))
		}
	}
	b, err := readBodyV2(e.GetCanonicalizedBody())
	if err != nil {
		return nil, err
	}
	return b, nil
}

// openV2 verifies a checkpoint of Rekor v2 by one of its keys, and returns its tree and the key. An
// empty origin is that of the checkpoint.
func openV2(checkpoint []byte, rekorKeys []crypto.PublicKey, origin string) (proofs.Tree, proofs.Key, error) {
	fail := func(err error) (proofs.Tree, proofs.Key, error) {
		return proofs.Tree{}, proofs.Key{}, fmt.Errorf("rekor's checkpoint: %w", err)
	}
	n, err := proofs.ParseNote(checkpoint)
	if err != nil {
		return fail(err)
	}
	c, err := proofs.ParseCheckpoint(n.Text)
	if err != nil {
		return fail(err)
	}
	for _, public := range rekorKeys {
		key, err := noteKey(c.Origin, public)
		if err != nil {
			return fail(err)
		}
		_, err = n.VerifiedBy(key)
		if errors.Is(err, proofs.ErrNoSignature) {
			continue
		}
		if err != nil {
			return fail(err)
		}
		if origin != "" && c.Origin != origin { // said of what is signed alone
			return fail(&OriginError{c.Origin, origin})
		}
		return c.Tree, key, nil
	}
	return fail(ErrUnknownKey)
}

// leafFormV2 is a hashedrekord of version 0.0.2, as far as this package looks for it.
type leafFormV2 struct {
	Version string `json:"apiVersion"`
	Kind    string `json:"kind"`
	Spec    struct {
		Record struct {
			Data struct {
				Algorithm string `json:"algorithm"`
				Digest    []byte `json:"digest"`
			} `json:"data"`
			Signature struct {
				Content  []byte `json:"content"`
				Verifier struct {
					Details   string `json:"keyDetails"`
					PublicKey struct {
						Raw []byte `json:"rawBytes"`
					} `json:"publicKey"`
				} `json:"verifier"`
			} `json:"signature"`
		} `json:"hashedRekordV002"`
	} `json:"spec"`
}

// readBodyV2 reads a leaf. The error is errOther if it is another kind of entry.
func readBodyV2(leaf []byte) (*body, error) {
	if len(leaf) > proofs.MaxEntrySize {
		return nil, fmt.Errorf("a leaf of %d bytes", len(leaf))
	}
	var f leafFormV2
	if err := json.Unmarshal(leaf, &f); err != nil {
		return nil, fmt.Errorf("leaf: %w", err)
	}
	r := &f.Spec.Record
	switch {
	case f.Kind != kind || f.Version != versionV2:
		return nil, fmt.Errorf("%.50q of version %.50q: %w", f.Kind, f.Version, errOther)
	case r.Data.Algorithm != hashV2:
		return nil, fmt.Errorf("hash %.50q: %w", r.Data.Algorithm, errOther)
	case r.Signature.Verifier.Details != detailsV2 || len(r.Signature.Verifier.PublicKey.Raw) == 0:
		return nil, fmt.Errorf("signed by %.50q: %w", r.Signature.Verifier.Details, errOther)
	}
	b := &body{signature: r.Signature.Content, der: r.Signature.Verifier.PublicKey.Raw}
	if len(r.Data.Digest) != len(b.digest) {
		return nil, fmt.Errorf("a digest of %d bytes", len(r.Data.Digest))
	}
	copy(b.digest[:], r.Data.Digest)
	if !bytes.Equal(leafV2(b), leaf) {
		return nil, errors.New("the leaf is not in its canonical form")
	}
	return b, nil
}

// leafV2 returns the leaf that Rekor v2 makes of a submission.
func leafV2(b *body) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"spec":{"hashedRekordV002":{"data":{"algorithm":%q,"digest":%q},`+
		`"signature":{"content":%q,"verifier":{"keyDetails":%q,"publicKey":{"rawBytes":%q}}}}}}`,
		versionV2, kind, hashV2, b64(b.digest[:]), b64(b.signature), detailsV2, b64(b.der))
}
