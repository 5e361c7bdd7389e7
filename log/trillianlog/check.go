package trillianlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// maxFound is how many differences Check names.
const maxFound = 10

// Check compares every tile and bundle of the copy with what Trillian's leaves
// make them, and the root with Trillian's. The error names what differs, up to
// ten places, and wraps ErrContradiction. It changes nothing and may run while
// another process extends the copy. progress, which may be nil, is told how many
// entries were compared since the last time.
func (l *Log) Check(ctx context.Context, progress func(n int)) error {
	size, err := l.cfg.Tiles.Size(ctx)
	if err != nil {
		return fmt.Errorf("size of the copy: %w", err)
	}
	client := l.client
	client.chunk = maxChunk
	root, err := client.root(ctx)
	if err != nil {
		return err
	}
	if root.N < size {
		return fmt.Errorf("%w: the copy has size %d, Trillian size %d and root %v. %s", ErrContradiction, size, root.N, root.Hash, advice)
	}
	var found []error
	f := newFrontier()
	for f.size < size && len(found) < maxFound {
		_, values, err := client.leaves(ctx, f.size, size-f.size)
		if err != nil {
			return err
		}
		if len(values) == 0 {
			return fmt.Errorf("leaf %d is missing in Trillian's tree of size %d", f.size, root.N)
		}
		done := tileSet{}
		for _, value := range values {
			if err := f.append(value, done); err != nil {
				return err
			}
		}
		if f.size == size {
			f.addPartial(0, done)
		}
		differing, err := l.compare(ctx, done)
		if err != nil {
			return err
		}
		found = append(found, differing...)
		if progress != nil {
			progress(len(values))
		}
	}
	if f.size == size {
		if err := client.consistent(ctx, f.edge.Tree(), root); err != nil {
			found = append(found, fmt.Errorf("leaves of Trillian and its own root do not agree: %w", err))
		}
	}
	if len(found) > maxFound {
		found = append(found[:maxFound], fmt.Errorf("%w: and more", ErrContradiction))
	}
	return errors.Join(found...)
}

// compare returns an error for each tile that is not what it should be.
func (l *Log) compare(ctx context.Context, want tileSet) (differing []error, err error) {
	for id, data := range want {
		have, err := l.cfg.Tiles.Tile(ctx, id.Level, id.Index)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", id.Path(), err)
		} else {
			have, err = cut(id, have)
		}
		if err == nil && !bytes.Equal(have, data) {
			err = fmt.Errorf("%s is not what Trillian's leaves make it", id.Path())
		}
		if err != nil {
			differing = append(differing, fmt.Errorf("%w: %w", ErrContradiction, err))
		}
	}
	return differing, nil
}

// Rebuild empties the copy and makes it again from Trillian's leaves. progress,
// which may be nil, is told how many entries were added since the last time.
func (l *Log) Rebuild(ctx context.Context, progress func(n int)) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.release()
	l.front = nil
	l.cache.clear()
	l.size.Store(0)
	if err := l.cfg.Tiles.Reset(ctx); err != nil {
		return fmt.Errorf("empty the copy: %w", err)
	}
	if err := l.takeOver(ctx, progress); err != nil {
		return fmt.Errorf("rebuild the copy: %w", err)
	}
	l.size.Store(l.front.size)
	return nil
}
