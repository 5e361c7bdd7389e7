package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// A vendor's first days with a log: what cannot be taken back is asked for first.
func TestVendor(t *testing.T) {
	w := newWorld(t)
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Rotate("targets"), v.Put("targets", "a", []byte("a")), v.Release("targets")); err != nil {
		t.Fatal(err)
	}
	// The folder as tuf-on-ci keeps it in git.
	dir, history := w.Path("git/metadata"), w.Path("history")
	writeAll(t, v, dir)
	for _, name := range []string{"1.root.json", "2.root.json"} {
		move(t, filepath.Join(dir, name), filepath.Join(history, name))
	}
	for _, role := range []string{"targets", "snapshot"} {
		name, _ := v.File(role)
		move(t, filepath.Join(dir, name), filepath.Join(dir, role+".json"))
		old, err := filepath.Glob(filepath.Join(dir, "*."+role+".json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range old {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.Write(t, "git/metadata/root.json", string(v.Files()["2.root.json"]))
	w.Write(t, "git/metadata/mirrors.json", `{"signatures":[],"signed":{"_type":"mirrors","version":1}}`)

	_, stderr, code := runtest.Run(t, "publisher", w.args("submit", dir)...)
	if code != 2 || !contains(stderr, "root.json is version 2", "--genesis 2", "Nothing was sent", "mirrors.json is ignored") {
		t.Errorf("the newest root alone: exit %d, %s", code, stderr)
	}
	if _, stderr, code := runtest.Run(t, "publisher", "check", dir); code != 2 || !contains(stderr, "root.json is version 2", "--genesis 2") {
		t.Errorf("checked: exit %d, %s", code, stderr)
	}
	if list, err := w.client.Repositories(t.Context()); err != nil || len(list.Repositories) != 0 {
		t.Errorf("registered %+v, %v", list, err)
	}
	if err := os.Rename(history, filepath.Join(dir, "root_history")); err != nil {
		t.Fatal(err)
	}
	rehearsals := map[string][]string{"check": {"check", dir}, "dry run": w.args("submit", "--dry-run", dir)}
	for what, args := range rehearsals {
		out, stderr, code := runtest.Run(t, "publisher", args...)
		if code != 0 || !contains(out, "would be released", "nothing was sent", "in "+dir+"/\n") || contains(out, dir+"/targets.json") {
			t.Errorf("%s: exit %d\n%s%s", what, code, out, stderr)
		}
	}
	if list, err := w.client.Repositories(t.Context()); err != nil || len(list.Repositories) != 0 {
		t.Errorf("a dry run registered %+v, %v", list, err)
	}
	out, stderr, code := runtest.Run(t, "publisher", w.args("submit", dir)...)
	genesis, err := tuf.ParseJSON(v.Files()["1.root.json"])
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 || !strings.HasPrefix(out, "repository "+genesis.PayloadDigest.String()+"\n") || !contains(stderr, "mirrors.json is ignored") {
		t.Errorf("with its history: exit %d\n%s%s", code, out, stderr)
	}

	if out := runtest.Must(t, "publisher", rehearsals["dry run"]...); contains(out, "would be") || !contains(out, "logged") {
		t.Errorf("a dry run of what is logged:\n%s", out)
	}
	// What the strict reader refuses is known before anything is sent, and where.
	if err := os.Mkdir(w.Path("bad"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.Write(t, "bad/1.root.json", string(v.Files()["1.root.json"]))
	w.Write(t, "bad/targets.json", `{"signatures":[],"signed":{"_type":"targets","version":1,"version":2}}`)
	if out, _, code := runtest.Run(t, "publisher", "check", w.Path("bad")); code != 1 || !contains(out, "refused malformed", "repeated") {
		t.Errorf("a file that is not strict: exit %d\n%s", code, out)
	}

	// The same from the git repository that the folder is in.
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=v", "-c", "user.email=v@example", "commit", "-q", "-m", "publish"}} {
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", w.Path("git")}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	out, stderr, code = runtest.Run(t, "publisher", w.args("import", "--git", w.Path("git"))...)
	if code != 0 || !contains(out, "NOT LOGGED HERE") || contains(out, "refused", "not-logged-role") || !contains(stderr, ":metadata/mirrors.json is ignored") {
		t.Errorf("from git: exit %d\n%s%s", code, out, stderr)
	}

	// A device that asks for a release to have been public for a while finds the newer
	// proof that it needs for that.
	served := w.Path("served")
	writeAll(t, v, served)
	runtest.Must(t, "publisher", w.args("submit", served)...)
	w.Write(t, "install.json", `{"min_age":"2s"}`)
	device := []string{"verify", "--policy", w.Path("policy"), "--install-policy", w.Path("install.json"), served}
	if out, stderr, code := runtest.Run(t, "updater", device...); code != 1 || !contains(out+stderr, "too-young") {
		t.Errorf("a device with min_age, before refresh: exit %d\n%s%s", code, out, stderr)
	}
	token, err := os.ReadFile(w.Path("log/registration.token"))
	if err != nil {
		t.Fatal(err)
	}
	w.client.Token = strings.TrimSpace(string(token))
	refresh := []string{"refresh", "--log", w.Log.URL, "--policy", w.Path("policy"), served}
	runtest.Eventually(t, "the release is old enough for the device", func() bool {
		other, err := testvendor.New(time.Now().Add(24 * time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.client.Register(t.Context(), other.Files()["1.root.json"]); err != nil {
			t.Fatal(err)
		}
		if out := runtest.Must(t, "publisher", refresh...); !contains(out, "proofs refreshed", "2.targets.json.latest.tlog-proof") {
			t.Fatalf("refresh:\n%s", out)
		}
		_, _, code := runtest.Run(t, "updater", device...)
		return code == 0
	})
	if _, stderr, code := runtest.Run(t, "publisher", "refresh", "--log", w.Log.URL, "--policy", w.Path("policy"), w.Path("bad")); code != 2 || !contains(stderr, "publisher submit writes them") {
		t.Errorf("refresh without proofs: exit %d, %s", code, stderr)
	}

	// Another log's policy: its proofs would take the place of these.
	signer, err := proofs.GenerateSigner(nil, "other.example/log", proofs.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "other", "log "+signer.Key().String()+" "+w.Log.URL+"\nquorum none\n")
	_, stderr, code = runtest.Run(t, "publisher", "submit", "--policy", w.Path("other"), dir)
	if code != 2 || !contains(stderr, "is a proof of the log", "--replace", "Nothing was sent") {
		t.Errorf("another log: exit %d, %s", code, stderr)
	}
	t.Run("page", w.runPage)
}

func contains(s string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Rename(from, to)); err != nil {
		t.Fatal(err)
	}
}
