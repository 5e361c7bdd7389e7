package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/internal/runtest"
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
