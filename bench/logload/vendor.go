package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

const (
	expires     = "2046-01-01T00:00:00Z"
	specVersion = "1.0.31"
)

// vendor is one repository of the load. It writes its metadata canonically by
// hand, so that making a release costs two signatures and little else.
type vendor struct {
	root tuf.Digest // the payload that names the repository
	file []byte     // the root
	// token is the repository's own; empty: the log has given none.
	token string

	keyID   string // of the key of targets and snapshot
	key     ed25519.PrivateKey
	targets string // the targets but the first, as JSON members
	version atomic.Int64
	// signed are the signatures of the releases from version first on, made
	// while nothing was being measured.
	first  int64
	signed []signatures
}

// signatures are those of a release.
type signatures struct{ targets, snapshot []byte }

// release is one submission of a vendor.
type release struct {
	vendor *vendor
	files  []api.File
	claim  verify.Claim
}

// newVendor makes a repository whose targets files have about size bytes.
func newVendor(number, size int) (*vendor, error) {
	rootID, rootKey, rootJSON, err := newKey()
	if err != nil {
		return nil, err
	}
	v := &vendor{}
	var keyJSON string
	if v.keyID, v.key, keyJSON, err = newKey(); err != nil {
		return nil, err
	}
	keys := []string{rootJSON, keyJSON}
	if rootID > v.keyID {
		keys[0], keys[1] = keys[1], keys[0]
	}
	role := func(name, id string) string {
		return fmt.Sprintf(`%q:{"keyids":[%q],"threshold":1}`, name, id)
	}
	signed := fmt.Sprintf(`{"_type":"root","consistent_snapshot":true,"expires":%q,"keys":{%s},"roles":{%s},"spec_version":%q,"version":1}`,
		expires, strings.Join(keys, ","),
		strings.Join([]string{role("root", rootID), role("snapshot", v.keyID), role("targets", v.keyID), role("timestamp", v.keyID)}, ","), specVersion)
	v.root = tuf.Sum([]byte(signed))
	v.file = file(rootID, ed25519.Sign(rootKey, []byte(signed)), signed)

	var b strings.Builder
	for i := 1; b.Len() < size-500; i++ {
		b.WriteString("," + target(fmt.Sprintf("device-%04d/slot-%02d.bin", number, i), fmt.Sprintf("%d %d", number, i), "1.0.0"))
	}
	v.targets = b.String()
	return v, nil
}

// newKey makes a key; its id is the SHA-256 of its canonical JSON.
func newKey() (id string, key ed25519.PrivateKey, member string, err error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", nil, "", err
	}
	text := fmt.Sprintf(`{"keytype":"ed25519","keyval":{"public":"%x"},"scheme":"ed25519"}`, []byte(public))
	id = hex.EncodeToString(sum256(text))
	return id, key, fmt.Sprintf("%q:%s", id, text), nil
}

// target is a target file as a member of a JSON object.
func target(path, content, version string) string {
	long := sha512.Sum512([]byte(content))
	return fmt.Sprintf(`%q:{"custom":{"version":%q},"hashes":{"sha256":"%x","sha512":"%x"},"length":%d}`,
		path, version, sum256(content), long[:], 1<<20+len(content))
}

// presign signs the vendor's next n releases. Nobody may be making one meanwhile.
func (v *vendor) presign(n int) {
	v.first = v.version.Load() + 1
	v.signed = make([]signatures, n)
	for i := range v.signed {
		v.make(v.first+int64(i), &v.signed[i])
	}
}

// release makes the vendor's next release.
func (v *vendor) release() release {
	n := v.version.Add(1)
	if i := n - v.first; i >= 0 && i < int64(len(v.signed)) {
		return v.make(n, &v.signed[i])
	}
	return v.make(n, &signatures{})
}

// make makes a release: targets metadata with a new first file, and the snapshot
// that vouches for it. Signatures that are not there yet are made, too.
func (v *vendor) make(n int64, sigs *signatures) release {
	name := api.FileName(tuf.RoleTargets, n)
	signed := fmt.Sprintf(`{"_type":"targets","expires":%q,"spec_version":%q,"targets":{%s%s},"version":%d}`,
		expires, specVersion, target("device", fmt.Sprintf("%v %d", v.root, n), fmt.Sprintf("1.0.%d", n)), v.targets, n)
	targets := file(v.keyID, v.sign(&sigs.targets, signed), signed)
	snapshot := fmt.Sprintf(`{"_type":"snapshot","expires":%q,"meta":{"targets.json":{"hashes":{"sha256":"%x"},"length":%d,"version":%d}},"spec_version":%q,"version":%d}`,
		expires, sum256(string(targets)), len(targets), n, specVersion, n)
	return release{
		vendor: v,
		files: []api.File{
			{Name: name, Data: targets},
			{Name: api.FileName(tuf.RoleSnapshot, n), Data: file(v.keyID, v.sign(&sigs.snapshot, snapshot), snapshot)},
		},
		claim: verify.Claim{
			Repository: v.root,
			Role:       tuf.RoleTargets,
			Version:    n,
			Payload:    tuf.Sum([]byte(signed)),
			Encoding:   tuf.JSON,
		},
	}
}

// sign returns the signature in sig, which it makes if there is none.
func (v *vendor) sign(sig *[]byte, signed string) []byte {
	if *sig == nil {
		*sig = ed25519.Sign(v.key, []byte(signed))
	}
	return *sig
}

// file wraps the canonical JSON of the signed part into a metadata file.
func file(keyID string, sig []byte, signed string) []byte {
	return fmt.Appendf(nil, `{"signatures":[{"keyid":%q,"sig":"%x"}],"signed":%s}`, keyID, sig, signed)
}

func sum256(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}
