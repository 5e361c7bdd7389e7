package state

import (
	"context"
	"errors"

	"github.com/tuflog/tuflog/tuf"
)

// errFound ends a query of which one row is wanted.
var errFound = errors.New("found")

// FindingByID returns the finding with an id, or with a beginning of it as ShortID makes it or a
// longer one; false: none has it, or several have.
func (r *Reader) FindingByID(ctx context.Context, id string) (found Finding, ok bool, err error) {
	low, high, err := idRange(id)
	if err != nil || len(id) < shortID {
		return found, false, nil
	}
	n := 0
	err = r.findings(ctx, "WHERE sum >= ? AND sum <= ? LIMIT 2", []any{low[:], high[:]}, func(f Finding) error {
		found = f
		n++
		return nil
	})
	return found, n == 1, err
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

// AnyOfKind reports whether OfKind has one.
func (r *Reader) AnyOfKind(ctx context.Context, kind string) (bool, error) {
	var n int
	return r.row(ctx, "SELECT 1 FROM findings WHERE kind = ? AND gone = 0 AND scope <> ? LIMIT 1", []any{kind, Outside}, &n)
}

// CountAgain returns how many repositories are to be judged again.
func (r *Reader) CountAgain(ctx context.Context) (n int64, err error) {
	_, err = r.row(ctx, "SELECT count(*) FROM repositories WHERE again", nil, &n)
	return n, err
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

// maxScannedNames is how many roles RolesNamed looks at.
const maxScannedNames = 50_000

// RoleName is a role of a repository.
type RoleName struct {
	Repository tuf.Digest
	Role       string
}

// RolesNamed returns repositories that have leaves of a role of a name, at most so many. No
// index knows them by name: it looks at 50,000 roles, and whole reports whether these are all.
func (r *Reader) RolesNamed(ctx context.Context, name string, most int) (list []RoleName, whole bool, err error) {
	err = r.each(ctx, "SELECT p.id FROM (SELECT repository, name FROM roles LIMIT ?) r JOIN repositories p USING (repository) WHERE r.name = ? LIMIT ?",
		[]any{maxScannedNames, name, most}, func(scan func(...any) error) error {
			var id []byte
			if err := scan(&id); err != nil {
				return err
			}
			d, err := digest(id)
			list = append(list, RoleName{d, name})
			return err
		})
	if err != nil {
		return nil, false, err
	}
	var n int64
	_, err = r.row(ctx, "SELECT count(*) FROM (SELECT 1 FROM roles LIMIT ?)", []any{maxScannedNames + 1}, &n)
	return list, n <= maxScannedNames && len(list) < most, err
}
