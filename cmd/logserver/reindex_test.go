package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/tesseralog"
	"github.com/tuflog/tuflog/tuf"
)

// invent appends a release that nobody has made to a tree.
func invent(t *testing.T, tree, repository string) {
	t.Helper()
	id, err := tuf.ParseDigest(repository)
	if err != nil {
		t.Fatal(err)
	}
	leaf := leaf.Leaf{
		Kind: leaf.Release, Repository: id, Role: "targets", Version: 1000, Payload: tuf.Sum([]byte("a")),
		Metadata: tuf.Sum([]byte("b")), Size: 1000, Snapshot: tuf.Sum([]byte("c")), Listed: leaf.ByHash, Encoding: tuf.JSON,
	}
	s, err := tesseralog.Open(t.Context(), tesseralog.Config{Dir: tree})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), [][]byte{leaf.Marshal()}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Reindex does not make entries count that the log has refused.
func TestReindexJudgesNothing(t *testing.T) {
	w := newWorld(t, "--open-registration")
	v := newVendor(t)
	id := w.register(t, v)
	if _, err := w.client.Submit(t.Context(), id, release(t, v, "a")); err != nil {
		t.Fatal(err)
	}
	_, before := get(t, w.Log.URL+"/checkpoint")
	size := strings.Split(string(before), "\n")[1]
	w.Log.Stop(t)
	invent(t, w.Path("log/tree"), id)
	for range 2 {
		_, stderr, code := runtest.Run(t, "logserver", "serve", "--dir", w.Path("log"), "--policy", w.Path("policy"), "--listen", "127.0.0.1:0")
		if code != 2 || !strings.Contains(stderr, "is not there: it cannot be judged") || !strings.Contains(stderr, "logserver blob add") {
			t.Errorf("serve with an invented entry: exit %d, %s", code, stderr)
		}
		if out := runtest.Must(t, "logserver", "reindex", "--dir", w.Path("log")); !strings.HasPrefix(out, size+" entries indexed") {
			t.Errorf("reindex: %s", out)
		}
	}
	after, err := os.ReadFile(w.Path("log/checkpoint"))
	if err != nil || strings.Split(string(after), "\n")[1] != size {
		t.Errorf("the checkpoint is now\n%s%v", after, err)
	}
}

// Where reindex cannot end, the state is what it was, and what it has left behind is
// in nobody's way.
func TestReindexBrokenOff(t *testing.T) {
	w := newWorld(t, "--open-registration")
	v := newVendor(t)
	id := w.register(t, v)
	for _, content := range []string{"a", "b"} {
		if _, err := w.client.Submit(t.Context(), id, release(t, v, content)); err != nil {
			t.Fatal(err)
		}
	}
	w.Log.Stop(t)
	state, err := os.ReadFile(w.Path("log/state.db"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := os.ReadFile(w.Path("log/blobs.db"))
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.ReplaceAll(blobs, []byte(`"version":3`), []byte(`"version":4`))
	if bytes.Equal(damaged, blobs) {
		t.Fatal("nothing to damage")
	}
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(w.Path(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("log/blobs.db", damaged)
	// One that was killed leaves a part of a state.
	write("log/state.db.new", state[:4096])
	_, stderr, code := runtest.Run(t, "logserver", "reindex", "--dir", w.Path("log"))
	if code != 2 || !strings.Contains(stderr, "is damaged") {
		t.Errorf("reindex of damaged files: exit %d, %s", code, stderr)
	}
	if after, err := os.ReadFile(w.Path("log/state.db")); err != nil || !bytes.Equal(after, state) {
		t.Errorf("the state has changed: %v", err)
	}
	if _, err := os.Stat(w.Path("log/state.db.new")); err == nil {
		t.Error("a part of a state was left behind")
	}
	write("log/blobs.db", blobs)
	write("log/state.db.new", state[:4096])
	out := runtest.Must(t, "logserver", "reindex", "--dir", w.Path("log"))
	if !regexp.MustCompile(`^3 entries indexed in \d+\.\d s, \d+ a second$`).MatchString(out) {
		t.Errorf("reindex: %s", out)
	}
	out = runtest.Must(t, "logserver", "fsck", "--dir", w.Path("log"))
	if !regexp.MustCompile(`^3 entries, their tiles and their files .* \(\d files, \d+\.\d s\)$`).MatchString(out) {
		t.Errorf("fsck: %s", out)
	}
	w.Log.Start(t)
	if repo, err := w.client.Repository(t.Context(), id); err != nil || len(repo.Leaves) != 3 {
		t.Errorf("after reindex: %+v, %v", repo, err)
	}
}
