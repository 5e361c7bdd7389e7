package fraud

import (
	"context"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"

	"github.com/tuflog/tuflog/proofs"
)

// A Span is consecutive entries of a tree, with the hashes that show them there.
type Span struct {
	First   int64    // index of the first entry
	Entries [][]byte // at least one
	// Hashes are the roots of the perfect subtrees that hold the other entries, from
	// left to right: those of the tree of the First entries, largest first, and then
	// those behind the span.
	Hashes []proofs.Hash
}

// End is the index behind the last entry.
func (s Span) End() int64 { return s.First + int64(len(s.Entries)) }

// NewSpan shows entries in a tree, from its tiles, which need not be trusted. It does not
// look at the entries: see Verify. Trees may have up to 2^62-1 entries.
func NewSpan(ctx context.Context, tree proofs.Tree, first int64, entries [][]byte, tiles proofs.TileReader) (Span, error) {
	s := Span{First: first, Entries: entries}
	if err := s.in(tree); err != nil {
		return Span{}, err
	}
	proof := func(err error) (Span, error) {
		return Span{}, fmt.Errorf("proof of entries %d to %d in a tree of size %d: %w", first, s.End()-1, tree.N, err)
	}
	left, err := proofs.RangeHashes(ctx, tree, 0, first, tiles)
	if err != nil {
		return proof(err)
	}
	right, err := proofs.RangeHashes(ctx, tree, s.End(), tree.N, tiles)
	if err != nil {
		return proof(err)
	}
	s.Hashes = append(left, right...)
	return s, nil
}

// in checks that the tree is large enough for the span.
func (s Span) in(tree proofs.Tree) error {
	switch {
	case len(s.Entries) == 0:
		return errors.New("a span without entries")
	case s.First < 0 || s.First >= tree.N || int64(len(s.Entries)) > tree.N-s.First:
		return fmt.Errorf("%d entries from %d on in a tree of size %d: %w", len(s.Entries), s.First, tree.N, proofs.ErrInclusion)
	}
	return nil
}

// Verify checks that the tree has these entries at this place. The error is
// ErrInclusion, but for a span without entries.
func (s Span) Verify(tree proofs.Tree) error {
	if err := s.in(tree); err != nil {
		return err
	}
	fail := func(err error) error {
		return fmt.Errorf("entries %d to %d in a tree of size %d: %w: %v", s.First, s.End()-1, tree.N, proofs.ErrInclusion, err)
	}
	nodes := compact.RangeNodes(0, uint64(s.First), nil)
	before := len(nodes)
	if nodes = compact.RangeNodes(uint64(s.End()), uint64(tree.N), nodes); len(s.Hashes) != len(nodes) {
		return fail(fmt.Errorf("%d hashes, want %d", len(s.Hashes), len(nodes)))
	}
	raw := rawHashes(s.Hashes)
	left, err := ranges.NewRange(0, uint64(s.First), raw[:before:before])
	if err != nil {
		return fail(err)
	}
	for _, e := range s.Entries {
		hash := proofs.LeafHash(e)
		if err := left.Append(hash[:], nil); err != nil {
			return fail(err)
		}
	}
	right, err := ranges.NewRange(uint64(s.End()), uint64(tree.N), raw[before:])
	if err != nil {
		return fail(err)
	}
	if err := left.AppendRange(right, nil); err != nil {
		return fail(err)
	}
	root, err := left.GetRootHash(nil)
	if err != nil {
		return fail(err)
	}
	if got := proofs.Hash(root); got != tree.Hash {
		return fail(fmt.Errorf("they lead to root %v, not %v", got, tree.Hash))
	}
	return nil
}
