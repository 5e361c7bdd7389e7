package anchored

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/proofs"
)

// auditFor bounds an audit: an hour is enough to match some hundred million leaves. What it has
// read until then of a version 2 is not read again.
const auditFor = time.Hour

// audit looks at all that the instance has, once the leaves of the newest checkpoint are here.
func (k *Keeper) audit(ctx context.Context) {
	signed, judged := k.cfg.Newest()
	if signed == nil {
		return
	}
	c, err := k.cfg.Policy.OpenCheckpoint(signed)
	if err != nil || c.Origin != k.cfg.Origin || judged < c.Tree.N {
		return
	}
	k.auditDue = k.cfg.Now().Add(min(k.cfg.Audit, lastPause))
	ledger, err := k.opened()
	if err != nil {
		k.set(func(s *Status) { s.AuditTrouble = err.Error() })
		return
	}
	lock, err := ledger.Folder.Lock()
	if err != nil {
		k.set(func(s *Status) { s.AuditTrouble = err.Error() })
		return
	}
	defer func() { _ = lock.Release() }()
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, auditFor)
	defer cancel()
	other, keyErr := ledger.KeyChanged(ctx)
	entries, partly := ledger.Entries(ctx)
	log := &Log{Policy: k.cfg.Policy, Checkpoint: c, Leaves: ViewLeaves(k.view)}
	found, err := ledger.Judge(ctx, log, entries)
	if whole.Err() != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &k.status
	s.OtherKey = other != ""
	s.AuditTrouble = said(errors.Join(partly, err, keyErr))
	if s.OtherKey {
		s.AuditTrouble = said(errors.Join(partly, err, fmt.Errorf("%s shows a public key that is not among those that are trusted: has it been rotated? It is believed only once you put it into the configuration", k.cfg.Name)))
	}
	if found == nil {
		return
	}
	if s.Open, s.Orphans = 0, 0; partly == nil {
		s.Audited, s.Entries = k.cfg.Now().Unix(), len(found.Entries)+found.Counted
		k.auditDue = k.cfg.Now().Add(k.cfg.Audit)
	}
	for _, j := range found.Entries {
		switch j.Verdict {
		case anchor.Open:
			s.Open++
		case anchor.Orphan:
			s.Orphans++
		}
	}
	k.findings, k.strange, k.unclaimed = Findings(k.cfg.Name, log, found.Entries), found.Strange, true
	k.shown = found
}

// ViewLeaves reads leaves from a state that somebody else writes.
func ViewLeaves(view *state.View) func(ctx context.Context, from, to int64, each func(proofs.Hash) error) error {
	return func(ctx context.Context, from, to int64, each func(proofs.Hash) error) error {
		return view.At(ctx, func(r *state.Reader) error { return ReaderLeaves(r)(ctx, from, to, each) })
	}
}

// ReaderLeaves reads leaves from a state.
func ReaderLeaves(r *state.Reader) func(ctx context.Context, from, to int64, each func(proofs.Hash) error) error {
	return func(ctx context.Context, from, to int64, each func(proofs.Hash) error) error {
		return r.Leaves(ctx, from, to, func(leaf state.Leaf) error { return each(proofs.LeafHash(leaf.Entry())) })
	}
}
