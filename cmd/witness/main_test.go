package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

func TestMain(m *testing.M) { runtest.Main(m) }

// result of a run of the program to its end.
type result struct {
	code           int
	stdout, stderr string
}

func runProgram(t testing.TB, args ...string) result {
	t.Helper()
	stdout, stderr, code := runtest.Run(t, "witness", args...)
	return result{code, stdout, stderr}
}

func mustRun(t testing.TB, args ...string) string {
	t.Helper()
	r := runProgram(t, args...)
	if r.code != cli.ExitOK {
		t.Fatalf("witness %s: exit %d, %s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

func mustRefuse(t *testing.T, want string, args ...string) {
	t.Helper()
	r := runProgram(t, args...)
	if r.code != cli.ExitUsage || !strings.Contains(r.stderr, want) || r.stdout != "" {
		t.Fatalf("witness %s: exit %d, stdout %q, stderr %q; want 2 and %q", strings.Join(args, " "), r.code, r.stdout, r.stderr, want)
	}
}

// eventually waits until f has nothing to complain of.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	var err error
	if late := process.Eventually(t.Context(), "all is well", process.Patience, func() bool { err = f(); return err == nil }); late != nil {
		t.Fatalf("%v: %v", late, err)
	}
}

// newWitness initializes a witness and returns its directory and its Ed25519 key.
func newWitness(t testing.TB) (dir string, key proofs.Key) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "w")
	return dir, initWitness(t, dir)
}

func initWitness(t testing.TB, dir string) proofs.Key {
	t.Helper()
	vkey, _, _ := strings.Cut(mustRun(t, "init", "--dir", dir, "--name", "witness.example/w1"), "\n")
	key, err := proofs.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// serving is a witness that serves.
type serving struct {
	*runtest.Service
	t testing.TB
}

func serveProgram(t testing.TB, dir string, flags ...string) *serving {
	t.Helper()
	return &serving{runtest.Serve(t, "witness", append([]string{"serve", "--dir", dir}, flags...)...), t}
}

// kill ends the process at once; it may have ended before.
func (p *serving) kill() { p.End(p.t, os.Kill) }

// stop ends the process as an operator does.
func (p *serving) stop() {
	p.t.Helper()
	p.Stop(p.t)
}

func (p *serving) client(key proofs.Key) *client.Client {
	return &client.Client{URL: p.URL, Key: key}
}

// latest returns the tree at the monitoring prefix; size -1 if there is none.
func (p *serving) latest(log, key proofs.Key) proofs.Tree {
	p.t.Helper()
	resp, err := http.Get(fmt.Sprintf("%s/%v/checkpoint", p.URL, witness.HashOrigin(log.Name())))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if resp.StatusCode == http.StatusNotFound {
		return proofs.Tree{N: -1}
	}
	cp, note, err := proofs.OpenCheckpoint(b, log)
	if err != nil {
		p.t.Fatalf("%v: %q", err, b)
	}
	if _, err := note.VerifiedBy(key); err != nil {
		p.t.Fatal(err)
	}
	return cp.Tree
}

// splitArgs splits a command line at spaces that are not between quotes.
func splitArgs(line string) []string {
	var args []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			args = append(args, part)
		} else {
			args = append(args, strings.Fields(part)...)
		}
	}
	return args
}

func TestHelpExamplesWork(t *testing.T) {
	t.Chdir(t.TempDir())
	// The root's examples build on each other; serve has its own test.
	for _, line := range strings.Split(newRoot().Example, "\n") {
		args := splitArgs(line)
		if args[0] != "witness" {
			t.Fatalf("example %q", line)
		}
		if args[1] != "serve" {
			mustRun(t, args[1:]...)
		}
	}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Name() == "help" {
			return
		}
		args := strings.Fields(c.CommandPath())[1:]
		out := mustRun(t, append(args, "--help")...)
		if !strings.Contains(out, "Examples:\n  witness ") || !strings.Contains(out, "Usage:") {
			t.Errorf("%s --help prints %q", c.CommandPath(), out)
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRoot())
	// The example of log list, on the witness that the root's examples made.
	var logs []listedLog
	if err := json.Unmarshal([]byte(mustRun(t, "log", "list", "--dir", "./w1", "--json")), &logs); err != nil || len(logs) != 1 || logs[0].Origin != "go.sum database tree" {
		t.Fatalf("logs are %+v, %v", logs, err)
	}
}

