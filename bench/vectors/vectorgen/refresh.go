package main

import "fmt"

// refresh fills the folder of that name: a proof, a newer checkpoint and tiles,
// and the proof that comes of them.
func (s *suite) refresh() {
	s.goodRefresh()
	s.badRefresh()
}

// cosignedBy prints a checkpoint of the tree that the log and two witnesses
// signed.
func cosignedBy(t *tree, origin string) string {
	w := newWorld(checkpointText(origin, t.n, t.root()))
	if origin == "log2.example" {
		return note(w.text, w.otherLog, w.as, w.bs)
	}
	return note(w.text, w.ls, w.as, w.bs)
}

func proofOf(t *tree, index uint64, extra []byte) string {
	return printProof(extra, index, t.path(index), cosignedBy(t, "log1.example"))
}

func (s *suite) goodRefresh() {
	huge := hugeTree()
	medium := uniform(70000, "entry", map[uint64]string{0: "first", 300: "300", 69999: "last"})
	for _, c := range []struct {
		name     string
		t        *tree
		from     uint64
		index    uint64
		whatElse string
	}{
		{"1-to-2", distinct(2), 1, 0, ""},
		{"1-to-3", distinct(3), 1, 0, ""},
		{"3-to-7", distinct(7), 3, 1, ""},
		{"3-to-4", distinct(4), 3, 2, ", the last entry"},
		{"255-to-257", distinct(257), 255, 254, ", the last entry"},
		{"256-to-257", distinct(257), 256, 3, ""},
		{"256-to-70000", medium, 256, 0, ""},
		{"301-to-70000", medium, 301, 300, ", the last entry"},
		{"65536-to-70000", medium, 65536, 300, ""},
		{"257-to-2-32-plus-3", huge, 257, 256, ", the last entry"},
		{"2-32-to-2-32-plus-3", huge, 1 << 32, 1<<32 - 1, ", the last entry"},
		{"2-32-plus-1-to-2-32-plus-3", huge, 1<<32 + 1, 1 << 32, ", the last entry"},
	} {
		older := c.t.cut(c.from)
		extra := []byte(nil)
		if c.index == 1 {
			extra = []byte("extra data stays")
		}
		s.add("refresh", c.name, refreshCase{
			meta:   about(fmt.Sprintf("The proof of entry %d%s moves from size %d to %d.", c.index, c.whatElse, c.from, c.t.n), rulePath),
			Policy: data(expand(threePolicy)), Proof: data(proofOf(older, c.index, extra)), Entry: data(c.t.entry(c.index)),
			Newer: data(cosignedBy(c.t, "log1.example")), Tiles: tilesFor(c.t, c.index, c.from-1, min(c.from, c.t.n-1)), verdict: valid,
			Result: &refreshResult{data(proofOf(c.t, c.index, extra))},
		})
	}
	t := distinct(3)
	w := newWorld(checkpointText("log1.example", 3, t.root()))
	others := note(w.text, w.ls, w.bs, w.cs)
	s.add("refresh", "same-tree", refreshCase{
		meta:   about("Another checkpoint of the same tree, with other cosignatures: no tile is needed.", ruleProofCp),
		Policy: data(expand(threePolicy)), Proof: data(proofOf(t, 1, nil)), Entry: data(t.entry(1)), Newer: data(others), Tiles: []tile{}, verdict: valid,
		Result: &refreshResult{data(printProof(nil, 1, t.path(1), others))},
	})
}

