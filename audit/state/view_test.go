package state_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tuflog/tuflog/audit/state"
)

// sizeAt is how many leaves a view has now.
func sizeAt(t testing.TB, v *state.View) (size int64) {
	t.Helper()
	must(t, v.At(t.Context(), func(r *state.Reader) error {
		size = r.Size()
		return nil
	}))
	return size
}

// A view has what was committed, stays with it, and leaves no trace.
func TestView(t *testing.T) {
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := state.OpenView(ctx, dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no state: %v", err)
	}
	v := state.NewView(dir)
	defer v.Close()
	db, err := state.Open(ctx, dir)
	must(t, err)
	fill(t, db, 10)
	if n := sizeAt(t, v); n != 0 {
		t.Errorf("%d leaves before the commit", n)
	}
	must(t, db.Commit(ctx))
	must(t, v.At(ctx, func(r *state.Reader) error {
		fill(t, db, 20)
		must(t, db.Commit(ctx))
		n := int64(0)
		must(t, r.Leaves(ctx, 0, 1000, func(l state.Leaf) error {
			if l.Leaf != someLeaf(n).Leaf {
				t.Errorf("leaf %d is %+v", n, l)
			}
			n++
			return nil
		}))
		if tree, err := r.Judged(ctx); n != 10 || err != nil || tree.N != 10 {
			t.Errorf("%d leaves, of %v, %v", n, tree, err)
		}
		return nil
	}))
	errMine := errors.New("mine")
	if err := v.At(ctx, func(*state.Reader) error { return errMine }); err != errMine {
		t.Errorf("%v", err)
	}

	// Many at once, while it is written.
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 5 {
				err := v.At(ctx, func(r *state.Reader) error {
					counts, err := r.Verdicts(ctx)
					if n := counts[state.Right] + counts[state.Wrong]; n != r.Size() || n < 20 {
						t.Errorf("%d leaves, and %v", r.Size(), counts)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := int64(30); n <= 100; n += 10 {
		fill(t, db, n)
		must(t, db.Commit(ctx))
	}
	all.Wait()

	// When nobody writes it, nothing is written beside it either.
	must(t, v.Close())
	must(t, db.Close())
	db, err = state.Open(ctx, dir)
	must(t, err)
	must(t, db.Close())
	still, err := state.OpenView(ctx, dir)
	must(t, err)
	defer still.Close()
	if n := sizeAt(t, still); n != 100 {
		t.Errorf("%d leaves", n)
	}
	if left, err := filepath.Glob(filepath.Join(dir, state.FileName+"-*")); err != nil || left != nil {
		t.Errorf("there is %v, %v", left, err)
	}
	// Somebody begins to write it, and ends.
	err = still.At(ctx, func(r *state.Reader) error {
		db, err = state.Open(ctx, dir)
		must(t, err)
		fill(t, db, 110)
		return db.Commit(ctx)
	})
	if err == nil || !strings.Contains(err.Error(), "read it again") {
		t.Errorf("written behind the back of a reader: %v", err)
	}
	if n := sizeAt(t, still); n != 110 {
		t.Errorf("%d leaves", n)
	}
	must(t, db.Close())

	// It is replaced, and goes.
	other := filepath.Join(filepath.Dir(dir), "other")
	db, err = state.Open(ctx, other)
	must(t, err)
	fill(t, db, 3)
	must(t, db.Commit(ctx))
	must(t, db.Close())
	for _, name := range []string{dir, other} {
		must(t, os.Rename(name, name+".moved"))
	}
	if err := still.At(ctx, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is gone: %v", err)
	}
	must(t, os.Rename(other+".moved", dir))
	if n := sizeAt(t, still); n != 3 {
		t.Errorf("another state: %d leaves", n)
	}
}

// What is not a state of this version is said to be what it is.
func TestViewRefuses(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	db, err := state.Open(ctx, dir)
	must(t, err)
	fill(t, db, 200)
	must(t, db.Commit(ctx))
	must(t, db.Close())
	path := filepath.Join(dir, state.FileName)
	good, err := os.ReadFile(path)
	must(t, err)
	for _, tt := range []struct {
		name string
		file func() []byte
		want error
	}{
		{"a flipped bit in the first page", func() []byte { b := append([]byte{}, good...); b[2000] ^= 1; return b }, state.ErrDamaged},
		{"half of it", func() []byte { return good[:len(good)/2] }, state.ErrDamaged},
		{"nothing", func() []byte { return nil }, state.ErrDamaged},
	} {
		must(t, os.WriteFile(path, tt.file(), 0o644))
		if v, err := state.OpenView(ctx, dir); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, %v", tt.name, v, err)
		}
	}
	must(t, os.WriteFile(path, good, 0o644))
	db = open(t, dir)
	must(t, db.Exec(ctx, "PRAGMA user_version = 99"))
	if v, err := state.OpenView(ctx, dir); !errors.Is(err, state.ErrVersion) {
		t.Errorf("a newer version: %v, %v", v, err)
	}
	must(t, db.Exec(ctx, "PRAGMA user_version = 0"))
	if v, err := state.OpenView(ctx, dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is being made: %v, %v", v, err)
	}
}
