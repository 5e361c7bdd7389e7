package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/bench/testrepo"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/device/bundle"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// A bundle is made of a repository, and a device is updated from it.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := testrepo.Write(dir); err != nil { // metadata, targets, policy.txt
		log.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	root, err := os.ReadFile(filepath.Join(dir, "device", "root.json"))
	must(err)
	text, err := os.ReadFile(filepath.Join(dir, "policy.txt"))
	must(err)
	policy, err := proofs.ParsePolicy(text)
	must(err)
	cfg := verify.Config{Policy: policy, Install: verify.DefaultInstallPolicy(), Now: time.Now()}
	ctx := context.Background()

	repository, err := device.OpenFolder(filepath.Join(dir, "metadata")) // or a device.Repository
	must(err)
	repository.Targets = filepath.Join(dir, "targets")
	stick, err := os.Create(filepath.Join(dir, "update.bundle"))
	must(err)
	_, err = bundle.Create(ctx, stick, bundle.Recipe{Config: cfg, Root: root, Origin: repository, Targets: []string{"firmware.bin"}})
	must(errors.Join(err, stick.Close()))

	b, err := bundle.Open(stick.Name())
	must(err)
	defer b.Close()
	store := device.Store{Dir: filepath.Join(dir, "device")}
	state, err := verify.Pin(root, cfg.Install)
	must(err)
	must(store.Create(root, state))
	d := device.Device{Store: store, Origin: b}
	_, err = d.Refresh(ctx, cfg)
	must(err)
	targets, err := d.Download(ctx, slices.Collect(b.Targets()), filepath.Join(dir, "installed"))
	must(err)
	for _, t := range targets {
		content, _ := os.ReadFile(t.Path)
		fmt.Printf("%s of role %s: %q, %v\n", t.Name, t.Role, content, t.Err)
	}
	// Output:
	// firmware.bin of role targets: "firmware", <nil>
}

// world is a vendor with its log and a folder that is served.
type world struct {
	t      *testing.T
	vendor *testvendor.Vendor
	log    *testlog.Log
	cfg    verify.Config
	first  *tuf.Metadata // root 1
	files  map[string][]byte
	leaves map[string]leaf.Leaf // by name, of what is logged
	index  map[string]int64
	dir    string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, log: testlog.New(t, "log.example/b", 3, "2"), files: map[string][]byte{}, leaves: map[string]leaf.Leaf{}, index: map[string]int64{}, dir: t.TempDir()}
	var err error
	w.vendor, err = testvendor.New(time.Now().Add(24 * time.Hour))
	w.must(err)
	w.first, err = tuf.ParseJSON(w.vendor.Files()["1.root.json"])
	w.must(err)
	w.cfg = verify.Config{Policy: w.log.Policy(), Install: verify.DefaultInstallPolicy(), Now: time.Now()}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// publish logs what is new, cosigned at a time, and serves all.
func (w *world) publish(at time.Time) device.Origin {
	w.t.Helper()
	files := w.vendor.Files()
	for name, file := range files {
		m, err := tuf.ParseJSON(file)
		w.must(err)
		if _, logged := w.leaves[name]; !logged && (m.Root != nil || m.Targets != nil) {
			_, role, _ := strings.Cut(strings.TrimSuffix(name, ".json"), ".")
			l := leaf.Leaf{Kind: leaf.Release, Repository: w.first.PayloadDigest, Role: role, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON}
			w.leaves[name], w.index[name] = l, w.log.Add(l.Marshal())
			w.files["metadata/"+name+verify.SidecarSuffix] = w.proof(name, at)
		}
		w.files["metadata/"+name] = file
	}
	for name, content := range w.vendor.TargetFiles() {
		w.files["targets/"+name] = content
	}
	return w.origin()
}

func (w *world) proof(name string, at time.Time) []byte {
	return w.log.Proof(w.leaves[name].Marshal(), w.index[name], at.Unix(), at.Unix())
}

// origin is the folder with what is served.
func (w *world) origin() device.Origin {
	w.t.Helper()
	dir := filepath.Join(w.dir, fmt.Sprint(time.Now().UnixNano()))
	for name, content := range w.files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		w.must(os.MkdirAll(filepath.Dir(path), 0o755))
		w.must(os.WriteFile(path, content, 0o644))
	}
	f, err := device.OpenFolder(filepath.Join(dir, "metadata"))
	w.must(err)
	f.Targets = filepath.Join(dir, "targets")
	return f
}

func (w *world) create(origin device.Origin, r bundle.Recipe) (*bundle.Bundle, []byte, error) {
	w.t.Helper()
	r.Config, r.Root, r.Origin = w.cfg, w.first.File, origin
	var out bytes.Buffer
	if _, err := bundle.Create(w.t.Context(), &out, r); err != nil {
		return nil, nil, err
	}
	b, err := bundle.New(bytes.NewReader(out.Bytes()), int64(out.Len()))
	w.must(err)
	return b, out.Bytes(), nil
}

