package monitor

import (
	"context"
	"errors"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/fetch"
)

// This file is about telling what was found. What reads this process's news is told in the log's
// goroutine, which does not wait for it. The outbox may be locked by another process: it is
// written in a goroutine of its own, from the state as it was committed.

// tell tells which findings have come, gone or been acknowledged since it did last.
func (f *follower) tell(ctx context.Context) error {
	db := f.a.State()
	last, err := db.LastChange(ctx)
	if err != nil || f.open != nil && last == f.changed {
		return err
	}
	var opened, gone []audit.Finding
	kind := NewsOpened
	if f.open == nil {
		kind = NewsThere
		if opened, err = audit.KeptFindings(ctx, db, false); err != nil {
			return err
		}
	} else {
		replay, err := db.Replay(ctx)
		if err != nil {
			return err
		}
		err = db.FindingsChanged(ctx, f.changed, 0, func(kept state.Finding) error {
			x, err := audit.FindingOf(kept, replay)
			if err != nil {
				return err
			}
			before, was := f.open[x.ID]
			switch {
			case x.Gone > 0 && was:
				gone = append(gone, x)
			case x.Gone <= 0 && (!was || before.Acked != x.Acked || before.AckReason != x.AckReason):
				opened = append(opened, x)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	f.teller.ask(toTell{instance: db, origin: f.origin(), last: last})
	if f.open == nil {
		f.open = map[string]audit.Finding{}
	}
	for _, x := range opened {
		if _, was := f.open[x.ID]; !was {
			f.m.news.write(News{Log: f.log.Name, Type: kind, Finding: &x})
		} else {
			f.m.news.write(News{Log: f.log.Name, Type: NewsAcked, Finding: &x})
		}
		f.open[x.ID] = x
	}
	for _, x := range gone {
		f.m.news.write(News{Log: f.log.Name, Type: NewsGone, Finding: &x})
		delete(f.open, x.ID)
	}
	f.changed = last
	count := map[audit.Class]int{}
	for _, x := range f.open {
		if x.Acked == 0 {
			count[x.Class]++
		}
	}
	f.set(func(s *Status) { s.Open = count })
	return nil
}

// teller hands what has changed of a log's findings to the outbox.
type teller struct {
	f    *follower
	view *state.View
	due  chan toTell // has the newest

	since time.Time // when it began to fail; zero: it does not
}

// toTell says that there are changes.
type toTell struct {
	instance any    // stands for the state that is open
	origin   string // of the log
	last     int64  // change
}

func newTeller(f *follower) *teller {
	return &teller{f: f, view: state.NewView(StateDir(f.m.dir, f.log.Name)), due: make(chan toTell, 1)}
}

// ask asks for changes to be told. It is called by the log's goroutine alone.
func (t *teller) ask(what toTell) {
	select {
	case <-t.due: // the newer one says more
	default:
	}
	t.due <- what
}

// Pauses before what could not be told is tried again. Each try waits some seconds, too.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// run tells until the context ends. What has not been told by then a later process tells.
func (t *teller) run(ctx context.Context) {
	defer t.view.Close()
	for {
		var what toTell
		select {
		case <-ctx.Done():
			return
		case what = <-t.due:
		}
		for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
			err := t.tell(ctx, what)
			if ctx.Err() != nil {
				return
			}
			t.say(err)
			if err == nil {
				break
			}
			retry := time.NewTimer(pause)
			select {
			case <-ctx.Done():
			case what = <-t.due:
			case <-retry.C:
			}
			retry.Stop()
		}
	}
}

// errNotCommitted says that a change is not in the file yet.
var errNotCommitted = errors.New("the state has not written what was found")

// tell tells once.
func (t *teller) tell(ctx context.Context, what toTell) error {
	return t.f.m.alert(func(d *alert.Desk) error {
		var changes *alert.Changes
		err := t.view.At(ctx, func(r *state.Reader) error {
			last, err := r.LastChange(ctx)
			if err == nil && last < what.last {
				err = errNotCommitted
			}
			if err == nil {
				changes, err = d.Changes(ctx, t.f.log.Name, what.origin, what.instance, r)
			}
			return err
		})
		if changes == nil || err != nil {
			return err
		}
		return d.Take(ctx, changes)
	})
}

// say notes whether it can be told.
func (t *teller) say(err error) {
	f := t.f
	switch {
	case err != nil && t.since.IsZero():
		t.since = f.m.opts.Now()
		f.logger.Error("findings wait: the outbox of alerts cannot be written", "error", err)
	case err == nil && !t.since.IsZero():
		f.logger.Info("findings that waited are told", "after", f.m.opts.Now().Sub(t.since).Round(time.Second))
		t.since = time.Time{}
	case err == nil:
		return
	}
	f.set(func(s *Status) {
		if s.Untold, s.UntoldSince = "", 0; err != nil {
			s.Untold, s.UntoldSince = fetch.RedactedText(err.Error()), t.since.Unix()
		}
	})
}

// tellNow tells what has been found, and waits for it.
func (f *follower) tellNow(ctx context.Context) error {
	return f.m.alert(func(d *alert.Desk) error { return d.Follow(ctx, f.log.Name, f.origin(), f.a.State()) })
}
