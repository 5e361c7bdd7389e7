package gotuf_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
	"github.com/tuflog/tuflog/verify/gotuf"
)

// world is a vendor with its log and mirror, and a device.
type world struct {
	t      *testing.T
	vendor *testvendor.Vendor
	log    *testlog.Log
	files  map[string][]byte // by URL path
	url    string
	id     tuf.Digest
	store  device.Store
	cfg    verify.Config
}

// newWorld has targets 2, with firmware.bin, and app 1, with app/tool.
func newWorld(t *testing.T) *world {
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	must(t, err)
	w := &world{t: t, vendor: v, log: testlog.New(t, "log.example/updates", 3, "2"), files: map[string][]byte{}, store: device.Store{Dir: t.TempDir()}}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		content, ok := w.files[r.URL.Path]
		if !ok {
			http.NotFound(rw, r)
			return
		}
		_, _ = rw.Write(content)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	must(t, v.Delegate(tuf.RoleTargets, "app", "app/*"))
	must(t, v.Put(tuf.RoleTargets, "firmware.bin", []byte("firmware")))
	must(t, v.Put("app", "app/tool", []byte("tool")))
	must(t, v.Release(tuf.RoleTargets, "app"))
	w.id = w.parse(v.Files()["1.root.json"]).PayloadDigest
	w.serve(true)
	w.cfg = verify.Config{Policy: w.log.Policy(), Install: verify.DefaultInstallPolicy(), Now: time.Now()}
	state, err := verify.Pin(v.Files()["1.root.json"], w.cfg.Install)
	must(t, err)
	must(t, w.store.Create(v.Files()["1.root.json"], state))
	return w
}

func (w *world) parse(file []byte) *tuf.Metadata {
	w.t.Helper()
	m, err := tuf.ParseJSON(file)
	must(w.t, err)
	return m
}

// serve serves what the vendor has, and logs what is new, if it is to be.
func (w *world) serve(logged bool) {
	w.t.Helper()
	files := w.vendor.Files()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := "/metadata/" + name
		_, old := w.files[path]
		w.files[path] = files[name]
		m := w.parse(files[name])
		_, role, _ := strings.Cut(strings.TrimSuffix(name, ".json"), ".")
		if old || !logged || m.Root == nil && m.Targets == nil {
			continue
		}
		entry := leaf.Leaf{
			Kind: leaf.Release, Repository: w.id, Role: role, Version: m.Version, Payload: m.PayloadDigest,
			Metadata: m.FileDigest, Size: int64(len(files[name])), Encoding: tuf.JSON,
		}.Marshal()
		now := time.Now().Unix()
		w.files[path+verify.SidecarSuffix] = w.log.Proof(entry, w.log.Add(entry), now, now)
	}
	for path, content := range w.vendor.TargetFiles() {
		w.files["/targets/"+path] = content
	}
}

// refresh updates the device.
func (w *world) refresh() (*verify.Client, error) {
	d := &device.Device{Store: w.store, Origin: &device.Repository{URL: w.url + "/metadata"}}
	return d.Refresh(w.t.Context(), w.cfg)
}

// config is that of a program before it is guarded, with a cache of go-tuf.
func (w *world) config(cache string) *config.UpdaterConfig {
	w.t.Helper()
	cfg, err := config.New(w.url+"/metadata", w.vendor.Files()["1.root.json"])
	must(w.t, err)
	cfg.RemoteTargetsURL, cfg.LocalMetadataDir, cfg.LocalTargetsDir = w.url+"/targets", cache, cache
	return cfg
}

// guarded returns an updater behind the gate.
func (w *world) guarded(c *verify.Client, cache string) *updater.Updater {
	w.t.Helper()
	cfg := w.config(cache)
	must(w.t, gotuf.Guard(w.t.Context(), cfg, c, w.store.SaveState))
	up, err := updater.New(cfg)
	must(w.t, err)
	return up
}

