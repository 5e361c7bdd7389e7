package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/bench/runtest"
)

// A monitor follows logs through kill -9, takes over another configuration and refuses one
// that is wrong, and finds the fork that its witness shows.
func TestMonitor(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs the program eight times")
	}
	w := newWorld(t)
	var shown atomic.Pointer[[]byte]
	page := fmt.Sprintf("/%x/checkpoint", sha256.Sum256([]byte(audittest.Origin)))
	witness := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if note := shown.Load(); note != nil && r.URL.Path == page {
			_, _ = rw.Write(*note)
			return
		}
		http.NotFound(rw, r)
	}))
	defer witness.Close()
	key := w.log.Witnesses[0].Key().String()
	w.must(os.WriteFile(w.policy, []byte(strings.Replace(w.log.PolicyText(w.url), key, key+" "+witness.URL, 1)), 0o644))
	dir := t.TempDir()
	file := filepath.Join(dir, "monitor.toml")
	configure := func(more string) {
		text := fmt.Sprintf("dir = 'd'\n[[log]]\nname = 'one'\npolicy = '%s'\ninterval = '100ms'\nmirror = true\n", w.policy)
		w.must(os.WriteFile(file, []byte(text+more), 0o644))
	}
	configure("")
	get := func(s *runtest.Service, path string) (int, string) {
		resp, err := http.Get(s.URL + path)
		w.must(err)
		b, err := io.ReadAll(resp.Body)
		w.must(err)
		w.must(resp.Body.Close())
		return resp.StatusCode, string(b)
	}
	metric := func(s *runtest.Service, line string) bool {
		_, text := get(s, "/metrics")
		return strings.Contains(text, line+"\n")
	}

	s := runtest.Serve(t, "auditor", "monitor", "run", "--config", file)
	judged := func(n int) {
		t.Helper()
		runtest.Eventually(t, fmt.Sprintf("%d leaves are judged", n), func() bool {
			return metric(s, fmt.Sprintf(`tuflog_monitor_log_judged{log="one"} %d`, n))
		})
	}
	judged(2)
	runtest.Eventually(t, "it is ready", func() bool { code, _ := get(s, "/readyz"); return code == http.StatusOK })
	if code, text := get(s, "/healthz"); code != http.StatusOK {
		t.Errorf("%d %s", code, text)
	}
	for _, path := range []string{"/", "/feeds/all.atom", "/logs/one/"} {
		if code, text := get(s, path); code != http.StatusOK || !strings.HasPrefix(text, "<") {
			t.Errorf("%s: %d %.100s", path, code, text)
		}
	}
	// Another process may look, but not have the directory.
	_, errs := w.run(1, "monitor", "run", "--config", file, "--listen", "127.0.0.1:0")
	w.wantAll(errs, "in use by auditor monitor run")
	out, _ := w.run(0, "monitor", "check", "--config", file)
	w.wantAll(out, "can be used", "1 of 2")

	s.End(t, os.Kill)
	w.release("app.bin", "two")
	s.Start(t)
	judged(3)
	runtest.Eventually(t, "the copy is served", func() bool {
		_, text := get(s, "/mirror/one/checkpoint")
		return text == string(w.log.Checkpoint(3, 2))
	})
	for _, path := range []string{"/mirror/one/missing", "/mirror/one/../one/checkpoint/", "/mirror/two/checkpoint", "/mirror/one/notes/3"} {
		if code, _ := get(s, path); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}

	// A configuration that is wrong changes nothing.
	configure("[[log]]\nname = 'two'\n")
	s.Signal(t, syscall.SIGHUP)
	runtest.Eventually(t, "it is refused", func() bool { return strings.Contains(s.Said(), "monitor.toml:7: log[1].policy: want") })
	runtest.Eventually(t, "it says so", func() bool { return metric(s, "tuflog_monitor_config_ok 0") })
	w.release("app.bin", "three")
	judged(4)
	second := audittest.NewOf(t, "second.test/log")
	served := httptest.NewServer(second)
	defer served.Close()
	w.must(os.WriteFile(filepath.Join(dir, "second.txt"), []byte(second.PolicyText(served.URL)), 0o644))
	configure("[[log]]\nname = 'two'\npolicy = 'second.txt'\n")
	s.Signal(t, syscall.SIGHUP)
	runtest.Eventually(t, "the second log is followed", func() bool {
		code, _ := get(s, "/readyz")
		return code == http.StatusOK && metric(s, `tuflog_monitor_log_judged{log="two"} 0`) && metric(s, "tuflog_monitor_config_ok 1")
	})
	configure("")
	s.Signal(t, syscall.SIGHUP)
	runtest.Eventually(t, "it is not followed any more", func() bool { return !metric(s, `tuflog_monitor_log_judged{log="two"} 0`) })

	// The witness is shown another history.
	other := w.log.Beginning(3)
	other.Append([]byte("for somebody else"))
	note := other.Checkpoint(4, 2)
	shown.Store(&note)
	runtest.Eventually(t, "the fork is found", func() bool { return metric(s, `tuflog_monitor_findings{class="tampering",log="one"} 1`) })
	// Somebody takes note while the monitor runs.
	state := filepath.Join(dir, "d", "logs", "one")
	out, _ = w.run(0, "findings", "--state", state)
	for line := range strings.Lines(out) {
		if strings.Contains(line, "two histories") {
			id, _, _ := strings.Cut(line, " ")
			out, _ = w.run(0, "findings", "ack", id, "--reason", "the operator knows", "--state", state)
			w.wantAll(out, id+" acknowledged: fork")
		}
	}
	runtest.Eventually(t, "it is noted", func() bool { return metric(s, `tuflog_monitor_findings{class="tampering",log="one"} 0`) })
	s.Stop(t)
	status, err := monitor.ReadStatus(filepath.Join(dir, "d"), "one")
	if w.must(err); status.Witnesses[0].Size != 4 || status.Open["tampering"] != 0 || status.Vouches {
		t.Errorf("%+v", status)
	}
	files, err := filepath.Glob(filepath.Join(dir, "d", "logs", "one", "evidence", "fork-*", "fork.conflict"))
	if w.must(err); len(files) != 1 {
		t.Fatal(files)
	}
	out, _ = w.run(0, "evidence", "check", "--key", w.log.Signer.Key().String(), files[0])
	w.wantAll(out, audittest.Origin+" showed two histories")

	// What is acknowledged does not count for cron, and is the same finding still.
	out, _ = w.run(0, "monitor", "run", "--config", file, "--once")
	w.wantAll(out, "one\n", "the log signed two histories")
}

// The example that is printed is one that can be used.
func TestMonitorExample(t *testing.T) {
	cfg, err := monitor.Parse("monitor.toml", []byte(monitor.Example))
	if err != nil || len(cfg.Logs) != 1 {
		t.Errorf("%+v, %v", cfg, err)
	}
	var all strings.Builder
	for line := range strings.Lines(monitor.Example) {
		if text, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(text, " ") || strings.HasPrefix(text, "  ") {
			line = text // a key that is optional
		}
		all.WriteString(line)
	}
	if _, err := monitor.Parse("monitor.toml", []byte(all.String())); err != nil {
		t.Errorf("%v\n%s", err, all.String())
	}
}
