package main

import (
	"fmt"
	"strings"
)

// verify fills the folder of that name: whole proofs, with policy and entry.
func (s *suite) verify() {
	s.goodProofs()
	s.badProofs()
}

// A claim is what a proof says of an entry.
type claim struct {
	size   uint64
	root   hash
	index  uint64
	hashes []hash
	entry  string
}

// claimOf is the true claim about one entry of a tree.
func claimOf(t *tree, index uint64) claim {
	return claim{t.n, t.root(), index, t.path(index), t.entry(index)}
}

func (s *suite) addProve(name string, m meta, c claim, extra []byte, v verdict) {
	w := newWorld(checkpointText("log1.example", c.size, c.root))
	pc := proveCase{
		meta: m, Policy: data(expand(threePolicy)), Entry: data(c.entry), verdict: v,
		Proof: data(printProof(extra, c.index, c.hashes, note(w.text, w.ls, w.as, w.cs))),
	}
	if v.Valid {
		pc.Result = &witnessedResult{
			Log: w.log.vkey(), Origin: w.log.name, Size: number(c.size), Root: c.root.String(),
			Cosignatures: []cosignature{{"a", aTime + 1}, {"c", aTime + 3}},
		}
	}
	s.add("verify", name, pc)
}

// hugeTree has 2^32+3 entries, all alike but for a few.
func hugeTree() *tree {
	return uniform(1<<32+3, "entry", map[uint64]string{
		0: "first", 256: "256", 1<<32 - 1: "last of the left", 1 << 32: "first of the right", 1<<32 + 2: "last",
	})
}

func (s *suite) goodProofs() {
	for _, n := range []uint64{1, 2, 3, 255, 256, 257} {
		t := distinct(n)
		for _, index := range edges(n) {
			s.addProve(fmt.Sprintf("size-%d-index-%d", n, index), about(fmt.Sprintf("Entry %d in a tree of size %d.", index, n), rulePath), claimOf(t, index), nil, valid)
		}
	}
	big := uniform(65536, "entry", map[uint64]string{0: "first", 32767: "last of the left", 65535: "last"})
	for _, index := range []uint64{0, 32767, 65535} {
		s.addProve(fmt.Sprintf("size-65536-index-%d", index), about(fmt.Sprintf("Entry %d in a tree of size 65536.", index), rulePath), claimOf(big, index), nil, valid)
	}
	huge := hugeTree()
	for _, index := range []uint64{0, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1<<32 + 2} {
		s.addProve(fmt.Sprintf("size-2-32-plus-3-index-%d", index), about(fmt.Sprintf("Entry %d in a tree of size 2^32+3.", index), rulePath), claimOf(huge, index), nil, valid)
	}
	t := distinct(3)
	s.addProve("extra", about("Extra data changes nothing.", ruleProofTrust), claimOf(t, 1), []byte("extra"), valid)
	s.addProve("extra-that-lies", about("Extra data that contradicts the proof changes nothing either.", ruleProofTrust), claimOf(t, 1), []byte("index 2\n"), valid)
	empty := distinct(3).with(1, "")
	s.addProve("entry-empty", about("An entry of no bytes.", ruleMTH), claimOf(empty, 1), nil, valid)
	binary := distinct(3).with(1, "\x00\xff\r\n")
	s.addProve("entry-binary", about("An entry of any bytes.", ruleMTH), claimOf(binary, 1), nil, valid)
	long := distinct(3).with(1, strings.Repeat("x", 3000))
	s.addProve("entry-long", about("An entry of 3000 bytes.", ruleMTH), claimOf(long, 1), nil, valid)
}

// edges lists the indices of a small tree worth a look.
func edges(n uint64) []uint64 {
	var list []uint64
	for _, i := range []uint64{0, 1, 2, 127, 128, 254, 255, 256} {
		if i < n {
			list = append(list, i)
		}
	}
	return list
}

