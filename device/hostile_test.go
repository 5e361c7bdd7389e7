package device_test

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// scene is an update that somebody disturbs: how, and how it must end. A device that has
// the release before is offered the next one.
type scene struct {
	name string
	do   func(w *world)
	code verify.Code // of the first refusal; empty: the release is installed
	role string      // that it is about
	says string      // part of what it says

	lasts   bool // an honest mirror and the next release do not end it
	process bool // it is played with the program, too
}

// scenes has all of them, by the party that disturbs.
func scenes() []scene {
	return slices.Concat(mirrorScenes, wireScenes, logScenes, witnessScenes, vendorScenes, policyScenes, ownScenes, outageScenes)
}

// Every scene ends as docs/refusals.md says, over HTTP and, where it can be played there,
// in a folder. Nothing is installed that the vendor did not release, and the device is left
// so that it takes the vendor's next release from an honest mirror.
func TestScenes(t *testing.T) {
	stage := newStage(t)
	t.Run("scenes", func(t *testing.T) {
		for _, s := range scenes() {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				w := stage.open(t, s.name)
				s.do(w)
				had := w.installed()
				s.check(t, w, had, w.update())
				if !s.lasts && !testing.Short() { // which is half of the work
					w.honest()
					w.release("3")
					if err := w.update(); err != nil || string(w.installed()["firmware.bin"]) != "firmware 3" {
						t.Errorf("an honest mirror with the next release, afterwards: %v, installed %q", err, w.installed())
					}
				}
			})
			if testing.Short() {
				continue // the judge is the same
			}
			t.Run(s.name+"/folder", func(t *testing.T) {
				t.Parallel()
				w := stage.open(t, s.name+"/folder")
				s.do(w)
				if len(w.answers) > 0 || w.repo != w.fairRepo {
					t.Skip("it takes HTTP")
				}
				s.check(t, w, w.installed(), w.updateFrom(w.stick()))
			})
		}
	})
}

// check fails the test unless an update ended with the scene's code.
func (s scene) check(t *testing.T, w *world, had map[string][]byte, err error) {
	t.Helper()
	t.Log(err)
	var r *verify.Refusal
	switch {
	case s.code == "" && err != nil:
		t.Errorf("%v; want it to be accepted", err)
	case s.code != "" && (!errors.As(err, &r) || r.Code != s.code || r.Role != s.role || !strings.Contains(r.Text(), s.says)):
		t.Errorf("%v; want %s of %q: …%s…", err, s.code, s.role, s.says)
	}
	for name, content := range w.installed() {
		if !strings.HasPrefix(string(content), "firmware ") && !strings.HasPrefix(string(content), "tool ") {
			t.Errorf("%s was installed with content %.40q", name, content)
		}
		if s.code != "" && s.code != verify.CodeNotListed && name == "firmware.bin" && (s.role == "" || tuf.IsTopLevel(s.role)) && string(content) != string(had[name]) {
			t.Errorf("%s was refused, and %s is %.40q", s.code, name, content)
		}
	}
}

// epoch is when the scenes take place.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// world is what a device sees.
type world struct {
	t      testing.TB
	vendor *testvendor.Vendor
	log    *testlog.Log
	second *proofs.Signer    // of a log which the trust policy lists, and nobody uses
	id     tuf.Digest        // of the repository
	files  map[string][]byte // by URL path
	old    map[string][]byte // before the release that is offered
	fair   map[string][]byte // as an honest mirror has them
	logged map[string]int64  // entries, by file name
	times  []int64           // of the cosignatures of what is logged next

	mu      sync.Mutex
	answers map[string]http.HandlerFunc // in the place of files, by URL path; of all others: under ""

	url    string
	dir    string // of the device
	cfg    verify.Config
	repo   device.Repository
	policy string   // as a text
	want   []string // targets

	fairRepo   device.Repository
	fairConfig verify.Config
}

// stage has the world before each scene, and serves them all.
type stage struct {
	first  *world
	device map[string][]byte // the files of the device
	server *httptest.Server
	mu     sync.Mutex
	worlds map[string]*world
}

