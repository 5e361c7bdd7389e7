package rekor

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/proofs"
)

// Position is how far an instance has been read. The zero Position is the beginning. It is to
// be stored by the caller, as JSON.
type Position struct {
	// Next is the index of the first entry that has not been read. It stays 0 for v1.
	Next uint64 `json:"next"`
	// Checkpoint is the newest checkpoint, a signed note, that was verified; empty: none. Of v2
	// its size is at least Next.
	Checkpoint string `json:"checkpoint,omitempty"`
}

// Done reports whether everything up to the position's checkpoint has been read.
func (p Position) Done() bool {
	n, err := proofs.ParseNote([]byte(p.Checkpoint))
	if err != nil {
		return false
	}
	c, err := proofs.ParseCheckpoint(n.Text)
	return err == nil && uint64(c.Tree.N) == p.Next
}

// maxScan is how many entries one Scan reads: 256 bundles.
const maxScan = 256 * proofs.FullWidth

// maxFound is how many bytes of entries that the key signed one Scan returns, or those of one bundle
// more. Each has the instance's checkpoint, which may be long.
const maxFound = 64 << 20

// Follow reads the checkpoint of the instance, and returns the position with it if its tree
// begins with the tree of the position's checkpoint: if it does not, the error is a *ForkError. A
// smaller tree is compared in the same way, and leaves the position as it is.
func (i *Instance) Follow(ctx context.Context, from Position) (Position, error) {
	var err error
	to := from
	if i.cfg.Version == 1 {
		to.Checkpoint, err = i.followV1(ctx, from.Checkpoint)
	} else {
		var h *head
		if h, err = i.followV2(ctx, from, i.tiles()); err == nil {
			to.Checkpoint = string(h.signed)
		}
	}
	if err != nil {
		return from, fmt.Errorf("follow %s: %w", i.cfg.Name, err)
	}
	return to, nil
}

// followV2 returns the larger of the heads of the position and of the instance.
func (i *Instance) followV2(ctx context.Context, from Position, hashes *tiles) (*head, error) {
	now, err := i.headV2(ctx)
	if err != nil {
		return nil, err
	}
	if from.Checkpoint == "" {
		if from.Next > 0 {
			return nil, fmt.Errorf("a position at entry %d has no checkpoint", from.Next)
		}
		return now, nil
	}
	then, err := i.open([]byte(from.Checkpoint))
	if err != nil {
		return nil, fmt.Errorf("the position: %w", err)
	}
	if from.Next > uint64(then.tree.N) {
		return nil, fmt.Errorf("a position at entry %d has a checkpoint of size %d", from.Next, then.tree.N)
	}
	older, newer := then, now
	if now.tree.N < then.tree.N {
		older, newer = now, then
	}
	if err := consistent(ctx, older, newer, hashes); err != nil {
		return nil, err
	}
	return newer, nil
}

// consistent shows by tiles that a tree begins with an older one.
func consistent(ctx context.Context, older, newer *head, hashes *tiles) error {
	if older.tree == newer.tree {
		return nil
	}
	fork := func(err error) error {
		return &ForkError{Older: string(older.signed), Newer: string(newer.signed), Err: err}
	}
	if older.tree.N == newer.tree.N {
		return fork(fmt.Errorf("two roots of size %d", newer.tree.N))
	}
	if older.tree.N == 0 {
		return nil
	}
	// These hashes lead to the newer root, or there is an error. So if they do not lead to
	// the older one, nothing does.
	path, err := proofs.ConsistencyProof(ctx, older.tree.N, newer.tree, hashes)
	if err != nil {
		return misbehaved(err)
	}
	if err := proofs.VerifyConsistency(older.tree, newer.tree, path); err != nil {
		return fork(err)
	}
	return nil
}

// Scan reads entries of a v2 instance from a position on, at most 65,536 of them and fewer where those
// that the key signed are many or large, and returns
// those that the key signed, and where to go on. Before, it follows the instance as Follow does.
// It has read all that there is if the position that it returns is Done. With an error it
// returns the position that it came to, and the anchors up to there.
//
// Entries that only name the key, without a signature that verifies, are passed over: the
// log's signature is not there.
func (i *Instance) Scan(ctx context.Context, key proofs.Key, from Position) ([]*Anchor, Position, error) {
	fail := func(anchors []*Anchor, at Position, err error) ([]*Anchor, Position, error) {
		return anchors, at, fmt.Errorf("scan %s: %w", i.cfg.Name, err)
	}
	if i.cfg.Version != 2 {
		return fail(nil, from, errors.New("rekor v1 has no tiles to scan: List asks its index"))
	}
	k, err := newLogKey(key)
	if err != nil {
		return fail(nil, from, err)
	}
	hashes := i.tiles()
	h, err := i.followV2(ctx, from, hashes)
	if err != nil {
		return fail(nil, from, err)
	}
	at := Position{Next: from.Next, Checkpoint: string(h.signed)}
	var anchors []*Anchor
	size := 0
	for end := min(h.tree.N, int64(at.Next)+maxScan); int64(at.Next) < end && size < maxFound; {
		found, next, err := i.scanBundle(ctx, k, h, int64(at.Next), hashes)
		if err != nil {
			return fail(anchors, at, err)
		}
		anchors, at.Next = append(anchors, found...), uint64(next)
		for _, a := range found {
			size += len(a.Entry)
		}
	}
	return anchors, at, nil
}

// scanBundle reads the entries from an index to the end of its bundle.
func (i *Instance) scanBundle(ctx context.Context, k logKey, h *head, from int64, hashes *tiles) ([]*Anchor, int64, error) {
	first := from / proofs.FullWidth * proofs.FullWidth
	entries, err := i.bundle(ctx, h.tree, first/proofs.FullWidth, hashes)
	if err != nil {
		return nil, 0, err
	}
	var anchors []*Anchor
	for n := from - first; n < int64(len(entries)); n++ {
		b, err := readBodyV2(entries[n])
		if err != nil || !bytes.Equal(b.der, k.der) || !k.signed(b.digest, b.signature) {
			continue
		}
		entry, err := h.prove(ctx, entries[n], first+n, hashes)
		if err != nil {
			return nil, 0, err
		}
		a, _, err := checkV2(entry, i.cfg.Keys, i.cfg.Origin)
		if err != nil {
			return nil, 0, misbehaved(err)
		}
		anchors = append(anchors, a)
	}
	return anchors, first + int64(len(entries)), nil
}
