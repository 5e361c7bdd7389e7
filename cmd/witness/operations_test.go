package main

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh/agent"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// mustFind expects exit code 1 and returns stdout.
func mustFind(t *testing.T, args ...string) string {
	t.Helper()
	r := runProgram(t, args...)
	if r.code != cli.ExitFailed {
		t.Fatalf("witness %s: exit %d, %s%s; want 1", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestTwoKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "w")
	lines := strings.Split(mustRun(t, "init", "--dir", dir, "--name", "witness.example/w1"), "\n")
	if len(lines) != 3 {
		t.Fatalf("init printed %q", lines)
	}
	var keys []proofs.Key
	for _, line := range lines[:2] {
		k, err := proofs.ParseKey(line)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	// The short key is not padded to the length of the other.
	if got := mustRun(t, "key", "--dir", dir); strings.Count(got, "  ok\n") != 2 || strings.Contains(got, "   ") {
		t.Errorf("key prints %q", got)
	}
	log := witnesstest.NewLog(t, "log.example")
	mustRun(t, "log", "add", "--dir", dir, log.Key().String())
	p := serveProgram(t, dir)
	for _, k := range keys {
		old := log.Size()
		log.Grow(1, "")
		if _, err := p.client(k).AddCheckpoint(t.Context(), log.Request(old)); err != nil {
			t.Fatal(err)
		}
		if got := p.latest(log.Key(), k); got != log.Checkpoint().Tree {
			t.Errorf("latest has size %d", got.N)
		}
	}
	p.stop()

	// Keys may be in the environment; that of another stops everything.
	for _, key := range []struct{ file, name string }{{"witness.key", "TUFLOG_WITNESS_KEY"}, {"witness-mldsa.key", "TUFLOG_WITNESS_MLDSA_KEY"}} {
		b, err := os.ReadFile(filepath.Join(dir, key.file))
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(key.name, string(b))
		if err := os.Rename(filepath.Join(dir, key.file), filepath.Join(dir, "away-"+key.file)); err != nil {
			t.Fatal(err)
		}
	}
	if got := mustRun(t, "key", "--dir", dir); strings.Count(got, "  TUFLOG_WITNESS_") != 2 {
		t.Errorf("key prints %q", got)
	}
	serveProgram(t, dir).stop()
	t.Setenv("TUFLOG_WITNESS_KEY", os.Getenv("TUFLOG_WITNESS_MLDSA_KEY"))
	mustRefuse(t, "belongs to another key", "serve", "--dir", dir, "--listen", "127.0.0.1:0")
	for _, key := range []struct{ file, name string }{{"witness.key", "TUFLOG_WITNESS_KEY"}, {"witness-mldsa.key", "TUFLOG_WITNESS_MLDSA_KEY"}} {
		t.Setenv(key.name, "")
		if err := os.Rename(filepath.Join(dir, "away-"+key.file), filepath.Join(dir, key.file)); err != nil {
			t.Fatal(err)
		}
	}

	// A key that is missing, or that others can read, stops everything.
	file := filepath.Join(dir, "witness-mldsa.key")
	if err := os.Chmod(file, 0o604); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, "chmod 600", "serve", "--dir", dir, "--listen", "127.0.0.1:0")
	if got := mustFind(t, "key", "--dir", dir); !strings.Contains(got, "chmod 600") {
		t.Errorf("key prints %q", got)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, "witness-mldsa.key", "serve", "--dir", dir, "--listen", "127.0.0.1:0")
	var listed []listedKey
	if err := json.Unmarshal([]byte(mustFind(t, "key", "--dir", dir, "--json")), &listed); err != nil || len(listed) != 2 || listed[0].Error != "" || listed[1].Error == "" {
		t.Errorf("keys are %+v, %v", listed, err)
	}
}

// testAgent serves an ssh-agent until it is stopped.
type testAgent struct {
	l     net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func startAgent(t *testing.T, socket string, ring agent.Agent) *testAgent {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	a := &testAgent{l: l}
	t.Cleanup(a.stop)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			a.mu.Lock()
			a.conns = append(a.conns, c)
			a.mu.Unlock()
			go func() { _ = agent.ServeAgent(ring, c) }() // ends when the connection does
		}
	}()
	return a
}

