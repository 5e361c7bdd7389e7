package rehearsal

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

const (
	expires     = "2046-01-01T00:00:00Z"
	specVersion = "1.0.31"
)

// Repository is a repository whose metadata is written by hand, canonically, so that
// a release costs its signatures and little else.
type Repository struct {
	ID   tuf.Digest // payload of the root
	Root []byte     // the file

	keyID string // of targets, snapshot and timestamp
	key   ed25519.PrivateKey
}

// NewRepository makes a repository with keys of its own.
func NewRepository() (*Repository, error) {
	rootID, rootKey, rootJSON, err := newKey()
	if err != nil {
		return nil, err
	}
	r := &Repository{}
	var keyJSON string
	if r.keyID, r.key, keyJSON, err = newKey(); err != nil {
		return nil, err
	}
	keys := rootJSON + "," + keyJSON
	if rootID > r.keyID {
		keys = keyJSON + "," + rootJSON
	}
	var roles []string
	for _, role := range []string{"root", "snapshot", "targets", "timestamp"} {
		id := r.keyID
		if role == "root" {
			id = rootID
		}
		roles = append(roles, fmt.Sprintf(`%q:{"keyids":[%q],"threshold":1}`, role, id))
	}
	signed := fmt.Sprintf(`{"_type":"root","consistent_snapshot":true,"expires":%q,"keys":{%s},"roles":{%s},"spec_version":%q,"version":1}`,
		expires, keys, strings.Join(roles, ","), specVersion)
	r.ID = tuf.Sum([]byte(signed))
	r.Root = file(rootID, ed25519.Sign(rootKey, []byte(signed)), signed)
	return r, nil
}

// newKey makes a key; its id is the SHA-256 of its canonical JSON.
func newKey() (id string, key ed25519.PrivateKey, member string, err error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", nil, "", err
	}
	text := fmt.Sprintf(`{"keytype":"ed25519","keyval":{"public":"%x"},"scheme":"ed25519"}`, []byte(public))
	sum := sha256.Sum256([]byte(text))
	id = hex.EncodeToString(sum[:])
	return id, key, fmt.Sprintf("%q:%s", id, text), nil
}

// file wraps the canonical JSON of the signed part into a metadata file.
func file(keyID string, sig []byte, signed string) []byte {
	return fmt.Appendf(nil, `{"signatures":[{"keyid":%q,"sig":"%x"}],"signed":%s}`, keyID, sig, signed)
}

// Sign signs the signed part of a file of targets or snapshot.
func (r *Repository) Sign(signed string) []byte { return ed25519.Sign(r.key, []byte(signed)) }

// File is a file of targets or snapshot, with the signature that Sign has made.
func (r *Repository) File(signed string, sig []byte) []byte { return file(r.keyID, sig, signed) }

// Targets is the signed part of targets metadata; files are the members of its object
// of target files.
func Targets(files string, version int64) string {
	return fmt.Sprintf(`{"_type":"targets","expires":%q,"spec_version":%q,"targets":{%s},"version":%d}`, expires, specVersion, files, version)
}

// Target is a target file as a member of a JSON object, in Targets.
func Target(path, content, version string) string {
	short, long := sha256.Sum256([]byte(content)), sha512.Sum512([]byte(content))
	return fmt.Sprintf(`%q:{"custom":{"version":%q},"hashes":{"sha256":"%x","sha512":"%x"},"length":%d}`,
		path, version, short, long, 1<<20+len(content))
}

// Snapshot is the signed part of the snapshot that lists a targets file alone, and has
// the same version.
func Snapshot(targets []byte, version int64) string {
	return fmt.Sprintf(`{"_type":"snapshot","expires":%q,"meta":{"targets.json":{"hashes":{"sha256":"%v"},"length":%d,"version":%d}},"spec_version":%q,"version":%d}`,
		expires, tuf.Sum(targets), len(targets), version, specVersion, version)
}

// Genesis is what a log must say of the root.
func (r *Repository) Genesis() verify.Claim {
	return verify.Claim{Repository: r.ID, Role: tuf.RoleRoot, Version: 1, Payload: r.ID, Encoding: tuf.JSON}
}

// Release is what a log must say of targets metadata, by its signed part.
func (r *Repository) Release(targets string, version int64) verify.Claim {
	return verify.Claim{Repository: r.ID, Role: tuf.RoleTargets, Version: version, Payload: tuf.Sum([]byte(targets)), Encoding: tuf.JSON}
}
