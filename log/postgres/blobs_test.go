package postgres

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/tuflog/tuflog/log/statetest"
	"github.com/tuflog/tuflog/tuf"
)

// The batch that is about to be appended is there together with its files, whoever reads it,
// and in the place of the one before; after the tree was replaced none is.
func TestPutBatch(t *testing.T) {
	db := newLog(t)
	if _, entries, err := db.Batch(t.Context()); err != nil || entries != nil {
		t.Fatalf("before the first batch: %d entries, %v", len(entries), err)
	}
	l := lead(t, db, "a")
	blobs := db.Blobs().Fenced(l)
	batch := func(name string, n int) (files, entries [][]byte) {
		for i := range n {
			files = append(files, fmt.Appendf(nil, "file %s %d", name, i))
			entries = append(entries, fmt.Appendf(bytes.Repeat([]byte{0xff, 0}, 150), "entry %s %d", name, i))
		}
		return files, entries
	}
	is := func(first int64, want [][]byte) {
		t.Helper()
		at, entries, err := db.Batch(t.Context())
		if err != nil || at != first || !slices.EqualFunc(entries, want, bytes.Equal) {
			t.Fatalf("%d entries at %d, %v; want %d at %d", len(entries), at, err, len(want), first)
		}
	}
	var last [][]byte
	for first, n := range map[int64]int{0: 1, 300: 2500, 2800: 3} {
		files, entries := batch(fmt.Sprint(first), n)
		if first == 2800 {
			files = nil // they are there
		}
		if err := l.Kept(first, entries); err == nil {
			t.Errorf("the batch at %d is kept before it was put", first)
		}
		check(t, blobs.PutBatch(t.Context(), files, first, entries))
		check(t, l.Kept(first, entries))
		is(first, entries)
		for _, f := range files {
			if _, err := blobs.Blob(t.Context(), tuf.Sum(f)); err != nil {
				t.Fatal(err)
			}
		}
		refused(t, "the batch one further on", l.Kept(first+1, entries), nil, "not the batch that is kept")
		refused(t, "the batch without its last entry", l.Kept(first, entries[1:]), nil, "not the batch that is kept")
		last = entries
		_, other := batch("other", n)
		refused(t, "another batch", l.Kept(first, other), nil, "not the batch that is kept")
	}
	check(t, l.Release(t.Context()))
	file := []byte("a late file")
	first, _, err := db.Batch(t.Context())
	check(t, err)
	refused(t, "one that was deposed", blobs.PutBatch(t.Context(), [][]byte{file}, first+1, last), ErrNotLeader, "")
	is(first, last)
	_, err = blobs.Blob(t.Context(), tuf.Sum(file))
	refused(t, "its file", err, fs.ErrNotExist, "")
	next := lead(t, db, "b")
	refused(t, "the successor, which has put none", next.Kept(first, last), nil, "not the batch that is kept")
	_, err = db.pool.Exec(t.Context(), "UPDATE log SET storage = 'trillian:1'")
	check(t, err)
	check(t, db.ReplaceStorage(t.Context(), next, Replacement{From: "trillian:1", To: "trillian:2"}))
	is(0, nil)
}

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
