package proofs

import (
	"context"
	"fmt"

	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// Refresh moves a proof to a newer checkpoint of the same log: one with more
// entries, or of the same tree with other cosignatures. It needs no key of the
// entry's submitter, only the log's tiles, which need not be trusted (and are
// not read if the tree is the same). Index and extra data stay.
//
// Both checkpoints must satisfy the policy, the old proof must verify, and the
// newer tree must begin with the old one; ErrConsistency shows a log that has
// forked (see Conflict). Errors are otherwise those of Proof.Verify; with a
// *QuorumError, as with all others, no new proof is returned.
func (p Proof) Refresh(ctx context.Context, policy *Policy, entry, newer []byte, tiles TileReader) (Proof, error) {
	from, err := p.Verify(policy, entry)
	if err != nil {
		return Proof{}, fmt.Errorf("refresh: old proof: %w", err)
	}
	to, err := policy.OpenCheckpoint(newer)
	if err != nil {
		return Proof{}, fmt.Errorf("refresh: newer checkpoint: %w", err)
	}
	if to.Origin != from.Origin {
		return Proof{}, fmt.Errorf("refresh: newer checkpoint is of origin %s, the proof of %s", strict.Quote(to.Origin), strict.Quote(from.Origin))
	}
	if to.Tree.N < from.Tree.N {
		return Proof{}, fmt.Errorf("refresh: newer checkpoint has size %d, the proof has %d already", to.Tree.N, from.Tree.N)
	}
	fresh := Proof{Extra: p.Extra, Index: p.Index, Hashes: p.Hashes, Checkpoint: newer}
	if to.Tree != from.Tree {
		if fresh.Hashes, err = growPath(ctx, from.Tree, to.Tree, p.Index, LeafHash(entry), tiles); err != nil {
			return Proof{}, fmt.Errorf("refresh: %w", err)
		}
	}
	// Nothing is shared with the arguments, and nothing is too large.
	return ParseProof(fresh.Marshal())
}

// growPath builds the inclusion proof of a leaf of the older tree in the newer
// one, which it checks to begin with the older one.
func growPath(ctx context.Context, older, newer Tree, index int64, leaf Hash, tiles TileReader) ([]Hash, error) {
	tiles = rememberingTiles{tiles, make(map[TileID][]byte)}
	consistency, err := ConsistencyProof(ctx, older.N, newer, tiles)
	if err != nil {
		return nil, err
	}
	if err := VerifyConsistency(older, newer, consistency); err != nil {
		return nil, err
	}
	path, err := InclusionProof(ctx, newer, index, tiles)
	if err != nil {
		return nil, err
	}
	return path, VerifyInclusion(newer, index, leaf, path)
}

// rememberingTiles asks once for what two proofs need.
type rememberingTiles struct {
	tiles TileReader
	known map[TileID][]byte
}

func (r rememberingTiles) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	id := TileID{level, index, width}
	if data, ok := r.known[id]; ok {
		return data, nil
	}
	data, err := r.tiles.ReadTile(ctx, level, index, width)
	if err == nil {
		r.known[id] = data
	}
	return data, err
}
