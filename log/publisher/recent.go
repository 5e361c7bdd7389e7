package publisher

import (
	"bytes"
	"errors"
	"math/bits"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

const (
	// recentHashes is how many of the newest leaves have their part of the
	// tree in memory, 64 bytes each; up to twice as many before it is cut.
	recentHashes = 1 << 15
	// recentEntries is how many of the newest entries are kept themselves.
	recentEntries = 1 << 12
)

// errNotRecent means that a proof needs hashes that are only in the tiles.
var errNotRecent = errors.New("not among the recent leaves")

// recent is the newest part of the publisher's own tree. With it new entries are
// proved without reading a tile. It holds the hash of every complete subtree
// that ends behind start, in the order of x/mod's storage of hashes, and of the
// largest complete ones before it. That suffices for inclusion proofs of all
// leaves from start on, and consistency proofs from all trees of at least that
// size.
type recent struct {
	mu     sync.RWMutex
	start  int64
	size   int64
	edge   map[int64]proofs.Hash // by storage index
	hashes []proofs.Hash         // those from storage index StoredHashIndex(0, start)
	// entries are the last ones, up to size. Their bytes are not changed.
	entries [][]byte
}

// newRecent begins behind the tree of an edge.
func newRecent(edge *proofs.Edge) (*recent, error) {
	text, err := edge.MarshalText()
	if err != nil {
		return nil, err
	}
	size := edge.Tree().N
	r := &recent{start: size, size: size, edge: map[int64]proofs.Hash{}}
	lines := strings.Fields(string(text))[1:]
	for i, index := range edgeIndices(size) {
		if r.edge[index], err = tlog.ParseHash(lines[i]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// edgeIndices returns the storage indices of the largest full subtrees of a
// tree, from the left.
func edgeIndices(size int64) []int64 {
	var indices []int64
	for start := int64(0); start < size; {
		height := bits.Len64(uint64(size-start)) - 1
		indices = append(indices, tlog.StoredHashIndex(height, start>>height))
		start += 1 << height
	}
	return indices
}

// ReadHashes implements tlog.HashReader. The caller holds mu.
func (r *recent) ReadHashes(indices []int64) ([]tlog.Hash, error) {
	base := tlog.StoredHashIndex(0, r.start)
	got := make([]tlog.Hash, len(indices))
	for i, index := range indices {
		if index >= base && index-base < int64(len(r.hashes)) {
			got[i] = r.hashes[index-base]
			continue
		}
		h, ok := r.edge[index]
		if !ok {
			return nil, errNotRecent
		}
		got[i] = h
	}
	return got, nil
}

// append adds the entries that follow.
func (r *recent) append(entries []log.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		hashes, err := tlog.StoredHashesForRecordHash(r.size, proofs.LeafHash(e.Data), r)
		if err != nil {
			return err
		}
		r.hashes = append(r.hashes, hashes...)
		// The entry is a slice of a bundle, which must not be kept in memory
		// for it.
		r.entries = append(r.entries, bytes.Clone(e.Data))
		r.size++
	}
	if extra := len(r.entries) - recentEntries; extra > recentEntries {
		r.entries = append(make([][]byte, 0, 3*recentEntries), r.entries[extra:]...)
	}
	if r.size-r.start > 2*recentHashes {
		return r.cut(r.size - recentHashes)
	}
	return nil
}

// cut moves start.
func (r *recent) cut(start int64) error {
	indices := edgeIndices(start)
	hashes, err := r.ReadHashes(indices)
	if err != nil {
		return err
	}
	clear(r.edge)
	for i, index := range indices {
		r.edge[index] = hashes[i]
	}
	gone := tlog.StoredHashIndex(0, start) - tlog.StoredHashIndex(0, r.start)
	r.hashes = append(make([]proofs.Hash, 0, 5*recentHashes), r.hashes[gone:]...)
	r.start = start
	return nil
}

// inclusion proves a leaf in the tree of the given size.
func (r *recent) inclusion(size, index int64) ([]proofs.Hash, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if index < r.start || size > r.size {
		return nil, errNotRecent
	}
	return tlog.ProveRecord(size, index, r)
}

// consistency proves that the tree of size begins with that of oldSize.
func (r *recent) consistency(oldSize, size int64) ([]proofs.Hash, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if oldSize < r.start || size > r.size {
		return nil, errNotRecent
	}
	return tlog.ProveTree(size, oldSize, r)
}

// entry returns an entry, or nil if it is not kept.
func (r *recent) entry(index int64) []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i := index - (r.size - int64(len(r.entries)))
	if i < 0 || i >= int64(len(r.entries)) {
		return nil
	}
	return r.entries[i]
}
