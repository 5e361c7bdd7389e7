package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
)

// A vendor says what he will release, with a key that his build system does not hold; what
// it was tricked into is not expected, and it cannot say otherwise.
func TestExpect(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs the program two dozen times")
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Put("targets", "firmware-1.0.bin", []byte("1.0")), v.Release("targets"),
		v.Put("targets", "firmware-1.1.bin", []byte("1.1")), v.Release("targets")); err != nil {
		t.Fatal(err)
	}
	writeAll(t, v, at("metadata"))
	vkey := strings.TrimSpace(runtest.Must(t, "publisher", "expect", "key", "--name", "acme.example/expect", "--out", at("expect.key")))
	other := strings.TrimSpace(runtest.Must(t, "publisher", "expect", "key", "--name", "acme.example/expect", "--ml-dsa", "--out", at("ci.key")))
	fails := func(code int, want string, args ...string) {
		t.Helper()
		stdout, stderr, got := runtest.Run(t, "publisher", append([]string{"expect"}, args...)...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%q: exit %d, want %d and %q\n%s%s", args, got, code, want, stdout, stderr)
		}
	}
	fails(2, "exists already", "key", "--name", "acme.example/expect", "--out", at("expect.key"))

	draft := runtest.Must(t, "publisher", "expect", "learn", at("metadata"))
	if !strings.Contains(draft, "release targets next\npaths firmware-*.bin\n") {
		t.Errorf("the draft is\n%s", draft)
	}
	if err := os.WriteFile(at("draft"), []byte(draft), 0o600); err != nil {
		t.Fatal(err)
	}
	sign := []string{"sign", "--key", at("expect.key"), "--base", at("metadata"), "--out", at("note")}
	fails(2, "give a draft of what to expect", sign...)
	fails(0, "expectations 1 of repository ", append(sign, at("draft"))...)
	check := []string{"check", at("note"), "--key", vkey, at("metadata")}
	fails(0, "0 of ", check...)

	// A file with a name that fits and one that does not, in one release.
	if err := os.WriteFile(at("firmware.bin"), []byte("1.2"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(0, "expectations 2 of repository ", append(sign, "--release", "targets 4; file firmware-1.2.bin="+at("firmware.bin"), "--release", "targets any", "--release", "snapshot any", "--release", "timestamp any")...)
	good, err := v.Clone()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(good.Put("targets", "firmware-1.2.bin", []byte("1.2")), good.Release("targets")); err != nil {
		t.Fatal(err)
	}
	writeAll(t, good, at("good"))
	fails(0, "0 of ", "check", at("note"), "--key", vkey, at("good"))
	if err := errors.Join(v.Put("targets", "firmware-1.2.bin", []byte("1.2")), v.Put("targets", "evil.bin", []byte("evil")), v.Release("targets")); err != nil {
		t.Fatal(err)
	}
	writeAll(t, v, at("metadata"))
	fails(1, "it lists evil.bin (4 bytes, sha256 b5c1fb2efc6d6b46)", check...)
	var checked struct {
		Version  int64
		Releases []struct {
			Role     string
			Version  int64
			Expected bool
		}
	}
	stdout, _, code := runtest.Run(t, "publisher", append([]string{"expect"}, append(check, "--json")...)...)
	if err := json.Unmarshal([]byte(stdout), &checked); err != nil || code != 1 || checked.Version != 2 {
		t.Errorf("exit %d, %v\n%s", code, err, stdout)
	}
	for _, r := range checked.Releases {
		if r.Expected != (r.Role != "targets" || r.Version != 4) {
			t.Errorf("%s %d: expected %v", r.Role, r.Version, r.Expected)
		}
	}

	// The folder as it is now is not signed unseen.
	fails(1, "--base has what expectations 2 did not expect:\n  targets 4: it lists evil.bin (4 bytes,", append(sign, at("draft"))...)
	if note, err := os.ReadFile(at("note")); err != nil || !strings.Contains(string(note), "\nversion 2\n") {
		t.Errorf("the note is\n%s%v", note, err)
	}
	targets := func(version int) string {
		return filepath.Join(at("metadata"), fmt.Sprintf("%d.targets.json", version))
	}
	fails(0, "0 of 1 files", "check", at("note"), "--key", vkey, "--had", targets(4), targets(4))
	fails(1, "it lists evil.bin", "check", at("note"), "--key", vkey, "--had", targets(3), targets(4))

	fails(1, "--had names the metadata that was released before", "check", at("note"), "--key", vkey, targets(4))

	// What the build system holds signs no expectations, and what it wrote over them is not
	// taken for the note before.
	fails(1, "not signed by a key", "check", at("note"), "--key", other)
	fails(1, "--previous-key names the key", "sign", "--key", at("ci.key"), "--base", at("metadata"), "--out", at("note"), at("draft"))
	runtest.Must(t, "publisher", "expect", "sign", "--key", at("ci.key"), "--base", at("metadata"), "--out", at("forged"), at("draft"))
	fails(1, "not signed by a key", "check", at("forged"), "--key", vkey)
	fails(1, "not signed by a key", append(sign, "--previous", at("forged"), at("draft"))...)

	// With the old key's public form, a new key goes on from the old note.
	fails(0, "expectations 3 of repository ", "sign", "--key", at("ci.key"), "--previous-key", vkey, "--out", at("note"))
	fails(0, "Expectations 3 ", "check", at("note"), "--key", other)
	fails(2, "which is past", append(sign, "--accept", "--previous-key", other, "--until", "2020-01-01T00:00:00Z", at("draft"))...)
	fails(0, "warning: they are in force only from 2036-01-01T00:00:00Z on", append(sign, "--accept", "--previous-key", other, "--from", "2036-01-01T00:00:00Z", at("draft"))...)
}
