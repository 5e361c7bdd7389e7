package cluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A leader yields when nothing that waits is published, or most others do not reach it,
// for as long as it may last, and only to one that is able.
func TestDecide(t *testing.T) {
	able := func(unreached ...string) (list []FrontEnd) {
		for i, words := range unreached {
			list = append(list, FrontEnd{URL: fmt.Sprint("http://", i), Able: true, Leader: 7, Unreached: words})
		}
		return list
	}
	other := able("refused", "refused")
	other[0].Leader, other[1].Leader = 6, 6
	began := time.Now()
	const no = 0 // never
	for _, tt := range []struct {
		what    string
		stalled time.Duration
		able    []FrontEnd
		reason  string
		after   time.Duration // of that state
	}{
		{"all is well", 0, able("", ""), "", no},
		{"something waits for a moment", 9 * time.Second, able(""), "", no},
		{"something waits", 10 * time.Second, able(""), yieldUnpublished, 0},
		{"something waits, and nobody is able", time.Hour, nil, "", no},
		{"not reached by the only other one", 0, able("refused"), yieldUnreachable, 10 * time.Second},
		{"not reached by half", 0, able("refused", ""), "", no},
		{"not reached by most", 0, able("refused", "", "timeout"), yieldUnreachable, 10 * time.Second},
		{"an earlier leader was not reached", 0, other, "", no},
	} {
		y := yielding{times: defaultTimes, epoch: 7}
		var got *yield
		at := time.Duration(0)
		for ; at < time.Minute && got == nil; at += time.Second {
			got = y.decide(began.Add(at), tt.stalled, errors.New("no quorum"), tt.able)
		}
		switch {
		case tt.reason == "" && got != nil:
			t.Errorf("%s: yields after %v: %v", tt.what, at, got)
		case tt.reason != "" && (got == nil || got.reason != tt.reason || at-time.Second != tt.after):
			t.Errorf("%s: %v after %v, want %s after %v", tt.what, got, at-time.Second, tt.reason, tt.after)
		}
	}
	// Reached in between.
	y := yielding{times: defaultTimes, epoch: 7}
	for at := time.Duration(0); at < time.Hour; at += time.Second {
		words := "refused"
		if at%(8*time.Second) == 0 {
			words = ""
		}
		if got := y.decide(began.Add(at), 0, nil, able(words)); got != nil {
			t.Fatalf("yields after %v: %v", at, got)
		}
	}
}

// Two front ends of which neither can publish, though each believes that it could, change
// places less and less often; one that has published starts anew.
func TestBothUnable(t *testing.T) {
	now := time.Now()
	var front [2]outside
	for i := range front {
		front[i].times = defaultTimes
	}
	leads, since := 0, now
	var changes []time.Time
	for end := now.Add(2 * time.Hour); now.Before(end); now = now.Add(defaultTimes.beat) {
		y := yielding{times: defaultTimes}
		var able []FrontEnd
		if other := 1 - leads; front[other].err(now) == nil {
			able = []FrontEnd{{Able: true}}
		}
		if why := y.decide(now, now.Sub(since), nil, able); why != nil {
			front[leads].yielded(now, why)
			changes = append(changes, now)
			leads, since = 1-leads, now
		}
	}
	if len(changes) < 5 || len(changes) > 40 {
		t.Errorf("%d changes in two hours", len(changes))
	}
	if last := changes[len(changes)-1].Sub(changes[len(changes)-2]); last < defaultTimes.maxOut-defaultTimes.beat {
		t.Errorf("the last two changes were %v apart", last)
	}
	if err := front[1-leads].err(changes[len(changes)-1]); err == nil || !strings.Contains(err.Error(), "leaves it to others for another 5m0s") {
		t.Errorf("who yielded last: %v", err)
	}
	front[0].published()
	if stay := front[0].yielded(now, &yield{}); stay != defaultTimes.out {
		t.Errorf("who has published stays out for %v", stay)
	}
}

// Another front end lives while its row changes, whatever the clocks of others say.
func TestOthers(t *testing.T) {
	o := others{self: "self", times: defaultTimes}
	began := time.Now()
	row := func(id string, writes int64) FrontEnd {
		return FrontEnd{ID: id, URL: "http://" + id, Writes: writes, Able: id != "b", Ago: time.Hour}
	}
	at := func(d time.Duration, alive, able int, gone string, rows ...FrontEnd) {
		t.Helper()
		var left []string
		for _, f := range o.take(rows, began.Add(d)) {
			left = append(left, f.ID)
		}
		now := o.alive(began.Add(d))
		if len(now) != alive || len(ableOf(now)) != able || strings.Join(left, " ") != gone {
			t.Errorf("after %v: %d alive, %d able, gone %q; want %d, %d, %q", d, len(now), len(ableOf(now)), left, alive, able, gone)
		}
	}
	at(0, 0, 0, "", row("self", 1), row("a", 7), row("b", 1)) // it is not known yet
	at(time.Second, 2, 1, "", row("self", 2), row("a", 8), row("b", 2))
	at(5*time.Second, 1, 1, "", row("self", 3), row("a", 9), row("b", 2), row("c", 1))
	at(9*time.Second, 0, 0, "", row("a", 9), row("b", 2), row("c", 1))
	at(10*time.Second, 1, 1, "", row("a", 0), row("b", 2), row("c", 1)) // removed, and written anew
	at(62*time.Second, 0, 0, "b", row("a", 0), row("b", 2), row("c", 1))
	at(70*time.Second, 0, 0, "a c", row("a", 0), row("c", 1))
}

// A front end that is being stopped still answers, and nobody yields to it any more.
func TestEndingIsUnable(t *testing.T) {
	n := newNode(Config{})
	for _, k := range n.checks.all() {
		k.note(nil)
	}
	if why := n.hindrance(time.Now()); why != nil {
		t.Fatal(why)
	}
	n.ending.Store(true)
	if why := n.hindrance(time.Now()); why == nil || !strings.Contains(why.Error(), "being stopped") {
		t.Errorf("while it is being stopped: %v", why)
	}
}
