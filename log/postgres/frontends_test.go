package postgres

import (
	"strings"
	"testing"
	"time"
)

// Each front end has a row that tells that it lives, whatever the database's clock says.
func TestFrontEnds(t *testing.T) {
	url := newDatabase(t)
	first, second := open(t, url, 0), open(t, url, 0)
	all, err := first.Tell(t.Context(), FrontEnd{ID: "a", URL: "http://a", Version: "v1", Able: true, Leader: 3})
	check(t, err)
	if len(all) != 1 || all[0].ID != "a" || !all[0].Able || all[0].Leader != 3 || all[0].Writes != 0 {
		t.Fatalf("alone: %+v", all)
	}
	// What servers have said is text of any kind.
	b := FrontEnd{ID: "b", URL: "http://b", Why: "cut \x00off \xff " + strings.Repeat("é", maxWhy), Unreached: "no route"}
	all, err = second.Tell(t.Context(), b)
	check(t, err)
	if len(all) != 2 || all[1].ID != "b" || all[1].Able || !strings.HasPrefix(all[1].Why, "cut off  é") || len(all[1].Why) > maxWhy || all[1].Unreached != "no route" {
		t.Fatalf("two: %+v", all)
	}
	gone := all[1]
	_, err = second.Tell(t.Context(), b)
	check(t, err)
	// Not as it was read: it lives.
	check(t, first.Forget(t.Context(), gone))
	all, err = first.FrontEnds(t.Context())
	check(t, err)
	if len(all) != 2 || all[1].Writes == gone.Writes || all[1].Ago < 0 || all[1].Ago > time.Minute {
		t.Fatalf("written again: %+v", all)
	}
	check(t, first.Forget(t.Context(), all[1]))
	defer func() {
		// A table that is lost is made again by those who write it, not by those who look.
		check(t, execAs(t, url, "DROP TABLE front_ends"))
		_, err := first.FrontEnds(t.Context())
		refused(t, "without the table", err, nil, `"front_ends" does not exist`)
		_, err = first.Tell(t.Context(), b)
		refused(t, "the first time", err, nil, `"front_ends" does not exist`)
		if all, err = first.Tell(t.Context(), b); err != nil || len(all) != 1 || all[0].ID != "b" {
			t.Errorf("with a new table: %+v, %v", all, err)
		}
	}()
	if all, err = first.FrontEnds(t.Context()); err != nil || len(all) != 1 {
		t.Fatalf("forgotten: %+v, %v", all, err)
	}
}

// A row as no front end writes it keeps nobody from reading the others, and from writing
// his own.
func TestStrangeFrontEnds(t *testing.T) {
	url := newDatabase(t)
	db := open(t, url, 0)
	own := FrontEnd{ID: "own", URL: "http://own", Able: true}
	_, err := db.Tell(t.Context(), own)
	check(t, err)
	for _, at := range []string{"infinity", "-infinity", "294000-01-01", "4000-01-01 BC"} {
		check(t, execAs(t, url, "INSERT INTO front_ends (id, url, version, able, why, leader, unreached, writes, at) VALUES ('"+at+"', 'http://x', '', true, repeat('é', 1000000), 9223372036854775807, '', -1, '"+at+"')"))
	}
	check(t, execAs(t, url, "UPDATE front_ends SET writes = 9223372036854775807"))
	for range 2 {
		all, err := db.Tell(t.Context(), own)
		check(t, err)
		if len(all) != 5 || all[0].ID != "own" || !all[0].Able || all[0].Ago < 0 || all[0].Ago > time.Minute {
			t.Fatalf("beside strange rows: %+v", all[0])
		}
		for _, f := range all[1:] {
			if f.Ago < time.Hour || len(f.Why) > 2*maxWhy {
				t.Errorf("%s: %v ago, %d bytes", f.ID, f.Ago, len(f.Why))
			}
		}
	}
	// As many as there never are: those that were written last are read.
	check(t, execAs(t, url, "INSERT INTO front_ends SELECT 'r' || n, 'http://a', '', true, '', 0, '', 0, 'yesterday' FROM generate_series(1, 3000) n"))
	all, err := db.Tell(t.Context(), own)
	check(t, err)
	found := false
	for _, f := range all {
		found = found || f.ID == own.ID
	}
	if len(all) != maxRows || !found {
		t.Errorf("%d rows of 3000, its own among them: %v", len(all), found)
	}
}
