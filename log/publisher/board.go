package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Board is the visible state of a log: the published checkpoint, the data that proves
// the entries below it, and the reason if the log does not go on. A Publisher writes it,
// or a follower of one; any number of readers look at it and wait for news.
type Board struct {
	storage log.Storage
	keys    []proofs.Key // of the log, the Ed25519 key of its origin first
	logger  *slog.Logger
	recent  *recent // of the tree
	Served  *Served // by this process, leading or following; nil if it shows only this board

	mu        sync.Mutex
	tree      proofs.Tree // of everything read back
	published log.Published
	signed    int64 // size of the last signed tree, for those who only look
	ended     bool  // the last entry that was read back is the log's end
	halted    error
	stop      sync.Once
	stopped   chan struct{} // closed when the log halts for good
	failing   error         // why the last attempt to publish, or to follow, failed
	paced     error         // why nothing is published now, where that is as it was declared to witnesses
	behind    time.Time     // since when entries wait and none is published; zero if none waits
	news      chan struct{} // closed and replaced when any of the above changes
}

// NewBoard returns a board that shows the tree of the edge, none of it published.
func NewBoard(storage log.Storage, keys []proofs.Key, edge *proofs.Edge, logger *slog.Logger) (*Board, error) {
	recent, err := newRecent(edge)
	if err != nil {
		return nil, err
	}
	tree := edge.Tree()
	return &Board{
		storage: storage, keys: keys, logger: logger, recent: recent,
		tree: tree, signed: tree.N, published: log.Published{Tree: proofs.EmptyTree},
		news: make(chan struct{}), stopped: make(chan struct{}),
	}, nil
}

// Keys returns the keys of the log, the Ed25519 key of its origin first.
func (b *Board) Keys() []proofs.Key { return slices.Clone(b.keys) }

// update changes the shared state and wakes the readers that wait for news.
func (b *Board) update(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := b.published.Tree.N
	change()
	b.noteBehind(size)
	close(b.news)
	b.news = make(chan struct{})
}

// Stop stops the log for good and returns h. Only the first halt is kept.
func (b *Board) Stop(h *log.Halt) error {
	b.update(func() {
		if b.halted == nil {
			b.logger.Error("the log has stopped", "err", h)
			b.halted = h
			b.stop.Do(func() { close(b.stopped) })
		}
	})
	return h
}

// Published returns the checkpoint that devices accept now.
func (b *Board) Published() log.Published {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.published
}

// Checkpoint returns the checkpoint to be served: the published one, or a larger one that
// this process has served already. A new board can be behind: another front end, or this
// process's board before, may have published while it was made.
func (b *Board) Checkpoint() log.Published { return b.Served.show(b.Published()) }

// Tree returns the tree of everything read back so far, published or not.
func (b *Board) Tree() proofs.Tree {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tree
}

// Signed returns the size of the last tree that the ledger records as signed.
func (b *Board) Signed() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.signed
}

// Halted returns the *Halt that has stopped the publisher, or nil.
func (b *Board) Halted() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.halted
}

// Trouble returns the reason why the log cannot publish now, as far as it is
// known, or nil.
func (b *Board) Trouble() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.halted != nil {
		return b.halted
	}
	return b.failing
}

