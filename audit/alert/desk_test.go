package alert_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/tuf"
)

// clock is a clock that a test sets.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newClock() *clock { return &clock{time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)} }

// found makes a finding as a state keeps it.
func found(kind audit.Kind, repository string, n int) audit.Finding {
	f := audit.Finding{Kind: kind, Class: kind.Class(), Index: int64(n), Role: "targets", Version: 3, Sentence: fmt.Sprintf("entry %d is odd", n)}
	if repository != "" {
		f.Repository = tuf.Sum([]byte(repository))
	}
	f.Lived = &audit.Lived{ID: f.Digest().String(), Time: 1}
	return f
}

func acked(f audit.Finding) audit.Finding {
	lived := *f.Lived
	lived.Acked, lived.AckReason = 1, "known"
	f.Lived = &lived
	return f
}

// desk opens an outbox at a path.
func desk(t *testing.T, path string, cfg alert.Config) *alert.Desk {
	t.Helper()
	d, err := alert.Open(t.Context(), path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// events reads JSON Lines.
func events(t *testing.T, text []byte) (list []alert.Event) {
	t.Helper()
	for line := range bytes.Lines(text) {
		var e alert.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, e)
	}
	return list
}

func told(list []alert.Event) string {
	var out []string
	for _, e := range list {
		s := string(e.Type)
		if e.Finding != nil {
			s += fmt.Sprintf(" %s %d.%d", e.Finding.Kind, e.Finding.Index, e.Episode)
		}
		if e.Counts != nil {
			s += " (" + e.Counts.String() + ")"
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A finding is told when it opens and when it closes, once for each time that it does so,
// whatever the desk is told twice, and by however many processes.
func TestAFindingIsToldOnce(t *testing.T) {
	var out bytes.Buffer
	now := newClock()
	path := filepath.Join(t.TempDir(), "alerts.sqlite")
	cfg := alert.Config{To: map[string]alert.To{"file": {Type: "jsonl", Path: "-"}}, Stdout: &out, Now: now.Now}
	ctx := t.Context()
	a, b := found(audit.FalseAdmission, "acme", 7), found(audit.VersionGap, "acme", 8)
	outage := found(audit.Unreachable, "", -1)
	step := func(want string, do func(*alert.Desk) error) {
		t.Helper()
		for range 2 { // the second changes nothing, and is another process
			d, err := alert.Open(ctx, path, cfg)
			ok(t, err)
			ok(t, do(d))
			ok(t, d.Flush(ctx))
			ok(t, d.Close())
		}
		if got := told(events(t, out.Bytes())); got != want {
			t.Errorf("told:\n%s\nwant:\n%s", got, want)
		}
		out.Reset()
		now.now = now.now.Add(time.Minute)
	}
	step("finding.opened false-admission 7.1", func(d *alert.Desk) error {
		return d.Step(ctx, "example", "log.example", []audit.Finding{a, outage}, nil)
	})
	step("finding.opened version-gap 8.1", func(d *alert.Desk) error {
		return d.Sync(ctx, "example", "log.example", []audit.Finding{a, b, outage})
	})
	step("", func(d *alert.Desk) error { return d.Sync(ctx, "example", "log.example", []audit.Finding{a, acked(b)}) })
	step("", func(d *alert.Desk) error { return d.Sync(ctx, "example", "log.example", []audit.Finding{a, b}) })
	step("finding.closed false-admission 7.1", func(d *alert.Desk) error {
		return d.Step(ctx, "example", "log.example", nil, []audit.Finding{a})
	})
	step("finding.opened false-admission 7.2", func(d *alert.Desk) error {
		return d.Step(ctx, "example", "log.example", []audit.Finding{a}, nil)
	})
	step("finding.closed false-admission 7.2\nfinding.closed version-gap 8.1", func(d *alert.Desk) error {
		return d.Sync(ctx, "example", "log.example", nil)
	})
	// Another log has findings of its own.
	step("finding.opened false-admission 7.1", func(d *alert.Desk) error {
		return d.Sync(ctx, "other", "other.example", []audit.Finding{a})
	})
}