func (s *suite) badRefresh() {
	t := distinct(7)
	older := t.cut(3)
	forked := t.with(1, "forged")
	const log1 = "log1.example"
	proof := proofOf(older, 1, nil)
	newer := cosignedBy(t, log1)
	tiles := tilesFor(t, 1)
	w := newWorld(checkpointText(log1, 7, t.root()))
	short := newWorld(checkpointText(log1, 3, older.root()))
	shortProof := printProof(nil, 1, older.path(1), note(short.text, short.ls, short.as))
	for _, c := range []struct {
		name, desc          string
		rule                rule
		proof, entry, newer string
		tiles               []tile
		verdict             verdict
	}{
		{"fork", "The newer tree does not begin with the older one.", ruleConRoots, proof, "entry 1", cosignedBy(forked, log1), tilesFor(forked, 1), refused("consistency")},
		{"fork-elsewhere", "The newer tree has another entry beside the one proven.", ruleConRoots, proof, "entry 1", cosignedBy(t.with(0, "forged"), log1), tilesFor(t.with(0, "forged"), 1), refused("consistency")},
		{"fork-same-size", "Another root at the same size.", ruleConSame, proof, "entry 1", cosignedBy(older.with(2, "forged"), log1), tilesFor(older.with(2, "forged"), 1), refused("consistency")},
		{"older-checkpoint", "The other checkpoint is smaller.", ruleConOrder, proofOf(t, 1, nil), "entry 1", cosignedBy(older, log1), tilesFor(older, 1), verdict{Error: "refresh", Reason: "older"}},
		{"other-log", "The newer checkpoint is that of another log that the policy lists.", rulePolOrigin, proof, "entry 1", cosignedBy(t, "log2.example"), tiles, verdict{Error: "refresh", Reason: "other-log"}},
		{"unknown-log", "The newer checkpoint is not signed by a log of the policy.", ruleSigNone, proof, "entry 1", note(w.text, w.strangers, w.as, w.bs), tiles, refused("unknown-log")},
		{"bad-signature", "A cosignature of the newer checkpoint is bad.", ruleSigFails, proof, "entry 1", note(w.text, w.ls, w.as, w.bs, w.cs.spoiled()), tiles, refused("bad-signature")},
		{"quorum-short", "The newer checkpoint has too few cosignatures.", rulePolGroup, proof, "entry 1", note(w.text, w.ls, w.as), tiles, refused("quorum-short")},
		{"old-quorum-short", "The old checkpoint has too few cosignatures.", rulePolGroup, shortProof, "entry 1", newer, tiles, refused("quorum-short")},
		{"other-entry", "The old proof is not that of the entry.", ruleIncRoot, proof, "entry 2", newer, tiles, refused("inclusion")},
		{"tile-missing", "A tile is missing.", ruleTilePath, proof, "entry 1", newer, []tile{}, verdict{Error: "refresh", Reason: "no-tile"}},
		{"tile-false", "The tiles are those of another tree.", ruleTileHash, proof, "entry 1", newer, tilesFor(forked, 1), verdict{Error: "refresh", Reason: "tile-false"}},
		{"newer-malformed", "The newer checkpoint is no checkpoint.", ruleCpLines, proof, "entry 1", "hello\n\n" + shortLine, tiles, malformed("lines")},
	} {
		s.add("refresh", c.name, refreshCase{
			meta: about(c.desc, c.rule), Policy: data(expand(twoLogPolicy)), Proof: data(c.proof), Entry: data(c.entry), Newer: data(c.newer), Tiles: c.tiles, verdict: c.verdict,
		})
	}
}

// tileWidths says which tiles a tree has. The numbers are counted by hand or
// by the specification.
func (s *suite) tileWidths() {
	for _, c := range []struct {
		size  uint64
		level int
		index uint64
		width int
	}{
		{0, 0, 0, 0}, {0, -1, 0, 0}, {1, 0, 0, 1}, {1, -1, 0, 1}, {1, 1, 0, 0}, {255, 0, 0, 255}, {255, 0, 1, 0},
		{256, 0, 0, 256}, {256, 0, 1, 0}, {256, 1, 0, 1}, {256, 2, 0, 0}, {256, -1, 0, 256}, {257, 0, 1, 1}, {257, 1, 0, 1}, {257, -1, 1, 1},
		{65535, 0, 255, 255}, {65535, 1, 0, 255}, {65535, 2, 0, 0}, {65536, 0, 255, 256}, {65536, 0, 256, 0}, {65536, 1, 0, 256}, {65536, 1, 1, 0}, {65536, 2, 0, 1},
		{70000, 0, 272, 256}, {70000, 0, 273, 112}, {70000, 0, 274, 0}, {70000, 1, 0, 256}, {70000, 1, 1, 17}, {70000, 1, 2, 0}, {70000, 2, 0, 1}, {70000, 3, 0, 0}, {70000, -1, 273, 112},
		{1<<32 + 3, 0, 1 << 24, 3}, {1<<32 + 3, 0, 1<<24 - 1, 256}, {1<<32 + 3, 1, 65535, 256}, {1<<32 + 3, 1, 65536, 0}, {1<<32 + 3, 3, 0, 256}, {1<<32 + 3, 4, 0, 1}, {1<<32 + 3, 5, 0, 0}, {1<<32 + 3, -1, 1 << 24, 3},
		{1<<63 - 1, 7, 0, 127}, {1<<63 - 1, 6, 127, 255}, {1<<63 - 1, 0, 1<<55 - 1, 255}, {1<<63 - 1, 0, 1 << 55, 0},
	} {
		level, what := fmt.Sprint(c.level), fmt.Sprintf("The tile of level %d and index %d", c.level, c.index)
		if c.level < 0 {
			level, what = "entries", fmt.Sprintf("The bundle of entries of index %d", c.index)
		}
		desc := fmt.Sprintf("%s has width %d in a tree of size %d.", what, c.width, c.size)
		if c.width == 0 {
			desc = fmt.Sprintf("%s does not exist in a tree of size %d.", what, c.size)
		}
		s.add("tile-width", fmt.Sprintf("size-%d-level-%s-index-%d", c.size, level, c.index), tileWidthCase{
			meta: about(desc, ruleTilePartial), Size: number(c.size), Level: c.level, Index: number(c.index), verdict: valid, Result: tileWidthResult{c.width},
		})
	}
}

