package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	stdout, stderr, code := runtest.Run(t, "logserver", "init", "--dir", dir, "--origin", "test.example/log")
	own, mldsa, _ := strings.Cut(strings.TrimSpace(stdout), "\n")
	key, err := proofs.ParseKey(own)
	if code != 0 || err != nil || key.Name() != "test.example/log" || !strings.Contains(stderr, "witness log add --dir WITNESS --url https://... "+key.String()) {
		t.Fatalf("init: exit %d, %v\n%s%s", code, err, stdout, stderr)
	}
	if second, err := proofs.ParseKey(mldsa); err != nil || key.Algorithm() != proofs.Ed25519 || second.Algorithm() != proofs.MLDSA44 || second.Name() != key.Name() {
		t.Errorf("init printed %s, %v", stdout, err)
	}
	if list := runtest.Must(t, "logserver", "key", "list", "--dir", dir) + "\n"; list != stdout {
		t.Errorf("key list prints %s, init printed %s", list, stdout)
	}
	if vkey, err := os.ReadFile(filepath.Join(dir, "log.vkey")); string(vkey) != own+"\n" {
		t.Errorf("log.vkey has %s, %v", vkey, err)
	}
	// The lines for policies are good as they are, one by one and together.
	var lines []string
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "log ") {
			lines = append(lines, line+"\n")
		}
	}
	for _, text := range append(lines, strings.Join(lines, "")) {
		if _, err := proofs.ParsePolicy([]byte(text + "quorum none\n")); err != nil || len(lines) != 2 {
			t.Errorf("%q is no policy: %v\n%s", text, err, stderr)
		}
	}
	one := runtest.Must(t, "logserver", "init", "--dir", filepath.Join(t.TempDir(), "log"), "--origin", "test.example/"+strings.Repeat("x", 250), "--only", "ed25519")
	if key, err := proofs.ParseKey(one); err != nil || key.Algorithm() != proofs.Ed25519 {
		t.Errorf("--only ed25519 makes %s, %v", one, err)
	}
	for _, tt := range []struct {
		what string
		args []string
		want string
	}{
		{"a second time", []string{"--dir", dir, "--origin", "x.example"}, "there is a log in " + dir + " already"},
		{"over a ledger", []string{"--dir", dir + "2", "--ledger", dir + ".ledger", "--origin", "x.example"}, "not empty"},
		{"with the ledger inside", []string{"--dir", dir + "2", "--ledger", dir + "2/ledger", "--origin", "x.example"}, "inside the log's directory"},
		{"with a name that is too long for one of the keys", []string{"--dir", dir + "2", "--origin", "test.example/" + strings.Repeat("x", 250)}, "--only ed25519 makes no such key"},
		{"without an Ed25519 key", []string{"--dir", dir + "2", "--origin", "x.example", "--only", "ml-dsa-44"}, "a log's own key is of type Ed25519"},
		{"with another type of key", []string{"--dir", dir + "2", "--origin", "x.example", "--only", "rsa"}, "want ed25519"},
		{"without an origin", []string{"--dir", dir + "2"}, "origin"},
		{"with a name that is no key name", []string{"--dir", dir + "2", "--origin", "a b"}, "a b"},
	} {
		if stdout, stderr, code := runtest.Run(t, "logserver", append([]string{"init"}, tt.args...)...); code != 2 || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("init %s: exit %d, %s%s", tt.what, code, stdout, stderr)
		}
	}
	for file, mode := range map[string]os.FileMode{"log.key": 0o600, "registration.token": 0o600, "keys/ml-dsa-44.key": 0o600, "log.vkey": 0o644, "keys/ml-dsa-44.vkey": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	if _, err := os.Stat(dir + "2"); err == nil {
		t.Error("a refused init has left something")
	}
}

// Every command explains itself, with an example that names only flags it has.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"init"}, {"serve"}, {"reindex"}} {
		stdout, _, code := runtest.Run(t, "logserver", append(args, "--help")...)
		if code != 0 || !strings.Contains(stdout, "Examples:\n  logserver ") {
			t.Errorf("%v --help: exit %d\n%s", args, code, stdout)
		}
	}
	for _, args := range [][]string{{"serve"}, {"reindex"}, {"init", "x"}, {"dance"}} {
		if _, stderr, code := runtest.Run(t, "logserver", args...); code != 2 || stderr == "" {
			t.Errorf("%v: exit %d, %s", args, code, stderr)
		}
	}
}

