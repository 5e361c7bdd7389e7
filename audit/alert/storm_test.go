package alert_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/tuf"
)

// office is a desk with one receiver of each manner, and a clock.
type office struct {
	*alert.Desk
	now  *clock
	post *receiver
	file bytes.Buffer
	cfg  alert.Config
	path string
}

// The office's logs name the repositories acme, bolt and cord.
func newOffice(t *testing.T) *office {
	t.Helper()
	var named []alert.Repository
	for _, name := range []string{"acme", "bolt", "cord"} {
		named = append(named, alert.Repository{ID: tuf.Sum([]byte(name)).String(), Name: name})
	}
	o := &office{now: newClock(), path: filepath.Join(t.TempDir(), "a.sqlite")}
	var url string
	o.post, url = newReceiver(t)
	o.cfg = alert.Config{
		To:   map[string]alert.To{"pager": webhook(url, secretFile(t)), "file": {Type: "jsonl", Path: "-"}},
		Logs: []alert.Log{{Name: "example", Policy: "/p", URL: "https://log.example", Repositories: named}, {Name: "other", Policy: "/p", URL: "https://other.example"}},
		Now:  o.now.Now, Stdout: &o.file, URL: "https://audit.example/",
	}
	o.Desk = desk(t, o.path, o.cfg)
	return o
}

// after passes time, delivers, and returns what the pager and the file were told.
func (o *office) after(t *testing.T, d time.Duration) (pager, file []alert.Event) {
	t.Helper()
	o.now.now = o.now.now.Add(d)
	ok(t, o.Flush(t.Context()))
	file = events(t, o.file.Bytes())
	o.file.Reset()
	return o.post.take(t), file
}

func (o *office) step(t *testing.T, opened, closed []audit.Finding) {
	t.Helper()
	ok(t, o.Step(t.Context(), "example", "log.example", opened, closed))
}

func several(kind audit.Kind, repository string, from, to int) (list []audit.Finding) {
	for i := from; i < to; i++ {
		list = append(list, found(kind, repository, i))
	}
	return list
}

// What has one cause is one message, at once and later; what has another is not hidden by it.
func TestStorm(t *testing.T) {
	o := newOffice(t)
	o.step(t, append(several(audit.FalseAdmission, "acme", 0, 120), several(audit.FalseAdmission, "bolt", 500, 501)...), nil)
	pager, file := o.after(t, 0)
	if got := told(pager); got != "finding.opened false-admission 0.1 (120 opened)\nfinding.opened false-admission 500.1" {
		t.Errorf("told:\n%s", got)
	}
	if len(pager[0].Others) != 100 || len(file) != 121 {
		t.Errorf("%d ids, %d lines", len(pager[0].Others), len(file))
	}
	// It goes on: what was not there before is told each ten minutes; what closed waits for
	// ten minutes, and then for twenty.
	for i := range 29 {
		n := 1000 + i
		o.step(t, several(audit.FalseAdmission, "acme", n, n+1), several(audit.FalseAdmission, "acme", i, i+1))
		pager, file = o.after(t, time.Minute)
		want := map[int]string{9: "finding.opened false-admission 1000.1 (10 opened, 10 closed)", 19: "finding.opened false-admission 1010.1 (10 opened)"}[i]
		if got := told(pager); got != want || len(file) != 2 {
			t.Errorf("minute %d: told %q, %d lines", i+1, got, len(file))
		}
	}
	// Another kind or another repository is told meanwhile.
	o.step(t, []audit.Finding{found(audit.FalseAdmission, "cord", 2000), found(audit.SecondPayload, "acme", 2001)}, nil)
	pager, _ = o.after(t, 0)
	if got := told(pager); got != "finding.opened false-admission 2000.1\nfinding.opened second-payload 2001.1" {
		t.Errorf("told:\n%s", got)
	}
	pager, _ = o.after(t, time.Minute)
	if got := told(pager); got != "finding.opened false-admission 1020.1 (9 opened, 10 closed)" {
		t.Errorf("told:\n%s", got)
	}
	// When it is long over, the next one is told at once.
	for i, want := range []string{"finding.closed false-admission 20.1 (9 closed)", ""} {
		if pager, _ = o.after(t, 24*time.Hour); told(pager) != want {
			t.Errorf("day %d: told:\n%s", i+1, told(pager))
		}
	}
	o.step(t, several(audit.FalseAdmission, "acme", 3000, 3001), nil)
	if pager, _ = o.after(t, 0); told(pager) != "finding.opened false-admission 3000.1" {
		t.Errorf("told:\n%s", told(pager))
	}
}

