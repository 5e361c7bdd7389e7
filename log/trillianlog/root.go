package trillianlog

import (
	"context"
	"errors"

	"github.com/tuflog/tuflog/proofs"
)

// Root returns the tree that Trillian has integrated, independent of the copy.
func (l *Log) Root(ctx context.Context) (proofs.Tree, error) {
	client := l.client // another may be reading
	return client.root(ctx)
}

// Compare returns the tree that Trillian has integrated, and an error that wraps
// ErrContradiction and a *log.Halt unless it begins with the given one, which is of
// the copy. It changes nothing.
func (l *Log) Compare(ctx context.Context, tree proofs.Tree) (proofs.Tree, error) {
	root, err := l.Root(ctx)
	if err != nil {
		return root, err
	}
	if root.N < tree.N {
		return root, contradicted(tree, root)
	}
	client := l.client
	if err := client.consistent(ctx, tree, root); errors.Is(err, ErrContradiction) {
		return root, contradicted(tree, root)
	} else if err != nil {
		return root, err
	}
	return root, nil
}

// TreeState returns Trillian's state of the tree: ACTIVE if entries can be appended. The
// error wraps ErrNoTree if there is no such tree.
func (l *Log) TreeState(ctx context.Context) (string, error) {
	return l.client.state(ctx)
}
