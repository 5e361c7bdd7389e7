package registry

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

// maxHistories and maxHistoryLeaves bound what is kept of histories, and the leaves
// in them, but for the one that was read last.
const (
	maxHistories     = 8
	maxHistoryLeaves = 24000
)

// history is a whole repository, for files that the part of it in memory does not
// suffice to judge. Reading it takes long, so it is kept as long as files of the
// repository wait to be judged.
type history struct {
	leaves int // as they are counted; guarded by registry.mu

	mu    sync.Mutex
	judge *admit.Repository
}

// catchUp applies the leaves that have been applied to the repository since.
func (h *history) catchUp(records []admit.Record) error {
	have := h.judge.Records()
	last := have[len(have)-1].Index
	first, _ := slices.BinarySearchFunc(records, last+1, byIndex)
	for _, rec := range records[first:] {
		if err := h.judge.Apply(rec.Index, rec.Leaf); err != nil {
			return err
		}
	}
	return nil
}

// historyOf returns the whole of a repository, and reads it if it is not kept. The
// caller holds repo.mu.
func (r *Registry) historyOf(ctx context.Context, repo *Repository) (*history, error) {
	r.mu.Lock()
	h := r.histories[repo.id]
	r.mu.Unlock()
	if h != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h, h.catchUp(repo.judge.Records())
	}
	judge, err := r.whole(ctx, repo.id, repo.judge.Records())
	if err != nil {
		return nil, err
	}
	h = &history{judge: judge}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, other := range r.histories {
		if len(r.histories) < maxHistories && r.historyLeaves+len(judge.Records()) <= maxHistoryLeaves {
			break
		}
		r.dropHistory(id, other)
	}
	r.histories[repo.id] = h
	h.leaves = len(judge.Records())
	r.historyLeaves += h.leaves
	return h, nil
}

// dropHistory must be called with mu held.
func (r *Registry) dropHistory(id tuf.Digest, h *history) {
	delete(r.histories, id)
	r.historyLeaves -= h.leaves
}

// EndHistory forgets the history of a repository, if it is kept, because no file of
// the repository waits to be judged any more.
func (r *Registry) EndHistory(id tuf.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.histories[id]; h != nil {
		r.dropHistory(id, h)
	}
}

// keptHistory returns the history of a repository if it is kept.
func (r *Registry) keptHistory(id tuf.Digest) *history {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.histories[id]
}

// needsHistory reports whether the verdict on a file needs more of its repository
// than is in memory. A stranger's files, which cost nothing to send, must not force
// a read of thousands of leaves each. So type and signatures come first, and a file
// that no present key of its role has signed is refused whatever the history is,
// unless its payload is logged. The caller holds repo.mu.
func (r *Registry) needsHistory(ctx context.Context, repo *Repository, role string, m *tuf.Metadata) (bool, error) {
	if len(repo.floors) == 0 || m.Encoding != repo.judge.Encoding() || m.Type != typeOf(role) {
		return false, nil
	}
	known, err := keysKnown(ctx, repo, role)
	// What the file itself delegates may lead to places that no release has now, and
	// so to what was released there long ago.
	if err != nil || known && inMemory(repo.floors, role, m.Version) && !delegates(m) {
		return false, err
	}
	// Which keys the role has, where that is not known, the history will say.
	signed := len(m.Signatures) > 0
	if known {
		if signed, err = signedNow(ctx, repo.judge, role, m); err != nil {
			return false, err
		}
	}
	if !signed {
		const noVersion = 0
		logged, err := r.state.Same(ctx, repo.id, role, noVersion, m.PayloadDigest)
		switch {
		case err != nil:
			return false, err
		case len(logged) == 0 && !known:
			return false, &admit.Refused{Code: admit.RefusedThreshold, Detail: "the file has no signature"}
		case len(logged) == 0:
			return false, nil
		}
	}
	if !known {
		return true, nil
	}
	same, err := r.state.Same(ctx, repo.id, role, m.Version, m.PayloadDigest)
	if err != nil {
		return false, err
	}
	return r.beyondMemory(ctx, repo, role, m, same)
}

func delegates(m *tuf.Metadata) bool { return m.Targets != nil && m.Targets.Delegations != nil }

// beyondMemory reports whether leaves that may decide on a file are not in memory:
// same are the leaves of the state with its payload, or of its role and version. If
// others of the version stand without a hash, their other releases count, too, and
// the file's delegations.
func (r *Registry) beyondMemory(ctx context.Context, repo *Repository, role string, m *tuf.Metadata, same []int64) (bool, error) {
	records := repo.judge.Records()
	// Of what has come since the state was read, memory has everything.
	for _, rec := range records {
		if rec.Leaf.Role == role && rec.Leaf.Version == m.Version {
			same = append(same, rec.Index)
		}
	}
	for _, index := range same {
		at, ok := slices.BinarySearchFunc(records, index, byIndex)
		if !ok {
			return true, nil
		}
		leaf := records[at].Leaf
		if leaf.Role != role || leaf.Payload == m.PayloadDigest || leaf.Bound() {
			continue
		}
		if delegates(m) {
			return true, nil
		}
		const noVersion = 0
		twins, err := r.state.Same(ctx, repo.id, role, noVersion, leaf.Payload)
		if err != nil {
			return false, err
		}
		for _, twin := range twins {
			if _, ok := slices.BinarySearchFunc(records, twin, byIndex); !ok {
				return true, nil
			}
		}
	}
	return false, nil
}

// keysKnown reports whether the keys that a role has in memory are those that it has
// in the whole repository. For a delegated role the current release at every place on
// the way to it must be in memory. The same holds for targets, whose delegations
// decide whether another role explains a payload.
func keysKnown(ctx context.Context, repo *Repository, role string) (bool, error) {
	if tuf.IsTopLevel(role) && role != tuf.RoleTargets {
		return true, nil
	}
	floors := maps.Clone(repo.floors)
	delete(floors, tuf.RoleSnapshot)
	delete(floors, tuf.RoleTimestamp)
	return repo.judge.Settled(ctx, floors)
}

// signedNow reports whether a file meets the threshold that its role has now.
func signedNow(ctx context.Context, judge *admit.Repository, role string, m *tuf.Metadata) (bool, error) {
	_, met, err := judge.KeysFor(ctx, role, m)
	return met, err
}
