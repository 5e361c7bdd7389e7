// Package testvendor is a vendor of updates for demonstrations and tests: it
// keeps a TUF repository with go-tuf, releases, delegates, rotates keys and
// signs again, and can be cloned to act as its own evil twin.
//
// Files are named as a repository with consistent snapshots serves them:
// N.root.json, N.ROLE.json, timestamp.json.
package testvendor

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tuflog/tuflog/tuf"
)

// Vendor is a TUF repository with all its keys. It is not safe for concurrent
// use.
type Vendor struct {
	// PlainSnapshots leaves lengths and hashes out of snapshots, as some real
	// repositories do.
	PlainSnapshots bool
	// TimestampExpires is when timestamps expire that are published from now on. Zero: as
	// all metadata does.
	TimestampExpires time.Time

	expires time.Time
	root    *metadata.Metadata[metadata.RootType]
	targets map[string]*metadata.Metadata[metadata.TargetsType] // by role
	keys    map[string]ed25519.PrivateKey                       // the present key of each role
	version map[string]int64                                    // of snapshot and timestamp
	files   map[string][]byte                                   // everything published, by name
	content map[string][]byte                                   // of every target file, by name with and without its hash
}

// New returns a vendor with root 1 and empty targets 1, published. All its
// metadata expires at the given time.
func New(expires time.Time) (*Vendor, error) {
	v := &Vendor{
		expires: expires.UTC().Truncate(time.Second),
		targets: map[string]*metadata.Metadata[metadata.TargetsType]{},
		keys:    map[string]ed25519.PrivateKey{},
		version: map[string]int64{},
		files:   map[string][]byte{},
		content: map[string][]byte{},
	}
	v.root = metadata.Root(v.expires)
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		key, err := v.newKey(role)
		if err != nil {
			return nil, err
		}
		if err := v.root.Signed.AddKey(key, role); err != nil {
			return nil, err
		}
	}
	if err := v.publishRoot(v.keys[tuf.RoleRoot]); err != nil {
		return nil, err
	}
	v.targets[tuf.RoleTargets] = metadata.Targets(v.expires)
	if err := v.publishTargets(tuf.RoleTargets); err != nil {
		return nil, err
	}
	return v, v.publishSnapshot()
}

