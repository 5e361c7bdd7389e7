package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/trillianserver"
)

// deployed is what deploy/trillian/up.sh has set up.
type deployed struct {
	script, dir string
	port        int
}

// newDeployed prepares a directory for up.sh in which the programs are there
// already.
func newDeployed(t *testing.T) *deployed {
	t.Helper()
	needTrillian(t)
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	trillian, err := trillianserver.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	root, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: the user postgres must get through.
	dir, err := os.MkdirTemp("", "tuflog-up-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{trillian, built(t)} {
		programs, err := filepath.Glob(filepath.Join(from, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, program := range programs {
			if err := os.Symlink(program, filepath.Join(dir, "bin", filepath.Base(program))); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := &deployed{script: filepath.Join(root, "deploy", "trillian", "up.sh"), dir: dir, port: freePorts(t, 8)}
	t.Cleanup(func() {
		if out, err := d.command(context.Background(), "down"); err != nil {
			t.Errorf("up.sh down: %v\n%s", err, out)
		}
	})
	return d
}

// freePorts returns the first of n ports in a row that are free, and that the
// system does not give to connections meanwhile.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		if first := 20000 + rand.N(12000); free(first, n) {
			return first
		}
	}
	t.Fatalf("no %d ports in a row are free", n)
	return 0
}

func free(first, n int) bool {
	for i := range n {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(first+i)))
		if err != nil {
			return false
		}
		_ = l.Close() // only whether it is free was wanted
	}
	return true
}

func (d *deployed) command(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.script, command, d.dir)
	cmd.Env = append(os.Environ(), fmt.Sprint("PORT=", d.port), "FLAGS=--log-snapshots")
	// A server that kept the pipe open would be one that hangs on the script.
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (d *deployed) must(t *testing.T, command string) string {
	t.Helper()
	out, err := d.command(t.Context(), command)
	if err != nil {
		logs, _ := exec.Command("sh", "-c", "tail -n 5 "+d.dir+"/logs/*").CombinedOutput()
		t.Fatalf("up.sh %s: %v\n%s\n%s", command, err, out, logs)
	}
	return out
}

func (d *deployed) front(i int) string { return fmt.Sprintf("http://127.0.0.1:%d", d.port+2+i) }

func (d *deployed) processes(t *testing.T) map[string]string {
	t.Helper()
	pids := map[string]string{}
	files, err := filepath.Glob(filepath.Join(d.dir, "run", "*.pid"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pids[strings.TrimSuffix(filepath.Base(path), ".pid")] = strings.TrimSpace(string(b))
	}
	return pids
}

// The script in deploy/trillian sets a log up that works, can be run again, starts
// what has died, and stops everything.
func TestUpScript(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	out := d.must(t, "up")
	for _, want := range []string{d.front(1), d.front(2), "stop ", "registration.token"} {
		if !strings.Contains(out, want) {
			t.Errorf("up.sh up does not say %q\n%s", want, out)
		}
	}
	p := &programs{bin: built(t), logs: t.TempDir()}
	w := &world{p: p, policy: filepath.Join(d.dir, "policy.txt"), log: &service{url: d.front(2)}}
	vendor, err := newMaker(filepath.Join(t.TempDir(), "vendor"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaves := int64(0)
	release := func(version string, front int) {
		t.Helper()
		if err := putAndRelease(vendor.Vendor, version); err != nil {
			t.Fatal(err)
		}
		if err := vendor.write(); err != nil {
			t.Fatal(err)
		}
		_, err := w.submit(t.Context(), 0, "--log", d.front(front), "--timeout", "30s", "--token-file", filepath.Join(d.dir, "log", "registration.token"), "--token-out", vendor.dir+".token", vendor.dir)
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.replay(t.Context(), "--log", d.front(3-front))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.content(); err != nil || a.Judged <= leaves || len(a.Checkpoint.Witnesses) < 2 {
			t.Errorf("replay: %v, %d leaves after %d, checkpoint %+v", err, a.Judged, leaves, a.Checkpoint)
		}
		leaves = a.Judged
	}
	release("1.0", 2)

	first := d.processes(t)
	if len(first) != 7 {
		t.Errorf("%d processes: %v", len(first), first)
	}
	d.must(t, "up")
	for name, pid := range d.processes(t) {
		if first[name] != pid {
			t.Errorf("%s was process %s and is %s after running the script again", name, first[name], pid)
		}
	}
	pid, err := strconv.Atoi(first["front-end-1"])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	runtest.Eventually(t, "front end 1 is gone", func() bool { return !answers(d.front(1) + "/healthz") })
	if out := d.must(t, "up"); !strings.Contains(out, "front-end-1 runs") {
		t.Errorf("up.sh does not start what has died\n%s", out)
	}
	release("1.1", 1)

	d.must(t, "down")
	if !free(d.port, 8) {
		t.Error("something still listens after up.sh down")
	}
	d.must(t, "up")
	release("1.2", 2)
	if out := d.must(t, "status"); !strings.Contains(out, "front-end-2           runs") || !strings.Contains(out, "leader ") {
		t.Errorf("status:\n%s", out)
	}
}