// get returns the status and body of a path of the log.
func (w *world) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get(w.Log.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// size is that of the published checkpoint, which must satisfy the policy.
func (w *world) size(t *testing.T) int64 {
	t.Helper()
	status, body := w.get(t, "/checkpoint")
	if status == http.StatusNotFound {
		return 0
	}
	cp, err := w.Policy.OpenCheckpoint([]byte(body))
	if err != nil {
		t.Fatalf("GET /checkpoint: %d %q: %v", status, body, err)
	}
	return cp.Tree.N
}

// leaves reads the whole published log over HTTP, re-hashes it, and counts each
// leaf.
func (w *world) leaves(t *testing.T) map[string]int {
	t.Helper()
	_, body := w.get(t, "/checkpoint")
	cp, err := w.Policy.OpenCheckpoint([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	var edge proofs.Edge
	count := map[string]int{}
	for index := int64(0); index*256 < cp.Tree.N; index++ {
		width := int(min(256, cp.Tree.N-index*256))
		status, bundle := w.get(t, "/"+proofs.EntriesPath(index, width))
		entries, err := proofs.ParseEntries([]byte(bundle))
		if err != nil || status != http.StatusOK || len(entries) != width {
			t.Fatalf("bundle %d: %d, %d entries, %v", index, status, len(entries), err)
		}
		for _, e := range entries {
			leaf, err := leaf.Parse(e)
			if err != nil {
				t.Fatal(err)
			}
			if status, blob := w.get(t, "/blob/sha256/"+leaf.Metadata.String()); status != http.StatusOK || tuf.Sum([]byte(blob)) != leaf.Metadata {
				t.Fatalf("metadata of leaf %d: %d", edge.Tree().N, status)
			}
			if err := edge.Append(proofs.LeafHash(e)); err != nil {
				t.Fatal(err)
			}
			count[fmt.Sprintf("%v %s %d", leaf.Repository, leaf.Role, leaf.Version)]++
		}
	}
	if edge.Tree() != cp.Tree {
		t.Fatalf("the entries lead to %v, the checkpoint says %v", edge.Tree(), cp.Tree)
	}
	return count
}

func TestServe(t *testing.T) {
	w := newWorld(t)
	v := newVendor(t)
	if status, _ := w.get(t, "/readyz"); status != http.StatusOK {
		t.Errorf("GET /readyz: %d", status)
	}
	_, root := v.File("root")
	if _, err := w.client.Register(t.Context(), root); err == nil || !strings.Contains(err.Error(), "token") {
		t.Fatalf("registered without the token: %v", err)
	}
	token, err := os.ReadFile(w.Path("log/registration.token"))
	if err != nil {
		t.Fatal(err)
	}
	w.client.Token = strings.TrimSpace(string(token))
	id := w.register(t, v)
	sent := release(t, v, "one")
	res, err := w.client.Submit(t.Context(), id, sent)
	if err != nil || len(res.Results) != 1 {
		t.Fatalf("submit: %+v, %v", res, err)
	}
	w.check(t, id, sent, res.Results[0])

	// A second process must not touch the log.
	_, stderr, code := runtest.Run(t, "logserver", append(w.Log.Args, "--listen", "127.0.0.1:0")...)
	if code != 1 || !strings.Contains(stderr, "in use by logserver serve (process ") {
		t.Errorf("a second server: exit %d, %s", code, stderr)
	}
	_, stderr, code = runtest.Run(t, "logserver", "reindex", "--dir", w.Path("log"))
	if code != 2 || !strings.Contains(stderr, "in use by logserver serve (process ") {
		t.Errorf("reindex beside the server: exit %d, %s", code, stderr)
	}

	w.Log.Stop(t)
	if out := runtest.Must(t, "logserver", "reindex", "--dir", w.Path("log")); !strings.HasPrefix(out, "2 entries indexed in ") {
		t.Errorf("reindex: %q", out)
	}
	if err := os.WriteFile(w.Path("log/labels"), []byte("# names\n"+id+" Test vendor\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Log.Start(t)
	repo, err := w.client.Repository(t.Context(), id)
	if err != nil || len(repo.Leaves) != 2 || repo.Label != "Test vendor" || len(repo.Roles) != 2 {
		t.Fatalf("after reindex: %+v, %v", repo, err)
	}
	found, err := w.client.Lookup(t.Context(), tuf.Sum([]byte("one")).String())
	if err != nil || len(found.Targets) != 1 || found.Targets[0].Path != "app.bin" {
		t.Fatalf("lookup: %+v, %v", found, err)
	}
}

// TestKill kills the log again and again while clients submit. What was
// acknowledged must be there, and nothing twice.
func TestKill(t *testing.T) {
	w := newWorld(t, "--open-registration")
	const clients, kills = 4, 5
	type acknowledged struct {
		mu    sync.Mutex
		index map[string]int64
	}
	acks := acknowledged{index: map[string]int64{}}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range clients {
		v := newVendor(t)
		id := w.register(t, v)
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				sent := release(t, v, fmt.Sprint(n))
				// The log may be down: a vendor sends the release again until
				// it has the proof.
				for ctx.Err() == nil {
					res, err := w.client.Submit(ctx, id, sent)
					if err != nil || !res.Done || len(res.Results) != 1 || res.Results[0].Index < 0 {
						select {
						case <-time.After(10 * time.Millisecond):
						case <-ctx.Done():
						}
						continue
					}
					r := res.Results[0]
					w.check(t, id, sent, r)
					acks.mu.Lock()
					acks.index[fmt.Sprintf("%s %s %d", id, r.Role, r.Version)] = r.Index
					acks.mu.Unlock()
					break
				}
			}
		})
	}
	count := func() int {
		acks.mu.Lock()
		defer acks.mu.Unlock()
		return len(acks.index)
	}
	for n := range kills {
		before := count()
		runtest.Eventually(t, "submissions go through", func() bool { return count() >= before+10 })
		w.Log.End(t, os.Kill)
		// A witness that dies with it comes back, too.
		witness := w.Witnesses[n%len(w.Witnesses)]
		witness.End(t, os.Kill)
		w.Log.Start(t)
		witness.Start(t)
	}
	before := count()
	runtest.Eventually(t, "submissions go through after the last kill", func() bool { return count() >= before+5 })
	cancel()
	group.Wait()

	// Entries that were not published before the last kill were published since.
	leaves := w.leaves(t)
	for leaf, n := range leaves {
		if n != 1 {
			t.Errorf("%s is in the log %d times", leaf, n)
		}
	}
	for leaf := range maps.Keys(acks.index) {
		if leaves[leaf] == 0 {
			t.Errorf("%s was acknowledged and is not in the log", leaf)
		}
	}
	t.Logf("%d acknowledged, %d leaves", len(acks.index), len(leaves))
}

// TestQuorumLost stops two of three witnesses: nothing is published, reads go
// on, and what waits is published once they are back.
func TestQuorumLost(t *testing.T) {
	w := newWorld(t, "--open-registration")
	v := newVendor(t)
	id := w.register(t, v)
	for _, s := range w.Witnesses[1:] {
		s.End(t, syscall.SIGTERM)
	}
	w.client.Prefer = time.Second
	sent := release(t, v, "waits")
	res, err := w.client.Submit(withTimeout(t, 3*time.Second), id, sent)
	if err == nil || res == nil || res.Done || res.Results[0].Status != api.StatusPending || res.Results[0].Index != -1 {
		t.Fatalf("submit without a quorum: %+v, %v", res, err)
	}
	if n := w.size(t); n != 1 {
		t.Fatalf("published size %d without a quorum, want 1", n)
	}
	if status, body := w.get(t, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "w2") || !strings.Contains(body, "w3") {
		t.Errorf("GET /readyz without a quorum: %d %s", status, body)
	}
	if status, _ := w.get(t, "/v1/entries/0/proof"); status != http.StatusOK {
		t.Errorf("reads do not go on: %d", status)
	}
	if status, _ := w.get(t, "/v1/entries/1/proof"); status != http.StatusNotFound {
		t.Errorf("proof of an entry that is not published: %d", status)
	}
	// A restart in this state keeps the backlog.
	w.Log.End(t, os.Kill)
	w.Log.Start(t)
	if n := w.size(t); n != 1 {
		t.Fatalf("published size %d after a restart, want 1", n)
	}
	w.Witnesses[2].Start(t)
	runtest.Eventually(t, "the backlog is published", func() bool { return w.size(t) == 2 })
	runtest.Eventually(t, "the log is ready", func() bool { status, _ := w.get(t, "/readyz"); return status == http.StatusOK })
	res, err = w.client.Submit(t.Context(), id, sent)
	if err != nil || res.Results[0].Status != api.StatusLogged || res.Results[0].Index != 1 {
		t.Fatalf("submit again: %+v, %v", res, err)
	}
	w.check(t, id, sent, res.Results[0])
}

// TestOldStorage restores the log's directory from a copy while the ledger knows
// better.
func TestOldStorage(t *testing.T) {
	w := newWorld(t, "--open-registration")
	v := newVendor(t)
	id := w.register(t, v)
	w.Log.Stop(t)
	if err := os.CopyFS(w.Path("copy"), os.DirFS(w.Path("log"))); err != nil {
		t.Fatal(err)
	}
	w.Log.Start(t)
	if _, err := w.client.Submit(t.Context(), id, release(t, v, "x")); err != nil {
		t.Fatal(err)
	}
	w.Log.End(t, syscall.SIGTERM)
	if err := os.RemoveAll(w.Path("log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.Path("copy"), w.Path("log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.Path("log/log.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.Path("log/registration.token"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := runtest.Run(t, "logserver", append(w.Log.Args, "--listen", "127.0.0.1:0")...)
	if code != 2 || !strings.Contains(stderr, "size 1 (root") || !strings.Contains(stderr, "size 2 (root") {
		t.Fatalf("old storage: exit %d, %s", code, stderr)
	}
}