// Clone returns a vendor with the same keys and the same past, which can go its
// own way.
func (v *Vendor) Clone() (*Vendor, error) {
	c := *v
	c.keys, c.version, c.files, c.content = maps.Clone(v.keys), maps.Clone(v.version), maps.Clone(v.files), maps.Clone(v.content)
	var err error
	if c.root, err = reparse(v.root, metadata.Root()); err != nil {
		return nil, err
	}
	c.targets = map[string]*metadata.Metadata[metadata.TargetsType]{}
	for role, m := range v.targets {
		if c.targets[role], err = reparse(m, metadata.Targets()); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

func reparse[T metadata.Roles](m, empty *metadata.Metadata[T]) (*metadata.Metadata[T], error) {
	b, err := m.ToBytes(false)
	if err != nil {
		return nil, err
	}
	return empty.FromBytes(b)
}

// Extend lets everything that is signed from now on expire at another time. The root and
// targets keep their dates until they are signed again.
func (v *Vendor) Extend(expires time.Time) {
	v.expires = expires.UTC().Truncate(time.Second)
	v.root.Signed.Expires = v.expires
	for _, t := range v.targets {
		t.Signed.Expires = v.expires
	}
}

// Put changes the content of a target file of a role; Release publishes it.
func (v *Vendor) Put(role, targetPath string, content []byte) error {
	m, ok := v.targets[role]
	if !ok {
		return fmt.Errorf("no role %q", role)
	}
	f, err := metadata.TargetFile().FromBytes(targetPath, content, "sha256", "sha512")
	if err != nil {
		return err
	}
	m.Signed.Targets[targetPath] = f
	content = bytes.Clone(content)
	dir, base := path.Split(targetPath)
	v.content[targetPath] = content
	for _, hash := range f.Hashes {
		v.content[dir+hash.String()+"."+base] = content
	}
	return nil
}

// Delegate has the targets of one role delegate paths to another, with a new
// key. Release of both publishes it.
func (v *Vendor) Delegate(from, role string, paths ...string) error {
	key, err := v.newKey(role)
	if err != nil {
		return err
	}
	return v.delegate(from, role, key, paths)
}

// DelegateShared is Delegate with the key that another role has already: what a
// vendor does who signs two products with one key.
func (v *Vendor) DelegateShared(from, role, keyOf string, paths ...string) error {
	private, ok := v.keys[keyOf]
	if !ok {
		return fmt.Errorf("no role %q", keyOf)
	}
	key, err := metadata.KeyFromPublicKey(private.Public())
	if err != nil {
		return err
	}
	v.keys[role] = private
	return v.delegate(from, role, key, paths)
}

func (v *Vendor) delegate(from, role string, key *metadata.Key, paths []string) error {
	m, ok := v.targets[from]
	if !ok {
		return fmt.Errorf("no role %q", from)
	}
	if m.Signed.Delegations == nil {
		m.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	}
	id, err := key.ID()
	if err != nil {
		return err
	}
	m.Signed.Delegations.Keys[id] = key
	m.Signed.Delegations.Roles = append(m.Signed.Delegations.Roles, metadata.DelegatedRole{
		Name: role, KeyIDs: []string{id}, Threshold: 1, Paths: paths,
	})
	v.targets[role] = metadata.Targets(v.expires)
	v.targets[role].Signed.Version = 0
	return nil
}

// Withdraw takes back all that a role delegates. Its next release publishes it; the files
// of the roles stay where they are.
func (v *Vendor) Withdraw(from string) {
	if m, ok := v.targets[from]; ok {
		m.Signed.Delegations = nil
	}
}

// Release publishes a new version of each role, in the order given, and the
// snapshot and timestamp that go with them.
func (v *Vendor) Release(roles ...string) error {
	for _, role := range roles {
		m, ok := v.targets[role]
		if !ok {
			return fmt.Errorf("no role %q", role)
		}
		m.Signed.Version++
		if err := v.publishTargets(role); err != nil {
			return err
		}
	}
	return v.publishSnapshot()
}

// Rotate gives a top-level role a new key, in a new root that the old and the
// new root keys sign. What the role has signed is not signed again.
func (v *Vendor) Rotate(role string) error {
	signers := []ed25519.PrivateKey{v.keys[tuf.RoleRoot]}
	key, err := v.newKey(role)
	if err != nil {
		return err
	}
	for _, old := range slices.Clone(v.root.Signed.Roles[role].KeyIDs) {
		if err := v.root.Signed.RevokeKey(old, role); err != nil {
			return err
		}
	}
	if err := v.root.Signed.AddKey(key, role); err != nil {
		return err
	}
	if role == tuf.RoleRoot {
		signers = append(signers, v.keys[role])
	}
	v.root.Signed.Version++
	return v.publishRoot(signers...)
}

// Gate names further keys for the timestamp, with a threshold, in a new root: those of gates,
// whose signatures what is published from now on lacks.
func (v *Vendor) Gate(threshold int, keys ...ed25519.PublicKey) error {
	for _, public := range keys {
		key, err := metadata.KeyFromPublicKey(public)
		if err != nil {
			return err
		}
		if err := v.root.Signed.AddKey(key, tuf.RoleTimestamp); err != nil {
			return err
		}
	}
	v.root.Signed.Roles[tuf.RoleTimestamp].Threshold = threshold
	v.root.Signed.Version++
	return v.publishRoot(v.keys[tuf.RoleRoot])
}

// SignAgain signs the present version of a role with its present key, beside
// the signatures it has: the payload stays, the file changes. A new snapshot
// lists the file.
func (v *Vendor) SignAgain(role string) error {
	m, ok := v.targets[role]
	if !ok {
		return fmt.Errorf("no role %q", role)
	}
	if err := sign(m, v.keys[role]); err != nil {
		return err
	}
	if err := put(v, v.name(role, m.Signed.Version), m); err != nil {
		return err
	}
	return v.publishSnapshot()
}

// PassOff publishes a role's present file as another role's, and a snapshot that
// lists it so: what a thief of the snapshot and timestamp keys can do to roles
// that share a key, because JSON targets metadata does not name its own role.
func (v *Vendor) PassOff(role, as string) error {
	m, ok := v.targets[role]
	if !ok {
		return fmt.Errorf("no role %q", role)
	}
	other, err := reparse(m, metadata.Targets())
	if err != nil {
		return err
	}
	v.targets[as] = other
	_, file := v.File(role)
	v.files[v.name(as, m.Signed.Version)] = file
	return v.publishSnapshot()
}

// Signed returns what the next Release signs as a role of targets: change it to sign what no
// honest vendor would.
func (v *Vendor) Signed(role string) *metadata.TargetsType { return &v.targets[role].Signed }

// TargetFiles returns the content of every target file ever put, under its path
// and under its path with a hash before the file's name, as a repository with
// consistent snapshots serves it.
func (v *Vendor) TargetFiles() map[string][]byte { return maps.Clone(v.content) }

// Files returns everything published so far, by file name.
func (v *Vendor) Files() map[string][]byte { return maps.Clone(v.files) }

// File returns one published file: role's at its present version.
func (v *Vendor) File(role string) (name string, content []byte) {
	name = v.name(role, v.Version(role))
	return name, v.files[name]
}

// Key is the present key of a role, for tests of what a thief of it could sign.
func (v *Vendor) Key(role string) ed25519.PrivateKey { return v.keys[role] }

// Version is the present version of a role.
func (v *Vendor) Version(role string) int64 {
	switch role {
	case tuf.RoleRoot:
		return v.root.Signed.Version
	case tuf.RoleSnapshot, tuf.RoleTimestamp:
		return v.version[role]
	}
	if m, ok := v.targets[role]; ok {
		return m.Signed.Version
	}
	return 0
}

func (v *Vendor) name(role string, version int64) string {
	if role == tuf.RoleTimestamp {
		return "timestamp.json"
	}
	return fmt.Sprintf("%d.%s.json", version, role)
}

func (v *Vendor) newKey(role string) (*metadata.Key, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	v.keys[role] = private
	return metadata.KeyFromPublicKey(public)
}

func (v *Vendor) publishRoot(signers ...ed25519.PrivateKey) error {
	v.root.ClearSignatures()
	for _, key := range signers {
		if err := sign(v.root, key); err != nil {
			return err
		}
	}
	return put(v, v.name(tuf.RoleRoot, v.root.Signed.Version), v.root)
}

func (v *Vendor) publishTargets(role string) error {
	m := v.targets[role]
	m.ClearSignatures()
	if err := sign(m, v.keys[role]); err != nil {
		return err
	}
	return put(v, v.name(role, m.Signed.Version), m)
}

func (v *Vendor) publishSnapshot() error {
	snapshot := metadata.Snapshot(v.expires)
	v.version[tuf.RoleSnapshot]++
	snapshot.Signed.Version = v.version[tuf.RoleSnapshot]
	for role, m := range v.targets {
		if m.Signed.Version == 0 {
			continue // delegated, not released yet
		}
		_, file := v.File(role)
		listed := metaFile(file, m.Signed.Version)
		if v.PlainSnapshots {
			listed = &metadata.MetaFiles{Version: m.Signed.Version}
		}
		snapshot.Signed.Meta[role+".json"] = listed
	}
	if err := sign(snapshot, v.keys[tuf.RoleSnapshot]); err != nil {
		return err
	}
	if err := put(v, v.name(tuf.RoleSnapshot, snapshot.Signed.Version), snapshot); err != nil {
		return err
	}
	timestamp := metadata.Timestamp(v.expires)
	if !v.TimestampExpires.IsZero() {
		timestamp.Signed.Expires = v.TimestampExpires.UTC()
	}
	v.version[tuf.RoleTimestamp]++
	timestamp.Signed.Version = v.version[tuf.RoleTimestamp]
	_, file := v.File(tuf.RoleSnapshot)
	timestamp.Signed.Meta["snapshot.json"] = metaFile(file, snapshot.Signed.Version)
	if err := sign(timestamp, v.keys[tuf.RoleTimestamp]); err != nil {
		return err
	}
	return put(v, v.name(tuf.RoleTimestamp, 0), timestamp)
}

func metaFile(content []byte, version int64) *metadata.MetaFiles {
	sum := tuf.Sum(content)
	return &metadata.MetaFiles{
		Version: version,
		Length:  int64(len(content)),
		Hashes:  metadata.Hashes{"sha256": sum[:]},
	}
}

func sign[T metadata.Roles](m *metadata.Metadata[T], key ed25519.PrivateKey) error {
	signer, err := signature.LoadSigner(key, crypto.Hash(0))
	if err != nil {
		return err
	}
	_, err = m.Sign(signer)
	return err
}

func put[T metadata.Roles](v *Vendor, name string, m *metadata.Metadata[T]) error {
	b, err := m.ToBytes(false)
	if err != nil {
		return err
	}
	v.files[name] = bytes.Clone(b)
	return nil
}
