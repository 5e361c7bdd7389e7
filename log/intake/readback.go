package intake

import (
	"context"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
)

// ReadBack applies the new entries of the log to its repositories, and judges each before
// the publisher may sign it: a process that died may have left them.
func (in *Intake) ReadBack(ctx context.Context) error { return in.readBack(ctx, nil) }

// readBack applies the new entries of the log to its repositories and settles the
// candidates among them. An entry that is not a candidate, left by an attempt
// whose outcome was unknown or by a process that died, is judged like any other
// before the publisher may sign it.
func (in *Intake) readBack(ctx context.Context, candidates []*candidate) error {
	waiting := map[string]*candidate{}
	for _, c := range candidates {
		if !c.done {
			waiting[string(c.entry)] = c
		}
	}
	err := in.publisher.Extend(ctx, func(entries []log.Entry) error {
		for _, e := range entries {
			if leaf.IsEnd(e.Data) {
				continue // the publisher has made sure that it is wanted
			}
			c := waiting[string(e.Data)]
			own := c != nil && !c.read
			judged := own && !in.stale(c)
			if own {
				c.index, c.read = e.Index, true
			}
			if err := in.registry.ReadBack(ctx, e, judged); err != nil {
				return err
			}
			if !own {
				in.strangers.Add(1) // a judgement without it has a smaller number
			}
		}
		return nil
	})
	for _, c := range waiting {
		// Should Extend fail after it has given out the entries, it gives
		// them out again: the indices are not certain before it succeeds.
		if err != nil {
			c.read = false
			continue
		}
		if !c.read {
			continue
		}
		c.done = true
		c.sub.settle(c.file, c.leaf, c.index, api.StatusReleased)
		c.sub.todo = c.sub.todo[1:]
		c.sub.progress = true
		in.indexer.Hint(c.file.meta)
		in.keeper.appended(c.sub, c.leaf)
		if len(c.sub.todo) == 0 && len(c.sub.again) == 0 {
			c.sub.finish(nil)
		}
	}
	if err != nil {
		return err
	}
	in.unknown = false
	in.indexer.Grow(in.publisher.Tree())
	return nil
}
