package conformance

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/proofs"
)

// maxSize bounds the tree that a run builds before its first request: whoever
// answers with a size chooses it.
const maxSize = 1 << 20

// tree is the suite's log: it grows on demand, on branch 0 unless an entry is
// in other.
type tree struct {
	hashes []tlog.Hash // as tlog.StoredHashes orders them
	size   int64
	other  map[int64]bool // entries on branch 1
}

func newTree(branches []int64) *tree {
	t := &tree{other: make(map[int64]bool)}
	for _, i := range branches {
		t.other[i] = true
	}
	return t
}

// fork returns a tree with the same first n entries and another one after them.
func (t *tree) fork(n int64) (*tree, error) {
	if err := t.grow(n); err != nil {
		return nil, err
	}
	f := &tree{hashes: slices.Clone(t.hashes[:tlog.StoredHashCount(n)]), size: n, other: maps.Clone(t.other)}
	f.other[n] = !f.other[n]
	return f, nil
}

// branches returns the entries on branch 1 among the first n.
func (t *tree) branches(n int64) []int64 {
	var list []int64
	for i, on := range t.other {
		if on && i < n {
			list = append(list, i)
		}
	}
	slices.Sort(list)
	return list
}

func (t *tree) grow(n int64) error {
	if n < 0 || n > 2*maxSize {
		return fmt.Errorf("a tree of size %d, more than the suite makes", n)
	}
	for t.size < n {
		branch := 0
		if t.other[t.size] {
			branch = 1
		}
		entry := fmt.Appendf(nil, "tuflog witness conformance\nentry %d\nbranch %d\n", t.size, branch)
		stored, err := tlog.StoredHashes(t.size, entry, tlog.HashReaderFunc(t.read))
		if err != nil {
			return err
		}
		t.hashes = append(t.hashes, stored...)
		t.size++
	}
	return nil
}

func (t *tree) read(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(t.hashes)) {
			return nil, fmt.Errorf("no hash %d", x)
		}
		found[i] = t.hashes[x]
	}
	return found, nil
}

// at returns the tree of the first n entries.
func (t *tree) at(n int64) (proofs.Tree, error) {
	if n == 0 {
		return proofs.EmptyTree, nil
	}
	if err := t.grow(n); err != nil {
		return proofs.Tree{}, err
	}
	h, err := tlog.TreeHash(n, tlog.HashReaderFunc(t.read))
	return proofs.Tree{N: n, Hash: h}, err
}

// proof returns the consistency proof between two sizes: nothing from size 0 or
// between equal ones.
func (t *tree) proof(older, newer int64) ([]proofs.Hash, error) {
	if older <= 0 || older >= newer {
		return nil, nil
	}
	if err := t.grow(newer); err != nil {
		return nil, err
	}
	return tlog.ProveTree(newer, older, tlog.HashReaderFunc(t.read))
}
