package history

import (
	"context"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// Record is a leaf at its place in the log.
type Record = admit.Record

// History is the releases of one repository.
type History struct {
	// Records are the repository's leaves in log order, all of which were judged to be
	// right. The first is its genesis.
	Records []admit.Record
	Blobs   admit.Blobs
	// Seen, if not nil, returns the time in POSIX seconds by which witnesses had seen an
	// entry, and the latest time known at which they had not; 0: not known.
	Seen func(index int64) (by, notYet int64)
}

// ErrNoLeaves is the error of a History without a leaf.
var ErrNoLeaves = errors.New("a repository without leaves")

// ID returns the repository's id; zero if there is no leaf.
func (h *History) ID() tuf.Digest {
	if len(h.Records) == 0 {
		return tuf.Digest{}
	}
	return h.Records[0].Leaf.Repository
}

// File reads the metadata that a leaf names.
func (h *History) File(ctx context.Context, l leaf.Leaf) (*tuf.Metadata, error) {
	file, err := h.Blobs.Blob(ctx, l.Metadata)
	if err == nil {
		var m *tuf.Metadata
		if m, err = codec.Parse(l.Encoding, file); err == nil {
			return m, nil
		}
	}
	return nil, fmt.Errorf("%s %d: %w", tuf.Word(l.Role), l.Version, err)
}

// walk visits the leaves with index below end in order, with the repository's state before
// each, and returns the state after the last.
func (h *History) walk(ctx context.Context, end int64, visit func(before *admit.Repository, r admit.Record) error) (*admit.Repository, error) {
	if len(h.Records) == 0 || h.Records[0].Index >= end {
		return nil, ErrNoLeaves
	}
	var repo *admit.Repository
	for i, r := range h.Records {
		if r.Index >= end {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := visit(repo, r); err != nil {
			return nil, fmt.Errorf("entry %d: %w", r.Index, err)
		}
		var err error
		if i == 0 {
			repo, err = admit.NewRepository(r.Leaf, r.Index, h.Blobs)
		} else {
			err = repo.Apply(r.Index, r.Leaf)
		}
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", r.Index, err)
		}
	}
	return repo, nil
}

// Force is the metadata that was in force at one time.
type Force struct {
	explain.Repository
	// Releases are the leaves of the files, by role.
	Releases map[string]admit.Record
}

// InForce returns what was in force when the log had size entries. The error wraps
// ErrNoLeaves if the repository had none then.
func (h *History) InForce(ctx context.Context, size int64) (*Force, error) {
	repo, err := h.walk(ctx, size, func(*admit.Repository, admit.Record) error { return nil })
	if err != nil {
		return nil, err
	}
	currents, err := repo.Currents(ctx)
	if err != nil {
		return nil, err
	}
	f := &Force{explain.Repository{Delegated: map[string]*tuf.Metadata{}}, map[string]admit.Record{}}
	for _, r := range currents {
		m, err := h.File(ctx, r.Leaf)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", r.Index, err)
		}
		f.Releases[r.Leaf.Role] = r
		f.Put(r.Leaf.Role, m)
	}
	return f, nil
}

// Around returns what was in force before the entry at an index, nil if nothing was, and
// behind it.
func (h *History) Around(ctx context.Context, index int64) (before, after *explain.Repository, err error) {
	behind, err := h.InForce(ctx, index+1)
	if err != nil {
		return nil, nil, err
	}
	then, err := h.InForce(ctx, index)
	switch {
	case errors.Is(err, ErrNoLeaves):
		return nil, &behind.Repository, nil
	case err != nil:
		return nil, nil, err
	}
	return &then.Repository, &behind.Repository, nil
}

// Signed returns who has signed what in the releases with index below size.
func (h *History) Signed(ctx context.Context, size int64) (explain.Signed, error) {
	signed := explain.Signed{}
	_, err := h.walk(ctx, size, func(before *admit.Repository, r admit.Record) error {
		if r.Leaf.Kind != leaf.Release {
			return nil
		}
		m, keys, err := h.signers(ctx, before, r)
		if err == nil {
			signed[r.Leaf.Role] = append(signed[r.Leaf.Role], m.Signers(keys)...)
		}
		return err
	})
	return signed, err
}

// signers returns a leaf's file and the keys that could sign its role when it was logged; of
// a root, its own.
func (h *History) signers(ctx context.Context, before *admit.Repository, r admit.Record) (*tuf.Metadata, tuf.KeySet, error) {
	m, err := h.File(ctx, r.Leaf)
	if err != nil {
		return nil, tuf.KeySet{}, err
	}
	if m.Root != nil {
		return m, m.Root.KeySet(tuf.RoleRoot), nil
	}
	if before == nil {
		return nil, tuf.KeySet{}, errors.New("the first leaf is not a root")
	}
	keys, _, err := before.KeysFor(ctx, r.Leaf.Role, m)
	return m, keys, err
}
