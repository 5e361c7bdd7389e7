package watch_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/tuf"
)

var kills = flag.Int("kills", 10, "how often TestKilledWhileAlerting kills the monitor")

// A monitor that is killed while a log gives reason for alerts tells of each, under one id.
func TestKilledWhileAlerting(t *testing.T) {
	if testing.Short() {
		t.Skip("a second of processor time for each of ten starts")
	}
	s, dir, d := newStage(t, "kills"), t.TempDir(), newDesk(t)
	c := newConfig(t, dir, d)
	lines := filepath.Join(dir, "alerts.jsonl")
	text := bytes.Replace(c.Bytes(), []byte(`to = ["desk"]`), []byte(`to = ["desk", "lines"]`), 1)
	c.Reset()
	fmt.Fprintf(c, "collapse = \"-1s\"\n%s\n[to.lines]\ntype = \"jsonl\"\npath = %q\n\n", text, lines)
	c.log(s, dir)
	service := runtest.Serve(t, "auditor", "monitor", "run", "--config", c.write(t, dir))
	faults := 0
	fault := func() {
		evil := s.twin()
		s.release("app.bin", fmt.Sprintf("release %d", faults))
		s.as(evil, func() { s.release("app.bin", fmt.Sprintf("another %d", faults)) })
		s.log.Publish(2)
		faults++
	}
	for range *kills {
		// Some kills come while it judges or delivers, some between, and some at the start.
		for range rand.IntN(3) {
			fault()
			time.Sleep(rand.N(300 * time.Millisecond))
		}
		service.End(t, syscall.SIGKILL)
		if rand.IntN(2) == 0 {
			fault()
		}
		service.Start(t)
	}
	fault()
	for what, come := range map[string]func() []alert.Event{
		"at the web hook": func() (list []alert.Event) {
			for _, e := range d.opened("") {
				list = append(list, e.Event)
			}
			return list
		},
		"in the file": func() []alert.Event { return eventsIn(t, lines) },
	} {
		runtest.Eventually(t, fmt.Sprintf("%d alerts %s", faults, what), func() bool { return len(byFinding(come())) >= faults })
		if n := len(byFinding(come())); n != faults {
			t.Errorf("%d findings %s, want %d", n, what, faults)
		}
		for id, events := range byFinding(come()) {
			if len(events) != 1 {
				t.Errorf("finding %s came under %d ids %s", id, len(events), what)
			}
		}
	}
}

// byFinding returns the ids of the openings of each finding.
func byFinding(events []alert.Event) map[string]map[string]bool {
	ids := map[string]map[string]bool{}
	for _, e := range events {
		if e.Type != alert.Opened || e.Finding.Kind != audit.SecondPayload {
			continue
		}
		key := tuf.Sum([]byte(fmt.Sprint(e.Finding.Index, e.Finding.Sentence))).String()
		if ids[key] == nil {
			ids[key] = map[string]bool{}
		}
		ids[key][e.ID] = true
	}
	return ids
}

// eventsIn reads a file of JSON Lines, whose last line may be cut short.
func eventsIn(t *testing.T, path string) (list []alert.Event) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e alert.Event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			list = append(list, e)
		}
	}
	return list
}
