package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
)

// The example of docs/formats.md proves its point against the log of that page,
// and nothing against anybody else.
func TestEvidenceCheck(t *testing.T) {
	page, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "    tuflog conflict v1\n")
	if !ok {
		t.Fatal("docs/formats.md has no conflict")
	}
	conflict := "tuflog conflict v1\n"
	for line := range strings.Lines(rest) {
		text, indented := strings.CutPrefix(line, "    ")
		if !indented && line != "\n" {
			break
		}
		conflict += text
	}
	file := filepath.Join(t.TempDir(), "fork.conflict")
	for _, tt := range []struct {
		name, content, key string
		code               int
	}{
		{"the log", strings.TrimSuffix(conflict, "\n"), "log.example+9a17cc74+AX0FAN2MJHCk+kN5j3226ZxHteuBijp8PCBAdox7FVyo", 0},
		{"a witness that signed one", strings.TrimSuffix(conflict, "\n"), "w1.example+b5930470+BEW9RypDQ+0/nEmheC8b5ExJgro4++cLTiZjAKjjx99C", 1},
		{"cut short", conflict[:100], "log.example+9a17cc74+AX0FAN2MJHCk+kN5j3226ZxHteuBijp8PCBAdox7FVyo", 1},
	} {
		if err := os.WriteFile(file, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if stdout, stderr, code := runtest.Run(t, "auditor", "evidence", "check", "--key", tt.key, file); code != tt.code {
			t.Errorf("%s: exit %d, want %d\n%s%s", tt.name, code, tt.code, stdout, stderr)
		}
	}
}

// Two payloads of one version accuse nobody: a file does not name its role.
func TestEvidenceCheckOfPayloads(t *testing.T) {
	targets := func(version int, path string) string {
		return fmt.Sprintf(`{"signatures":[],"signed":{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0.31","targets":{%q:{"hashes":{"sha256":"%064d"},"length":1}},"version":%d}}`, path, 0, version)
	}
	dir := t.TempDir()
	for _, tt := range []struct {
		a, b, says string
		code       int
	}{
		{targets(1, "a"), targets(1, "b"), "are not a proof of equivocation", 1},
		{targets(1, "a"), targets(2, "b"), "two releases", 1},
		{targets(1, "a"), targets(1, "a") + "\n", "one release", 1},
		{targets(1, "a"), "{}", "b.json", 2},
	} {
		a, b := filepath.Join(dir, "a.json"), filepath.Join(dir, "b.json")
		for path, text := range map[string]string{a: tt.a, b: tt.b} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, stderr, code := runtest.Run(t, "auditor", "evidence", "check", a, b)
		if code != tt.code || !strings.Contains(stderr, tt.says) {
			t.Errorf("exit %d, want %d: %s", code, tt.code, stderr)
		}
	}
}

