package verify_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
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
	cosigned  int64 // when witnesses cosign; 0: half a day before epoch
	cosignAll bool  // all three witnesses do, not only two
	requests  []string
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
	r.sidecars[tuf.Sum(file)] = r.log.Proof(leaf.Marshal(), r.log.Add(leaf.Marshal()), times...)
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
	r.requests = append(r.requests, request.FileName())
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

func (r *fakeRepo) config() verify.ClientConfig {
	return verify.ClientConfig{Policy: r.log.Policy(), Install: verify.DefaultInstallPolicy(), Now: epoch}
}

// fakeDevice keeps what a device keeps between updates.
type fakeDevice struct {
	t        testing.TB
	state    verify.State
	files    map[string][]byte // by role
	sidecars map[string]verify.Sidecars
	client   *verify.Client
}

func newFakeDevice(t testing.TB, root []byte) *fakeDevice {
	t.Helper()
	state, err := verify.Pin(root, verify.InstallPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	return &fakeDevice{t: t, state: state, files: map[string][]byte{"root": root}, sidecars: map[string]verify.Sidecars{}}
}

var errNotThere = errors.New("the repository does not have it")

// refresh runs the workflow as cmd/updater does, in memory.
func (d *fakeDevice) refresh(r *fakeRepo, cfg verify.ClientConfig) (err error) {
	d.t.Helper()
	// State is data: it must survive being stored.
	stored, err := d.state.Marshal()
	if err != nil {
		d.t.Fatal(err)
	}
	if d.state, err = verify.ParseState(stored); err != nil {
		d.t.Fatal(err)
	}
	if d.client, err = verify.NewClient(cfg, d.files["root"], d.state); err != nil {
		return err
	}
	defer func() { d.state = d.client.State() }()
	var last []byte
	for {
		request, err := d.client.RequestFor("root")
		if err != nil {
			return err
		}
		file := r.fetch(request)
		if file == nil {
			break
		}
		if err := d.client.UpdateRoot(file); err != nil {
			return err
		}
		last = file
	}
	if err := d.rootsDone(r, last); err != nil {
		return err
	}
	if kept := d.files["timestamp"]; kept != nil {
		_, _ = d.client.UpdateTimestamp(kept)
	}
	file := r.last("timestamp")
	r.requests = append(r.requests, "timestamp.json")
	if updated, err := d.client.UpdateTimestamp(file); err != nil {
		return err
	} else if updated {
		d.keep("timestamp", file, verify.Sidecars{})
	}
	request, err := d.client.RequestFor("snapshot")
	if err != nil {
		return err
	}
	err = d.role(r, request, func(file []byte, _ verify.Sidecars) error { return d.client.UpdateSnapshot(file) })
	if err != nil {
		return err
	}
	if request, err = d.client.RequestFor("targets"); err != nil {
		return err
	}
	return d.role(r, request, d.client.UpdateTargets)
}

// rootsDone trusts the last of the roots that were taken, nil if none was: then the
// one that it has, with the proof that it has or the repository's.
func (d *fakeDevice) rootsDone(r *fakeRepo, last []byte) error {
	if last != nil {
		if err := d.client.TrustRoot(r.sidecarsOf(last)); err != nil {
			return err
		}
		d.keep("root", last, r.sidecarsOf(last))
		return d.client.RootsDone()
	}
	if kept := d.files["root"]; d.client.TrustRoot(d.sidecars["root"]) != nil {
		if err := d.client.TrustRoot(r.sidecarsOf(kept)); err != nil {
			return err
		}
		d.keep("root", kept, r.sidecarsOf(kept))
	}
	return d.client.RootsDone()
}

func (d *fakeDevice) keep(role string, file []byte, sidecars verify.Sidecars) {
	d.files[role], d.sidecars[role] = file, sidecars
}

func (d *fakeDevice) role(r *fakeRepo, request verify.Request, take func([]byte, verify.Sidecars) error) error {
	if kept := d.files[request.Role]; kept != nil && take(kept, d.sidecars[request.Role]) == nil {
		return nil
	}
	file := r.fetch(request)
	if file == nil {
		return fmt.Errorf("%s: %w", request.FileName(), errNotThere)
	}
	if err := take(file, r.sidecarsOf(file)); err != nil {
		return err
	}
	d.keep(request.Role, file, r.sidecarsOf(file))
	return nil
}

// find looks for a target and gets the roles that it needs.
func (d *fakeDevice) find(r *fakeRepo, path string) (verify.Lookup, error) {
	d.t.Helper()
	for {
		lookup, err := d.client.Find(path)
		if err != nil || lookup.Need == nil {
			return lookup, err
		}
		need := *lookup.Need
		err = d.role(r, need, func(file []byte, s verify.Sidecars) error {
			return d.client.UpdateDelegated(need.Role, need.Delegator, file, s)
		})
		if err != nil {
			return lookup, err
		}
	}
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
func wantRefused(t *testing.T, err error, code verify.Code, role string) {
	t.Helper()
	var r *verify.Refusal
	if !errors.As(err, &r) || r.Code != code || r.Role != role {
		t.Fatalf("got %v; want %s of %s", err, code, role)
	}
	t.Log(err)
}

func wantOK(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
