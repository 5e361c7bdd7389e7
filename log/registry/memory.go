package registry

import (
	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

// Limits of the registry's memory.
const (
	maxLoaded       = 2048     // repositories
	maxLoadedLeaves = 24000    // leaves in all of them, about a kilobyte each
	maxCached       = 64 << 20 // about how many bytes of the files of all repositories
)

// keep puts a repository into the map. It must be called with mu held.
func (r *Registry) keep(judge *admit.Repository, floors map[string]int64) *Repository {
	r.makeRoom()
	repo := &Repository{id: judge.ID(), judge: judge, floors: floors}
	repo.used = r.recent.PushFront(repo)
	r.repos[repo.id] = repo
	r.leaves += len(judge.Records())
	return repo
}

// account counts the bytes of cached files. If they are too many, it asks the least
// recently used repositories to forget theirs. The caller holds repo.mu.
func (r *Registry) account(repo *Repository) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.repos[repo.id] != repo {
		return
	}
	r.cached -= repo.cached
	repo.cached = repo.judge.Cached()
	r.cached += repo.cached
	for e := r.recent.Back(); e != nil && r.cached > maxCached; e = e.Prev() {
		other := e.Value.(*Repository)
		if other == repo || other.cached == 0 || !other.mu.TryLock() {
			continue
		}
		other.judge.Forget()
		other.mu.Unlock()
		r.cached -= other.cached
		other.cached = 0
	}
}

// makeRoom drops repositories that the state can restore completely, the least
// recently used first. A dropped repository can still be read: leaves are applied
// only to those in the map. It must be called with mu held.
func (r *Registry) makeRoom() {
	applied := r.applied()
	for e := r.recent.Back(); e != nil && (len(r.repos) >= maxLoaded || r.leaves >= maxLoadedLeaves); {
		before := e.Prev()
		r.drop(e.Value.(*Repository), applied)
		e = before
	}
}

// drop forgets a repository if the state, which has applied leaves, can restore
// it. It must be called with mu held.
func (r *Registry) drop(repo *Repository, applied int64) {
	if !repo.mu.TryLock() {
		return
	}
	records := repo.judge.Records()
	repo.mu.Unlock()
	if records[len(records)-1].Index < applied {
		r.recent.Remove(repo.used)
		delete(r.repos, repo.id)
		r.leaves -= len(records)
		r.cached -= repo.cached
		r.dropped++
	}
}

// Forget drops repositories; nil means all. It is for a registry that does not
// apply leaves, whose repositories in memory stay as they were loaded.
func (r *Registry) Forget(which map[tuf.Digest]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped++ // one that is being loaded is loaded again
	if which == nil {
		clear(r.repos)
		r.recent.Init()
		r.leaves, r.cached = 0, 0
		return
	}
	for id := range which {
		if repo, ok := r.repos[id]; ok {
			r.recent.Remove(repo.used)
			delete(r.repos, id)
			r.leaves -= len(repo.judge.Records())
			r.cached -= repo.cached
		}
	}
}
