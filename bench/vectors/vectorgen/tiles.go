package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

func (s *suite) tilePaths() {
	for _, c := range []struct {
		name, desc string
		rule       rule
		path       string
		level      int
		index      uint64
		width      int
	}{
		{"first", "The first tile of hashes.", ruleTilePath, "tile/0/000", 0, 0, 256},
		{"example-of-the-specification", "The index 1234067.", ruleTileIndex, "tile/0/x001/x234/067", 0, 1234067, 256},
		{"index-999", "The largest index of one element.", ruleTileIndex, "tile/0/999", 0, 999, 256},
		{"index-1000", "The smallest index of two elements.", ruleTileIndex, "tile/0/x001/000", 0, 1000, 256},
		{"index-67", "An index is padded with zeros.", ruleTileIndex, "tile/0/067", 0, 67, 256},
		{"index-999999", "The largest index of two elements.", ruleTileIndex, "tile/0/x999/999", 0, 999999, 256},
		{"index-1000000", "The smallest index of three elements, with zeros within.", ruleTileIndex, "tile/0/x001/x000/000", 0, 1000000, 256},
		{"index-2-32", "An index beyond 32 bits.", ruleTileIndex, "tile/0/x004/x294/x967/296", 0, 1 << 32, 256},
		{"index-largest", "The last tile of level 0 in a tree of 2^63-1 entries.", ruleTileIndex, "tile/0/x036/x028/x797/x018/x963/967.p/255", 0, 1<<55 - 1, 255},
		{"partial", "A partial tile.", ruleTileWidth, "tile/0/x001/x234/067.p/112", 0, 1234067, 112},
		{"partial-1", "The narrowest partial tile.", ruleTileWidth, "tile/0/000.p/1", 0, 0, 1},
		{"partial-255", "The widest partial tile.", ruleTileWidth, "tile/0/000.p/255", 0, 0, 255},
		{"size-70000-level-0", "A tree of 70,000 entries: its partial tile of level 0.", ruleTilePartial, "tile/0/273.p/112", 0, 273, 112},
		{"size-70000-level-1", "A tree of 70,000 entries: its full tile of level 1.", ruleTilePartial, "tile/1/000", 1, 0, 256},
		{"size-70000-level-1-partial", "A tree of 70,000 entries: its partial tile of level 1.", ruleTilePartial, "tile/1/001.p/17", 1, 1, 17},
		{"size-70000-level-2", "A tree of 70,000 entries: its partial tile of level 2.", ruleTilePartial, "tile/2/000.p/1", 2, 0, 1},
		{"size-256-level-1", "A tree of 256 entries: its partial tile of level 1.", ruleTilePartial, "tile/1/000.p/1", 1, 0, 1},
		{"level-7", "The highest tile of a tree of 2^63-1 entries.", ruleTileLevel, "tile/7/000.p/127", 7, 0, 127},
		{"entries", "The first bundle of entries.", ruleEntriesPath, "tile/entries/000", -1, 0, 256},
		{"entries-partial", "A partial bundle of entries.", ruleEntriesPath, "tile/entries/x001/067.p/5", -1, 1067, 5},
		{"entries-index-2-32", "A bundle beyond 32 bits.", ruleEntriesPath, "tile/entries/x004/x294/x967/296", -1, 1 << 32, 256},
	} {
		s.add("tile-path", c.name, tilePathCase{meta: about(c.desc, c.rule), Path: data(c.path), verdict: valid, Result: &tilePathResult{c.level, number(c.index), c.width}})
	}
	for _, c := range badTilePaths() {
		s.add("tile-path", c.name, tilePathCase{meta: c.meta(), Path: data(c.in), verdict: malformed(c.reason)})
	}
}

