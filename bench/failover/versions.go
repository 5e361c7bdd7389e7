package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
	"github.com/tuflog/tuflog/internal/lockfile"
)

// before is the last version whose candidates for the lease went by the database's
// clock: the one from which updating asks the most.
const before = "8955734b16ff043b4bec12f7c6efcfe262ab6ab7"

// versionFaults update a log of the version before, whose front ends are of both versions
// meanwhile.
var versionFaults = []part{
	{name: "updated: a follower first, beside a leader of the version before", inject: updateFollower, most: mostPause, slow: true},
	{name: "updated: one of today leads, beside a follower of the version before", inject: leadBefore, slow: true},
	{name: "updated: the one of today is killed, and the one of before leads", inject: killToday, most: mostPause, slow: true},
	{name: "updated: the last one of before, which is refused from then on", inject: updateLast, most: mostPause, slow: true},
	{name: "each front end restarted in turn", inject: restartAll, most: mostPause},
}

// errNoBefore says that the version before cannot be built here.
var errNoBefore = errors.New("the version before is not in this clone's history")

// buildBefore builds logserver of the version before from a worktree of the repository,
// once for a user, and returns the program.
func (h *harness) buildBefore(ctx context.Context) (program string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "tuflog", "before-"+before[:12])
	program = filepath.Join(dir, "logserver")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := lockfile.Wait(filepath.Join(dir, "lock"), "")
	if err != nil {
		return "", err
	}
	defer lock.Release()
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if _, err := process.Output(ctx, "git", "cat-file", "-e", before+"^{commit}"); err != nil {
		return "", fmt.Errorf("%w: %w", errNoBefore, err)
	}
	tree := filepath.Join(h.Dir, "before")
	if _, err := process.Output(ctx, "git", "worktree", "add", "--detach", tree, before); err != nil {
		return "", err
	}
	defer func() {
		_, removed := process.Output(context.WithoutCancel(ctx), "git", "worktree", "remove", "--force", tree)
		err = errors.Join(err, removed)
	}()
	build := exec.CommandContext(ctx, "go", "build", "-o", program+".new", "./cmd/logserver")
	build.Dir = tree
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, os.Rename(program+".new", program)
}

// today has a front end run today's version from its next start on.
func (f *front) today() { f.program = "" }

// ofBefore returns the front ends of the version before.
func (w *world) ofBefore() (list []*front) {
	for _, f := range w.fronts {
		if f.program != "" {
			list = append(list, f)
		}
	}
	return list
}

// stays checks that nobody else leads for longer than a lease lasts.
func (w *world) stays(ctx context.Context, l *load) error {
	before, err := w.epoch(ctx)
	if err != nil {
		return err
	}
	process.Pause(ctx, w.h.hang)
	if err := l.progress(ctx, 5, w.fronts...); err != nil {
		return err
	}
	if now, err := w.epoch(ctx); err != nil || now != before {
		return errors.Join(err, fmt.Errorf("the lease of a leader that lives was taken: epoch %s after %s%s", now, before, w.lastWords()))
	}
	return nil
}

// updateFollower starts the follower again in today's version, which changes the
// database's schema under the leader. The leader leads on.
func updateFollower(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	if err := w.stays(ctx, l); err != nil {
		return fmt.Errorf("in the version before: %w", err)
	}
	leader, err := w.leader(ctx)
	if err != nil {
		return err
	}
	follower := leader.other()
	if code := follower.process.Stop(); code != 0 {
		return fmt.Errorf("%s, told to stop, ended with %d: %s", follower.name, code, follower.lastWords())
	}
	follower.today()
	if err := follower.start(ctx); err != nil {
		return err
	}
	if err := w.stays(ctx, l); err != nil {
		return err
	}
	r.Outcomes["the leader of the version before led on"]++
	return nil
}

// leadBefore has the leader of the version before hang until the one of today leads.
func leadBefore(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	if err := hangLeader(ctx, w, l, r); err != nil {
		return err
	}
	leader, err := w.leader(ctx)
	if err != nil {
		return err
	}
	if leader.program != "" {
		return fmt.Errorf("%s leads, which is of the version before", leader.name)
	}
	return w.stays(ctx, l)
}

// killToday kills the leader, which is of today's version, and starts it again.
func killToday(ctx context.Context, w *world, l *load, _ *rehearsal.Row) error {
	_, _, err := w.killLeader(ctx, l)
	return err
}

// updateLast updates the leader, which is of the version before. That version does not
// start any more.
func updateLast(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	list := w.ofBefore()
	if len(list) != 1 {
		return fmt.Errorf("%d front ends of the version before", len(list))
	}
	last := list[0]
	if err := last.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	last.process.Stop()
	stopped := time.Now()
	err := last.start(ctx)
	if !process.IsEnded(err) || !strings.Contains(err.Error(), "a newer version of the program has been here") {
		return fmt.Errorf("started again in the version before it should refuse and say why: %w", err)
	}
	r.Outcomes["the version before refused to start, and said why"]++
	last.today()
	if err := last.start(ctx); err != nil {
		return err
	}
	return w.ledWithin(stopped, mostBack, "longest until another led, in ms", r)
}
