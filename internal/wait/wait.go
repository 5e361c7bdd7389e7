// Package wait waits, and is interrupted by a context.
package wait

import (
	"context"
	"time"
)

// For returns nil after d, or what ended ctx (context.Cause) as soon as that ends.
func For(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
