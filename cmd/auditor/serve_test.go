package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/internal/durable"
)

// serving runs auditor serve, and returns where it answers; stop interrupts it.
func (w *world) serving(args ...string) (url string, stop func()) {
	w.t.Helper()
	cmd := runtest.Command(w.t, "auditor", append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	stderr, err := cmd.StderrPipe()
	w.must(err)
	w.must(cmd.Start())
	timer := time.AfterFunc(process.Patience, func() { _ = cmd.Process.Kill() })
	stop = func() {
		w.must(cmd.Process.Signal(os.Interrupt))
		if err := cmd.Wait(); err != nil {
			w.t.Errorf("after an interrupt: %v", err)
		}
		timer.Stop()
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			go func() { _, _ = io.Copy(io.Discard, stderr) }()
			return url, stop
		}
	}
	w.t.Fatal("it does not listen")
	return "", nil
}

func (w *world) page(url string) (status int, text string) {
	w.t.Helper()
	r, err := http.Get(url)
	w.must(err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	w.must(err)
	return r.StatusCode, string(b)
}

// The pages of a state, and of a monitor's directory: they are there beside the process that
// writes, and before it has written anything.
func TestServe(t *testing.T) {
	w := newWorld(t)
	state := filepath.Join(t.TempDir(), "state")
	url, stop := w.serving("--state", state, "--policy", w.policy)
	defer stop()
	if status, text := w.page(url + "/"); status != http.StatusOK || !strings.Contains(text, "nothing yet") {
		t.Errorf("before a replay: %d %s", status, text)
	}
	w.run(0, "replay", "--policy", w.policy, "--state", state)
	for path, want := range map[string]string{
		"/": "in order", "/logs/log.test-audit/releases/1": "app.bin", "/logs/log.test-audit/releases/1/proof": "c2sp.org/tlog-proof@v1",
		"/search?q=app.bin": "A release in force lists this file.",
	} {
		if status, text := w.page(url + path); status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d, does not say %q: %s", path, status, want, text)
		}
	}
	w.release("app.bin", "two")
	w.run(0, "replay", "--policy", w.policy, "--state", state)
	if status, text := w.page(url + "/logs/log.test-audit/releases/2"); status != http.StatusOK || !strings.Contains(text, "app.bin") {
		t.Errorf("a new release: %d %s", status, text)
	}

	dir := t.TempDir()
	config := filepath.Join(dir, "monitor.toml")
	w.must(os.WriteFile(config, []byte("dir = \"data\"\n[[log]]\nname = \"one\"\npolicy = \""+w.policy+"\"\nmirror = true\n"), 0o644))
	watched := filepath.Join(dir, "data")
	w.must(os.MkdirAll(filepath.Join(watched, "logs"), 0o755))
	w.run(0, "replay", "--policy", w.policy, "--state", monitor.StateDir(watched, "one"))
	w.must(durable.WriteFile(monitor.StatusFile(watched, "one"), []byte(`{"log":"one","answered":1,"trouble":"the line is down","witnesses":[{"name":"w1","size":7,"time":1700000000}],
		"repositories":[{"id":"`+w.repo.String()+`","name":"acme","live":[{"url":"https://updates.acme.example/","word":"logged","sentence":"all of it is logged"}]}]}`), 0o644))
	url, stopOther := w.serving("--config", config)
	defer stopOther()
	for path, want := range map[string]string{
		"/": "the line is down", "/logs/one/": "7 entries", "/logs/one/repositories/" + w.repo.String(): "https://updates.acme.example/", "/logs/one/repositories?q=acme": w.repo.String(),
	} {
		if status, text := w.page(url + path); status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d, does not say %q: %s", path, status, want, text)
		}
	}

	for _, wrong := range [][]string{{}, {"--state", state}, {"--config", config, "--policy", w.policy}, {"--config", config, "--state", state}, {"--state", state, "--policy", w.policy, "--max-concurrent", "0"}} {
		w.run(2, append([]string{"serve", "--listen", "127.0.0.1:0"}, wrong...)...)
	}
}