// bundles checks entries against tiles.
func (s *suite) bundles() {
	t := uniform(70000, "entry", map[uint64]string{0: "first", 300: "300", 69888: "first of the last bundle", 69999: "last"})
	entries := func(t *tree, n, width uint64) []string {
		var list []string
		for i := n * 256; i < n*256+width; i++ {
			list = append(list, t.entry(i))
		}
		return list
	}
	add := func(name, desc string, r rule, t *tree, n uint64, list []string, tiles []tile, v verdict) {
		bc := bundleCase{meta: about(desc, r), Size: number(t.n), Root: t.root().String(), Index: number(n), Bundle: opaque(bundle(list...)), Tiles: tiles, verdict: v}
		if v.Valid {
			bc.Result = &entriesResult{}
			for _, e := range list {
				bc.Result.Entries = append(bc.Result.Entries, data(e))
			}
		}
		s.add("bundle", name, bc)
	}
	for _, c := range []struct {
		name string
		t    *tree
		n, w uint64
	}{
		{"size-1", distinct(1), 0, 1}, {"size-3", distinct(3), 0, 3}, {"size-257-full", distinct(257), 0, 256}, {"size-257-partial", distinct(257), 1, 1},
		{"size-70000-first", t, 0, 256}, {"size-70000-second", t, 1, 256}, {"size-70000-last", t, 273, 112}, {"size-2-32-plus-3-last", hugeTree(), 1 << 24, 3},
	} {
		desc := fmt.Sprintf("Bundle %d of a tree of size %d, with %d entries.", c.n, c.t.n, c.w)
		add(c.name, desc, ruleEntriesTile, c.t, c.n, entries(c.t, c.n, c.w), tilesFor(c.t, c.n*256), valid)
	}
	last, tiles := entries(t, 273, 112), tilesFor(t, 273*256)
	changed := append([]string{}, last...)
	changed[5] = "forged"
	swapped := append([]string{}, last...)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	forged := t.with(69890, "forged")
	for _, c := range []struct {
		name, desc string
		rule       rule
		n          uint64
		list       []string
		tiles      []tile
		verdict    verdict
	}{
		{"entry-changed", "One entry is another.", ruleEntriesTile, 273, changed, tiles, refused("inclusion")},
		{"entries-swapped", "The first two entries are swapped.", ruleEntriesTile, 273, swapped, tiles, refused("inclusion")},
		{"of-another-index", "The entries of the first bundle as those of the second.", ruleEntriesTile, 1, entries(t, 0, 256), tilesFor(t, 256), refused("inclusion")},
		{"entry-missing", "The last entry is missing.", ruleTilePartial, 273, last[:111], tiles, verdict{Error: "width"}},
		{"entry-added", "One entry more than the tree has.", ruleTilePartial, 273, append(append([]string{}, last...), "entry"), tiles, verdict{Error: "width"}},
		{"entries-none", "No entries.", ruleTilePartial, 273, nil, tiles, verdict{Error: "width"}},
		{"full-beside-partial", "A full bundle where the tree has a partial one.", ruleTilePartial, 273, append(append([]string{}, last...), entries(t, 1, 144)...), tiles, verdict{Error: "width"}},
		{"beyond-the-tree", "A bundle that the tree does not have.", ruleTilePartial, 274, []string{"entry"}, tiles, verdict{Error: "width"}},
		{"forged-with-its-tiles", "Forged entries with the tiles that fit them, which do not lead to the root.", ruleTileHash, 273, entries(forged, 273, 112), tilesFor(forged, 273*256), refused("tiles")},
		{"tile-missing", "A tile is missing.", ruleTilePath, 273, last, tiles[1:], refused("tiles")},
	} {
		add(c.name, c.desc, c.rule, t, c.n, c.list, c.tiles, c.verdict)
	}
}