func badTilePaths() []textCase {
	const choiceLevel = "The specification allows levels up to 63, but no tree of up to 2^63-1 entries reaches level 8."
	return []textCase{
		{"nothing", "No bytes at all.", ruleTilePath, "", "form", ""},
		{"prefix-alone", "tile and nothing else.", ruleTilePath, "tile", "form", ""},
		{"level-alone", "A level without an index.", ruleTilePath, "tile/0", "form", ""},
		{"level-and-slash", "A level and an empty index.", ruleTileIndex, "tile/0/", "index", ""},
		{"slash-before", "A slash before the path.", ruleTilePath, "/tile/0/000", "form", ""},
		{"slash-after", "A slash after the path.", ruleTileIndex, "tile/0/000/", "index", ""},
		{"two-slashes", "An empty level.", ruleTileLevel, "tile//000", "decimal", ""},
		{"upper-case", "Tile instead of tile.", ruleTilePath, "Tile/0/000", "form", ""},
		{"prefix-misspelt", "tiles instead of tile.", ruleTilePath, "tiles/0/000", "form", ""},
		{"with-height", "The path of golang.org/design/25530-sumdb, with the height.", ruleTilePath, "tile/8/0/000", "any", ""},
		{"data", "The path of c2sp.org/static-ct-api for entries.", ruleEntriesPath, "tile/data/000", "decimal", ""},
		{"names", "The path of c2sp.org/static-ct-api for names.", ruleEntriesPath, "tile/names/000", "decimal", ""},
		{"entries-upper-case", "Entries instead of entries.", ruleEntriesPath, "tile/Entries/000", "decimal", ""},
		{"entries-without-index", "A bundle without an index.", ruleEntriesPath, "tile/entries", "form", ""},
		{"entries-with-level", "A bundle with a level.", ruleEntriesPath, "tile/0/entries/000", "index", ""},
		{"level-leading-zero", "A level with a leading zero.", ruleTileLevel, "tile/00/000", "decimal", ""},
		{"level-plus", "A level with a plus sign.", ruleTileLevel, "tile/+0/000", "decimal", ""},
		{"level-minus", "A level below zero.", ruleTileLevel, "tile/-1/000", "decimal", ""},
		{"level-hex", "A level in hex.", ruleTileLevel, "tile/0x1/000", "decimal", ""},
		{"level-arabic-digit", "A level in Arabic-Indic digits.", ruleTileLevel, "tile/١/000", "decimal", ""},
		{"level-64", "A level above 63.", ruleTileLevel, "tile/64/000", "too-high", ""},
		{"level-2-64", "A level of 2^64, which must not wrap to 0.", ruleTileLevel, "tile/18446744073709551616/000", "range", ""},
		{"level-8", "A level of 8.", ruleTileLevel, "tile/8/000", "too-high", choiceLevel},
		{"level-63", "A level of 63.", ruleTileLevel, "tile/63/000", "too-high", choiceLevel},
		{"level-7-too-wide", "A tile of level 7 that a tree of 2^63-1 entries does not have.", ruleTilePartial, "tile/7/000.p/128", "too-large", choiceRange},
		{"index-one-digit", "An index that is not padded.", ruleTileIndex, "tile/0/0", "index", ""},
		{"index-two-digits", "An index of two digits.", ruleTileIndex, "tile/0/67", "index", ""},
		{"index-four-digits", "An element of four digits.", ruleTileIndex, "tile/0/1234", "index", ""},
		{"index-with-x", "An index of one element that begins with x.", ruleTileIndex, "tile/0/x067", "canonical", ""},
		{"index-last-with-x", "The last element begins with x too.", ruleTileIndex, "tile/0/x001/x067", "canonical", ""},
		{"index-first-without-x", "The first element does not begin with x.", ruleTileIndex, "tile/0/001/067", "canonical", ""},
		{"index-middle-without-x", "The middle element does not begin with x.", ruleTileIndex, "tile/0/x001/234/067", "canonical", ""},
		{"index-upper-case-x", "X instead of x.", ruleTileIndex, "tile/0/X001/067", "index", ""},
		{"index-two-x", "Two x.", ruleTileIndex, "tile/0/xx01/067", "index", ""},
		{"index-leading-zero-element", "A first element of zeros.", ruleTileIndex, "tile/0/x000/067", "canonical", "Zero-padding to more elements than needed would give an index many spellings."},
		{"index-empty-element", "An empty element.", ruleTileIndex, "tile/0/x001//067", "index", ""},
		{"index-plus", "A plus sign in an element.", ruleTileIndex, "tile/0/+67", "index", ""},
		{"index-minus", "A minus sign in an element.", ruleTileIndex, "tile/0/-67", "index", ""},
		{"index-space", "A space in an element.", ruleTileIndex, "tile/0/ 67", "index", ""},
		{"index-hex", "A hexadecimal digit.", ruleTileIndex, "tile/0/0ab", "index", ""},
		{"index-dots", "Dots instead of an index.", ruleTileIndex, "tile/0/../000", "index", ""},
		{"index-arabic-digits", "Arabic-Indic digits.", ruleTileIndex, "tile/0/٠٠١", "index", ""},
		{"index-percent", "A digit in percent-encoding.", ruleTileIndex, "tile/0/%30%30%30", "index", ""},
		{"index-2-63", "An index of 2^63.", ruleTileIndex, "tile/0/x009/x223/x372/x036/x854/x775/808", "too-large", choiceRange},
		{"index-2-64", "An index of 2^64, which must not wrap to 0.", ruleTileIndex, "tile/0/x018/x446/x744/x073/x709/x551/616", "too-large", choiceRange},
		{"index-too-large-for-level-0", "A full tile that would end beyond 2^63-1 entries.", ruleTileIndex, "tile/0/x036/x028/x797/x018/x963/967", "too-large", choiceRange},
		{"partial-0", "A partial tile of width 0.", ruleTileWidth, "tile/0/000.p/0", "width", ""},
		{"partial-256", "A full tile written as a partial one.", ruleTileWidth, "tile/0/000.p/256", "width", ""},
		{"partial-257", "A width above 256.", ruleTileWidth, "tile/0/000.p/257", "width", ""},
		{"partial-leading-zero", "A width with a leading zero.", ruleTileWidth, "tile/0/000.p/05", "decimal", ""},
		{"partial-padded", "A width padded like an index.", ruleTileWidth, "tile/0/000.p/005", "decimal", ""},
		{"partial-plus", "A width with a plus sign.", ruleTileWidth, "tile/0/000.p/+5", "decimal", ""},
		{"partial-minus", "A width below zero.", ruleTileWidth, "tile/0/000.p/-5", "decimal", ""},
		{"partial-empty", "An empty width.", ruleTileWidth, "tile/0/000.p/", "decimal", ""},
		{"partial-without-width", ".p without a width.", ruleTileWidth, "tile/0/000.p", "index", ""},
		{"partial-slash-after", "A slash after the width.", ruleTileWidth, "tile/0/000.p/5/", "decimal", ""},
		{"partial-twice", "Two widths.", ruleTileWidth, "tile/0/000.p/5.p/5", "decimal", ""},
		{"partial-upper-case", ".P instead of .p.", ruleTileWidth, "tile/0/000.P/5", "index", ""},
		{"partial-2-64", "A width of 2^64+5, which must not wrap to 5.", ruleTileWidth, "tile/0/000.p/18446744073709551621", "range", ""},
		{"newline-after", "A newline after the path.", ruleTileIndex, "tile/0/000\n", "index", ""},
		{"query", "A query after the path.", ruleTileIndex, "tile/0/000?x=1", "index", ""},
		{"nul", "A NUL after the path.", ruleTileIndex, "tile/0/000\x00", "index", ""},
	}
}

