package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// create makes a bundle of what the site serves.
func (d *machine) create(more ...string) (path string, r ran) {
	d.t.Helper()
	path = filepath.Join(d.dir, "update.bundle")
	return path, d.run(append([]string{"bundle", "create", path, "--policy", d.site.log.policy, "--metadata-url", d.site.url + "/metadata", "--target-base-url", d.site.url + "/targets"}, more...)...)
}

// installBundle updates the device from a bundle.
func (d *machine) installBundle(path string, more ...string) ran {
	d.t.Helper()
	return d.run(append([]string{"bundle", "install", path, "--policy", d.site.log.policy, "--metadata-dir", d.metadata(), "--target-dir", d.targets()}, more...)...)
}

// A device that has lain in a drawer for two years is updated from a stick, by whatever its
// clock shows, and says how old what it knows is. A stick that has lain there as well is
// refused by a clock, and installed where expiry is judged by witnesses alone.
func TestTwoYearsInADrawer(t *testing.T) {
	now := time.Now()
	then := now.Add(-2 * 365 * 24 * time.Hour)
	s := newSiteOf(t, then)
	s.log.at = then
	s.release("fw", "old")
	drawer := s.newDevice() // a copy of its directory for each of the scenes
	drawer.download("fw", "--now", then.Format(time.RFC3339)).want(0)
	device := func() *machine {
		t.Helper()
		d := &machine{t: t, site: s, dir: t.TempDir()}
		s.must(os.CopyFS(d.dir, os.DirFS(drawer.dir)))
		return d
	}
	installs := func(d *machine, content string) {
		t.Helper()
		if b, err := os.ReadFile(filepath.Join(d.targets(), "fw")); err != nil || string(b) != content {
			t.Errorf("the target is %q, %v; want %q", b, err, content)
		}
	}
	s.must(s.vendor.Put("targets", "fw", []byte("less old")))
	s.log.at = then.Add(time.Hour)
	s.must(s.vendor.Release("targets"))
	s.publish()
	lain, made := drawer.create("--target-name", "fw", "--now", then.Add(2*time.Hour).Format(time.RFC3339))
	made.want(0, "devices that go by a clock install it until "+then.Add(24*time.Hour).UTC().Format("2006-01-02"))
	s.must(os.Rename(lain, lain+".lain"))
	lain += ".lain"
	s.seen()

	d := device()
	d.installBundle(lain).want(1, "refused (expired): root: version 1 expired at", "--now none")
	installs(d, "old")
	d.installBundle(lain, "--now", "none").want(0, "what this device knows is of "+then.Add(time.Hour).UTC().Format(time.RFC3339)+", 729 days ago by its clock (which expiry was not judged by)")
	installs(d, "less old")
	var out result
	lines := strings.Split(strings.TrimSpace(device().installBundle(lain, "--now", "none", "--json").want(0).stdout), "\n")
	s.must(json.Unmarshal([]byte(lines[len(lines)-1]), &out))
	if out.Known != then.Add(time.Hour).UTC().Format(time.RFC3339) || out.Event != "result" || !out.OK || out.Targets[0].Verdict != "ok" {
		t.Errorf("%+v", out)
	}
	device().installBundle(lain, "--now", then.Format(time.RFC3339)).want(0, "which is later than its clock shows")
	drawer.run("bundle", "refresh", lain, "--policy", s.log.policy).want(1, "refused (expired): root")
	if got := s.seen(); len(got) > 0 {
		t.Errorf("requests %q", got)
	}

	if testing.Short() {
		return // what follows are as many processes again
	}

	// A stick of today: the vendor has gone on meanwhile, with other keys.
	s.log.at = time.Time{}
	s.vendor.Extend(now.Add(24 * time.Hour))
	for _, role := range []string{"root", "targets", "snapshot", "root"} {
		s.must(s.vendor.Rotate(role))
	}
	s.release("fw", "new")
	today, made := drawer.create("--target-name", "fw")
	made.want(0, "1 target, ")
	s.seen()
	for clock, says := range map[string]string{
		now.Format(time.RFC3339):                                    "Z, which is now by its clock",
		then.Format(time.RFC3339):                                   "Z, which is later than its clock shows: " + then.UTC().Format(time.RFC3339),
		now.Add(10*time.Hour + 30*time.Minute).Format(time.RFC3339): "Z, 10 hours ago by its clock",
		"none": " (which expiry was not judged by)",
	} {
		d := device()
		if r := d.installBundle(today, "--now", clock).want(0, "what this device knows is of ", says); !strings.Contains(r.stdout, "root ") {
			t.Errorf("stdout %s", r.stdout)
		}
		installs(d, "new")
	}
	// What the device has seen since counts, whatever is said about the clock.
	d.installBundle(today).want(0)
	d.installBundle(lain, "--now", "none").want(1, "refused (rollback)")
	installs(d, "new")
	if got := s.seen(); len(got) > 0 {
		t.Errorf("requests %q", got)
	}
}

