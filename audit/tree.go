package audit

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// wantedTile is a tile that the log must serve: its id and the digest of its
// bytes.
type wantedTile struct {
	id  proofs.TileID
	sum verify.Digest
}

func wanted(tiles []proofs.Tile) []wantedTile {
	var list []wantedTile
	for _, tile := range tiles {
		list = append(list, wantedTile{tile.TileID, verify.Sum(tile.Hashes)})
	}
	return list
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
