package audit

import (
	"context"
	"errors"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/proofs"
)

// offline is what the state has of the log by itself: for the time when the log is away.
type offline struct {
	tiles *state.Tiles // those of the leaves
	// newest is the newest checkpoint that satisfies the policy, of a tree that begins
	// with these leaves, or is theirs; nil: none, or it was not looked for.
	newest *proofs.SignedCheckpoint
	size   int64 // of the tree of the leaves when it was looked for
}

// Prove returns a c2sp.org/tlog-proof that a verified checkpoint includes the entry at
// index, with the entry as extra data. It has been verified. The checkpoint is the last one
// that was verified or, if the log does not serve what that takes, the one that Kept
// returns.
func (a *Auditor) Prove(ctx context.Context, index int64, raw []byte) ([]byte, error) {
	err := errors.New("no checkpoint has been verified yet")
	if a.verified != nil && !a.away {
		var proof []byte
		proof, err = a.prove(ctx, a.verified, a.signed, index, raw, tileReader{a})
		if err == nil || ctx.Err() != nil {
			return proof, err
		}
		a.away = true // each proof would wait for it again
	}
	newest, keptErr := a.Kept(ctx)
	if keptErr != nil || newest == nil {
		return nil, errors.Join(err, keptErr)
	}
	return a.prove(ctx, newest, newest.Note.Marshal(), index, raw, a.Tiles())
}

func (a *Auditor) prove(ctx context.Context, c *proofs.SignedCheckpoint, note []byte, index int64, raw []byte, tiles proofs.TileReader) ([]byte, error) {
	hashes, err := proofs.InclusionProof(ctx, c.Tree, index, tiles)
	if err != nil {
		return nil, err
	}
	proof := proofs.Proof{Extra: raw, Index: index, Hashes: hashes, Checkpoint: note}
	if _, err := proof.Verify(a.cfg.Policy, raw); err != nil {
		return nil, err
	}
	return proof.Marshal(), nil
}

// Tiles returns the tiles of the tree of the leaves that have been judged, without asking
// the log.
func (a *Auditor) Tiles() proofs.TileReader {
	if a.offline.tiles == nil {
		a.offline.tiles = a.db.Tiles()
	}
	return a.offline.tiles
}

// Kept returns the newest checkpoint that satisfies the policy and whose tree's leaves have
// all been judged, without asking the log; nil: there is none.
func (a *Auditor) Kept(ctx context.Context) (*proofs.SignedCheckpoint, error) {
	if a.offline.newest != nil && a.offline.size == a.db.Size() {
		return a.offline.newest, nil
	}
	a.offline.newest, a.offline.size = nil, a.db.Size()
	var notes [][]byte
	err := a.db.NotesUpTo(ctx, a.db.Size(), func(note []byte) error {
		notes = append(notes, note)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, note := range notes {
		c, err := a.cfg.Policy.OpenCheckpoint(note)
		if err != nil || c.Origin != a.origin {
			continue
		}
		if ours, err := a.begins(ctx, c.Tree); err != nil {
			return nil, err
		} else if ours {
			a.offline.newest = c
			break
		}
	}
	return a.offline.newest, nil
}

// begins reports whether a tree is that of the leaves that have been judged, or of the
// first of them.
func (a *Auditor) begins(ctx context.Context, tree proofs.Tree) (bool, error) {
	if own := a.db.Tree().Tree(); tree.N == own.N || tree.N == 0 {
		return tree == own || tree.N == 0, nil
	}
	_, err := proofs.InclusionProof(ctx, tree, tree.N-1, a.Tiles())
	if errors.As(err, new(*state.Error)) || ctx.Err() != nil {
		return false, err
	}
	return err == nil, nil
}
