package registry

import (
	"context"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

// Judge judges a file. Memory may have only the highest versions of the
// repository; the verdict is that of the whole repository all the same:
//
//   - which keys a top-level role has follows from the roots, which are all there.
//     Those of any other role follow from the current releases of the roles on the
//     way to it, each the highest version that stands. So if each role has a
//     current release among the versions that are complete in memory, it is the
//     current one
//   - everything else depends on the leaves with the file's payload, or of its
//     role and version, and, if another payload among them gives way, on its
//     other releases and on the file's own delegations. If the state knows such a
//     leaf that is not in memory, or the first condition is not met, the whole
//     repository is read.
//
// Reading it is expensive, so it is read only for a file that present keys have
// signed or whose payload is logged; every other file is refused from memory.
func (r *Registry) Judge(ctx context.Context, repo *Repository, role string, m *tuf.Metadata, snapshots []*tuf.Metadata) (admit.Decision, error) {
	repo.mu.Lock()
	defer repo.mu.Unlock()
	needs, err := r.needsHistory(ctx, repo, role, m)
	if err != nil {
		return admit.Decision{}, err
	}
	if needs {
		h, err := r.historyOf(ctx, repo)
		if err != nil {
			return admit.Decision{}, err
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.judge.Judge(ctx, role, m, snapshots)
	}
	decision, err := repo.judge.Judge(ctx, role, m, snapshots)
	r.account(repo)
	return decision, err
}

// inMemory reports whether all leaves that have a payload of this role and
// version, or are of this role and version, are in memory. A payload has one
// version and one type, whichever role it is logged for.
func inMemory(floors map[string]int64, role string, version int64) bool {
	for name, floor := range floors {
		if typeOf(name) == typeOf(role) && version < floor {
			return false
		}
	}
	return true
}

// typeOf returns the type of a role's metadata.
func typeOf(role string) string {
	if tuf.IsTopLevel(role) {
		return role
	}
	return tuf.RoleTargets
}
