package proofs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/proof"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// A Hash is a SHA-256 hash of a leaf, a node or a root (RFC 6962). String
// gives its base64.
type Hash = tlog.Hash

// A Tree is the size N and the root Hash of a log's tree.
type Tree = tlog.Tree

// EmptyTree is the tree of size 0. Its root is the hash of no bytes.
var EmptyTree = Tree{Hash: sha256.Sum256(nil)}

// LeafHash returns the hash of an entry as a leaf (RFC 6962, section 2.1).
func LeafHash(entry []byte) Hash {
	return tlog.RecordHash(entry)
}

// VerifyInclusion checks that the leaf stands at index in the tree. The proof
// runs from the leaf's sibling to the root's child (RFC 6962, section 2.1.1).
// The error is ErrInclusion.
func VerifyInclusion(tree Tree, index int64, leaf Hash, hashes []Hash) error {
	if index < 0 || index >= tree.N {
		return fmt.Errorf("entry %d in a tree of size %d: %w", index, tree.N, ErrInclusion)
	}
	root, err := proof.RootFromInclusionProof(new(nodeHasher), uint64(index), uint64(tree.N), leaf[:], rawHashes(hashes))
	if err != nil {
		return fmt.Errorf("entry %d in a tree of size %d: %w: %v", index, tree.N, ErrInclusion, err)
	}
	if got := Hash(root); got != tree.Hash {
		return fmt.Errorf("entry %d in a tree of size %d: %w: it leads to root %v, not %v", index, tree.N, ErrInclusion, got, tree.Hash)
	}
	return nil
}

// VerifyConsistency checks that the newer tree begins with the older one (RFC
// 6962, section 2.1.2). Between trees of one size, and from the empty tree
// (which must be EmptyTree, hash included), the proof is empty. The error is
// ErrConsistency.
func VerifyConsistency(older, newer Tree, hashes []Hash) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("from size %d to %d: %w: "+format, append([]any{older.N, newer.N, ErrConsistency}, args...)...)
	}
	if older.N < 0 || newer.N < older.N {
		return fail("sizes out of order")
	}
	for _, t := range []Tree{older, newer} {
		if t.N == 0 && t != EmptyTree {
			return fail("root %v for the empty tree", t.Hash)
		}
	}
	err := proof.VerifyConsistency(new(nodeHasher), uint64(older.N), uint64(newer.N), rawHashes(hashes), older.Hash[:], newer.Hash[:])
	var mismatch proof.RootMismatchError
	switch {
	case errors.As(err, &mismatch):
		return fail("root is %s, not %s", strict.EncodeBase64(mismatch.CalculatedRoot), strict.EncodeBase64(mismatch.ExpectedRoot))
	case err != nil:
		return fail("%v", err)
	}
	return nil
}

// A nodeHasher hashes as RFC 6962 says, for the arithmetic of package merkle. It
// keeps what it returns in few pieces of memory: merkle's own hasher allocates
// three times per node.
type nodeHasher struct {
	free []Hash
}

func (h *nodeHasher) HashChildren(l, r []byte) []byte {
	if len(h.free) == 0 {
		h.free = make([]Hash, 32)
	}
	node := &h.free[0]
	h.free = h.free[1:]
	*node = tlog.NodeHash(Hash(l), Hash(r))
	return node[:]
}

func (h *nodeHasher) HashLeaf(leaf []byte) []byte {
	sum := LeafHash(leaf)
	return sum[:]
}

func (h *nodeHasher) EmptyRoot() []byte { return slices.Clone(EmptyTree.Hash[:]) }

func (h *nodeHasher) Size() int { return tlog.HashSize }

func rawHashes(hashes []Hash) [][]byte {
	raw := make([][]byte, len(hashes))
	for i := range hashes {
		raw[i] = hashes[i][:]
	}
	return raw
}

// InclusionProof builds the proof that VerifyInclusion checks, from tiles that
// need not be trusted: they are authenticated against the tree's root. Trees
// may have up to 2^62-1 entries.
func InclusionProof(ctx context.Context, tree Tree, index int64, tiles TileReader) ([]Hash, error) {
	if index < 0 || index >= tree.N || tree.N >= maxProvable {
		return nil, fmt.Errorf("no inclusion proof of entry %d in a tree of size %d", index, tree.N)
	}
	p, err := tlog.ProveRecord(tree.N, index, tlog.TileHashReader(tree, tileAdapter{ctx, tiles}))
	if err != nil {
		return nil, fmt.Errorf("inclusion proof of entry %d in a tree of size %d: %w", index, tree.N, err)
	}
	return p, nil
}

// ConsistencyProof builds the proof that VerifyConsistency checks, from the
// tree of size oldSize to the given one. It authenticates tiles as
// InclusionProof does.
func ConsistencyProof(ctx context.Context, oldSize int64, tree Tree, tiles TileReader) ([]Hash, error) {
	if oldSize < 0 || oldSize > tree.N || tree.N >= maxProvable {
		return nil, fmt.Errorf("no consistency proof from size %d to %d", oldSize, tree.N)
	}
	if oldSize == 0 || oldSize == tree.N {
		return nil, nil
	}
	p, err := tlog.ProveTree(tree.N, oldSize, tlog.TileHashReader(tree, tileAdapter{ctx, tiles}))
	if err != nil {
		return nil, fmt.Errorf("consistency proof from size %d to %d: %w", oldSize, tree.N, err)
	}
	return p, nil
}