// Waiting returns why entries that wait are not published now, as far as it is known:
// Trouble, or that the log has declared to ask its witnesses no more often.
func (b *Board) Waiting() error {
	if err := b.Trouble(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.paced
}

// WaitPublished waits until a checkpoint of at least the given size is
// published, or the context ends.
func (b *Board) WaitPublished(ctx context.Context, size int64) error {
	for {
		b.mu.Lock()
		published, halted, news := b.published, b.halted, b.news
		b.mu.Unlock()
		switch {
		case published.Tree.N >= size:
			return nil
		case halted != nil:
			return halted
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Sidecar returns the newest proof of an entry: the tlog-proof whose extra data
// is the entry. The error is ErrNotPublished if no published checkpoint
// includes the entry.
func (b *Board) Sidecar(ctx context.Context, index int64) ([]byte, error) {
	return b.SidecarUnder(ctx, index, b.Published())
}

// SidecarUnder returns the proof of an entry, as Sidecar, under the published checkpoint or
// one before it. The error is ErrNotPublished if that does not include the entry.
func (b *Board) SidecarUnder(ctx context.Context, index int64, under log.Published) ([]byte, error) {
	size := under.Tree.N
	if index < 0 || index >= size {
		return nil, fmt.Errorf("entry %d in a log of %d: %w", index, size, log.ErrNotPublished)
	}
	entry, err := b.entry(ctx, index, size)
	if err != nil {
		return nil, err
	}
	hashes, err := b.recent.inclusion(size, index)
	if errors.Is(err, errNotRecent) {
		hashes, err = proofs.InclusionProof(ctx, under.Tree, index, b.storage)
	}
	if err != nil {
		return nil, err
	}
	if err := proofs.VerifyInclusion(under.Tree, index, proofs.LeafHash(entry), hashes); err != nil {
		return nil, fmt.Errorf("storage is damaged: %w", err)
	}
	return proofs.Proof{Extra: entry, Index: index, Hashes: hashes, Checkpoint: under.Note}.Marshal(), nil
}

// entry returns an entry of the log of the given size.
func (b *Board) entry(ctx context.Context, index, size int64) ([]byte, error) {
	if entry := b.recent.entry(index); entry != nil {
		return entry, nil
	}
	bundle, err := log.ReadBundle(ctx, b.storage, index/proofs.FullWidth, size)
	if err != nil {
		return nil, err
	}
	return bundle[index%proofs.FullWidth], nil
}

// consistency proves that a tree begins with the one of oldSize.
func (b *Board) consistency(ctx context.Context, oldSize int64, tree proofs.Tree) ([]proofs.Hash, error) {
	hashes, err := b.recent.consistency(oldSize, tree.N)
	if errors.Is(err, errNotRecent) {
		return proofs.ConsistencyProof(ctx, oldSize, tree, b.storage)
	}
	return hashes, err
}

// Ended reports whether the log has its last entry.
func (b *Board) Ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

// BehindFor returns for how long entries have waited to be published, 0 if none waits. While
// witnesses may not be asked because of what was declared to them, none does.
func (b *Board) BehindFor() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.behind.IsZero() || b.paced != nil {
		return 0
	}
	return time.Since(b.behind)
}

// noteBehind records since when entries have waited to be published; size is the
// size published before. It must be called with mu held.
func (b *Board) noteBehind(size int64) {
	switch {
	case b.tree.N <= b.published.Tree.N:
		b.behind = time.Time{}
	case b.behind.IsZero() || b.published.Tree.N > size || b.paced != nil:
		b.behind = time.Now()
	}
}

// Stopped returns a channel that is closed when the log has halted for good.
func (b *Board) Stopped() <-chan struct{} { return b.stopped }

// Show shows a checkpoint that another process has published, and whether the log ends
// with it.
func (b *Board) Show(published log.Published, ended bool) {
	b.update(func() {
		b.tree, b.published = published.Tree, published
		b.signed, b.ended = published.Tree.N, ended
	})
}

// Fail sets the reason why nothing newer can be shown; nil removes it.
func (b *Board) Fail(err error) { b.update(func() { b.failing = err }) }

// Failing returns a channel that is closed when anything on the board changes, and the
// error that Fail was given last.
func (b *Board) Failing() (news <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.news, b.failing
}

// Halt sets the reason why the log does not go on for the moment; nil removes it.
// Unlike the halt of a Publisher it is not final, and Stopped stays open.
func (b *Board) Halt(h *log.Halt) {
	if h == nil {
		b.update(func() { b.halted = nil })
		return
	}
	b.update(func() {
		if b.halted == nil || b.halted.Error() != h.Error() {
			b.logger.Error("the log has stopped", "err", h)
		}
		b.halted = h // what was found before may have been put right
	})
}

// Shown returns the published checkpoint, and reports whether the log ends with
// it.
func (b *Board) Shown() (published log.Published, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.published, b.ended && b.published.Tree == b.tree
}

// Cosigned returns the published checkpoint with only the log's own signatures, the form
// that is sent to witnesses, and its size. It is nil before the first publication.
func (b *Board) Cosigned() (signed []byte, size int64) {
	published := b.Published()
	note, err := proofs.ParseNote(published.Note)
	if err != nil {
		return nil, 0
	}
	note.Signatures = slices.DeleteFunc(note.Signatures, func(sig proofs.Signature) bool {
		return !slices.ContainsFunc(b.keys, func(k proofs.Key) bool { return sig.Name == k.Name() && sig.KeyID == k.ID() })
	})
	return note.Marshal(), published.Tree.N
}

// Storage returns the storage of the entries.
func (b *Board) Storage() log.Storage { return b.storage }