// Whoever can cause harmless findings of a class that must not wait cannot hide one that is not
// harmless in their storm: it is told as soon as another that is new would be, in its own words.
// What only goes and comes back is told less and less often.
func TestStormHidesNothing(t *testing.T) {
	o := newOffice(t)
	messages := 0
	for n := range 24 {
		o.step(t, several(audit.UnexpectedRelease, "acme", n, n+1), nil)
		pager, _ := o.after(t, 5*time.Minute)
		messages += len(pager)
	}
	if messages != 12 {
		t.Errorf("%d messages in two hours", messages)
	}
	o.after(t, 5*time.Minute)
	evil := found(audit.UnexpectedRelease, "acme", 666)
	evil.Sentence = strings.Repeat("it is harmful ", 6) + "and lists evil.bin"
	o.step(t, append(several(audit.UnexpectedRelease, "acme", 100, 130), evil), nil)
	pager, _ := o.after(t, 10*time.Minute)
	if got := told(pager); got != "finding.opened unexpected-release 100.1 (31 opened)" {
		t.Fatalf("told:\n%s", got)
	}
	if also := pager[0].Also; len(also) != 20 || also[19] != evil.Sentence || also[18] != "entry 129 is odd" {
		t.Errorf("the others: %q", also)
	}
	flaps := several(audit.UnexpectedRelease, "bolt", 200, 201)
	messages = 0
	for range 180 {
		o.step(t, flaps, nil)
		o.step(t, nil, flaps)
		pager, _ := o.after(t, time.Minute)
		messages += len(pager)
	}
	if messages > 6 {
		t.Errorf("%d messages in three hours of one that comes and goes", messages)
	}
}

// Of very many causes at once each has a line, and none is left out.
func TestFlood(t *testing.T) {
	o := newOffice(t)
	var all []audit.Finding
	for i := range 520 {
		r := alert.Repository{ID: tuf.Sum(fmt.Append(nil, "vendor ", i)).String(), Name: fmt.Sprint("vendor ", i)}
		o.cfg.Logs[0].Repositories = append(o.cfg.Logs[0].Repositories, r)
		all = append(all, found(audit.SecondPayload, fmt.Sprint("vendor ", i), i))
	}
	all = append(all, found(audit.Fork, "", -1))
	o.Desk = desk(t, o.path, o.cfg)
	o.step(t, all, nil)
	pager, file := o.after(t, 0)
	lines := map[string]bool{}
	for _, e := range pager {
		if e.Type != alert.Digest || e.Omitted != 0 {
			t.Errorf("%s", told([]alert.Event{e}))
		}
		for _, c := range e.Causes {
			lines[string(c.Kind)+c.Repository.String()] = true
		}
	}
	if len(pager) != 2 || len(lines) != 521 || len(file) != 521 {
		t.Errorf("%d messages with %d causes, %d lines", len(pager), len(lines), len(file))
	}
}

