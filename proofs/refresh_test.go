package proofs

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestRefresh(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct{ older, newer, index int }{
		{1, 1, 0}, {1, 2, 0}, {2, 3, 1}, {3, 3, 2}, {7, 300, 6}, {256, 257, 255}, {300, 70_000, 299}, {65_536, 70_000, 65_535}, {69_999, 70_000, 0},
	} {
		before, after := newTestTiles(tt.older), newTestTiles(tt.newer)
		path, err := InclusionProof(t.Context(), before.tree(), int64(tt.index), before)
		if err != nil {
			t.Fatal(err)
		}
		old := Proof{Extra: []byte("extra"), Index: int64(tt.index), Hashes: path, Checkpoint: w.checkpoint(t, before.tree())}
		newer := w.checkpoint(t, after.tree())
		fresh, err := old.Refresh(t.Context(), w.policy, testEntry(tt.index), newer, after)
		if err != nil {
			t.Fatalf("%+v: %v", tt, err)
		}
		if n := after.mostReads(); n > 3 { // right edge, the entry's path, the old tree's edge
			t.Errorf("%+v: %d tiles of a level read", tt, n)
		}
		if fresh.Index != old.Index || string(fresh.Extra) != "extra" || !bytes.Equal(fresh.Checkpoint, newer) {
			t.Errorf("%+v: got %+v", tt, fresh)
		}
		if sc, err := fresh.Verify(w.policy, testEntry(tt.index)); err != nil || sc.Tree != after.tree() {
			t.Errorf("%+v: new proof: %v", tt, err)
		}
		if back, err := ParseProof(fresh.Marshal()); err != nil || !reflect.DeepEqual(back, fresh) {
			t.Errorf("%+v: new proof does not survive printing: %v", tt, err)
		}
		clear(newer)
		clear(path)
		if _, err := fresh.Verify(w.policy, testEntry(tt.index)); err != nil {
			t.Errorf("%+v: new proof shares memory with the old one: %v", tt, err)
		}
	}
}

func TestRefreshRefuses(t *testing.T) {
	w := newWorld(t)
	tiles := newTestTiles(600)
	tree := tiles.tree()
	oldTiles := newTestTiles(300)
	path, err := InclusionProof(t.Context(), oldTiles.tree(), 7, oldTiles)
	if err != nil {
		t.Fatal(err)
	}
	old := Proof{Index: 7, Hashes: path, Checkpoint: w.checkpoint(t, oldTiles.tree())}
	newer := w.checkpoint(t, tree)
	entry := testEntry(7)
	if _, err := old.Refresh(t.Context(), w.policy, entry, newer, tiles); err != nil {
		t.Fatal(err)
	}
	text := func(tree Tree) string { return Checkpoint{Origin: "example.com/log", Tree: tree}.String() }
	var quorumErr *QuorumError
	fails := func(name string, p Proof, entry, newer []byte, tiles TileReader, want func(error) bool, sub string) {
		t.Helper()
		fresh, err := p.Refresh(t.Context(), w.policy, entry, newer, tiles)
		if err == nil || !want(err) || !reflect.DeepEqual(fresh, Proof{}) {
			t.Errorf("%s: %+v, %v", name, fresh, err)
		}
		wantError(t, err, sub)
	}
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	short := func(err error) bool { return errors.As(err, &quorumErr) }
	whatever := func(error) bool { return true }

	fails("another entry", old, testEntry(8), newer, tiles, is(ErrInclusion), "old proof")
	moved := old
	moved.Index = 8
	fails("another index", moved, entry, newer, tiles, is(ErrInclusion), "old proof")
	few := old
	few.Checkpoint = signNote(t, text(oldTiles.tree()), w.log, w.witnesses[0])
	fails("old short of the quorum", few, entry, newer, tiles, short, "old proof")
	fails("new short of the quorum", old, entry, signNote(t, text(tree), w.log, w.witnesses[1]), tiles, short, "newer checkpoint")
	fails("new by a stranger", old, entry, signNote(t, text(tree), newSigner(t, "x", Ed25519)), tiles, is(ErrUnknownLog), "newer checkpoint")
	spoiled := bytes.Replace(newer, []byte("— w2"), []byte("— w1"), 1)
	fails("new is no checkpoint", old, entry, []byte("x\n"), tiles, whatever, "note: no empty line")
	if _, err := old.Refresh(t.Context(), w.policy, entry, spoiled, tiles); err == nil {
		t.Error("new with a cosignature under another name: accepted")
	}
	smaller := newTestTiles(299)
	fails("new is smaller", old, entry, w.checkpoint(t, smaller.tree()), smaller, whatever, "size 299, the proof has 300 already")
	fails("same size, other root", old, entry, w.checkpoint(t, Tree{N: 300, Hash: LeafHash(nil)}), tiles, is(ErrConsistency), "")
	fails("no such tiles", old, entry, newer, failingTiles{errors.New("gone")}, whatever, "gone")
	fails("tiles of another tree", old, entry, newer, newTestTiles(601), whatever, "no tile")

	// A log that has forked: the newer tree has another first entry.
	leaves := testLeaves(600)
	leaves[0] = LeafHash([]byte("another"))
	fork := &leafTiles{t: t, leaves: leaves}
	fails("fork", old, entry, w.checkpoint(t, refTree(leaves)), fork, is(ErrConsistency), "from size 300 to 600")

	// Two logs in one policy do not stand in for each other.
	other := newSigner(t, "other.example/log", Ed25519)
	both := mustPolicy(t, "log "+other.Key().String()+"\n"+w.policyText)
	foreign := Checkpoint{Origin: "other.example/log", Tree: tree}.String()
	_, err = old.Refresh(t.Context(), both, entry, signNote(t, foreign, append([]*Signer{other}, w.witnesses...)...), tiles)
	wantError(t, err, "of origin \"other.example/log\", the proof of \"example.com/log\"")

	// The same tree needs no tiles.
	if _, err := old.Refresh(t.Context(), w.policy, entry, w.checkpoint(t, oldTiles.tree()), nil); err != nil {
		t.Errorf("same tree: %v", err)
	}
}
