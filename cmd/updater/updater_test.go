package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func TestInit(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	root := filepath.Join(dir, "given.json")
	s.must(os.WriteFile(root, s.get("/metadata/1.root.json"), 0o644))
	metadata := filepath.Join(dir, "a", "b")
	runUpdater(t, "init", "--metadata-dir", metadata, root).want(0, "trusted root 1, repository "+s.id.String())
	if len(s.seen()) > 0 {
		t.Error("init made requests")
	}
	// The same again changes nothing, and mends what is damaged.
	runUpdater(t, "init", "--metadata-dir", metadata, root).want(0)
	s.must(os.Remove(filepath.Join(metadata, "root.json")))
	runUpdater(t, "init", "--metadata-dir", metadata, root, "--json").want(0, `"repository": "`+s.id.String())
	if b, err := os.ReadFile(filepath.Join(metadata, "root.json")); err != nil || !bytes.Equal(b, s.get("/metadata/1.root.json")) {
		t.Errorf("root.json is %q, %v", b, err)
	}
	// Another root does not slip in.
	other := newSite(t)
	s.must(os.WriteFile(root, other.get("/metadata/1.root.json"), 0o644))
	runUpdater(t, "init", "--metadata-dir", metadata, root).want(1, "another root")
	install := filepath.Join(dir, "install.json")
	s.must(os.WriteFile(install, []byte(`{"repository":"`+s.id.String()+`"}`), 0o644))
	runUpdater(t, "init", "--metadata-dir", metadata, "--install-policy", install, root).want(1, "another root")
	// Nor one that is not signed, or none at all.
	s.must(os.WriteFile(root, bytes.Replace(s.get("/metadata/1.root.json"), []byte(`"sig":"`), []byte(`"sig":"00`), 1), 0o644))
	fresh := filepath.Join(dir, "fresh")
	runUpdater(t, "init", "--metadata-dir", fresh, root).want(1, "updater: refused (bad-metadata): root: ")
	runUpdater(t, "init", "--metadata-dir", fresh, filepath.Join(dir, "none")).want(1, "none")
	runUpdater(t, "init", root).want(2, "--metadata-dir is needed")
	runUpdater(t, "--metadata-dir", fresh, "--metadata-url", s.url, "--transparency", "off", "refresh").want(1, "run updater init")
	if len(s.seen()) > 0 {
		t.Error("a device without a trusted root made requests")
	}
}

func TestRefreshAndDownload(t *testing.T) {
	s := newSite(t)
	s.release("dir/app.bin", "one")
	s.must(s.vendor.Rotate("root"))
	s.publish()
	d := s.newDevice()

	d.refresh().want(0, "ROLE", "root ", "targets ", "w1 w2")
	want := []string{
		"/metadata/2.root.json", "/metadata/3.root.json", "/metadata/2.root.json.tlog-proof", "/metadata/timestamp.json",
		"/metadata/2.snapshot.json", "/metadata/2.targets.json", "/metadata/2.targets.json.tlog-proof",
	}
	if got := s.seen(); !slices.Equal(got, want) {
		t.Errorf("requests\n%q, want\n%q", got, want)
	}
	names := []string{"root.json", "root.json.tlog-proof", "snapshot.json", "targets.json", "targets.json.tlog-proof", "timestamp.json", "updater.lock", "updater.state", "updater.state.copy"}
	if got := d.names(); !slices.Equal(got, names) {
		t.Errorf("kept\n%q, want\n%q", got, names)
	}
	for name, served := range map[string]string{"root.json": "2.root.json", "targets.json": "2.targets.json", "targets.json.tlog-proof": "2.targets.json.tlog-proof"} {
		if b, err := os.ReadFile(filepath.Join(d.metadata(), name)); err != nil || !bytes.Equal(b, s.get("/metadata/"+served)) {
			t.Errorf("%s is not as served: %v", name, err)
		}
	}

	// Nothing new: two requests. The target is fetched once.
	for i, more := range [][]string{{"/targets/dir/" + s.hashOf("dir/app.bin") + ".app.bin"}, nil} {
		d.download("dir/app.bin").want(0, "dir%2Fapp.bin")
		want := append([]string{"/metadata/3.root.json", "/metadata/timestamp.json"}, more...)
		if got := s.seen(); !slices.Equal(got, want) {
			t.Errorf("download %d: requests\n%q, want\n%q", i, got, want)
		}
		if b, err := os.ReadFile(filepath.Join(d.targets(), "dir%2Fapp.bin")); err != nil || string(b) != "one" {
			t.Errorf("downloaded %q, %v", b, err)
		}
	}

	// A new release replaces the file under the same name.
	s.release("dir/app.bin", "two")
	var out result
	if err := json.Unmarshal([]byte(d.download("dir/app.bin", "--json").want(0).stdout), &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Targets) != 1 || out.Targets[0].Name != "dir/app.bin" || out.Targets[0].Verdict != "ok" || !out.OK || out.Repository != s.id.String() {
		t.Fatalf("%+v", out)
	}
	if b, err := os.ReadFile(out.Targets[0].File); err != nil || string(b) != "two" {
		t.Errorf("%q, %v", b, err)
	}
	if len(out.Roles) != 4 {
		t.Errorf("%+v, want one row for each role", out.Roles)
	}
	for _, r := range out.Roles {
		if logged := r.Role == "targets" || r.Role == "root"; (r.Index >= 0) != logged || logged != (len(r.Witnesses) == 2) {
			t.Errorf("%+v", r)
		}
	}
	if entries, err := os.ReadDir(d.targets()); err != nil || len(entries) != 1 {
		t.Errorf("%v in the target directory, %v", entries, err)
	}
}

