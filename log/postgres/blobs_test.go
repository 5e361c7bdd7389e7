package postgres

import (
	"testing"

	"github.com/tuflog/tuflog/log/statetest"
)

// Many blobs at once are those that one by one are there and undamaged.
func TestReadBlobs(t *testing.T) {
	db := newLog(t)
	blobs := db.Blobs()
	statetest.ReadBlobs(t, blobs, func() statetest.Blobs {
		done, err := db.pool.Exec(t.Context(), "UPDATE blobs SET data = 'fale 77' WHERE data = 'file 77'")
		check(t, err)
		if done.RowsAffected() != 1 {
			t.Fatalf("%d blobs changed", done.RowsAffected())
		}
		return blobs
	})
}
