package audit_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/tuf"
)

// inForce is which releases are in force in a history, as a reader of its files alone
// would say.
type inForce map[string]*tuf.Metadata

// publish takes up the files of a commit, and returns the releases that had expired when
// their successors came.
func (in inForce) publish(c realdata.Commit) (lapsed []string) {
	for _, f := range c.Files {
		m, err := tuf.ParseJSON(f.Data)
		if err != nil {
			continue
		}
		before := in[f.Role]
		if before != nil && m.Version <= before.Version {
			continue
		}
		if before != nil && before.Expires.Before(c.Time) {
			lapsed = append(lapsed, fmt.Sprintf("%s %d", f.Role, before.Version))
		}
		in[f.Role] = m
	}
	return lapsed
}

// followHistory audits a real history as it grows, and looks at least once in each pause.
// It returns when releases were found to run out, and which lapsed.
func followHistory(t *testing.T, history string, pause time.Duration) (ranOut map[string]time.Time, lapsed []string) {
	t.Helper()
	var a *audit.Auditor
	var now time.Time
	ranOut = map[string]time.Time{}
	look := func() {
		step(t, a)
		r, err := a.Report(t.Context())
		must(t, err)
		for _, f := range r.Findings {
			at := fmt.Sprintf("%s %d", f.Role, f.Version)
			if _, ok := ranOut[at]; f.Kind == audit.RunningOut && !ok {
				ranOut[at] = now
			}
		}
	}
	files := inForce{}
	replayHistory(t, history, true, func(l *realLog, c realdata.Commit, logged bool) {
		if a == nil {
			now = c.Time
			a = newAuditor(t, l.Log, func(cfg *audit.Config) { cfg.Now = func() time.Time { return now } })
		}
		if logged {
			now = c.Time
			lapsed = append(lapsed, files.publish(c)...)
			look()
			return
		}
		for next := now.Add(pause); next.Before(c.Time); next = next.Add(pause) {
			now = next
			look()
		}
	})
	return ranOut, lapsed
}

// On the history of Sigstore, running-out precedes each lapse. All others to which it
// refers had no more left when they were renewed, and most of them were renewed in the last
// days.
func TestRunningOutPrecedesLapses(t *testing.T) {
	if testing.Short() {
		t.Skip("four seconds of processor time: an auditor looks every day for five years")
	}
	ranOut, lapsed := followHistory(t, "sigstore_root_signing", 24*time.Hour)
	want := []string{"snapshot 3", "timestamp 3", "snapshot 13", "timestamp 13", "snapshot 25", "timestamp 25", "staging 1"}
	if !slices.Equal(lapsed, want) {
		t.Errorf("lapsed have %v, want %v", lapsed, want)
	}
	renewed := map[string]string{ // and how much was left
		"root 2": "0.7 days", "targets 2": "0.7 days", "rekor 1": "0.7 days", "snapshot 2": "1.8 days", "timestamp 2": "1.8 days",
		"snapshot 11": "4.0 days", "timestamp 11": "4.0 days", "timestamp 48": "1.4 days", "timestamp 56": "2.4 days",
		"root 7": "7.8 days", "targets 7": "7.8 days", "registry.npmjs.org 1": "7.8 days", "timestamp 118": "1.9 days",
		"root 8": "6.5 days", "targets 8": "6.5 days", "registry.npmjs.org 2": "6.5 days", "timestamp 165": "1.8 days",
		"root 9": "12.6 days", "targets 9": "12.6 days", "registry.npmjs.org 3": "12.6 days",
		"registry.npmjs.org 5": "8.1 days", "registry.npmjs.org 7": "8.4 days",
	}
	ends := expiries(t, "sigstore_root_signing")
	for release, when := range ranOut {
		switch left, ok := renewed[release]; {
		case slices.Contains(lapsed, release):
			if !when.Before(ends[release].expires) {
				t.Errorf("%s was found to run out at %v, when it had expired", release, when)
			}
		case !ok:
			t.Errorf("%s was found to run out at %v", release, when)
		default:
			if got := fmt.Sprintf("%.1f days", ends[release].expires.Sub(ends[release].renewed).Hours()/24); got != left {
				t.Errorf("%s was renewed with %s left, want %s", release, got, left)
			}
		}
	}
	if len(ranOut) != len(lapsed)+len(renewed) {
		t.Errorf("%d ran out, want %d", len(ranOut), len(lapsed)+len(renewed))
	}
}

