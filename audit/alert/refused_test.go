package alert_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
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
		if c.status/100 == 4 { // a filter before it says so of all that it refuses
			w.Header().Set("Retry-After", "86400")
		}
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

// A mailbox that is no more keeps mail from nobody, and its trouble is shown.
func TestOneBadMailbox(t *testing.T) {
	address, said := smtpServer(t, nil, false)
	now := newClock()
	d := desk(t, filepath.Join(t.TempDir(), "a.sqlite"), alert.Config{Now: now.Now, To: map[string]alert.To{"ops": {
		Type: "mail", Addresses: []string{"left@example.com", "ops@example.com"}, From: "a@example.com", SMTP: address, TLS: "none",
	}}})
	var conversations []string
	deliver := func() error {
		err := d.Flush(t.Context())
		now.now = now.now.Add(10 * time.Second)
		for len(said) > 0 {
			conversations = append(conversations, <-said)
		}
		return err
	}
	ok(t, d.Step(t.Context(), "example", "log.example", []audit.Finding{found(audit.FalseAdmission, "acme", 7)}, nil))
	if err := deliver(); err == nil || !strings.Contains(err.Error(), "left@example.com: "+address+": refused by the receiver: ") || strings.Contains(err.Error(), "ops@") {
		t.Errorf("%v", err)
	}
	for range 4 {
		_ = deliver()
	}
	all, err := d.Status(t.Context(), now.now)
	ok(t, err)
	if s := all[0]; s.Waiting != 0 || s.Sent != 1 || !s.Failing.IsZero() || !strings.Contains(s.Trouble, "left@example.com") {
		t.Errorf("%+v", s)
	}
	for !strings.Contains(strings.Join(conversations, ""), " DATA") {
		conversations = append(conversations, <-said)
	}
	if text := strings.Join(conversations, ""); strings.Count(text, " DATA") != 1 || strings.Count(text, "RCPT TO:<ops@example.com>") != 1 {
		t.Errorf("said:\n%s", text)
	}
}

// One hook that hangs or fails keeps the event from no other, and none gets it twice.
func TestHooksAreIndependent(t *testing.T) {
	ctx := t.Context()
	base := t.TempDir()
	dir, out := filepath.Join(base, "hooks.d"), filepath.Join(base, "out")
	ok(t, os.Mkdir(dir, 0o755))
	script(t, filepath.Join(dir, "10-hangs"), "echo hang >> "+out+"; sleep 1000 & wait")
	script(t, filepath.Join(dir, "20-child"), "echo child $TUFLOG_EVENT_ID >> "+out+"; sleep 4 &")
	script(t, filepath.Join(dir, "30-fails"), "exit 1")
	ok(t, os.Symlink("me@host.1234", filepath.Join(dir, ".#10"))) // an editor's lock
	ok(t, os.Symlink("nothing", filepath.Join(dir, "40-gone")))
	now := newClock()
	d := desk(t, filepath.Join(base, "a.sqlite"), alert.Config{To: map[string]alert.To{"local": {Type: "hooks", Dir: dir, Timeout: 2 * time.Second}}, Now: now.Now})
	lines := func() map[string]int {
		b, err := os.ReadFile(out)
		ok(t, err)
		n := map[string]int{}
		for line := range strings.Lines(string(b)) {
			n[strings.TrimSpace(line)]++
		}
		return n
	}
	for i := range 2 {
		ok(t, d.Step(ctx, "example", "log.example", []audit.Finding{found(audit.FalseAdmission, fmt.Sprint(i), i)}, nil))
		if err := d.Flush(ctx); err == nil || !strings.Contains(err.Error(), "10-hangs: context deadline exceeded") || strings.Contains(err.Error(), "child") {
			t.Errorf("%v", err)
		}
		if n := lines(); len(n) != i+2 {
			t.Errorf("event %d: %v", i, n)
		}
	}
	script(t, filepath.Join(dir, "10-hangs"), "echo hang >> "+out) // it is mended
	script(t, filepath.Join(dir, "30-fails"), "exit 0")
	now.now = now.now.Add(time.Hour)
	ok(t, d.Flush(ctx))
	for line, n := range lines() {
		if line != "hang" && n != 1 {
			t.Errorf("%s: %d times", line, n)
		}
	}
	all, err := d.Status(ctx, now.now)
	ok(t, err)
	if s := all[0]; s.Waiting != 0 || s.Sent != 2 || s.Lost != 0 || s.Trouble != "" {
		t.Errorf("%+v", s)
	}
}

// A receiver that repeats its URL tells nobody the secret in it.
func TestASecretURLIsNotRepeated(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Error(w, "Cannot POST "+req.URL.String()+" "+strings.ToUpper(req.URL.Path)+" today", http.StatusNotFound)
	}))
	defer server.Close()
	d := desk(t, filepath.Join(t.TempDir(), "a.sqlite"), alert.Config{To: map[string]alert.To{
		"pager": webhook(server.URL+"/services/T0000/SecretToken%2Fx?key=AnotherSecret", secretFile(t)),
	}})
	err := d.Test(t.Context(), "pager")
	if err == nil || !strings.Contains(err.Error(), "the receiver answers 404 Not Found: Cannot POST ") || !strings.HasSuffix(err.Error(), " today") {
		t.Fatalf("%v", err)
	}
	for _, secret := range []string{"secrettoken", "anothersecret", "t0000"} {
		if strings.Contains(strings.ToLower(err.Error()), secret) {
			t.Errorf("%v", err)
		}
	}
}

// A stdout that nobody reads fails as any destination does.
func TestNobodyReadsLines(t *testing.T) {
	read, write := io.Pipe()
	now := newClock()
	d := desk(t, filepath.Join(t.TempDir(), "a.sqlite"), alert.Config{Now: now.Now, Stdout: write, To: map[string]alert.To{"out": {Type: "jsonl", Path: "-", Timeout: 50 * time.Millisecond}}})
	ok(t, d.Step(t.Context(), "example", "log.example", []audit.Finding{found(audit.FalseAdmission, "acme", 7)}, nil))
	for range 2 {
		if err := d.Test(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "out: nobody reads what is written: context deadline exceeded") {
			t.Errorf("%v", err)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, read) }()
	for d.Flush(t.Context()) != nil { // soon
		now.now = now.now.Add(time.Hour)
	}
	ok(t, write.Close())
}