// A program on go-tuf's updater finds and downloads what is logged, in delegated roles as
// well, which are remembered before they are used.
func TestGuardedUpdater(t *testing.T) {
	w := newWorld(t)
	c, err := w.refresh()
	must(t, err)
	up := w.guarded(c, t.TempDir())
	for name, want := range map[string]string{"firmware.bin": "firmware", "app/tool": "tool"} {
		info, err := up.GetTargetInfo(name)
		must(t, err)
		if _, content, err := up.DownloadTarget(info, "", ""); err != nil || string(content) != want {
			t.Errorf("%s is %q, %v", name, content, err)
		}
	}
	state, _, err := w.store.State()
	must(t, err)
	if len(state.Accepted["app"]) != 1 {
		t.Errorf("remembered are %v", state.Accepted)
	}
	if _, err := up.GetTargetInfo("other"); err == nil {
		t.Error("a target was found that nobody lists")
	}
	w.files[w.targetPath("firmware.bin")] = []byte("wormware")
	info, err := up.GetTargetInfo("firmware.bin")
	must(t, err)
	if _, _, err := up.DownloadTarget(info, "", ""); err == nil {
		t.Error("another file was taken for the target")
	}

	// The root, when it was rotated, and what is under it.
	must(t, w.vendor.Rotate(tuf.RoleRoot))
	must(t, w.vendor.Rotate("targets"))
	must(t, w.vendor.Release(tuf.RoleTargets, "app"))
	w.serve(true)
	c, err = w.refresh()
	must(t, err)
	up = w.guarded(c, t.TempDir())
	must(t, up.Refresh())
	if root := up.GetTrustedMetadataSet().Root.Signed.Version; root != 3 {
		t.Errorf("the updater has root %d", root)
	}
}

// targetPath is the URL path under which a target is asked for.
func (w *world) targetPath(name string) string {
	w.t.Helper()
	_, file := w.vendor.File("targets")
	f, _ := w.parse(file).Targets.File(name)
	for _, hash := range f.Hashes {
		delete(w.files, "/targets/"+hash+"."+name)
	}
	return "/targets/" + f.Hashes["sha256"] + "." + name
}

// A delegated role without a proof is refused where the updater asks for it.
func TestGuardRefusesUnloggedRoles(t *testing.T) {
	w := newWorld(t)
	delete(w.files, "/metadata/1.app.json.tlog-proof")
	c, err := w.refresh()
	must(t, err)
	_, err = w.guarded(c, t.TempDir()).GetTargetInfo("app/tool")
	wantRefused(t, err, verify.CodeNotLogged)

	w = newWorld(t)
	failed := errors.New("disk full")
	c, err = w.refresh()
	must(t, err)
	cfg := w.config(t.TempDir())
	must(t, gotuf.Guard(t.Context(), cfg, c, func(verify.State) error { return failed }))
	up, err := updater.New(cfg)
	must(t, err)
	if _, err := up.GetTargetInfo("app/tool"); !errors.Is(err, failed) {
		t.Errorf("a role was given that could not be remembered: %v", err)
	}
}

// The second run of a device whose log is now an empty one trusts nothing any more: neither
// what the device keeps, nor a cache of go-tuf, which reads one even where it is disabled.
func TestSecondRunWithAnEmptyLog(t *testing.T) {
	w := newWorld(t)
	c, err := w.refresh()
	must(t, err)
	cache := t.TempDir()
	must(t, w.guarded(c, cache).Refresh())
	if names, err := os.ReadDir(cache); err != nil || len(names) > 0 {
		t.Errorf("the updater keeps %v, %v", names, err)
	}

	empty := testlog.New(t, "log.example/empty", 3, "2")
	w.cfg.Policy = empty.Policy()
	_, err = w.refresh()
	wantRefused(t, err, verify.CodeDowngrade)
	state, _, err := w.store.State()
	must(t, err)
	state, _, err = state.Approve(state.Waiting[0].ID(), false, time.Now())
	must(t, err)
	must(t, w.store.SaveState(state))
	c, err = w.refresh()
	wantRefused(t, err, verify.CodeWrongLog)
	if err := gotuf.Guard(t.Context(), w.config(cache), c, w.store.SaveState); err == nil {
		t.Error("an updater was made of an update that was refused")
	}
	if err := gotuf.Guard(t.Context(), w.config(cache), nil, w.store.SaveState); err == nil {
		t.Error("an updater was made of nothing")
	}
}

