package audit

import (
	"context"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// wantedTile is a tile that the log must serve: its id and the digest of its
// bytes.
type wantedTile struct {
	id  proofs.TileID
	sum tuf.Digest

	wrong bool // it was served, and not as it must be
}

// mismatch says that the tile is served wrong, the same each time.
func (w *wantedTile) mismatch() *Finding {
	f := newFinding(TileMismatch, "%s does not hold the hashes of the entries that the log signed", w.id.Path())
	f.Index = w.id.Index << (proofs.TileHeight * (w.id.Level + 1))
	return &f
}

func wanted(tiles []proofs.Tile) []wantedTile {
	var list []wantedTile
	for _, tile := range tiles {
		list = append(list, wantedTile{id: tile.TileID, sum: tuf.Sum(tile.Hashes)})
	}
	return list
}

// tileReader is a proofs.TileReader.
type tileReader struct{ a *Auditor }

func (r tileReader) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return r.a.cfg.Source.Tile(ctx, level, index, width)
}
