package rekor

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-openapi/runtime"
	"github.com/go-openapi/strfmt"
	"github.com/sigstore/rekor/pkg/generated/models"
	hashedrekord "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/rekor/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/tuflog/tuflog/proofs"
)

const (
	kind         = "hashedrekord" // of both versions
	pemPublicKey = "PUBLIC KEY"
)

// untimed is for calls of Rekor's packages that ask for a context and wait for nothing.
var untimed = context.Background()

// checkV1 verifies an entry of Rekor v1, and returns what it says.
func checkV1(entry json.RawMessage, rekorKeys []crypto.PublicKey, origin string) (*Anchor, *body, error) {
	if len(entry) > maxEntry {
		return nil, nil, fmt.Errorf("entry of %d bytes, more than %d", len(entry), maxEntry)
	}
	var e models.LogEntryAnon
	if err := json.Unmarshal(entry, &e); err != nil {
		return nil, nil, fmt.Errorf("entry: %w", err)
	}
	leaf, err := completeV1(&e)
	if err != nil {
		return nil, nil, fmt.Errorf("entry: %w", err)
	}
	b, err := readBodyV1(leaf)
	if err != nil {
		return nil, nil, fmt.Errorf("entry: %w", err)
	}
	tree, err := signedV1(&e, rekorKeys, origin)
	if err != nil {
		return nil, nil, fmt.Errorf("entry: %w", err)
	}
	hash := proofs.LeafHash(leaf)
	a := &Anchor{
		Digest:    b.digest,
		Signature: b.signature,
		UUID:      fmt.Sprintf("%016x%x", tree, hash[:]),
		LogIndex:  *e.LogIndex,
		LogID:     strings.ToLower(*e.LogID),
		Time:      time.Unix(*e.IntegratedTime, 0).UTC(),
		Entry:     entry,
	}
	return a, b, nil
}

// leafIn returns the leaf of an entry that may be of another kind.
func leafIn(entry json.RawMessage) (leaf []byte, err error) {
	var e models.LogEntryAnon
	if err := json.Unmarshal(entry, &e); err != nil {
		return nil, err
	}
	text, _ := e.Body.(string)
	return base64.StdEncoding.Strict().DecodeString(text)
}

// isStrangers reports whether a leaf is not one that a log's key signed, as its canonical form would have it: it is
// too large, of another kind, or its signer is no bare public key. Of what cannot be read it is false.
func isStrangers(leaf []byte) bool {
	if len(leaf) > proofs.MaxEntrySize {
		return true
	}
	var name leafName
	if json.Unmarshal(leaf, &name) != nil {
		return false
	}
	if name.Kind != kind || name.APIVersion != hashedrekord.APIVERSION {
		return true
	}
	var signed struct {
		Spec struct {
			Signature struct {
				PublicKey struct {
					Content []byte `json:"content"`
				} `json:"publicKey"`
			} `json:"signature"`
		} `json:"spec"`
	}
	if json.Unmarshal(leaf, &signed) != nil {
		return false
	}
	block, _ := pem.Decode(signed.Spec.Signature.PublicKey.Content)
	return block != nil && block.Type != pemPublicKey
}

// leafName says of which kind an entry is.
type leafName struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
}

// maxTime is the last second that RFC 3339 can name.
const maxTime = 253402300799

