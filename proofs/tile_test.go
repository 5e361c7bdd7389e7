package proofs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func TestTilePath(t *testing.T) {
	for path, want := range map[string]TileID{
		"tile/0/000":                                      {0, 0, 256},
		"tile/0/999":                                      {0, 999, 256},
		"tile/0/x001/000":                                 {0, 1000, 256},
		"tile/0/x001/x234/067":                            {0, 1234067, 256},
		"tile/0/x001/067.p/5":                             {0, 1067, 5},
		"tile/0/x001/067.p/255":                           {0, 1067, 255},
		"tile/7/000.p/127":                                {7, 0, 127},
		"tile/6/127.p/255":                                {6, 127, 255},
		"tile/entries/000":                                {-1, 0, 256},
		"tile/entries/x001/x234/067":                      {-1, 1234067, 256},
		"tile/entries/x001/x234/067.p/1":                  {-1, 1234067, 1},
		"tile/0/x036/x028/x797/x018/x963/967.p/255":       {0, 1<<55 - 1, 255},
		"tile/entries/x036/x028/x797/x018/x963/967.p/255": {-1, 1<<55 - 1, 255},
		"tile/0/x036/x028/x797/x018/x963/966":             {0, 1<<55 - 2, 256},
	} {
		got, err := ParseTilePath(path)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", path, got, err, want)
		}
		if want.Path() != path {
			t.Errorf("%v: got %s, want %s", want, want.Path(), path)
		}
		if want.Level < 0 {
			if p := EntriesPath(want.Index, want.Width); p != path {
				t.Errorf("EntriesPath: got %s, want %s", p, path)
			}
			path = strings.Replace(path, "entries", "data", 1)
		}
		x := tlog.Tile{H: 8, L: want.Level, N: want.Index, W: want.Width}
		if p := strings.Replace(x.Path(), "tile/8/", "tile/", 1); p != path {
			t.Errorf("x/mod has %s for %s", p, path)
		}
	}
}

func TestParseTilePathRefuses(t *testing.T) {
	for path, sub := range map[string]string{
		"":                                    "not of the form",
		"tile":                                "not of the form",
		"tile/0":                              "not of the form",
		"tile/0/":                             "index element",
		"/tile/0/000":                         "not of the form",
		"Tile/0/000":                          "not of the form",
		"tile/0/000/":                         "index element",
		"tile/0/000\n":                        "index element",
		"tile/0//000":                         "index element",
		"tile/00/000":                         "plain decimal",
		"tile/01/000":                         "plain decimal",
		"tile/-1/000":                         "plain decimal",
		"tile/+1/000":                         "plain decimal",
		"tile/data/000":                       "plain decimal",
		"tile/x/000":                          "plain decimal",
		"tile/8/000.p/1":                      "no tree is that high",
		"tile/64/000":                         "no tree is that high",
		"tile/0/0":                            "index element",
		"tile/0/00":                           "index element",
		"tile/0/0000":                         "index element",
		"tile/0/-01":                          "index element",
		"tile/0/+01":                          "index element",
		"tile/0/0x1":                          "index element",
		"tile/0/xx01":                         "index element",
		"tile/0/x001":                         `should be "tile/0/001"`,
		"tile/0/001/234":                      `should be "tile/0/x001/234"`,
		"tile/0/x000/001":                     `should be "tile/0/001"`,
		"tile/0/x001/x234":                    "should be",
		"tile/0/X001/234":                     "index element",
		"tile/0/000.p":                        "index element",
		"tile/0/000.p/":                       "width",
		"tile/0/000.p/0":                      "width 0",
		"tile/0/000.p/01":                     "width",
		"tile/0/000.p/+1":                     "width",
		"tile/0/000.p/256":                    "width 256",
		"tile/0/000.p/257":                    "width 257",
		"tile/0/000.p/1/":                     "width",
		"tile/0/000.p/1.p/1":                  "width",
		"tile/0/x001.p/1/000":                 "width",
		"tile/0/../000":                       "index element",
		"tile/entries/-1":                     "index element",
		"tile/7/000":                          "too large for any tree",
		"tile/7/000.p/128":                    "too large for any tree",
		"tile/7/001.p/1":                      "too large for any tree",
		"tile/6/128.p/1":                      "too large for any tree",
		"tile/0/x036/x028/x797/x018/x963/967": "too large for any tree",
		"tile/0/x036/x028/x797/x018/x963/968.p/1":           "too large for any tree",
		"tile/entries/x036/x028/x797/x018/x963/967":         "too large for any tree",
		"tile/0/x009/x223/x372/x036/x854/x775/807":          "too large",
		"tile/0/x018/x446/x744/x073/x709/x551/616":          "too large",
		"tile/0/" + strings.Repeat("x999/", 10_000) + "000": "too large",
		"tile/0/" + strings.Repeat("x000/", 10_000) + "000": "should be",
	} {
		_, err := ParseTilePath(path)
		wantError(t, err, sub)
	}
}

