package runtest

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Tests that run at once share what is built, and what one of them runs stays when
// another builds anew.
func TestProgramsAreShared(t *testing.T) {
	const name = "bench/count"
	shared := t.TempDir()
	stat := func(path string) os.FileInfo {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	build := func(b *binaries) os.FileInfo {
		dir, err := b.build(name)
		if err != nil {
			t.Error(err)
			return nil
		}
		return stat(filepath.Join(dir, "count"))
	}
	sets := []*binaries{{shared: shared}, {shared: shared}, {shared: shared}}
	files := make([]os.FileInfo, len(sets))
	var wg sync.WaitGroup
	for i := range sets {
		wg.Go(func() { files[i] = build(sets[i]) })
	}
	wg.Wait()
	if t.Failed() || !os.SameFile(files[0], files[1]) || !os.SameFile(files[0], files[2]) {
		t.Fatal("a program is built more than once")
	}

	// Other source: to the go command the file is not up to date.
	bin := filepath.Join(shared, "bin", "count")
	if err := os.Remove(bin); err != nil {
		t.Fatal(err)
	}
	abandoned := filepath.Join(shared, "test-abandoned")
	if err := os.Mkdir(abandoned, 0o700); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-30 * 24 * time.Hour)
	if err := os.Chtimes(abandoned, long, long); err != nil {
		t.Fatal(err)
	}
	next := &binaries{shared: shared}
	if os.SameFile(build(next), files[0]) {
		t.Error("the next tests run what is no longer up to date")
	}
	if now := stat(filepath.Join(sets[0].dir, "count")); !os.SameFile(now, files[0]) || now.Size() != files[0].Size() {
		t.Error("a program was replaced while tests may run it")
	}

	for _, b := range append(sets, next) {
		if err := b.remove(); err != nil {
			t.Error(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(shared, "test-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