func (a *testAgent) stop() {
	_ = a.l.Close() // it may be closed already
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.conns {
		_ = c.Close() // the client may have done so
	}
}

func TestSSHAgent(t *testing.T) {
	ring := agent.NewKeyring()
	for range 2 {
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(t.TempDir(), "agent")
	a := startAgent(t, socket, ring)
	dir := filepath.Join(t.TempDir(), "w")
	init := []string{"init", "--dir", dir, "--name", "witness.example/w1", "--ssh-agent", socket}
	refused := runProgram(t, init...)
	if refused.code != cli.ExitUsage || !strings.Contains(refused.stderr, "--ssh-key") {
		t.Fatalf("init with two keys in the agent: exit %d, %s", refused.code, refused.stderr)
	}
	fingerprint := refused.stderr[strings.LastIndex(refused.stderr, "SHA256:"):]
	fingerprint, _, _ = strings.Cut(fingerprint, " ")
	mustRefuse(t, "--only leaves out", append(init, "--ssh-key", fingerprint, "--only", "ml-dsa-44")...)
	first, second, _ := strings.Cut(mustRun(t, append(init, "--ssh-key", fingerprint)...), "\n")
	if k, err := proofs.ParseKey(strings.TrimSpace(second)); err != nil || k.Algorithm() != proofs.MLDSA44 {
		t.Errorf("the second key is %q, %v", second, err)
	}
	key, err := proofs.ParseKey(first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "witness.key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a key file: %v", err)
	}
	log := witnesstest.NewLog(t, "log.example")
	mustRun(t, "log", "add", "--dir", dir, log.Key().String())
	mustRefuse(t, "--ssh-agent", "serve", "--dir", dir, "--listen", "127.0.0.1:0")
	if got := mustRun(t, "key", "--dir", dir, "--ssh-agent", socket); !strings.Contains(got, key.String()) || !strings.Contains(got, "ok") {
		t.Errorf("key prints %q", got)
	}
	p := serveProgram(t, dir, "--ssh-agent", socket)
	if status, _ := get(t, p.URL+"/readyz"); status != http.StatusOK {
		t.Errorf("not ready: status %d", status)
	}
	grow := func() error {
		old := p.latest(log.Key(), key).N
		if need := old + 1 - log.Size(); need > 0 {
			log.Grow(need, "")
		}
		_, err := p.client(key).AddCheckpoint(t.Context(), log.Request(max(0, old)))
		return err
	}
	if err := grow(); err != nil {
		t.Fatal(err)
	}
	// The agent goes away, and comes back.
	a.stop()
	_, err = p.client(key).AddCheckpoint(t.Context(), log.Request(log.Size()))
	var failed *client.StatusError
	if !errors.As(err, &failed) || failed.Code != http.StatusInternalServerError {
		t.Errorf("without the agent: %v", err)
	}
	if status, _ := get(t, p.URL+"/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("ready without the agent: status %d", status)
	}
	startAgent(t, socket, ring)
	if err := grow(); err != nil {
		t.Errorf("with the agent back: %v", err)
	}
}

