package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

// tiles of a frontier as bytes: a level, a length, the hashes.
func packTiles(f *proofs.Frontier) (b []byte) {
	for _, tile := range f.Partial() {
		b = append(b, byte(tile.Level))
		b = binary.BigEndian.AppendUint16(b, uint16(len(tile.Hashes)))
		b = append(b, tile.Hashes...)
	}
	return b
}

func unpackTiles(b []byte) map[int][]byte {
	tiles := map[int][]byte{}
	for len(b) >= 3 {
		n := int(binary.BigEndian.Uint16(b[1:]))
		if n > len(b)-3 {
			break
		}
		tiles[int(b[0])] = b[3 : 3+n]
		b = b[3+n:]
	}
	return tiles
}

func frontier(t testing.TB, leaves int) (*proofs.Frontier, string) {
	t.Helper()
	f := new(proofs.Frontier)
	for i := range leaves {
		if _, err := f.Append(proofs.LeafHash([]byte{byte(i)})); err != nil {
			t.Fatal(err)
		}
	}
	text, err := f.Edge().MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return f, string(text)
}

// An edge and its tiles are read only if they give the same tree.
func TestParseTree(t *testing.T) {
	for _, leaves := range []int{0, 1, 255, 256, 600} {
		f, text := frontier(t, leaves)
		tiles := packTiles(f)
		got, err := parseTree(t.Context(), text, unpackTiles(tiles))
		if err != nil || got.Tree() != f.Tree() {
			t.Fatalf("%d leaves: %v", leaves, err)
		}
		for i := range tiles {
			spoilt := bytes.Clone(tiles)
			spoilt[i] ^= 1
			if _, err := parseTree(t.Context(), text, unpackTiles(spoilt)); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%d leaves: a bit at %d goes unseen: %v", leaves, i, err)
			}
		}
		_, other := frontier(t, leaves+1)
		if _, err := parseTree(t.Context(), other, unpackTiles(tiles)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d leaves: the edge of another tree: %v", leaves, err)
		}
	}
}

func FuzzTree(f *testing.F) {
	for _, leaves := range []int{0, 1, 300} {
		tree, text := frontier(f, leaves)
		f.Add(text, packTiles(tree))
	}
	f.Fuzz(func(t *testing.T, text string, packed []byte) {
		tiles := unpackTiles(packed)
		tree, err := parseTree(t.Context(), text, tiles)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		again, err := tree.Edge().MarshalText()
		if err != nil || text != "" && string(again) != text {
			t.Fatalf("%q is printed as %q, %v", text, again, err)
		}
		for _, tile := range tree.Partial() {
			if !bytes.Equal(tile.Hashes, tiles[tile.Level]) {
				t.Fatalf("the tile of level %d changes", tile.Level)
			}
		}
	})
}

func FuzzNote(f *testing.F) {
	f.Add([]byte("log.test\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— log.test AAAAAAA=\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, size, err := parseNote(b); err == nil && size < 0 {
			t.Fatalf("a tree of size %d", size)
		}
	})
}

// After has one spelling.
func FuzzPage(f *testing.F) {
	f.Add("1.2")
	f.Add(nextAfter("a/b", 3, 4))
	f.Add("QQ.0.00")
	f.Fuzz(func(t *testing.T, after string) {
		p := Page{After: after}
		if numbers, err := p.numbers(2); err == nil && numbers != nil && nextOf(numbers...) != after {
			t.Errorf("%q is %v", after, numbers)
		}
		if text, numbers, ok, err := p.text(2); err == nil && ok && nextAfter(text, numbers...) != after {
			t.Errorf("%q is %q and %v", after, text, numbers)
		}
	})
}
