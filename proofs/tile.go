package proofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// Limits of c2sp.org/tlog-tiles, and of trees of up to 2^63-1 entries.
const (
	TileHeight   = 8               // levels of the tree in a tile
	FullWidth    = 1 << TileHeight // hashes in a full tile, entries in a full bundle
	MaxTileLevel = 7               // level of the topmost tile of the largest tree
	EntriesLevel = -1              // stands for the level of bundles of entries
	MaxEntrySize = math.MaxUint16  // bytes; bundles count in two bytes
)

// A TileID identifies a tile: Width hashes at a level, or Width entries.
type TileID struct {
	Level int   // 0 to MaxTileLevel, or EntriesLevel for a bundle of entries
	Index int64 // within the level
	Width int   // 1 to 256; less than 256 is a partial tile
}

// Path returns the tile's path below the log's prefix, without a leading
// slash.
func (t TileID) Path() string {
	if t.Level == EntriesLevel {
		return "tile/entries/" + indexPath(t.Index, t.Width)
	}
	return fmt.Sprintf("tile/%d/%s", t.Level, indexPath(t.Index, t.Width))
}

// In reports whether a tree of that size has the tile, as wide as t or wider.
func (t TileID) In(size int64) bool {
	return t.Width > 0 && t.Width <= TileWidth(size, t.Level, t.Index)
}

// Cut returns the part as wide as t of a tile or bundle in the same place. The
// error is fs.ErrNotExist if that is narrower.
func (t TileID) Cut(data []byte) ([]byte, error) {
	if t.Width < 1 || t.Width > FullWidth {
		return nil, fmt.Errorf("no tile has width %d", t.Width)
	}
	have, end := len(data)/tlog.HashSize, t.Width*tlog.HashSize
	if t.Level == EntriesLevel {
		entries, err := ParseEntries(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Path(), err)
		}
		have, end = len(entries), 0
		for _, e := range entries[:min(have, t.Width)] {
			end += 2 + len(e)
		}
	} else if len(data)%tlog.HashSize != 0 || have > FullWidth {
		return nil, fmt.Errorf("%s: no tile has %d bytes", t.Path(), len(data))
	}
	if have < t.Width {
		return nil, fmt.Errorf("%s: %w: there are %d", t.Path(), fs.ErrNotExist, have)
	}
	return data[:end], nil
}

// Read reads the tile by get, which returns an error that wraps missing if the
// tile does not exist. A log may drop a partial tile once the full one exists:
// Read then cuts the part from the full tile. Data that cannot be cut is
// returned unchanged.
func (t TileID) Read(missing error, get func(TileID) ([]byte, error)) ([]byte, error) {
	data, err := get(t)
	if t.Width == FullWidth || !errors.Is(err, missing) {
		return data, err
	}
	full := t
	full.Width = FullWidth
	if data, err = get(full); err != nil {
		return nil, err
	}
	if part, err := t.Cut(data); err == nil {
		return part, nil
	}
	return data, nil
}

// TileWidth returns how many hashes the tile of that level and index has in a
// tree of that size, or how many entries the bundle has (at EntriesLevel):
// FullWidth, fewer for the last one, and 0 if the tree has no such tile.
func TileWidth(size int64, level int, index int64) int {
	if size < 0 || index < 0 || level < EntriesLevel || level > MaxTileLevel {
		return 0
	}
	have := size >> (TileHeight * max(level, 0)) // at this level
	if index > have/FullWidth {
		return 0
	}
	return int(min(have-index*FullWidth, FullWidth))
}

// EntriesPath returns the path of a bundle of entries, such as
// "tile/entries/x001/067.p/5"; a width of 256 is a full bundle.
func EntriesPath(index int64, width int) string {
	return TileID{EntriesLevel, index, width}.Path()
}

func indexPath(n int64, width int) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	if width != FullWidth {
		s += fmt.Sprintf(".p/%d", width)
	}
	return s
}

// ParseTilePath reads the path of a tile or of a bundle of entries. Tiles that
// no tree of up to 2^63-1 entries has are refused, so that every hash and entry
// in an accepted tile can be counted in int64.
func ParseTilePath(path string) (TileID, error) {
	t, err := parseTilePath(path)
	if err != nil {
		return TileID{}, fmt.Errorf("tile path %s: %w", strict.Quote(path), err)
	}
	return t, nil
}

func parseTilePath(path string) (TileID, error) {
	t := TileID{Width: FullWidth}
	rest, ok := strings.CutPrefix(path, "tile/")
	level, rest, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return TileID{}, errors.New("not of the form tile/LEVEL/INDEX")
	}
	below := 0 // levels of tiles below this one
	if level == "entries" {
		t.Level = EntriesLevel
	} else {
		l, err := ParseDecimal(level)
		if err != nil {
			return TileID{}, fmt.Errorf("level %w", err)
		}
		if l > MaxTileLevel {
			return TileID{}, fmt.Errorf("level %d: no tree is that high", l)
		}
		t.Level, below = int(l), int(l)
	}
	index, width, partial := strings.Cut(rest, ".p/")
	if partial {
		w, err := ParseDecimal(width)
		if err != nil {
			return TileID{}, fmt.Errorf("width %w", err)
		}
		if w < 1 || w >= FullWidth {
			return TileID{}, fmt.Errorf("width %d of a partial tile", w)
		}
		t.Width = int(w)
	}
	for elem := range strings.SplitSeq(index, "/") {
		digits := strings.TrimPrefix(elem, "x")
		if len(digits) != 3 || strings.Trim(digits, "0123456789") != "" {
			return TileID{}, fmt.Errorf("index element %q", elem)
		}
		if t.Index > math.MaxInt64/1000-1 {
			return TileID{}, errors.New("index too large")
		}
		t.Index = t.Index*1000 + int64(digits[0]-'0')*100 + int64(digits[1]-'0')*10 + int64(digits[2]-'0')
	}
	hashes := int64(math.MaxInt64) >> (TileHeight * below) // at this level in the largest tree
	if t.Index > hashes/FullWidth || int64(t.Width) > hashes-t.Index*FullWidth {
		return TileID{}, errors.New("index too large for any tree")
	}
	// Comparing catches the rest: x in wrong places, leading zero elements.
	if t.Path() != path {
		return TileID{}, fmt.Errorf("should be %q", t.Path())
	}
	return t, nil
}

// ParseEntries splits a bundle into its entries, at most 256. They share the
// bundle's memory. A bundle of no bytes has no entries; the caller compares
// the count with the width that was asked for.
func ParseEntries(bundle []byte) ([][]byte, error) {
	var entries [][]byte
	for rest := bundle; len(rest) > 0; {
		if len(entries) == FullWidth {
			return nil, fmt.Errorf("entry bundle: more than %d entries", FullWidth)
		}
		if len(rest) < 2 {
			return nil, fmt.Errorf("entry bundle: entry %d is cut short", len(entries))
		}
		n := 2 + int(binary.BigEndian.Uint16(rest))
		if len(rest) < n {
			return nil, fmt.Errorf("entry bundle: entry %d is cut short", len(entries))
		}
		entries = append(entries, rest[2:n:n])
		rest = rest[n:]
	}
	return entries, nil
}

// AppendEntry appends an entry of at most 65,535 bytes to a bundle. It does
// not count the entries already there.
func AppendEntry(bundle, entry []byte) ([]byte, error) {
	if len(entry) > MaxEntrySize {
		return nil, fmt.Errorf("entry of %d bytes, more than %d", len(entry), MaxEntrySize)
	}
	bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(entry)))
	return append(bundle, entry...), nil
}