func newStage(t *testing.T) *stage {
	v, err := testvendor.New(epoch.Add(365 * day))
	must(t, err)
	v.TimestampExpires = epoch.Add(30 * day)
	s := &stage{worlds: map[string]*world{}}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	l := testlog.New(t, "log.example/updates", 4, "3")
	second := testlog.NewSigner(t, "log.example/second", proofs.Ed25519)
	text := "log " + second.Key().String() + "\n" + l.PolicyText()
	policy, err := proofs.ParsePolicy([]byte(text))
	must(t, err)
	w := &world{
		t: t, vendor: v, log: l, second: second, files: map[string][]byte{}, logged: map[string]int64{}, dir: t.TempDir(),
		cfg:    verify.Config{Policy: policy, Install: verify.DefaultInstallPolicy(), Now: epoch.Add(-day)},
		policy: text, want: []string{"firmware.bin", "app/tool"},
	}
	w.cosignedAt(epoch.Add(-2 * day))
	must(t, v.Delegate(tuf.RoleTargets, "app", "app/*"))
	w.release("1")
	s.serve(w, "first")
	store := device.Store{Dir: w.dir}
	root := w.get("1.root.json")
	state, err := verify.Pin(root, w.cfg.Install)
	must(t, err)
	must(t, store.Create(root, state))
	must(t, w.update())
	s.device = map[string][]byte{}
	must(t, fs.WalkDir(os.DirFS(w.dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			s.device[path], err = os.ReadFile(filepath.Join(w.dir, path))
		}
		return err
	}))
	w.old = maps.Clone(w.files)
	w.cosignedAt(epoch.Add(-day / 2))
	w.cfg.Now = epoch
	w.release("2")
	s.first = w
	return s
}

// serve makes the server have a world's files below a path.
func (s *stage) serve(w *world, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := strconv.Itoa(len(s.worlds))
	s.worlds[id] = w
	w.url = s.server.URL + "/" + id
	w.repo = device.Repository{URL: w.url + "/metadata", TargetsURL: w.url + "/targets", Client: s.server.Client()}
	w.fairRepo, w.fairConfig = w.repo, w.cfg
}

func (s *stage) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	id, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.mu.Lock()
	w := s.worlds[id]
	s.mu.Unlock()
	if w == nil {
		http.NotFound(rw, r)
		return
	}
	w.serve(rw, r, "/"+rest)
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request, path string) {
	w.mu.Lock()
	answer := w.answers[path]
	if answer == nil {
		answer = w.answers[""]
	}
	content, ok := w.files[path]
	w.mu.Unlock()
	switch {
	case answer != nil:
		answer(rw, r)
	case !ok:
		http.NotFound(rw, r)
	default:
		_, _ = rw.Write(content)
	}
}

// open returns the world of a scene, with a device that has the first release.
func (s *stage) open(t testing.TB, name string) *world {
	vendor, err := s.first.vendor.Clone()
	must(t, err)
	w := &world{
		t: t, vendor: vendor, log: s.first.log.Clone(t), second: s.first.second, id: s.first.id, policy: s.first.policy,
		files: maps.Clone(s.first.files), old: s.first.old, fair: s.first.files, logged: maps.Clone(s.first.logged),
		times: s.first.times, answers: map[string]http.HandlerFunc{}, dir: t.TempDir(), cfg: s.first.cfg, want: s.first.want,
	}
	for path, content := range s.device {
		path = filepath.Join(w.dir, path)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, content, 0o644))
	}
	s.serve(w, name)
	return w
}

// honest makes the mirror one that has what the vendor released, and the device's clock
// and policies what they were.
func (w *world) honest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files, w.answers = maps.Clone(w.fair), map[string]http.HandlerFunc{}
	w.repo, w.cfg, w.want = w.fairRepo, w.fairConfig, w.want[:2]
}

// update runs the device over HTTP. The error is the first one, of the update or a target.
func (w *world) update() error {
	return w.updateFrom(&w.repo)
}

func (w *world) updateFrom(origin device.Origin) error {
	d := &device.Device{Store: device.Store{Dir: w.dir}, Origin: origin}
	ctx := w.t.Context()
	_, err := d.Refresh(ctx, w.cfg)
	if err != nil {
		return err
	}
	targets, err := d.Download(ctx, w.want, filepath.Join(w.dir, "installed"))
	for _, t := range targets {
		if t.Err != nil && err == nil {
			err = t.Err
		}
	}
	return err
}

// stick returns what is served as it would come on a stick.
func (w *world) stick() *device.Folder {
	w.t.Helper()
	dir := w.t.TempDir()
	for path, content := range w.files {
		path = filepath.Join(dir, path)
		must(w.t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(w.t, os.WriteFile(path, content, 0o644))
	}
	folder, err := device.OpenFolder(filepath.Join(dir, "metadata"))
	must(w.t, err)
	folder.Targets = filepath.Join(dir, "targets")
	return folder
}

// installed returns the targets that the device has.
func (w *world) installed() map[string][]byte {
	files := map[string][]byte{}
	entries, err := os.ReadDir(filepath.Join(w.dir, "installed"))
	must(w.t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".download.") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(w.dir, "installed", e.Name()))
		must(w.t, err)
		files[e.Name()] = b
	}
	return files
}

// cosignedAt makes all witnesses cosign at a time from now on.
func (w *world) cosignedAt(at time.Time) {
	w.times = slices.Repeat([]int64{at.Unix()}, len(w.log.Witnesses))
}

