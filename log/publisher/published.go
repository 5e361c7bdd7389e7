package publisher

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// openPublished reads the checkpoint that was published last. A missing one is not a
// reason to stop, because the ledger knows the last signed tree. A damaged one is,
// because it could reveal a ledger of an older date.
func (p *Publisher) openPublished(ctx context.Context) (log.Published, error) {
	none := log.Published{Tree: proofs.EmptyTree}
	b, err := p.cfg.Checkpoints.Load(ctx)
	if err != nil || b == nil {
		return none, err
	}
	cp, err := openOwn(b, p.keys)
	if err != nil {
		return none, fmt.Errorf("the published checkpoint: %w. It reveals a ledger of an older date: bring it back, or remove it if you know that the ledger is the newest; then it is published again", err)
	}
	if cp.Tree.N > p.tree.N || cp.Tree.N == p.tree.N && cp.Tree != p.tree {
		return none, &log.Halt{
			Code: log.HaltLedgerBehind,
			What: fmt.Sprintf("a checkpoint of size %d (root %v) is published, but the ledger says that size %d (root %v) was signed last: the ledger was restored from an old copy", cp.Tree.N, cp.Tree.Hash, p.tree.N, p.tree.Hash),
			Do:   "Bring back the newest ledger",
		}
	}
	if _, err := p.policy.Load().OpenCheckpoint(b); err != nil {
		// The policy has changed since. Devices may have seen the checkpoint,
		// but it does not suffice to acknowledge submissions.
		p.cfg.Logger.Warn("the published checkpoint does not satisfy the policy and will be published again", "err", err)
		return log.Published{Tree: cp.Tree}, nil
	}
	return log.Published{Tree: cp.Tree, Note: b}, nil
}

// checkPublished halts unless the published tree is a prefix of the log in
// storage.
func (p *Publisher) checkPublished(ctx context.Context) error {
	older := p.published.Tree
	proof, err := proofs.ConsistencyProof(ctx, older.N, p.tree, p.cfg.Storage)
	if err != nil {
		return err
	}
	if err := proofs.VerifyConsistency(older, p.tree, proof); err != nil {
		return &log.Halt{
			Code: log.HaltPublishedFork,
			What: fmt.Sprintf("the published checkpoint of size %d is not a prefix of the log: %v", older.N, err),
			Do:   "Find out which of the two belongs to this log, and restore the other from a backup",
		}
	}
	if p.published.Note == nil {
		p.published.Tree = proofs.EmptyTree
	}
	return nil
}

// lookBeyond halts if a witness shows a checkpoint that this log has signed and the
// ledger does not know. A witness's claim without such a checkpoint proves nothing.
// It waits no longer than limit for a witness.
func (p *Publisher) lookBeyond(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	signed := p.record.Edge.Tree()
	p.mu.Lock()
	stored := p.tree
	p.mu.Unlock()
	for _, note := range p.cfg.Witnesses.Newest(ctx, p.record.Origin) {
		if h := Beyond(note, p.keys, signed, stored); h != nil {
			return p.Stop(h)
		}
	}
	return nil
}

// Beyond returns the halt of a log to which a witness shows this checkpoint, while signed
// is the last tree in its ledger and stored the tree in its storage. It is nil if the
// checkpoint is not the log's, or not a later one.
func Beyond(note []byte, keys []proofs.Key, signed, stored proofs.Tree) *log.Halt {
	cp, err := openOwn(note, keys)
	if err != nil {
		return nil
	}
	what := fmt.Sprintf("a witness shows a checkpoint of size %d (root %v) that this log has signed, but the ledger says that size %d (root %v) was signed last", cp.Tree.N, cp.Tree.Hash, signed.N, signed.Hash)
	save := fmt.Sprintf("What the witness shows is at its URL, under /%x/checkpoint", sha256.Sum256([]byte(cp.Origin)))
	switch {
	case cp.Tree.N == signed.N && cp.Tree != signed:
		return &log.Halt{Code: log.HaltPublishedFork, What: what + ": two trees of one size were signed", Do: "The log has shown two histories, and witnesses and auditors will prove it: find out what has signed the other one. " + save}
	case cp.Tree.N <= signed.N:
		return nil
	case cp.Tree.N > stored.N:
		return &log.Halt{Code: log.HaltStorageBehind, What: fmt.Sprintf("%s, and storage has %d entries: ledger and storage were restored from old copies", what, stored.N), Do: "Bring back the storage that holds all signed entries, and the newest ledger. " + save}
	}
	return &log.Halt{Code: log.HaltLedgerBehind, What: what + ": the ledger was restored from an old copy", Do: "Bring back the newest ledger, or give logserver resume --i-know ledger-behind --checkpoint FILE what the witness shows, if the storage is the newest that the log ever had. " + save}
}

// wakeUp asks Run to publish.
func (p *Publisher) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// WaitConfirmed returns when a quorum has cosigned the last signed tree of the ledger,
// or a later checkpoint, or with a *Halt if the publisher has stopped.
func (p *Publisher) WaitConfirmed(ctx context.Context) error {
	for {
		p.mu.Lock()
		confirmed, halted, news := p.confirmed, p.halted, p.news
		p.mu.Unlock()
		switch {
		case halted != nil:
			return halted
		case confirmed:
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
