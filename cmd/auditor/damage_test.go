package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/bench/runtest"
)

// From a state with a bit that has flipped, each command says what it says from a whole
// one, or ends with 2 and says that the state is damaged.
func TestDamagedState(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program a hundred times")
	}
	w := newWorld(t)
	w.equivocate()
	dir := filepath.Join(t.TempDir(), "state")
	w.run(1, "replay", "--policy", w.policy, "--state", dir)
	path := filepath.Join(dir, state.FileName)
	good, err := os.ReadFile(path)
	w.must(err)
	file := filepath.Join(t.TempDir(), "app.bin")
	w.must(os.WriteFile(file, []byte("one"), 0o644))
	commands := [][]string{
		{"lookup", file, "--policy", w.policy, "--state", dir},
		{"findings", "--state", dir},
		{"show", w.repo.String()[:8], "--policy", w.policy, "--state", dir},
		{"radius", "--repository", w.repo.String()[:8], "--policy", w.policy, "--state", dir},
		{"state", "check", "--state", dir},
	}
	type said struct {
		out  string
		code int
	}
	whole := map[string]said{}
	for _, args := range commands {
		w.must(os.WriteFile(path, good, 0o644))
		out, errs, code := runtest.Run(t, "auditor", args...)
		if code == 2 {
			t.Fatalf("%v: %s", args, errs)
		}
		whole[args[0]] = said{out, code}
	}
	noticed := map[string]int{}
	pages := len(good) / 4096
	for page := range pages {
		b := bytes.Clone(good)
		b[page*4096+page*997%4096] ^= 1 << (page % 8)
		for i, args := range commands {
			if i > 0 && page%4 != 0 { // the first is what a person acts upon
				continue
			}
			w.must(os.WriteFile(path, b, 0o644))
			out, errs, code := runtest.Run(t, "auditor", args...)
			want := 2
			if args[0] == "state" {
				want = 1
			}
			switch {
			case code == want && strings.Contains(errs, "the state is damaged"):
				noticed[args[0]]++
			case code != whole[args[0]].code || out != whole[args[0]].out:
				t.Errorf("page %d of %d: %v: exit %d\n%s%s", page+1, pages, args, code, out, errs)
			}
		}
	}
	if noticed["lookup"] < pages/3 || noticed["state"] != (pages+3)/4 {
		t.Errorf("of %d pages: noticed %v", pages, noticed)
	}
}
