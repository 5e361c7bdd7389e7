package verify_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// epoch is when the tests take place.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	day   = 24 * time.Hour
	valid = 30 * day // how long metadata is valid unless a test says otherwise
)

// fakeRepo is a TUF repository whose parts tests change as they like before they
// publish them, and the log that it publishes to.
type fakeRepo struct {
	t         testing.TB
	root      *metadata.Metadata[metadata.RootType]
	timestamp *metadata.Metadata[metadata.TimestampType]
	snapshot  *metadata.Metadata[metadata.SnapshotType]
	targets   map[string]*metadata.Metadata[metadata.TargetsType]
	signers   map[string][]ed25519.PrivateKey
	hashes    bool // snapshot and timestamp list hashes and lengths

	// served is what the repository has: for each role its files, in order.
	served map[string][][]byte

	log       *testlog.Log
	genesis   tuf.Digest
	sidecars  map[tuf.Digest][]byte // by file
	latest    map[tuf.Digest][]byte
	indexes   map[tuf.Digest]int64 // of entries, by file
	cosigned  int64                // when witnesses cosign; 0: half a day before epoch
	cosignAll bool                 // all three witnesses do, not only two
	requests  []string             // names of files, not of proofs
	limits    map[string]int64     // of the last request for a role
	instead   map[string][]byte    // what is served under a name, whatever should be
}

func newFakeRepo(t testing.TB) *fakeRepo {
	t.Helper()
	expires := epoch.Add(valid)
	r := &fakeRepo{
		t:         t,
		root:      metadata.Root(expires),
		timestamp: metadata.Timestamp(expires),
		snapshot:  metadata.Snapshot(expires),
		targets:   map[string]*metadata.Metadata[metadata.TargetsType]{tuf.RoleTargets: metadata.Targets(expires)},
		signers:   map[string][]ed25519.PrivateKey{},
		served:    map[string][][]byte{},
		log:       testlog.New(t, "log.example/a", 3, "2"),
		sidecars:  map[tuf.Digest][]byte{},
		latest:    map[tuf.Digest][]byte{},
		indexes:   map[tuf.Digest]int64{},
		limits:    map[string]int64{},
	}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		r.addKey(role)
	}
	r.publish("root", "targets", "snapshot", "timestamp")
	return r
}

func (r *fakeRepo) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func newTUFKey(t testing.TB) (ed25519.PrivateKey, *metadata.Key) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := metadata.KeyFromPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return private, key
}

// addKey gives a top-level role one more key.
func (r *fakeRepo) addKey(role string) {
	r.t.Helper()
	private, key := newTUFKey(r.t)
	r.must(r.root.Signed.AddKey(key, role))
	r.signers[role] = append(r.signers[role], private)
}

// rotate replaces all keys of a top-level role by a new one.
func (r *fakeRepo) rotate(role string) {
	r.t.Helper()
	for _, id := range slices.Clone(r.root.Signed.Roles[role].KeyIDs) {
		r.must(r.root.Signed.RevokeKey(id, role))
	}
	old := r.signers[role]
	r.signers[role] = nil
	r.addKey(role)
	if role == "root" {
		r.signers[role] = append(r.signers[role], old...)
	}
}

// delegate adds a delegation with a new key; the role is new or, then with the
// same content, known already.
func (r *fakeRepo) delegate(from, role string, terminating bool, paths ...string) {
	r.t.Helper()
	private, key := newTUFKey(r.t)
	id, err := key.ID()
	r.must(err)
	d := r.delegations(from)
	d.Keys[id] = key
	d.Roles = append(d.Roles, metadata.DelegatedRole{Name: role, KeyIDs: []string{id}, Threshold: 1, Terminating: terminating, Paths: paths})
	r.signers[role] = append(r.signers[role], private)
	if r.targets[role] == nil {
		r.targets[role] = metadata.Targets(epoch.Add(valid))
	}
}

func (r *fakeRepo) delegations(from string) *metadata.Delegations {
	signed := &r.targets[from].Signed
	if signed.Delegations == nil {
		signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	}
	return signed.Delegations
}

// put lists a target.
func (r *fakeRepo) put(role, path, content string) {
	r.t.Helper()
	f, err := metadata.TargetFile().FromBytes(path, []byte(content), "sha256")
	r.must(err)
	r.targets[role].Signed.Targets[path] = f
}

// publish makes a new version of each role public, signed by the role's signers,
// and logs those that are logged. Versions go up by one unless it is the first.
func (r *fakeRepo) publish(roles ...string) {
	r.t.Helper()
	for _, role := range roles {
		r.bump(role)
		r.serve(role)
	}
}

