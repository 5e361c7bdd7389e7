package main

import (
	"crypto/sha256"
	"fmt"
)

func (s *suite) inclusion() {
	s.goodInclusion()
	s.badInclusion()
}

func (s *suite) addInclusion(name string, m meta, size uint64, root hash, index uint64, leaf hash, hashes []hash, v verdict) {
	s.add("inclusion", name, inclusionCase{
		meta: m, Size: number(size), Root: root.String(), Index: number(index), Leaf: leaf.String(), Hashes: texts(hashes), verdict: v,
	})
}

func (s *suite) goodInclusion() {
	good := func(name string, t *tree, index uint64) {
		m := about(fmt.Sprintf("Entry %d in a tree of size %d.", index, t.n), rulePath)
		s.addInclusion(name, m, t.n, t.root(), index, leafHash(t.entry(index)), t.path(index), valid)
	}
	for _, n := range []uint64{1, 2, 3, 255, 256, 257} {
		for _, index := range edges(n) {
			good(fmt.Sprintf("size-%d-index-%d", n, index), distinct(n), index)
		}
	}
	for i := range uint64(7) {
		good(fmt.Sprintf("size-7-index-%d", i), distinct(7), i)
	}
	big := distinct(65536)
	for _, index := range []uint64{0, 255, 256, 32767, 32768, 65535} {
		good(fmt.Sprintf("size-65536-index-%d", index), big, index)
	}
	huge := hugeTree()
	for _, index := range []uint64{0, 256, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1<<32 + 2} {
		good(fmt.Sprintf("size-2-32-plus-3-index-%d", index), huge, index)
	}
	largest := uniform(1<<63-1, "entry", map[uint64]string{1 << 62: "middle", 1<<63 - 2: "last"})
	for _, index := range []uint64{0, 1 << 62, 1<<63 - 2} {
		good(fmt.Sprintf("size-2-63-minus-1-index-%d", index), largest, index)
	}
	// The shape of the path is all that the size decides.
	t := distinct(7)
	for _, n := range []uint64{5, 6, 8} {
		m := about(fmt.Sprintf("A proof in a tree of size 7 verifies for size %d too, where the path has the same shape: what binds the size is the log's signature.", n), ruleIncRoot)
		s.addInclusion(fmt.Sprintf("size-7-as-%d", n), m, n, t.root(), 3, leafHash("entry 3"), t.path(3), valid)
	}
	inner := about("A node of a tree of size 4 as a leaf of a tree of size 2: only the hash of the entry tells leaves from nodes, so a verifier computes it.", rulePrefixes)
	four := distinct(4)
	s.addInclusion("node-hash-as-leaf-hash", inner, 2, four.root(), 0, four.mth(0, 2), []hash{four.mth(2, 4)}, valid)
}

