package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/proofs"
)

// anchorRule finds the metrics of anchors in rules for Prometheus.
var anchorRule = regexp.MustCompile(`tuflog_monitor_anchor_\w+`)

// A monitor anchors what it verifies, in each instance on its own. While one is away checkpoints
// wait, through a kill; the log is followed all the same. What stands there and does not fit the log is a
// finding.
func TestMonitorAnchors(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs the program five times")
	}
	rules, err := os.ReadFile("../../deploy/monitor-alerts.yml")
	if err != nil || !anchorRule.Match(rules) {
		t.Fatalf("no rule is about anchors, %v", err)
	}
	w := newWorld(t)
	key := anchorable(w)
	dir := t.TempDir()
	file := filepath.Join(dir, "monitor.toml")
	text := fmt.Sprintf("dir = 'd'\nlisten = '127.0.0.1:0'\n[[log]]\nname = 'one'\npolicy = '%s'\ninterval = '100ms'\n", w.policy)
	var ledgers []*rekortest.Ledger
	for _, version := range []int{1, 2} {
		l, _ := instance(w, version, 2*time.Hour)
		w.must(os.WriteFile(filepath.Join(dir, fmt.Sprintf("rekor%d.pem", version)), l.PEM(), 0o644))
		text += fmt.Sprintf("[anchor.rekor%d]\nurl = '%s'\nkeys = ['rekor%d.pem']\nversion = %d\nevery = '1s'\naudit = '1s'\n", version, l.URL(), version, version)
		ledgers = append(ledgers, l)
	}
	w.must(os.WriteFile(file, []byte(text), 0o644))
	out, _ := w.run(0, "monitor", "check", "--config", file)
	w.wantAll(out, "ANCHORED IN", "rekor1       v1", "rekor2       v2")
	away := func(l *rekortest.Ledger) {
		l.Instead = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
	}
	ledgers[0].Set(away)

	s := runtest.Serve(t, "auditor", "monitor", "run", "--config", file)
	status := func() *monitor.Status {
		st, err := monitor.ReadStatus(filepath.Join(dir, "d"), "one")
		if err != nil {
			return &monitor.Status{}
		}
		return st
	}
	metrics := func(lines ...string) func() bool {
		return func() bool {
			resp, err := http.Get(s.URL + "/metrics")
			if err != nil {
				return false
			}
			b, err := io.ReadAll(resp.Body)
			w.must(err)
			w.must(resp.Body.Close())
			for _, line := range lines {
				if !strings.Contains(string(b), line+"\n") {
					return false
				}
			}
			return true
		}
	}
	label := func(name string, version int) string {
		return fmt.Sprintf(`tuflog_monitor_anchor_%s{log="one",rekor="rekor%d"}`, name, version)
	}
	runtest.Eventually(t, "the second instance has it", metrics(label("size", 2)+" 2", label("unanchored_since_seconds", 2)+" 0", label("queued", 2)+" 0"))
	runtest.Eventually(t, "it waits for the first", metrics(label("size", 1)+" -1", label("queued", 1)+" 1"))
	w.release("app.bin", "two")
	runtest.Eventually(t, "the log is followed, and both wait", metrics(`tuflog_monitor_log_judged{log="one"} 3`, label("queued", 1)+" 2", label("size", 2)+" 3"))
	runtest.Eventually(t, "the status says since when", func() bool {
		st := status()
		return len(st.Anchors) == 2 && st.Anchors[0].Since > 0 && st.Anchors[0].Queued == 2 && strings.Contains(st.Anchors[0].Trouble, "503") && st.Anchors[1].Since == 0
	})
	resp, err := http.Get(s.URL + "/logs/one/")
	w.must(err)
	b, err := io.ReadAll(resp.Body)
	w.must(err)
	w.must(resp.Body.Close())
	w.wantAll(string(b), "Anchored in <bdi>rekor1</bdi>", "unanchored", "Anchored in <bdi>rekor2</bdi>")

	s.End(t, os.Kill)
	ledgers[0].Set(func(l *rekortest.Ledger) { l.Instead = nil })
	s.Start(t)
	runtest.Eventually(t, "what waited is anchored", metrics(label("size", 1)+" 3", label("queued", 1)+" 0", label("unanchored_since_seconds", 1)+" 0"))
	own, err := filepath.Glob(filepath.Join(dir, "d/anchors/*/*/receipts/*.json"))
	if err != nil || len(own) < 4 {
		t.Fatal(own, err)
	}
	out, _ = w.run(0, append([]string{"anchor", "verify", "--policy", w.policy, "--dir", filepath.Join(dir, "d/anchors")}, own...)...)
	w.wantAll(out, fmt.Sprintf("%d of %d receipts verified", len(own), len(own)))
	fits := `tuflog_monitor_anchor_entries{log="one",rekor="rekor1",verdict="consistent"} 2`
	runtest.Eventually(t, "all of it fits", metrics(fits))
	for _, name := range anchorRule.FindAllString(string(rules), -1) {
		runtest.Eventually(t, "there is "+name, func() bool { return metrics("# TYPE " + name + " gauge")() })
	}

	// The log, with its witnesses, shows somebody another history, who pins it.
	w.log.Time = time.Now().Add(3 * time.Hour).Unix()
	hidden := w.log.Beginning(2)
	hidden.Append([]byte("for the victim alone"))
	note := filepath.Join(dir, "victim.note")
	w.must(os.WriteFile(note, hidden.Checkpoint(3, 2), 0o644))
	w.run(0, "anchor", "submit", "--policy", w.policy, "--dir", filepath.Join(dir, "victim"), "--url", ledgers[0].URL(), "--instance", "rekor1", "--rekor-key", filepath.Join(dir, "rekor1.pem"), note)
	w.log.Publish(2)
	runtest.Eventually(t, "the orphan is found", metrics(fits, `tuflog_monitor_anchor_entries{log="one",rekor="rekor1",verdict="orphan"} 1`, `tuflog_monitor_findings{class="unexpected",log="one"} 1`))
	// The auditor is given the receipt.
	receipts, err := filepath.Glob(filepath.Join(dir, "victim/*/*/receipts/*.json"))
	w.must(err)
	b, err = os.ReadFile(receipts[0])
	w.must(err)
	w.must(os.WriteFile(strings.Replace(receipts[0], filepath.Join(dir, "victim"), filepath.Join(dir, "d/anchors"), 1), b, 0o644))
	runtest.Eventually(t, "the fork is proved", metrics(`tuflog_monitor_findings{class="tampering",log="one"} 1`))
	s.End(t, os.Interrupt)
	conflicts, err := filepath.Glob(filepath.Join(dir, "d/logs/one/evidence/fork-*/fork.conflict"))
	w.must(err)
	if len(conflicts) != 1 {
		t.Fatal(conflicts)
	}
	w.run(0, "evidence", "check", "--key", key.String(), conflicts[0])
}

