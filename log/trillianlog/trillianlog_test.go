package trillianlog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/trillian"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/storagetest"
	"github.com/tuflog/tuflog/proofs"
)

// leased is a log whose lease its holder gives back when it closes the log: that
// only one has a log open is the lease's doing, which the test plays.
type leased struct {
	*Log
	giveBack func()
}

func (l leased) Close() error {
	defer l.giveBack()
	return l.Log.Close()
}

func TestStorage(t *testing.T) {
	c := need(t)
	var mu sync.Mutex
	configs, held := map[string]Config{}, map[string]bool{}
	storagetest.Test(t, func(t *testing.T, dir string) (log.Storage, error) {
		mu.Lock()
		defer mu.Unlock()
		if held[dir] {
			return nil, log.ErrLocked
		}
		if _, ok := configs[dir]; !ok {
			configs[dir] = c.config(t)
		}
		l, err := Open(t.Context(), configs[dir])
		if err != nil {
			return nil, err
		}
		held[dir] = true
		return leased{l, func() {
			mu.Lock()
			defer mu.Unlock()
			held[dir] = false
		}}, nil
	})
}

// A batch of more leaves and of more bytes than one call takes.
func TestMessagesAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("moves large messages through real servers")
	}
	c := need(t)
	cfg := c.config(t)
	l := open(t, cfg)
	if _, err := l.Append(t.Context(), [][]byte{make([]byte, 1<<16)}); err == nil {
		t.Error("appended 64 KiB")
	}
	if _, err := l.Append(t.Context(), [][]byte{nil}); err == nil {
		t.Error("appended nothing")
	}
	large := batch("large", 300)
	for i := range large {
		large[i] = append(large[i], make([]byte, 60<<10)...)
	}
	many := batch("many", 2*maxLeaves+7)
	for _, b := range [][][]byte{large, many} {
		before := integrated(t, l).N
		indices, err := l.Append(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		for i, index := range indices {
			if index != before+int64(i) {
				t.Fatalf("entry %d has index %d after %d", i, index, before)
			}
		}
	}
	wantOnce(t, l, large, many)
	cfg.Tiles = new(memTiles)
	again := open(t, cfg)
	wantOnce(t, again, large, many)
	if err := again.Check(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// What was just written is not read from the database again.
func TestReadsWhatItWroteFromMemory(t *testing.T) {
	c := need(t)
	cfg := c.config(t)
	l := open(t, cfg)
	m := cfg.Tiles.(*memTiles)
	before := m.reads
	mustAppend(t, l, "x", 600)
	all(t, l)
	tree := integrated(t, l)
	if got, err := log.TreeFromTiles(t.Context(), tree.N, l); err != nil || got != tree {
		t.Fatalf("the tiles have %v, %v; want %v", got, err, tree)
	}
	if m.reads != before {
		t.Errorf("%d reads of the copy", m.reads-before)
	}
	r := OpenReader(cfg.Tiles)
	if got, err := r.Integrated(t.Context()); err != nil || got != tree {
		t.Errorf("the reader has %v, %v; want %v", got, err, tree)
	}
	for _, width := range []int{1, 88} {
		want, err := l.ReadEntries(t.Context(), 2, width)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.ReadEntries(t.Context(), 2, width); err != nil || !slices.Equal(got, want) {
			t.Errorf("the reader's bundle of width %d: %v", width, err)
		}
	}
	if _, err := r.Append(t.Context(), batch("y", 1)); !errors.Is(err, errNoRight) {
		t.Errorf("appended to a reader: %v", err)
	}
}

func TestUntil(t *testing.T) {
	c := need(t)
	cfg := c.config(t)
	until, sent := time.Now().Add(time.Hour), 0
	cfg.Until = func() time.Time { return until }
	cfg.dialOptions = intercept(func(ctx context.Context, method string, call func() error) error {
		if method == "AddSequencedLeaves" {
			sent++
			if end, ok := ctx.Deadline(); !ok || end.After(until) {
				t.Errorf("a call that appends lasts until %v, the right until %v", end, until)
			}
		}
		return call()
	})
	l := open(t, cfg)
	mustAppend(t, l, "long", 2)
	until = time.Now().Add(time.Second)
	mustAppend(t, l, "short", 2)
	until, sent = time.Now().Add(-time.Millisecond), 0
	if _, err := l.Append(t.Context(), batch("late", 2)); !errors.Is(err, errNoRight) || sent != 0 {
		t.Fatalf("%d calls after the right had ended, %v", sent, err)
	}
	if tree := integrated(t, l); tree.N != 4 {
		t.Fatalf("the tree is %v", tree)
	}
}

// The copy's transaction may fail, or succeed with nobody knowing.
func TestCopyCannotBeWritten(t *testing.T) {
	c := need(t)
	cfg := c.config(t)
	m := cfg.Tiles.(*memTiles)
	l := open(t, cfg)
	lost := errors.New("connection lost")
	for i, fault := range [][2]error{{lost, nil}, {nil, lost}} {
		m.onExtend = func() (error, error) { return fault[0], fault[1] }
		if _, err := l.Append(t.Context(), batch(fmt.Sprint("b", i), 300)); !errors.Is(err, lost) {
			t.Fatalf("Append: %v", err)
		}
		m.onExtend = nil
		if tree := integrated(t, l); tree.N != int64(300*(i+1)) {
			t.Fatalf("the tree is %v", tree)
		}
	}
	mustAppend(t, l, "b2", 300)
	wantOnce(t, l, batch("b0", 300), batch("b1", 300), batch("b2", 300))
	if err := l.Check(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestCopyBehindIsCaughtUp(t *testing.T) {
	if testing.Short() {
		t.Skip("copies many entries")
	}
	c := need(t)
	cfg := c.config(t)
	l := open(t, cfg)
	mustAppend(t, l, "first", 300)
	old := cfg.Tiles.(*memTiles).clone()
	c.grow(t, l, batch("second", 9000)) // more than one step
	tree := integrated(t, l)
	for _, copied := range []*memTiles{old, new(memTiles)} {
		cfg.Tiles = copied
		behind := open(t, cfg)
		if got := integrated(t, behind); got != tree {
			t.Fatalf("caught up with %v, want %v", got, tree)
		}
		if err := behind.Check(t.Context(), nil); err != nil {
			t.Error(err)
		}
		wantOnce(t, behind, batch("first", 300), batch("second", 9000))
	}
}

func TestCopyOfAnotherLogIsRefused(t *testing.T) {
	c := need(t)
	one, two := c.config(t), c.config(t)
	mustAppend(t, open(t, one), "one", 300)
	mustAppend(t, open(t, two), "two", 400)
	empty := c.config(t)
	for name, cfg := range map[string]Config{
		"ahead":                         {Target: empty.Target, TreeID: empty.TreeID, Tiles: one.Tiles},
		"forked":                        {Target: two.Target, TreeID: two.TreeID, Tiles: one.Tiles},
		"forked, and Trillian has less": {Target: one.Target, TreeID: one.TreeID, Tiles: two.Tiles},
	} {
		l, err := Open(t.Context(), cfg)
		if err == nil {
			l.Close()
		}
		var halt *log.Halt
		if !errors.Is(err, ErrContradiction) || !errors.As(err, &halt) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := log.HaltStorageForked
		if name != "forked" {
			want = log.HaltStorageBehind
			t.Log(err)
		}
		if halt.Code != want {
			t.Errorf("%s: halted for %s", name, halt.Code)
		}
	}
}

func TestDamagedCopy(t *testing.T) {
	c := need(t)
	cfg := c.config(t)
	l := open(t, cfg)
	mustAppend(t, l, "x", 2*proofs.FullWidth+40)
	good := cfg.Tiles.(*memTiles)
	tree := integrated(t, l)
	for _, where := range []struct {
		at   place
		edge bool // Open sees it
	}{
		{place{proofs.EntriesLevel, 0}, false}, {place{proofs.EntriesLevel, 2}, true},
		{place{0, 1}, false}, {place{0, 2}, true}, {place{1, 0}, true},
	} {
		for _, missing := range []bool{false, true} {
			bad := good.clone()
			tile := slices.Clone(bad.tiles[where.at])
			tile[len(tile)-1] ^= 1
			bad.tiles[where.at] = tile
			if missing {
				delete(bad.tiles, where.at)
			}
			cfg.Tiles = bad
			opened, err := Open(t.Context(), cfg)
			if err == nil {
				opened.Close()
			}
			if where.edge != errors.Is(err, ErrContradiction) {
				t.Errorf("Open with %v damaged: %v", where.at, err)
			}
			l, err := Connect(cfg)
			if err != nil {
				t.Fatal(err)
			}
			path := proofs.TileID{Level: where.at.level, Index: where.at.index, Width: proofs.TileWidth(tree.N, max(0, where.at.level), where.at.index)}.Path()
			if err := l.Check(t.Context(), nil); !errors.Is(err, ErrContradiction) || !contains(err, path) {
				t.Errorf("Check with %s damaged: %v", path, err)
			}
			progress := 0
			if err := l.Rebuild(t.Context(), tree, func(n int) { progress += n }); err != nil {
				t.Fatal(err)
			}
			if int64(progress) != tree.N || integrated(t, l) != tree {
				t.Errorf("rebuilt with %d entries to %v, want %v", progress, integrated(t, l), tree)
			}
			progress = 0
			if err := l.Check(t.Context(), func(n int) { progress += n }); err != nil || int64(progress) != tree.N {
				t.Errorf("Check after Rebuild: %d entries, %v", progress, err)
			}
			if !equal(bad, good) {
				t.Error("rebuilt, the copy is another one")
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func contains(err error, s string) bool { return err != nil && slices.Contains(words(err), s) }

func words(err error) []string {
	return strings.Fields(strings.NewReplacer(":", " ", ",", " ").Replace(err.Error()))
}

func equal(a, b *memTiles) bool {
	return a.size == b.size && maps.EqualFunc(a.tiles, b.tiles, slices.Equal[[]byte])
}

// A copy is not emptied where Trillian could not give back all that was signed, and
// is where what Trillian lacks was not.
// A tree that is filled from a copy has what the copy has, and nothing else.
func TestMirror(t *testing.T) {
	c := need(t)
	cfg := c.config(t)
	copied := new(memTiles)
	cfg.Tiles = copied
	l := open(t, cfg)
	mustAppend(t, l, "own", 600)
	mustAppend(t, l, "tail", 5)
	anew := c.config(t)
	anew.Tiles = NewMirror(copied, 600)
	for _, n := range []int{300, 600} { // it is gone on with
		to, err := Open(t.Context(), anew)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Append(t.Context(), batch("own", 600)[int(integrated(t, to).N):n]); err != nil {
			t.Fatal(err)
		}
		if err := to.Close(); err != nil {
			t.Fatal(err)
		}
		anew.Tiles = NewMirror(copied, 600)
	}
	to := open(t, anew)
	if tree := integrated(t, to); tree.N != 600 || len(all(t, to)) != 600 {
		t.Errorf("the new tree is %v", tree)
	}
	if _, err := to.Append(t.Context(), batch("tail", 1)); !errors.Is(err, ErrContradiction) {
		t.Errorf("more than the mirror is to have: %v", err)
	}
	anew.Tiles = NewMirror(copied, 600)
	if l, err := Open(t.Context(), anew); !errors.Is(err, ErrContradiction) {
		t.Errorf("a tree with more: %v, %v", l, err)
	}
	other := c.config(t)
	add(t, other, 0, []byte("own 0"), []byte("foreign"))
	other.Tiles = NewMirror(copied, 600)
	eventually(t, "a tree with another entry is refused", func() bool {
		l, err := Open(t.Context(), other)
		if err == nil {
			err = l.Close()
		}
		return errors.Is(err, ErrContradiction)
	})
	if err := errors.Join(FreezeTree(t.Context(), other), c.trillian.Analyze(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := l.client.rpc.AddSequencedLeaves(t.Context(), &trillian.AddSequencedLeavesRequest{LogId: other.TreeID, Leaves: []*trillian.LogLeaf{{LeafIndex: 2, LeafValue: []byte("late"), LeafIdentityHash: identity(2, []byte("late"))}}}); err == nil {
		t.Error("a frozen tree takes more")
	}
}

func TestRebuildKeepsWhatWasSigned(t *testing.T) {
	c := need(t)
	one, two := c.config(t), c.config(t)
	l := open(t, one)
	mustAppend(t, l, "same", 300)
	same := integrated(t, l)
	mustAppend(t, l, "one", 100)
	tree := integrated(t, l)
	other := open(t, two)
	mustAppend(t, other, "same", 300)
	if integrated(t, other) != same {
		t.Fatal("two trees of the same entries differ")
	}
	rebuild := func(keep proofs.Tree) (*memTiles, error) {
		t.Helper()
		cfg := two
		copied := one.Tiles.(*memTiles).clone()
		cfg.Tiles = copied
		l, err := Connect(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return copied, l.Rebuild(t.Context(), keep, nil)
	}
	refused := func(what string, keep proofs.Tree, want log.HaltCode) {
		t.Helper()
		copied, err := rebuild(keep)
		var halt *log.Halt
		if !errors.As(err, &halt) || halt.Code != want || !strings.Contains(halt.Do, "Trillian's newest database") {
			t.Errorf("%s: %v", what, err)
		}
		if !equal(copied, one.Tiles.(*memTiles)) {
			t.Errorf("%s: the copy was changed", what)
		}
	}
	refused("Trillian is smaller than what was signed", tree, log.HaltStorageBehind)
	forked := same
	forked.Hash[0] ^= 1
	refused("Trillian has another tree of this size", forked, log.HaltStorageForked)
	for _, keep := range []proofs.Tree{same, proofs.EmptyTree} {
		copied, err := rebuild(keep)
		if err != nil || !equal(copied, two.Tiles.(*memTiles)) {
			t.Errorf("size %d was signed: a copy of size %d, %v", keep.N, copied.size, err)
		}
	}
	mustAppend(t, other, "two", 200)
	refused("Trillian has other entries", tree, log.HaltStorageForked)
}

// Leaves that do not lead to Trillian's own root reach no copy.
func TestLeafIsChanged(t *testing.T) {
	c := need(t)
	cfg := c.config(t)
	l := open(t, cfg)
	c.grow(t, l, batch("x", 9000)) // more than one step
	tree := integrated(t, l)
	for _, index := range []int{7, 8999} {
		// 'x' becomes 'y' and back.
		change := func(b int) {
			t.Helper()
			sql := fmt.Sprintf("UPDATE LeafData SET LeafValue = set_byte(LeafValue, 0, %d) WHERE TreeId = %d AND LeafIdentityHash = '\\x%x'",
				b, cfg.TreeID, identity(int64(index), fmt.Appendf(nil, "x %d", index)))
			if _, err := c.db.Exec(t.Context(), "trillian", sql); err != nil {
				t.Fatal(err)
			}
		}
		change('y')
		copied := new(memTiles)
		fresh := cfg
		fresh.Tiles = copied
		opened, err := Open(t.Context(), fresh)
		if err == nil {
			opened.Close()
		}
		// Steps before the one with the changed leaf are right.
		if !errors.Is(err, ErrContradiction) || copied.size > int64(index) || copied.size != 0 && copied.size != stepLeaves {
			t.Errorf("leaf %d changed: a copy of size %d, %v", index, copied.size, err)
		}
		if err := l.Check(t.Context(), nil); !errors.Is(err, ErrContradiction) {
			t.Errorf("leaf %d changed: Check: %v", index, err)
		}
		change('x')
		if err := l.Check(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if opened := open(t, fresh); integrated(t, opened) != tree {
			t.Error("caught up with another tree")
		}
	}
}