// expiries returns when the releases of a history expired, and when the next ones came.
func expiries(t *testing.T, history string) map[string]struct{ expires, renewed time.Time } {
	t.Helper()
	ends := map[string]struct{ expires, renewed time.Time }{}
	before := inForce{}
	for _, c := range realdata.Commits(t, history) {
		was := maps.Clone(before)
		before.publish(c)
		for role, m := range before {
			if old := was[role]; old != nil && old != m {
				ends[fmt.Sprintf("%s %d", role, old.Version)] = struct{ expires, renewed time.Time }{old.Expires, c.Time}
			}
		}
	}
	return ends
}

// An auditor that comes late knows the life of a timestamp from the habit of its role.
func TestRunningOutByHabit(t *testing.T) {
	if testing.Short() {
		t.Skip("half a second of processor time for the history of Sigstore")
	}
	l := replayHistory(t, "sigstore_root_signing", true, nil)
	for when, want := range map[string]string{
		"2026-08-27T12:00:00Z": "",
		"2026-08-28T12:00:00Z": "timestamp 762 expires at 2026-08-28T19:25:56Z, and no newer release is logged: since 2026-08-28T",
	} {
		now, err := time.Parse(time.RFC3339, when)
		must(t, err)
		a := newAuditor(t, l.Log, at(now.Unix()))
		step(t, a)
		got := ""
		for _, f := range report(t, a).Findings {
			if f.Kind == audit.RunningOut {
				got += f.Sentence
			}
		}
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
}

// What had expired has not stopped because the log is away: a replay in an outage, in another
// process, says the same of it.
func TestExpiredInAnOutage(t *testing.T) {
	m := newMade(t)
	m.targets("targets", 1, object{"expires": "2030-01-31T00:00:00Z"}, "t")
	now := time.Date(2030, 3, 1, 0, 0, 0, 0, time.UTC)
	m.Time = now.Unix()
	m.Publish(2)
	dir := t.TempDir()
	var first []string
	for _, away := range []bool{false, true} {
		if away {
			m.Log.Spoil("checkpoint", func([]byte) ([]byte, error) { return nil, os.ErrDeadlineExceeded })
		}
		a := newAuditor(t, m.Log, func(c *audit.Config) {
			c.StateDir = dir
			c.Now = func() time.Time { return now }
		})
		if _, err := a.Step(t.Context()); (err != nil) != away {
			t.Fatal(err)
		}
		var got []string
		for _, f := range report(t, a).Findings {
			if f.Kind == audit.Expired || f.Kind == audit.RunningOut {
				got = append(got, f.Sentence)
			}
		}
		if !away {
			first = got
		}
		if len(got) != 1 || !strings.Contains(got[0], "targets 1 (2030-01-31)") || got[0] != first[0] {
			t.Errorf("away %v: %q, want %q", away, got, first)
		}
		must(t, a.Close())
	}
}

// An auditor that follows says when a release has begun to run out, though nothing is
// logged, and once.
func TestRunSaysWhatRunsOut(t *testing.T) {
	m := newMade(t)
	m.targets("targets", 1, object{"expires": "2030-01-31T00:00:00Z"}, "t")
	m.Publish(2)
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	a := newAuditor(t, m.Log, func(c *audit.Config) {
		c.Interval = time.Millisecond
		c.Now = func() time.Time { return now }
	})
	said := map[string]string{} // by day
	err := a.Run(t.Context(), func(r audit.StepResult, err error) error {
		for _, f := range r.Findings {
			if f.Kind == audit.RunningOut {
				said[now.Format(time.DateOnly)] += f.Sentence
			}
		}
		if now = now.Add(12 * time.Hour); err == nil && now.Month() > 1 {
			err = errDone
		}
		return err
	})
	if !errors.Is(err, errDone) || len(said) != 1 || !strings.HasPrefix(said["2030-01-17"], "targets 1 expires at 2030-01-31") {
		t.Errorf("%v, said %v", err, said)
	}
}

var errDone = errors.New("done")
