package pack

import (
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Path returns the path of a bundle's pack below the log's prefix, without a leading
// slash: "tile/files/x001/067.p/5" beside "tile/entries/x001/067.p/5". The level of the
// bundle is not looked at.
func Path(bundle proofs.TileID) string {
	return prefix + strings.TrimPrefix(proofs.EntriesPath(bundle.Index, bundle.Width), entriesPrefix)
}

const (
	prefix        = "tile/files/"
	entriesPrefix = "tile/entries/"
)

// ParsePath reads the path of a pack, in the spelling of Path, and returns the bundle
// that it belongs to.
func ParsePath(path string) (proofs.TileID, error) {
	rest, ok := strings.CutPrefix(path, prefix)
	if !ok {
		return proofs.TileID{}, fmt.Errorf("pack path %q: not of the form %sINDEX", tuf.Clip(path), prefix)
	}
	bundle, err := proofs.ParseTilePath(entriesPrefix + rest)
	if err != nil {
		return proofs.TileID{}, fmt.Errorf("pack path %q: %w", tuf.Clip(path), err)
	}
	return bundle, nil
}