// Of a policy that names several logs, as after one was renamed, the one that is shown is anchored and
// audited, wherever it stands in the policy.
func TestMonitorAnchorsRenamed(t *testing.T) {
	w := newWorld(t)
	anchorable(w)
	old, err := proofs.GenerateSigner(rand.Reader, "old.example/log", proofs.ECDSA)
	w.must(err)
	policy, err := os.ReadFile(w.policy)
	w.must(err)
	w.must(os.WriteFile(w.policy, fmt.Appendf(nil, "log %v\n%s", old.Key(), policy), 0o644))
	dir := t.TempDir()
	file := filepath.Join(dir, "monitor.toml")
	l, _ := instance(w, 2, 0)
	w.must(os.WriteFile(filepath.Join(dir, "rekor.pem"), l.PEM(), 0o644))
	w.must(os.WriteFile(file, fmt.Appendf(nil, "dir = 'd'\n[[log]]\nname = 'one'\npolicy = '%s'\nurl = '%s'\n[anchor.r]\nurl = '%s'\nkeys = ['rekor.pem']\nversion = 2\n",
		w.policy, w.url, l.URL()), 0o644))
	out, _ := w.run(0, "monitor", "check", "--config", file)
	w.wantAll(out, "r            v2     old.example/log", "r            v2     log.test/audit")
	w.run(0, "monitor", "run", "--once", "--config", file)
	w.run(0, "monitor", "run", "--once", "--config", file) // the status has what the first has done
	st, err := monitor.ReadStatus(filepath.Join(dir, "d"), "one")
	w.must(err)
	if len(st.Anchors) != 1 || st.Anchors[0].Size != 2 || st.Anchors[0].Entries != 1 || st.Anchors[0].Unsigned || st.Anchors[0].Trouble != "" {
		t.Errorf("%+v", st.Anchors)
	}
	if folders, err := filepath.Glob(filepath.Join(dir, "d/anchors/r/*/receipts")); err != nil || len(folders) != 1 {
		t.Errorf("%v, %v", folders, err)
	}
}