func bundle(entries ...string) string {
	var b []byte
	for _, e := range entries {
		b = binary.BigEndian.AppendUint16(b, uint16(len(e)))
		b = append(b, e...)
	}
	return string(b)
}

func (s *suite) entries() {
	many := func(n int, entry string) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = entry
		}
		return list
	}
	for _, c := range []struct {
		name, desc string
		rule       rule
		entries    []string
	}{
		{"none", "A bundle of no bytes holds no entries.", ruleEntries, nil},
		{"one", "One entry.", ruleEntries, []string{"entry"}},
		{"one-empty", "One entry of no bytes.", ruleEntries, []string{""}},
		{"three", "Three entries, the second of no bytes.", ruleEntries, []string{"a", "", "bcd"}},
		{"bundle-in-entry", "An entry that looks like a bundle.", ruleEntries, []string{bundle("a", "b"), "c"}},
		{"binary", "Entries of any bytes.", ruleEntries, []string{"\x00\xff", "\r\n", "\x00\x00"}},
		{"length-256", "An entry of 256 bytes: the length is big-endian.", ruleEntries, []string{strings.Repeat("x", 256)}},
		{"length-257", "An entry of 257 bytes.", ruleEntries, []string{strings.Repeat("x", 257), "y"}},
		{"longest", "An entry of 65,535 bytes, the longest there is.", ruleEntries, []string{strings.Repeat("x", math.MaxUint16)}},
		{"255", "A partial bundle of 255 entries.", ruleEntries, many(255, "e")},
		{"256", "A full bundle.", ruleTileFull, many(256, "e")},
		{"256-empty", "A full bundle of entries of no bytes.", ruleTileFull, many(256, "")},
	} {
		list := []data{}
		for _, e := range c.entries {
			list = append(list, data(e))
		}
		s.add("entries", c.name, entriesCase{meta: about(c.desc, c.rule), Bundle: opaque(bundle(c.entries...)), verdict: valid, Result: &entriesResult{list}})
	}
	for _, c := range []textCase{
		{"length-cut", "One byte where the length needs two.", ruleEntries, "\x00", "cut", ""},
		{"length-cut-later", "One byte after a whole entry.", ruleEntries, bundle("abc") + "\x00", "cut", ""},
		{"entry-missing", "A length without an entry.", ruleEntries, "\x00\x01", "cut", ""},
		{"entry-cut", "An entry without its last byte.", ruleEntries, "\x00\x03ab", "cut", ""},
		{"entry-cut-later", "A whole entry and one that is cut short.", ruleEntries, bundle("abc") + "\x00\x02d", "cut", ""},
		{"length-little-endian", "A length in little-endian order.", ruleEntries, "\x03\x00abc", "cut", ""},
		{"length-of-four-bytes", "A length of four bytes: two lengths, of which the second is too large.", ruleEntries, "\x00\x00\x01\x03" + strings.Repeat("x", 257), "cut", ""},
		{"length-as-varint", "A length as a varint.", ruleEntries, "\x03abc", "cut", ""},
		{"longest-cut", "A length of 65,535 and a few bytes.", ruleEntries, "\xff\xffabc", "cut", ""},
		{"257", "One entry more than a full bundle.", ruleTileFull, bundle(many(257, "")...), "too-many", ""},
		{"257-and-cut", "A full bundle and one byte.", ruleTileFull, bundle(many(256, "")...) + "\x00", "too-many", ""},
	} {
		s.add("entries", c.name, entriesCase{meta: c.meta(), Bundle: opaque(c.in), verdict: malformed(c.reason)})
	}
}