// What a run without the gate has left in a cache, or somebody in the working directory, the
// guarded updater does not see.
func TestGuardReadsNoCache(t *testing.T) {
	w := newWorld(t)
	twin, err := w.vendor.Clone() // which is not logged
	must(t, err)
	must(t, twin.Put(tuf.RoleTargets, "firmware.bin", []byte("wormware")))
	must(t, twin.Release(tuf.RoleTargets))
	honest := maps.Clone(w.files)
	w.vendor, twin = twin, w.vendor
	w.serve(false)
	cache := t.TempDir()
	plain, err := updater.New(w.config(cache))
	must(t, err)
	must(t, plain.Refresh())
	if _, err := os.Stat(filepath.Join(cache, "targets.json")); err != nil {
		t.Fatal(err)
	}
	w.vendor, w.files = twin, honest
	t.Chdir(cache)
	for _, dir := range []string{cache, ""} {
		c, err := w.refresh()
		must(t, err)
		info, err := w.guarded(c, dir).GetTargetInfo("firmware.bin")
		must(t, err)
		if info.Length != int64(len("firmware")) || info.Hashes["sha256"].String() != tuf.Sum([]byte("firmware")).String() {
			t.Errorf("in %q: the updater found %+v", dir, info)
		}
	}
}

// What is below the URL of the metadata comes from the client, everything else from the
// fetcher that was there.
func TestGuardLeavesTargetsAlone(t *testing.T) {
	w := newWorld(t)
	c, err := w.refresh()
	must(t, err)
	cfg := w.config("")
	plain := cfg.Fetcher
	must(t, gotuf.Guard(context.Background(), cfg, c, w.store.SaveState))
	w.files["/targets/metadata.json"] = []byte("{}")
	for path, there := range map[string]bool{
		"/targets/metadata.json": true, "/metadata/2.targets.json": true, "/metadata/1.root.json": true, "/metadata/timestamp.json": true,
		"/metadata/1.targets.json": false, "/metadata/targets.json": true, "/metadata/2.root.json": false, "/metadata/x.root.json": false,
		"/metadata/1.%zz.json": false, "/metadata/1.stranger.json": false, "/metadata/root.json": true,
	} {
		got, err := cfg.Fetcher.DownloadFile(w.url+path, 1<<20, 0)
		if (err == nil) != there {
			t.Errorf("%s: %q, %v", path, got, err)
		}
		if want, err := plain.DownloadFile(w.url+path, 1<<20, 0); err == nil && there && string(got) != string(want) {
			t.Errorf("%s: %q", path, got)
		}
	}
	if _, err := cfg.Fetcher.DownloadFile(w.url+"/metadata/timestamp.json", 10, 0); err == nil {
		t.Error("a file was given that is longer than it may be")
	}
}