// Hygiene is collected until the morning, and an outage is told nobody but in the health
// mail.
func TestDigestAndHealth(t *testing.T) {
	ctx := t.Context()
	base := t.TempDir()
	now := newClock()
	sendmail := filepath.Join(base, "sendmail")
	script(t, sendmail, "cat >> "+base+"/mails")
	cfg := alert.Config{
		To:   map[string]alert.To{"ops": {Type: "mail", Addresses: []string{"ops@example.com"}, From: "auditor@example.net", Sendmail: []string{sendmail}}},
		Logs: []alert.Log{{Name: "example", Policy: "/p", URL: "https://log.example"}, {Name: "other", Policy: "/p", URL: "https://other.example"}},
		Now:  now.Now,
	}
	d := desk(t, filepath.Join(base, "a.sqlite"), cfg)
	mails := func() string {
		b, err := os.ReadFile(filepath.Join(base, "mails"))
		if err == nil {
			ok(t, os.Remove(filepath.Join(base, "mails")))
		}
		_, text := mailOf(t, append([]byte("Content-Transfer-Encoding: quoted-printable\n\n"), b...))
		return text
	}
	ok(t, d.MakeHealth(ctx)) // says when the first is due
	unreachable := found(audit.Unreachable, "", -1)
	gaps := several(audit.VersionGap, "acme", 0, 700)
	ok(t, d.Step(ctx, "example", "log.example", append(gaps, unreachable, found(audit.Expired, "bolt", 900)), nil))
	ok(t, d.Step(ctx, "example", "log.example", nil, gaps[:3]))
	ok(t, d.Step(ctx, "example", "log.example", []audit.Finding{acked(gaps[9])}, nil))
	for range 17 {
		ok(t, d.Flush(ctx))
		now.now = now.now.Add(time.Hour)
		ok(t, d.MakeHealth(ctx))
	}
	if text := mails(); text != "" {
		t.Errorf("before the morning:\n%s", text)
	}
	now.now = now.now.Add(time.Hour)
	ok(t, d.MakeHealth(ctx))
	ok(t, d.Flush(ctx))
	text := mails()
	for _, want := range []string{
		"Subject: [tuflog] digest: 700 opened, 3 closed, of 2 causes\n", "\nhygiene: version-gap in ", ", example: 699 opened, 3 closed\n    entry 0 is odd\n", ", example: 1 opened\n    entry 900 is odd\n",
		"Subject: [tuflog] health: 1 of 2 logs has an outage.\n", "\nexample: 1 outage, such as: entry -1 is odd; 697 findings open\n", "\nother: nothing to report\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("without %q:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "Subject:"); n != 2 {
		t.Errorf("%d mails", n)
	}
	// One health mail a day, also after a time in which nothing ran.
	now.now = now.now.Add(80 * time.Hour)
	for range 3 {
		ok(t, d.MakeHealth(ctx))
		ok(t, d.Flush(ctx))
		now.now = now.now.Add(time.Minute)
	}
	if n := strings.Count(mails(), "Subject: [tuflog] health"); n != 1 {
		t.Errorf("%d health mails", n)
	}
}

// The first route that matches says where a finding goes; behind the written ones the
// default ones stand.
func TestRoutes(t *testing.T) {
	o := newOffice(t)
	o.cfg.Logs[0].Repositories = o.cfg.Logs[0].Repositories[:1]
	bolt := found("fork", "bolt", 0).Repository.String()
	o.cfg.Routes = []alert.Route{
		{Kinds: []string{"version-gap"}, Repositories: []string{"acme"}, To: []string{"pager"}},
		{Classes: []string{"tampering"}, Repositories: []string{bolt}},
		{Classes: []string{"outage"}, Logs: []string{"other"}, To: []string{"pager"}},
		{Roles: []string{"root"}, To: []string{"file"}},
	}
	o.Desk = desk(t, o.path, o.cfg)
	alerting := func(want bool) {
		t.Helper()
		if got, err := o.Alerting(t.Context()); err != nil || got != want {
			t.Errorf("alerting: %v, %v", got, err)
		}
	}
	silenced, outage := found(audit.FalseAdmission, "bolt", 2), found(audit.Unreachable, "", -1)
	o.step(t, []audit.Finding{silenced, found(audit.VersionGap, "bolt", 3), outage}, nil)
	alerting(false)
	o.step(t, []audit.Finding{found(audit.VersionGap, "acme", 1)}, nil)
	alerting(true) // as it is told at once
	root := found(audit.Fork, "", -1)
	root.Role = "root"
	o.step(t, []audit.Finding{found(audit.FalseAdmission, "acme", 4), root}, nil)
	ok(t, o.Step(t.Context(), "other", "other.example", []audit.Finding{outage}, nil))
	pager, file := o.after(t, 0)
	if got := told(pager); got != "finding.opened version-gap 1.1\nfinding.opened false-admission 4.1\nfinding.opened unreachable -1.1" {
		t.Errorf("the pager was told:\n%s", got)
	}
	if pager[0].RepositoryName != "acme" {
		t.Errorf("%+v", pager[0])
	}
	if got := told(file); got != "finding.opened version-gap 3.1\nfinding.opened false-admission 4.1\nfinding.opened fork -1.1" {
		t.Errorf("the file was told:\n%s", got)
	}
	// What goes, goes where it was told.
	o.cfg.Routes = nil
	o.Desk = desk(t, o.path, o.cfg)
	o.step(t, nil, []audit.Finding{silenced, root})
	ok(t, o.Step(t.Context(), "other", "other.example", nil, []audit.Finding{outage}))
	pager, file = o.after(t, time.Hour)
	if got := told(pager) + "\n" + told(file); got != "finding.closed unreachable -1.1\nfinding.closed fork -1.1" {
		t.Errorf("told:\n%s", got)
	}
	o.step(t, []audit.Finding{acked(found(audit.VersionGap, "acme", 1)), acked(found(audit.FalseAdmission, "acme", 4))}, nil)
	alerting(false)
	o.step(t, []audit.Finding{found(audit.FalseAdmission, "acme", 5)}, nil)
	alerting(true)
}

