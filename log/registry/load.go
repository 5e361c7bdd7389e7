package registry

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

// tailVersions is the number of versions of each role that are loaded of a
// repository. It is cut to as many again when longHistory leaves have been applied.
const (
	tailVersions = 16
	longHistory  = 64
)

// load reads a repository from the derived state: the highest versions of each
// role, keep of them.
func (r *Registry) load(ctx context.Context, id tuf.Digest, keep int) (*admit.Repository, map[string]int64, error) {
	records, floors, err := r.state.Tail(ctx, id, keep)
	if err != nil {
		return nil, nil, err
	}
	if len(records) == 0 {
		return nil, nil, fmt.Errorf("the derived state has no leaf of repository %v, which the log has", id)
	}
	judge, err := admit.NewRepository(records[0].Leaf, records[0].Index, r.blobs)
	if err != nil {
		return nil, nil, err
	}
	for _, rec := range records[1:] {
		if err := judge.Apply(rec.Index, rec.Leaf); err != nil {
			return nil, nil, err
		}
	}
	return judge, floors, nil
}

// whole reads all leaves of a repository: those of the state, and those that it
// does not have yet, which are among the records in memory.
func (r *Registry) whole(ctx context.Context, id tuf.Digest, inMemory []admit.Record) (*admit.Repository, error) {
	judge, _, err := r.load(ctx, id, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	last := judge.Records()[len(judge.Records())-1].Index
	for _, rec := range inMemory {
		if rec.Index > last {
			if err := judge.Apply(rec.Index, rec.Leaf); err != nil {
				return nil, err
			}
		}
	}
	return judge, nil
}

// cut loads a repository again, with its highest versions alone, and copies
// from memory the leaves that the state does not have yet. Without it a
// repository that grows all the time could never be dropped and loaded again.
func (r *Registry) cut(ctx context.Context, repo *Repository) *Repository {
	applied := r.applied()
	judge, floors, err := r.load(ctx, repo.id, r.keepVersions)
	r.mu.Lock()
	defer r.mu.Unlock()
	if repo.cutting = false; ctx.Err() == nil {
		repo.applied = 0 // otherwise the next one cuts it
	}
	if now := r.repos[repo.id]; now != repo && now != nil {
		return now
	}
	if err != nil || r.repos[repo.id] == nil {
		// The repository in memory is enough, only larger than necessary. The
		// state may be unavailable, or may not have reached this repository
		// yet.
		return repo
	}
	// Nothing is applied while r.mu is held, so the repository's own lock is
	// not needed: its holder may be judging for long.
	records := repo.judge.Records()
	before := len(records)
	first, _ := slices.BinarySearchFunc(records, applied, byIndex)
	for _, rec := range records[first:] {
		// What has come into the state since it was asked how far it is may
		// be there already, or be left out of the tail.
		if have := judge.Records(); rec.Index <= have[len(have)-1].Index {
			continue
		}
		if err := judge.Apply(rec.Index, rec.Leaf); err != nil {
			return repo
		}
	}
	short := &Repository{id: repo.id, judge: judge, floors: floors, used: repo.used}
	short.used.Value = short
	r.repos[repo.id] = short
	r.leaves += len(judge.Records()) - before
	r.cached -= repo.cached
	return short
}

func byIndex(rec admit.Record, index int64) int { return cmp.Compare(rec.Index, index) }
