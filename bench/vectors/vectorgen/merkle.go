package main

import (
	"crypto/sha256"
	"math/bits"
)

// The slow, obvious tree of RFC 6962, section 2.1, word by word. What makes
// trees of 2^63 entries possible is that nearly all entries are alike: subtrees
// of equal entries are computed once per size.

type hash [32]byte

func (h hash) String() string { return b64(h[:]) }

func leafHash(entry string) hash { return sha256.Sum256([]byte("\x00" + entry)) }

func nodeHash(l, r hash) hash {
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

// A tree has n entries, all alike except those listed.
type tree struct {
	n       uint64
	filler  string
	entries map[uint64]string
	dense   bool            // entries has them all
	alike   map[uint64]hash // of subtrees of fillers, by size
}

// uniform makes a tree of n equal entries, except those given.
func uniform(n uint64, filler string, entries map[uint64]string) *tree {
	return &tree{n: n, filler: filler, entries: entries, alike: map[uint64]hash{}}
}

// distinct makes a tree of n entries "entry 0", "entry 1" and so on.
func distinct(n uint64) *tree {
	t := uniform(n, "", map[uint64]string{})
	t.dense = true
	for i := range n {
		t.entries[i] = "entry " + number(i).text()
	}
	return t
}

func (n number) text() string {
	b, _ := n.MarshalJSON()
	return string(b[1 : len(b)-1])
}

// cut returns the tree of the first n entries.
func (t *tree) cut(n uint64) *tree { return &tree{n, t.filler, t.entries, t.dense, t.alike} }

// with returns the tree with another entry at one place.
func (t *tree) with(index uint64, entry string) *tree {
	entries := map[uint64]string{}
	for i, e := range t.entries {
		entries[i] = e
	}
	entries[index] = entry
	return &tree{t.n, t.filler, entries, t.dense, t.alike}
}

func (t *tree) entry(i uint64) string {
	if e, ok := t.entries[i]; ok {
		return e
	}
	return t.filler
}

// split is the largest power of two smaller than n.
func split(n uint64) uint64 { return 1 << (bits.Len64(n-1) - 1) }

// mth is the Merkle tree hash of the entries from lo to hi.
func (t *tree) mth(lo, hi uint64) hash {
	if hi == lo {
		return sha256.Sum256(nil)
	}
	if t.special(lo, hi) {
		if hi-lo == 1 {
			return leafHash(t.entries[lo])
		}
		k := lo + split(hi-lo)
		return nodeHash(t.mth(lo, k), t.mth(k, hi))
	}
	return t.fill(hi - lo)
}

// fill is the hash of a subtree of n fillers.
func (t *tree) fill(n uint64) hash {
	if n == 1 {
		return leafHash(t.filler)
	}
	h, ok := t.alike[n]
	if !ok {
		k := split(n)
		h = nodeHash(t.fill(k), t.fill(n-k))
		t.alike[n] = h
	}
	return h
}

func (t *tree) special(lo, hi uint64) bool {
	if t.dense {
		return true
	}
	for i := range t.entries {
		if lo <= i && i < hi {
			return true
		}
	}
	return false
}

func (t *tree) root() hash { return t.mth(0, t.n) }

// path is the inclusion proof of entry m.
func (t *tree) path(m uint64) []hash { return t.pathIn(m, 0, t.n) }

func (t *tree) pathIn(m, lo, hi uint64) []hash {
	if hi-lo == 1 {
		return nil
	}
	k := lo + split(hi-lo)
	if m < k {
		return append(t.pathIn(m, lo, k), t.mth(k, hi))
	}
	return append(t.pathIn(m, k, hi), t.mth(lo, k))
}

// proof is the consistency proof from the tree of the first m entries, m > 0.
func (t *tree) proof(m uint64) []hash { return t.subproof(m, 0, t.n, true) }

func (t *tree) subproof(m, lo, hi uint64, complete bool) []hash {
	if m == hi-lo {
		if complete {
			return nil
		}
		return []hash{t.mth(lo, hi)}
	}
	k := split(hi - lo)
	if m <= k {
		return append(t.subproof(m, lo, lo+k, complete), t.mth(lo+k, hi))
	}
	return append(t.subproof(m-k, lo+k, hi, false), t.mth(lo, lo+k))
}

// edge lists the perfect subtrees that the tree splits into, largest first.
func (t *tree) edge() []hash {
	var hashes []hash
	lo := uint64(0)
	for level := 63; level >= 0; level-- {
		if width := uint64(1) << level; t.n&width != 0 {
			hashes = append(hashes, t.mth(lo, lo+width))
			lo += width
		}
	}
	return hashes
}

func texts(hashes []hash) []string {
	list := make([]string, len(hashes))
	for i, h := range hashes {
		list[i] = h.String()
	}
	return list
}