func (s *site) hashOf(path string) string {
	return tuf.Sum(s.get("/targets/" + path)).String()
}

func TestDelegatedRoles(t *testing.T) {
	s := newSite(t)
	s.must(s.vendor.Delegate("targets", "../odd?", "odd/*"))
	s.must(s.vendor.Put("../odd?", "odd/file name", []byte("odd")))
	s.must(s.vendor.Release("../odd?", "targets"))
	s.publish()
	d := s.newDevice()
	d.download("odd/file name").want(0)
	if got := s.seen(); !slices.Contains(got, "/metadata/1...%2Fodd%3F.json") || !slices.Contains(got, "/metadata/1...%2Fodd%3F.json.tlog-proof") {
		t.Errorf("requests %q", got)
	}
	for _, name := range []string{"..%2Fodd%3F.json", "..%2Fodd%3F.json.tlog-proof"} {
		if !slices.Contains(d.names(), name) {
			t.Errorf("%s is not among %q", name, d.names())
		}
	}
	s.set("/metadata/1.../odd?.json.tlog-proof", nil)
	s.newDevice().download("odd/file name").want(1, "updater: refused (not-logged): target \"odd/file name\": ..%2Fodd%3F: version 1")
	// What was kept needs no repository.
	d.download("odd/file name").want(0)
	d.download("nothing").want(1, `target "nothing": no role that is trusted for it lists it`)
}

