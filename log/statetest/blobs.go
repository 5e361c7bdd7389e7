package statetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

// Blobs are blobs of which many can be read at once.
type Blobs interface {
	Put(ctx context.Context, files [][]byte) error
	ReadBlobs(ctx context.Context, sums []tuf.Digest, each func(sum tuf.Digest, data []byte)) error
	CountBlobs(ctx context.Context, sums []tuf.Digest) (int, error)
}

// ReadBlobs checks that many blobs read at once are the same as those read one by one,
// undamaged, and that CountBlobs counts those that are there. damage changes the file
// "file 77" into "fale 77" where the blobs are
// kept, and returns them as they are from then on.
func ReadBlobs(t *testing.T, blobs Blobs, damage func() Blobs) {
	t.Helper()
	var files [][]byte
	want := map[tuf.Digest]string{}
	sums := []tuf.Digest{tuf.Sum([]byte("not there"))}
	for i := range 200 {
		file := fmt.Sprintf("file %d", i)
		files = append(files, []byte(file))
		sum := tuf.Sum([]byte(file))
		sums = append(sums, sum)
		if i != 77 {
			want[sum] = file
		}
	}
	if err := blobs.Put(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	blobs = damage()
	for _, n := range []int{0, 1, 2, 64, 65, len(sums)} {
		got := map[tuf.Digest]string{}
		if err := blobs.ReadBlobs(t.Context(), sums[:n], func(sum tuf.Digest, data []byte) { got[sum] += string(data) }); err != nil {
			t.Fatal(err)
		}
		if held, err := blobs.CountBlobs(t.Context(), sums[:n]); err != nil || held != max(n-1, 0) {
			t.Errorf("of %d, %d are held, %v", n, held, err)
		}
		for _, sum := range sums[:n] {
			if got[sum] != want[sum] {
				t.Errorf("of %d, %v: %q, want %q", n, sum, got[sum], want[sum])
			}
		}
	}
}
