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

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
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
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(w.path("log/registration.token"))
	if err != nil {
		t.Fatal(err)
	}
	v := newVendor(t)
	dir := w.path("vendor")
	put := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, root := v.File("root")
	put("metadata/1.root.json", root)
	put("app.bin", []byte("one"))
	sent := release(t, v, "one")
	for _, f := range sent {
		put("metadata/"+f.Name, f.Data)
	}
	script := "set -euo pipefail\n"
	for _, m := range regexp.MustCompile("(?ms)^```bash\n(.*?)^```$").FindAllSubmatch(text, -1) {
		script += string(m[1])
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-x", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LOG="+w.log.url, "TOKEN="+strings.TrimSpace(string(token)))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, stdout.String(), stderr.String())
	}
	if got := stdout.String(); got != "304\nok\nready\n" {
		t.Errorf("stdout: %q", got)
	}

	read := func(name string, v any) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, b)
		}
	}
	var registered, submitted api.Result
	var repositories api.RepositoryList
	var repository api.Repository
	var found api.Lookup
	read("registered.json", &registered)
	read("submitted.json", &submitted)
	read("repositories.json", &repositories)
	read("repository.json", &repository)
	read("lookup.json", &found)
	var listed [3]api.Listings
	var files api.Files
	var role api.Role
	read("lookup-512.json", &listed[0])
	read("lookup-path.json", &listed[1])
	read("lookup-length.json", &listed[2])
	read("files.json", &files)
	read("role.json", &role)
	for i, l := range listed {
		if len(l.Targets) != 1 || l.Targets[0] != found.Targets[0] {
			t.Errorf("lookup %d: %+v, want %+v", i, l, found.Targets)
		}
	}
	if len(files.Files) != 1 || files.Files[0] != found.Targets[0].ListedFile || files.Leaf != repository.Leaves[1] {
		t.Errorf("files: %+v", files)
	}
	if len(role.Versions) != 1 || !role.Versions[0].Current || role.Versions[0].Index != 1 {
		t.Errorf("role: %+v", role)
	}
	w.check(t, registered.Repository, []api.File{{Name: "root.json", Data: root}}, registered.Results[0])
	w.check(t, registered.Repository, sent, submitted.Results[0])
	if len(repositories.Repositories) != 1 || repositories.Repositories[0].ID != registered.Repository || len(repository.Leaves) != 2 || len(found.Targets) != 1 || found.Targets[0].Path != "app.bin" {
		t.Errorf("repositories %+v, repository %+v, lookup %+v", repositories, repository, found)
	}
	// What was fetched is what a device accepts, and all there is is proved.
	w.checkSidecar(t, registered.Repository, sent[0].Data, filepath.Join(dir, "metadata/2.targets.json.tlog-proof"))
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	cp, err := w.policy.OpenCheckpoint(signed)
	if err != nil || cp.Tree.N != 2 {
		t.Errorf("checkpoint: %v, %v", cp, err)
	}
	bundle, err := os.ReadFile(filepath.Join(dir, "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	tile, err := os.ReadFile(filepath.Join(dir, "tile"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := proofs.ParseEntries(bundle)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	if hash := proofs.LeafHash(entries[0]); !bytes.Equal(tile, hash[:]) {
		t.Errorf("tile %x, want %v", tile, hash)
	}
}

func (w *world) checkSidecar(t *testing.T, repository string, file []byte, path string) {
	t.Helper()
	sidecar, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := verify.ParseJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	id, err := verify.ParseDigest(repository)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify.CheckSidecar(sidecar, verify.ClaimFor(id, "targets", m), w.policy); err != nil {
		t.Errorf("%s: %v", path, err)
	}
}