// edgeText prints the right edge of a tree.
func edgeText(t *tree) string {
	text := number(t.n).text() + "\n"
	for _, h := range t.edge() {
		text += h.String() + "\n"
	}
	return text
}

func (s *suite) edges() {
	add := func(name, desc string, t *tree, n uint64) {
		before := t.cut(n)
		var leaves []string
		for i := n; i < t.n; i++ {
			leaves = append(leaves, leafHash(t.entry(i)).String())
		}
		s.add("edge", name, edgeCase{
			meta: about(desc, ruleEdge), Edge: data(edgeText(before)), Append: leaves, verdict: valid,
			Result: &edgeResult{number(t.n), t.root().String(), data(edgeText(t))},
		})
	}
	for _, n := range []uint64{0, 1, 2, 3, 7, 255, 256, 257, 65536} {
		add(fmt.Sprintf("size-%d", n), fmt.Sprintf("The edge of a tree of size %d.", n), distinct(n), n)
	}
	huge := hugeTree()
	add("size-2-32-plus-3", "The edge of a tree of size 2^32+3.", huge, huge.n)
	largest := uniform(1<<63-1, "entry", nil)
	add("size-2-63-minus-1", "The edge of the largest tree.", largest, largest.n)
	for _, c := range [][2]uint64{{0, 1}, {0, 7}, {1, 2}, {2, 3}, {3, 4}, {254, 257}, {255, 256}, {65535, 65536}} {
		add(fmt.Sprintf("grow-%d-to-%d", c[0], c[1]), fmt.Sprintf("A tree of size %d grows to %d.", c[0], c[1]), distinct(c[1]), c[0])
	}
	add("grow-2-32-minus-1-to-2-32", "A tree of size 2^32-1 grows to 2^32.", huge.cut(1<<32), 1<<32-1)
	add("grow-2-32-to-2-32-plus-3", "A tree of size 2^32 grows to 2^32+3.", huge, 1<<32)
	s.add("edge", "grow-beyond-2-63-minus-1", edgeCase{
		meta: about("The largest tree cannot grow.", ruleEdgeForm), Edge: data(edgeText(largest)), Append: []string{leafHash("entry").String()}, verdict: refused("full"),
	})
	for _, c := range badEdges() {
		s.add("edge", c.name, edgeCase{meta: c.meta(), Edge: data(c.in), verdict: malformed(c.reason)})
	}
}

