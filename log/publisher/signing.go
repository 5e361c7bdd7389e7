package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Keys returns the log's public keys, Signer's first.
func (c *Config) Keys() ([]proofs.Key, error) {
	keys := []proofs.Key{c.Signer.Key()}
	for _, s := range c.More {
		key := s.Key()
		if key.Name() != keys[0].Name() {
			return nil, fmt.Errorf("the key %v does not have the name of %v", key, keys[0])
		}
		if slices.Contains(keys, key) {
			return nil, fmt.Errorf("the key %v is given twice", key)
		}
		keys = append(keys, key)
	}
	for _, key := range keys {
		if !key.Algorithm().ForLogs() {
			return nil, fmt.Errorf("the key %v is of type %v, which logs cannot sign with", key, key.Algorithm())
		}
	}
	return keys, nil
}

// PolicyFor returns the policy with the log added to it. A policy that lists
// logs must list this one.
func PolicyFor(policy *proofs.Policy, keys []proofs.Key) (*proofs.Policy, error) {
	own := *policy
	if len(own.Logs) == 0 {
		for _, key := range keys {
			own.Logs = append(own.Logs, proofs.PolicyLog{Key: key})
		}
	}
	for _, l := range own.Logs {
		if slices.Contains(keys, l.Key) {
			return &own, nil
		}
	}
	return nil, fmt.Errorf("the policy lists logs, but not this one; it needs the line: log %v", keys[0])
}

// openLedger reads the ledger and verifies its checkpoint.
func (p *Publisher) openLedger(ctx context.Context, keys []proofs.Key) (log.LedgerRecord, error) {
	rec, err := p.cfg.Ledger.Load(ctx)
	if err != nil {
		return rec, err
	}
	if name := keys[0].Name(); rec.Origin != name {
		return rec, fmt.Errorf("the ledger is of log %q, the key of %q", rec.Origin, name)
	}
	if rec.Note != nil {
		if _, _, err := proofs.OpenCheckpoint(rec.Note, keys...); err != nil {
			return rec, fmt.Errorf("the checkpoint in the ledger: %w; a key that signed it must stay among the log's keys until the next one is signed", err)
		}
	}
	return rec, nil
}

// sign signs the tree of the edge, which ends the log where ended is set, and moves
// the ledger to it.
func (p *Publisher) sign(ctx context.Context, edge *proofs.Edge, ended bool) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	// The outcome of a swap must be known.
	ctx, cancel := log.ToTheEnd(ctx)
	defer cancel()
	tree := edge.Tree()
	// The clock may have been set back; times of signatures do not follow.
	signed := max(p.cfg.Now().Unix(), p.record.Signed)
	note, err := p.note(tree, signed)
	if err != nil {
		return err
	}
	next := log.LedgerRecord{
		Origin: p.record.Origin,
		Edge:   edge,
		Signed: signed,
		Ended:  ended,
		Note:   note.Marshal(),
	}
	err = p.cfg.Ledger.Swap(ctx, p.record, next)
	if errors.Is(err, log.ErrLedgerConflict) {
		return p.conflict(ctx, tree, err)
	}
	if err != nil {
		return p.reload(ctx, next, fmt.Errorf("swap the ledger: %w", err))
	}
	p.tried = nil
	p.keep(next)
	return nil
}

// note is the checkpoint of a tree with the signatures of all keys.
func (p *Publisher) note(tree proofs.Tree, signed int64) (proofs.Note, error) {
	cp := proofs.Checkpoint{Origin: p.record.Origin, Tree: tree}
	note := proofs.Note{Text: cp.String()}
	for _, s := range append([]log.Signer{p.cfg.Signer}, p.cfg.More...) {
		sig, err := s.Sign(note.Text, signed)
		if err != nil {
			return note, fmt.Errorf("sign with %v: %w", s.Key(), err)
		}
		note.Signatures = append(note.Signatures, sig)
	}
	return note, nil
}

// keep adopts the record that the ledger holds.
func (p *Publisher) keep(record log.LedgerRecord) {
	p.record = record
	p.mu.Lock()
	p.signed = record.Edge.Tree().N // no news: nobody waits for it
	p.mu.Unlock()
}

// reload reads the ledger after a failed swap. A signature without a record
// there is not used; the next attempt signs the same tree or a larger one of
// the same history.
func (p *Publisher) reload(ctx context.Context, next log.LedgerRecord, cause error) error {
	now, err := p.cfg.Ledger.Load(ctx)
	if err != nil || !now.Equal(next) {
		p.tried = append(p.tried, next) // a server may have it, or still to come
	}
	if err != nil {
		return errors.Join(cause, err)
	}
	if now.Edge.Tree() == next.Edge.Tree() {
		p.keep(now)
	}
	return cause
}

// conflict finds out which process has changed the ledger. If it was an attempt of
// this publisher whose outcome was unknown, that record is adopted and cause is
// returned: the next attempt continues from there. Anything else is a *Halt.
func (p *Publisher) conflict(ctx context.Context, tree proofs.Tree, cause error) error {
	if len(p.tried) > 0 {
		now, err := p.cfg.Ledger.Load(ctx)
		if err != nil {
			return errors.Join(cause, err)
		}
		for _, tried := range p.tried {
			if tried.Equal(now) {
				p.tried = nil
				p.keep(now)
				return fmt.Errorf("swap the ledger: it has an earlier attempt: %w", cause)
			}
		}
	}
	return p.Stop(&log.Halt{
		Code: log.HaltLedgerTaken,
		What: fmt.Sprintf("signing size %d: %v", tree.N, cause),
		Do:   "Another process signs for this log, or the ledger was restored: stop the other one and start again",
	})
}

// gather asks the witnesses to cosign a signed checkpoint and checks the
// result.
func (p *Publisher) gather(ctx context.Context, signed []byte, tree proofs.Tree) ([]byte, error) {
	cp := proofs.Checkpoint{Origin: p.record.Origin, Tree: tree}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.GatherTimeout)
	defer cancel()
	note, err := p.cfg.Witnesses.Gather(ctx, signed, cp, func(ctx context.Context, oldSize int64) ([]proofs.Hash, error) {
		return p.proving.prove(ctx, func(ctx context.Context) ([]proofs.Hash, error) {
			return p.consistency(ctx, oldSize, tree)
		})
	})
	if err != nil {
		return nil, err
	}
	got, err := p.policy.Load().OpenCheckpoint(note)
	if err != nil {
		return nil, err
	}
	if got.Checkpoint.String() != cp.String() {
		return nil, fmt.Errorf("the witnesses returned a checkpoint of %q, %v", got.Origin, got.Tree)
	}
	return note, nil
}
