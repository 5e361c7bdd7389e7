package log

import (
	"context"
	"fmt"

	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
)

// Storage is the sequenced log below publication: it keeps entries, bundles and
// tiles, and does not handle signatures. The publisher trusts only entries that
// it has read back and hashed itself. A test suite is in log/storagetest.
type Storage interface {
	// Append adds entries (1 to 65,535 bytes each) durably and integrates them,
	// and returns the index of each. Entries of one call may be sequenced in
	// any order. After an error it is unknown which of them are in the log:
	// call Integrated and read again.
	Append(ctx context.Context, entries [][]byte) ([]int64, error)

	// Integrated returns the tree that the tiles hold. It accounts for every
	// Append that began before the call; if necessary it waits until the
	// outcome of a failed one is known.
	Integrated(ctx context.Context) (proofs.Tree, error)

	// ReadTile implements proofs.TileReader: it returns a tile of hashes within
	// the tree that Integrated last returned; otherwise the error is
	// fs.ErrNotExist. A partial tile that was deleted is cut from a wider one.
	ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error)

	// ReadEntries returns the first width entries of the bundle at index, on
	// the same terms.
	ReadEntries(ctx context.Context, index int64, width int) ([]byte, error)

	// Close waits for a running Append and releases the storage.
	Close() error
}

// ErrLocked means that another process has the directory open. The error that wraps
// it names the process.
var ErrLocked = lockfile.ErrHeld

// TreeFromTiles computes the root of the tree of the given size from its tiles,
// as a client without state does: from the hashes of the largest full subtrees.
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

// ReadBundle returns the entries of a bundle in a tree of the given size.
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

// EndsIn reports whether the last entry of a tree in storage is a log's end. The
// error is a *Halt if the entry in storage is not the one in the tree.
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
