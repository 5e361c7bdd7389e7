package device_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/verify"
)

func TestMain(m *testing.M) { runtest.Main(m) }

// A program ends in the same codes, for people and for machines, with 1.
func TestScenesAsProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the updater")
	}
	stage := newStage(t)
	played := 0
	for _, s := range scenes() {
		if !s.process {
			continue
		}
		played++
		t.Run(s.name, func(t *testing.T) {
			w := stage.open(t, s.name)
			s.do(w)
			had := w.installed()
			stdout, stderr, code := runtest.Run(t, "updater", w.flags()...)
			var out struct {
				Refused *struct {
					Code verify.Code `json:"code"`
					Role string      `json:"role"`
					Hint string      `json:"hint"`
				} `json:"refused"`
			}
			if err := json.Unmarshal([]byte(stdout), &out); err != nil {
				t.Fatalf("%v: exit %d\n%s%s", err, code, stdout, stderr)
			}
			r := out.Refused
			if code != 1 || r == nil || r.Code != s.code || r.Role != s.role || r.Hint == "" || !strings.Contains(stderr, " ("+string(s.code)+"): ") || !strings.Contains(stderr, "hint: "+r.Hint) {
				t.Errorf("exit %d, want %s of %q\n%s%s", code, s.code, s.role, stdout, stderr)
			}
			s.check(t, w, had, &verify.Refusal{Code: r.Code, Role: r.Role, Detail: s.says})
		})
	}
	if played < 15 {
		t.Errorf("%d scenes", played)
	}
}

// flags are those with which the updater does what update does.
func (w *world) flags() []string {
	write := func(name, content string) string {
		path := filepath.Join(w.t.TempDir(), name)
		must(w.t, os.WriteFile(path, []byte(content), 0o644))
		return path
	}
	flags := []string{
		"download", "--json", "--metadata-dir", w.dir, "--metadata-url", w.repo.URL, "--target-base-url", w.repo.TargetsURL,
		"--target-dir", filepath.Join(w.dir, "installed"), "--policy", write("policy.txt", w.policy), "--now", w.cfg.Now.Format(time.RFC3339),
		"--install-policy", write("install.json", fmt.Sprintf(`{"faulty_witnesses": %d}`, max(1, w.cfg.Install.FaultyWitnesses))),
	}
	for _, name := range w.want {
		flags = append(flags, "--target-name", name)
	}
	if w.cfg.Limits.Timestamp > 0 {
		flags = append(flags, "--max-timestamp-length", fmt.Sprint(w.cfg.Limits.Timestamp))
	}
	if w.repo.Timeout > 0 {
		flags = append(flags, "--timeout", w.repo.Timeout.String())
	}
	return flags
}