// Every way in which a mirror, or the vendor, can be refused, with its code.
func TestRefusals(t *testing.T) {
	var now string
	tests := []struct {
		code verify.Code
		line string
		do   func(s *site, d *machine)
	}{
		{verify.CodeNotLogged, "targets: version 3", func(s *site, d *machine) {
			s.set("/metadata/3.targets.json.tlog-proof", nil)
		}},
		{verify.CodeBadProof, "targets: the proof of version 3", func(s *site, d *machine) {
			s.set("/metadata/3.targets.json.tlog-proof", []byte("no proof\n"))
		}},
		{verify.CodeBadProof, "targets: the proof is about version 2", func(s *site, d *machine) {
			s.set("/metadata/3.targets.json.tlog-proof", s.get("/metadata/2.targets.json.tlog-proof"))
		}},
		{verify.CodeQuorumShort, "w2", func(s *site, d *machine) {
			s.set("/metadata/3.targets.json.tlog-proof", s.log.submit(s.leaf("3.targets.json"), 1))
		}},
		{verify.CodeWrongLog, "log.example/test", func(s *site, d *machine) {
			s.set("/metadata/3.targets.json.tlog-proof", newTestLog(s.t).submit(s.leaf("3.targets.json"), 2))
		}},
		{verify.CodeWrongRepository, "another", func(s *site, d *machine) {
			leaf := s.leaf("3.targets.json")
			leaf.Repository = tuf.Sum([]byte("another"))
			s.set("/metadata/3.targets.json.tlog-proof", s.log.submit(leaf, 3))
		}},
		{verify.CodeEvidence, "targets: version 3 is logged as evidence", func(s *site, d *machine) {
			entry := s.leaf("3.targets.json")
			entry.Kind = leaf.Evidence
			s.set("/metadata/3.targets.json.tlog-proof", s.log.submit(entry, 3))
		}},
		{verify.CodeRollback, "timestamp: version 3, but this device has seen version 4", func(s *site, d *machine) {
			old := s.get("/metadata/timestamp.json")
			s.release("app", "four")
			d.refresh().want(0)
			s.set("/metadata/timestamp.json", old)
		}},
		{verify.CodeExpired, "by the times of cosignatures it is past", func(s *site, d *machine) {
			// A device without a clock has the witnesses'.
			now = "none"
			leaf := s.leaf("3.targets.json")
			s.set("/metadata/3.targets.json.tlog-proof", s.log.proof(leaf, s.log.size-1, 3, time.Now().Add(48*time.Hour)))
		}},
		{verify.CodeBadMetadata, "timestamp", func(s *site, d *machine) {
			s.set("/metadata/timestamp.json", []byte("no metadata"))
		}},
		{verify.CodeBadMetadata, "timestamp: timestamp.json", func(s *site, d *machine) {
			s.set("/metadata/timestamp.json", make([]byte, tuf.MaxFileSize+1))
		}},
		{verify.CodeNetwork, "timestamp: could not fetch", func(s *site, d *machine) {
			s.answer("/metadata/timestamp.json", 503)
		}},
		{verify.CodeNetwork, "targets: could not fetch 3.targets.json.tlog-proof", func(s *site, d *machine) {
			s.answer("/metadata/3.targets.json.tlog-proof", 500)
		}},
		{verify.CodeNetwork, "snapshot: could not fetch", func(s *site, d *machine) {
			s.set("/metadata/3.snapshot.json", nil)
		}},
	}
	for _, tt := range tests {
		t.Run(string(tt.code)+" "+tt.line, func(t *testing.T) {
			s := newSite(t)
			s.release("app", "two")
			d := s.newDevice()
			d.download("app").want(0)
			s.release("app", "three")
			now = time.Now().Format(time.RFC3339)
			tt.do(s, d)
			installed := d.version("targets")
			r := d.download("app", "--json", "--now", now).want(1, string(tt.code))
			verb := "refused"
			if tt.code == verify.CodeNetwork {
				verb = "could not update"
			}
			first, _, _ := strings.Cut(r.stderr, "\n")
			if !strings.HasPrefix(first, "updater: "+verb+" ("+string(tt.code)+"): ") || !strings.Contains(r.stderr, "updater: hint: ") {
				t.Errorf("stderr %q", r.stderr)
			}
			if tt.code != verify.CodeWrongRepository && !strings.Contains(first, tt.line) {
				t.Errorf("stderr %q, want %q in it", first, tt.line)
			}
			var out result
			if err := json.Unmarshal([]byte(r.stdout), &out); err != nil || out.OK || out.Refused == nil || out.Refused.Code != tt.code {
				t.Errorf("stdout %s: %v", r.stdout, err)
			}
			if got := d.version("targets"); got != installed {
				t.Errorf("targets %d are kept, want %d", got, installed)
			}
			if b, err := os.ReadFile(filepath.Join(d.targets(), "app")); err != nil || string(b) != "two" {
				t.Errorf("the target is %q, %v", b, err)
			}
			// The kept state is whole, unless it is shown that it expired.
			if tt.code != verify.CodeExpired && tt.code != verify.CodeRollback {
				s.answer("/metadata/timestamp.json", 0)
				s.answer("/metadata/3.targets.json.tlog-proof", 0)
				s.set("/metadata/3.targets.json.tlog-proof", s.log.submit(s.leaf("3.targets.json"), 2))
				files := s.vendor.Files()
				s.set("/metadata/timestamp.json", files["timestamp.json"])
				s.set("/metadata/3.snapshot.json", files["3.snapshot.json"])
				d.download("app").want(0)
			}
		})
	}
}

