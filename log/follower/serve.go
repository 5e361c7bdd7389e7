package follower

import (
	"context"
	"maps"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// serveOn makes a follower that has just started serve the checkpoint that it served
// before, if the published one contradicts it or cannot be compared with it because
// storage is damaged: reads go on.
func (f *Log) serveOn() {
	served := f.cfg.Served.Newest()
	_, failing := f.board.Failing()
	if failing == nil || f.board.Published().Note != nil {
		return
	}
	if _, err := f.policy.Load().OpenCheckpoint(served.Note); err != nil {
		return // it is compared with the published one all the same
	}
	f.raise(served, false, -1, nil)
}

// Continue makes a follower serve the checkpoint that this process has published while
// it led, which may be unreadable for now: a front end must not go back to an older
// checkpoint because it no longer leads.
func (f *Log) Continue(led *publisher.Board) {
	published, ended := led.Shown()
	if published.Note != nil {
		// Reading which repositories the new entries belong to may take long.
		f.raise(published, ended, -1, nil)
	}
}

// adopt serves a checkpoint that was read.
func (f *Log) adopt(ctx context.Context, published log.Published, ended bool) {
	from := f.cut.Load()
	f.raise(published, ended, from, f.changed(ctx, from, published.Tree.N))
}

// raise serves a checkpoint, unless a larger one is served by now. changed are the
// repositories that have leaves beyond size from. If it is nil, or the served size
// is another one, any repository may have some. The registry comes first, so that
// a reader of a size finds everything below it.
func (f *Log) raise(published log.Published, ended bool, from int64, changed []tuf.Digest) {
	f.adopting.Lock()
	defer f.adopting.Unlock()
	size := published.Tree.N
	before := f.cut.Load()
	if size < before {
		return
	}
	f.cut.Store(size)
	if size > before && (before != from || changed == nil) {
		f.everything = size
	}
	for _, id := range changed {
		f.lagging[id] = size
	}
	f.caughtUp(f.level.Applied())
	f.cfg.Served.Keep(published)
	f.board.Show(published, ended)
}

// maxChanged is the largest number of new entries that are read to learn their
// repositories. If there are more, any repository may have some.
const maxChanged = 16 * proofs.FullWidth

// changed returns the repositories that have leaves between two sizes of the log:
// another process applies leaves, so the repositories in memory fall behind. Nil
// means that any may have some.
func (f *Log) changed(ctx context.Context, from, to int64) []tuf.Digest {
	if to-from > maxChanged {
		return nil
	}
	changed := []tuf.Digest{}
	for next := from; next < to; {
		bundle, err := log.ReadBundle(ctx, f.cfg.Storage, next/proofs.FullWidth, to)
		if err != nil {
			return nil
		}
		for _, entry := range bundle[next%proofs.FullWidth:] {
			if leaf, err := leaf.Parse(entry); err == nil {
				changed = append(changed, leaf.Repository)
			}
			next++
		}
	}
	return changed
}

// caughtUp asks the registry to forget repositories that it may have loaded before
// the state, which now has size entries, had all their leaves. It must be called
// with adopting held.
func (f *Log) caughtUp(size int64) {
	if f.everything > 0 {
		f.registry.Forget(nil)
	} else {
		f.registry.Forget(f.lagging)
	}
	maps.DeleteFunc(f.lagging, func(_ tuf.Digest, needs int64) bool { return needs <= size })
	if f.everything <= size {
		f.everything = 0
	}
}
