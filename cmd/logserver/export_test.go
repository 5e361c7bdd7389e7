package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/api"
)

// A static copy of a log is enough for an auditor, and is brought up to date.
func TestExport(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a log and three witnesses, again and again")
	}
	w := newWorld(t, "--open-registration")
	site := filepath.Join(t.TempDir(), "site")
	export := func(code int, want string) {
		t.Helper()
		stdout, stderr, got := runtest.Run(t, "logserver", "export", "--dir", w.Path("log"), "--to", site)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("export: exit %d, want %d and %q\n%s%s", got, code, want, stdout, stderr)
		}
	}
	export(2, "in use by logserver serve (process ")
	w.Log.Stop(t)
	export(2, "nothing has been published yet")
	w.Log.Start(t)
	v := newVendor(t)
	id := w.register(t, v)
	var files []api.File
	for _, content := range []string{"one", "two"} {
		files = release(t, v, content)
		if _, err := w.client.Submit(t.Context(), id, files); err != nil {
			t.Fatal(err)
		}
		w.Log.Stop(t)
		export(0, " entries and ")
		w.Log.Start(t)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(site)))
	defer server.Close()
	audit := func() (string, int) {
		stdout, stderr, code := runtest.Run(t, "auditor", "replay", "--policy", w.Path("policy"), "--log", server.URL)
		return stdout + stderr, code
	}
	if said, code := audit(); code != 0 || !strings.Contains(said, "3 leaves: 3 right") {
		t.Errorf("auditor replay of the copy: exit %d\n%s", code, said)
	}
	// Its files are at the paths at which the log has them. (Of the checkpoint the
	// cosignatures are newer there.)
	same := func() { exportedIs(t, w, site) }
	same()
	// Files that were spoilt, or cut short, are mended.
	w.Log.Stop(t)
	for path, spoil := range map[string]func([]byte) []byte{
		"tile/0/000.p/3":       func(b []byte) []byte { b[0]++; return b },
		"tile/entries/000.p/3": func(b []byte) []byte { return b[:len(b)/2] },
	} {
		path = filepath.Join(site, filepath.FromSlash(path))
		b, err := os.ReadFile(path)
		if err := errors.Join(err, os.WriteFile(path, spoil(b), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	export(0, "3 entries and ")
	// A folder that is not an older copy of this log is left alone.
	copied, err := os.ReadFile(filepath.Join(site, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	for want, checkpoint := range map[string]string{
		"is not a checkpoint that this log's keys have signed": strings.ReplaceAll(string(copied), "test.example/log", "another.example/log"),
		"is not a checkpoint": "",
	} {
		if err := os.WriteFile(filepath.Join(site, "checkpoint"), []byte(checkpoint), 0o644); err != nil {
			t.Fatal(err)
		}
		export(2, want)
		if now, err := os.ReadFile(filepath.Join(site, "checkpoint")); err != nil || string(now) != checkpoint {
			t.Errorf("a checkpoint that was refused has changed: %v", err)
		}
	}
	own := site
	site = w.Path("log/tree")
	export(2, "is not a checkpoint that this log's keys have signed")
	site = own
	if err := os.WriteFile(filepath.Join(site, "checkpoint"), copied, 0o644); err != nil {
		t.Fatal(err)
	}
	w.Log.Start(t)
	same()
}

// exportedIs compares a copy with what the log serves.
func exportedIs(t *testing.T, w *world, site string) {
	t.Helper()
	err := filepath.WalkDir(site, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(site, path)
		want, readErr := os.ReadFile(path)
		if err := errors.Join(err, readErr); err != nil {
			return err
		}
		if status, body := w.get(t, "/"+filepath.ToSlash(name)); status != http.StatusOK || body != string(want) && name != "checkpoint" {
			t.Errorf("GET /%s: %d, and the copy has other bytes", name, status)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
