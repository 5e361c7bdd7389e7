package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/runtest"
)

// restored is a log that up.sh has set up, whose databases go back in time.
type restored struct {
	*deployed
	w                   *world
	pg                  string // the directory of PostgreSQL's programs
	log, state, storage string
}

// database is the URL of a database, for its own role.
func (r *restored) database(name string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", name, r.port, name)
}

// postgres runs one of PostgreSQL's programs.
func (r *restored) postgres(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(r.pg, program), args...)
	cmd.Env = append(os.Environ(), "PGPASSFILE="+filepath.Join(r.dir, "pgpass"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// back takes a database back to when it was dumped.
func (r *restored) back(t *testing.T, name string) {
	t.Helper()
	r.postgres(t, "pg_restore", "--clean", "--if-exists", "--single-transaction", "--dbname", r.database(name), filepath.Join(r.dir, name+".dump"))
}

// reconnect has Trillian make new connections: in the ones that it has, statements
// are prepared for tables that are not there any more.
func (r *restored) reconnect(t *testing.T) {
	t.Helper()
	r.postgres(t, "psql", "-Atc", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'trillian' AND pid <> pg_backend_pid()", r.database("trillian"))
}

// logserver runs a command on the log and returns what it printed.
func (r *restored) logserver(t *testing.T, code int, command string, args ...string) string {
	t.Helper()
	at := append(strings.Fields(command), "--dir", r.log, "--storage", r.storage, "--state", r.state)
	cmd := exec.CommandContext(t.Context(), filepath.Join(built(t), "logserver"), append(at, args...)...)
	cmd.Env = append(os.Environ(), "PGPASSFILE="+filepath.Join(r.dir, "pgpass"))
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("logserver %s: exit %d (%v), want %d\n%s", command, got, err, code, out)
	}
	return string(out)
}

// stopFronts stops the front ends and nothing else.
func (r *restored) stopFronts(t *testing.T) {
	t.Helper()
	pids := r.processes(t)
	for i := range 2 {
		pid, err := strconv.Atoi(pids[fmt.Sprint("front-end-", i+1)])
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		runtest.Eventually(t, "a front end stops", func() bool { return syscall.Kill(pid, 0) != nil || !answers(r.front(i+1)+"/healthz") })
	}
}

// putFiles puts files back as deploy/trillian/README.md says, some of which no leaf
// names.
func (r *restored) putFiles(t *testing.T, paths []string) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(filepath.Dir(r.script), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	recipe := regexp.MustCompile(`(?m)^ +logserver (.*) --config \.\.\. FILE\.\.\.$`).FindStringSubmatch(string(readme))
	if recipe == nil {
		t.Fatal("the README has no recipe for putting files back")
	}
	return r.logserver(t, 1, recipe[1], paths...)
}

// newest is the checkpoint that a witness holds, in a file.
func (r *restored) newest(t *testing.T) string {
	t.Helper()
	status, b, err := get(fmt.Sprintf("http://127.0.0.1:%d/%x/checkpoint", r.port+5, sha256.Sum256([]byte("log.example/tuflog"))))
	if err != nil || status != 200 {
		t.Fatalf("the witness's checkpoint: %d, %v", status, err)
	}
	path := filepath.Join(r.dir, "newest")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What deploy/trillian/README.md says on restoring is true: a state database of an
// older date is completed, and two databases of an older date are noticed.
func TestRestore(t *testing.T) {
	t.Parallel()
	r := &restored{deployed: newDeployed(t)}
	var err error
	if r.pg, err = postgresserver.Find(); err != nil {
		t.Fatal(err)
	}
	r.must(t, "up")
	r.w = &world{p: &programs{bin: built(t), logs: t.TempDir()}, policy: filepath.Join(r.dir, "policy.txt")}
	r.log, r.state = filepath.Join(r.dir, "log"), r.database("tuflog")
	tree := r.postgres(t, "psql", "-Atc", `SELECT substring(storage FROM '[0-9]+$') FROM log`, r.state)
	r.storage = fmt.Sprintf("trillian://127.0.0.1:%d/%s", r.port+1, tree)

	vendor, err := newMaker(filepath.Join(t.TempDir(), "vendor"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	release := func(version string) (size int64) {
		t.Helper()
		if err := putAndRelease(vendor.Vendor, version); err != nil {
			t.Fatal(err)
		}
		if err := vendor.write(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.w.submit(t.Context(), 0, "--timeout", "30s", "--token-file", r.log+"/registration.token", "--token-out", vendor.dir+".token", vendor.dir); err != nil {
			t.Fatal(err)
		}
		a, err := r.w.replay(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.content(); err != nil {
			t.Error(err)
		}
		return a.Judged
	}
	release("1.0")
	for _, name := range []string{"tuflog", "trillian"} {
		r.postgres(t, "pg_dump", "--format=custom", "--file", filepath.Join(r.dir, name+".dump"), r.database(name))
	}
	size := release("1.1")
	newest := r.newest(t)

	r.stopFronts(t)
	r.back(t, "tuflog")
	if out := r.logserver(t, 0, "resume", "--i-know", "ledger-behind", "--checkpoint", newest); !strings.Contains(out, fmt.Sprint("size ", size)) {
		t.Errorf("resume: %s", out)
	}
	if out := r.logserver(t, 1, "fsck"); !strings.Contains(out, "file does not exist") {
		t.Errorf("fsck: %s", out)
	}
	files, err := filepath.Glob(filepath.Join(vendor.dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	out := r.putFiles(t, files)
	if !strings.Contains(out, ".targets.json: stored\n") || !strings.Contains(out, "timestamp.json: no leaf names it\n") {
		t.Errorf("blob add: %s", out)
	}
	r.logserver(t, 0, "reindex")
	r.logserver(t, 0, "fsck")
	r.must(t, "up")
	size = release("1.2")
	newest = r.newest(t)

	r.stopFronts(t)
	r.back(t, "tuflog")
	r.back(t, "trillian")
	r.reconnect(t)
	if out := r.logserver(t, 1, "status"); !strings.Contains(out, "storage-behind") { // the witnesses know more
		t.Errorf("status of a log that has lost entries: %s", out)
	}
	if out := r.logserver(t, 2, "resume", "--i-know", "ledger-behind", "--checkpoint", newest); !strings.Contains(out, "bring back the newest storage first") {
		t.Errorf("resume of a log that has lost entries, size %d: %s", size, out)
	}
}
