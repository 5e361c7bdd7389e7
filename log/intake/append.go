package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
)

// append makes the candidates' blobs durable, appends their leaves and reads
// them back. It is called again with the same candidates until it succeeds:
// entries that a failed attempt has left in the log count, and are looked for
// before anything is appended again.
func (in *Intake) append(ctx context.Context, candidates []*candidate) error {
	if in.unknown {
		if err := in.readBack(ctx, candidates); err != nil {
			return err
		}
	}
	var files, entries [][]byte
	var sent []*candidate
	for _, c := range candidates {
		// Stale candidates are left out, and judged again in their turn.
		if c.done || in.stale(c) {
			continue
		}
		sent = append(sent, c)
		for _, m := range c.stored {
			files = append(files, m.File)
		}
		entries = append(entries, c.entry)
	}
	if len(entries) == 0 {
		return nil
	}
	if err := in.put(ctx, files, entries); err != nil {
		return err
	}
	in.unknown = true
	appendCtx, cancel := context.WithTimeout(ctx, in.timeout)
	_, appended := in.storage.Append(appendCtx, entries)
	cancel()
	if halt := (*log.Halt)(nil); errors.As(appended, &halt) {
		return in.publisher.Stop(halt)
	}
	// Whatever else Append returns, only entries that can be read count.
	if err := errors.Join(appended, in.readBack(ctx, candidates)); err != nil {
		return err
	}
	for _, c := range sent {
		if !c.done {
			return fmt.Errorf("storage says it has appended %d entries, but one of repository %v cannot be read back", len(entries), c.queue.id)
		}
	}
	return nil
}

// put stores durably the files, and the batch where batches are kept, before
// entries are appended.
func (in *Intake) put(ctx context.Context, files, entries [][]byte) error {
	if in.batches == nil {
		return in.blobs.Put(ctx, files)
	}
	return in.batches.PutBatch(ctx, files, in.publisher.Tree().N, entries)
}

// stale reports whether an entry that is not a candidate was read back since a candidate
// was judged. Another front end, which led before or still leads, has appended it: it
// may be the very same release.
func (in *Intake) stale(c *candidate) bool { return c.seen != in.strangers.Load() }

// note records the result of an attempt to append.
func (in *Intake) note(err error) {
	in.mu.Lock()
	before := in.failing
	in.failing = err
	in.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		in.logger.Error("cannot append", "err", err)
	case err == nil && before != nil:
		in.logger.Info("appending again")
	}
}

// noteAppending records since when there is something to append.
func (in *Intake) noteAppending(is bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.appending = (time.Time{}); is {
		in.appending = time.Now()
	}
}

// AppendingFor returns for how long the batch at hand has waited to be appended, 0 if
// there is none.
func (in *Intake) AppendingFor() time.Duration {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.appending.IsZero() {
		return 0
	}
	return time.Since(in.appending)
}

// Trouble returns the reason why nothing can be appended now, or nil.
func (in *Intake) Trouble() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.failing
}

// AppendEnd appends the log's end.
func (in *Intake) AppendEnd(ctx context.Context) error {
	appendCtx, cancel := context.WithTimeout(ctx, in.timeout)
	_, err := in.storage.Append(appendCtx, [][]byte{[]byte(leaf.End)})
	cancel()
	// Whatever Append returns, only entries that can be read count.
	return errors.Join(err, in.readBack(ctx, nil))
}
