package state

import (
	"context"
	"errors"

	"github.com/tuflog/tuflog/tuf"
)

// errFound ends a query of which one row is wanted.
var errFound = errors.New("found")

// FindingByID returns the finding with a short name, as ShortID makes it; false: none has it.
func (r *Reader) FindingByID(ctx context.Context, id string) (found Finding, ok bool, err error) {
	low, high, err := idRange(id)
	if err != nil || len(id) != len(ShortID(tuf.Digest{})) {
		return found, false, nil
	}
	err = r.findings(ctx, "WHERE sum >= ? AND sum <= ? LIMIT 1", []any{low[:], high[:]}, func(f Finding) error {
		found, ok = f, true
		return nil
	})
	return found, ok, err
}

// FindingsOf returns findings about a leaf of a repository, gone or not, or about an entry
// that is not a leaf if that is zero: at most so many.
func (r *Reader) FindingsOf(ctx context.Context, repository tuf.Digest, leaf int64, most int) (list []Finding, err error) {
	err = r.findings(ctx, "WHERE repository = ? AND +leaf = ? LIMIT ?", []any{repositoryBlob(repository), leaf, most}, func(f Finding) error {
		list = append(list, f)
		return nil
	})
	return list, err
}

// FirstNoteOver calls fn for the notes of trees with more than size leaves, the smallest first,
// until fn returns true, and for at most 64 of them.
func (r *Reader) FirstNoteOver(ctx context.Context, size int64, fn func(note []byte) bool) error {
	err := r.notes(ctx, "WHERE size > ? ORDER BY size LIMIT ?", []any{size, maxNewest}, func(note []byte) error {
		if fn(note) {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return nil
	}
	return err
}