// What has been acknowledged before it was told is not told.
func TestAcknowledged(t *testing.T) {
	o := newOffice(t)
	f := found(audit.FalseAdmission, "acme", 1)
	o.step(t, []audit.Finding{f}, nil)
	o.step(t, []audit.Finding{acked(f), acked(found(audit.FalseAdmission, "bolt", 2))}, nil)
	if pager, file := o.after(t, 0); len(pager)+len(file) != 0 {
		t.Errorf("told:\n%s", told(append(pager, file...)))
	}
	o.step(t, []audit.Finding{found(audit.FalseAdmission, "bolt", 2)}, nil) // taken back
	if pager, _ := o.after(t, 0); told(pager) != "finding.opened false-admission 2.1" {
		t.Errorf("told:\n%s", told(pager))
	}
	o.step(t, nil, []audit.Finding{acked(f)})
	if pager, file := o.after(t, time.Hour); len(pager)+len(file) != 0 {
		t.Errorf("told:\n%s", told(append(pager, file...)))
	}
	// One that was taken back is told when nobody acknowledges it any more, and its end to
	// those who were told of it, acknowledged or not.
	g := found(audit.SecondPayload, "acme", 3)
	o.step(t, []audit.Finding{g}, nil)
	o.step(t, []audit.Finding{acked(g)}, nil)
	o.step(t, []audit.Finding{g}, nil)
	if pager, file := o.after(t, 0); told(append(pager, file...)) != "finding.opened second-payload 3.1\nfinding.opened second-payload 3.1" {
		t.Errorf("told:\n%s", told(append(pager, file...)))
	}
	o.step(t, []audit.Finding{acked(g)}, nil)
	o.step(t, nil, []audit.Finding{acked(g)})
	if pager, file := o.after(t, time.Hour); told(append(pager, file...)) != "finding.closed second-payload 3.1\nfinding.closed second-payload 3.1" {
		t.Errorf("told:\n%s", told(append(pager, file...)))
	}
}

