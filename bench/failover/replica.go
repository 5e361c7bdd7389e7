package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

// replicaFaults have the databases fail over to a replica that lacks what was published
// last.
var replicaFaults = []part{
	{name: "PostgreSQL fails over to a replica that lags, and back", inject: failOver, slow: true},
}

// lookAgain is how long a front end that has stopped may take to go on: it looks each
// minute.
const lookAgain = 100 * time.Second

// failOver has a replica take the place of the databases that lacks the last entries,
// and has the newest come back. The log must stop in between, say why, also where front
// ends are started again, and sign nothing.
func failOver(ctx context.Context, w *world, l *load, r *rehearsal.Row) (err error) {
	newest := w.postgres
	replication, err := newLink(newest.Addr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, replication.close()) }()
	dir := filepath.Join(w.dir, fmt.Sprintf("replica-%d", r.Injected))
	replica, err := newest.Replica(ctx, postgresserver.Config{Dir: dir}, replication.addr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, replica.Kill()) }()
	replication.cut()
	if err := l.progress(ctx, 10, w.fronts...); err != nil {
		return err
	}
	if err := newest.Kill(); err != nil {
		return err
	}
	// For a while it can only be read.
	if err := w.moveTo(replica); err != nil {
		return err
	}
	process.Pause(ctx, supervised)
	if err := replica.Promote(ctx); err != nil {
		return err
	}
	promoted := time.Now()
	if err := w.stopsBehind(ctx, promoted, r, "stopped, and said why"); err != nil {
		return err
	}
	w.stopFronts(true)
	again := time.Now()
	if err := w.startBoth(ctx); err != nil {
		return err
	}
	if err := w.stopsBehind(ctx, again, r, "did so when they were started again"); err != nil {
		return err
	}
	if at, acked := l.firstAfter(promoted.Add(supervised)); acked {
		return fmt.Errorf("a release was acknowledged %v after the replica had taken over", at.Sub(promoted))
	}
	return w.back(ctx, l, newest, replica)
}

// back has the newest databases come back; the front ends find that by themselves or,
// where there is no time for that, are started again.
func (w *world) back(ctx context.Context, l *load, newest, replica *postgresserver.Server) error {
	if err := replica.Kill(); err != nil {
		return err
	}
	if err := newest.Restart(ctx); err != nil {
		return err
	}
	if err := w.moveTo(newest); err != nil {
		return err
	}
	if !w.h.patient {
		w.stopFronts(true)
		return w.startBoth(ctx)
	}
	back := time.Now()
	return process.Eventually(ctx, "the log goes on by itself", lookAgain, func() bool {
		_, acked := l.firstAfter(back)
		return acked
	})
}

// moveTo has everybody find the databases elsewhere.
func (w *world) moveTo(server *postgresserver.Server) error {
	w.postgres = server
	errs := []error{w.data.redirect(server.Addr())}
	for _, f := range w.fronts {
		errs = append(errs, f.database.redirect(server.Addr()))
	}
	return errors.Join(errs...)
}

// stopsBehind waits until each front end says that more was published than the databases
// know. What they serve is taken down.
func (w *world) stopsBehind(ctx context.Context, since time.Time, r *rehearsal.Row, what string) error {
	said := ""
	err := process.Eventually(ctx, "all front ends say that the databases are behind", process.Patience, func() bool {
		for _, f := range w.fronts {
			_, err := w.client().Get(ctx, f.url()+"/readyz")
			if err == nil {
				said = f.name + " is ready"
				return false
			}
			if said = f.name + ": " + err.Error(); !strings.Contains(said, "Bring back") {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("%w: %s%s", err, said, w.lastWords())
	}
	r.Outcomes[what]++
	r.Outcomes["longest until all had stopped, in ms"] = max(r.Outcomes["longest until all had stopped, in ms"], int(time.Since(since).Milliseconds()))
	return w.serve(ctx)
}
