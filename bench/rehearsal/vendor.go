package rehearsal

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

const expires = "2046-01-01T00:00:00Z"

// Vendor is one repository. It writes its metadata canonically by hand, so that
// a release costs one signature and the load is on the log.
type Vendor struct {
	id      tuf.Digest // payload of the root
	root    []byte
	keyID   string // of targets, snapshot and timestamp
	key     ed25519.PrivateKey
	version int64
}

// Release is one file to submit, and the leaf that it must become.
type Release struct {
	Claim verify.Claim
	Files []api.File // the file, and the snapshot that lists it
	Leaf  leaf.Leaf
}

// NewVendor makes a vendor with keys of its own.
func NewVendor() (*Vendor, error) {
	v := &Vendor{}
	rootID, rootKey, rootJSON, err := newKey()
	if err != nil {
		return nil, err
	}
	var keyJSON string
	if v.keyID, v.key, keyJSON, err = newKey(); err != nil {
		return nil, err
	}
	keys := rootJSON + "," + keyJSON
	if rootID > v.keyID {
		keys = keyJSON + "," + rootJSON
	}
	var roles []string
	for _, role := range []string{"root", "snapshot", "targets", "timestamp"} {
		id := v.keyID
		if role == "root" {
			id = rootID
		}
		roles = append(roles, fmt.Sprintf(`%q:{"keyids":[%q],"threshold":1}`, role, id))
	}
	signed := fmt.Sprintf(`{"_type":"root","consistent_snapshot":true,"expires":%q,"keys":{%s},"roles":{%s},"spec_version":"1.0.31","version":1}`,
		expires, keys, strings.Join(roles, ","))
	v.id = tuf.Sum([]byte(signed))
	v.root = sign(rootID, rootKey, signed)
	return v, nil
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

func sign(keyID string, key ed25519.PrivateKey, signed string) []byte {
	return fmt.Appendf(nil, `{"signatures":[{"keyid":%q,"sig":"%x"}],"signed":%s}`, keyID, ed25519.Sign(key, []byte(signed)), signed)
}

// Genesis is the root as a release.
func (v *Vendor) Genesis() Release {
	return newRelease(verify.Claim{Repository: v.id, Role: tuf.RoleRoot, Version: 1, Payload: v.id, Encoding: tuf.JSON}, v.root, nil)
}

// Next makes the vendor's next targets release.
func (v *Vendor) Next() Release { return v.NextOf(8) } // some bytes, as real metadata has

// NextOf makes the vendor's next targets release, with so many target files.
func (v *Vendor) NextOf(targets int) Release {
	v.version++
	var files strings.Builder
	for i := range targets {
		if i > 0 {
			files.WriteByte(',')
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%v %d %d", v.id, v.version, i))
		fmt.Fprintf(&files, `"device-%08d.bin":{"hashes":{"sha256":"%x"},"length":%d}`, i, sum, v.version)
	}
	signed := fmt.Sprintf(`{"_type":"targets","expires":%q,"spec_version":"1.0.31","targets":{%s},"version":%d}`, expires, files.String(), v.version)
	file := sign(v.keyID, v.key, signed)
	snapshot := fmt.Sprintf(`{"_type":"snapshot","expires":%q,"meta":{"targets.json":{"hashes":{"sha256":"%v"},"length":%d,"version":%d}},"spec_version":"1.0.31","version":%d}`,
		expires, tuf.Sum(file), len(file), v.version, v.version)
	return newRelease(verify.Claim{
		Repository: v.id, Role: tuf.RoleTargets, Version: v.version, Payload: tuf.Sum([]byte(signed)), Encoding: tuf.JSON,
	}, file, sign(v.keyID, v.key, snapshot))
}

func newRelease(c verify.Claim, file, snapshot []byte) Release {
	r := Release{
		Claim: c,
		Files: []api.File{{Name: api.FileName(c.Role, c.Version), Data: file}},
		Leaf: leaf.Leaf{
			Kind: leaf.Release, Repository: c.Repository, Role: c.Role, Version: c.Version, Payload: c.Payload,
			Metadata: tuf.Sum(file), Size: int64(len(file)), Encoding: c.Encoding,
		},
	}
	if snapshot != nil {
		r.Files = append(r.Files, api.File{Name: api.FileName(tuf.RoleSnapshot, c.Version), Data: snapshot})
		r.Leaf.Snapshot, r.Leaf.Listed = tuf.Sum(snapshot), leaf.ByHash
	}
	return r
}

const (
	perVendor = 20                   // releases until a client goes on with another vendor
	calm      = 3 * time.Millisecond // between two releases of a client
)

// Vendors has the releases of one vendor after another sent by insist, as a client
// without a break, until the context ends or insist gives up.
func (r *Record) Vendors(ctx context.Context, insist func(context.Context, Release) bool) {
	for ctx.Err() == nil {
		v, err := NewVendor()
		if err != nil {
			r.Fail("%v", err)
			return
		}
		for i := range perVendor {
			rel := v.Genesis()
			if i > 0 {
				rel = v.Next()
			}
			if !insist(ctx, rel) {
				return
			}
			process.Pause(ctx, calm)
		}
	}
}