// What has changed in a bundle since it was made is found out, and nothing is changed by
// looking.
func TestBundleVerify(t *testing.T) {
	if testing.Short() {
		t.Skip("a process for each of many damages")
	}
	s := newSite(t)
	s.must(s.vendor.Rotate("root"))
	s.release("dir/fw", "one")
	d := s.newDevice()
	path, r := d.create("--all-targets")
	r.want(0, "repository "+s.id.String()+": it is not pinned", "1 target, ", "dir/fw\n", "devices that go by a clock install it until 20")
	again, err := os.ReadFile(path)
	s.must(err)
	d.create("--target-name", "dir/fw", "--trusted-root", filepath.Join(d.dir, "given.json"))
	if b, err := os.ReadFile(path); err != nil || string(b) != string(again) {
		t.Errorf("made twice, it is not the same: %v", err)
	}
	before := d.contents()
	verify := func(more ...string) ran {
		t.Helper()
		return d.run(append([]string{"bundle", "verify", path, "--policy", s.log.policy}, more...)...)
	}
	s.seen()
	verify().want(0, "repository "+s.id.String()+": it is not pinned", "root ", "dir/fw")
	verify("--metadata-dir", d.metadata()).want(0, "pinned by the device in")
	verify("--trusted-root", filepath.Join(d.dir, "given.json")).want(0, "pinned by --trusted-root")
	out := checked(t, verify("--json").want(0))
	if !out.OK || len(out.Roles) != 4 || len(out.Targets) != 1 || out.Targets[0].Verdict != "ok" || out.Known == "" {
		t.Errorf("%+v", out)
	}
	other := newSite(t)
	otherDevice := other.newDevice()
	verify("--metadata-dir", otherDevice.metadata()).want(1, "refused (")
	for name, damage := range map[string]struct {
		change func(string) string
		why    string
	}{
		"cut short":      {func(b string) string { return b[:len(b)-1] }, "not a bundle: it has"},
		"longer":         {func(b string) string { return b + "x" }, "not a bundle: it has"},
		"another target": {func(b string) string { return b[:len(b)-1] + "E" }, "refused (bad-metadata): target \"dir/fw\""},
		"a proof damaged": {func(b string) string {
			return strings.Replace(b, "c2sp.org/tlog-proof@v1\nextra", "c2sp.org/tlog-proof@v1\nextrA", 3)
		}, "refused (bad-proof)"},
		"a file renamed": {func(b string) string {
			return strings.Replace(b, "metadata/2.targets.json ", "metadata/3.targets.json ", 1)
		}, "comes after"},
		"another file": {func(string) string { return "PK" }, "not a bundle: it begins with"},
	} {
		s.must(os.WriteFile(path, []byte(damage.change(string(again))), 0o644))
		verify().want(1, damage.why)
		if r := s.newDevice().installBundle(path); r.code != 1 || !strings.Contains(r.stderr, damage.why) {
			t.Errorf("%s: installed: exit %d, %s", name, r.code, r.stderr)
		}
	}
	s.must(os.WriteFile(path, again, 0o644))
	d.run("bundle", "verify", path+".none", "--policy", s.log.policy).want(2, "no such file")
	verify("--metadata-dir", d.dir+"/none").want(2)
	d.run("verify", path, "--policy", s.log.policy).want(2, "is a bundle: use updater bundle verify")
	verify("--trusted-root", "x", "--metadata-dir", "y").want(2, "a device has its own root")
	if len(s.seen()) > 0 {
		t.Error("requests were made")
	}
	_ = before

	for name, content := range d.contents() {
		if name != "updater.lock" && content != before[name] {
			t.Errorf("%s was changed", name)
		}
	}

	// Nothing is written of what a device would refuse, and what is there stays.
	s.set("/targets/dir/"+s.hashOf("dir/fw")+".fw", []byte("two"))
	refused := func(why string, more ...string) {
		t.Helper()
		_, r := d.create(append(more, "--target-name", "dir/fw")...)
		r.want(1, why)
		if b, err := os.ReadFile(path); err != nil || string(b) != string(again) {
			t.Errorf("the bundle that was there has gone: %v", err)
		}
		if left, err := filepath.Glob(filepath.Join(d.dir, ".update.bundle*")); err != nil || len(left) > 0 {
			t.Errorf("left %q, %v", left, err)
		}
	}
	refused("refused (bad-metadata): target \"dir/fw\": the target's sha")
	refused("no role that is trusted for it lists it", "--target-name", "none")
	s.set("/targets/dir/"+s.hashOf("dir/fw")+".fw", nil)
	refused("404 Not Found")
	s.set("/metadata/2.targets.json.tlog-proof", nil)
	refused("refused (not-logged): targets: version 2")
	s.set("/metadata/1.root.json", nil)
	refused("no root to begin with: name one with --trusted-root")
	for _, wrong := range [][]string{nil, {"--all-targets", "--target-name", "x"}} {
		_, r := d.create(wrong...)
		r.want(2, "which targets?")
	}
}

