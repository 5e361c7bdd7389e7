package registry

import (
	"cmp"
	"container/list"
	"context"
	"sync"
	"sync/atomic"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// Registry holds the repositories that are being judged, as they follow from
// the integrated log. One goroutine applies leaves; the repositories it does not
// hold are read from the derived state, which by then has all their leaves.
type Registry struct {
	blobs admit.Blobs
	state log.StateReader
	// applied returns how many leaves the state has.
	applied func() int64
	// judged is the number of entries of the log that count: those that were signed,
	// which were judged before, and those that this process has read back. Entries
	// of the state beyond them prove nothing.
	judged *atomic.Int64
	// keepVersions is tailVersions, and cutAfter is longHistory, except in
	// tests.
	keepVersions, cutAfter int

	mu     sync.Mutex
	repos  map[tuf.Digest]*Repository
	recent list.List // of *Repository, the one used last first
	leaves int       // in repos
	cached int       // bytes of their files
	// histories are whole repositories that are kept, of historyLeaves leaves.
	histories     map[tuf.Digest]*history
	historyLeaves int
	// dropped counts the repositories that were dropped to make room.
	dropped int
	// roots are the first releases of roots that the state may not have yet, by
	// payload.
	roots map[tuf.Digest]Root
}

// repository guards an admit.Repository, which is not safe for concurrent use.
type Repository struct {
	id      tuf.Digest
	used    *list.Element // in registry.recent
	applied int           // leaves since it was loaded; guarded by registry.mu
	cutting bool          // somebody is loading it again; guarded by registry.mu
	cached  int           // bytes of its files; guarded by registry.mu

	// floors[role] is the lowest version from which on all leaves of the role
	// are in judge; complete roles are absent.
	floors map[string]int64

	mu    sync.Mutex
	judge *admit.Repository
	// roles are the current releases, by the whole repository, when judge had
	// rolesAt leaves, so that they need not be read again.
	roles   []api.RoleCurrent
	rolesAt int
}

// last returns the index of the newest leaf that has been applied. The caller
// holds mu.
func (r *Repository) last() int64 {
	records := r.judge.Records()
	return records[len(records)-1].Index
}

func New(blobs admit.Blobs, state log.StateReader, applied func() int64, judged *atomic.Int64) *Registry {
	return &Registry{blobs: blobs, state: state, applied: applied, judged: cmp.Or(judged, new(atomic.Int64)), keepVersions: tailVersions, cutAfter: longHistory, repos: map[tuf.Digest]*Repository{}, histories: map[tuf.Digest]*history{}, roots: map[tuf.Digest]Root{}}
}

// Get returns a repository, and loads it if it must. It is nil if the log does
// not have the repository.
func (r *Registry) Get(ctx context.Context, id tuf.Digest) (*Repository, error) {
	r.mu.Lock()
	repo, ok := r.repos[id]
	long := false
	if ok {
		r.recent.MoveToFront(repo.used)
		long = repo.applied > r.cutAfter && !repo.cutting
		repo.cutting = repo.cutting || long
	}
	r.mu.Unlock()
	if long {
		return r.cut(ctx, repo), nil
	}
	if ok {
		return repo, nil
	}
	if known, err := r.Known(ctx, id); err != nil || !known {
		return nil, err
	}
	for {
		r.mu.Lock()
		dropped := r.dropped
		r.mu.Unlock()
		judge, floors, err := r.load(ctx, id, r.keepVersions)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		repo, ok := r.repos[id]
		// Where something was dropped meanwhile it may have been this one,
		// with leaves that the state had not when it was read here.
		current := r.dropped == dropped
		if !ok && current {
			repo = r.keep(judge, floors)
		}
		r.mu.Unlock()
		if repo != nil {
			return repo, nil
		}
	}
}

// Loaded returns the number of repositories in memory.
func (r *Registry) Loaded() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.repos)
}

// Histories returns the number of repositories whose whole history is in
// memory.
func (r *Registry) Histories() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.histories)
}

// KeepVersions sets the number of versions of each role that are kept in memory of
// repositories that are loaded from now on.
func (r *Registry) KeepVersions(versions int) { r.keepVersions = versions }