// release has the vendor release both targets with a version in their content.
func (w *world) release(version string) {
	w.t.Helper()
	must(w.t, w.vendor.Put(tuf.RoleTargets, "firmware.bin", []byte("firmware "+version)))
	must(w.t, w.vendor.Put("app", "app/tool", []byte("tool "+version)))
	w.publish(tuf.RoleTargets, "app")
}

// publish has the vendor release these roles, serves everything and logs what is new.
func (w *world) publish(roles ...string) {
	w.t.Helper()
	must(w.t, w.vendor.Release(roles...))
	w.serveVendor(w.vendor)
}

// serveVendor serves what a vendor has, and logs what is new.
func (w *world) serveVendor(v *testvendor.Vendor) {
	w.t.Helper()
	files := v.Files()
	if w.id.IsZero() {
		w.id = parse(w.t, files["1.root.json"]).PayloadDigest
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		changed := string(w.get(name)) != string(files[name])
		w.put(name, files[name])
		if role := roleOf(name); changed && role != tuf.RoleTimestamp && role != tuf.RoleSnapshot {
			w.submit(name)
		}
	}
	for path, content := range v.TargetFiles() {
		w.files["/targets/"+path] = content
	}
}

// roleOf is the role of a file's name.
func roleOf(name string) string {
	name = strings.TrimSuffix(name, ".json")
	if _, role, ok := strings.Cut(name, "."); ok {
		return role
	}
	return name
}

// name is the file of a role that the vendor released last.
func (w *world) name(role string) string {
	name, _ := w.vendor.File(role)
	return name
}

func (w *world) get(name string) []byte       { return w.files["/metadata/"+name] }
func (w *world) put(name string, file []byte) { w.files["/metadata/"+name] = file }

// proof is the name of the proof beside a role's file.
func (w *world) proof(role string) string { return w.name(role) + verify.SidecarSuffix }

// leaf is what the log says of a file.
func (w *world) leaf(name string) leaf.Leaf {
	w.t.Helper()
	file := w.get(name)
	m := parse(w.t, file)
	return leaf.Leaf{
		Kind: leaf.Release, Repository: w.id, Role: roleOf(name), Version: m.Version, Payload: m.PayloadDigest,
		Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON,
	}
}

// submit logs a file, and serves its proof.
func (w *world) submit(name string) {
	w.t.Helper()
	entry := w.leaf(name).Marshal()
	w.logged[name] = w.log.Add(entry)
	w.put(name+verify.SidecarSuffix, w.log.Proof(entry, w.logged[name], w.times...))
}

// cosigned replaces the proof of a role's file by one that these witnesses cosigned, each
// at a time; a negative time stands for no cosignature.
func (w *world) cosigned(role string, times ...int64) {
	w.t.Helper()
	name := w.name(role)
	w.put(w.proof(role), w.log.Proof(w.leaf(name).Marshal(), w.logged[name], times...))
}

// entry logs another leaf than that of a role's file, and serves its proof beside the file.
func (w *world) entry(role string, change func(*leaf.Leaf)) {
	w.t.Helper()
	l := w.leaf(w.name(role))
	change(&l)
	entry := l.Marshal()
	w.put(w.proof(role), w.log.Proof(entry, w.log.Add(entry), w.times...))
}

// forge changes the proof beside a role's file.
func (w *world) forge(role string, change func(*proofs.Proof)) {
	w.t.Helper()
	p, err := proofs.ParseProof(w.get(w.proof(role)))
	must(w.t, err)
	change(&p)
	w.put(w.proof(role), p.Marshal())
}

// edit changes what a role's file says, signs it again with the role's key, and lists it:
// snapshot and timestamp are signed again, too. A file that is logged is logged again.
func (w *world) edit(role string, change func(signed map[string]any)) {
	w.t.Helper()
	w.editBy(w.vendor.Key(role), role, change)
}

// editBy is edit by the holder of another key.
func (w *world) editBy(key ed25519.PrivateKey, role string, change func(signed map[string]any)) {
	w.t.Helper()
	name := w.name(role)
	w.put(name, w.signed(key, w.get(name), change))
	w.list(role)
	if role != tuf.RoleTimestamp && role != tuf.RoleSnapshot {
		if _, err := tuf.ParseJSON(w.get(name)); err == nil {
			w.submit(name)
		}
	}
}

