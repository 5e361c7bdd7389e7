package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/bench/runtest"
)

// A vendor says with publisher what he will release, and a monitor that runs finds what his
// build system was tricked into; whoever has the build system's keys cannot allow it, by
// expectations of his own or by older ones.
func TestMonitorExpectations(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs two programs a dozen times")
	}
	w := newWorld(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	metadata := func() string {
		t.Helper()
		for name, content := range w.vendor.Files() {
			w.must(os.MkdirAll(at("metadata"), 0o755))
			w.must(os.WriteFile(filepath.Join(at("metadata"), name), content, 0o644))
		}
		return at("metadata")
	}
	publisher := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(runtest.Must(t, "publisher", append([]string{"expect"}, args...)...))
	}
	vkey := publisher("key", "--name", "acme.example/expect", "--out", at("expect.key"))
	publisher("key", "--name", "acme.example/expect", "--out", at("ci.key"))
	w.must(os.WriteFile(at("app.bin"), []byte("two"), 0o644))

	// What is served at the vendor's URL, which the build system can write to.
	var served atomic.Pointer[[]byte]
	site := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(*served.Load()) }))
	defer site.Close()
	serve := func(name string) {
		t.Helper()
		note, err := os.ReadFile(at(name))
		w.must(err)
		served.Store(&note)
	}
	base := metadata()
	publisher("sign", "--key", at("expect.key"), "--base", base, "--out", at("first"), "--release", "targets any; paths *")
	publisher("sign", "--key", at("expect.key"), "--base", base, "--previous", at("first"), "--out", at("second"), "--release", "targets 3; file app.bin="+at("app.bin"), "--release", "targets any")
	publisher("sign", "--key", at("ci.key"), "--base", base, "--out", at("forged"), "--release", "targets any; paths *")
	serve("second")
	file := at("monitor.toml")
	w.must(os.WriteFile(file, fmt.Appendf(nil, "dir = 'd'\n[[log]]\nname = 'one'\npolicy = '%s'\ninterval = '100ms'\n[[log.repository]]\nid = '%s'\nname = 'acme'\nexpectations = '%s'\nexpectations_key = '%s'\n[to.file]\ntype = 'jsonl'\npath = 'alerts.jsonl'\n",
		w.policy, w.repo, site.URL+"/expect.note", vkey), 0o644))

	s := runtest.Serve(t, "auditor", "monitor", "run", "--config", file)
	metric := func(line string) bool {
		resp, err := http.Get(s.URL + "/metrics")
		w.must(err)
		b := new(strings.Builder)
		w.must(resp.Write(b))
		return strings.Contains(b.String(), line)
	}
	judged := func(n int) {
		t.Helper()
		runtest.Eventually(t, fmt.Sprintf("%d leaves are judged", n), func() bool {
			return metric(fmt.Sprintf(`tuflog_monitor_log_judged{log="one"} %d`, n))
		})
	}
	found := func(n int) {
		t.Helper()
		runtest.Eventually(t, fmt.Sprintf("%d findings", n), func() bool {
			return metric(fmt.Sprintf(`tuflog_monitor_findings{class="unexpected",log="one"} %d`, n))
		})
	}
	findings := func(want ...string) {
		t.Helper()
		out := runtest.Must(t, "auditor", "findings", "--state", at("d/logs/one"))
		w.wantAll(out, want...)
	}
	judged(2)
	w.release("app.bin", "two")
	judged(3)
	found(0)

	// The build system is tricked into one more file.
	w.release("evil.bin", "evil")
	found(1)
	evil := "targets 4 of acme is not what its vendor said would be released (expectations 2): it lists evil.bin (4 bytes,"
	findings("unexpected-release", evil)
	// The alert has the command that checks it.
	var event struct {
		Command string
		Finding struct{ Sentence string }
	}
	runtest.Eventually(t, "the alert is there", func() bool {
		lines, err := os.ReadFile(at("alerts.jsonl"))
		line, _, whole := strings.Cut(string(lines), "\n")
		return err == nil && whole && json.Unmarshal([]byte(line), &event) == nil && strings.Contains(event.Finding.Sentence, evil)
	})
	check := exec.Command("sh", "-c", event.Command)
	check.Env = append(os.Environ(), "PATH="+runtest.Programs(t, "publisher")+":"+os.Getenv("PATH"))
	if out, err := check.CombinedOutput(); err == nil || !strings.Contains(string(out), "it lists evil.bin (4 bytes") || !strings.HasPrefix(event.Command, "publisher expect check ") {
		t.Errorf("%s: %v\n%s", event.Command, err, out)
	}

	// Its keys do not sign expectations, and older ones of the vendor do not count.
	serve("forged")
	w.release("evil2.bin", "evil")
	found(2)
	runtest.Eventually(t, "the forgery is told", func() bool {
		status, err := monitor.ReadStatus(at("d"), "one")
		return err == nil && strings.Contains(status.Repositories[0].Expectations.Trouble, "not signed by a key for these expectations")
	})
	serve("first")
	w.release("evil3.bin", "evil")
	found(4)
	findings("expectations-rolled-back", "/expect.note has expectations 1 of acme, and expectations 2 were there before: these still count", "targets 6 of acme")

	// A monitor that was killed remembers, and finds once what came meanwhile.
	s.End(t, os.Kill)
	w.release("evil4.bin", "evil")
	s.Start(t)
	judged(7)
	found(5)

	// The vendor takes what is there, and then the expectations end.
	publisher("sign", "--key", at("expect.key"), "--accept", "--base", metadata(), "--previous", at("second"), "--out", at("third"), "--for", "2s", "--release", "targets any")
	serve("third")
	w.release("evil5.bin", "evil")
	runtest.Eventually(t, "expectations have ended", func() bool { return metric(`tuflog_monitor_findings{class="outage",log="one"} 1`) })
	s.Stop(t)
	findings("expectations-missing", "expectations 3 of acme have ended at ", "targets 8 of acme")
	status, err := monitor.ReadStatus(at("d"), "one")
	if w.must(err); status.Repositories[0].Expectations.Version != 3 || status.Repositories[0].ID != w.repo {
		t.Errorf("%+v", status.Repositories[0])
	}

	// They are taken out of the configuration: what was wrong with them ends, what was found
	// by them stays, and the repository keeps its name.
	text, err := os.ReadFile(file)
	w.must(err)
	before, rest, _ := strings.Cut(string(text), "expectations = ")
	_, rest, _ = strings.Cut(rest, "[to.file]")
	w.must(os.WriteFile(file, []byte(before+"[to.file]"+rest), 0o644))
	runtest.Run(t, "auditor", "monitor", "run", "--config", file, "--once")
	out := runtest.Must(t, "auditor", "findings", "--state", at("d/logs/one"))
	if w.wantAll(out, "targets 8 of acme"); strings.Contains(out, "expectations-") {
		t.Errorf("nothing looks at them any more:\n%s", out)
	}
	if status, err = monitor.ReadStatus(at("d"), "one"); err != nil || status.Repositories[0].Name != "acme" || status.Repositories[0].ID != w.repo {
		t.Errorf("%+v, %v", status.Repositories, err)
	}
}
