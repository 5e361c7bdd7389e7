package trillianlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// maxFound is the number of differences that Check names.
const maxFound = 10

// Check compares every tile and bundle of the copy with those made from
// Trillian's leaves, and the root with Trillian's. The error names up to ten
// differences and wraps ErrContradiction. It changes nothing and may run while
// another process extends the copy. progress, which may be nil, is called with
// the number of entries that were compared since the last call.
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
		return fmt.Errorf("%w: the copy has size %d, Trillian size %d and root %v. %s", ErrContradiction, size, root.N, root.Hash, adviceBehind)
	}
	var found []error
	f := newFrontier()
	for f.size() < size && len(found) < maxFound {
		_, values, err := client.leaves(ctx, f.size(), size-f.size())
		if err != nil {
			return err
		}
		if len(values) == 0 {
			return fmt.Errorf("leaf %d is missing in Trillian's tree of size %d", f.size(), root.N)
		}
		done := tileSet{}
		for _, value := range values {
			if err := f.append(value, done); err != nil {
				return err
			}
		}
		if f.size() == size {
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
	if f.size() == size {
		if err := client.consistent(ctx, f.tree.Tree(), root); err != nil {
			found = append(found, fmt.Errorf("leaves of Trillian and its own root do not agree: %w", err))
		}
	}
	if len(found) > maxFound {
		found = append(found[:maxFound], fmt.Errorf("%w: and more", ErrContradiction))
	}
	return errors.Join(found...)
}

// compare returns an error for each tile that differs.
func (l *Log) compare(ctx context.Context, want tileSet) (differing []error, err error) {
	for id, data := range want {
		have, err := l.cfg.Tiles.Tile(ctx, id.Level, id.Index)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", id.Path(), err)
		} else {
			have, err = id.Cut(have)
		}
		if err == nil && !bytes.Equal(have, data) {
			err = fmt.Errorf("%s differs from the one made from Trillian's leaves", id.Path())
		}
		if err != nil {
			differing = append(differing, fmt.Errorf("%w: %w", ErrContradiction, err))
		}
	}
	return differing, nil
}

// Rebuild empties the copy and makes it again from Trillian's leaves. keep is the
// tree that must remain, because it was signed: unless Trillian's begins with it the
// error wraps a *log.Halt, and the copy, which may be the last one of signed entries,
// is left as it is. progress, which may be nil, is called with the number of entries
// that were added since the last call.
func (l *Log) Rebuild(ctx context.Context, keep proofs.Tree, progress func(n int)) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.release()
	root, err := l.remains(ctx, keep)
	if err != nil {
		return fmt.Errorf("the copy is left as it is: %w", err)
	}
	if size, err := l.cfg.Tiles.Size(ctx); err != nil {
		// The copy may be damaged anywhere: that is the reason to rebuild it.
		l.cfg.Logger.Warn("the size of the copy cannot be read; the copy is rebuilt", "err", err)
	} else if size > root.N {
		l.cfg.Logger.Warn("Trillian lacks entries of the copy; they are dropped, because they were never signed", "copy", size, "trillian", root.N, "signed", keep.N)
	}
	l.front = nil
	l.cache.clear()
	l.size.Store(0)
	if err := l.cfg.Tiles.Reset(ctx); err != nil {
		return fmt.Errorf("empty the copy: %w", err)
	}
	if err := l.takeOver(ctx, progress); err != nil {
		return fmt.Errorf("rebuild the copy: %w", err)
	}
	l.size.Store(l.front.size())
	return nil
}

// remains returns Trillian's tree if it begins with the one that was signed.
func (l *Log) remains(ctx context.Context, signed proofs.Tree) (proofs.Tree, error) {
	root, err := l.client.root(ctx)
	if err != nil {
		return root, err
	}
	refuse := func(code log.HaltCode, how string) error {
		return &log.Halt{
			Code: code,
			What: fmt.Sprintf("Trillian has a tree of size %d and root %v, which %s the tree of size %d and root %v that was signed", root.N, root.Hash, how, signed.N, signed.Hash),
			Do:   adviceBehind,
		}
	}
	if root.N < signed.N {
		return root, refuse(log.HaltStorageBehind, "is smaller than")
	}
	err = l.client.consistent(ctx, signed, root)
	if errors.Is(err, ErrContradiction) {
		return root, refuse(log.HaltStorageForked, "does not begin with")
	}
	return root, err
}