func TestInit(t *testing.T) {
	dir, key := newWitness(t)
	if key.Name() != "witness.example/w1" || key.Algorithm() != proofs.CosignatureV1 {
		t.Fatalf("key is %v", key)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "witness.vkey")); err != nil || !strings.HasPrefix(string(b), key.String()+"\nwitness.example/w1+") || strings.Count(string(b), "\n") != 2 {
		t.Fatalf("witness.vkey has %q, %v", b, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "witness.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("witness.key: %v, %v", info.Mode(), err)
	}
	mustRefuse(t, "not overwritten", "init", "--dir", dir, "--name", "witness.example/w1")
	if err := os.Remove(filepath.Join(dir, "witness.key")); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, "not overwritten", "init", "--dir", dir, "--name", "witness.example/w1")
	mustRefuse(t, "name", "init", "--dir", filepath.Join(t.TempDir(), "w"), "--name", "a b")
	mustRefuse(t, "leave out the scheme: w.example", "init", "--dir", filepath.Join(t.TempDir(), "w"), "--name", "https://w.example")
	mustRefuse(t, "want ed25519 or ml-dsa-44", "init", "--dir", filepath.Join(t.TempDir(), "w"), "--name", "w.example", "--only", "rsa")
	for only, algorithm := range map[string]proofs.Algorithm{"ed25519": proofs.CosignatureV1, "ml-dsa-44": proofs.MLDSA44} {
		one := filepath.Join(t.TempDir(), "w")
		key, err := proofs.ParseKey(strings.TrimSuffix(mustRun(t, "init", "--dir", one, "--name", "w.example", "--only", only), "\n"))
		if err != nil || key.Algorithm() != algorithm {
			t.Errorf("--only %s makes %v, %v", only, key, err)
		}
		if got := mustRun(t, "key", "--dir", one); strings.Count(got, "\n") != 1 || !strings.Contains(got, "  ok\n") {
			t.Errorf("--only %s: key prints %q", only, got)
		}
	}
	made := filepath.Join(t.TempDir(), "w")
	if r := runProgram(t, "init", "--dir", made, "--name", "w.example", "--ledger", made+"2"); !strings.Contains(r.stderr, "witness serve --dir "+made+" --ledger "+made+"2\n") {
		t.Errorf("init says %q", r.stderr)
	} else {
		// Its lines make a policy, with either key.
		_, lines, _ := strings.Cut(r.stderr, "In a policy:\n")
		log := witnesstest.NewLog(t, "log.example")
		if p, err := proofs.ParsePolicy([]byte("log " + log.Key().String() + "\n" + lines + "quorum w\n")); err != nil || len(p.Witnesses) != 2 {
			t.Errorf("init says %q, which makes the policy %v, %v", r.stderr, p, err)
		}
	}
	mustRefuse(t, `required flag(s) "name"`, "init", "--dir", t.TempDir())
	// ML-DSA-44 cosignatures cannot have a name that Ed25519 ones can: nothing is
	// left behind, so a shorter one can be given.
	long := filepath.Join(t.TempDir(), "w")
	mustRefuse(t, "name of 260 bytes", "init", "--dir", long, "--name", "w.example/"+strings.Repeat("x", 250))
	if _, err := os.Lstat(long); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("init that refuses leaves %s: %v", long, err)
	}
	mustRun(t, "init", "--dir", long, "--name", "w.example")
	if err := os.Remove(filepath.Join(long, "witness.key")); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, "witness-mldsa.key exists already and is not overwritten", "init", "--dir", long, "--name", "w.example")
	if _, err := os.Lstat(filepath.Join(long, "witness.key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("init that refuses leaves a key: %v", err)
	}
	mustRefuse(t, `required flag(s) "dir"`, "init", "--name", "w")
}

