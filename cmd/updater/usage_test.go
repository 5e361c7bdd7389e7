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

// The help of a command has the flags that it reads, and no others; the flags that are named
// exist.
func TestHelpHasTheFlagsThatAreRead(t *testing.T) {
	root := newCommand()
	for name, read := range reads {
		if cmd, _, err := root.Find(strings.Fields(name)); err != nil || cmd.CommandPath() != "updater "+name {
			t.Errorf("no command %q: %v", name, err)
		}
		for _, f := range strings.Fields(read) {
			if root.PersistentFlags().Lookup(f) == nil {
				t.Errorf("%s: no flag %q", name, f)
			}
		}
	}
	for args, want := range map[string]string{
		"pending":        "--json --metadata-dir --now --wait",
		"policy explain": "--install-policy --json --metadata-dir --policy --transparency",
		"policy compile": "--policy",
		"pigweed verify": "--json --policy --wait",
	} {
		root := newCommand()
		var out strings.Builder
		root.SetOut(&out)
		root.SetArgs(append(strings.Fields(args), "--help"))
		if err := root.Execute(); err != nil {
			t.Error(err)
		}
		_, global, _ := strings.Cut(out.String(), "Global Flags:")
		var flags []string
		for _, word := range strings.Fields(global) {
			if strings.HasPrefix(word, "--") {
				flags = append(flags, word)
			}
		}
		if got := strings.Join(flags, " "); got != want {
			t.Errorf("%s --help shows %s", args, got)
		}
	}
	// All are still taken, before the name of the command too.
	runUpdater(t, "--metadata-url", "https://example.com", "status", "--metadata-dir", t.TempDir()).want(2, "no state there")
}