func (s *suite) badInclusion() {
	no := refused("inclusion")
	t := distinct(7)
	root, path, leaf := t.root(), t.path(3), leafHash("entry 3")
	changed := func(i int) []hash {
		p := append([]hash{}, path...)
		p[i][31] ^= 1
		return p
	}
	huge := hugeTree()
	last := uint64(1<<32 + 2)
	plain := hash(sha256.Sum256([]byte("entry 3")))
	asNode := hash(sha256.Sum256([]byte("\x01entry 3")))
	for _, c := range []struct {
		name, desc  string
		rule        rule
		size, index uint64
		root, leaf  hash
		hashes      []hash
	}{
		{"index-is-size", "An index equal to the size.", ruleIncIndex, 7, 7, root, leaf, path},
		{"index-beyond-size", "An index beyond the size.", ruleIncIndex, 7, 1 << 62, root, leaf, path},
		{"index-and-size-swapped", "Index 7 in size 3 instead of index 3 in size 7.", ruleIncIndex, 3, 7, root, leaf, path},
		{"empty-tree", "An entry of the empty tree.", ruleIncIndex, 0, 0, uniform(0, "", nil).root(), leaf, nil},
		{"empty-tree-own-root", "The empty tree with the hash of a leaf as its root.", ruleIncIndex, 0, 0, leaf, leaf, nil},
		{"index-of-neighbour", "The index of the neighbour on the left.", ruleIncRoot, 7, 2, root, leaf, path},
		{"index-elsewhere", "The index of an entry in another subtree.", ruleIncRoot, 7, 1, root, leaf, path},
		{"size-a-power-more", "A size that needs one hash more.", ruleIncFew, 9, 3, root, leaf, path},
		{"size-a-power-less", "A size that needs one hash less.", ruleIncMany, 4, 3, root, leaf, path},
		{"root-changed", "One bit of the root is wrong.", ruleIncRoot, 7, 3, flip(root), leaf, path},
		{"leaf-changed", "One bit of the leaf's hash is wrong.", ruleIncRoot, 7, 3, root, flip(leaf), path},
		{"leaf-of-neighbour", "The hash of the neighbour.", ruleIncRoot, 7, 3, root, leafHash("entry 2"), path},
		{"leaf-without-prefix", "The hash of the entry without the prefix 0x00.", rulePrefixes, 7, 3, root, plain, path},
		{"leaf-with-node-prefix", "The hash of the entry with the prefix 0x01.", rulePrefixes, 7, 3, root, asNode, path},
		{"first-hash-changed", "One bit of the first hash is wrong.", ruleIncRoot, 7, 3, root, leaf, changed(0)},
		{"middle-hash-changed", "One bit of the middle hash is wrong.", ruleIncRoot, 7, 3, root, leaf, changed(1)},
		{"last-hash-changed", "One bit of the last hash is wrong.", ruleIncRoot, 7, 3, root, leaf, changed(2)},
		{"hashes-reversed", "The hashes from the root to the leaf.", ruleProofHashes, 7, 3, root, leaf, []hash{path[2], path[1], path[0]}},
		{"first-hash-missing", "The first hash is missing.", ruleIncFew, 7, 3, root, leaf, path[1:]},
		{"last-hash-missing", "The last hash is missing.", ruleIncFew, 7, 3, root, leaf, path[:2]},
		{"hashes-missing", "No hashes.", ruleIncFew, 7, 3, root, leaf, nil},
		{"hash-added-after", "A hash too many at the end.", ruleIncMany, 7, 3, root, leaf, append(append([]hash{}, path...), root)},
		{"hash-added-before", "The leaf itself before the hashes.", ruleIncMany, 7, 3, root, leaf, append([]hash{leaf}, path...)},
		{"hash-twice", "The first hash twice.", ruleIncMany, 7, 3, root, leaf, append([]hash{path[0]}, path...)},
		{"root-as-leaf", "The root as a leaf, without hashes.", ruleIncFew, 7, 0, root, root, nil},
		{"size-1-with-hash", "A tree of size 1 needs no hash, and has one here.", ruleIncMany, 1, 0, leaf, leaf, []hash{root}},
		{"size-1-other-root", "A tree of size 1 whose root is not its leaf.", ruleIncRoot, 1, 0, root, leaf, nil},
		{"size-2-swapped", "The other side of a tree of size 2.", ruleIncRoot, 2, 1, nodeHash(leaf, root), leaf, []hash{root}},
		{"size-2-no-prefix", "A root computed without the prefix 0x01.", rulePrefixes, 2, 0, bareNode("", leaf, root), leaf, []hash{root}},
		{"size-2-leaf-prefix", "A root computed with the prefix of leaves.", rulePrefixes, 2, 0, bareNode("\x00", leaf, root), leaf, []hash{root}},
		{"size-3-as-complete", "A tree of size 3 whose last leaf is hashed with itself, as other Merkle trees do.", ruleMTH, 3, 2, bitcoinRoot(), leafHash("entry 2"), []hash{leafHash("entry 2"), distinct(2).root()}},
		{"size-3-promoted-too-early", "A tree of size 3 split after the first leaf instead of the second.", ruleMTH, 3, 0, nodeHash(leafHash("entry 0"), nodeHash(leafHash("entry 1"), leafHash("entry 2"))), leafHash("entry 0"), []hash{leafHash("entry 1"), leafHash("entry 2")}},
		{"2-32-plus-3-size-in-32-bits", "The size 2^32+3 cut to 32 bits.", ruleIncIndex, 3, last, huge.root(), leafHash("last"), huge.path(last)},
		{"2-32-plus-3-index-in-32-bits", "The index 2^32+2 cut to 32 bits.", ruleIncFew, huge.n, 2, huge.root(), leafHash("last"), huge.path(last)},
		{"2-32-plus-3-both-in-32-bits", "Size and index cut to 32 bits.", ruleIncMany, 3, 2, huge.root(), leafHash("last"), huge.path(last)},
		{"2-32-plus-3-short", "The proof of a leaf of the left subtree without its last hash.", ruleIncFew, huge.n, 0, huge.root(), leafHash("first"), huge.path(0)[:32]},
		{"64-hashes", "64 hashes, more than any tree of up to 2^63-1 leaves has.", ruleIncMany, 1<<63 - 1, 0, root, leaf, manyHashes(64)},
	} {
		s.addInclusion(c.name, about(c.desc, c.rule), c.size, c.root, c.index, c.leaf, c.hashes, no)
	}
}

