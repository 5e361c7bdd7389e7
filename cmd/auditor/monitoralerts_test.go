package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/bench/runtest"
)

// A fork that a witness shows is told once, through kill -9, with a command that proves it;
// a receiver that is not there delays nobody, and is listed.
func TestMonitorAlerts(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs the program eight times")
	}
	w := newWorld(t)
	other := w.log.Beginning(1)
	other.Append([]byte("for somebody else"))
	page := fmt.Sprintf("/%x/checkpoint", sha256.Sum256([]byte(audittest.Origin)))
	witness := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == page {
			_, _ = rw.Write(other.Checkpoint(2, 2))
		}
	}))
	defer witness.Close()
	key := w.log.Witnesses[0].Key().String()
	w.must(os.WriteFile(w.policy, []byte(strings.Replace(w.log.PolicyText(w.url), key, key+" "+witness.URL, 1)), 0o644))
	dir := t.TempDir()
	told := filepath.Join(dir, "told")
	w.must(os.Mkdir(filepath.Join(dir, "hooks"), 0o755))
	w.must(os.WriteFile(filepath.Join(dir, "hooks", "tell"), []byte("#!/bin/sh\ncat >> "+told+"\n"), 0o755))
	w.must(os.WriteFile(filepath.Join(dir, "secret"), []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTw==\n"), 0o600))
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	file := filepath.Join(dir, "monitor.toml")
	text := fmt.Sprintf("dir = 'd'\nurl = 'https://audit.example'\n[[log]]\nname = 'one'\npolicy = '%s'\ninterval = '100ms'\n"+
		"[to.local]\ntype = 'hooks'\ndir = 'hooks'\n[to.chat]\ntype = 'webhook'\nurl = '%s/T0KEN'\nallow_private = true\nsecret_file = 'secret'\n", w.policy, dead.URL)
	w.must(os.WriteFile(file, []byte(text), 0o644))

	s := runtest.Serve(t, "auditor", "monitor", "run", "--config", file)
	get := func(path string) string {
		resp, err := http.Get(s.URL + path)
		w.must(err)
		b, err := io.ReadAll(resp.Body)
		w.must(err)
		w.must(resp.Body.Close())
		return string(b)
	}
	runtest.Eventually(t, "the fork is told", func() bool { b, _ := os.ReadFile(told); return bytes.Contains(b, []byte("\n")) })
	runtest.Eventually(t, "the receiver fails", func() bool { return !strings.Contains(get("/metrics"), `tuflog_alert_failed_total{to="chat"} 0`) })
	for _, want := range []string{`tuflog_alert_sent_total{to="local"} 1`, `tuflog_alert_waiting{to="chat"} 1`, `tuflog_alert_off{to="chat"} 0`} {
		runtest.Eventually(t, want, func() bool { return strings.Contains(get("/metrics"), want+"\n") })
	}
	checkRules(t, get("/metrics"))
	s.End(t, os.Kill)
	s.Start(t)
	runtest.Eventually(t, "it is ready", func() bool { return get("/readyz") == "ready\n" })
	feed := get("/feeds/one/all.atom")

	out, errs := w.run(1, "monitor", "destinations", "--config", file)
	w.wantAll(out, "1 of 2 destinations", "chat", "failing since", "local", "well")
	if strings.Contains(out+errs, "T0KEN") {
		t.Errorf("the secret of a URL is shown:\n%s%s", out, errs)
	}
	_, errs = w.run(0, "monitor", "enable", "chat", "--config", file)
	w.wantAll(errs, "chat is on")
	_, errs = w.run(2, "monitor", "enable", "nobody", "--config", file)
	w.wantAll(errs, "nobody", "[chat local]")
	_, errs = w.run(1, "monitor", "test-alert", "--config", file)
	w.wantAll(errs, "chat: the receiver is not reached")
	s.Stop(t)

	b, err := os.ReadFile(told)
	w.must(err)
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	var fork, test alert.Event
	if len(lines) != 2 || json.Unmarshal(lines[0], &fork) != nil || json.Unmarshal(lines[1], &test) != nil || test.Type != alert.Test {
		t.Fatalf("told:\n%s", b)
	}
	if fork.Type != alert.Opened || fork.Finding.Kind != audit.Fork || fork.Log != "one" || fork.Origin != audittest.Origin || !strings.HasPrefix(fork.Link, "https://audit.example/logs/one/findings/") {
		t.Errorf("%s", lines[0])
	}
	if !strings.Contains(feed, "<id>urn:tuflog:event:"+fork.ID+"</id>") || strings.Contains(feed, dir) {
		t.Errorf("feed:\n%s", feed)
	}
	// For cron, a finding counts until somebody acknowledges it.
	before, _, _ := strings.Cut(text, "[to.chat]")
	w.must(os.WriteFile(file, []byte(before), 0o644))
	w.run(1, "monitor", "run", "--config", file, "--once")
	w.run(0, "findings", "ack", fork.Finding.ID, "--reason", "known", "--state", filepath.Join(dir, "d", "logs", "one"))
	w.run(0, "monitor", "run", "--config", file, "--once")
	// Beside that: what had waited for the destination that is gone.
	if b, err := os.ReadFile(told); err != nil || bytes.Count(b, []byte("\n")) != 3 || !bytes.Contains(b, []byte("The destination chat is not configured any more, and 1 message for it")) {
		t.Errorf("told again: %v\n%s", err, b)
	}
	// What is told is pasted into a shell.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", fork.Command)
	cmd.Env = append(os.Environ(), "PATH="+runtest.Programs(t, "auditor")+":"+os.Getenv("PATH"))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("two histories")) {
		t.Errorf("%s: %v\n%s", fork.Command, err, out)
	}
}

// ruleLine is a line of a file of rules, as ours are written.
var ruleLine = regexp.MustCompile(`^(?:groups:|  - name: [a-z-]+|    rules:|      - alert: Tuflog[A-Za-z]+|        expr: \S.*|        for: [0-9]+[smhd]|        annotations:|          summary: "[^"]+"|\s*#.*)$`)

// checkRules holds the rules for Prometheus against the metrics that a monitor has.
func checkRules(t *testing.T, metrics string) {
	t.Helper()
	b, err := os.ReadFile("../../deploy/monitor-alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	alerts, exprs := 0, 0
	for i, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		if !ruleLine.MatchString(line) {
			t.Errorf("line %d: %q", i+1, line)
		}
		if strings.Contains(line, "- alert: ") {
			alerts++
		}
		if expr, ok := strings.CutPrefix(line, "        expr: "); ok {
			exprs++
			names := regexp.MustCompile(`tuflog_\w+`).FindAllString(expr, -1)
			if len(names) == 0 || strings.Count(expr, "(") != strings.Count(expr, ")") {
				t.Errorf("line %d: %q", i+1, expr)
			}
			for _, name := range names {
				if !anchorRule.MatchString(name) && !strings.Contains(metrics, "\n# TYPE "+name+" ") { // TestMonitorAnchors has those
					t.Errorf("line %d: there is no metric %s", i+1, name)
				}
			}
		}
		for _, command := range regexp.MustCompile(`auditor monitor [a-z]+`).FindAllString(line, -1) {
			cmd, _, err := newCommand().Find(strings.Fields(command)[1:])
			if err != nil || !strings.HasSuffix(cmd.CommandPath(), command) {
				t.Errorf("line %d: there is no command %q", i+1, command)
			}
		}
	}
	if alerts != exprs || alerts < 5 {
		t.Errorf("%d alerts with %d expressions", alerts, exprs)
	}
}