func (r *fakeRepo) bump(role string) {
	if len(r.served[role]) == 0 {
		return
	}
	switch role {
	case "root":
		r.root.Signed.Version++
	case "timestamp":
		r.timestamp.Signed.Version++
	case "snapshot":
		r.snapshot.Signed.Version++
	default:
		r.targets[role].Signed.Version++
	}
}

// serve signs a role as it is and makes it public.
func (r *fakeRepo) serve(role string) {
	r.t.Helper()
	file := r.sign(role)
	r.served[role] = append(r.served[role], file)
	version := r.parse(file).Version
	meta := &metadata.MetaFiles{Version: version}
	if r.hashes {
		sum := tuf.Sum(file)
		meta.Length, meta.Hashes = int64(len(file)), metadata.Hashes{"sha256": sum[:]}
	}
	switch role {
	case "root", "timestamp":
	case "snapshot":
		r.timestamp.Signed.Meta["snapshot.json"] = meta
	default:
		r.snapshot.Signed.Meta[role+".json"] = meta
	}
	if role == "root" && len(r.served[role]) == 1 {
		r.genesis = r.parse(file).PayloadDigest
	}
	if role != "timestamp" && role != "snapshot" {
		r.submit(role, file)
	}
}

func (r *fakeRepo) sign(role string) []byte {
	r.t.Helper()
	switch role {
	case "root":
		return signWith(r.t, r.root, r.signers[role])
	case "timestamp":
		return signWith(r.t, r.timestamp, r.signers[role])
	case "snapshot":
		return signWith(r.t, r.snapshot, r.signers[role])
	}
	return signWith(r.t, r.targets[role], r.signers[role])
}

