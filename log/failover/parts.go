package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/log/internal/rehearsal"
)

// supervised is how long a program that was killed stays away: as long as a
// supervisor takes to start it again.
const supervised = time.Second

// part is a fault of one part, from which the log recovers by itself.
type part struct {
	name   string // {pause} and {hang} stand for the settings
	inject func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error
}

var faults = []part{
	{"follower killed", killFollower},
	{"witness killed, one of three", killWitness},
	{"Trillian's log server killed", func(ctx context.Context, w *world, _ *load, _ *rehearsal.Row) error {
		w.trillian.KillServer()
		rehearsal.Pause(ctx, supervised)
		return w.trillian.RestartServer(ctx)
	}},
	{"Trillian's log server hangs (SIGSTOP) for {hang}", func(ctx context.Context, w *world, _ *load, _ *rehearsal.Row) error {
		return during(ctx, w.h.hang, w.trillian.PauseServer, w.trillian.ResumeServer)
	}},
	{"Trillian's signer killed", func(ctx context.Context, w *world, _ *load, _ *rehearsal.Row) error {
		w.trillian.KillSigner()
		rehearsal.Pause(ctx, supervised)
		return w.trillian.RestartSigner(ctx)
	}},
	{"Trillian's signer paused (SIGSTOP) for {pause}", func(ctx context.Context, w *world, _ *load, _ *rehearsal.Row) error {
		return during(ctx, w.h.pause, w.trillian.PauseSigner, w.trillian.ResumeSigner)
	}},
	{"PostgreSQL killed, every process of it", func(ctx context.Context, w *world, _ *load, _ *rehearsal.Row) error {
		if err := w.postgres.Kill(); err != nil {
			return err
		}
		rehearsal.Pause(ctx, supervised)
		return w.postgres.Restart(ctx)
	}},
	{"PostgreSQL restarted", func(ctx context.Context, w *world, _ *load, _ *rehearsal.Row) error {
		return w.postgres.Restart(ctx)
	}},
	{"leader hangs (SIGSTOP) for {hang}, longer than its lease", hangLeader},
	{"leader cut off from PostgreSQL and Trillian for {hang}", func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
		return cutLeader(ctx, w, l, r, true, func(f *front) []*link { return []*link{f.database, f.trillian} })
	}},
	{"leader cut off from PostgreSQL for {hang}", func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
		return cutLeader(ctx, w, l, r, true, func(f *front) []*link { return []*link{f.database} })
	}},
	{"leader cut off from Trillian for {hang}", func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
		return cutLeader(ctx, w, l, r, false, func(f *front) []*link { return []*link{f.trillian} })
	}},
}

// parts injects each fault of a part under load.
func (h *harness) parts(ctx context.Context) (rows []rehearsal.Row, err error) {
	w, err := h.newWorld(ctx, "parts", true)
	if err != nil {
		return nil, err
	}
	defer w.close()
	l := w.load(ctx)
	defer l.stop()
	names := strings.NewReplacer("{pause}", h.pause.String(), "{hang}", h.hang.String())
	for _, p := range faults {
		r := rehearsal.NewRow(names.Replace(p.name))
		if !strings.Contains(r.Fault, h.only) {
			continue
		}
		began := time.Now()
		for range h.times {
			if r.Held = w.once(ctx, l, p, &r); r.Held != nil {
				break
			}
		}
		rows = append(rows, r)
		h.say("%s: %v", r.Fault, time.Since(began).Round(100*time.Millisecond))
		if ctx.Err() != nil {
			return rows, context.Cause(ctx)
		}
		if r.Held != nil {
			return rows, nil // what comes next would be about this
		}
	}
	l.stop()
	all := rehearsal.NewRow("all of these, one after another")
	all.Outcomes["releases acknowledged"], all.Outcomes["submissions repeated"] = len(l.acked), l.repeated
	v, err := w.check(ctx)
	all.Held = err
	for _, r := range rows {
		all.Injected += r.Injected
	}
	all.Outcomes["entries that the auditor vouches for"] = int(v.judged)
	return append(rows, all), nil
}

// once injects a fault once and waits until both front ends acknowledge again.
func (w *world) once(ctx context.Context, l *load, p part, r *rehearsal.Row) error {
	if err := l.progress(ctx, 3, w.fronts...); err != nil {
		return fmt.Errorf("before it: %w", err)
	}
	began := time.Now()
	r.Injected++
	if err := p.inject(ctx, w, l, r); err != nil {
		return err
	}
	if err := l.progress(ctx, 5, w.fronts...); err != nil {
		return fmt.Errorf("after it: %w", err)
	}
	r.Outcomes["went on by itself"]++
	pause, _ := l.pauses(began, time.Now())
	const longest = "longest pause in ms"
	r.Outcomes[longest] = max(r.Outcomes[longest], int(pause.Milliseconds()))
	return nil
}

// during does something, and the opposite after a while.
func during(ctx context.Context, d time.Duration, do, undo func() error) error {
	if err := do(); err != nil {
		return err
	}
	rehearsal.Pause(ctx, d)
	return undo()
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
	i := r.Injected % len(w.witnesses)
	w.witnesses[i].Kill()
	if err := l.progress(ctx, 5, w.fronts...); err != nil {
		return err
	}
	return w.startWitness(ctx, i)
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
	rehearsal.Pause(ctx, time.Until(stopped.Add(w.h.hang)))
	if err := errors.Join(err, leader.process.Signal(syscall.SIGCONT)); err != nil {
		return err
	}
	return w.leadsNoMore(ctx, l, leader, stopped, r)
}

// cutLeader cuts links of the leader. Cut off from the database somebody else must
// take over; without Trillian it may keep the lease and wait.
func cutLeader(ctx context.Context, w *world, l *load, r *rehearsal.Row, deposed bool, links func(*front) []*link) error {
	leader, err := w.leader(ctx)
	if err != nil {
		return err
	}
	cut := time.Now()
	for _, k := range links(leader) {
		k.cut()
	}
	if deposed {
		err = w.takenOver(ctx, l, leader, cut)
	}
	rehearsal.Pause(ctx, time.Until(cut.Add(w.h.hang)))
	for _, k := range links(leader) {
		k.mend()
	}
	switch {
	case err != nil:
		return err
	case deposed:
		return w.leadsNoMore(ctx, l, leader, cut, r)
	}
	if _, ok := leader.since(leadsNoMore, cut); ok {
		r.Outcomes["another one led"]++
	} else {
		r.Outcomes["it kept the lease and waited"]++
	}
	return nil
}

// takenOver waits until the other front end leads and acknowledges.
func (w *world) takenOver(ctx context.Context, l *load, from *front, since time.Time) error {
	err := rehearsal.Eventually(ctx, "the other front end leads", rehearsal.Patience, func() bool {
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
	err := rehearsal.Eventually(ctx, was.name+" leads no more", rehearsal.Patience, func() bool {
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
	first := was.other().shownSince(began)
	if len(first) == 0 {
		return errors.New("the one that took over has shown nothing to a witness")
	}
	for _, s := range was.shownSince(began) {
		// What it had signed before may still be on its way.
		if s.tree.N > first[0].tree.N {
			return fmt.Errorf("%s, which leads no more, showed a checkpoint of size %d; the other one had begun with size %d", was.name, s.tree.N, first[0].tree.N)
		}
	}
	r.Outcomes["another one took over, and it signed nothing more"]++
	return nil
}
