package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Init gives a device root and policies in one step, and all runs go by them.
func TestProvisioning(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program a dozen times")
	}
	s := newSite(t)
	s.release("app", "one")
	d := &machine{t: t, site: s, dir: t.TempDir()}
	write := func(name, content string) string {
		path := filepath.Join(d.dir, name)
		s.must(os.WriteFile(path, []byte(content), 0o644))
		return path
	}
	root := write("given.json", string(s.get("/metadata/1.root.json")))
	initialise := func(more ...string) ran {
		t.Helper()
		return d.run(append([]string{"init", "--metadata-dir", d.metadata(), root}, more...)...)
	}
	// What no update could meet is noticed at the factory, and leaves nothing behind.
	initialise("--policy", s.log.policy, "--install-policy", write("unfit.json", `{"faulty_witnesses": 2}`)).want(1, "no device could be updated by these policies: faulty_witnesses is 2")
	initialise("--policy", write("broken.txt", "quorum 7\n")).want(2, "broken.txt")
	initialise("--policy", filepath.Join(d.dir, "none.txt")).want(2, "--policy: ")
	initialise("--policy", s.log.policy, "--install-policy", write("typo.json", `{"min_agee": "1h"}`)).want(2, "min_agee")
	if _, err := os.Stat(d.metadata()); err == nil {
		t.Error("a device was made")
	}

	install := write("install.json", `{"min_age": "1h"}`)
	initialise("--policy", s.log.policy, "--install-policy", install).want(0, "trusted root 1", "trust policy: the one given now\ninstall policy: the one given now\n")
	s.must(os.Remove(install)) // it has a copy
	refresh := func(more ...string) ran {
		t.Helper()
		return d.run(append([]string{"refresh", "--metadata-dir", d.metadata(), "--metadata-url", s.url + "/metadata"}, more...)...)
	}
	// Without what it was given a device does not go by other policies.
	kept := filepath.Join(d.metadata(), "updater.install")
	s.must(os.Rename(kept, kept+".gone"))
	for range 2 {
		refresh().want(1, "could not update (device): the install policy that the device was given is gone: "+kept)
	}
	d.run("policy", "explain", "--metadata-dir", d.metadata()).want(2, "is gone")
	refresh("--install-policy", kept+".gone").want(1, "refused (too-young): targets")
	initialise("--install-policy", kept+".gone").want(0)
	s.must(os.Remove(filepath.Join(d.metadata(), "updater.policy")))
	refresh().want(1, "could not update (device): the trust policy that the device was given is gone")
	initialise("--policy", s.log.policy).want(0)
	refresh().want(1, "refused (too-young): targets")
	d.run("policy", "explain", "--metadata-dir", d.metadata()).want(0, "has to have been public for 1 hour")
	refresh("--install-policy", write("other.json", `{}`)).want(0)

	// Other policies, of the same device: less than before its owner has to approve of.
	initialise("--install-policy", write("later.json", `{"min_age": "1s"}`)).want(0)
	refresh("--now", "none").want(0)
	d.run("policy", "explain", "--metadata-dir", d.metadata()).want(0, "1 second")
	// It says what is in force then, which is not what a new device would have.
	s.must(s.vendor.Rotate("root"))
	s.publish()
	refresh().want(0)
	initialise().want(0, "trusted root 2,", "trust policy: the one given before\ninstall policy: the one given before\n")
	if r := initialise("--install-policy", write("later.json", `{"min_age": "1s"}`)).want(0); strings.Contains(r.stdout, "less") {
		t.Error(r.stdout)
	}
	initialise("--install-policy", write("roots.json", `{"require": ["root"]}`)).want(0, "install policy: the one given now", "they require less than before: no proof is required of targets", "the owner has to approve")
	if r := initialise("--json").want(0); !strings.Contains(r.stdout, `"less": "no proof is required of targets`) || !strings.Contains(r.stdout, `"root": 2`) {
		t.Error(r.stdout)
	}
	refresh().want(1, "refused (evidence-downgrade)")
	if r := d.run("verify", "--metadata-dir", d.metadata()); strings.Contains(r.stderr, "--policy is needed") {
		t.Error(r.stderr)
	}
	// Another root is another device, whose policies stay what they were.
	twin := newSite(t)
	root = write("other-root.json", string(twin.get("/metadata/1.root.json")))
	initialise("--install-policy", write("none.json", `{}`)).want(1, "belongs to a device that was given another root")
	d.run("policy", "explain", "--metadata-dir", d.metadata()).want(0, "Proofs are needed of the newest root")
	d.run("policy", "explain").want(2, "--policy is needed")
}
