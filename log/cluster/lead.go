package cluster

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tuflog/tuflog/log/leader"
)

const (
	// releaseTime is how long giving the lease up may take. Not given up it
	// expires.
	releaseTime = 2 * time.Second
	// openTime is how long opening the storage may take. A leader that cannot
	// reach it leaves the lease to one that can. The part that was copied by then
	// stays.
	openTime = 30 * time.Second
)

// lead leads until ctx ends, the lease is lost, the storage is out of reach or the log
// halts, and gives the lease up.
func (n *Node) lead(ctx context.Context, lease Lease) (err error) {
	retries := n.back != setback{}
	// How much it matters that it leads, and that it has lost the lease.
	began, lost := slog.LevelInfo, slog.LevelWarn
	if retries {
		began, lost = slog.LevelDebug, slog.LevelDebug // it may fail once more
	}
	n.logger.Log(ctx, began, "leading the log", "epoch", lease.Epoch())
	n.seen.Store(&Leader{ID: n.id, URL: n.url, Epoch: lease.Epoch()})
	// The right to write, which is useless without the storage.
	right, giveUp := context.WithCancelCause(lease.Context())
	defer giveUp(nil)
	opening, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(right, cancel)()
	storage, l, err := n.openLeader(opening, right, lease)
	if err == nil {
		if retries {
			began, lost = slog.LevelInfo, slog.LevelWarn
			n.logger.Log(ctx, began, "leading the log", "epoch", lease.Epoch())
		}
		n.back = setback{}
		n.failed.Store(nil)
		yields := func(why *yield) { n.yields(why, giveUp) }
		stop := n.watch(ctx, storage, yields)
		var waiting sync.WaitGroup
		leading, end := context.WithCancel(right)
		waiting.Go(func() { n.goOn(leading, l) })
		waiting.Go(func() {
			if err := n.follower.WaitContradicted(leading); err != nil {
				n.logger.Warn("giving the lease up", "why", err)
				giveUp(err) // opened anew, the log says what is wrong
			}
		})
		waiting.Go(func() { n.mayYield(leading, lease.Epoch(), l, yields) })
		err = n.serveLeader(ctx, right, l)
		end()
		waiting.Wait()
		stop()
		n.checks.anew()
		var gave *yield
		if errors.As(context.Cause(right), &gave) && gave.reason == yieldTrillian {
			n.checks.storage.note(gave)
		}
		// Requests that are still reading have their tiles from the database.
		err = errors.Join(err, storage.Close())
	}
	if ended := lease.Context(); ended.Err() != nil {
		// The cause of any error may be that somebody else writes.
		n.logger.Log(ctx, lost, "not leading the log any more", "why", context.Cause(ended), "err", err)
		return nil
	}
	n.release(ctx, lease, began)
	return err
}

// openLeader opens the log for writing, as long as the right to it lasts.
func (n *Node) openLeader(ctx, right context.Context, lease Lease) (Storage, *leader.Log, error) {
	n.mu.Lock()
	cfg := n.cfg.Lead
	n.opened = n.reloads
	n.mu.Unlock()
	opening, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	storage, err := lease.Open(opening, &cfg)
	if err != nil {
		return nil, nil, err
	}
	cfg.Right = right
	l, err := leader.Open(ctx, cfg)
	if err != nil {
		return nil, nil, errors.Join(err, storage.Close())
	}
	return storage, l, nil
}

// serveLeader serves and writes the log until ctx or the right ends, or it halts.
// When it returns the follower serves.
func (n *Node) serveLeader(ctx, right context.Context, l *leader.Log) error {
	n.publisher.Store(l.Publisher())
	if err := n.lets(l); err != nil {
		return err
	}
	defer n.lets(nil)
	n.front.Switch(l)
	follow := sync.OnceFunc(func() {
		n.follower.Continue(l.Board())
		n.front.Switch(n.follower)
	})
	defer follow()
	// At once, so that no submission is refused that the next leader can have.
	defer context.AfterFunc(right, follow)()
	defer n.publisher.Store(nil)
	return l.Run(ctx)
}

// watch gives the right to write up when the storage is out of reach, until stop is
// called. Nothing in the queue is waited for then: it is left to the next leader.
func (n *Node) watch(ctx context.Context, storage Storage, giveUp func(*yield)) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := storage.Watch(ctx); err != nil {
			giveUp(&yield{yieldTrillian, err.Error()})
		}
	})
	return func() { cancel(); watching.Wait() }
}

// goOn takes back that this front end has stopped, once a quorum of witnesses has
// cosigned a checkpoint of its own.
func (n *Node) goOn(ctx context.Context, l *leader.Log) {
	stopped := n.stopped.Load()
	if stopped == nil || l.Publisher().WaitConfirmed(ctx) != nil {
		return
	}
	n.wentOn(ctx, stopped, "this front end leads")
}

// release gives a lease up that may be lost already. said is the level at which it was said
// that it was taken.
func (n *Node) release(ctx context.Context, lease Lease, said slog.Level) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := lease.Release(ctx); err != nil {
		n.logger.Warn("the lease was not given up; it expires by itself", "err", err)
		return
	}
	n.logger.Log(ctx, said, "not leading the log any more")
}