// A queue has a bound: what matters least is left out, and counted in the next message.
func TestAQueueIsBounded(t *testing.T) {
	o := newOffice(t)
	o.cfg.Keep = 100
	o.Desk = desk(t, o.path, o.cfg)
	o.post.answers(status(500))
	o.step(t, []audit.Finding{found(audit.FalseAdmission, "acme", 0)}, nil)
	_ = o.Flush(t.Context())
	o.post.take(t)
	for i := range 30 {
		o.step(t, append(several(audit.VersionGap, "acme", i*10, i*10+10), found([]audit.Kind{audit.FalseAdmission, audit.UnexpectedRelease}[i%2], "acme", 1000+i)), nil)
	}
	o.post.answers(nil)
	all, err := o.Status(t.Context(), o.now.now)
	ok(t, err)
	if s := all[1]; s.To != "pager" || s.Waiting+s.Later > 101 || s.Lost != 230 {
		t.Errorf("%+v", s)
	}
	o.file.Reset()
	pager, _ := o.after(t, 20*time.Minute)
	if got := told(pager); got != "finding.opened false-admission 0.1\nfinding.opened false-admission 1000.1 (15 opened)\nfinding.opened unexpected-release 1001.1 (15 opened)" {
		t.Errorf("told:\n%s", got)
	}
	if pager[1].Lost != 230 {
		t.Errorf("%d lost", pager[1].Lost)
	}
}

// Whoever may register repositories cannot page anybody as often as they like: what happens in
// those that nobody named is told together, less and less often, and holds up nothing else.
func TestUnnamedRepositories(t *testing.T) {
	o := newOffice(t)
	messages, counted := 0, 0
	for i := range 360 {
		o.step(t, []audit.Finding{found(audit.SecondPayload, fmt.Sprint("stranger ", i), i)}, nil)
		pager, file := o.after(t, time.Minute)
		if messages += len(pager); len(file) != 1 || !file[0].Unnamed {
			t.Fatalf("minute %d: %d lines", i, len(file))
		}
		for _, e := range pager {
			if e.Counts == nil {
				counted++
				continue
			}
			counted += e.Counts.Opened
			if e.Type != alert.Digest || len(e.Causes) != e.Counts.Opened || !e.Causes[0].Unnamed {
				t.Errorf("minute %d: %+v", i, e)
			}
		}
	}
	if messages < 4 || messages > 8 || counted < 100 {
		t.Errorf("%d messages in six hours, about %d repositories", messages, counted)
	}
	o.step(t, []audit.Finding{found(audit.SecondPayload, "acme", 1000), found(audit.FalseAdmission, "stranger 7", 1001)}, nil)
	pager, _ := o.after(t, 0)
	if got := told(pager); got != "finding.opened second-payload 1000.1\nfinding.opened false-admission 1001.1" {
		t.Errorf("told:\n%s", got)
	}
	o.step(t, several(audit.SecondPayload, "acme", 2000, 2001), nil)
	if pager, _ := o.after(t, 10*time.Minute); len(pager) != 1 {
		t.Errorf("told:\n%s", told(pager))
	}
	var all []audit.Finding
	for i := range 700 {
		all = append(all, found(audit.SecondPayload, fmt.Sprint("another ", i), 3000+i))
	}
	o.step(t, all, nil)
	o.step(t, []audit.Finding{found(audit.BothStand, "bolt", 5000)}, nil)
	if pager, _ = o.after(t, 24*time.Hour); len(pager) != 2 || len(pager[0].Causes)+len(pager[1].Causes) > 501 || !strings.Contains(told(pager), "both-stand 5000.1") {
		t.Errorf("told:\n%s", told(pager))
	}
}

// What others can cause at will pushes nothing out of a queue that they cannot.
func TestWhatIsLeftOut(t *testing.T) {
	for name, flood := range map[string][]audit.Finding{
		"unexpected releases":          several(audit.LiveUnlogged, "acme", 1000, 1200),
		"second payloads of strangers": several(audit.SecondPayload, "stranger", 1000, 1200),
		"hygiene":                      several(audit.VersionGap, "acme", 1000, 1200),
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			o.cfg.Keep = 100
			o.Desk = desk(t, o.path, o.cfg)
			o.step(t, []audit.Finding{found(audit.FalseAdmission, "acme", 1), found(audit.SecondPayload, "acme", 2)}, nil)
			o.step(t, flood, nil)
			pager, _ := o.after(t, 0)
			if got := told(pager); !strings.HasPrefix(got, "finding.opened false-admission 1.1\nfinding.opened second-payload 2.1") {
				t.Errorf("told:\n%s", got)
			}
		})
	}
}