func wantRefused(t *testing.T, err error, code verify.Code) {
	t.Helper()
	var r *verify.Refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Fatalf("%v; want %s", err, code)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// While a newer release waits, go-tuf's updater has nothing to go by, and says why; the
// device downloads what it has accepted.
func TestWhileAReleaseWaits(t *testing.T) {
	w := newWorld(t)
	c, err := w.refresh()
	must(t, err)
	_, err = w.guarded(c, t.TempDir()).GetTargetInfo("app/tool")
	must(t, err)
	w.cfg.Install.MinAge = 48 * time.Hour
	must(t, w.vendor.Put("app", "app/tool", []byte("tool two")))
	must(t, w.vendor.Release("app"))
	w.serve(true)
	c, err = w.refresh()
	must(t, err)
	up := w.guarded(c, t.TempDir())
	for range 2 {
		_, err = up.GetTargetInfo("app/tool")
		wantRefused(t, err, verify.CodeTooYoung)
	}
	must(t, w.vendor.Put(tuf.RoleTargets, "firmware.bin", []byte("second")))
	must(t, w.vendor.Release(tuf.RoleTargets))
	w.serve(true)
	d := &device.Device{Store: w.store, Origin: &device.Repository{URL: w.url + "/metadata", TargetsURL: w.url + "/targets"}}
	c, err = d.Refresh(t.Context(), w.cfg)
	wantRefused(t, err, verify.CodeTooYoung)
	wantRefused(t, gotuf.Guard(t.Context(), w.config(""), c, d.SaveState), verify.CodeTooYoung)
	dir := t.TempDir()
	targets, err := d.Download(t.Context(), []string{"firmware.bin", "app/tool"}, dir)
	must(t, errors.Join(err, targets[0].Err, targets[1].Err))
	for i, want := range []string{"firmware", "tool"} {
		if b, err := os.ReadFile(targets[i].Path); err != nil || string(b) != want {
			t.Errorf("%s is %q, %v", targets[i].Name, b, err)
		}
	}
}

// A program that does not hold the lock takes no approval back that the owner has given since.
func TestNoApprovalIsTakenBack(t *testing.T) {
	w := newWorld(t)
	guarded := func() *updater.Updater {
		d := &device.Device{Store: w.store, Origin: &device.Repository{URL: w.url + "/metadata"}}
		c, err := d.Refresh(t.Context(), w.cfg)
		must(t, err)
		cfg := w.config("")
		must(t, gotuf.Guard(t.Context(), cfg, c, d.SaveState))
		up, err := updater.New(cfg)
		must(t, err)
		must(t, up.Refresh())
		return up
	}
	_, err := guarded().GetTargetInfo("app/tool")
	must(t, err)
	if state, _, err := w.store.State(); err != nil || len(state.Accepted["app"]) != 1 {
		t.Fatalf("remembered are %v, %v", state.Accepted, err)
	}
	up := guarded()

	w.cfg.Install.Approval = verify.ApproveManual
	must(t, w.vendor.Put(tuf.RoleTargets, "firmware.bin", []byte("two")))
	must(t, w.vendor.Release(tuf.RoleTargets))
	w.serve(true)
	_, err = w.refresh()
	wantRefused(t, err, verify.CodeNeedsApproval)
	state, _, err := w.store.State()
	must(t, err)
	state, _, err = state.Approve(state.Waiting[0].ID(), false, time.Now())
	must(t, err)
	must(t, w.store.SaveState(state))
	if _, err := up.GetTargetInfo("app/tool"); !errors.Is(err, device.ErrChanged) {
		t.Errorf("a role was given whose state takes back what was stored since: %v", err)
	}
	after, _, err := w.store.State()
	must(t, err)
	if len(after.Approved) != 1 || after.Snapshot.Version != state.Snapshot.Version {
		t.Errorf("approved are %v, snapshot %d", after.Approved, after.Snapshot.Version)
	}
}

// An address that is set after Guard is no way around the gate.
func TestAddressSetAfterGuard(t *testing.T) {
	w := newWorld(t)
	c, err := w.refresh()
	must(t, err)
	must(t, w.vendor.Put("targets", "firmware.bin", []byte("not logged")))
	must(t, w.vendor.Release("targets"))
	w.serve(false)
	for name, f := range maps.Clone(w.files) {
		if rest, ok := strings.CutPrefix(name, "/metadata/"); ok {
			w.files["/mirror/"+rest] = f
		}
	}
	cfg := w.config(t.TempDir())
	must(t, gotuf.Guard(t.Context(), cfg, c, w.store.SaveState))
	cfg.RemoteMetadataURL = w.url + "/mirror"
	up, err := updater.New(cfg)
	must(t, err)
	if _, err := up.GetTargetInfo("firmware.bin"); err == nil || !strings.Contains(err.Error(), "not changed after Guard") {
		t.Errorf("%v", err)
	}
}
