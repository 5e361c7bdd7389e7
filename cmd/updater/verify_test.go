package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/verify"
)

// bigSite is a site with a rotation and a delegated role.
func bigSite(t *testing.T) *site {
	s := newSite(t)
	s.release("app", "one")
	s.must(s.vendor.Rotate("root"))
	s.must(s.vendor.Delegate("targets", "team/a", "a/*"))
	s.must(s.vendor.Put("team/a", "a/tool", []byte("tool")))
	s.must(s.vendor.Release("team/a", "targets"))
	s.must(s.vendor.Rotate("targets"))
	s.must(s.vendor.SignAgain("targets"))
	s.must(s.vendor.Release("targets"))
	s.publish()
	return s
}

// dump writes all metadata into a directory; names of roles that no file can
// have are encoded.
func (s *site) dump() string {
	s.t.Helper()
	dir := s.t.TempDir()
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, content := range s.files {
		if name, ok := strings.CutPrefix(path, "/metadata/"); ok {
			s.must(os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, "/", "%2F")), content, 0o644))
		}
	}
	return dir
}

func checked(t *testing.T, r ran) result {
	t.Helper()
	var out result
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil {
		t.Fatalf("%s: %v", r.stdout, err)
	}
	return out
}

func TestVerifyRepository(t *testing.T) {
	s := bigSite(t)
	dir := s.dump()
	s.seen()
	runUpdater(t, "verify", "--policy", s.log.policy, dir).want(0, "VERDICT", "root ", "trusted", "team%2Fa ")
	out := checked(t, runUpdater(t, "verify", "--policy", s.log.policy, "--json", dir).want(0))
	var got []string
	for _, r := range out.Roles {
		got = append(got, r.File+" "+r.Verdict)
		logged := r.Role == "targets" || r.Role == "team/a" || r.Role == "root" && r.Version == 3
		if (r.Index >= 0) != logged || logged != (len(r.Witnesses) > 0) || len(r.Payload) != 64 {
			t.Errorf("%+v", r)
		}
	}
	want := []string{"1.root.json trusted", "2.root.json passed", "3.root.json ok", "timestamp.json ok", "5.snapshot.json ok", "4.targets.json ok", "1.team%2Fa.json ok"}
	if !slices.Equal(got, want) || !out.OK || out.Repository != s.id.String() {
		t.Errorf("checked %q, want %q", got, want)
	}
	if got := s.seen(); len(got) > 0 {
		t.Errorf("requests %q", got)
	}

	// From another root on, the repository has to be named.
	two := filepath.Join(dir, "2.root.json")
	runUpdater(t, "verify", "--policy", s.log.policy, "--trusted-root", two, dir).want(1, "hint", `"repository"`)
	install := filepath.Join(t.TempDir(), "install.json")
	s.must(os.WriteFile(install, []byte(`{"repository":"`+s.id.String()+`"}`), 0o644))
	runUpdater(t, "verify", "--policy", s.log.policy, "--install-policy", install, "--trusted-root", two, dir).want(0)

	// Files instead of a directory.
	files := []string{"verify", "--policy", s.log.policy}
	for _, name := range []string{"1.root.json", "2.root.json", "3.root.json", "timestamp.json", "5.snapshot.json", "4.targets.json"} {
		files = append(files, filepath.Join(dir, name))
	}
	r := runUpdater(t, files...).want(0, "targets ")
	if !strings.Contains(r.stderr, "listed but not there, so not checked (1): ") {
		t.Errorf("stderr %q", r.stderr)
	}
	// The sidecars of single files are found beside them; another policy shows it.
	runUpdater(t, append(files, "--policy", newTestLog(t).policy)...).want(1)
}