func TestNoRequestsWithoutAPolicy(t *testing.T) {
	s := newSite(t)
	d := s.newDevice()
	d.run("--metadata-url", s.url+"/metadata", "--metadata-dir", d.metadata(), "refresh").want(2, "--policy is needed")
	d.refresh("--max-targets-length", "0").want(2, "--max-targets-length 0")
	d.refresh("--min-rate", "-1").want(2, "--min-rate")
	d.refresh("--timeout", "0s").want(2, "--timeout")
	d.run("verify", d.metadata()).want(2, "--policy is needed")
	d.refresh("--transparency", "maybe").want(2, "want enforce, warn or off")
	d.refresh("--now", "yesterday").want(2, "--now")
	d.refresh("--policy", filepath.Join(d.dir, "none")).want(2, "--policy")
	policy := filepath.Join(d.dir, "install.json")
	s.must(os.WriteFile(policy, []byte(`{"approval":"never"}`), 0o644))
	d.refresh("--install-policy", policy).want(2, "want \"auto\"")
	s.must(os.WriteFile(policy, []byte(`{"faulty_witnesses":5}`), 0o644))
	d.refresh("--install-policy", policy).want(1, "faulty_witnesses is 5, but by the trust policy 2 witnesses are a quorum")
	d.run("verify", "--policy", s.log.policy, "--install-policy", policy, d.metadata()).want(2, "faulty_witnesses is 5")
	if got := s.seen(); len(got) > 0 {
		t.Errorf("requests %q", got)
	}
}

// A device can be moved from no transparency to all of it.
func TestOffWarnEnforce(t *testing.T) {
	s := newSite(t)
	s.must(s.vendor.Rotate("targets"))
	s.release("app", "one")
	proof := s.get("/metadata/2.root.json.tlog-proof")
	s.set("/metadata/2.root.json.tlog-proof", nil)
	d := s.newDevice()
	d.run("--metadata-url", s.url+"/metadata", "--metadata-dir", d.metadata(), "--transparency", "off", "refresh").want(0)
	for _, request := range s.seen() {
		if strings.HasSuffix(request, verify.SidecarSuffix) {
			t.Errorf("asked for %s", request)
		}
	}
	// A proof that does not fit the file any more is not left behind.
	d.refresh("--transparency", "off").want(0)
	s.must(os.WriteFile(filepath.Join(d.metadata(), "targets.json.tlog-proof"), []byte("old"), 0o644))
	s.release("app", "two")
	s.set("/metadata/3.targets.json.tlog-proof", nil)
	d.refresh("--transparency", "off").want(0)
	if slices.Contains(d.names(), "targets.json.tlog-proof") {
		t.Errorf("kept %q", d.names())
	}
	r := d.download("app", "--transparency", "warn").want(0)
	for _, version := range []string{"root: version 2", "targets: version 3"} {
		if !strings.Contains(r.stderr, "updater: warning: would be refused (not-logged): "+version) {
			t.Errorf("no warning about %s: %s", version, r.stderr)
		}
	}
	d.refresh().want(1, "refused (not-logged): root: version 2")
	s.set("/metadata/2.root.json.tlog-proof", proof)
	d.refresh().want(1, "refused (not-logged): targets: version 3")
	s.set("/metadata/3.targets.json.tlog-proof", s.log.submit(s.leaf("3.targets.json"), 2))
	d.refresh().want(0)
	s.set("/metadata/2.root.json.tlog-proof", nil)
	s.set("/metadata/3.targets.json.tlog-proof", nil)
	d.refresh().want(0)
}

