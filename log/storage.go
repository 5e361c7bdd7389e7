package log

import (
	"context"
	"fmt"

	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
)

// Storage is the sequenced log below publication: it keeps entries, bundles and
// tiles, and knows nothing of signatures. The publisher believes it only what
// it has read back and hashed itself. A test suite is in log/storagetest.
type Storage interface {
	// Append adds entries (1 to 65,535 bytes each) durably and integrates
	// them, and returns the index of each. Entries of one call may land in any
	// order. An error means that it is unknown which of them are in the log:
	// ask Integrated and read again.
	Append(ctx context.Context, entries [][]byte) ([]int64, error)

	// Integrated returns the tree that the tiles hold. It accounts for every
	// Append that began before it was called, if need be by waiting until the
	// outcome of one that failed is known.
	Integrated(ctx context.Context) (proofs.Tree, error)

	// ReadTile is proofs.TileReader: a tile of hashes within the tree that
	// Integrated last returned; fs.ErrNotExist otherwise. A partial tile that
	// is gone is cut from a wider one.
	ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error)

	// ReadEntries returns the bundle of the first width entries at index, on
	// the same terms.
	ReadEntries(ctx context.Context, index int64, width int) ([]byte, error)

	// Close waits for an Append that is under way and releases the storage.
	Close() error
}

// ErrLocked means that another process has the directory open; the error that wraps
// it names the process.
var ErrLocked = lockfile.ErrHeld

// TreeFromTiles computes the root of the tree of the given size from its tiles,
// as a client without any state would: from the hashes of the largest full
// subtrees.
func TreeFromTiles(ctx context.Context, size int64, tiles proofs.TileReader) (proofs.Tree, error) {
	front, err := proofs.ReadFrontier(ctx, size, tiles)
	if err != nil {
		return proofs.Tree{}, err
	}
	return front.Tree(), nil
}

// Entry is an entry of the log at its index.
type Entry struct {
	Index int64
	Data  []byte
}

// ReadBundle returns the entries of a bundle that a tree of the given size has.
func ReadBundle(ctx context.Context, s Storage, index, size int64) ([][]byte, error) {
	width := proofs.TileWidth(size, 0, index)
	b, err := s.ReadEntries(ctx, index, width)
	if err != nil {
		return nil, err
	}
	entries, err := proofs.ParseEntries(b)
	if err != nil {
		return nil, err
	}
	if len(entries) != width {
		return nil, fmt.Errorf("%s has %d entries", proofs.EntriesPath(index, width), len(entries))
	}
	return entries, nil
}

// EndsIn reports whether the last entry of a tree in storage is a log's end. It is a
// *Halt if what storage has is not what the tree has.
func EndsIn(ctx context.Context, tree proofs.Tree, s Storage) (bool, error) {
	if tree.N == 0 {
		return false, nil
	}
	last := tree.N - 1
	bundle, err := ReadBundle(ctx, s, last/proofs.FullWidth, tree.N)
	if err != nil {
		return false, fmt.Errorf("read the last entry: %w", err)
	}
	entry := bundle[last%proofs.FullWidth]
	tiles := &Noted{Tiles: s}
	proof, err := proofs.InclusionProof(ctx, tree, last, tiles)
	if err == nil {
		err = proofs.VerifyInclusion(tree, last, proofs.LeafHash(entry), proof)
	}
	if err != nil && tiles.Err != nil {
		return false, fmt.Errorf("read the last entry: %w", err)
	}
	if err != nil {
		return false, &Halt{
			Code: HaltStorageDamaged,
			What: fmt.Sprintf("the last entry of the tree of size %d, entry %d, is not the one that the tree has: %v", tree.N, last, err),
			Do:   "Storage is damaged or was changed: restore it from a backup that holds all signed entries",
		}
	}
	return leaf.IsEnd(entry), nil
}
