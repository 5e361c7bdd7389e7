package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/internal/sqlitefile"
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

// What is kept beside the leaves has good checksums here, and cannot be read.
func TestUnreadableFindings(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program a dozen times")
	}
	w := newWorld(t)
	w.equivocate()
	dir := filepath.Join(t.TempDir(), "state")
	w.run(1, "replay", "--policy", w.policy, "--state", dir)
	path := filepath.Join(dir, state.FileName)
	good, err := os.ReadFile(path)
	w.must(err)
	replay := []string{"replay", "--policy", w.policy, "--state", dir}
	findings := []string{"findings", "--state", dir}
	for change, also := range map[string][][]string{
		"UPDATE findings SET body = 'no JSON'":                        {replay, findings},
		"UPDATE findings SET body = '[1]'":                            {replay, findings},
		"UPDATE meta SET value = 'no JSON' WHERE name = 'looks'":      {replay},
		"UPDATE facts SET value = 'no JSON' WHERE name LIKE 'life/%'": nil,
		"DROP TABLE suppressed":                                       {replay, findings},
		"DROP TABLE findings":                                         {replay, findings},
	} {
		w.must(os.WriteFile(path, good, 0o644))
		db, err := sqlitefile.OpenChecked(path, 5)
		w.must(err)
		done, err := db.ExecContext(t.Context(), change)
		w.must(errors.Join(err, db.Close()))
		if n, err := done.RowsAffected(); err != nil || n == 0 && strings.HasPrefix(change, "UPDATE") {
			t.Fatalf("%s: nothing to change: %v", change, err)
		}
		_, errs := w.run(1, "state", "check", "--state", dir)
		w.wantAll(errs, "the state is damaged")
		for _, args := range also {
			_, errs := w.run(2, args...)
			w.wantAll(errs, "the state is damaged")
		}
		_, errs, code := runtest.Run(t, "auditor", "export", filepath.Join(t.TempDir(), "out.sqlite"), "--policy", w.policy, "--state", dir)
		if code != 0 && !strings.Contains(errs, "the state is damaged") {
			t.Errorf("%s: %s", change, errs)
		}
	}
}
