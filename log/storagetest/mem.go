package storagetest

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Mem is a log.Storage in memory, the slow and obvious way, with faults on
// demand. The zero value is an empty log.
type Mem struct {
	// OnAppend, if not nil, decides the outcome of each Append: which entries
	// it keeps, and the error it reports.
	OnAppend func(entries [][]byte) (keep [][]byte, err error)
	// OnIntegrated, if not nil, may change the result of Integrated.
	OnIntegrated func(tree proofs.Tree) (proofs.Tree, error)

	mu      sync.Mutex
	entries [][]byte
	open    bool
}

// Open marks the storage as open; a second time it is log.ErrLocked.
func (m *Mem) Open() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open {
		return log.ErrLocked
	}
	m.open = true
	return nil
}

// Truncate cuts the log to n entries, as restoring an old copy does.
func (m *Mem) Truncate(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = slices.Clone(m.entries[:n])
}

// Replace changes an entry that is in the log.
func (m *Mem) Replace(index int, entry []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = slices.Clone(m.entries)
	m.entries[index] = entry
}

// Entries returns the entries of the log.
func (m *Mem) Entries() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.entries)
}

// Append implements log.Storage.
func (m *Mem) Append(_ context.Context, entries [][]byte) ([]int64, error) {
	var failed error
	if m.OnAppend != nil {
		entries, failed = m.OnAppend(entries)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var indices []int64
	for _, e := range entries {
		indices = append(indices, int64(len(m.entries)))
		m.entries = append(m.entries, slices.Clone(e))
	}
	if failed != nil {
		return nil, failed
	}
	return indices, nil
}

// Integrated implements log.Storage.
func (m *Mem) Integrated(ctx context.Context) (proofs.Tree, error) {
	if err := ctx.Err(); err != nil {
		return proofs.Tree{}, err
	}
	var edge proofs.Edge
	for _, e := range m.Entries() {
		if err := edge.Append(proofs.LeafHash(e)); err != nil {
			return proofs.Tree{}, err
		}
	}
	if m.OnIntegrated != nil {
		return m.OnIntegrated(edge.Tree())
	}
	return edge.Tree(), nil
}

// ReadTile implements log.Storage.
func (m *Mem) ReadTile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	entries := m.Entries()
	if id := (proofs.TileID{Level: level, Index: index, Width: width}); !id.In(int64(len(entries))) {
		return nil, fmt.Errorf("%s: %w", id.Path(), fs.ErrNotExist)
	}
	leaves := int64(1) << (proofs.TileHeight * level) // below each hash
	first := index * proofs.FullWidth * leaves
	var tile []byte
	for i := range int64(width) {
		h := subtree(entries[first+i*leaves:][:leaves])
		tile = append(tile, h[:]...)
	}
	return tile, nil
}

func subtree(entries [][]byte) tlog.Hash {
	if len(entries) == 1 {
		return tlog.RecordHash(entries[0])
	}
	half := len(entries) / 2
	return tlog.NodeHash(subtree(entries[:half]), subtree(entries[half:]))
}

// ReadEntries implements log.Storage.
func (m *Mem) ReadEntries(_ context.Context, index int64, width int) ([]byte, error) {
	entries := m.Entries()
	if id := (proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: width}); !id.In(int64(len(entries))) {
		return nil, fmt.Errorf("%s: %w", id.Path(), fs.ErrNotExist)
	}
	first := int(index) * proofs.FullWidth
	var bundle []byte
	for _, e := range entries[first:][:width] {
		var err error
		if bundle, err = proofs.AppendEntry(bundle, e); err != nil {
			return nil, err
		}
	}
	return bundle, nil
}

// Close implements log.Storage.
func (m *Mem) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = false
	return nil
}
