package trillianlog

import (
	"context"

	"github.com/tuflog/tuflog/proofs"
)

// Root returns the tree that Trillian has integrated, whatever the copy is like.
func (l *Log) Root(ctx context.Context) (proofs.Tree, error) {
	client := l.client // another may be reading
	return client.root(ctx)
}
