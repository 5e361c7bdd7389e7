package trillianlog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/google/trillian"
	"google.golang.org/grpc/codes"

	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/proofs"
)

const (
	// maxLeaves and maxBytes bound one call that appends: it is one transaction
	// of Trillian's database, and a message has to hold it.
	maxLeaves = 1000
	maxBytes  = maxMessage * 3 / 4
	// leafOverhead is what a leaf takes in a message beside its value.
	leafOverhead = 64
)

// identity is Trillian's identity of a leaf.
func identity(index int64, entry []byte) []byte {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(index)))
	h.Write(entry)
	return h.Sum(nil)
}

// Append implements log.Storage. The indices follow on the tree, in order.
func (l *Log) Append(ctx context.Context, entries [][]byte) ([]int64, error) {
	for i, e := range entries {
		if len(e) < 1 || len(e) > math.MaxUint16 {
			return nil, fmt.Errorf("append: entry %d has %d bytes", i, len(e))
		}
	}
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	type outcome struct {
		indices []int64
		err     error
	}
	done := make(chan outcome, 1)
	// An interrupted call may still take effect, at any time. So the caller may
	// give up, but the call goes on.
	go func() {
		defer l.release()
		indices, err := l.append(ctx, entries)
		done <- outcome{indices, err}
	}()
	select {
	case o := <-done:
		return o.indices, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("append of %d entries has not ended: %w", len(entries), context.Cause(ctx))
	}
}

// append is Append in its turn. Once the context has ended it sends nothing more.
func (l *Log) append(ctx context.Context, entries [][]byte) ([]int64, error) {
	if err := l.settle(ctx, false); err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	start := l.front.size()
	if l.cfg.Kept != nil {
		if err := l.cfg.Kept(start, entries); err != nil {
			return nil, fmt.Errorf("append: %w", err)
		}
	}
	if err := l.sendAll(ctx, start, entries); err != nil {
		return nil, fmt.Errorf("append of %d entries at %d: %w", len(entries), start, err)
	}
	indices := make([]int64, len(entries))
	for i := range indices {
		indices[i] = start + int64(i)
	}
	return indices, nil
}

