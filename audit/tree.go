package audit

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// growing is a tree that leaves are appended to: its right edge, and the
// unfinished tile of each level, from which the tiles that the log serves are
// predicted.
type growing struct {
	size   int64
	edge   *proofs.Edge
	levels [][]proofs.Hash // at most 255 hashes each
}

// wantedTile is a tile that the log must serve: its id and the digest of its
// bytes.
type wantedTile struct {
	id  proofs.TileID
	sum verify.Digest
}

func newGrowing() *growing { return &growing{edge: new(proofs.Edge)} }

func (g *growing) clone() *growing {
	c := &growing{size: g.size, edge: g.edge.Clone(), levels: make([][]proofs.Hash, len(g.levels))}
	for i, hashes := range g.levels {
		c.levels[i] = slices.Clone(hashes)
	}
	return c
}

// append adds a leaf and returns the tiles that it completed, at most one per
// level.
func (g *growing) append(leaf proofs.Hash) ([]wantedTile, error) {
	if err := g.edge.Append(leaf); err != nil {
		return nil, err
	}
	g.size++
	var full []wantedTile
	hash := leaf
	for level := 0; ; level++ {
		if level == len(g.levels) {
			g.levels = append(g.levels, nil)
		}
		g.levels[level] = append(g.levels[level], hash)
		if len(g.levels[level]) < tileWidth {
			return full, nil
		}
		index := g.size>>(8*(level+1)) - 1
		full = append(full, wantedTile{proofs.TileID{Level: level, Index: index, Width: tileWidth}, sumHashes(g.levels[level])})
		hash = perfectRoot(g.levels[level])
		g.levels[level] = g.levels[level][:0]
	}
}

// partial returns the unfinished tiles.
func (g *growing) partial() []wantedTile {
	var tiles []wantedTile
	for level, hashes := range g.levels {
		if len(hashes) > 0 {
			id := proofs.TileID{Level: level, Index: g.size >> (8 * (level + 1)), Width: len(hashes)}
			tiles = append(tiles, wantedTile{id, sumHashes(hashes)})
		}
	}
	return tiles
}

func sumHashes(hashes []proofs.Hash) verify.Digest {
	b := make([]byte, 0, len(hashes)*len(proofs.Hash{}))
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return verify.Sum(b)
}

// perfectRoot hashes a power of two of nodes to their root.
func perfectRoot(hashes []proofs.Hash) proofs.Hash {
	nodes := slices.Clone(hashes)
	for len(nodes) > 1 {
		for i := 0; i < len(nodes); i += 2 {
			nodes[i/2] = tlog.NodeHash(nodes[i], nodes[i+1])
		}
		nodes = nodes[:len(nodes)/2]
	}
	return nodes[0]
}

// tileReader reads tiles for x/mod, which authenticates them against a tree.
type tileReader struct{ a *Auditor }

// ReadTile implements proofs.TileReader.
func (r tileReader) ReadTile(level int, index int64, width int) ([]byte, error) {
	return r.a.cfg.Source.Tile(r.a.ctx, level, index, width)
}

// Height, ReadTiles and SaveTiles implement tlog.TileReader.
func (tileReader) Height() int { return 8 }

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, t := range tiles {
		var err error
		if data[i], err = r.ReadTile(t.L, t.N, t.W); err != nil {
			return nil, err
		}
		if len(data[i]) != t.W*tlog.HashSize {
			return nil, fmt.Errorf("%s: %d bytes, want %d", proofs.TilePath(t.L, t.N, t.W), len(data[i]), t.W*tlog.HashSize)
		}
	}
	return data, nil
}

func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

// provable refuses trees so large that x/mod's numbering of hashes overflows; a
// log can sign any size.
func provable(tree proofs.Tree) error {
	if tree.N >= 1<<62 {
		return fmt.Errorf("no tiles are read for a tree of size %d", tree.N)
	}
	return nil
}

// leafHashes returns the hashes of n leaves from start, proved to be in the
// tree.
func (a *Auditor) leafHashes(tree proofs.Tree, start int64, n int) ([]proofs.Hash, error) {
	if err := provable(tree); err != nil {
		return nil, err
	}
	indexes := make([]int64, n)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, start+int64(i))
	}
	return tlog.TileHashReader(tree, tileReader{a}).ReadHashes(indexes)
}

// prefix returns the first n leaves of the tree as a tree, and the proof that
// the tree begins with it.
func (a *Auditor) prefix(tree proofs.Tree, n int64) (proofs.Tree, []proofs.Hash, error) {
	if err := provable(tree); err != nil {
		return proofs.Tree{}, nil, err
	}
	if n == 0 {
		return proofs.EmptyTree, nil, nil
	}
	root, err := tlog.TreeHash(n, tlog.TileHashReader(tree, tileReader{a}))
	if err != nil {
		return proofs.Tree{}, nil, err
	}
	older := proofs.Tree{N: n, Hash: root}
	proof, err := proofs.ConsistencyProof(n, tree, tileReader{a})
	if err != nil {
		return proofs.Tree{}, nil, err
	}
	return older, proof, proofs.VerifyConsistency(older, tree, proof)
}