func TestVerifyFindings(t *testing.T) {
	tests := []struct {
		name    string
		do      func(s *site, dir string)
		code    int
		role    string // whose row has the verdict
		verdict string
	}{
		{"newest root not logged", func(s *site, dir string) { remove(s, dir, "3.root.json.tlog-proof") }, 1, "root", "not-logged"},
		{"a root on the way not signed by the one before", func(s *site, dir string) {
			write(s, dir, "1.root.json", newSite(s.t).get("/metadata/1.root.json"))
		}, 1, "root", "bad-metadata"},
		{"targets not logged", func(s *site, dir string) { remove(s, dir, "4.targets.json.tlog-proof") }, 1, "targets", "not-logged"},
		{"delegated not logged", func(s *site, dir string) { remove(s, dir, "1.team%2Fa.json.tlog-proof") }, 1, "team/a", "not-logged"},
		{"quorum short", func(s *site, dir string) {
			write(s, dir, "4.targets.json.tlog-proof", s.log.submit(s.leaf("4.targets.json"), 1))
		}, 1, "targets", "quorum-short"},
		{"targets damaged", func(s *site, dir string) { write(s, dir, "4.targets.json", []byte("{}")) }, 1, "targets", "bad-metadata"},
		{"older targets under the new name", func(s *site, dir string) {
			write(s, dir, "4.targets.json", s.get("/metadata/3.targets.json"))
		}, 1, "targets", "rollback"},
		{"first root damaged", func(s *site, dir string) { write(s, dir, "1.root.json", []byte("{}")) }, 1, "root", "bad-metadata"},
		{"a root is missing", func(s *site, dir string) {
			remove(s, dir, "2.root.json")
			write(s, dir, "root.json", s.get("/metadata/3.root.json"))
		}, 1, "root", "bad-metadata"},
		{"no timestamp", func(s *site, dir string) { remove(s, dir, "timestamp.json") }, 2, "", ""},
		{"no snapshot", func(s *site, dir string) { remove(s, dir, "5.snapshot.json") }, 2, "", ""},
		{"no root", func(s *site, dir string) {
			for _, name := range []string{"1.root.json", "2.root.json", "3.root.json"} {
				remove(s, dir, name)
			}
		}, 2, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := bigSite(t)
			dir := s.dump()
			tt.do(s, dir)
			r := runUpdater(t, "verify", "--json", "--policy", s.log.policy, dir).want(tt.code)
			if tt.code == 2 {
				return
			}
			out := checked(t, r)
			last := out.Roles[len(out.Roles)-1]
			if out.OK || last.Role != tt.role || last.Verdict != tt.verdict || last.Detail == "" {
				t.Errorf("%+v", out)
			}
			for _, r := range out.Roles[:len(out.Roles)-1] {
				if r.Verdict != "ok" && r.Verdict != "trusted" && r.Verdict != "passed" {
					t.Errorf("%+v", r)
				}
			}
		})
	}
	s := bigSite(t)
	dir := s.dump()
	remove(s, dir, "2.root.json.tlog-proof")
	runUpdater(t, "verify", "--policy", s.log.policy, dir).want(0, "passed")
	runUpdater(t, "verify", "--policy", s.log.policy, "--now", "2099-01-01T00:00:00Z", dir).want(1, "hint")
	runUpdater(t, "verify", "--policy", s.log.policy).want(2, "nothing to check")
	runUpdater(t, "verify", "--policy", s.log.policy, filepath.Join(dir, "none")).want(2, "none")
	remove(s, dir, "4.targets.json.tlog-proof")
	r := runUpdater(t, "verify", "--policy", s.log.policy, "--transparency", "warn", dir).want(0)
	if !strings.Contains(r.stderr, "would be refused (not-logged): targets: version 4") {
		t.Errorf("stderr %q", r.stderr)
	}
	if n := strings.Count(r.stdout, "  warned: not-logged\n"); n != 1 {
		t.Errorf("%d of the rows say that they were let pass:\n%s", n, r.stdout)
	}
	runUpdater(t, "verify", "--transparency", "off", dir).want(0)
}

func remove(s *site, dir, name string) { s.must(os.Remove(filepath.Join(dir, name))) }

func write(s *site, dir, name string, content []byte) {
	s.must(os.WriteFile(filepath.Join(dir, name), content, 0o644))
}

func TestVerifyDevice(t *testing.T) {
	s := bigSite(t)
	d := s.newDevice()
	d.download("a/tool").want(0)
	before := d.names()
	out := checked(t, d.run("--metadata-dir", d.metadata(), "--policy", s.log.policy, "verify", "--json").want(0))
	if len(out.Roles) != 5 || out.Roles[0].Version != 3 || out.Roles[0].Verdict != "ok" || out.Roles[0].Index < 0 {
		t.Errorf("%+v", out)
	}
	d.edit("team%2Fa.json.tlog-proof", func([]byte) []byte { return s.get("/metadata/4.targets.json.tlog-proof") })
	out = checked(t, d.run("verify", "--policy", s.log.policy, "--json", d.metadata()).want(1))
	if last := out.Roles[len(out.Roles)-1]; last.Role != "team/a" || last.Verdict != string(verify.CodeBadProof) {
		t.Errorf("%+v", last)
	}
	if !slices.Equal(d.names(), before) {
		t.Errorf("verify changed the directory: %q", d.names())
	}
}
