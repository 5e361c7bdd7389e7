package device_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testrepo"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// config is what the devices of testrepo go by.
func config(dir string) (verify.Config, error) {
	text, err := os.ReadFile(filepath.Join(dir, "policy.txt"))
	if err != nil {
		return verify.Config{}, err
	}
	policy, err := proofs.ParsePolicy(text)
	return verify.Config{Policy: policy, Install: verify.DefaultInstallPolicy(), Now: time.Now()}, err
}

// create makes a device of the folder of testrepo.
func create(dir string, cfg verify.Config) (device.Store, error) {
	root, err := os.ReadFile(filepath.Join(dir, "device", "root.json"))
	if err != nil {
		return device.Store{}, err
	}
	state, err := verify.Pin(root, cfg.Install)
	if err != nil {
		return device.Store{}, err
	}
	s := device.Store{Dir: filepath.Join(dir, "device")}
	return s, s.Create(root, state)
}

// A device updates itself over HTTP and downloads a target.
func ExampleDevice() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := testrepo.Write(dir); err != nil {
		log.Fatal(err)
	}
	site := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer site.Close()
	cfg, err := config(dir) // a trust policy that was read, and the default install policy
	if err != nil {
		log.Fatal(err)
	}
	store, err := create(dir, cfg) // verify.Pin and Store.Create, once
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	unlock, err := store.Lock(ctx, "example", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	defer unlock()
	d := &device.Device{Store: store, Origin: &device.Repository{
		URL: site.URL + "/metadata", TargetsURL: site.URL + "/targets", Timeout: time.Minute,
	}}
	if _, err := d.Refresh(ctx, cfg); err != nil {
		log.Fatal(err)
	}
	targets, err := d.Download(ctx, []string{"firmware.bin"}, dir+"/installed")
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range targets {
		content, _ := os.ReadFile(t.Path)
		fmt.Printf("%s of role %s: %q, %v\n", t.Name, t.Role, content, t.Err)
	}
	// Output:
	// firmware.bin of role targets: "firmware", <nil>
}

// The first run of a device makes its directory.
func ExampleStore_Create() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := testrepo.Write(dir); err != nil {
		log.Fatal(err)
	}
	root, err := os.ReadFile(filepath.Join(dir, "device", "root.json")) // that the device was given
	if err != nil {
		log.Fatal(err)
	}

	store := device.Store{Dir: filepath.Join(dir, "var", "lib", "firmware")}
	if err := os.MkdirAll(store.Dir, 0o755); err != nil {
		log.Fatal(err)
	}
	unlock, err := store.Lock(context.Background(), "example", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	defer unlock()
	state, err := verify.Pin(root, verify.DefaultInstallPolicy())
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Create(root, state); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the device trusts root", state.Root.Version)
	// Output:
	// the device trusts root 1
}

// What is in the way and ends nothing is told, and what was learned is stored also where
// the device was refused something.
func TestDeviceTellsAndRemembers(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(testrepo.Write(dir))
	var down atomic.Bool // of the proofs
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() && strings.HasSuffix(r.URL.Path, verify.SidecarSuffix) {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		http.FileServer(http.Dir(dir)).ServeHTTP(w, r)
	}))
	defer site.Close()
	cfg, err := config(dir)
	must(err)
	store, err := create(dir, cfg)
	must(err)
	var told []string
	d := &device.Device{
		Store: store, Origin: &device.Repository{URL: site.URL + "/metadata/"},
		Warn: func(err error) { told = append(told, err.Error()) },
	}

	down.Store(true)
	c, err := d.Refresh(t.Context(), cfg)
	var r *verify.Refusal
	if c == nil || !errors.As(err, &r) || r.Code != verify.CodeNetwork || r.Role != "targets" || len(told) != 0 {
		t.Fatalf("%v; told %q", err, told)
	}
	state, trouble, err := store.State()
	must(errors.Join(trouble, err))
	if state.Timestamp.Version != 2 || state.Snapshot.Version != 2 || len(state.Accepted) != 0 {
		t.Errorf("it remembers %+v", state)
	}

	cfg.Transparency = verify.Warn
	must(os.Remove(filepath.Join(store.Dir, "updater.state")))
	must(os.Remove(filepath.Join(store.Dir, "snapshot.json")))
	must(os.Mkdir(filepath.Join(store.Dir, "snapshot.json"), 0o755))
	if _, err = d.Refresh(t.Context(), cfg); err == nil {
		t.Error("a file that cannot be replaced was replaced")
	}
	must(os.Remove(filepath.Join(store.Dir, "snapshot.json")))
	if _, err = d.Refresh(t.Context(), cfg); err != nil {
		t.Error(err)
	}
	copied := "using the other copy of the state: "
	// The first of the two runs has written both copies again.
	want := []string{copied, "the kept file of snapshot cannot be read: ", "network: targets: could not fetch 2.targets.json.tlog-proof: "}
	for _, w := range want {
		if len(told) == 0 || !strings.HasPrefix(told[0], w) {
			t.Fatalf("told %q, want %q", told, w)
		}
		told = told[1:]
	}
	if len(told) != 0 {
		t.Errorf("told %q as well", told)
	}

	down.Store(false)
	cfg.Transparency = verify.Enforce
	if c, err = d.Refresh(t.Context(), cfg); err != nil || c.Metadata("targets") == nil {
		t.Error(err)
	}
	if state, trouble, err := store.State(); err != nil || trouble != nil || len(state.Accepted["targets"]) != 1 {
		t.Errorf("it remembers %+v, %v, %v", state, trouble, err)
	}
}

// That a file is not there only the server says: an outage is not such an answer, and there
// may be a newer root.
func TestOutageIsNoAnswer(t *testing.T) {
	r := &device.Repository{URL: "http://example.com", Client: &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "unix", Err: fs.ErrNotExist}
		},
	}}}
	if _, err := r.Fetch(t.Context(), verify.Request{Role: "root", Version: 2, MaxLength: 1}); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// The time for metadata is counted over all of it.
func TestRepositoryTimeout(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer site.Close()
	late := errors.New("too late")
	r := &device.Repository{URL: site.URL, Timeout: time.Millisecond, Late: late}
	for range 2 {
		if _, err := r.Fetch(t.Context(), verify.Request{Role: "timestamp", MaxLength: 1}); !errors.Is(err, late) {
			t.Errorf("%v", err)
		}
	}
	r = &device.Repository{URL: site.URL, Timeout: time.Millisecond}
	if _, err := r.Fetch(t.Context(), verify.Request{Role: "timestamp", MaxLength: 1}); err == nil || !strings.Contains(err.Error(), "longer than 1ms") {
		t.Errorf("%v", err)
	}
}
