package cluster

// This file holds when a front end campaigns. Which candidate leads is decided by the
// database, which lets one of them change the lease's row: DB.Campaign, DB.take and
// Lease.renew in log/postgres/lease.go.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log"
)

const (
	// retryLead is how long a front end that could not begin to lead leaves it to others.
	// It doubles, up to maxRetryLead, while the reason stays the same, unless a server is
	// away: then it begins to lead soon after the end of that.
	retryLead, maxRetryLead = time.Second, 30 * time.Second
	// passedFor is how long another front end, or a command, leads before one that could
	// not begin to takes that for a new state of things. Two that both cannot lead each
	// other for a moment.
	passedFor = 3 * time.Second
	// lookAgain is how long a front end that has stopped leaves it at that: the
	// cause may have been put right.
	lookAgain = time.Minute
	// ledFor is how long another front end leads before one that has stopped takes
	// that for its own way to go on.
	ledFor = 10 * time.Second
)

// Run leads whenever nobody else does, until ctx ends; with a Node that was started without
// a URL it waits for that. If the log must not go on it keeps following, looks again each
// minute, and returns why, a *log.Halt, at the end: it returns no other error, because a
// front end that could not begin to lead has followed all the same.
func (n *Node) Run(ctx context.Context) error {
	if n.url == "" {
		<-ctx.Done()
		return nil
	}
	for {
		err := n.campaign(ctx)
		var halt *log.Halt
		stopped := n.stopped.Load()
		switch {
		case errors.As(err, &halt):
			n.back = setback{}
			if n.cfg.Advise != nil {
				halt = n.cfg.Advise(halt)
			}
			n.stop(halt)
			if wait.For(ctx, lookAgain) != nil {
				return err
			}
		case errors.Is(err, errLookAgain):
			if n.ledByOther(ctx) {
				n.wentOn(ctx, stopped, "another front end leads")
			}
		case stopped != nil && ctx.Err() != nil:
			return stopped
		case ctx.Err() != nil:
			if err != nil && !errors.Is(err, context.Canceled) {
				// Told to stop while it began to lead: those that go on leading see to it.
				n.logger.Info("could not begin to lead before it was told to stop", "err", err)
			}
			return nil
		case err != nil:
			n.setBack(ctx, err)
		}
	}
}

// errLookAgain ends a campaign of a front end that has stopped: another one leads, perhaps.
var errLookAgain = errors.New("another front end may lead")

// campaign leads as soon as nobody else does. A front end that has stopped waits for
// that no longer than another one must have led for it to go on.
func (n *Node) campaign(ctx context.Context) error {
	campaigning := ctx
	if n.stopped.Load() != nil {
		until, cancel := context.WithTimeoutCause(ctx, ledFor, errLookAgain)
		defer cancel()
		campaigning = until
	}
	began := time.Now()
	lease, err := n.cfg.Leases.Campaign(campaigning, Candidate{ID: n.id, URL: n.url, Able: n.able, Barred: n.isBarred})
	if err != nil {
		return err
	}
	if lease.Epoch() != n.epoch+1 && time.Since(began) >= passedFor {
		n.back = setback{} // another has led meanwhile
	}
	n.epoch = lease.Epoch()
	return n.lead(ctx, lease)
}

// setback is that a front end could not begin to lead, once or several times in a row for
// one reason. The zero value is that it could.
type setback struct {
	reason string
	pause  time.Duration // until it tries again
}

// again takes down that it has failed, and reports whether the reason is another one than
// before. Numbers make no difference: of a port, an epoch, or how long something took.
func (s *setback) again(err error) (news bool) {
	reason := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, err.Error())
	news = reason != s.reason
	passes := errors.Is(err, log.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
	if s.pause = min(2*s.pause, maxRetryLead); news || passes {
		s.pause = retryLead
	}
	s.reason = reason
	return news
}

// setBack leaves the lease to others because of an error with which this front end could not
// begin to lead, which it tells once. It is back before its time when its settings change or
// another one leads.
func (n *Node) setBack(ctx context.Context, err error) {
	if n.back.again(err) {
		n.logger.Error("cannot lead the log", "err", err)
	}
	n.failed.Store(&failure{err, time.Now().Add(n.times.out + n.back.pause - retryLead)})
	reloads := n.reloaded()
	var other Leader
	var since time.Time // when it was seen to lead first
	for end := time.Now().Add(n.back.pause); time.Now().Before(end); {
		if wait.For(ctx, retryLead) != nil {
			return
		}
		if n.reloaded() != reloads {
			n.back = setback{}
			n.failed.Store(nil)
			return
		}
		switch l, ok, err := n.cfg.Leases.Leader(ctx); {
		case err != nil || !ok || l.ID == n.id:
		case l.Epoch != other.Epoch:
			other, since = l, time.Now()
		case time.Since(since) >= passedFor:
			n.back = setback{}
			n.failed.Store(&failure{n.failed.Load().err, time.Now().Add(n.times.out)})
			return
		}
	}
}

// isBarred is Candidate's.
func (n *Node) isBarred(err error) {
	if err == nil {
		n.barred.Store(nil)
		return
	}
	err = fmt.Errorf("it cannot campaign for the lease: %w", err)
	n.barred.Store(&err)
}

// wentOn takes back that this front end has stopped, and records it.
func (n *Node) wentOn(ctx context.Context, stopped *log.Halt, how string) {
	n.stopped.Store(nil)
	n.follower.Halt(nil)
	n.logger.Info("what had stopped the log is put right; it goes on", "code", stopped.Code, "how", how)
	if err := n.cfg.Record(ctx, "went-on", fmt.Sprintf("after %s: %s", stopped.Code, how)); err != nil {
		n.logger.Warn("it is not recorded that the log went on", "err", err)
	}
}

// ledByOther reports whether another front end leads for good: one that looks again, too,
// leads for a moment.
func (n *Node) ledByOther(ctx context.Context) bool {
	before, ok, err := n.cfg.Leases.Leader(ctx)
	if err != nil || !ok || before.URL == "" || before.URL == n.url {
		return false
	}
	if wait.For(ctx, ledFor) != nil {
		return false
	}
	now, ok, err := n.cfg.Leases.Leader(ctx)
	return err == nil && ok && now.Epoch == before.Epoch && now.Renewals > before.Renewals
}
