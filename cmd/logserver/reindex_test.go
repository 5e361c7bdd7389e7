package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/internal/runtest"
)

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