// completeV1 checks that an entry has every part that pkg/verify takes for granted, in the form in
// which it does, and returns its leaf.
func completeV1(e *models.LogEntryAnon) (leaf []byte, err error) {
	if err := e.Validate(strfmt.Default); err != nil {
		return nil, err
	}
	text, isText := e.Body.(string)
	switch {
	case !isText:
		return nil, errors.New("the body is not a string")
	case e.IntegratedTime == nil || e.LogIndex == nil || e.LogID == nil:
		return nil, errors.New("no time, index or id of the log") // Validate says so before
	case e.Verification == nil:
		return nil, errors.New("no verification")
	case e.Verification.InclusionProof == nil:
		return nil, errors.New("no inclusion proof")
	case len(e.Verification.SignedEntryTimestamp) == 0:
		return nil, errors.New("no signed entry timestamp")
	case *e.IntegratedTime <= 0 || *e.IntegratedTime > maxTime:
		return nil, fmt.Errorf("integrated time %d", *e.IntegratedTime)
	}
	p := e.Verification.InclusionProof
	switch {
	case p.Checkpoint == nil || p.LogIndex == nil || p.RootHash == nil || p.TreeSize == nil:
		return nil, errors.New("an incomplete inclusion proof") // Validate says so before
	case len(p.Hashes) > proofs.MaxProofHashes:
		return nil, fmt.Errorf("an inclusion proof of %d hashes", len(p.Hashes))
	case *p.LogIndex >= *p.TreeSize:
		return nil, fmt.Errorf("index %d in a tree of size %d", *p.LogIndex, *p.TreeSize)
	case *e.LogIndex < *p.LogIndex:
		// The shards before this one count, too.
		return nil, fmt.Errorf("log index %d is below the index %d in the shard", *e.LogIndex, *p.LogIndex)
	}
	leaf, err = base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return leaf, nil
}

// signedV1 verifies what Rekor signed of a complete entry, by the key that the entry names, and
// returns the id of the tree that it is in, 0 if the checkpoint names none.
func signedV1(e *models.LogEntryAnon, rekorKeys []crypto.PublicKey, origin string) (tree uint64, err error) {
	public, err := keyOf(*e.LogID, rekorKeys)
	if err != nil {
		return 0, err
	}
	verifier, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		return 0, err
	}
	if err := verify.VerifyLogEntry(untimed, e, verifier); err != nil {
		return 0, err
	}
	p := e.Verification.InclusionProof
	c, err := readCheckpointV1(*p.Checkpoint)
	switch {
	case err != nil:
		return 0, fmt.Errorf("rekor's checkpoint: %w", err)
	case c.Tree.N != *p.TreeSize:
		return 0, fmt.Errorf("rekor's checkpoint has size %d, the inclusion proof is for %d", c.Tree.N, *p.TreeSize)
	case hex.EncodeToString(c.Tree.Hash[:]) != strings.ToLower(*p.RootHash):
		return 0, errors.New("rekor's checkpoint has another root than the inclusion proof")
	case !hasOrigin(c.Origin, origin):
		return 0, fmt.Errorf("rekor's checkpoint: %w", &OriginError{c.Origin, origin})
	}
	return treeID(c.Origin), nil
}

// readCheckpointV1 reads what Rekor's own reader has read, which takes lax spellings, strictly.
func readCheckpointV1(signed string) (proofs.Checkpoint, error) {
	n, err := proofs.ParseNote([]byte(signed))
	if err != nil {
		return proofs.Checkpoint{}, err
	}
	return proofs.ParseCheckpoint(n.Text)
}

// openV1 verifies a checkpoint of Rekor v1 by one of its keys.
func openV1(signed string, rekorKeys []crypto.PublicKey) (proofs.Checkpoint, error) {
	c, err := readCheckpointV1(signed)
	if err != nil {
		return proofs.Checkpoint{}, err
	}
	var read util.SignedCheckpoint
	if err := read.UnmarshalText([]byte(signed)); err != nil {
		return proofs.Checkpoint{}, err
	}
	for _, public := range rekorKeys {
		if checkRekorKey(1, "", public) != nil {
			continue
		}
		if verifier, err := signature.LoadVerifier(public, crypto.SHA256); err == nil && read.Verify(verifier) {
			return c, nil
		}
	}
	return proofs.Checkpoint{}, ErrUnknownKey
}

// hasOrigin reports whether a checkpoint of v1 is of the wanted origin, which may leave out the id
// of the tree.
func hasOrigin(have, want string) bool {
	return want == "" || have == want || strings.HasPrefix(have, want+" - ") && treeID(have) > 0
}

// treeID returns the id of the tree that a v1's checkpoints are of, which ends their origin:
// "rekor.example - 1193050959916656506". It is 0 if there is none.
func treeID(origin string) uint64 {
	i := strings.LastIndex(origin, " - ")
	if i < 0 {
		return 0
	}
	id, err := strconv.ParseUint(origin[i+len(" - "):], 10, 64)
	if err != nil {
		return 0
	}
	return id
}