// Newer proofs come from the log, in the place that the trust policy names, and make a
// release old enough.
func TestBundleRefresh(t *testing.T) {
	if testing.Short() {
		t.Skip("several processes; device/bundle has the same without them")
	}
	s := newSite(t)
	now := time.Now()
	s.log.at = now.Add(-3 * time.Hour)
	s.release("fw", "one")
	d := s.newDevice()
	path, r := d.create("--target-name", "fw")
	r.want(0)
	install := filepath.Join(d.dir, "install.json")
	s.must(os.WriteFile(install, []byte(`{"min_age":"2h"}`), 0o644))
	d.installBundle(path, "--install-policy", install).want(1, "refused (too-young): targets: version 2")
	refresh := func(policy string, more ...string) ran {
		t.Helper()
		return d.run(append([]string{"bundle", "refresh", path, "--policy", policy}, more...)...)
	}
	refresh(s.log.policy).want(1, "the trust policy has no URL for log log.example/test")
	text, err := os.ReadFile(s.log.policy)
	s.must(err)
	policy := filepath.Join(d.dir, "policy.txt")
	s.must(os.WriteFile(policy, []byte(strings.Replace(string(text), "\n", " "+s.url+"/log\n", 1)), 0o644))
	refresh(policy).want(1, "could not update (network): ", "the log did not answer", "404 Not Found")
	entry := fmt.Sprintf("/log/v1/entries/%d/proof", s.log.size-1)
	s.set(entry, s.log.proof(s.leaf("1.root.json"), 0, 3, now))
	refresh(policy).want(1, "refused (bad-proof)")
	d.installBundle(path, "--install-policy", install).want(1, "refused (too-young): targets: version 2")

	s.set(entry, s.log.proof(s.leaf("2.targets.json"), s.log.size-1, 3, now))
	s.seen()
	refresh(policy).want(0, "PROOF OF", "targets", "renewed", "1 target, ")
	if got := s.seen(); len(got) != 1 || got[0] != entry {
		t.Errorf("requests %q", got)
	}
	d.installBundle(path, "--install-policy", install).want(0, "what this device knows is of "+now.UTC().Format(time.RFC3339))
	var out bundleResult
	s.must(json.Unmarshal([]byte(refresh(policy, "--json").want(0).stdout), &out))
	if !out.OK || len(out.Proofs) != 1 || out.Proofs[0].Written || out.Files != 8 || len(out.Targets) != 1 || out.Expires == "" {
		t.Errorf("%+v", out)
	}
	d.run("bundle", "verify", path, "--policy", policy, "--install-policy", install).want(0)
}

// The next trust policy is the device's own affair, also where init was given the install
// policy that names it: a bundle that has it does not put it among the targets.
func TestBundleWithTheNextPolicy(t *testing.T) {
	s := newSite(t)
	s.release("policy/trust.txt", s.log.PolicyText())
	s.release("fw", "one")
	d := s.newDevice()
	install := d.install(`{"root_quarantine":"7d","next_policy":"policy/trust.txt"}`)
	d.run(append([]string{"init", "--metadata-dir", d.metadata(), "--policy", s.log.policy, filepath.Join(d.dir, "given.json")}, install...)...).want(0)
	bundle := filepath.Join(d.dir, "all.bundle")
	d.run(append([]string{"bundle", "create", "--policy", s.log.policy, bundle, "--all-targets", "--metadata-url", s.url + "/metadata", "--target-base-url", s.url + "/targets"}, install...)...).want(0, "2 targets")
	d.run("bundle", "install", bundle, "--metadata-dir", d.metadata(), "--target-dir", d.targets()).want(0, "in place: fw")
	if entries, err := os.ReadDir(d.targets()); err != nil || len(entries) != 1 {
		t.Errorf("in the target directory are %v, %v", entries, err)
	}
}
