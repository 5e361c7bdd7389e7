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
	if all, err = first.FrontEnds(t.Context()); err != nil || len(all) != 1 {
		t.Fatalf("forgotten: %+v, %v", all, err)
	}
}
