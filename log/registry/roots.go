package registry

import (
	"context"
	"maps"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

type Root struct {
	Repository tuf.Digest
	Index      int64
}

// Known reports whether a repository is in the log.
func (r *Registry) Known(ctx context.Context, id tuf.Digest) (bool, error) {
	r.mu.Lock()
	_, ok := r.repos[id]
	r.mu.Unlock()
	if ok {
		return true, nil
	}
	at, ok, err := r.RootAt(ctx, id)
	return ok && at.Repository == id, err
}

// RootAt returns the repository and index at which the root with this payload
// was logged first.
func (r *Registry) RootAt(ctx context.Context, payload tuf.Digest) (Root, bool, error) {
	// Memory is read before the state: a root that is forgotten in between is
	// in the state.
	r.mu.Lock()
	at, ok := r.roots[payload]
	r.mu.Unlock()
	rec, logged, err := r.state.Root(ctx, payload)
	if err != nil || !logged {
		return at, ok && err == nil, err
	}
	return Root{rec.Leaf.Repository, rec.Index}, true, nil
}

// addRoot must be called with mu held.
func (r *Registry) addRoot(rec admit.Record) {
	if _, ok := r.roots[rec.Leaf.Payload]; !ok {
		r.roots[rec.Leaf.Payload] = Root{rec.Leaf.Repository, rec.Index}
	}
	const many = 4096
	if len(r.roots) > many {
		applied := r.applied()
		maps.DeleteFunc(r.roots, func(_ tuf.Digest, at Root) bool { return at.Index < applied })
	}
}