func TestEntries(t *testing.T) {
	full := bytes.Repeat([]byte{0, 1, 'x'}, 256)
	for name, tt := range map[string]struct {
		entries []string
		bundle  []byte
	}{
		"none":    {nil, nil},
		"one":     {[]string{"ab"}, []byte("\x00\x02ab")},
		"empty":   {[]string{"", ""}, []byte("\x00\x00\x00\x00")},
		"full":    {strings.Split(strings.Repeat("x", 256), ""), full},
		"longest": {[]string{strings.Repeat("x", 65535), "y"}, []byte("\xff\xff" + strings.Repeat("x", 65535) + "\x00\x01y")},
	} {
		t.Run(name, func(t *testing.T) {
			var bundle []byte
			var err error
			for _, e := range tt.entries {
				if bundle, err = AppendEntry(bundle, []byte(e)); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(bundle, tt.bundle) {
				t.Errorf("bundle %q", bundle)
			}
			entries, err := ParseEntries(tt.bundle)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range entries {
				got = append(got, string(e))
			}
			if !reflect.DeepEqual(got, tt.entries) {
				t.Errorf("entries %q", got)
			}
		})
	}
	for _, b := range []string{"\x00", "\x00\x01", "\x00\x02a", "\x00\x00\x00", "\xff\xff" + strings.Repeat("x", 65534)} {
		_, err := ParseEntries([]byte(b))
		wantError(t, err, "cut short")
	}
	_, err := ParseEntries(append(full, 0, 0))
	wantError(t, err, "more than 256 entries")
	_, err = AppendEntry(nil, make([]byte, math.MaxUint16+1))
	wantError(t, err, "more than 65535")
}

// Growing one entry must not run over the next.
func TestEntriesDoNotOverlap(t *testing.T) {
	bundle := []byte("\x00\x01a\x00\x01b")
	entries, err := ParseEntries(bundle)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(entries[0], "zzz"...)
	if string(bundle) != "\x00\x01a\x00\x01b" {
		t.Errorf("bundle became %q", bundle)
	}
}

func TestTileIn(t *testing.T) {
	for _, c := range []struct {
		id   TileID
		size int64
		want bool
	}{
		{TileID{EntriesLevel, 0, 1}, 0, false},
		{TileID{EntriesLevel, 0, 1}, 1, true},
		{TileID{EntriesLevel, 1, 44}, 300, true},
		{TileID{EntriesLevel, 1, 45}, 300, false},
		{TileID{0, 0, 256}, 300, true},
		{TileID{0, 0, 257}, 3000, false},
		{TileID{0, 0, 0}, 300, false},
		{TileID{0, 0, -1}, 300, false},
		{TileID{0, -1, 1}, 300, false},
		{TileID{1, 0, 1}, 255, false},
		{TileID{1, 0, 1}, 300, true},
		{TileID{8, 0, 1}, math.MaxInt64, false},
		{TileID{-2, 0, 1}, 300, false},
		{TileID{7, 0, 127}, math.MaxInt64, true},
	} {
		if got := c.id.In(c.size); got != c.want {
			t.Errorf("%+v in a tree of size %d: %v", c.id, c.size, got)
		}
	}
}

// The part of a tile is what the tile was when it was that wide, wherever the whole
// comes from; and what is not a tile is not cut.
func TestTileCut(t *testing.T) {
	errGone := errors.New("gone")
	for _, level := range []int{EntriesLevel, 0, 3} {
		parts := [][]byte{nil}
		for i := range FullWidth {
			part := bytes.Clone(parts[i])
			if level == EntriesLevel {
				part, _ = AppendEntry(part, make([]byte, i%3))
			} else {
				h := LeafHash(testEntry(i))
				part = append(part, h[:]...)
			}
			parts = append(parts, part)
		}
		for _, width := range []int{1, 2, 100, 255, 256} {
			id := TileID{level, 7, width}
			for _, have := range []int{0, width - 1, width, 255, 256} {
				got, err := id.Cut(parts[have])
				if have < width && !errors.Is(err, fs.ErrNotExist) || have >= width && (err != nil || !bytes.Equal(got, parts[width])) {
					t.Errorf("%s of one of width %d: %d bytes, %v", id.Path(), have, len(got), err)
				}
			}
			if got, err := id.Cut(append(bytes.Clone(parts[256]), 0)); err == nil || errors.Is(err, fs.ErrNotExist) || got != nil {
				t.Errorf("%s of a byte too many: %v", id.Path(), err)
			}
			if got, err := id.Cut(append(bytes.Clone(parts[256]), make([]byte, 32)...)); err == nil || errors.Is(err, fs.ErrNotExist) || got != nil {
				t.Errorf("%s of too wide a tile: %v", id.Path(), err)
			}
			for _, kept := range []int{width, 256} {
				got, err := id.Read(errGone, func(asked TileID) ([]byte, error) {
					if asked.Level != level || asked.Index != 7 || asked.Width != kept {
						return nil, fmt.Errorf("%s: %w", asked.Path(), errGone)
					}
					return parts[kept], nil
				})
				if err != nil || !bytes.Equal(got, parts[width]) {
					t.Errorf("%s, where width %d is kept: %d bytes, %v", id.Path(), kept, len(got), err)
				}
			}
		}
		id := TileID{level, 7, 5}
		for _, bad := range []int{-1, 0, 257} {
			if _, err := (TileID{level, 7, bad}).Cut(parts[256]); err == nil {
				t.Errorf("cut to width %d", bad)
			}
		}
		// Errors: of the tile itself, of the full one, and what is not a tile.
		errBusy := errors.New("busy")
		if _, err := id.Read(errGone, func(TileID) ([]byte, error) { return nil, errBusy }); !errors.Is(err, errBusy) {
			t.Errorf("a busy log: %v", err)
		}
		if _, err := id.Read(errGone, func(TileID) ([]byte, error) { return nil, errGone }); !errors.Is(err, errGone) {
			t.Errorf("neither is there: %v", err)
		}
		got, err := id.Read(errGone, func(asked TileID) ([]byte, error) {
			if asked.Width < FullWidth {
				return nil, errGone
			}
			return parts[3][:len(parts[3])-1], nil
		})
		if err != nil || !bytes.Equal(got, parts[3][:len(parts[3])-1]) {
			t.Errorf("what cannot be cut: %x, %v", got, err)
		}
	}
}
