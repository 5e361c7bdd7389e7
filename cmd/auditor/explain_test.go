package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/tuf"
)

// folder writes the vendor's metadata into a new folder.
func (w *world) folder() string {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, file := range w.vendor.Files() {
		w.must(os.WriteFile(filepath.Join(dir, name), file, 0o644))
	}
	return dir
}

// A team gets power over a file: from the log and from folders alike, diff says that and
// radius says what it means.
func TestDiffAndRadius(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program twenty times")
	}
	w := newWorld(t)
	before := w.folder()
	w.must(w.vendor.Delegate(tuf.RoleTargets, "team", "*.bin"))
	w.release("notes.txt", "hello")
	after := w.folder()
	_, file := w.vendor.File(tuf.RoleTargets)
	if err := os.WriteFile(filepath.Join(after, "unrelated.json"), []byte(`{"a": 1}`), 0o644); err != nil {
		t.Fatal(err)
	}

	for _, args := range [][]string{
		{"1", "2", "--policy", w.policy},
		{"targets:2", "targets:3", "--repository", w.repo.String()[:8], "--policy", w.policy},
		{"targets:2", "targets:3", "--dir", after},
		{filepath.Join(before, "2.targets.json"), filepath.Join(after, "3.targets.json")},
		{before, after},
	} {
		out, _ := w.run(0, append([]string{"diff"}, args...)...)
		w.wantAll(out, "targets 3 against 2: 2 changes.\n  It newly delegates *.bin to team, which takes 1 of 1 keys.\n  Target notes.txt is new: 5 bytes, sha256 2cf24dba….\n")
	}
	out, _ := w.run(0, "diff", before, before)
	w.wantAll(out, "Nothing differs.\n")
	out, _ = w.run(0, "diff", "1", "2", "--policy", w.policy, "--json")
	var d diff
	w.must(json.Unmarshal([]byte(out), &d))
	if d.Repository != w.repo.String() || *d.From.Index != 1 || d.To.Version != 3 || len(d.Files) != 1 || d.Files[0].Changes[0].Kind != explain.DelegationAdded {
		t.Errorf("%s", out)
	}

	verdict := "targets 3 (entry 2): "
	for _, args := range [][]string{
		{"--repository", w.repo.String()[:8], "--policy", w.policy},
		{"--repository", w.repo.String()[:8], "--policy", w.policy, "--release", "targets:3"},
		{"--repository", w.repo.String()[:8], "--policy", w.policy, "--release", "2"},
		{"--dir", after, "--release", "targets:3"},
		{"--dir", after, "--before", before},
	} {
		out, _ := w.run(0, append([]string{"radius", "app.bin"}, args...)...)
		switch args[0] {
		case "--repository":
			w.wantAll(out, verdict)
		default:
			w.wantAll(out, "Note: Not metadata of the role that the name says, and left out: unrelated.json.\n")
		}
		w.wantAll(out, "This release does not change who can replace the file: it takes 1 key.\n", "\napp.bin:\n  As before, it takes 1 key to replace app.bin.\n", "("+tuf.RoleRoot+")\n")
	}
	// The team's power is over the paths that targets does not list.
	out, _ = w.run(0, "radius", "new.bin", "--dir", after, "--before", before)
	w.wantAll(out, "No role lists such a file yet.", "New files:\n  at paths such as new.bin:\n", "    + key ", " (team) and key ")
	first, _ := w.run(0, "radius", "--dir", after, "--before", before, "--json")
	second, _ := w.run(0, "radius", "--dir", after, "--before", before, "--json")
	var r radius
	w.must(json.Unmarshal([]byte(first), &r))
	if first != second || len(r.Impact.Groups) != 1 || r.Impact.Groups[0].Verdict == nil {
		t.Errorf("%s", first)
	}

	for _, wrong := range []struct {
		args []string
		says string
	}{
		{[]string{"radius", "--dir", after, "--repository", "ab"}, "want either --dir"},
		{[]string{"radius"}, "want either --dir"},
		{[]string{"radius", "--repository", w.repo.String()}, "want --policy"},
		{[]string{"radius", "--dir", after, "--release", "targets:9"}, "has no version 9 of targets"},
		{[]string{"radius", "--dir", after, "--release", "3"}, "want ROLE:VERSION"},
		{[]string{"radius", "--dir", w.t.TempDir()}, "no metadata in JSON there"},
		{[]string{"radius", "--repository", w.repo.String(), "--policy", w.policy, "--release", "targets:9"}, "has no release targets:9"},
		{[]string{"diff", "targets:2", "targets:3"}, "for releases in the log give --policy"},
		{[]string{"diff", "targets:2", "targets:3", "--policy", w.policy}, "want --repository, or the index"},
		{[]string{"diff", before, filepath.Join(after, "3.targets.json")}, "want two files or two folders"},
		{[]string{"diff", filepath.Join(after, "1.root.json"), filepath.Join(after, "3.targets.json")}, "only files of one role"},
		{[]string{"diff", "0", "9", "--policy", w.policy}, "the log has no release at entry 9"},
		{[]string{"diff", "0", "1", "--policy", w.policy}, `entry 0 is of role "root" and entry 1 of "targets"`},
	} {
		_, errs := w.run(2, wrong.args...)
		w.wantAll(errs, wrong.says)
	}
	// A damaged file that a device would read is not passed over.
	w.must(os.WriteFile(filepath.Join(after, "3.targets.json"), file[1:], 0o644))
	_, errs := w.run(2, "radius", "--dir", after)
	w.wantAll(errs, "3.targets.json: ")
}

// The examples of docs/auditing.md are what the program prints for the real histories.
func TestExamplesOfTheDocs(t *testing.T) {
	histories := realdata.Histories(t)
	text, err := os.ReadFile("../../docs/auditing.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := examplesOf(string(text))
	if len(examples) < 4 {
		t.Fatalf("docs/auditing.md has %d examples", len(examples))
	}
	for _, command := range slices.Sorted(maps.Keys(examples)) {
		args := strings.Fields(strings.ReplaceAll(command, "'", ""))
		cmd := runtest.Command(t, args[0], args[1:]...)
		cmd.Dir = histories
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v", command, err)
		}
		// The page breaks long lines.
		if got, want := strings.Fields(string(out)), strings.Fields(examples[command]); !slices.Equal(got, want) {
			t.Errorf("docs/auditing.md is not up to date: %s prints\n%s", command, out)
		}
	}
}

// examplesOf returns what a page says that commands print: indented lines, the first of which
// begins with a dollar sign.
func examplesOf(page string) map[string]string {
	examples := map[string]string{}
	command := ""
	for line := range strings.Lines(page) {
		text, indented := strings.CutPrefix(line, "    ")
		switch {
		case indented && strings.HasPrefix(text, "$ "):
			command = strings.TrimSpace(text[2:])
			examples[command] = ""
		case indented || strings.TrimSpace(line) == "":
			if command != "" {
				examples[command] += text
			}
		default:
			command = ""
		}
	}
	return examples
}
