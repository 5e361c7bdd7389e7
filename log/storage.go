package log

import (
	"context"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

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
	ReadTile(level int, index int64, width int) ([]byte, error)

	// ReadEntries returns the bundle of the first width entries at index, on
	// the same terms.
	ReadEntries(index int64, width int) ([]byte, error)

	// Close waits for an Append that is under way and releases the storage.
	Close() error
}

// entriesPerBundle is how many entries a full bundle holds, and hashes a full
// tile (c2sp.org/tlog-tiles).
const entriesPerBundle = 256

// TreeFromTiles computes the root of the tree of the given size from its tiles,
// as a client without any state would: from the hashes of the largest full
// subtrees.
func TreeFromTiles(size int64, tiles proofs.TileReader) (proofs.Tree, error) {
	edge, err := EdgeFromTiles(size, tiles)
	if err != nil {
		return proofs.Tree{}, err
	}
	return edge.Tree(), nil
}

// subtree is the n-th full subtree of a height.
type subtree struct {
	height int
	n      int64
}

// subtrees returns the largest full subtrees of a tree, from the left.
func subtrees(size int64) []subtree {
	var list []subtree
	for start, rest := int64(0), size; rest > 0; {
		height := bits.Len64(uint64(rest)) - 1
		list = append(list, subtree{height, start >> height})
		start += 1 << height
		rest -= 1 << height
	}
	return list
}

// subtreeHash returns the hash of the n-th full subtree of a height, from the
// tile that holds its descendants.
func subtreeHash(size int64, height int, n int64, tiles proofs.TileReader) (proofs.Hash, error) {
	level, above := height/8, height%8
	first := n << above
	index, offset := first/entriesPerBundle, int(first%entriesPerBundle)
	width := widthAt(size, level, index)
	tile, err := tiles.ReadTile(level, index, width)
	if err != nil {
		return proofs.Hash{}, err
	}
	if len(tile) != width*tlog.HashSize || offset+1<<above > width {
		return proofs.Hash{}, fmt.Errorf("%s has %d bytes", proofs.TilePath(level, index, width), len(tile))
	}
	hashes := make([]proofs.Hash, 1<<above)
	for i := range hashes {
		copy(hashes[i][:], tile[(offset+i)*tlog.HashSize:])
	}
	for len(hashes) > 1 {
		for i := range len(hashes) / 2 {
			hashes[i] = tlog.NodeHash(hashes[2*i], hashes[2*i+1])
		}
		hashes = hashes[:len(hashes)/2]
	}
	return hashes[0], nil
}

// widthAt returns how wide the tile is in a tree of the given size; 0 or less
// means that the tree has no such tile.
func widthAt(size int64, level int, index int64) int {
	return int(max(0, min(entriesPerBundle, size>>(8*level)-index*entriesPerBundle)))
}
