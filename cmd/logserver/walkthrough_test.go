package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// The examples of docs/api.md do what they say, run one after the other by bash
// with nothing but curl and tar against a real log and real witnesses.
func TestWalkThrough(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the examples of docs/api.md need %s: %v", tool, err)
		}
	}
	w := newWorld(t)
	v := newVendor(t)
	dir := w.Path("vendor")
	_, root := v.File("root")
	sent := release(t, v, "one")
	putFile(t, filepath.Join(dir, "metadata/1.root.json"), root)
	putFile(t, filepath.Join(dir, "app.bin"), []byte("one"))
	for _, f := range sent {
		putFile(t, filepath.Join(dir, "metadata", f.Name), f.Data)
	}
	w.runExamples(t, dir)
	repository := w.checkAnswers(t, dir, root, sent)
	w.checkFetched(t, dir, repository, sent[0].Data)
}

func putFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// runExamples runs the examples in the directory of a vendor.
func (w *world) runExamples(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(w.Path("log/registration.token"))
	if err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\n"
	for _, m := range regexp.MustCompile("(?ms)^```bash\n(.*?)^```$").FindAllSubmatch(text, -1) {
		script += string(m[1])
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-x", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LOG="+w.Log.URL, "TOKEN="+strings.TrimSpace(string(token)))
	r, err := process.Run(cmd)
	if err != nil || r.Code != 0 {
		t.Fatalf("exit %d, %v\n%s%s", r.Code, err, r.Stdout, r.Stderr)
	}
	if r.Stdout != "304\nok\nready\n" {
		t.Errorf("stdout: %q", r.Stdout)
	}
}

// checkAnswers checks what the log answered, which the examples keep in files, and
// returns the repository.
func (w *world) checkAnswers(t *testing.T, dir string, root []byte, sent []api.File) string {
	t.Helper()
	read := func(name string, v any) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, b)
		}
	}
	var registered, submitted api.Result
	read("registered.json", &registered)
	read("submitted.json", &submitted)
	w.check(t, registered.Repository, []api.File{{Name: "root.json", Data: root}}, registered.Results[0])
	w.check(t, registered.Repository, sent, submitted.Results[0])

	var repositories api.RepositoryList
	var repository api.Repository
	var found api.Lookup
	read("repositories.json", &repositories)
	read("repository.json", &repository)
	read("lookup.json", &found)
	if len(repositories.Repositories) != 1 || repositories.Repositories[0].ID != registered.Repository || len(repository.Leaves) != 2 || len(found.Targets) != 1 || found.Targets[0].Path != "app.bin" {
		t.Fatalf("repositories %+v, repository %+v, lookup %+v", repositories, repository, found)
	}
	for _, name := range []string{"lookup-512.json", "lookup-path.json", "lookup-length.json"} {
		var listed api.Listings
		if read(name, &listed); len(listed.Targets) != 1 || listed.Targets[0] != found.Targets[0] {
			t.Errorf("%s: %+v, want %+v", name, listed, found.Targets)
		}
	}
	var files api.Files
	if read("files.json", &files); len(files.Files) != 1 || files.Files[0] != found.Targets[0].ListedFile || files.Leaf != repository.Leaves[1] {
		t.Errorf("files: %+v", files)
	}
	var role api.Role
	if read("role.json", &role); len(role.Versions) != 1 || !role.Versions[0].Current || role.Versions[0].Index != 1 {
		t.Errorf("role: %+v", role)
	}
	return registered.Repository
}

// checkFetched checks that what the examples fetched is what a device accepts, and
// that all there is is proved.
func (w *world) checkFetched(t *testing.T, dir, repository string, targets []byte) {
	t.Helper()
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	w.checkSidecar(t, repository, targets, filepath.Join(dir, "metadata/2.targets.json.tlog-proof"))
	if cp, err := w.Policy.OpenCheckpoint(read("checkpoint")); err != nil || cp.Tree.N != 2 {
		t.Errorf("checkpoint: %v, %v", cp, err)
	}
	entries, err := proofs.ParseEntries(read("bundle"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	if tile, hash := read("tile"), proofs.LeafHash(entries[0]); !bytes.Equal(tile, hash[:]) {
		t.Errorf("tile %x, want %v", tile, hash)
	}
}

func (w *world) checkSidecar(t *testing.T, repository string, file []byte, path string) {
	t.Helper()
	sidecar, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := tuf.ParseJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	id, err := tuf.ParseDigest(repository)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify.CheckSidecar(sidecar, verify.ClaimFor(id, "targets", m), w.Policy); err != nil {
		t.Errorf("%s: %v", path, err)
	}
}
