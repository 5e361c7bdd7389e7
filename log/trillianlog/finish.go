package trillianlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// Finish appends the batch that a former leader kept last and was about to append, and may
// still append: entries from index first on. When it returns nil, each of these indices is
// taken, and late calls of the former leader change nothing. The appending process calls it
// before its first Append. Entries that are there already are not appended twice.
//
// If the tree has other entries at these indices, a leader that does not keep batches has
// appended them, or another program has. Then nothing is appended, and a warning is
// logged.
func (l *Log) Finish(ctx context.Context, first int64, entries [][]byte) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.release()
	err := l.finish(ctx, first, entries)
	if errors.Is(err, errForeign) {
		err = l.finish(ctx, first, entries) // what others have appended is in the tree now
	}
	if err != nil {
		return fmt.Errorf("finish the batch of %d entries at %d of a former leader: %w", len(entries), first, err)
	}
	return nil
}

func (l *Log) finish(ctx context.Context, first int64, entries [][]byte) error {
	if len(entries) == 0 {
		return nil
	}
	if err := l.settle(ctx, true); err != nil {
		return err
	}
	size := l.front.size()
	there := min(max(0, size-first), int64(len(entries)))
	same, err := l.has(ctx, first, entries[:there])
	rest := entries[there:]
	switch {
	case err != nil:
		return err
	case !same, first > size:
		l.cfg.Logger.Warn("the batch that a former leader was about to append does not belong to this tree; it is left out", "index", first, "entries", len(entries), "size", size)
		return nil
	case len(rest) == 0:
		return nil
	}
	l.cfg.Logger.Info("finishing the batch of a former leader", "index", size, "entries", len(rest))
	return l.sendAll(ctx, size, rest)
}

// has reports whether the tree has these entries from index first on.
func (l *Log) has(ctx context.Context, first int64, entries [][]byte) (bool, error) {
	for len(entries) > 0 {
		_, values, err := l.client.leaves(ctx, first, int64(len(entries)))
		if err != nil {
			return false, err
		}
		if len(values) == 0 {
			return false, fmt.Errorf("leaf %d is missing in Trillian's tree", first)
		}
		for i, value := range values {
			if !bytes.Equal(value, entries[i]) {
				return false, nil
			}
		}
		first, entries = first+int64(len(values)), entries[len(values):]
	}
	return true, nil
}
