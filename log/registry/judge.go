package registry

import (
	"context"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

// Judge judges a file. The verdict is that of the whole repository, of which
// memory may have only the highest versions:
//
//   - which keys a top-level role has follows from the roots, which are all there.
//     Those of any other follow from what is current of the roles on the way to
//     it, which is the highest version that stands. So if each role has a current
//     release among the versions that are all there, it is the current one
//   - all else that counts are leaves with the file's payload, or of its role and
//     version, and where another payload of them gives way, what that one is
//     released as besides, and what the file itself delegates. Where the state
//     knows one that is not in memory, and where the first condition is not met,
//     the whole repository is read.
//
// Reading it is dear, so it is read only for a file that present keys have signed or
// whose payload is logged; every other is refused by what is in memory.
func (r *Registry) Judge(ctx context.Context, repo *repository, role string, m *tuf.Metadata, snapshots []*tuf.Metadata) (admit.Decision, error) {
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
