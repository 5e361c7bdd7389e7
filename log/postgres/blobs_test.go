package postgres

import (
	"fmt"
	"testing"

	"github.com/tuflog/tuflog/verify"
)

// Many blobs at once are those that one by one are there and undamaged.
func TestReadBlobs(t *testing.T) {
	db := newLog(t)
	blobs := db.Blobs()
	var files [][]byte
	want := map[verify.Digest]string{}
	sums := []verify.Digest{verify.Sum([]byte("not there"))}
	for i := range 200 {
		file := fmt.Sprintf("file %d", i)
		files = append(files, []byte(file))
		sum := verify.Sum([]byte(file))
		sums = append(sums, sum)
		if i != 77 {
			want[sum] = file
		}
	}
	check(t, blobs.Put(t.Context(), files))
	done, err := db.pool.Exec(t.Context(), "UPDATE blobs SET data = 'fale 77' WHERE data = 'file 77'")
	check(t, err)
	if done.RowsAffected() != 1 {
		t.Fatalf("%d blobs changed", done.RowsAffected())
	}
	for _, n := range []int{0, 1, 2, 64, 65, len(sums)} {
		got := map[verify.Digest]string{}
		check(t, blobs.ReadBlobs(t.Context(), sums[:n], func(sum verify.Digest, data []byte) { got[sum] += string(data) }))
		for _, sum := range sums[:n] {
			if got[sum] != want[sum] {
				t.Errorf("of %d, %v: %q, want %q", n, sum, got[sum], want[sum])
			}
		}
	}
}
