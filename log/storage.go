package log

import (
	"context"

	"github.com/tuflog/tuflog/internal/lockfile"
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