func badEdges() []textCase {
	t := distinct(3)
	h := t.edge()
	two := h[0].String() + "\n" + h[1].String() + "\n"
	r := ruleEdgeForm
	return []textCase{
		{"nothing", "No bytes at all.", r, "", "newline", ""},
		{"size-not-ended", "A size without a newline.", r, "0", "newline", ""},
		{"not-ended", "The last hash lacks its newline.", r, strings.TrimSuffix("3\n"+two, "\n"), "newline", ""},
		{"empty-line-after", "An empty line at the end.", r, "3\n" + two + "\n", "hash-count", ""},
		{"hash-missing", "A hash too few.", ruleEdge, "3\n" + h[0].String() + "\n", "hash-count", ""},
		{"hash-added", "A hash too many.", ruleEdge, "3\n" + two + h[0].String() + "\n", "hash-count", ""},
		{"empty-with-hash", "A hash for the empty tree.", ruleEdge, "0\n" + h[0].String() + "\n", "hash-count", ""},
		{"size-other", "A size that needs one hash.", ruleEdge, "4\n" + two, "hash-count", ""},
		{"size-leading-zero", "A leading zero.", r, "03\n" + two, "decimal", ""},
		{"size-plus", "A plus sign.", r, "+3\n" + two, "decimal", ""},
		{"size-minus", "A minus sign.", r, "-3\n" + two, "decimal", ""},
		{"size-empty", "An empty size.", r, "\n" + two, "decimal", ""},
		{"size-2-63", "A size of 2^63.", r, "9223372036854775808\n" + h[0].String() + "\n", "range", ""},
		{"size-2-64-plus-3", "A size of 2^64+3, which must not wrap to 3.", r, "18446744073709551619\n" + two, "range", ""},
		{"crlf", "Lines that end in CR LF.", r, strings.ReplaceAll("3\n"+two, "\n", "\r\n"), "decimal", ""},
		{"hash-cr", "A CR after a hash.", r, "3\n" + strings.ReplaceAll(two, "\n", "\r\n"), "base64", ""},
		{"hash-31-bytes", "A hash of 31 bytes.", r, "1\n" + b64(h[0][:31]) + "\n", "hash-size", ""},
		{"hash-not-padded", "A hash without its =.", r, "1\n" + strings.TrimSuffix(h[0].String(), "=") + "\n", "base64", ""},
		{"hash-empty", "An empty line for a hash.", r, "1\n\n", "hash-size", ""},
	}
}
