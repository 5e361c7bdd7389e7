package monitor

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/mirror"
	"github.com/tuflog/tuflog/audit/source"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/room"
)

// copier keeps the copy of a log, in a goroutine of its own: it reads the log as a stranger
// does, and trusts nothing that the auditor has read.
type copier struct {
	f   *follower
	due chan struct{}

	mu       sync.Mutex
	done     Mirror          // as the status has it
	used     int64           // bytes of the copy; 0: not counted
	standing *audit.Standing // of the checkpoint that is copied next; nil: none was verified
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

// follow says what the auditor says of the newest checkpoint that it verified. What the copy
// lacks is asked for at once if the auditor has it by now.
func (c *copier) follow(standing *audit.Standing) {
	if standing.Checkpoint == nil {
		return
	}
	c.mu.Lock()
	grown := c.standing == nil || c.standing.Checkpoint.Tree != standing.Checkpoint.Tree
	again := c.done.Missing > 0 && standing.Vouches()
	c.standing = standing
	c.mu.Unlock()
	if grown || again {
		c.grown()
	}
}

// update copies what is new, up to the checkpoint that the auditor verified last, so that the
// two of them speak of one tree. more reports whether something has to be asked for again.
func (c *copier) update(ctx context.Context) (more bool) {
	c.mu.Lock()
	standing, used := c.standing, c.used
	c.mu.Unlock()
	dir := MirrorDir(c.f.m.dir, c.f.log.Name)
	if standing == nil || copyAhead(dir, standing.Checkpoint.Tree.N) {
		return false // the auditor says when there is something to copy
	}
	src, err := source.NewHTTP(c.f.url, nil)
	if err != nil {
		c.note(nil, err)
		return false
	}
	r, err := mirror.Update(ctx, mirror.Config{
		Dir: dir, Source: at{src, standing.Note}, Policy: c.f.policy, MaxBytes: c.f.log.MirrorMaxBytes, Leave: leave(c.f.m.dir), Used: used,
	})
	if ctx.Err() != nil {
		return false
	}
	c.note(r, err)
	if err == nil {
		// The log may have grown by the next step: what was copied is cosigned as it was judged.
		c.f.cosignAs(ctx, standing)
	}
	return err != nil || len(r.Missing) > 0
}

// maxLeave is how much of a file system copies leave free at most: bytes.
const maxLeave = 1 << 30

// leave is how many bytes of the file system the copies leave free, so that what strangers log
// fills no disk on which others' findings are kept and told: a GiB, or 5 % of a small one.
func leave(dir string) uint64 {
	_, all, err := room.Free(dir)
	if err != nil {
		return 0
	}
	return min(maxLeave, all/20)
}

// copyAhead reports whether a copy has more than a tree of a size: it was kept, and the state
// of the audit was not.
func copyAhead(dir string, size int64) bool {
	held, err := mirror.Held(dir)
	return err == nil && held.Tree.N > size
}

// at is a log as it was when the auditor verified a checkpoint.
type at struct {
	*source.HTTP
	note []byte
}

// Checkpoint implements audit.Source.
func (s at) Checkpoint(context.Context) ([]byte, error) { return s.note, nil }

func (c *copier) note(r *mirror.Result, err error) {
	c.mu.Lock()
	c.done.Full = errors.Is(err, mirror.ErrFull) || errors.Is(err, syscall.ENOSPC)
	if c.done.Trouble = ""; err != nil {
		c.done.Trouble = fetch.RedactedText(err.Error())
		c.used = 0
	} else {
		c.used = r.Used
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