// list makes snapshot and timestamp list the file of a role as it is served.
func (w *world) list(role string) {
	w.t.Helper()
	above := map[string]string{tuf.RoleRoot: "", tuf.RoleTimestamp: "", tuf.RoleSnapshot: tuf.RoleTimestamp}
	by, ok := above[role]
	if !ok {
		by = tuf.RoleSnapshot
	}
	if by == "" {
		return
	}
	file := w.get(w.name(role))
	sum := tuf.Sum(file)
	w.edit(by, func(signed map[string]any) {
		listed := signed["meta"].(map[string]any)[role+".json"].(map[string]any)
		listed["length"], listed["hashes"] = len(file), map[string]any{"sha256": sum.String()}
		if m, err := tuf.ParseJSON(file); err == nil {
			listed["version"] = m.Version
		}
	})
}

// signed changes what a file says and signs it with key alone.
func (w *world) signed(key ed25519.PrivateKey, file []byte, change func(map[string]any)) []byte {
	w.t.Helper()
	var m struct {
		Signatures []map[string]string `json:"signatures"`
		Signed     map[string]any      `json:"signed"`
	}
	d := json.NewDecoder(strings.NewReader(string(file)))
	d.UseNumber()
	must(w.t, d.Decode(&m))
	change(m.Signed)
	payload, err := cjson.EncodeCanonical(m.Signed)
	must(w.t, err)
	public, err := metadata.KeyFromPublicKey(key.Public())
	must(w.t, err)
	id, err := public.ID()
	must(w.t, err)
	m.Signatures = []map[string]string{{"keyid": id, "sig": hex.EncodeToString(ed25519.Sign(key, payload))}}
	b, err := json.Marshal(m)
	must(w.t, err)
	return b
}

// answer makes the server answer the requests for a file of the metadata in its own way.
func (w *world) answer(name string, h http.HandlerFunc) { w.answers["/metadata/"+name] = h }

// replace replaces a part of a served file, which must be in it.
func (w *world) replace(name, old, with string) {
	w.t.Helper()
	file := string(w.get(name))
	if !strings.Contains(file, old) {
		w.t.Fatalf("%s is not in %s", old, name)
	}
	w.put(name, []byte(strings.Replace(file, old, with, 1)))
}

// target is the URL path of a target.
func (w *world) target(role, path string) string {
	w.t.Helper()
	f, ok := parse(w.t, w.get(w.name(role))).Targets.File(path)
	if !ok {
		w.t.Fatalf("%s does not list %s", role, path)
	}
	dir, base := filepath.Split(path)
	return fmt.Sprintf("/targets/%s%s.%s", dir, f.Hashes["sha256"], base)
}

// keep changes a file that the device keeps; a nil result removes it.
func (w *world) keep(name string, change func([]byte) []byte) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	b, err := os.ReadFile(path)
	must(w.t, err)
	if b = change(b); b == nil {
		must(w.t, os.Remove(path))
		return
	}
	must(w.t, os.WriteFile(path, b, 0o644))
}

func parse(t testing.TB, file []byte) *tuf.Metadata {
	t.Helper()
	m, err := tuf.ParseJSON(file)
	must(t, err)
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) remove(name string) { delete(w.files, "/metadata/"+name) }

// alterSignature changes the first signature of a role's file.
func (w *world) alterSignature(role string) {
	w.t.Helper()
	sig := parse(w.t, w.get(w.name(role))).Signatures[0].Sig
	w.replace(w.name(role), fmt.Sprintf("%x", sig), strings.Repeat("0f", len(sig)))
}

// stranger is another vendor.
func (w *world) stranger() *testvendor.Vendor {
	w.t.Helper()
	v, err := testvendor.New(epoch.Add(30 * day))
	must(w.t, err)
	must(w.t, v.Release(tuf.RoleTargets))
	return v
}

// rotate gives a role another key, and has the vendor sign everything under the new root.
func (w *world) rotate(role string) {
	w.t.Helper()
	must(w.t, w.vendor.Rotate(role))
	w.publish(tuf.RoleTargets, "app")
}

// status makes the server answer the requests for a file, or for all of them, with a status.
func (w *world) status(name string, code int) {
	answer := func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(code) }
	if name == "" {
		w.answers[""] = answer
		return
	}
	w.answer(name, answer)
}

// lose makes the connection break in the middle of a file.
func (w *world) lose(name string) {
	file := w.get(name)
	w.answer(name, func(rw http.ResponseWriter, _ *http.Request) { cut(rw, file) })
}

// cut sends half a file, and closes the connection.
func cut(rw http.ResponseWriter, file []byte) {
	_, _ = rw.Write(file[:len(file)/2])
	_ = http.NewResponseController(rw).Flush()
	panic(http.ErrAbortHandler)
}

// halve cuts a file off in the middle.
func (w *world) halve(name string) { w.put(name, w.get(name)[:len(w.get(name))/2]) }

// noName makes the mirror's name one that is not found.
func (w *world) noName() {
	w.repo.Client = &http.Client{Transport: &http.Transport{DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}}
	}}}
}
