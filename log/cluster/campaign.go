package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log"
)

const (
	// retryLead is how long a front end that could not begin to lead leaves it
	// to others.
	retryLead = time.Second
	// lookAgain is how long a front end that has stopped leaves it at that: what
	// stopped it may have been put right.
	lookAgain = time.Minute
	// ledFor is how long another front end leads before one that has stopped takes
	// that for its own way to go on.
	ledFor = 10 * time.Second
)

// Run leads whenever nobody else does, until ctx ends; with a Node that was started without
// a URL it waits for that. If the log must not go on it keeps following, looks again each
// minute, and returns why, a *log.Halt, at the end.
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
			if errors.Is(err, context.Canceled) {
				err = nil // it was told to stop, and has
			}
			return err
		case err != nil:
			n.logger.Error("cannot lead the log", "err", err)
			n.failed.Store(&failure{time.Now(), err})
			wait.For(ctx, retryLead)
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
	lease, err := n.cfg.Leases.Campaign(campaigning, Candidate{ID: n.id, URL: n.url, Able: n.able, Barred: n.isBarred})
	if err != nil {
		return err
	}
	return n.lead(ctx, lease)
}

// isBarred is Candidate's.
func (n *Node) isBarred(err error) {
	if err == nil {
		n.barred.Store(nil)
		return
	}
	n.barred.Store(&failure{time.Now(), fmt.Errorf("it cannot campaign for the lease: %w", err)})
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
