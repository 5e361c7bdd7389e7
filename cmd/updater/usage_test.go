//go:build unix

package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// Wrong usage has the exit code 2 in every command, says what is meant, once, and is told to
// machines too.
func TestWrongUsage(t *testing.T) {
	s := newSite(t)
	s.release("fw", "one")
	d := s.newDevice()
	in, from, policy := []string{"--metadata-dir", d.metadata()}, d.fromSite(), []string{"--policy", s.log.policy}
	for _, scene := range []struct {
		why  string
		args [][]string
	}{
		{"--target-dir is needed", [][]string{{"install", "fw", "--exec", "true {}"}, in, from, policy}},
		{"--policy is needed", [][]string{{"install", "fw", "--exec", "true {}", "--target-dir", d.targets()}, in, from}},
		{"--target-dir is needed", [][]string{{"download", "--target-name", "fw"}, in, from, policy}},
		{"--policy is needed", [][]string{{"bundle", "create", d.dir + "/b", "--all-targets"}, from}},
		{"updater policy explain: --policy: open nope.txt: no such file", [][]string{{"policy", "explain", "--policy", "nope.txt"}}},
		{"name a bundle: updater bundle create BUNDLE", [][]string{{"bundle", "create"}}},
		{"name an id, which updater pending prints: updater approve ID", [][]string{{"approve"}, in}},
		{"name the root that the device trusts, and not 2: updater init TRUSTED_ROOT", [][]string{{"init", "a", "b"}, in}},
	} {
		d.run(slices.Concat(scene.args...)...).want(2, scene.why)
	}
	var out result
	if r := d.run(slices.Concat([]string{"install", "fw", "--json"}, in, from, policy)...).want(2); json.Unmarshal([]byte(r.stdout), &out) != nil || !strings.Contains(out.Error, "--exec is needed") {
		t.Errorf("stdout %s", r.stdout)
	}
	d.run(slices.Concat([]string{"bundle", "create", d.dir + "/b", "--target-name", "none"}, from, policy)...).want(1, `not found (not-listed): target "none": no role`)
	// What a check leaves to the owner is nothing that the device has been offered.
	_, bundle := d.stick("fw")
	manual := d.install(`{"approval":"manual"}`)
	if r := d.run(slices.Concat([]string{"bundle", "verify", bundle}, in, policy, manual)...).want(1, "needs-approval", "hint: once an update has offered it to the device, and not only a check"); !strings.Contains(d.run("pending", "--metadata-dir", d.metadata()).want(0).stdout, "nothing waits") {
		t.Errorf("%s", r.stderr)
	}
}
