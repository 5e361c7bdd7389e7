package mirror

import (
	"strings"

	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Served reports whether a path, without a slash first, is one that a log serves to everyone:
// the checkpoint, a tile, a bundle of entries, a pack of files or a file, in the one spelling
// that each has. No other file of a copy's directory is for strangers. final reports whether
// what is there never changes: everything but the checkpoint, and packs, which lack files
// that were missing when they were made.
func Served(path string) (final, ok bool) {
	if path == "checkpoint" {
		return false, true
	}
	if hex, is := strings.CutPrefix(path, "blob/sha256/"); is {
		sum, err := tuf.ParseDigest(hex)
		ok = err == nil && sum.String() == hex
		return ok, ok
	}
	if _, err := pack.ParsePath(path); err == nil {
		return false, true
	}
	_, err := proofs.ParseTilePath(path)
	return err == nil, err == nil
}