func TestDownloadRefusesOtherContent(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	path := "/targets/" + s.hashOf("app") + ".app"
	for _, tt := range []struct {
		content []byte
		why     string
	}{
		{[]byte("two"), "refused (bad-metadata): target \"app\": the target's sha"},
		{[]byte("one more"), "longer than the 3 bytes listed"},
		{nil, "could not update (network): target \"app\": could not fetch the target"},
	} {
		s.set(path, tt.content)
		d.download("app").want(1, tt.why)
		if entries, err := os.ReadDir(d.targets()); err == nil && len(entries) > 0 {
			t.Errorf("left %v behind", entries)
		}
	}
	s.set(path, []byte("o")) // where another run may go on
	d.download("app").want(1, "could not update (network): target \"app\": only 1 of the 3 bytes of the target are there")
	s.set(path, []byte("one"))
	d.download("app").want(0)
	// A file that was changed on the device is fetched again.
	s.must(os.WriteFile(filepath.Join(d.targets(), "app"), []byte("1"), 0o644))
	d.download("app").want(0)
	if b, err := os.ReadFile(filepath.Join(d.targets(), "app")); err != nil || string(b) != "one" {
		t.Errorf("the target is %q, %v", b, err)
	}
}

func TestMinAge(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	policy := filepath.Join(d.dir, "install.json")
	s.must(os.WriteFile(policy, []byte(`{"min_age":"2h"}`), 0o644))
	leaf := s.leaf("2.targets.json")
	index := s.log.size - 1
	now := time.Now()
	s.set("/metadata/2.targets.json.tlog-proof", s.log.proof(leaf, index, 3, now.Add(-3*time.Hour)))
	d.refresh("--install-policy", policy).want(1, "refused (too-young): targets: version 2", "a newer one is not beside it")
	s.set("/metadata/2.targets.json.latest.tlog-proof", s.log.proof(leaf, index, 3, now.Add(-90*time.Minute)))
	d.refresh("--install-policy", policy).want(1, "refused (too-young): targets: version 2, entry 2 of the log, is proved to have been there for 1h30m, want 2h, by the newer proof")
	s.set("/metadata/2.targets.json.latest.tlog-proof", s.log.proof(leaf, index, 3, now))
	d.refresh("--install-policy", policy).want(0)
	d.run("verify", "--policy", s.log.policy, "--install-policy", policy, d.metadata()).want(0)
	s.seen()
	d.refresh("--install-policy", policy).want(0)
	if got := s.seen(); len(got) != 2 {
		t.Errorf("requests %q", got)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"init", "--help"}, {"refresh", "--help"}, {"download", "--help"}, {"install", "--help"}, {"bundle", "create", "--help"}, {"bundle", "verify", "--help"}, {"bundle", "install", "--help"}, {"bundle", "refresh", "--help"}, {"verify", "--help"}, {"status", "--help"}, {"pending", "--help"}, {"approve", "--help"}, {"postpone", "--help"}, {"policy", "explain", "--help"}} {
		runUpdater(t, args...).want(0, "--metadata-dir", "--json")
	}
	runUpdater(t, "--nonsense").want(2, "unknown flag")
	runUpdater(t, "nonsense").want(2, "unknown command")
}

func TestLinksNoHeavyLibraries(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, module := range []string{"github.com/theupdateframework/go-tuf", "github.com/transparency-dev/tessera", "github.com/google/trillian", "github.com/sigstore/", "modernc.org/"} {
		if strings.Contains(string(out), module) {
			t.Errorf("the updater links %s", module)
		}
	}
}

// A clock that was never set is none.
func TestClock(t *testing.T) {
	for _, tt := range []struct{ flag, clock, want string }{
		{"", "2026-11-29T12:00:00Z", "2026-11-29T12:00:00Z"},
		{"", "1970-01-01T00:00:07Z", ""},
		{"", "2000-01-01T00:00:00Z", ""},
		{"none", "2026-11-29T12:00:00Z", ""},
		{"2020-02-02T02:02:02Z", "1970-01-01T00:00:07Z", "2020-02-02T02:02:02Z"},
	} {
		clock, err := time.Parse(time.RFC3339, tt.clock)
		if err != nil {
			t.Fatal(err)
		}
		o := options{now: tt.flag}
		got, err := o.clock(clock)
		if want, _ := time.Parse(time.RFC3339, tt.want); err != nil || !got.Equal(want) {
			t.Errorf("--now %q at %s: %v, %v; want %q", tt.flag, tt.clock, got, err, tt.want)
		}
	}
	if _, err := (&options{now: "yesterday"}).clock(time.Now()); err == nil || !strings.Contains(err.Error(), "such as 2026-") {
		t.Errorf("--now yesterday: %v", err)
	}
}