// Without a section nothing is anchored, and a section that cannot be used is refused.
func TestMonitorAnchorConfig(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "monitor.toml")
	rekor := rekortest.New(t, 1)
	w.must(os.WriteFile(filepath.Join(dir, "rekor.pem"), rekor.PEM(), 0o644))
	log := fmt.Sprintf("dir = 'd'\n[[log]]\nname = 'one'\npolicy = '%s'\n", w.policy)
	for _, tt := range []struct {
		section, says string
		code          int
	}{
		{"[anchor.a]\nkeys = ['rekor.pem']\n", "can be used", 0},
		{"[anchor.a]\nurl = 'https://r.example'\nkeys = ['rekor.pem']\n", "log[0] one: it is not anchored in a: the policy has no key of the log of type ECDSA", 0},
		{"[anchor.a]\nurl = 'https://r.example'\nkeys = ['rekor.pem']\nlogs = ['one']\n", "anchor.a.logs: one: the policy has no key of the log of type ECDSA", 2},
		{"[anchor.a]\nurl = 'https://r.example'\n", "monitor.toml:5: anchor.a.keys: 0 of them: want", 2},
		{"[anchor.a]\nurl = 'r.example'\nkeys = ['rekor.pem']\n", `monitor.toml:6: anchor.a.url: "r.example": want http`, 2},
		{"[anchor.a]\nurl = 'https://r.example'\nkeys = ['rekor.pem']\nversion = 3\n", "monitor.toml:8: anchor.a.version: 3: want 1 or 2", 2},
		{"[anchor.a]\nurl = 'https://r.example'\nkeys = ['rekor.pem']\nevery = '1ms'\n", "monitor.toml:8: anchor.a.every: 1ms: want 1s or more", 2},
		{"[anchor.a]\nurl = 'https://r.example'\nkeys = ['rekor.pem']\nlogs = ['two']\n", `monitor.toml:8: anchor.a.logs: no [[log]] has the name "two"`, 2},
		{"[anchor.A_b]\nurl = 'https://r.example'\nkeys = ['rekor.pem']\n", `anchor.A_b.name: "A_b": want up to 64`, 2},
		{"[anchor.a]\nurl = 'https://r.example'\nkey = ['rekor.pem']\n", "monitor.toml:7: anchor.a.key: unknown key: remove it, or write one of audit, every, keys", 2},
	} {
		w.must(os.WriteFile(file, []byte(log+tt.section), 0o644))
		out, errs := w.run(tt.code, "monitor", "check", "--config", file)
		w.wantAll(out+errs, tt.says)
	}
	if len(rekor.Asked) > 0 {
		t.Errorf("it was asked: %v", rekor.Asked)
	}
}