func TestLogAddAndList(t *testing.T) {
	dir, key := newWitness(t)
	if out := mustRun(t, "log", "list", "--dir", dir, "--json"); out != "[]\n" {
		t.Fatalf("list of nothing is %q", out)
	}
	log, second := witnesstest.NewLog(t, "log.example"), witnesstest.NewLog(t, "log.example")
	other := witnesstest.NewLog(t, "a.example")
	mustRefuse(t, "no witness in", "log", "add", "--dir", t.TempDir(), log.Key().String())
	mustRefuse(t, "verifier key", "log", "add", "--dir", dir, "rubbish")
	mustRefuse(t, "cosignature/v1", "log", "add", "--dir", dir, key.String())
	mustRefuse(t, "unknown log", "log", "add", "--dir", dir, "--another-key", log.Key().String())
	mustRun(t, "log", "add", "--dir", dir, log.Key().String())
	mustRefuse(t, "known already", "log", "add", "--dir", dir, log.Key().String())
	mustRefuse(t, "known already, by another key: --another-key", "log", "add", "--dir", dir, second.Key().String())
	mustRefuse(t, "known already", "log", "add", "--dir", dir, "--another-key", log.Key().String())
	mustRun(t, "log", "add", "--dir", dir, "--another-key", second.Key().String())
	mustRun(t, "log", "add", "--dir", dir, other.Key().String())

	lines := strings.Split(strings.TrimSuffix(mustRun(t, "log", "list", "--dir", dir), "\n"), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[1], "a.example ") || !strings.HasPrefix(lines[2], "log.example ") || !strings.HasPrefix(lines[3], "     ") {
		t.Fatalf("list is %q", lines)
	}
	for i, k := range []proofs.Key{other.Key(), log.Key(), second.Key()} {
		if !strings.HasSuffix(lines[i+1], " "+k.String()) {
			t.Errorf("line %q does not end with %v", lines[i+1], k)
		}
	}
}

func TestServe(t *testing.T) {
	dir, key := newWitness(t)
	p := serveProgram(t, dir)
	if r := runProgram(t, "serve", "--dir", dir, "--listen", "127.0.0.1:0"); r.code != cli.ExitFailed || !strings.Contains(r.stderr, "in use by witness serve (process ") {
		t.Errorf("a second one: exit %d, %s", r.code, r.stderr)
	}

	// A log added while it serves is known at once.
	log := witnesstest.NewLog(t, "log.example")
	log.Grow(3, "")
	var status *client.StatusError
	if _, err := p.client(key).AddCheckpoint(t.Context(), log.Request(0)); !errors.As(err, &status) || status.Code != http.StatusNotFound {
		t.Fatalf("checkpoint of an unknown log: %v", err)
	}
	mustRun(t, "log", "add", "--dir", dir, log.Key().String())
	if _, err := p.client(key).AddCheckpoint(t.Context(), log.Request(0)); err != nil {
		t.Fatal(err)
	}
	want := log.Checkpoint().Tree
	if got := p.latest(log.Key(), key); got != want {
		t.Fatalf("latest has size %d", got.N)
	}
	var logs []listedLog
	if err := json.Unmarshal([]byte(mustRun(t, "log", "list", "--dir", dir, "--json")), &logs); err != nil {
		t.Fatal(err)
	}
	if len(logs) != 1 || logs[0].Size != 3 || logs[0].Root != want.Hash.String() || logs[0].Time == "" {
		t.Fatalf("list is %+v", logs)
	}

	// It stops when told to, and remembers.
	p.stop()
	p = serveProgram(t, dir)
	if got := p.latest(log.Key(), key); got != want {
		t.Fatalf("after a restart, latest has size %d", got.N)
	}
	var conflict *client.ConflictError
	if _, err := p.client(key).AddCheckpoint(t.Context(), log.Request(0)); !errors.As(err, &conflict) || conflict.Size != 3 {
		t.Fatalf("after a restart: %v", err)
	}
}

func TestServeRefuses(t *testing.T) {
	serve := func(dir string) []string { return []string{"serve", "--dir", dir, "--listen", "127.0.0.1:0"} }
	mustRefuse(t, "no witness in", serve(t.TempDir())...)

	dir, _ := newWitness(t)
	keyFile := filepath.Join(dir, "witness.key")
	if err := os.Chmod(keyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, "chmod 600", serve(dir)...)

	// Another witness's key, whose past this state does not know.
	stranger := witnesstest.NewSigner(t, "witness.example/w1", proofs.CosignatureV1)
	if err := os.WriteFile(keyFile, []byte(stranger.PrivateKey()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(keyFile, 0o600); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, "belongs to another key", serve(dir)...)
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, "witness.key", serve(dir)...)
}
