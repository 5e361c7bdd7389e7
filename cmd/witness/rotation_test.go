package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/proofs"
)

// rotation is a log whose witness gets new keys, a vendor, and devices of both times.
type rotation struct {
	*testing.T
	dir     string
	log     *runtest.Service
	vendor  *testvendor.Vendor
	reloads int
}

func (r *rotation) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rotation) write(name, content string) {
	r.Helper()
	if err := os.WriteFile(r.path(name), []byte(content), 0o600); err != nil {
		r.Fatal(err)
	}
}

// witness makes and starts a witness of the log, and returns a policy's lines for its
// keys.
func (r *rotation) witness(name, log string, flags ...string) (*runtest.Service, []string) {
	r.Helper()
	vkeys := runtest.Must(r, "witness", append([]string{"init", "--dir", r.path(name), "--name", name + ".example"}, flags...)...)
	runtest.Must(r, "witness", "log", "add", "--dir", r.path(name), log)
	s := runtest.Serve(r, "witness", "serve", "--dir", r.path(name))
	var lines []string
	for i, vkey := range strings.Fields(vkeys) {
		lines = append(lines, fmt.Sprintf("witness %s%d %s %s\n", name, i, vkey, s.URL))
	}
	return s, lines
}

// policy makes the log go by another policy, until what it has published meets that.
func (r *rotation) policy(text string) {
	r.Helper()
	r.write("policy", text)
	r.log.Signal(r, syscall.SIGHUP)
	r.reloads++
	runtest.Eventually(r, "the log has read its policy", func() bool { return strings.Count(r.log.Said(), "msg=reloaded ") == r.reloads })
	p, err := proofs.ParsePolicy([]byte(text))
	if err != nil {
		r.Fatal(err)
	}
	runtest.Eventually(r, "the published checkpoint meets the policy", func() bool {
		_, published := get(r.T, r.log.URL+"/checkpoint")
		_, err := p.OpenCheckpoint([]byte(published))
		return err == nil
	})
}

// release logs a release, with proofs for a policy, in a folder.
func (r *rotation) release(folder, policy string, flags ...string) {
	r.Helper()
	if err := os.MkdirAll(r.path(folder), 0o755); err != nil {
		r.Fatal(err)
	}
	for name, data := range r.vendor.Files() {
		r.write(filepath.Join(folder, name), string(data))
	}
	r.write("vendor.policy", policy)
	runtest.Must(r, "publisher", append([]string{"submit", "--log", r.log.URL, "--policy", r.path("vendor.policy"), "--token-file", r.path("log/registration.token"), r.path(folder)}, flags...)...)
}

// device says whether a device with a policy takes what is in a folder.
func (r *rotation) device(folder, policy string, takes bool) {
	r.Helper()
	r.write("device.policy", policy)
	stdout, stderr, code := runtest.Run(r, "updater", "verify", "--policy", r.path("device.policy"), r.path(folder))
	if takes && code != 0 || !takes && code != 1 {
		r.Errorf("%s: a device with %q: exit %d, %s%s", folder, policy, code, stdout, stderr)
	}
}

// TestRotation: a witness gets new keys as docs/witness.md says. Releases go on,
// devices with the old policy and with the new one take those of the time between, and
// every checkpoint that the log publishes is cosigned.
func TestRotation(t *testing.T) {
	runtest.Programs(t, "logserver", "witness", "publisher", "updater")
	r := &rotation{T: t, dir: t.TempDir()}
	vkey, _, _ := strings.Cut(runtest.Must(t, "logserver", "init", "--dir", r.path("log"), "--origin", "test.example/log"), "\n")
	old, oldLines := r.witness("old", vkey, "--only", "ed25519")
	log := "log " + vkey + "\n"
	before := log + oldLines[0] + "quorum old0\n"
	r.write("policy", before)
	r.log = runtest.Serve(t, "logserver", "serve", "--dir", r.path("log"), "--policy", r.path("policy"))
	var err error
	if r.vendor, err = testvendor.New(time.Now().Add(24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.release("first", before)
	r.device("first", before, true)

	// The new witness beside the old one, with both of its keys; one answer has both.
	_, newLines := r.witness("new", vkey)
	short, long := log+newLines[0]+"quorum new0\n", log+newLines[1]+"quorum new1\n"
	all := log + oldLines[0] + newLines[0] + newLines[1] + "group all all old0 new0 new1\nquorum all\n"
	after := log + newLines[0] + newLines[1] + "group all all new0 new1\nquorum all\n"
	watch := r.watch(before, short)
	defer watch()
	r.policy(all)
	if err := r.vendor.Release(); err != nil {
		t.Fatal(err)
	}
	r.release("between", all)
	for _, policy := range []string{before, short, long, all, after} {
		r.device("between", policy, true)
	}
	// A proof has what the vendor's policy can use; the log still serves all.
	r.release("short", short)
	r.device("short", short, true)
	r.device("short", long, false)
	r.release("whole", short, "--all-signatures")
	r.device("whole", short, true)
	r.device("whole", long, true)
	if a, b := r.size("short"), r.size("whole"); a > 2000 || b < a+3000 {
		t.Errorf("proofs of %d bytes, with all signatures of %d", a, b)
	}

	// The old one retires. Devices that still have its policy alone take nothing new.
	r.policy(after)
	old.Stop(t)
	if err := r.vendor.Release(); err != nil {
		t.Fatal(err)
	}
	r.release("last", after)
	for _, policy := range []string{short, long, after} {
		r.device("last", policy, true)
	}
	r.device("last", before, false)
	watch()
}

// size is that of the proofs of a folder's targets.
func (r *rotation) size(folder string) int64 {
	r.Helper()
	name, _ := r.vendor.File("targets")
	info, err := os.Stat(filepath.Join(r.path(folder), name+".tlog-proof"))
	if err != nil {
		r.Fatal(err)
	}
	return info.Size()
}

// watch reads what the log publishes until the function is called: one of the policies
// accepts it, always.
func (r *rotation) watch(policies ...string) (end func()) {
	var parsed []*proofs.Policy
	for _, text := range policies {
		p, err := proofs.ParsePolicy([]byte(text))
		if err != nil {
			r.Fatal(err)
		}
		parsed = append(parsed, p)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			resp, err := http.Get(r.log.URL + "/checkpoint")
			if err != nil {
				r.Errorf("the log's checkpoint: %v", err)
				return
			}
			signed, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			accepted := false
			for _, p := range parsed {
				_, not := p.OpenCheckpoint(signed)
				accepted = accepted || not == nil
			}
			if err != nil || !accepted {
				r.Errorf("published, and not cosigned: %q, %v", signed, err)
				return
			}
		}
	})
	return sync.OnceFunc(func() { close(stop); wg.Wait() })
}
