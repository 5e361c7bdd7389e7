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
	// judged is how many entries of the log count: those that were signed, which
	// somebody has judged before, and those that this process has taken in. What the
	// state has beyond them proves nothing.
	judged *atomic.Int64
	// keepVersions is tailVersions, and cutAfter longHistory, but in tests.
	keepVersions, cutAfter int

	mu     sync.Mutex
	repos  map[tuf.Digest]*repository
	recent list.List // of *repository, the one used last first
	leaves int       // in repos
	cached int       // bytes of their files
	// histories are whole repositories that are kept, of historyLeaves leaves.
	histories     map[tuf.Digest]*history
	historyLeaves int
	// dropped counts the repositories that made room.
	dropped int
	// roots are the first releases of roots that the state may not have yet, by
	// payload.
	roots map[tuf.Digest]rootAt
}

// repository guards a admit.Repository, which is not safe for concurrent use.
type repository struct {
	id      tuf.Digest
	used    *list.Element // in registry.recent
	applied int           // leaves since it was loaded; guarded by registry.mu
	cutting bool          // somebody is loading it again; guarded by registry.mu
	cached  int           // bytes of its files; guarded by registry.mu

	// floors says from which version on all leaves of a role are in judge,
	// where they are not all.
	floors map[string]int64

	mu    sync.Mutex
	judge *admit.Repository
	// roles are what was current, by the whole repository, when judge had rolesAt
	// leaves: whoever asks for it again does not have it read again.
	roles   []api.RoleCurrent
	rolesAt int
}

// last returns the index of the newest leaf that has been applied. The caller
// holds mu.
func (r *repository) last() int64 {
	records := r.judge.Records()
	return records[len(records)-1].Index
}

func New(blobs admit.Blobs, state log.StateReader, applied func() int64, judged *atomic.Int64) *Registry {
	return &Registry{blobs: blobs, state: state, applied: applied, judged: cmp.Or(judged, new(atomic.Int64)), keepVersions: tailVersions, cutAfter: longHistory, repos: map[tuf.Digest]*repository{}, histories: map[tuf.Digest]*history{}, roots: map[tuf.Digest]rootAt{}}
}

// Get returns a repository, and loads it if it must. It is nil where the log has
// none of this name.
func (r *Registry) Get(ctx context.Context, id tuf.Digest) (*repository, error) {
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

// Loaded returns how many repositories are in memory.
func (r *Registry) Loaded() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.repos)
}

// Histories returns of how many repositories in memory the whole history is.
func (r *Registry) Histories() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.histories)
}

// KeepVersions sets the number of versions of each role that are kept in memory of
// repositories that are loaded from now on.
func (r *Registry) KeepVersions(versions int) { r.keepVersions = versions }