func flip(h hash) hash {
	h[0] ^= 0x80
	return h
}

func bareNode(prefix string, l, r hash) hash {
	return sha256.Sum256([]byte(prefix + string(l[:]) + string(r[:])))
}

func bitcoinRoot() hash {
	last := leafHash("entry 2")
	return nodeHash(distinct(2).root(), nodeHash(last, last))
}

func (s *suite) consistency() {
	s.goodConsistency()
	s.badConsistency()
}

func (s *suite) addConsistency(name string, m meta, m1, n uint64, older, newer hash, hashes []hash, v verdict) {
	s.add("consistency", name, consistencyCase{
		meta: m, OldSize: number(m1), OldRoot: older.String(), Size: number(n), Root: newer.String(), Hashes: texts(hashes), verdict: v,
	})
}

func (s *suite) goodConsistency() {
	good := func(name string, t *tree, m uint64) {
		r, proof := ruleSubproof, []hash(nil)
		switch m {
		case 0:
			r = ruleConZero
		case t.n:
			r = ruleConSame
		default:
			proof = t.proof(m)
		}
		s.addConsistency(name, about(fmt.Sprintf("From size %d to %d.", m, t.n), r), m, t.n, t.cut(m).root(), t.root(), proof, valid)
	}
	for _, c := range [][2]uint64{
		{0, 0}, {0, 1}, {0, 3}, {0, 256}, {1, 1}, {1, 2}, {1, 3}, {2, 2}, {2, 3}, {3, 3}, {3, 4}, {3, 7}, {4, 7}, {6, 7}, {5, 8}, {1, 255}, {2, 256}, {3, 257},
		{127, 255}, {128, 256}, {255, 255}, {255, 256}, {255, 257}, {256, 256}, {256, 257}, {257, 257}, {1, 65536}, {256, 65536}, {32768, 65536}, {65535, 65536}, {65536, 65537},
	} {
		good(fmt.Sprintf("from-%d-to-%d", c[0], c[1]), distinct(c[1]), c[0])
	}
	huge := hugeTree()
	for _, c := range []struct {
		name string
		m    uint64
	}{{"0", 0}, {"1", 1}, {"3", 3}, {"65536", 65536}, {"2-31", 1 << 31}, {"2-32-minus-1", 1<<32 - 1}, {"2-32", 1 << 32}, {"2-32-plus-1", 1<<32 + 1}, {"2-32-plus-2", 1<<32 + 2}, {"2-32-plus-3", 1<<32 + 3}} {
		good("from-"+c.name+"-to-2-32-plus-3", huge, c.m)
	}
	largest := uniform(1<<63-1, "entry", map[uint64]string{0: "first", 1 << 62: "middle"})
	good("from-2-62-to-2-63-minus-1", largest, 1<<62)
	good("from-2-62-plus-1-to-2-63-minus-1", largest, 1<<62+1)
	good("from-2-32-plus-3-to-2-63-minus-1", largest, 1<<32+3)
	t := distinct(7)
	for _, n := range []uint64{6, 8} {
		m := about(fmt.Sprintf("A proof to size 7 verifies for size %d too, where it has the same shape: what binds the size is the log's signature.", n), ruleConRoots)
		s.addConsistency(fmt.Sprintf("from-3-to-7-as-%d", n), m, 3, n, t.cut(3).root(), t.root(), t.proof(3), valid)
	}
}

