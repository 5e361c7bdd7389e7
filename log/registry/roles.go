package registry

import (
	"context"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// Roles returns the current release of each role, sorted by role.
func (r *Registry) Roles(ctx context.Context, id tuf.Digest) ([]api.RoleCurrent, error) {
	repo, err := r.Get(ctx, id)
	if err != nil || repo == nil {
		return []api.RoleCurrent{}, err
	}
	repo.mu.Lock()
	records := repo.judge.Records()
	suffices, err := repo.judge.Settled(ctx, repo.floors)
	if err == nil && suffices {
		defer repo.mu.Unlock()
		defer r.account(repo)
		return currentRoles(ctx, repo.judge)
	}
	roles := repo.roles
	if repo.rolesAt != len(records) {
		roles = nil
	}
	repo.mu.Unlock() // reading does not keep the log from judging
	if err != nil || roles != nil {
		return slices.Clone(roles), err
	}
	judge, err := r.whole(ctx, id, records)
	if err != nil {
		return nil, err
	}
	if roles, err = currentRoles(ctx, judge); err != nil {
		return nil, err
	}
	repo.mu.Lock()
	defer repo.mu.Unlock()
	repo.roles, repo.rolesAt = slices.Clone(roles), len(records)
	return roles, nil
}

func currentRoles(ctx context.Context, judge *admit.Repository) ([]api.RoleCurrent, error) {
	current, err := judge.Currents(ctx)
	if err != nil {
		return nil, err
	}
	roles := make([]api.RoleCurrent, 0, len(current))
	for _, rec := range current {
		roles = append(roles, api.RoleCurrent{Role: rec.Leaf.Role, Version: rec.Leaf.Version, Index: rec.Index})
	}
	slices.SortFunc(roles, func(a, b api.RoleCurrent) int { return strings.Compare(a.Role, b.Role) })
	return roles, nil
}
