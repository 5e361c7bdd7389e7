package proofs

import (
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// Our verdicts on proofs are those of x/mod, which computes another way.
func FuzzVerify(f *testing.F) {
	leaves := testLeaves(9)
	flat := func(hashes []Hash) (b []byte) {
		for _, h := range hashes {
			b = append(b, h[:]...)
		}
		return b
	}
	root, part := refRoot(leaves), refRoot(leaves[:5])
	f.Add(int64(9), root[:], int64(4), leaves[4][:], flat(refPath(4, leaves)))
	f.Add(int64(9), root[:], int64(5), part[:], flat(refProof(5, leaves)))
	f.Add(int64(9), root[:], int64(9), root[:], []byte{})
	f.Fuzz(func(t *testing.T, size int64, root []byte, n int64, other, raw []byte) {
		if len(root) != 32 || len(other) != 32 || len(raw)%32 != 0 || size > 1<<62 {
			return // x/mod loops on larger sizes
		}
		var hashes []Hash
		for h := range slices.Chunk(raw, 32) {
			hashes = append(hashes, Hash(h))
		}
		tree, small := Tree{N: size, Hash: Hash(root)}, Tree{N: n, Hash: Hash(other)}
		ours := VerifyInclusion(tree, n, small.Hash, hashes)
		theirs := tlog.CheckRecord(hashes, size, tree.Hash, n, small.Hash)
		if (ours == nil) != (theirs == nil) {
			t.Errorf("inclusion: we say %v, x/mod %v", ours, theirs)
		}
		if n < 1 {
			return // x/mod has no proofs from the empty tree
		}
		ours = VerifyConsistency(small, tree, hashes)
		theirs = tlog.CheckTree(hashes, size, tree.Hash, n, small.Hash)
		if (ours == nil) != (theirs == nil) {
			t.Errorf("consistency: we say %v, x/mod %v", ours, theirs)
		}
	})
}

// Proofs from tiles are those of the slow, obvious tree, which is also what the
// edge grows to; whatever is changed in a tile or a proof is noticed.
func FuzzMerkle(f *testing.F) {
	f.Add(uint16(0), uint16(0), uint16(0), uint16(0), byte(1))
	f.Add(uint16(1), uint16(0), uint16(0), uint16(0), byte(1))
	f.Add(uint16(256), uint16(255), uint16(255), uint16(8191), byte(0x80))
	f.Add(uint16(300), uint16(257), uint16(256), uint16(8192), byte(1))
	f.Add(uint16(600), uint16(0), uint16(513), uint16(30_000), byte(7))
	leaves := testLeaves(700)
	f.Fuzz(func(t *testing.T, n, i, m, at uint16, flip byte) {
		size := 1 + int(n)%len(leaves)
		index, older := int(i)%size, 1+int(m)%size
		tiles := &leafTiles{t: t, leaves: leaves[:size]}
		tree := refTree(leaves[:size])
		var edge Edge
		for _, l := range leaves[:size] {
			if err := edge.Append(l); err != nil {
				t.Fatal(err)
			}
		}
		if edge.Tree() != tree {
			t.Errorf("edge grew to %v, want %v", edge.Tree(), tree)
		}
		path, err := InclusionProof(t.Context(), tree, int64(index), tiles)
		if err != nil || !slices.Equal(path, refPath(index, leaves[:size])) {
			t.Fatalf("path of %d of %d: %v, %v", index, size, path, err)
		}
		proof, err := ConsistencyProof(t.Context(), int64(older), tree, tiles)
		if err != nil || !slices.Equal(proof, refProof(older, leaves[:size])) {
			t.Fatalf("proof from %d to %d: %v, %v", older, size, proof, err)
		}
		old := refTree(leaves[:older])
		verdicts := func() (error, error) {
			return VerifyInclusion(tree, int64(index), leaves[index], path), VerifyConsistency(old, tree, proof)
		}
		if err1, err2 := verdicts(); err1 != nil || err2 != nil {
			t.Fatalf("genuine proofs fail: %v, %v", err1, err2)
		}
		if flip == 0 {
			return
		}
		if len(path) > 0 && len(proof) > 0 {
			path[int(at)%len(path)][0] ^= flip
			proof[int(at)%len(proof)][31] ^= flip
			if err1, err2 := verdicts(); err1 == nil || err2 == nil {
				t.Errorf("changed proofs pass: %v, %v", err1, err2)
			}
		}
		tiles.spoil = func(level int, index int64, width int, data []byte) []byte {
			data[int(at)%len(data)] ^= flip
			return data
		}
		if _, err := InclusionProof(t.Context(), tree, int64(index), tiles); err == nil && size > 1 { // of one entry the proof is empty
			t.Error("spoiled tiles pass")
		}
		if _, err := VerifiedTiles(tree, tiles).ReadTile(t.Context(), 0, int64(index/256), TileWidth(tree.N, 0, int64(index/256))); err == nil {
			t.Error("spoiled tiles pass as verified")
		}
	})
}
