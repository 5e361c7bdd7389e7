package publisher

import (
	"context"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// lookFirst halts if a witness shows more than the ledger knows.
func (p *Publisher) lookFirst(ctx context.Context) error {
	p.publishing.Lock()
	defer p.publishing.Unlock()
	return p.lookBeyond(ctx, p.cfg.GatherTimeout)
}

// signEnd signs the tree with the log's end, even while an earlier one waits for its
// quorum: nothing else will be signed after it.
func (p *Publisher) signEnd(ctx context.Context) error {
	p.publishing.Lock()
	defer p.publishing.Unlock()
	p.mu.Lock()
	edge, ended, halted := p.edge, p.ended, p.halted
	p.mu.Unlock()
	switch {
	case halted != nil:
		return halted
	case !ended:
		return errors.New("the log's last entry is not its end")
	case p.record.Ended:
		return nil
	}
	return p.sign(ctx, edge, true)
}

// lookForEnd finds out whether the signed tree ends the log, and halts if storage
// has more than that, or an end that was not signed.
func (p *Publisher) lookForEnd(ctx context.Context, stored proofs.Tree) error {
	ends, err := log.EndsIn(ctx, p.tree, p.cfg.Storage)
	if err != nil {
		return err
	}
	p.ended = ends || p.record.Ended
	if stored.N == p.tree.N {
		return nil
	}
	if p.ended {
		return behindEnd(p.tree.N, stored.N)
	}
	if ends, err = log.EndsIn(ctx, stored, p.cfg.Storage); err != nil {
		return err
	}
	if ends && !p.cfg.Ending {
		return unsignedEnd(stored.N - 1)
	}
	return nil
}

// checkEnd looks for the log's end among entries that were read back. It must be
// the last entry, and the log must be being ended.
func (p *Publisher) checkEnd(entries []log.Entry) (ends bool, err error) {
	first, size := entries[0].Index, entries[len(entries)-1].Index+1
	if p.Ended() {
		return false, behindEnd(first, size)
	}
	for _, e := range entries {
		switch {
		case !leaf.IsEnd(e.Data):
		case e.Index+1 < size:
			return false, behindEnd(e.Index+1, size)
		case !p.cfg.Ending:
			return false, unsignedEnd(e.Index)
		default:
			ends = true
		}
	}
	return ends, nil
}

func behindEnd(end, size int64) *log.Halt {
	return &log.Halt{
		Code: log.HaltEnded,
		What: fmt.Sprintf("storage has %d entries behind the log's end, which is entry %d", size-end, end-1),
		Do:   "Find out what writes to the storage; nothing that it has written is signed",
	}
}

func unsignedEnd(index int64) *log.Halt {
	return &log.Halt{
		Code: log.HaltEnding,
		What: fmt.Sprintf("storage has the log's end, entry %d, and the log has not signed it: logserver freeze was broken off, or somebody else writes to the storage", index),
		Do:   "If the log is to end, run logserver freeze again; otherwise find out what writes to the storage: nothing that it has written is signed",
	}
}

// End signs and publishes the log's end, which appendEnd appends unless the log has it
// already. See leader.Log.End.
func (p *Publisher) End(ctx context.Context, appendEnd func(context.Context) error) error {
	switch {
	case !p.cfg.Ending:
		return errors.New("the log was not opened to be ended")
	case p.Tree().N == 0:
		return errors.New("an empty log has nothing to end")
	}
	if !p.Ended() {
		// The quorum may never answer, but the checkpoints that witnesses show are
		// checked: a log from an old backup must not sign an end of its own.
		if err := p.lookFirst(ctx); err != nil {
			return err
		}
		if err := appendEnd(ctx); err != nil && !p.Ended() {
			return fmt.Errorf("append the end of the log: %w", err)
		}
	}
	if err := p.signEnd(ctx); err != nil {
		return err
	}
	if err := p.Publish(ctx, true); err != nil {
		return fmt.Errorf("the log has ended, but a quorum does not have its end yet: %w", err)
	}
	return nil
}
