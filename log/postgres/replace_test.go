package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/proofs"
)

// copyOf is a copy of so many entries, with hashes of which only the place counts.
func copyOf(t *testing.T, size int64) map[proofs.TileID][]byte {
	t.Helper()
	tiles := map[proofs.TileID][]byte{}
	for level := -1; level < 3; level++ {
		count := size >> (8 * max(0, level))
		for index := int64(0); index*proofs.FullWidth < count; index++ {
			id := proofs.TileID{Level: level, Index: index, Width: int(min(int64(proofs.FullWidth), count-index*proofs.FullWidth))}
			var data []byte
			for n := range id.Width {
				name := fmt.Sprintf("%d: %032d", level, index*proofs.FullWidth+int64(n))
				if level >= 0 {
					data = append(data, name[:len(proofs.Hash{})]...)
					continue
				}
				var err error
				data, err = proofs.AppendEntry(data, []byte(name[:30-n%3]))
				check(t, err)
			}
			tiles[id] = data
		}
	}
	return tiles
}

// A storage takes another's place, and the copy is cut to what it has.
func TestReplaceStorage(t *testing.T) {
	const from, to, url = "trillian:1", "trillian:2", "trillian://host:1/2"
	db := newLog(t)
	l := lead(t, db, "command")
	anew := func(size int64) {
		t.Helper()
		have, err := db.Tiles(l).Size(t.Context())
		check(t, err)
		if have > 0 {
			check(t, db.Tiles(l).Reset(t.Context()))
		}
		check(t, db.Tiles(l).Extend(t.Context(), 0, size, copyOf(t, size)))
		_, err = db.pool.Exec(t.Context(), "UPDATE log SET storage = $1, url = '', next = $2", from, url)
		check(t, err)
	}
	r := Replacement{From: from, To: to, URL: url, Action: maintain.Action{Action: "tree-replace"}}
	for _, size := range []int64{700, 699, 600, 513, 512, 511, 300, 256, 255, 1, 0} {
		// It has grown by steps.
		anew(500)
		check(t, db.Tiles(l).Extend(t.Context(), 500, 700, grown(copyOf(t, 700), 500)))
		r.Size = size
		check(t, db.ReplaceStorage(t.Context(), l, r))
		want := copyOf(t, size)
		if have, err := db.Tiles(nil).Size(t.Context()); err != nil || have != size {
			t.Errorf("the copy has size %d, want %d (%v)", have, size, err)
		}
		for level := -1; level < copyLevels; level++ {
			for index := range int64(4) {
				id := proofs.TileID{Level: level, Index: index, Width: proofs.TileWidth(size, max(0, level), index)}
				have, err := db.Tiles(nil).Tile(t.Context(), level, index)
				if data, ok := want[id]; ok && !bytes.Equal(have, data) || !ok && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("cut to %d: tile %d/%d has %d bytes, want %d (%v)", size, level, index, len(have), len(data), err)
				}
			}
		}
		check(t, db.CheckStorage(t.Context(), to))
		var replaced *ReplacedError
		if err := db.CheckStorage(t.Context(), from); !errors.As(err, &replaced) || replaced.URL != url || replaced.Storage != to {
			t.Errorf("the old storage: %v", err)
		}
		refused(t, "replace it again", db.ReplaceStorage(t.Context(), l, r), nil, "not in "+from)
		if size < 500 {
			// It grows again from there.
			check(t, db.Tiles(l).Extend(t.Context(), size, 700, grown(copyOf(t, 700), size)))
		}
	}
	anew(10)
	r.Size = 11
	refused(t, "more than the copy has", db.ReplaceStorage(t.Context(), l, r), nil, "")
	check(t, db.CheckStorage(t.Context(), from))
	if actions, err := db.Actions(t.Context()); err != nil || len(actions) != 11 {
		t.Errorf("%d actions, %v", len(actions), err)
	}

	// What was held, and is dropped now, was not logged.
	for id, leaf := range map[string]int{"before": 4, "behind": 5, "refused": -1} {
		_, err := db.pool.Exec(t.Context(), "INSERT INTO held (id, repository, role, version, name, kind, source, size, since, until, ended, status, leaf) VALUES ($1, '', '', 1, '', '', '', 1, 1, 1, 1, 'released', $2)", id, leaf)
		check(t, err)
	}
	r.Size = 5
	check(t, db.ReplaceStorage(t.Context(), l, r))
	rows, err := db.pool.Query(t.Context(), "SELECT id || ' ' || status || ' ' || leaf || ' ' || code FROM held ORDER BY id")
	check(t, err)
	var said, row string
	for rows.Next() {
		check(t, rows.Scan(&row))
		said += row + "\n"
	}
	if want := "before released 4 \nbehind refused -1 hold-dropped\nrefused released -1 \n"; said != want {
		t.Errorf("held:\n%swant:\n%s", said, want)
	}

	// Only the leader may.
	check(t, l.Release(t.Context()))
	refused(t, "without the lease", db.ReplaceStorage(context.Background(), l, r), ErrNotLeader, "")
	refused(t, "the next one without the lease", db.SetNextStorage(context.Background(), l, url), ErrNotLeader, "")
}

// grown are the tiles that change when a copy grows from a size.
func grown(tiles map[proofs.TileID][]byte, from int64) map[proofs.TileID][]byte {
	for id := range tiles {
		if count := from >> (8 * max(0, id.Level)); (id.Index+1)*proofs.FullWidth <= count {
			delete(tiles, id)
		}
	}
	return tiles
}
