package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

const (
	// supervised is how long a program that was killed stays away: as long as a
	// supervisor takes to start it again.
	supervised = time.Second
	// mostCut is how long a leader that is cut off from Trillian alone may lead
	// on: 7 s, and what another takes to begin.
	mostCut = 10 * time.Second
	// mostBack is how long it may take until one leads when all reach Trillian
	// again.
	mostBack = 5 * time.Second
)

// partFaults are faults of one part each.
var partFaults = []part{
	{name: "follower killed", inject: killFollower},
	{name: "witness killed, one of three", inject: killWitness},
	{name: "Trillian's log server killed", inject: func(ctx context.Context, w *world, _ *load, _ *rehearsal.Row) error {
		w.trillian.KillServer()
		process.Pause(ctx, supervised)
		return w.trillian.RestartServer(ctx)
	}},
	{name: "Trillian's log server hangs (SIGSTOP) for {hang}", inject: func(ctx context.Context, w *world, _ *load, _ *rehearsal.Row) error {
		return during(ctx, w.h.hang, w.trillian.PauseServer, w.trillian.ResumeServer)
	}},
	{name: "Trillian's signer killed", inject: func(ctx context.Context, w *world, _ *load, _ *rehearsal.Row) error {
		w.trillian.KillSigner()
		process.Pause(ctx, supervised)
		return w.trillian.RestartSigner(ctx)
	}},
	{name: "Trillian's signer paused (SIGSTOP) for {pause}", inject: func(ctx context.Context, w *world, _ *load, _ *rehearsal.Row) error {
		return during(ctx, w.h.pause, w.trillian.PauseSigner, w.trillian.ResumeSigner)
	}},
	{name: "PostgreSQL killed, every process of it", inject: func(ctx context.Context, w *world, _ *load, _ *rehearsal.Row) error {
		if err := w.postgres.Kill(); err != nil {
			return err
		}
		process.Pause(ctx, supervised)
		return w.postgres.Restart(ctx)
	}},
	{name: "PostgreSQL restarted", inject: func(ctx context.Context, w *world, _ *load, _ *rehearsal.Row) error {
		return w.postgres.Restart(ctx)
	}},
	{name: "leader hangs (SIGSTOP) for {hang}, longer than its lease", inject: hangLeader},
	{name: "leader cut off from PostgreSQL and Trillian for {hang}", inject: func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
		return cutLeader(ctx, w, l, r, func(f *front) []*link { return []*link{f.database, f.trillian} })
	}},
	{name: "leader cut off from PostgreSQL for {hang}", inject: func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
		return cutLeader(ctx, w, l, r, func(f *front) []*link { return []*link{f.database} })
	}},
	{name: "leader cut off from Trillian alone, until another leads", inject: func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
		cut := time.Now()
		if err := cutLeader(ctx, w, l, r, func(f *front) []*link { return []*link{f.trillian} }); err != nil {
			return err
		}
		return w.ledWithin(cut, mostCut, "longest until another led, in ms", r)
	}},
	{name: "all front ends cut off from Trillian, and back", inject: cutAll},
}

// during does something, and the opposite after a while.
func during(ctx context.Context, d time.Duration, do, undo func() error) error {
	if err := do(); err != nil {
		return err
	}
	process.Pause(ctx, d)
	return undo()
}

// restartAll restarts one front end after the other, as an update does.
func restartAll(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	for _, f := range w.fronts {
		if code := f.process.Stop(); code != 0 {
			return fmt.Errorf("%s, told to stop, ended with %d: %s", f.name, code, f.lastWords())
		}
		if err := f.start(ctx); err != nil {
			return err
		}
		if err := l.progress(ctx, 5, w.fronts...); err != nil {
			return err
		}
	}
	return nil
}

func killFollower(ctx context.Context, w *world, l *load, _ *rehearsal.Row) error {
	leader, err := w.leader(ctx)
	if err != nil {
		return err
	}
	leader.other().kill()
	if err := l.progress(ctx, 5, leader); err != nil {
		return err
	}
	return leader.other().start(ctx)
}

func killWitness(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	i := r.Injected % witnesses
	w.witnesses.Processes[i].Kill()
	if err := l.progress(ctx, 5, w.fronts...); err != nil {
		return err
	}
	return w.witnesses.Start(ctx, i)
}

// hangLeader stops the leader until another one leads, and longer.
func hangLeader(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	leader, err := w.leader(ctx)
	if err != nil {
		return err
	}
	stopped := time.Now()
	if err := leader.process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err = w.takenOver(ctx, l, leader, stopped)
	process.Pause(ctx, time.Until(stopped.Add(w.h.hang)))
	if err := errors.Join(err, leader.process.Signal(syscall.SIGCONT)); err != nil {
		return err
	}
	return w.leadsNoMore(ctx, l, leader, stopped, r)
}