func (s *suite) badProofs() {
	t := distinct(7)
	good := claimOf(t, 3)
	no := refused("inclusion")
	change := func(f func(c *claim)) claim {
		c := good
		c.hashes = append([]hash{}, good.hashes...)
		f(&c)
		return c
	}
	l, r := leafHash("entry 2"), leafHash("entry 3")
	shifted := claimOf(hugeTree(), 1<<32)
	shifted.index = 0 // as 32 bits would have it
	for _, c := range []struct {
		name, desc string
		rule       rule
		claim      claim
	}{
		{"other-entry", "Another entry of the same tree.", ruleIncRoot, change(func(c *claim) { c.entry = "entry 4" })},
		{"entry-with-newline", "The entry and a newline.", ruleIncRoot, change(func(c *claim) { c.entry += "\n" })},
		{"entry-cut", "The entry without its last byte.", ruleIncRoot, change(func(c *claim) { c.entry = "entry " })},
		{"other-index", "The index of the neighbour.", ruleIncRoot, change(func(c *claim) { c.index = 2 })},
		{"index-is-size", "An index equal to the size.", ruleIncIndex, change(func(c *claim) { c.index = 7 })},
		{"index-beyond-size", "An index beyond the size.", ruleIncIndex, change(func(c *claim) { c.index = 1 << 40 })},
		{"index-and-size-swapped", "Index 7 in a checkpoint of size 3 instead of index 3 in size 7.", ruleIncIndex, change(func(c *claim) { c.index, c.size = 7, 3 })},
		{"index-in-32-bits", "The index 2^32 cut to 32 bits.", ruleIncFew, shifted},
		{"size-smaller", "A size that needs fewer hashes.", ruleIncMany, change(func(c *claim) { c.size = 4 })},
		{"size-larger", "A size that needs more hashes.", ruleIncFew, change(func(c *claim) { c.size = 9 })},
		{"other-root", "The checkpoint has another root.", ruleIncRoot, change(func(c *claim) { c.root = aRoot })},
		{"hash-missing", "The last hash is missing.", ruleIncFew, change(func(c *claim) { c.hashes = c.hashes[:2] })},
		{"hash-added", "One hash too many.", ruleIncMany, change(func(c *claim) { c.hashes = append(c.hashes, aRoot) })},
		{"hashes-missing", "No hashes at all.", ruleIncFew, change(func(c *claim) { c.hashes = nil })},
		{"hashes-reversed", "The hashes from the root to the leaf.", ruleProofHashes, change(func(c *claim) { c.hashes[0], c.hashes[2] = c.hashes[2], c.hashes[0] })},
		{"63-hashes", "63 hashes, which no index in this tree has.", ruleIncMany, change(func(c *claim) { c.hashes = manyHashes(63) })},
		{"empty-tree", "A checkpoint of the empty tree, which includes nothing.", ruleIncIndex, claim{0, uniform(0, "", nil).root(), 0, nil, ""}},
		{"node-as-entry", "The two hashes below an inner node, passed off as an entry.", rulePrefixes, nodeAsEntry(t)},
		{"node-as-entry-with-prefix", "The same with the prefix of inner nodes.", rulePrefixes, change(func(c *claim) { *c = nodeAsEntry(t); c.entry = "\x01" + string(l[:]) + string(r[:]) })},
		{"leaf-hash-as-entry", "The hash of the leaf, passed off as the entry.", rulePrefixes, change(func(c *claim) { h := leafHash(c.entry); c.entry = string(h[:]) })},
	} {
		s.addProve(c.name, about(c.desc, c.rule), c.claim, nil, no)
	}
	s.addProve("size-1-with-hash", about("A tree of size 1 needs no hash, and has one here.", ruleIncMany), claim{1, leafHash("a"), 0, manyHashes(1), "a"}, nil, no)
	s.badProofCheckpoints(good)
}

// nodeAsEntry passes off the node above entries 2 and 3 as entry 1 of a tree of
// half the size.
func nodeAsEntry(t *tree) claim {
	l, r := t.mth(2, 3), t.mth(3, 4)
	return claim{4, t.root(), 1, []hash{t.mth(0, 2), t.mth(4, 7)}, string(l[:]) + string(r[:])}
}

func (s *suite) badProofCheckpoints(c claim) {
	w := newWorld(checkpointText("log1.example", c.size, c.root))
	wrong := c
	wrong.entry = "another"
	result := func(list ...cosignature) *witnessedResult {
		return &witnessedResult{Log: w.log.vkey(), Origin: w.log.name, Size: number(c.size), Root: c.root.String(), Cosignatures: list}
	}
	for _, k := range []struct {
		name, desc string
		rule       rule
		claim      claim
		signed     string
		verdict    verdict
		missing    string
		result     *witnessedResult
		choice     string
	}{
		{"quorum-short", "One of two witnesses needed.", rulePolGroup, c, note(w.text, w.ls, w.bs), refused("quorum-short"), "a c", result(cosignature{"b", aTime + 2}), ""},
		{"quorum-short-and-other-entry", "One of two witnesses needed, and another entry: inclusion counts first.", ruleIncRoot, wrong, note(w.text, w.ls, w.bs), refused("inclusion"), "", nil, "Which of two errors is reported is for this project to say."},
		{"unknown-log", "A log that the policy does not list.", ruleSigNone, c, note(w.text, w.strangers, w.as, w.bs), refused("unknown-log"), "", nil, ""},
		{"bad-log-signature", "The log's signature is bad.", ruleSigFails, c, note(w.text, w.ls.spoiled(), w.as, w.bs), refused("bad-signature"), "", nil, ""},
		{"bad-cosignature", "A cosignature is bad, and the others are a quorum.", ruleSigFails, c, note(w.text, w.ls, w.as, w.bs, w.cs.spoiled()), refused("bad-signature"), "", nil, ""},
		{"bad-signature-and-other-entry", "A bad signature counts before inclusion.", ruleSigFails, wrong, note(w.text, w.ls.spoiled(), w.as, w.bs), refused("bad-signature"), "", nil, "Which of two errors is reported is for this project to say."},
	} {
		pc := proveCase{
			meta: about(k.desc, k.rule).choosing(k.choice), Policy: data(expand(threePolicy)), Entry: data(k.claim.entry), verdict: k.verdict,
			Proof: data(printProof(nil, k.claim.index, k.claim.hashes, k.signed)), Result: k.result,
		}
		if k.missing != "" {
			pc.Missing = names(k.missing)
		}
		s.add("verify", k.name, pc)
	}
}