func TestLogRemove(t *testing.T) {
	dir, key := newWitness(t)
	log := witnesstest.NewLog(t, "log.example")
	add := []string{"log", "add", "--dir", dir, log.Key().String()}
	mustRun(t, add...)
	p := serveProgram(t, dir)
	log.Grow(3, "")
	if _, err := p.client(key).AddCheckpoint(t.Context(), log.Request(0)); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, `log "other.example": unknown log; see witness log list`, "log", "remove", "--dir", dir, "other.example")
	mustRefuse(t, `log "other.example": unknown log`, "latch", "clear", "--dir", dir, "--reason", "none", "other.example")
	for _, args := range [][]string{{"latch", "list"}, {"latch", "clear", "--all", "--reason", "none"}} {
		if r := runProgram(t, append(args, "--dir", dir)...); r.code != 0 || r.stderr != "cosigning is not stopped for any log\n" {
			t.Errorf("%s: exit %d, %s", args, r.code, r.stderr)
		}
	}
	mustRun(t, "log", "remove", "--dir", dir, "log.example")
	status := func() int {
		_, err := p.client(key).AddCheckpoint(t.Context(), log.Request(log.Size()))
		var s *client.StatusError
		if errors.As(err, &s) {
			return s.Code
		}
		return http.StatusOK
	}
	eventually(t, func() error {
		if got := status(); got != http.StatusNotFound {
			return fmt.Errorf("status %d for a log that was removed", got)
		}
		return nil
	})
	if got := mustRun(t, "log", "list", "--dir", dir, "--json"); got != "[]\n" {
		t.Errorf("listed %s", got)
	}
	if got := mustRun(t, "log", "list", "--dir", dir, "--all"); !strings.Contains(got, "removed") {
		t.Errorf("listed %s", got)
	}
	// Added again, it goes on from there.
	mustRun(t, append(add, "--origin", "log.example")...)
	var conflict *client.ConflictError
	eventually(t, func() error {
		if _, err := p.client(key).AddCheckpoint(t.Context(), log.Request(0)); !errors.As(err, &conflict) || conflict.Size != 3 {
			return fmt.Errorf("added again: %v, want a conflict with size 3", err)
		}
		return nil
	})
	mustRun(t, append(add, "--url", "https://log.example/")...)
	var listed []listedLog
	if err := json.Unmarshal([]byte(mustRun(t, "log", "list", "--dir", dir, "--json")), &listed); err != nil || len(listed) != 1 || listed[0].URL != "https://log.example" {
		t.Errorf("listed %+v, %v", listed, err)
	}
	for _, url := range []string{"log.example", "127.0.0.1:7370"} {
		mustRefuse(t, url+`" is not an http or https URL`, append(add, "--url", url)...)
	}
}