// cutLeader cuts links of the leader, which has to make way for somebody else.
func cutLeader(ctx context.Context, w *world, l *load, r *rehearsal.Row, links func(*front) []*link) error {
	leader, err := w.leader(ctx)
	if err != nil {
		return err
	}
	cut := time.Now()
	for _, k := range links(leader) {
		k.cut()
	}
	err = w.takenOver(ctx, l, leader, cut)
	process.Pause(ctx, time.Until(cut.Add(w.h.hang)))
	for _, k := range links(leader) {
		k.mend()
	}
	if err != nil {
		return err
	}
	return w.leadsNoMore(ctx, l, leader, cut, r)
}

// cutAll cuts all front ends off from Trillian until nobody leads, and mends that.
func cutAll(ctx context.Context, w *world, _ *load, r *rehearsal.Row) error {
	if _, err := w.leader(ctx); err != nil {
		return err
	}
	for _, f := range w.fronts {
		f.trillian.cut()
	}
	err := w.nobodyLeads(ctx)
	mended := time.Now()
	for _, f := range w.fronts {
		f.trillian.mend()
	}
	if err != nil {
		return err
	}
	r.Outcomes["nobody led, all said why, and reads went on"]++
	err = process.Eventually(ctx, "a front end leads again", process.Patience, func() bool {
		_, ok := w.led(mended)
		return ok
	})
	if err != nil {
		return fmt.Errorf("%w%s", err, w.lastWords())
	}
	return w.ledWithin(mended, mostBack, "longest until one led again, in ms", r)
}

// nobodyLeads waits until nobody leads and each front end says that Trillian is why;
// each must still serve the log.
func (w *world) nobodyLeads(ctx context.Context) error {
	said := ""
	err := process.Eventually(ctx, "nobody leads, and all say why", process.Patience, func() bool {
		held, err := w.postgres.Exec(ctx, stateDatabase, "SELECT count(*) FROM lease WHERE expires > clock_timestamp()")
		if said = "the lease is held: " + held; err != nil || held != "0" {
			return false
		}
		for _, f := range w.fronts {
			_, err := w.client().Get(ctx, f.url()+"/readyz")
			if err == nil {
				said = f.name + " is ready"
			} else {
				said = err.Error()
			}
			if !strings.Contains(said, "no front end leads") || !strings.Contains(said, "Trillian's log server at "+f.trillian.addr()) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("%w: %s%s", err, said, w.lastWords())
	}
	return w.serve(ctx)
}

// led returns when a front end began to lead since a time, the first of them.
func (w *world) led(since time.Time) (first time.Time, ok bool) {
	for _, f := range w.fronts {
		if at, opened := f.since(opened, since); opened && (!ok || at.Before(first)) {
			first, ok = at, true
		}
	}
	return first, ok
}

// ledWithin notes how long it took until a front end led, and whether that was too
// long.
func (w *world) ledWithin(since time.Time, most time.Duration, what string, r *rehearsal.Row) error {
	at, _ := w.led(since)
	took := at.Sub(since)
	r.Outcomes[what] = max(r.Outcomes[what], int(took.Milliseconds()))
	if took > most {
		return fmt.Errorf("%w: nobody led for %v, less than %v is allowed", errSlow, round(took), most)
	}
	return nil
}

// takenOver waits until the other front end leads and acknowledges.
func (w *world) takenOver(ctx context.Context, l *load, from *front, since time.Time) error {
	err := process.Eventually(ctx, "the other front end leads", process.Patience, func() bool {
		_, ok := from.other().since(opened, since)
		return ok
	})
	if err != nil {
		return fmt.Errorf("%w%s", err, w.lastWords())
	}
	return l.progress(ctx, 3, from.other())
}

// leadsNoMore checks that a leader that was away says so when it is back, and that
// it has signed nothing new since the other one began.
func (w *world) leadsNoMore(ctx context.Context, l *load, was *front, since time.Time, r *rehearsal.Row) error {
	err := process.Eventually(ctx, was.name+" leads no more", process.Patience, func() bool {
		_, ok := was.since(leadsNoMore, since)
		return ok
	})
	if err != nil {
		return fmt.Errorf("%w%s", err, w.lastWords())
	}
	if err := l.progress(ctx, 5, w.fronts...); err != nil {
		return err
	}
	began, _ := was.other().since(opened, since)
	again, leads := was.since(opened, began)
	for _, s := range was.shownSince(began) {
		if leads && s.at.After(again) {
			break // the lease has come back to it
		}
		// What it had signed before may still be on its way; and what the other one has
		// signed it may show, to know whether the witnesses answer.
		if n := was.other().beganWith(); s.tree.N > n && !was.other().hasShown(s.tree, s.at) {
			return fmt.Errorf("%s, which leads no more, showed a checkpoint of size %d; the other one had begun with size %d%s", was.name, s.tree.N, n, w.lastWords())
		}
	}
	r.Outcomes["another one took over, and it signed nothing more"]++
	return nil
}