// What replay keeps of a fork convinces evidence check. A file of another kind is no
// verdict, and the message says what it is.
func TestEvidenceCheckOfReplay(t *testing.T) {
	w := newWorld(t)
	fork := w.log.Clone()
	w.equivocate()
	for fork.Size() < w.log.Size() {
		fork.Append([]byte("of another history"))
	}
	state := filepath.Join(t.TempDir(), "state")
	w.run(1, "replay", "--policy", w.policy, "--state", state)
	folders, err := filepath.Glob(filepath.Join(state, "evidence", "second-payload-*"))
	if w.must(err); len(folders) != 1 {
		t.Fatal(folders)
	}
	accusation := filepath.Join(folders[0], "equivocation.accusation")
	out, _ := w.run(0, "evidence", "check", "--policy", w.policy, accusation)
	w.wantAll(out, "the keys of repository "+w.repo.String()+" signed two payloads of targets 3", "in log "+audittest.Origin+" they are entries 2 and 3")
	// Another log's policy does for what needs no log.
	other := filepath.Join(t.TempDir(), "policy.txt")
	w.must(os.WriteFile(other, []byte(audittest.New(t).PolicyText("https://other.example")), 0o600))
	out, _ = w.run(0, "evidence", "check", "--policy", other, "--json", accusation)
	w.wantAll(out, `"proved": true`, `"unchecked": "`+audittest.Origin+`"`, "signed two payloads of targets 3", "which entries of log "+audittest.Origin+" they are was not checked")
	if strings.Contains(out, "they are entries") {
		t.Errorf("said of a log without its key: %s", out)
	}
	proofsDir := t.TempDir()
	w.run(1, "lookup", "--policy", w.policy, "--proofs", proofsDir, tuf.Sum([]byte("for one")).String())
	sidecars, err := filepath.Glob(filepath.Join(proofsDir, "*.tlog-proof"))
	if w.must(err); len(sidecars) == 0 {
		t.Fatal("no proofs")
	}
	// It may as well never end.
	huge := filepath.Join(t.TempDir(), "huge")
	w.must(os.WriteFile(huge, nil, 0o600))
	w.must(os.Truncate(huge, fraud.MaxAccusationSize+1))
	const tooLarge = "bytes, the most that can be checked here: too large"
	for _, args := range [][]string{{"evidence", "check", "--policy", w.policy, huge, huge}, {"show", "--policy", w.policy, huge}} {
		_, errs := w.run(2, args...)
		w.wantAll(errs, tooLarge)
	}
	for _, tt := range []struct{ file, says string }{
		{huge, tooLarge},
		{sidecars[0], "is a proof that a log holds one entry, and not evidence by itself"},
		{filepath.Join(folders[0], "finding.json"), "is a finding of an auditor"},
		{state + ".newest", "is one signed checkpoint"},
		{filepath.Join(state, "state.sqlite"), "is a database, as the state of an auditor is"},
		{w.policy, "is not evidence: its first line is not"},
		{folders[0], "is a directory"},
	} {
		out, errs := w.run(2, "evidence", "check", "--policy", w.policy, tt.file)
		if w.wantAll(errs, tt.says); out != "" {
			t.Errorf("%s: %s", tt.file, out)
		}
	}

	w.log.Serve(fork.Checkpoint(fork.Size(), 2))
	w.run(1, "replay", "--policy", w.policy, "--state", state)
	forks, err := filepath.Glob(filepath.Join(state, "evidence", "fork-*", "fork.conflict"))
	if w.must(err); len(forks) != 1 {
		t.Fatal(forks)
	}
	out, _ = w.run(0, "evidence", "check", "--policy", w.policy, forks[0])
	w.wantAll(out, audittest.Origin)

	// Of several files the worst decides, and each is named.
	out, errs := w.run(2, "evidence", "check", "--policy", w.policy, forks[0], accusation, w.policy)
	w.wantAll(out, forks[0]+": "+audittest.Origin+" showed two histories", accusation+": the keys of repository")
	w.wantAll(errs, w.policy+" is not evidence")
	cut := filepath.Join(t.TempDir(), "cut.accusation")
	whole, err := os.ReadFile(accusation)
	w.must(err)
	w.must(os.WriteFile(cut, whole[:len(whole)-1], 0o600))
	_, errs = w.run(1, "evidence", "check", "--policy", w.policy, accusation, w.policy, cut)
	w.wantAll(errs, w.policy+" is not evidence", cut+": accusation: ")
	var list []struct {
		File   string
		Proved bool
		Error  string

		Statement evidence.Statement
	}
	out, _ = w.run(1, "evidence", "check", "--json", "--policy", w.policy, accusation, cut)
	w.must(json.Unmarshal([]byte(out), &list))
	if len(list) != 2 || !list[0].Proved || list[0].Statement.Kind != evidence.Equivocation || list[0].Statement.Repository != w.repo || list[1].Proved || list[1].Error == "" {
		t.Errorf("as JSON: %s", out)
	}
}