func TestLogImport(t *testing.T) {
	dir, _ := newWitness(t)
	a, b := witnesstest.NewLog(t, "a.example"), witnesstest.NewLog(t, "b.example")
	list := fmt.Sprintf("logs/v0\n\nvkey %v\nqpd 24\ncontact x\n\nvkey %v\norigin another origin\nqpd 24\ncontact x\n", a.Key(), b.Key())
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := mustRun(t, "log", "import", "--dir", dir, file); got != "added 2, known 0, refused 0\n" {
		t.Errorf("import prints %q", got)
	}
	if got := mustRun(t, "log", "import", "--dir", dir, "--json", file); !strings.Contains(got, `"refused": []`) {
		t.Errorf("import prints %q", got)
	}
	impostor := strings.Replace(list, a.Key().String(), witnesstest.NewLog(t, "a.example").Key().String(), 1)
	if err := os.WriteFile(file, []byte(impostor), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := mustFind(t, "log", "import", "--dir", dir, file); !strings.Contains(got, "taken by another key") {
		t.Errorf("import prints %q", got)
	}
	mustRefuse(t, "not at an https URL", "log", "import", "--dir", dir, "http://list.example/list")
	mustRefuse(t, "no such file", "log", "import", "--dir", dir, file+"x")
	var listed []listedLog
	if err := json.Unmarshal([]byte(mustRun(t, "log", "list", "--dir", dir, "--json")), &listed); err != nil || len(listed) != 2 {
		t.Fatalf("listed %+v, %v", listed, err)
	}
	if listed[1].Origin != "another origin" || listed[1].Source != file || listed[1].PerDay != 24 || listed[1].Keys[0] != b.Key().String() {
		t.Errorf("listed %+v", listed[1])
	}
}

// TestServeFollowsLists, tells systemd when it is ready, and serves metrics.
func TestServeOperations(t *testing.T) {
	dir, key := newWitness(t)
	log, late := witnesstest.NewLog(t, "log.example"), witnesstest.NewLog(t, "late.example")
	entry := func(l *witnesstest.Log) string { return fmt.Sprintf("vkey %v\nqpd 86400\ncontact x\n", l.Key()) }
	var mu sync.Mutex
	list := "logs/v0\n" + entry(log)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if _, err := io.WriteString(rw, list); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	socket := filepath.Join(t.TempDir(), "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	told := func() string {
		t.Helper()
		b := make([]byte, 64)
		if err := notify.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := notify.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	p := serveProgram(t, dir, "--log-list", server.URL, "--metrics-listen", "127.0.0.1:0")
	if got := told(); got != "READY=1" {
		t.Errorf("told systemd %q", got)
	}
	known := func(l *witnesstest.Log) {
		t.Helper()
		eventually(t, func() error {
			_, err := p.client(key).AddCheckpoint(t.Context(), l.Request(0))
			return err
		})
	}
	known(log)
	mu.Lock()
	list += entry(late)
	mu.Unlock()
	p.Signal(t, syscall.SIGHUP) // long before the hour is over
	known(late)
	for _, path := range []string{"/", "/healthz", "/readyz"} {
		if status, body := get(t, p.URL+path); status != http.StatusOK || body == "" {
			t.Errorf("%s: status %d, %q", path, status, body)
		}
	}
	if status, _ := get(t, p.URL+"/metrics"); status != http.StatusNotFound {
		t.Errorf("metrics in public: status %d", status)
	}
	p.stop()
	if got := told(); got != "STOPPING=1" {
		t.Errorf("told systemd %q", got)
	}
	if !strings.Contains(p.Said(), "metrics on http://127.0.0.1:") {
		t.Errorf("printed %s", p.Said())
	}
	for flag, value := range map[string]string{"--log-list": "http://list.example", "--peer": "nothing", "--check-every": "0s", "--max-per-log": "-1"} {
		if r := runProgram(t, "serve", "--dir", dir, "--listen", "127.0.0.1:0", flag, value); r.code != cli.ExitUsage {
			t.Errorf("%s %s: exit %d", flag, value, r.code)
		}
	}
}

func TestMetrics(t *testing.T) {
	dir, key := newWitness(t)
	log := witnesstest.NewLog(t, "log.example")
	mustRun(t, "log", "add", "--dir", dir, log.Key().String())
	p := serveProgram(t, dir, "--metrics-listen", "127.0.0.1:0")
	metrics := ""
	runtest.Eventually(t, "it says where its metrics are", func() (said bool) {
		_, metrics, said = strings.Cut(p.Said(), "metrics on ")
		metrics, _, _ = strings.Cut(metrics, "\n")
		return said
	})
	if _, err := p.client(key).AddCheckpoint(t.Context(), log.Request(0)); err != nil {
		t.Fatal(err)
	}
	status, body := get(t, metrics)
	for _, want := range []string{`tuflog_witness_log_answers_total{origin="log.example",outcome="ok"} 1`, "go_goroutines ", "process_resident_memory_bytes "} {
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("status %d, metrics lack %q", status, want)
		}
	}
}

// TestLimits: what the flags say holds, and the client is told when to come
// again.
func TestLimits(t *testing.T) {
	dir, key := newWitness(t)
	log := witnesstest.NewLog(t, "log.example")
	mustRun(t, "log", "add", "--dir", dir, log.Key().String())
	p := serveProgram(t, dir, "--max-per-log", "0.2", "--max-per-address", "0.5")
	c := p.client(key)
	for range 2 {
		old := log.Size()
		log.Grow(1, "")
		if _, err := c.AddCheckpoint(t.Context(), log.Request(old)); err != nil {
			t.Fatal(err)
		}
	}
	log.Grow(1, "")
	_, err := c.AddCheckpoint(t.Context(), log.Request(2))
	var status *client.StatusError
	if !errors.As(err, &status) || status.Code != http.StatusTooManyRequests || !strings.Contains(status.Body, "log.example") {
		t.Errorf("a third checkpoint at once: %v", err)
	}
	for range 2 {
		get(t, p.URL+"/")
	}
	resp, err := http.Get(p.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a sixth request at once: status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}

// TestEvidence: a fork becomes a file that convinces strangers.
func TestEvidence(t *testing.T) {
	r := newRestored(t)
	p := serveProgram(t, r.dir)
	if got := mustRun(t, "evidence", "list", "--dir", r.dir, "--json"); got != "[]\n" {
		t.Errorf("listed %s", got)
	}
	r.grow(p, 5)
	for _, size := range []int64{5, 8} {
		f := r.fork(2, size)
		_, err := p.client(r.key).AddCheckpoint(t.Context(), f.Request(5))
		var status *client.StatusError
		if !errors.As(err, &status) || status.Code != http.StatusUnprocessableEntity {
			t.Fatalf("a fork of size %d: %v", size, err)
		}
	}
	var listed []listedEvidence
	if err := json.Unmarshal([]byte(mustFind(t, "evidence", "list", "--dir", r.dir, "--json")), &listed); err != nil {
		t.Fatal(err)
	}
	if len(listed) != 3 || listed[0].Verdict != "conflict" || listed[0].Older != 5 || listed[0].Newer != 5 || listed[0].Origin != "log.example" || listed[2].Newer != 8 || listed[2].Verdict != "undecided" {
		t.Fatalf("listed %+v", listed)
	}
	if got := mustFind(t, "evidence", "list", "--dir", r.dir); !strings.Contains(got, "5, 5") || !strings.Contains(got, "undecided") {
		t.Errorf("listed %s", got)
	}
	file := filepath.Join(t.TempDir(), "fork.conflict")
	if err := os.WriteFile(file, []byte(mustRun(t, "evidence", "show", "--dir", r.dir, listed[0].ID)), 0o600); err != nil {
		t.Fatal(err)
	}
	suspect := mustRun(t, "evidence", "show", "--dir", r.dir, listed[2].ID)
	if cp, _, err := proofs.OpenCheckpoint([]byte(suspect), r.log.Key()); err != nil || cp.Tree.N != 8 {
		t.Errorf("shown %q, %v", suspect, err)
	}
	mustRefuse(t, "no evidence has", "evidence", "show", "--dir", r.dir, "nothing")

	policy := filepath.Join(t.TempDir(), "policy.txt")
	text := fmt.Sprintf("log %v\nwitness w %v\nquorum w\n", r.log.Key(), r.key)
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]string{{"--key", r.log.Key().String()}, {"--policy", policy}, {"--dir", r.dir}} {
		got := mustRun(t, append([]string{"evidence", "check", file}, keys...)...)
		if !strings.HasPrefix(got, "log.example showed two histories, signed by log.example\n  size 5, root ") {
			t.Errorf("check with %v prints %q", keys, got)
		}
	}
	stranger := witnesstest.NewLog(t, "log.example")
	mustFind(t, "evidence", "check", file, "--key", stranger.Key().String())
	mustRefuse(t, "not evidence", "evidence", "check", policy, "--key", stranger.Key().String())
	mustRefuse(t, "give the keys", "evidence", "check", file)
}

// TestManyLogs: ten thousand logs fit into 100 MiB.
func TestManyLogs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const want = 100 << 20
	cmd := exec.Command("go", "run", "../../bench/witnessload", "--rounds", "0", "--json")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Logs           int
		Resident, Peak int64
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d logs: %d MiB resident, %d MiB at the peak", report.Logs, report.Resident>>20, report.Peak>>20)
	if report.Logs != 10_000 || report.Peak <= 0 || report.Peak > want {
		t.Errorf("%d logs took %d bytes", report.Logs, report.Peak)
	}
}
