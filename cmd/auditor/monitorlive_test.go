package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/tuf"
)

// The alert about a live repository has a command that compares what it served with the copy
// of the log, without a network; and what is not in the configuration any more is not a
// finding any more.
func TestMonitorLiveCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs the program a dozen times")
	}
	w := newWorld(t)
	var served atomic.Pointer[map[string][]byte]
	publish := func(files map[string][]byte) { files = maps.Clone(files); served.Store(&files) }
	site := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, ok := (*served.Load())[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			http.NotFound(rw, r)
			return
		}
		_, _ = rw.Write(b)
	}))
	defer site.Close()
	log := httptest.NewServer(w.log)
	w.must(os.WriteFile(w.policy, []byte(w.log.PolicyText(log.URL)), 0o644))
	old := maps.Clone(w.vendor.Files())
	publish(old)
	evil, err := w.vendor.Clone()
	w.must(err)

	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	text := fmt.Sprintf("dir = 'd'\n[[log]]\nname = 'one'\npolicy = '%s'\ninterval = '100ms'\nmirror = true\n[[log.repository]]\nid = '%s'\nname = 'acme'\n", w.policy, w.repo)
	to := "[to.file]\ntype = 'jsonl'\npath = 'alerts.jsonl'\n[[route]]\nclasses = ['tampering', 'equivocation', 'unexpected', 'hygiene']\nto = ['file']\n"
	w.must(os.WriteFile(at("monitor.toml"), []byte(text+fmt.Sprintf("urls = ['%s/']\nevery = '1s'\nstale = '1s'\n", site.URL)+to), 0o644))
	s := runtest.Serve(t, "auditor", "monitor", "run", "--config", at("monitor.toml"))
	told := func(kind audit.Kind) alert.Event {
		t.Helper()
		var found alert.Event
		runtest.Eventually(t, "an alert of "+string(kind), func() bool {
			lines, err := os.ReadFile(at("alerts.jsonl"))
			if err != nil {
				return false
			}
			for line := range strings.Lines(string(lines)) {
				var e alert.Event
				if json.Unmarshal([]byte(line), &e) == nil && e.Type == alert.Opened && e.Finding.Kind == kind {
					found = e
					return true
				}
			}
			return false
		})
		return found
	}
	w.release("app.bin", "two")
	events := map[string]alert.Event{"behind": told(audit.LiveStale)}
	publish(w.vendor.Files())
	w.must(evil.Put(tuf.RoleTargets, "app.bin", []byte("for one")))
	w.must(evil.Release(tuf.RoleTargets))
	w.must(evil.Release(tuf.RoleTargets))
	publish(evil.Files())
	events["unlogged"] = told(audit.LiveUnlogged)
	runtest.Eventually(t, "the copy is whole", func() bool {
		b, err := os.ReadFile(at("d/mirror/one/checkpoint"))
		return err == nil && strings.Contains(string(b), fmt.Sprintf("\n%d\n", w.log.Size()))
	})
	s.Stop(t)

	// What is pasted needs neither the log nor the repository.
	site.Close()
	log.Close()
	for verdict, e := range events {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", e.Command)
		cmd.Env = append(os.Environ(), "PATH="+runtest.Programs(t, "auditor")+":"+os.Getenv("PATH"))
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput()
		role, _, _ := strings.Cut(e.Finding.Role, " ")
		if !strings.HasPrefix(e.Command, "auditor compare ") || !strings.Contains(string(out), role+" "+fmt.Sprint(e.Finding.Version)) || !strings.Contains(string(out), " "+verdict) ||
			cmd.ProcessState.ExitCode() != map[string]int{"behind": 0, "unlogged": 1}[verdict] {
			t.Errorf("%s: exit %d\n%s", e.Command, cmd.ProcessState.ExitCode(), out)
		}
	}

	// The URL is taken out of the configuration; the repository keeps its name.
	open := func() string { return runtest.Must(t, "auditor", "findings", "--state", at("d/logs/one")) }
	w.wantAll(open(), "live-unlogged")
	w.must(os.WriteFile(at("monitor.toml"), []byte(text+to), 0o644))
	runtest.Run(t, "auditor", "monitor", "run", "--config", at("monitor.toml"), "--once")
	if out := open(); strings.Contains(out, "live-") {
		t.Errorf("nothing looks at it any more:\n%s", out)
	}
	status, err := monitor.ReadStatus(at("d"), "one")
	if w.must(err); status.Repositories[0].Name != "acme" || status.Repositories[0].ID != w.repo {
		t.Errorf("%+v", status.Repositories)
	}
}
