package state_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tuflog/tuflog/audit/state"
)

// Readers that overlap without a gap do not let the write-ahead log grow without end.
func TestLogOfOverlappingReaders(t *testing.T) {
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "state")
	db, err := state.Open(ctx, dir)
	must(t, err)
	defer db.Close()
	must(t, db.Commit(ctx))
	v := state.NewView(dir)
	defer v.Close()
	const most = 256 << 10
	db.SetMaxLog(most)

	stop, first := make(chan struct{}), make(chan struct{})
	var readers sync.WaitGroup
	// read ends when the next one has begun.
	var read func(begun chan struct{})
	read = func(begun chan struct{}) {
		err := v.At(ctx, func(r *state.Reader) error {
			_, err := r.Judged(ctx)
			close(begun)
			select {
			case <-stop:
				return err
			default:
			}
			next := make(chan struct{})
			readers.Go(func() { read(next) })
			<-next
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	readers.Go(func() { read(first) })
	<-first
	largest := int64(0)
	for i := range 40 {
		must(t, db.Set(ctx, "name", fmt.Sprint(i, strings.Repeat("x", 60_000))))
		must(t, db.Commit(ctx))
		if info, err := os.Stat(filepath.Join(dir, state.FileName+"-wal")); err == nil {
			largest = max(largest, info.Size())
		}
	}
	close(stop)
	readers.Wait()
	if largest < most/2 || largest > 2*most {
		t.Errorf("the write-ahead log had up to %d bytes, want about %d", largest, most)
	}
	if text, err := db.Get(ctx, "name"); err != nil || !strings.HasPrefix(text, "39x") {
		t.Errorf("%.10s, %v", text, err)
	}
}
