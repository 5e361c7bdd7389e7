package alert_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
)

// choosy is a receiver that answers what has a word with a status, and takes the rest.
type choosy struct {
	word   string
	status int

	mu    sync.Mutex
	taken []string
}

func (c *choosy) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var b strings.Builder
	_ = req.Write(&b)
	if strings.Contains(b.String(), c.word) {
		w.WriteHeader(c.status)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken = append(c.taken, b.String())
}

// Nobody silences a destination with words that it refuses, or breaks on: an alarm is told
// meanwhile, and what was refused is told without the words.
func TestRefusedWords(t *testing.T) {
	for _, status := range []int{400, 413, 500, 503} {
		r := &choosy{word: "GTUBE", status: status}
		server := httptest.NewServer(r)
		defer server.Close()
		now := newClock()
		d := desk(t, filepath.Join(t.TempDir(), "a.sqlite"), alert.Config{
			To: map[string]alert.To{"pager": webhook(server.URL, secretFile(t))}, Now: now.Now, URL: "https://audit.example/",
			Routes: []alert.Route{{To: []string{"pager"}}},
		})
		const poisoned = 9
		var list []audit.Finding
		for i := range poisoned {
			f := found(audit.UnexpectedRelease, fmt.Sprint("r", i), i)
			f.Sentence, f.Role = "it lists GTUBE", "GTUBE"
			f.Evidence = []audit.Evidence{{Name: "GTUBE"}}
			list = append(list, f)
		}
		ok(t, d.Step(t.Context(), "example", "log.example", list, nil))
		_ = d.Flush(t.Context())
		alarm := found(audit.FalseAdmission, "acme", 99)
		ok(t, d.Step(t.Context(), "example", "log.example", []audit.Finding{alarm}, nil))
		// All are told within minutes: the links are those of the findings.
		for begun := now.now; len(r.taken) < poisoned+1 && now.now.Sub(begun) < 3*time.Minute; now.now = now.now.Add(time.Second) {
			_ = d.Flush(t.Context())
		}
		all := strings.Join(r.taken, "\n")
		for _, f := range append(list, alarm) {
			if !strings.Contains(all, "https://audit.example/logs/example/findings/"+f.ID) {
				t.Errorf("%d: finding %d was not told", status, f.Index)
			}
		}
		if status == 400 && !strings.Contains(r.taken[0], string(audit.FalseAdmission)) {
			t.Errorf("told before the alarm: %s", r.taken[0])
		}
		s, err := d.Status(t.Context(), now.now)
		ok(t, err)
		if s[0].Waiting != 0 || !s[0].Failing.IsZero() || !s[0].Off.IsZero() {
			t.Errorf("%d: %+v", status, s[0])
		}
	}
}

// One word takes no line of a digest with it, and no health mail.
func TestRefusedDigest(t *testing.T) {
	r := &choosy{word: "GTUBE", status: 400}
	server := httptest.NewServer(r)
	defer server.Close()
	now := newClock()
	d := desk(t, filepath.Join(t.TempDir(), "a.sqlite"), alert.Config{
		To: map[string]alert.To{"pager": webhook(server.URL, secretFile(t))}, Now: now.Now, HealthMails: alert.HealthMails{To: []string{"pager"}},
		Logs: []alert.Log{{Name: "example"}},
	})
	outage := found(audit.UnknownLeaf, "acme", 1)
	outage.Class, outage.Sentence = audit.Outage, "GTUBE"
	bad := found(audit.VersionGap, "bolt", 2)
	bad.Sentence = "GTUBE"
	ok(t, d.Step(t.Context(), "example", "log.example", []audit.Finding{outage, bad, found(audit.VersionGap, "cord", 3)}, nil))
	ok(t, d.MakeHealth(t.Context()))
	now.now = now.now.Add(20 * time.Hour)
	ok(t, d.MakeHealth(t.Context()))
	for range 20 {
		_ = d.Flush(t.Context())
		now.now = now.now.Add(time.Second)
	}
	all := strings.Join(r.taken, "\n")
	if len(r.taken) != 2 || !strings.Contains(all, `"outages":1`) || strings.Count(all, `"kind":"version-gap"`) != 2 {
		t.Errorf("told:\n%s", all)
	}
}

// A clock that was wrong for a moment silences neither a destination nor a cause, and switches
// nothing off.
func TestClockThatWasWrong(t *testing.T) {
	for _, years := range []int{1, -50} {
		o := newOffice(t)
		right := o.now.now
		o.now.now = right.AddDate(years, 0, 0)
		o.step(t, append(several(audit.UnexpectedRelease, "acme", 1, 2), several(audit.VersionGap, "acme", 10, 11)...), nil)
		if pager, _ := o.after(t, 0); told(pager) != "finding.opened unexpected-release 1.1" {
			t.Errorf("%d: told %q", years, told(pager))
		}
		o.post.answers(status(500))
		o.step(t, several(audit.SecondPayload, "bolt", 4, 5), nil)
		for range 6 {
			_ = o.Flush(t.Context())
			o.now.now = o.now.now.Add(time.Minute)
		}
		o.now.now = right
		o.Desk = desk(t, o.path, o.cfg) // started again
		_ = o.Flush(t.Context())
		o.post.take(t)
		o.post.answers(nil)
		// The next of the same cause, what failed, and what is collected.
		o.step(t, several(audit.UnexpectedRelease, "acme", 2, 3), nil)
		pager, _ := o.after(t, time.Hour)
		for _, want := range []string{"finding.opened unexpected-release 2.1", "finding.opened second-payload 4.1", "digest (1 opened)"} {
			if !strings.Contains(told(pager), want) {
				t.Errorf("%d years: told %q, want %q", years, told(pager), want)
			}
		}
		all, err := o.Status(t.Context(), o.now.now)
		ok(t, err)
		if s := all[1]; !s.Off.IsZero() || s.Waiting+s.Later != 0 {
			t.Errorf("%+v", s)
		}
	}
	// Five days without power, between attempts that failed: it is not five days of failing.
	o := newOffice(t)
	o.post.answers(status(500))
	o.step(t, several(audit.SecondPayload, "bolt", 4, 5), nil)
	for range 6 {
		_ = o.Flush(t.Context())
		o.now.now = o.now.now.Add(time.Minute)
	}
	o.now.now = o.now.now.AddDate(0, 0, 6)
	_ = o.Flush(t.Context())
	o.post.take(t)
	o.post.answers(nil)
	if pager, _ := o.after(t, time.Hour); told(pager) != "finding.opened second-payload 4.1" {
		t.Errorf("told %q", told(pager))
	}
}
