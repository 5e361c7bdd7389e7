package alert_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/internal/lockfile"
)

// again opens the outbox of an office by other settings.
func (o *office) again(t *testing.T, change func(*alert.Config)) {
	t.Helper()
	change(&o.cfg)
	o.Desk = desk(t, o.path, o.cfg)
}

// A destination that is new is told of what is open and not acknowledged, whoever else has been.
func TestANewDestination(t *testing.T) {
	o := newOffice(t)
	pager, file := o.cfg.To["pager"], o.cfg.To["file"]
	o.again(t, func(c *alert.Config) { c.To = nil })
	open := found(audit.FalseAdmission, "acme", 1)
	o.step(t, []audit.Finding{open, acked(found(audit.FalseAdmission, "bolt", 2)), found(audit.SecondPayload, "acme", 3), found(audit.Unreachable, "", -1)}, nil)
	o.step(t, nil, []audit.Finding{found(audit.SecondPayload, "acme", 3)})
	ok(t, o.Flush(t.Context()))
	o.again(t, func(c *alert.Config) { c.To = map[string]alert.To{"file": file} })
	_, lines := o.after(t, time.Hour)
	if got := told(lines); got != "finding.opened false-admission 1.1" {
		t.Errorf("the first destination was told:\n%s", got)
	}
	o.again(t, func(c *alert.Config) { c.To = map[string]alert.To{"file": file, "pager": pager} })
	for i, want := range []string{"finding.opened false-admission 1.1", ""} { // once
		messages, lines := o.after(t, time.Hour)
		if got := told(messages); got != want || len(lines) != 0 {
			t.Errorf("flush %d: the second destination was told:\n%s\nthe first %d", i, got, len(lines))
		} else if i == 0 && messages[0].ID == "" {
			t.Error("no id")
		}
	}
	o.step(t, nil, []audit.Finding{open})
	messages, lines := o.after(t, time.Hour)
	if got := told(messages) + "\n" + told(lines); got != "finding.closed false-admission 1.1\nfinding.closed false-admission 1.1" {
		t.Errorf("told:\n%s", got)
	}
}

// A route to nobody that is taken away silences no longer.
func TestARouteIsTakenAway(t *testing.T) {
	o := newOffice(t)
	o.again(t, func(c *alert.Config) { c.Routes = []alert.Route{{Classes: []string{"tampering"}}} })
	o.step(t, []audit.Finding{found(audit.FalseAdmission, "acme", 1)}, nil)
	if pager, file := o.after(t, 0); len(pager)+len(file) > 0 {
		t.Errorf("told:\n%s", told(append(pager, file...)))
	}
	o.again(t, func(c *alert.Config) { c.Routes = nil })
	if pager, _ := o.after(t, 0); told(pager) != "finding.opened false-admission 1.1" {
		t.Errorf("told:\n%s", told(pager))
	}
}

// What waited for a destination that has another name now, or is gone, is told those who are
// there, and they are told that it was.
func TestARenamedDestination(t *testing.T) {
	o := newOffice(t)
	pager := o.cfg.To["pager"]
	o.again(t, func(c *alert.Config) { c.To = map[string]alert.To{"ops": pager} })
	o.post.answers(status(503))
	gone := found(audit.SecondPayload, "bolt", 2)
	o.step(t, []audit.Finding{found(audit.FalseAdmission, "acme", 1), gone}, nil)
	if o.Flush(t.Context()) == nil {
		t.Fatal("it was delivered")
	}
	o.step(t, nil, []audit.Finding{gone})
	o.post.answers(nil)
	o.post.take(t)
	o.again(t, func(c *alert.Config) { c.To = map[string]alert.To{"pager": pager} })
	messages, _ := o.after(t, time.Hour)
	var health []string
	for _, e := range messages {
		if e.Type == alert.Health {
			health = append(health, e.Text)
		}
	}
	if got := told(messages); !strings.Contains(got, "finding.opened false-admission 1.1") || strings.Contains(got, "second-payload") {
		t.Errorf("told:\n%s", got)
	}
	if len(health) != 1 || !strings.Contains(health[0], "ops is not configured any more, and 3 messages for it had not been delivered") {
		t.Errorf("told: %q", health)
	}
	// The last one is taken away, and comes back.
	o.post.answers(status(503))
	o.step(t, []audit.Finding{found(audit.FalseAdmission, "cord", 4)}, nil)
	_ = o.Flush(t.Context())
	o.post.answers(nil)
	o.post.take(t)
	o.again(t, func(c *alert.Config) { c.To = nil })
	ok(t, o.Flush(t.Context()))
	o.again(t, func(c *alert.Config) { c.To = map[string]alert.To{"mine": pager} })
	if messages, _ = o.after(t, time.Hour); told(messages) != "finding.opened false-admission 1.1\nfinding.opened false-admission 4.1" {
		t.Errorf("told:\n%s", told(messages))
	}
}

// Whatever keeps a process from delivering, it delivers as soon as it can, and says meanwhile that
// it does not.
func TestDeliveryBeginsAgain(t *testing.T) {
	o := newOffice(t)
	other, err := lockfile.Acquire(o.path+".lock", "")
	ok(t, err)
	o.SetRetry(10 * time.Millisecond)
	o.step(t, []audit.Finding{found(audit.FalseAdmission, "acme", 1)}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- o.Run(ctx) }()
	for {
		if since, err := o.Undelivered(); err != nil && since.Equal(o.now.now) && strings.Contains(err.Error(), "in use by") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	// That is said past the outbox.
	ok(t, o.Say(t.Context(), "the disk is full"))
	if list := o.post.take(t); len(list) != 1 || list[0].Type != alert.Health || list[0].Text != "the disk is full" {
		t.Errorf("said %+v", list)
	}
	ok(t, other.Release())
	for got := ""; !strings.Contains(got, "finding.opened false-admission 1.1"); got = told(o.post.take(t)) {
		time.Sleep(time.Millisecond)
	}
	if _, err := o.Undelivered(); err != nil {
		t.Errorf("it delivers: %v", err)
	}
	ok(t, o.Say(t.Context(), "there is room again"))
	for said := false; !said; time.Sleep(time.Millisecond) {
		for _, e := range o.post.take(t) {
			said = said || e.Text == "there is room again"
		}
	}
	cancel()
	<-ended
}