// sendAll appends entries from an index on, and waits until they are in the copy.
func (l *Log) sendAll(ctx context.Context, start int64, entries [][]byte) error {
	rest := make([]*trillian.LogLeaf, len(entries))
	for i, e := range entries {
		index := start + int64(i)
		rest[i] = &trillian.LogLeaf{LeafIndex: index, LeafValue: e, LeafIdentityHash: identity(index, e)}
	}
	for len(rest) > 0 {
		n := l.fitting(rest)
		if err := l.send(ctx, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	sent := time.Now()
	wait.For(ctx, l.firstWait())
	if err := l.takeOver(ctx, nil); err != nil {
		return err
	}
	l.usual = (3*l.usual + l.seen.Sub(sent)) / 4
	return nil
}

// firstWait is how long to wait before asking for the first time: each question
// costs the database a transaction, and the signer will hardly be faster.
func (l *Log) firstWait() time.Duration {
	const most = 100 * time.Millisecond
	return min(max(l.cfg.PollInterval, l.usual*3/4), most)
}

// fitting returns how many of the leaves go into one call.
func (l *Log) fitting(leaves []*trillian.LogLeaf) int {
	if l.alone {
		return 1
	}
	bytes := 0
	for i, leaf := range leaves {
		bytes += len(leaf.LeafValue) + leafOverhead
		if i == maxLeaves || bytes > maxBytes {
			return i
		}
	}
	return len(leaves)
}

// settle finds out the outcome of the last append, and copies Trillian's new
// leaves. Unless look is set, it does nothing if the outcome is known.
func (l *Log) settle(ctx context.Context, look bool) error {
	if l.pending != nil {
		if err := l.resolve(ctx); err != nil {
			return fmt.Errorf("the outcome for the %d entries at %d is unknown: %w", len(l.pending), l.pending[0].LeafIndex, err)
		}
	}
	const fresh = 50 * time.Millisecond
	if l.front != nil && !l.probe && l.landed <= l.front.size() && (!look || time.Since(l.seen) < fresh) {
		return nil
	}
	return l.takeOver(ctx, nil)
}

// resolve sends the pending leaves again, unchanged, until they are known to be
// in Trillian, or leaves of another process in their place.
func (l *Log) resolve(ctx context.Context) error {
	leaves := l.pending
	err := l.transmit(ctx, leaves)
	switch {
	case l.pending != nil:
		return err
	case err != nil:
		l.cfg.Logger.Warn("an append has failed in the end", "entries", len(leaves), "index", leaves[0].LeafIndex, "err", err)
	default:
		l.cfg.Logger.Info("an append has succeeded in the end", "entries", len(leaves), "index", leaves[0].LeafIndex)
	}
	return nil
}

// send appends leaves by one call that may be repeated. Where the outcome stays
// unknown, they are pending.
func (l *Log) send(ctx context.Context, leaves []*trillian.LogLeaf) error {
	if err := l.transmit(ctx, leaves); err != nil {
		return err
	}
	l.alone = false
	return nil
}

// transmit sends leaves until the outcome is known, for retryTime at most.
func (l *Log) transmit(ctx context.Context, leaves []*trillian.LogLeaf) error {
	const name = "AddSequencedLeaves"
	request := &trillian.AddSequencedLeavesRequest{LogId: l.cfg.TreeID, Leaves: leaves}
	end := time.Now().Add(retryTime)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		attempt, cancel, err := l.entitled(ctx)
		if err != nil {
			return err
		}
		first := l.pending == nil
		l.pending = leaves
		reply, err := l.client.rpc.AddSequencedLeaves(attempt, request)
		cancel()
		if err == nil {
			l.client.hear()
			l.pending = nil
			return l.landing(leaves, reply.GetResults())
		}
		if first && isDefinite(err) {
			l.pending = nil
			return failed(ctx, name, err)
		}
		if time.Now().After(end) || wait.For(ctx, jitter(pause)) != nil {
			return failed(ctx, name, err)
		}
	}
}

// entitled bounds a call that appends by the right to do so, and by nothing else
// once it is sent.
func (l *Log) entitled(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, context.Cause(ctx)
	}
	end := time.Now().Add(rpcTimeout)
	if l.cfg.Until != nil {
		until := l.cfg.Until()
		if time.Until(until) <= 0 {
			return nil, nil, errNoRight
		}
		if until.Before(end) {
			end = until
		}
	}
	attempt, cancel := context.WithDeadline(context.WithoutCancel(ctx), end)
	return attempt, cancel, nil
}

// landing reads Trillian's status of each leaf: a successful call may have
// skipped any of them.
func (l *Log) landing(leaves []*trillian.LogLeaf, results []*trillian.QueuedLogLeaf) error {
	if len(results) != len(leaves) {
		l.probe, l.alone = true, true
		return fmt.Errorf("AddSequencedLeaves: %d results for %d leaves", len(results), len(leaves))
	}
	for i, r := range results {
		s := r.GetStatus()
		// A known identity is this very leaf at this very index: it has
		// arrived before.
		if codes.Code(s.GetCode()) == codes.OK || s.GetMessage() == "conflicting LeafIdentityHash" {
			l.landed = max(l.landed, leaves[i].LeafIndex+1)
			continue
		}
		l.probe, l.alone = true, true
		if s.GetMessage() == "conflicting LeafIndex" {
			l.landed = max(l.landed, leaves[i].LeafIndex+1) // something has
		}
		return fmt.Errorf("%w: index %d: Trillian says %q", errForeign, leaves[i].LeafIndex, s.GetMessage())
	}
	return nil
}

// Append implements log.Storage.
func (r *Reader) Append(context.Context, [][]byte) ([]int64, error) {
	return nil, fmt.Errorf("%w: it is open for reading only", errNoRight)
}

var _ proofs.TileReader = (*Log)(nil)