func signWith[T metadata.Roles](t testing.TB, m *metadata.Metadata[T], keys []ed25519.PrivateKey) []byte {
	t.Helper()
	m.ClearSignatures()
	for _, key := range keys {
		signer, err := signature.LoadSigner(key, crypto.Hash(0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Sign(signer); err != nil {
			t.Fatal(err)
		}
	}
	b, err := m.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b)
}

func (r *fakeRepo) parse(file []byte) *tuf.Metadata {
	r.t.Helper()
	m, err := tuf.ParseJSON(file)
	r.must(err)
	return m
}

func (r *fakeRepo) leaf(role string, file []byte) leaf.Leaf {
	m := r.parse(file)
	return leaf.Leaf{
		Kind: leaf.Release, Repository: r.genesis, Role: role, Version: m.Version, Payload: m.PayloadDigest,
		Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON,
	}
}

// submit logs a file and keeps its proof, cosigned by two of three witnesses.
func (r *fakeRepo) submit(role string, file []byte) {
	r.t.Helper()
	leaf := r.leaf(role, file)
	at := r.cosignTime()
	times := []int64{at, at + 1}
	if r.cosignAll {
		times = append(times, at)
	}
	r.indexes[tuf.Sum(file)] = r.log.Add(leaf.Marshal())
	r.sidecars[tuf.Sum(file)] = r.log.Proof(leaf.Marshal(), r.indexes[tuf.Sum(file)], times...)
}

// timesOf replaces the proof of the last file of a role by one under the present tree,
// which the witnesses cosigned at these times.
func (r *fakeRepo) timesOf(role string, times ...int64) {
	r.t.Helper()
	sum := tuf.Sum(r.last(role))
	entry := r.leaf(role, r.last(role))
	r.sidecars[sum] = r.log.Proof(entry.Marshal(), r.indexes[sum], times...)
}

// expire sets the expiry of a top-level role's next files.
func (r *fakeRepo) expire(role string, at time.Time) {
	switch role {
	case "root":
		r.root.Signed.Expires = at
	case "timestamp":
		r.timestamp.Signed.Expires = at
	case "snapshot":
		r.snapshot.Signed.Expires = at
	default:
		r.targets[role].Signed.Expires = at
	}
}

func (r *fakeRepo) cosignTime() int64 {
	if r.cosigned != 0 {
		return r.cosigned
	}
	return epoch.Add(-12 * time.Hour).Unix()
}

// last returns the newest file of a role.
func (r *fakeRepo) last(role string) []byte {
	files := r.served[role]
	return files[len(files)-1]
}

// fetch finds the file that a request means; nil if there is none.
func (r *fakeRepo) fetch(request verify.Request) []byte {
	file := r.file(request)
	switch request.Suffix {
	case verify.SidecarSuffix:
		return r.sidecarsOf(file).Proof
	case verify.LatestSuffix:
		return r.sidecarsOf(file).Latest
	}
	r.requests = append(r.requests, request.FileName())
	r.limits[request.Role] = request.MaxLength
	return file
}

func (r *fakeRepo) file(request verify.Request) []byte {
	if file, ok := r.instead[request.FileName()]; ok {
		return file
	}
	files := r.served[request.Role]
	if request.Version == 0 && len(files) > 0 {
		return files[len(files)-1]
	}
	for _, file := range slices.Backward(files) {
		if r.parse(file).Version == request.Version {
			return file
		}
	}
	return nil
}

func (r *fakeRepo) sidecarsOf(file []byte) verify.Sidecars {
	sum := tuf.Sum(file)
	return verify.Sidecars{Proof: r.sidecars[sum], Latest: r.latest[sum]}
}

func (r *fakeRepo) config() verify.Config {
	return verify.Config{Policy: r.log.Policy(), Install: verify.DefaultInstallPolicy(), Now: epoch}
}

// fakeDevice keeps what a device keeps between updates. It is the source of its updates.
type fakeDevice struct {
	t        testing.TB
	state    verify.State
	files    map[string][]byte // by role
	sidecars map[string]verify.Sidecars
	repo     *fakeRepo
	client   *verify.Client // of the last update
}

func newFakeDevice(t testing.TB, root []byte) *fakeDevice {
	t.Helper()
	state, err := verify.Pin(root, verify.InstallPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	return &fakeDevice{t: t, state: state, files: map[string][]byte{"root": root}, sidecars: map[string]verify.Sidecars{}}
}

func (d *fakeDevice) Kept(_ context.Context, role string) ([]byte, verify.Sidecars, error) {
	return d.files[role], d.sidecars[role], nil
}

func (d *fakeDevice) Fetch(_ context.Context, r verify.Request) ([]byte, error) {
	b := d.repo.fetch(r)
	if b == nil {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (d *fakeDevice) Keep(_ context.Context, a verify.Accepted) error {
	d.files[a.Role], d.sidecars[a.Role] = a.Metadata.File, a.Sidecars
	return nil
}

// refresh updates the device from a repository.
func (d *fakeDevice) refresh(r *fakeRepo, cfg verify.Config) (err error) {
	d.t.Helper()
	// State is data: it must survive being stored.
	stored, err := d.state.Marshal()
	if err != nil {
		d.t.Fatal(err)
	}
	if d.state, err = verify.ParseState(stored); err != nil {
		d.t.Fatal(err)
	}
	d.repo = r
	d.client, err = verify.Refresh(d.t.Context(), cfg, d.state, d)
	if d.client != nil {
		d.state = d.client.State()
	}
	return err
}

// approves has the owner approve of what the policies of cfg do not require any more.
func (d *fakeDevice) approves(r *fakeRepo, cfg verify.Config) {
	d.t.Helper()
	err := d.refresh(r, cfg)
	if err == nil {
		return
	}
	var refused *verify.Refusal
	if !errors.As(err, &refused) || refused.Code != verify.CodeDowngrade {
		d.t.Fatal(err)
	}
	d.approve("")
}

// approve has the owner approve of what waits of a role.
func (d *fakeDevice) approve(role string) {
	d.t.Helper()
	d.state = approved(d.t, d.state, role, false)
}

func approved(t testing.TB, state verify.State, role string, unlogged bool) verify.State {
	t.Helper()
	for _, w := range state.Waiting {
		if w.Role == role {
			state, _, err := state.Approve(w.ID(), unlogged, epoch)
			if err != nil {
				t.Fatal(err)
			}
			return state
		}
	}
	t.Fatalf("nothing of %q waits: %+v", role, state.Waiting)
	return state
}

// begins begins an update, which ends as soon as it asks the repository for anything.
func (d *fakeDevice) begins(r *fakeRepo, cfg verify.Config) (*verify.Client, error) {
	d.repo = &fakeRepo{t: r.t, limits: map[string]int64{}}
	return verify.Refresh(d.t.Context(), cfg, d.state, d)
}

// find looks for a target; that it is not there is no error.
func (d *fakeDevice) find(r *fakeRepo, path string) (verify.Lookup, error) {
	d.t.Helper()
	d.repo = r
	found, err := d.client.Locate(d.t.Context(), path)
	if found.Truncated || errors.Is(err, verify.ErrNotListed) {
		err = nil
	}
	return found, err
}

func (d *fakeDevice) version(role string) int64 {
	d.t.Helper()
	if d.files[role] == nil {
		return 0
	}
	m, err := tuf.ParseJSON(d.files[role])
	if err != nil {
		d.t.Fatal(err)
	}
	return m.Version
}

// wantRefused fails the test unless err is a refusal of role with this code.
func wantRefused(t testing.TB, err error, code verify.Code, role string) {
	t.Helper()
	var r *verify.Refusal
	if !errors.As(err, &r) || r.Code != code || r.Role != role {
		t.Fatalf("got %v; want %s of %s", err, code, role)
	}
	t.Log(err)
}

func wantOK(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