func (s *suite) badConsistency() {
	no := refused("consistency")
	t := distinct(7)
	root3, root4, root7, root8 := t.cut(3).root(), t.cut(4).root(), t.root(), distinct(8).root()
	proof3, proof4 := t.proof(3), t.proof(4)
	empty := t.cut(0).root()
	changed := func(i int) []hash {
		p := append([]hash{}, proof3...)
		p[i][0] ^= 1
		return p
	}
	forked := t.with(1, "forged")
	huge := hugeTree()
	h3, hroot := huge.proof(1<<32+1), huge.root()
	old := huge.cut(1<<32 + 1).root()
	for _, c := range []struct {
		name, desc   string
		rule         rule
		m, n         uint64
		older, newer hash
		hashes       []hash
	}{
		{"sizes-swapped", "Older and newer tree swapped.", ruleConOrder, 7, 3, root7, root3, proof3},
		{"sizes-swapped-roots-not", "The sizes swapped, the roots not.", ruleConOrder, 7, 3, root3, root7, proof3},
		{"older-larger", "The older tree is larger, without a proof.", ruleConOrder, 7, 3, root7, root3, nil},
		{"to-the-empty-tree", "From a tree to the empty tree.", ruleConOrder, 3, 0, root3, empty, nil},
		{"roots-swapped", "The roots swapped.", ruleConRoots, 3, 7, root7, root3, proof3},
		{"same-size-other-root", "Two roots of one size.", ruleConSame, 7, 7, root7, forked.root(), nil},
		{"same-size-with-proof", "A proof between trees of one size and root.", ruleConSame, 7, 7, root7, root7, proof3},
		{"same-size-root-as-proof", "The root as a proof between trees of one size.", ruleConSame, 4, 4, root4, root4, []hash{root4}},
		{"size-1-other-root", "Two roots of size 1.", ruleConSame, 1, 1, leafHash("a"), leafHash("b"), nil},
		{"empty-with-proof", "A proof from the empty tree.", ruleConZero, 0, 7, empty, root7, proof3},
		{"empty-with-root-as-proof", "The new root as a proof from the empty tree.", ruleConZero, 0, 1, empty, leafHash("a"), []hash{leafHash("a")}},
		{"empty-other-root", "An older empty tree whose root is not the hash of nothing.", ruleMTHEmpty, 0, 7, root3, root7, nil},
		{"empty-zero-root", "An older empty tree whose root is 32 zero bytes.", ruleMTHEmpty, 0, 7, hash{}, root7, nil},
		{"both-empty-other-roots", "Two empty trees whose root is not the hash of nothing.", ruleMTHEmpty, 0, 0, root3, root3, nil},
		{"older-root-changed", "One bit of the older root is wrong.", ruleConRoots, 3, 7, flip(root3), root7, proof3},
		{"newer-root-changed", "One bit of the newer root is wrong.", ruleConRoots, 3, 7, root3, flip(root7), proof3},
		{"older-root-changed-power", "One bit of the older root is wrong, where it is not part of the proof.", ruleConRoots, 4, 7, flip(root4), root7, proof4},
		{"older-size-one-less", "The older size is one less.", ruleConMany, 2, 7, root3, root7, proof3},
		{"older-size-one-more", "The older size is one more.", ruleConMany, 4, 7, root3, root7, proof3},
		{"newer-size-a-power-less", "A newer size that needs fewer hashes.", ruleConMany, 3, 4, root3, root7, proof3},
		{"newer-size-a-power-more", "A newer size that needs more hashes.", ruleConFew, 3, 9, root3, root7, proof3},
		{"newer-tree-of-another-size", "The newer root is that of a larger tree.", ruleConRoots, 3, 7, root3, root8, proof3},
		{"first-hash-changed", "One bit of the first hash is wrong.", ruleConRoots, 3, 7, root3, root7, changed(0)},
		{"second-hash-changed", "One bit of the second hash is wrong.", ruleConRoots, 3, 7, root3, root7, changed(1)},
		{"last-hash-changed", "One bit of the last hash is wrong.", ruleConRoots, 3, 7, root3, root7, changed(3)},
		{"hashes-reversed", "The hashes in reverse order.", ruleSubproof, 3, 7, root3, root7, []hash{proof3[3], proof3[2], proof3[1], proof3[0]}},
		{"first-hash-missing", "The first hash is missing.", ruleConFew, 3, 7, root3, root7, proof3[1:]},
		{"last-hash-missing", "The last hash is missing.", ruleConFew, 3, 7, root3, root7, proof3[:3]},
		{"hashes-missing", "No hashes.", ruleConEmpty, 3, 7, root3, root7, nil},
		{"hashes-missing-power", "No hashes, from a size that is a power of two.", ruleConEmpty, 4, 7, root4, root7, nil},
		{"hash-added", "A hash too many.", ruleConMany, 3, 7, root3, root7, append(append([]hash{}, proof3...), root7)},
		{"power-with-own-root", "From a power of two, with the older root before the proof.", ruleConMany, 4, 7, root4, root7, append([]hash{root4}, proof4...)},
		{"inclusion-proof", "An inclusion proof instead of a consistency proof.", ruleSubproof, 3, 7, root3, root7, t.path(3)},
		{"fork", "A newer tree in which entry 1 is another, with its own honest proof.", ruleConRoots, 3, 7, root3, forked.root(), forked.proof(3)},
		{"fork-old-proof", "A newer tree in which entry 1 is another, with the proof of the honest tree.", ruleConRoots, 3, 7, root3, forked.root(), proof3},
		{"fork-power", "A fork from a size that is a power of two.", ruleConRoots, 4, 7, root4, forked.root(), forked.proof(4)},
		{"leaf-as-older-tree", "A leaf of the newer tree as an older tree of size 2.", ruleConRoots, 2, 7, leafHash("entry 0"), root7, t.proof(2)},
		{"2-32-plus-3-older-in-32-bits", "The older size 2^32+1 cut to 32 bits.", ruleConFew, 1, 1<<32 + 3, old, hroot, h3},
		{"2-32-plus-3-newer-in-32-bits", "The newer size 2^32+3 cut to 32 bits.", ruleConOrder, 1<<32 + 1, 3, old, hroot, h3},
		{"2-32-plus-3-both-in-32-bits", "Both sizes cut to 32 bits.", ruleConMany, 1, 3, old, hroot, h3},
		{"2-32-plus-3-hash-missing", "A proof beyond 2^32 without its last hash.", ruleConFew, 1<<32 + 1, 1<<32 + 3, old, hroot, h3[:len(h3)-1]},
	} {
		s.addConsistency(c.name, about(c.desc, c.rule), c.m, c.n, c.older, c.newer, c.hashes, no)
	}
}