// logID returns Rekor v1's name of a public key: the SHA-256 of its DER in hex.
func logID(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// keyOf returns the one of the keys that has that id.
func keyOf(id string, rekorKeys []crypto.PublicKey) (crypto.PublicKey, error) {
	for _, key := range rekorKeys {
		if have, err := logID(key); err == nil && have == strings.ToLower(id) {
			return key, checkRekorKey(1, "", key)
		}
	}
	return nil, fmt.Errorf("key of id %.64s: %w", id, ErrUnknownKey)
}

// readBodyV1 reads the leaf of an entry. The error is errOther if it is another kind of entry.
func readBodyV1(leaf []byte) (*body, error) {
	if len(leaf) > proofs.MaxEntrySize {
		return nil, fmt.Errorf("a leaf of %d bytes", len(leaf))
	}
	var name leafName
	if err := json.Unmarshal(leaf, &name); err != nil {
		return nil, fmt.Errorf("leaf: %w", err)
	}
	if name.Kind != kind || name.APIVersion != hashedrekord.APIVERSION {
		return nil, fmt.Errorf("%.50q of version %.50q: %w", name.Kind, name.APIVersion, errOther)
	}
	proposed, err := models.UnmarshalProposedEntry(bytes.NewReader(leaf), runtime.JSONConsumer())
	if err != nil {
		return nil, fmt.Errorf("leaf: %w", err)
	}
	var entry hashedrekord.V001Entry
	if err := entry.Unmarshal(proposed); err != nil { // verifies the signature, too
		return nil, fmt.Errorf("leaf: %w", err)
	}
	return bodyV1(&entry, leaf)
}

// bodyV1 returns what an entry holds that Unmarshal has checked to be complete.
func bodyV1(entry *hashedrekord.V001Entry, leaf []byte) (*body, error) {
	spec := entry.HashedRekordObj
	block, rest := pem.Decode(spec.Signature.PublicKey.Content)
	if alg := *spec.Data.Hash.Algorithm; alg != models.HashedrekordV001SchemaDataHashAlgorithmSha256 {
		return nil, fmt.Errorf("hash %.20q: %w", alg, errOther)
	}
	if block == nil || block.Type != pemPublicKey || len(rest) > 0 {
		return nil, fmt.Errorf("not one public key: %w", errOther)
	}
	b := &body{signature: spec.Signature.Content, der: block.Bytes}
	digest, err := hex.DecodeString(*spec.Data.Hash.Value)
	if err != nil || len(digest) != len(b.digest) {
		return nil, fmt.Errorf("digest %.100q", *spec.Data.Hash.Value)
	}
	copy(b.digest[:], digest)
	if !bytes.Equal(leafV1(b), leaf) {
		return nil, errors.New("the leaf is not in its canonical form")
	}
	return b, nil
}

// proposalV1 is the entry as it is submitted.
func proposalV1(b *body) *models.Hashedrekord {
	version, alg, digest := hashedrekord.APIVERSION, models.HashedrekordV001SchemaDataHashAlgorithmSha256, hex.EncodeToString(b.digest[:])
	return &models.Hashedrekord{APIVersion: &version, Spec: models.HashedrekordV001Schema{
		Data: &models.HashedrekordV001SchemaData{Hash: &models.HashedrekordV001SchemaDataHash{Algorithm: &alg, Value: &digest}},
		Signature: &models.HashedrekordV001SchemaSignature{
			Content:   b.signature,
			PublicKey: &models.HashedrekordV001SchemaSignaturePublicKey{Content: b.pem()},
		},
	}}
}

// leafV1 returns the leaf that Rekor v1 makes of a proposal.
func leafV1(b *body) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"spec":{"data":{"hash":{"algorithm":%q,"value":"%x"}},"signature":{"content":%q,"publicKey":{"content":%q}}}}`,
		hashedrekord.APIVERSION, kind, models.HashedrekordV001SchemaDataHashAlgorithmSha256, b.digest, b64(b.signature), b64(b.pem()))
}
