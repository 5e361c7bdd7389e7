package mirror_test

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/mirror"
)

// Every file of a copy that is for readers is served, and nothing else.
func TestServed(t *testing.T) {
	w := newWorld(t, 300)
	_, err := w.update(w.log.Source())
	w.must(err)
	served := map[string]int{}
	err = fs.WalkDir(os.DirFS(w.dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		first, _, _ := strings.Cut(path, "/")
		final, ok := mirror.Served(path)
		if want := first == "checkpoint" || first == "tile" || first == "blob"; ok != want {
			t.Errorf("%s: served %v", path, ok)
		}
		if want := ok && path != "checkpoint" && !strings.HasPrefix(path, "tile/files/"); final != want {
			t.Errorf("%s: final %v", path, final)
		}
		if ok {
			served[first]++
		}
		return nil
	})
	if err != nil || served["checkpoint"] != 1 || served["tile"] < 6 || served["blob"] < 300 {
		t.Errorf("served %v, %v", served, err)
	}
	for _, path := range []string{
		"", ".", "..", "lock", "missing", "mirror", "notes/300", "tmp/1", "fork.conflict", ".checkpoint.1.tmp", "checkpoint/", "/checkpoint",
		"tile", "tile/", "tile/0/000/", "tile/0/../../missing", "tile/0/.x", "tile/0/0", "tile/entries/000.p/256", "tile/files/000.p/0",
		"blob/sha256/", "blob/sha256/../../missing", "blob/sha256/" + strings.Repeat("A", 64), "blob/sha256/" + strings.Repeat("a", 63), `tile\0\000`,
	} {
		if _, ok := mirror.Served(path); ok {
			t.Errorf("%q is served", path)
		}
	}
}

func FuzzServed(f *testing.F) {
	f.Add("tile/0/x001/067.p/3")
	f.Add("blob/sha256/" + strings.Repeat("0", 64))
	f.Fuzz(func(t *testing.T, path string) {
		if _, ok := mirror.Served(path); ok && (!fs.ValidPath(path) || filepath.Clean(path) != path || strings.Contains(path, "/.") || strings.HasPrefix(path, ".")) {
			t.Errorf("%q is served", path)
		}
	})
}

// A copy that may not grow further says so, and stays what it was.
func TestFull(t *testing.T) {
	w := newWorld(t, 20)
	update := func(most, used int64) (*mirror.Result, error) {
		return mirror.Update(t.Context(), mirror.Config{Dir: w.dir, Source: w.log.Source(), Policy: w.log.Policy(), MaxBytes: most, Used: used})
	}
	first, err := update(10<<20, 0)
	if err != nil || first.Used < first.Bytes {
		t.Fatalf("%+v, %v", first, err)
	}
	w.grow(40)
	for _, used := range []int64{0, first.Used} {
		if _, err := update(first.Used+100, used); !errors.Is(err, mirror.ErrFull) {
			t.Errorf("with %d bytes known: %v", used, err)
		}
	}
	if held, err := mirror.Held(w.dir); err != nil || held.Tree != first.Tree || held.Missing != 0 {
		t.Errorf("holds %+v, %v", held, err)
	}
	second, err := update(10<<20, first.Used)
	if err != nil || second.Used != first.Used+second.Bytes {
		t.Errorf("%+v, %v", second, err)
	}
}

// A copy leaves room on its disk, on which others keep what matters more.
func TestLeave(t *testing.T) {
	w := newWorld(t, 20)
	cfg := mirror.Config{Dir: w.dir, Source: w.log.Source(), Policy: w.log.Policy(), Leave: math.MaxUint64 / 2}
	if _, err := mirror.Update(t.Context(), cfg); !errors.Is(err, mirror.ErrFull) {
		t.Errorf("no disk has so much: %v", err)
	}
	cfg.Leave = 1
	if _, err := mirror.Update(t.Context(), cfg); err != nil {
		t.Error(err)
	}
}
