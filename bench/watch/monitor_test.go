package watch_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/bench/runtest"
)

func TestMain(m *testing.M) { runtest.Main(m) }

// A desk is a destination of alerts: a web hook that keeps what came, and when.
type desk struct {
	url string

	mu   sync.Mutex
	came []delivery
	down bool // answers 503
}

type delivery struct {
	alert.Event
	at time.Time
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

// ServeHTTP takes an event.
func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var e alert.Event
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d.came = append(d.came, delivery{e, time.Now()})
}

// opened are the alerts of a log that page: those of which somebody is told at once.
func (d *desk) opened(log string) (list []delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := map[string]bool{}
	for _, c := range d.came {
		if (log == "" || c.Log == log) && c.Type == alert.Opened && !seen[c.ID] {
			seen[c.ID] = true
			list = append(list, c)
		}
	}
	return list
}

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw=="

// A config is the text of a monitor's configuration.
type config struct{ bytes.Buffer }

func newConfig(t testing.TB, dir string, d *desk) *config {
	t.Helper()
	path := filepath.Join(dir, "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := new(config)
	fmt.Fprintf(c, "dir = %q\nlisten = \"127.0.0.1:0\"\n\n", filepath.Join(dir, "monitor"))
	fmt.Fprintf(c, "[to.desk]\ntype = \"webhook\"\nurl = %q\nsecret_file = %q\nallow_private = true\n\n", d.url, path)
	fmt.Fprint(c, "[[route]]\nclasses = [\"tampering\", \"equivocation\", \"unexpected\"]\nto = [\"desk\"]\n\n")
	return c
}

func (c *config) log(s *stage, dir string) {
	fmt.Fprintf(c, "[[log]]\nname = %q\npolicy = %q\ninterval = \"1s\"\n", s.name, s.policy(dir))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == nil && s.live2 == nil && s.note == nil {
		return
	}
	fmt.Fprintf(c, "  [[log.repository]]\n  id = \"%v\"\n  name = \"vendor\"\n", s.repo)
	var urls []string
	if s.live != nil {
		urls = append(urls, fmt.Sprintf("%q", s.url+"/live/"))
	}
	if s.live2 != nil {
		urls = append(urls, fmt.Sprintf("%q", s.url+"/live2/"))
	}
	fmt.Fprintf(c, "  every = \"1s\"\n")
	if urls != nil {
		fmt.Fprintf(c, "  urls = [%s]\n", strings.Join(urls, ", "))
	}
	if s.note != nil {
		fmt.Fprintf(c, "  expectations = %q\n  expectations_key = \"%v\"\n", s.url+"/expect.note", s.key.Key())
	}
	fmt.Fprintln(c)
}

func (c *config) write(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "monitor.toml")
	if err := os.WriteFile(path, c.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// judged is how many leaves of a log the monitor has judged; -1: it has not begun.
func judged(dir, log string) int64 {
	s, err := monitor.ReadStatus(filepath.Join(dir, "monitor"), log)
	if err != nil {
		return -1
	}
	return s.Judged
}

// reads returns when a monitor last read each log to its end, in POSIX seconds.
func reads(t testing.TB, monitor *runtest.Service) map[string]float64 {
	t.Helper()
	r, err := http.Get(monitor.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	at := map[string]float64{}
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		labelled, found := strings.CutPrefix(lines.Text(), `tuflog_monitor_log_read_time_seconds{log="`)
		log, value, _ := strings.Cut(labelled, `"} `)
		if seconds, err := strconv.ParseFloat(value, 64); found && err == nil {
			at[log] = seconds
		}
	}
	return at
}

// looks waits until a monitor has looked at all its logs twice more.
func looks(t testing.TB, monitor *runtest.Service, logs ...string) {
	t.Helper()
	before := reads(t, monitor)
	runtest.Eventually(t, "all logs are looked at again", func() bool {
		now := reads(t, monitor)
		return !slices.ContainsFunc(logs, func(log string) bool { return now[log] < before[log]+2 })
	})
}

var only = regexp.MustCompile("")

func init() {
	flag.Func("scenes", "play only the hostile scenes whose names match", func(s string) (err error) {
		only, err = regexp.Compile(s)
		return err
	})
}

// Every scene is one alert, and those before it are none.
func TestHostileScenes(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute of processor time: forty logs, each with its scene")
	}
	play(t, func(string, time.Duration) {})
}

// BenchmarkAlert plays the same scenes, and measures the time from the publication of a
// fault until its alert is at a destination.
func BenchmarkAlert(b *testing.B) {
	for b.Loop() {
		var longest, sum time.Duration
		n := 0
		play(b, func(_ string, took time.Duration) {
			longest, sum, n = max(longest, took), sum+took, n+1
		})
		b.ReportMetric(longest.Seconds(), "s-longest")
		b.ReportMetric(sum.Seconds()/float64(max(n, 1)), "s-mean")
		b.ReportMetric(0, "ns/op")
	}
}

// play plays all scenes before one monitor, one after the other.
func play(t testing.TB, took func(scene string, after time.Duration)) {
	t.Helper()
	dir, d := t.TempDir(), newDesk(t)
	c := newConfig(t, dir, d)
	scenes := slices.DeleteFunc(slices.Clone(scenes), func(sc scene) bool { return !only.MatchString(sc.name) })
	stages := make([]*stage, len(scenes))
	for i := range scenes {
		s := newStage(t, scenes[i].word())
		if set := scenes[i].set; set != nil {
			set(s)
		}
		c.log(s, dir)
		stages[i] = s
	}
	runtest.Serve(t, "auditor", "monitor", "run", "--config", c.write(t, dir))
	for _, s := range stages {
		runtest.Eventually(t, s.name+" is judged", func() bool { return judged(dir, s.name) >= s.log.Size() })
	}
	for i, sc := range scenes {
		s := stages[i]
		if early := d.opened(s.name); len(early) > 0 {
			t.Errorf("%s: an alert before anything happened: %s", sc.name, early[0].Finding.Sentence)
		}
		began := time.Now()
		sc.do(s)
		runtest.Eventually(t, "an alert of "+sc.name, func() bool { return len(d.opened(s.name)) > 0 })
		after := d.opened(s.name)[0].at.Sub(began)
		t.Logf("%s: %.1f s", sc.name, after.Seconds())
		took(sc.name, after)
	}
	// Whatever else a scene might set off comes with the next looks. Nothing says when these
	// were: a log that has forked is not followed any more.
	time.Sleep(3 * time.Second)
	for i, sc := range scenes {
		list := d.opened(stages[i].name)
		if len(list) != 1 || list[0].Finding.Kind != sc.kind {
			t.Errorf("%s: %d alerts, want one of kind %s", sc.name, len(list), sc.kind)
			for _, e := range list {
				t.Errorf("    %s: %s", e.Finding.Kind, e.Finding.Sentence)
			}
			continue
		}
		paste(t, sc.name, list[0].Event, dir)
	}
}

// paste runs what an alert says checks it, and wants it to find the same.
func paste(t testing.TB, scene string, e alert.Event, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", e.Command)
	cmd.Env = append(os.Environ(), "PATH="+runtest.Programs(t, "auditor", "publisher")+":"+os.Getenv("PATH"))
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput()
	want := 1
	switch {
	case strings.HasPrefix(e.Command, "auditor evidence check "), e.Finding.Kind == audit.ExpectationsRolledBack:
		want = 0 // the evidence, or the note that counts, is valid
	case strings.HasPrefix(e.Command, "auditor gossip "):
		want = 0 // the checkpoint that was there is ahead of what the log publishes
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		t.Errorf("%s: %s: %s: exit %d, want %d\n%s", scene, e.Finding.Kind, e.Command, code, want, out)
	}
}
