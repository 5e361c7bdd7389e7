package monitor

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tuflog/tuflog/audit/mirror"
	"github.com/tuflog/tuflog/audit/source"
	"github.com/tuflog/tuflog/internal/fetch"
)

// copier keeps the copy of a log, in a goroutine of its own: it reads the log as a stranger
// does, and trusts nothing that the auditor has read.
type copier struct {
	f   *follower
	due chan struct{}

	mu   sync.Mutex
	done Mirror // as the status has it
}

// missingEvery is how often files that the log did not serve are asked for again.
const missingEvery = time.Minute

func newCopier(f *follower) *copier { return &copier{f: f, due: make(chan struct{}, 1)} }

// grown says that there is a larger tree to copy.
func (c *copier) grown() {
	select {
	case c.due <- struct{}{}:
	default:
	}
}

// run copies what is new until the context ends.
func (c *copier) run(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.due:
		case <-again.C:
		}
		if more := c.update(ctx); more {
			again.Reset(missingEvery)
		}
	}
}

// update copies what is new. more reports whether something has to be asked for again.
func (c *copier) update(ctx context.Context) (more bool) {
	src, err := source.NewHTTP(c.f.url, nil)
	if err != nil {
		c.note(nil, err)
		return false
	}
	r, err := mirror.Update(ctx, mirror.Config{Dir: MirrorDir(c.f.m.dir, c.f.log.Name), Source: src, Policy: c.f.policy})
	if ctx.Err() != nil {
		return false
	}
	c.note(r, err)
	return err != nil || len(r.Missing) > 0
}

func (c *copier) note(r *mirror.Result, err error) {
	c.mu.Lock()
	if c.done.Trouble = ""; err != nil {
		c.done.Trouble = fetch.RedactedText(err.Error())
	} else {
		c.done.Size, c.done.Missing, c.done.Updated = r.Tree.N, len(r.Missing), c.f.m.opts.Now().Unix()
	}
	done := c.done
	c.mu.Unlock()
	if fork := (*mirror.ForkError)(nil); errors.As(err, &fork) {
		c.f.logger.Error("the log contradicts its copy", "evidence", fork.Path)
	}
	c.f.set(func(s *Status) { s.Mirror = &done })
	c.f.copied.Store(true)
}
