package leader

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/registry"
)

// JudgeTail reads back the entries in storage beyond the signed tree, and judges them
// as Open does: the error is a *Halt if the log would not go on. It changes nothing,
// so it needs a derived state that has all signed entries.
func JudgeTail(ctx context.Context, p *publisher.Publisher, blobs log.Blobs, state log.State) error {
	edge, err := state.Position(ctx)
	if err != nil {
		return err
	}
	stored, err := p.Storage().Integrated(ctx)
	if err != nil {
		return err
	}
	judged := new(atomic.Int64)
	judged.Store(p.Tree().N)
	if edge.Tree().N < judged.Load() {
		return fmt.Errorf("the derived state has %d entries, %d were signed: what follows is judged when the log is opened", edge.Tree().N, judged.Load())
	}
	r := registry.New(blobs, registry.Checked(state, judged.Load, p.Storage(), func() int64 { return stored.N }), judged.Load, judged)
	return p.Extend(ctx, func(entries []log.Entry) error {
		for _, e := range entries {
			if leaf.IsEnd(e.Data) {
				continue
			}
			if err := r.ReadBack(ctx, e, false); err != nil {
				return err
			}
		}
		return nil
	})
}