func names(b *bundle.Bundle) string {
	var names []string
	for _, f := range b.Files() {
		names = append(names, f.Name)
	}
	return strings.Join(names, "\n")
}

func TestCreate(t *testing.T) {
	w := newWorld(t)
	w.must(w.vendor.Put("targets", "dir/app", []byte("app")))
	w.must(w.vendor.Put("targets", "other", []byte("other")))
	w.must(w.vendor.Delegate("targets", "odd role", "odd/*"))
	w.must(w.vendor.Put("odd role", "odd/one", []byte("odd")))
	w.must(w.vendor.Put("odd role", "not/covered", []byte("not covered")))
	w.must(w.vendor.Release("odd role", "targets"))
	w.must(w.vendor.Rotate("root"))
	origin := w.publish(time.Now())
	one, first, err := w.create(origin, bundle.Recipe{Targets: []string{"dir/app"}})
	w.must(err)
	wantOne := `metadata/1.root.json
metadata/1.root.json.tlog-proof
metadata/2.root.json
metadata/2.root.json.tlog-proof
metadata/2.snapshot.json
metadata/2.targets.json
metadata/2.targets.json.tlog-proof
metadata/timestamp.json
targets/dir%2Fapp`
	if got := names(one); got != wantOne {
		t.Errorf("of one target:\n%s\nwant\n%s", got, wantOne)
	}
	all, _, err := w.create(origin, bundle.Recipe{All: true})
	w.must(err)
	wantAll := strings.Replace(strings.Replace(wantOne, "metadata/2.root.json\n", "metadata/1.odd%20role.json\nmetadata/1.odd%20role.json.tlog-proof\nmetadata/2.root.json\n", 1),
		"metadata/1.root.json\nmetadata/1.root.json.tlog-proof\nmetadata/1.odd%20role.json\nmetadata/1.odd%20role.json.tlog-proof\n",
		"metadata/1.odd%20role.json\nmetadata/1.odd%20role.json.tlog-proof\nmetadata/1.root.json\nmetadata/1.root.json.tlog-proof\n", 1) + "\ntargets/odd%2Fone\ntargets/other"
	if got := names(all); got != wantAll {
		t.Errorf("of all:\n%s\nwant\n%s", got, wantAll)
	}
	// The same again is the same bytes, from another folder and from a bundle as well.
	for name, from := range map[string]device.Origin{"again": origin, "another folder": w.origin(), "a bundle": one, "the bundle of all": all} {
		if _, again, err := w.create(from, bundle.Recipe{Targets: []string{"dir/app", "dir/app"}}); err != nil || !bytes.Equal(again, first) {
			t.Errorf("%s: other bytes, %v", name, err)
		}
	}
	// A device finds in it what it would find in the repository.
	trial, err := bundle.Try(t.Context(), w.cfg, must(verify.Pin(w.first.File, w.cfg.Install)), bundle.Root(w.first.File), all)
	w.must(err)
	for path, role := range map[string]string{"dir/app": "targets", "other": "targets", "odd/one": "odd role"} {
		if found, err := trial.Check(t.Context(), path); err != nil || found.Role != role {
			t.Errorf("%s: %+v, %v", path, found, err)
		}
	}
	if _, err := trial.Check(t.Context(), "not/covered"); !errors.Is(err, verify.ErrNotListed) {
		t.Errorf("%v", err)
	}

	// What a device would refuse is not written.
	refused := func(why string, targets ...string) {
		t.Helper()
		if _, _, err := w.create(w.origin(), bundle.Recipe{Targets: targets, All: targets == nil}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %q", err, why)
		}
	}
	refused("no role that is trusted for it lists it", "nothing")
	hashed := "targets/dir/" + tuf.Sum([]byte("app")).String() + ".app"
	for _, wrong := range []struct{ content, why string }{{"abb", "sha"}, {"apps", "longer"}, {"ap", "has 2 bytes, want 3"}} {
		w.files["targets/dir/app"], w.files[hashed] = []byte(wrong.content), []byte(wrong.content)
		refused(wrong.why, "dir/app")
	}
	refused("has 2 bytes, want 3")
	delete(w.files, "metadata/1.odd role.json")
	refused("could not fetch 1.odd%20role.json")
	delete(w.files, "metadata/2.targets.json.tlog-proof")
	refused("not-logged", "other")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Newer proofs come from the log, beside the first; nothing else changes.
func TestRenew(t *testing.T) {
	w := newWorld(t)
	w.must(w.vendor.Delegate("targets", "tools", "tools/*"))
	w.must(w.vendor.Put("tools", "tools/x", []byte("x")))
	w.must(w.vendor.Release("tools", "targets"))
	w.must(w.vendor.Rotate("root"))
	now := time.Now()
	origin := w.publish(now.Add(-50 * time.Hour))
	b, before, err := w.create(origin, bundle.Recipe{All: true})
	w.must(err)
	var asked []int64
	at, wrong := now, ""
	fromLog := func(_ context.Context, origin string, index int64) ([]byte, error) {
		asked = append(asked, index)
		for name, i := range w.index {
			if i == index && origin == "log.example/b" {
				if wrong != "" {
					name = wrong
				}
				return w.proof(name, at), nil
			}
		}
		return nil, fmt.Errorf("%s has no entry %d", origin, index)
	}
	renew := func(b *bundle.Bundle) (*bundle.Bundle, []byte, []bundle.Renewed, error) {
		t.Helper()
		var out bytes.Buffer
		renewal, err := bundle.Renew(t.Context(), &out, b, w.cfg, w.first.File, fromLog)
		if err != nil {
			return nil, nil, nil, err
		}
		list := renewal.Proofs
		return must(bundle.New(bytes.NewReader(out.Bytes()), int64(out.Len()))), out.Bytes(), list, nil
	}

	young := w.cfg
	young.Install.MinAge = 48 * time.Hour
	state := must(verify.Pin(w.first.File, w.cfg.Install))
	_, err = bundle.Try(t.Context(), young, state, bundle.Root(w.first.File), b)
	var r *verify.Refusal
	if !errors.As(err, &r) || r.Code != verify.CodeTooYoung {
		t.Fatalf("without newer proofs: %v", err)
	}
	renewed, content, list, err := renew(b)
	w.must(err)
	for _, name := range strings.Split(names(b), "\n") {
		if !strings.Contains(names(renewed), name) {
			t.Errorf("%s is no longer there", name)
		}
	}
	if strings.Count(names(renewed), verify.LatestSuffix) != 3 || !strings.Contains(names(renewed), "2.root.json.latest") || len(list) != 3 || len(asked) != 3 {
		t.Errorf("renewed:\n%s\n%+v, asked for %v", names(renewed), list, asked)
	}
	for _, r := range list {
		if !r.Written || r.Cosigned.Unix() != now.Unix() || r.Role == "root" && r.Version != 2 {
			t.Errorf("%+v", r)
		}
	}
	if _, err := bundle.Try(t.Context(), young, state, bundle.Root(w.first.File), renewed); err != nil {
		t.Errorf("with newer proofs: %v", err)
	}
	// What is as new stays, byte for byte; an older answer changes nothing.
	for _, at = range []time.Time{now, now.Add(-time.Hour)} {
		if _, again, list, err := renew(renewed); err != nil || !bytes.Equal(again, content) || list[0].Written {
			t.Errorf("again: %+v, %v", list, err)
		}
	}
	at = now.Add(time.Hour)
	if again, _, list, err := renew(renewed); err != nil || names(again) != names(renewed) || !list[0].Written {
		t.Errorf("an hour later: %+v, %v", list, err)
	}
	// The log's answers are checked, and a failure is one.
	wrong = "1.root.json"
	if _, _, _, err := renew(b); err == nil || !strings.Contains(err.Error(), "the newest proof of") {
		t.Errorf("proofs of another file: %v", err)
	}
	wrong = ""
	// What has expired is left alone: a newer proof would show it to devices without a clock.
	w.cfg.Now = now.Add(25 * time.Hour)
	if _, _, _, err := renew(b); !errors.As(err, &r) || r.Code != verify.CodeExpired {
		t.Errorf("expired: %v", err)
	}
	if _, err := bundle.New(bytes.NewReader(before), int64(len(before))); err != nil {
		t.Errorf("the first bundle was changed: %v", err)
	}
}

// large is an Origin with a target of so many zeros.
type large struct {
	device.Origin
	size int64
}

func (l large) CopyTarget(ctx context.Context, w io.Writer, _ string, _ verify.Lookup, _ int64) error {
	piece := make([]byte, 32<<10)
	for left := l.size; left > 0; left -= int64(len(piece)) {
		if _, err := w.Write(piece[:min(left, int64(len(piece)))]); err != nil {
			return err
		}
	}
	return nil
}

// Targets do not pass through memory.
func TestLargeTargets(t *testing.T) {
	w := newWorld(t)
	const size = 4 << 20
	w.must(w.vendor.Put("targets", "large", make([]byte, size)))
	w.must(w.vendor.Release("targets"))
	origin := w.publish(time.Now())
	path := filepath.Join(t.TempDir(), "large.bundle")
	f, err := os.Create(path)
	w.must(err)
	allocated := func(do func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	n := allocated(func() {
		_, err := bundle.Create(t.Context(), f, bundle.Recipe{Config: w.cfg, Root: w.first.File, Origin: large{origin, size}, Targets: []string{"large"}})
		w.must(errors.Join(err, f.Close()))
	})
	b, err := bundle.Open(path)
	w.must(err)
	defer b.Close()
	n += allocated(func() {
		trial, err := bundle.Try(t.Context(), w.cfg, must(verify.Pin(w.first.File, w.cfg.Install)), bundle.Root(w.first.File), b)
		w.must(err)
		if _, err := trial.Check(t.Context(), "large"); err != nil {
			t.Error(err)
		}
	})
	if n > size/2 {
		t.Errorf("%d bytes were allocated for a target of %d", n, size)
	}
}
