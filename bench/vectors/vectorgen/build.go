package main

import (
	"fmt"
	"slices"
)

// tilesFor lists the tiles of a tree that lie above the given entries, and
// those on its right edge: whatever a proof about them can need.
func tilesFor(t *tree, indices ...uint64) []tile {
	seen := map[string]bool{}
	var tiles []tile
	for level := 0; level < 8; level++ {
		width := t.n >> (8 * level) // hashes at this level
		if width == 0 {
			break
		}
		for _, i := range append(slices.Clone(indices), t.n-1) {
			// The last entry may lie beyond the last complete subtree.
			n := min(i>>(8*level), width-1) / 256
			if path := tilePath(level, n, width-n*256); !seen[path] {
				seen[path] = true
				tiles = append(tiles, tile{path, t.runs(level, n, min(256, width-n*256))})
			}
		}
	}
	return tiles
}

func tilePath(level int, n, width uint64) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	if width < 256 {
		s += fmt.Sprintf(".p/%d", width)
	}
	return fmt.Sprintf("tile/%d/%s", level, s)
}

func (t *tree) runs(level int, n, width uint64) []run {
	var runs []run
	span := uint64(1) << (8 * level)
	for i := n * 256; i < n*256+width; i++ {
		h := t.mth(i*span, (i+1)*span).String()
		if len(runs) > 0 && runs[len(runs)-1].Hash == h {
			runs[len(runs)-1].Times++
		} else {
			runs = append(runs, run{h, 1})
		}
	}
	return runs
}

func (s *suite) build() {
	add := func(name string, m meta, t *tree, tiles []tile, index, oldSize *number, hashes []hash, v verdict) {
		bc := buildCase{meta: m, Size: number(t.n), Root: t.root().String(), Index: index, OldSize: oldSize, Tiles: tiles, verdict: v}
		if v.Valid {
			bc.Result = &buildResult{texts(hashes)}
		}
		s.add("build", name, bc)
	}
	include := func(name string, t *tree, i uint64) {
		index := number(i)
		add(name, about(fmt.Sprintf("The inclusion proof of entry %d in a tree of size %d.", i, t.n), rulePath), t, tilesFor(t, i), &index, nil, t.path(i), valid)
	}
	extend := func(name string, t *tree, m uint64) {
		old := number(m)
		var hashes []hash
		r := ruleSubproof
		switch m {
		case 0:
			r = ruleConZero
		case t.n:
			r = ruleConSame
		default:
			hashes = t.proof(m)
		}
		add(name, about(fmt.Sprintf("The consistency proof from size %d to %d.", m, t.n), r), t, tilesFor(t, max(m, 1)-1, min(m, t.n-1)), nil, &old, hashes, valid)
	}
	small := func(n uint64) *tree {
		return uniform(n, "entry", map[uint64]string{0: "first", n / 2: "middle", n - 1: "last"})
	}
	for _, n := range []uint64{1, 2, 3, 255, 256, 257, 65536, 70000} {
		include(fmt.Sprintf("include-size-%d-index-0", n), small(n), 0)
		if n > 1 {
			include(fmt.Sprintf("include-size-%d-index-%d", n, n-1), small(n), n-1)
		}
	}
	huge := hugeTree()
	for _, i := range []uint64{0, 1<<32 - 1, 1 << 32, 1<<32 + 2} {
		include(fmt.Sprintf("include-size-2-32-plus-3-index-%d", i), huge, i)
	}
	for _, c := range [][2]uint64{{0, 3}, {1, 2}, {3, 3}, {2, 3}, {3, 256}, {255, 257}, {256, 257}, {256, 65536}, {65535, 65536}, {65536, 70000}} {
		extend(fmt.Sprintf("extend-%d-to-%d", c[0], c[1]), small(c[1]), c[0])
	}
	extend("extend-3-to-2-32-plus-3", huge, 3)
	extend("extend-2-32-plus-1-to-2-32-plus-3", huge, 1<<32+1)
	s.badBuild(add)
}

// badBuild gives tiles that are not those of the tree.
func (s *suite) badBuild(add func(string, meta, *tree, []tile, *number, *number, []hash, verdict)) {
	t := uniform(70000, "entry", map[uint64]string{0: "first", 300: "300", 69999: "last"})
	index, old := number(300), number(65000)
	no := refused("tiles")
	forged := t.with(300, "forged")
	change := func(f func(tiles []tile) []tile) []tile { return f(tilesFor(t, 300)) }
	for _, c := range []struct {
		name, desc string
		rule       rule
		tiles      []tile
	}{
		{"tiles-of-another-tree", "The tiles of a tree in which one entry is another.", ruleTileHash, tilesFor(forged, 300)},
		{"tile-of-another-tree", "One tile of level 0 is that of a tree in which one entry is another.", ruleTileHash, change(func(tiles []tile) []tile {
			tiles[0] = tilesFor(forged, 300)[0]
			return tiles
		})},
		{"upper-tile-of-another-tree", "One tile of level 1 is that of a tree in which one entry is another.", ruleTileHash, change(func(tiles []tile) []tile {
			tiles[2] = tilesFor(forged, 300)[2]
			return tiles
		})},
		{"tile-missing", "A tile is missing.", ruleTilePath, tilesFor(t, 300)[1:]},
		{"tile-too-short", "A tile lacks a hash.", ruleTileFull, change(func(tiles []tile) []tile {
			tiles[0].Hashes[len(tiles[0].Hashes)-1].Times--
			return tiles
		})},
		{"tile-too-long", "A tile has a hash too many.", ruleTileFull, change(func(tiles []tile) []tile {
			tiles[0].Hashes[0].Times++
			return tiles
		})},
		{"tile-empty", "A tile has no hashes.", ruleTileFull, change(func(tiles []tile) []tile {
			tiles[0].Hashes = nil
			return tiles
		})},
	} {
		add("include-"+c.name, about(c.desc, c.rule), t, c.tiles, &index, nil, nil, no)
	}
	for _, c := range []struct {
		name, desc string
		rule       rule
		index      *number
		oldSize    *number
	}{
		{"include-index-is-size", "An index equal to the size.", ruleIncIndex, ptr(70000), nil},
		{"extend-older-larger", "An older size above the newer one.", ruleConOrder, nil, ptr(70001)},
	} {
		add(c.name, about(c.desc, c.rule), t, tilesFor(t, 300), c.index, c.oldSize, nil, no)
	}
	add("extend-tiles-of-another-tree", about("The tiles of a tree in which one entry is another.", ruleTileHash), t, tilesFor(forged, 64999, 65000), nil, &old, nil, no)
}

func ptr(n number) *number { return &n }
