package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/verify"
)

// The examples of docs/owners.md do what they say, one after the other, and what it shows of
// a report is one.
func TestOwnersByTheDocs(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	text, err := os.ReadFile("../../docs/owners.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?ms)^```bash\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	shown := regexp.MustCompile("(?ms)^```text\n(.*?)^```$").FindStringSubmatch(string(text))
	if len(examples) != 3 || shown == nil {
		t.Fatalf("%d examples, want 3: download, pending, the decision; and a report", len(examples))
	}
	s := newSite(t)
	s.must(s.vendor.Delegate("targets", "drivers", "drivers/*"))
	s.must(s.vendor.Put("drivers", "drivers/radio.bin", []byte("radio")))
	s.must(s.vendor.Put("targets", "firmware.bin", []byte("firmware")))
	s.must(s.vendor.Release("drivers", "targets"))
	s.publish()
	at := time.Now().Add(-50 * time.Hour)
	leaf, index := s.leaf("2.targets.json"), s.log.size-1
	s.set("/metadata/2.targets.json"+verify.SidecarSuffix, s.log.proof(leaf, index, 2, at))
	s.set("/metadata/2.targets.json"+verify.LatestSuffix, s.log.proof(leaf, index, 2, time.Now()))
	d := s.newDevice()
	s.must(errors.Join(os.CopyFS(filepath.Join(d.dir, "docs", "policies"), os.DirFS("../../docs/policies")), os.Rename(d.metadata(), filepath.Join(d.dir, "device"))))
	policy, err := os.ReadFile(s.log.policy)
	s.must(err)
	s.must(os.WriteFile(filepath.Join(d.dir, "policy.txt"), policy, 0o644))
	id := ""
	run := func(example int) process.Result {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", examples[example][1])
		cmd.Dir = d.dir
		cmd.Env = append(os.Environ(), "PATH="+runtest.Programs(t, "updater")+":"+os.Getenv("PATH"), "SITE="+s.url, "ID="+id)
		r, err := process.Run(cmd)
		s.must(err)
		return r
	}
	if r := run(0); r.Code != 1 || !strings.Contains(r.Stderr, "needs-approval") || !strings.Contains(r.Stderr, "nobody was asked") {
		t.Fatalf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	// Keys and digests are others each time.
	plain := func(s string) string { return regexp.MustCompile(`\b[0-9a-f]{8,32}\b`).ReplaceAllString(s, "#") }
	if r := run(1); r.Code != 0 || plain(r.Stdout) != plain(shown[1]) {
		t.Fatalf("exit %d, and the page shows another report than\n%s", r.Code, r.Stdout)
	}
	var waiting []waitingRow
	if err := json.Unmarshal([]byte(d.run("pending", "--json", "--metadata-dir", filepath.Join(d.dir, "device")).want(0).stdout), &waiting); err != nil || len(waiting) != 1 {
		t.Fatalf("%+v, %v", waiting, err)
	}
	id = waiting[0].ID
	if r := run(2); r.Code != 0 || !strings.Contains(r.Stdout, "put off: targets 2") || !strings.Contains(r.Stdout, "approved: targets 2") {
		t.Fatalf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if r := run(0); r.Code != 0 {
		t.Fatalf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if b, err := os.ReadFile(filepath.Join(d.dir, "installed", "firmware.bin")); err != nil || string(b) != "firmware" {
		t.Errorf("%q, %v", b, err)
	}
}
