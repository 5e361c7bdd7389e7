package anchored_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/rekor/rekortest"
)

// However many entries an index lists that are not there, those that are there are read.
func TestListedAndNotThere(t *testing.T) {
	w := newWorld(t, 1)
	w.grow(10)
	note := w.note(w.trees[7], time.Time{})
	w.pin(note)
	w.rekor.Set(func(l *rekortest.Ledger) {
		l.Instead = func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/index/retrieve") {
				return false
			}
			var ids []string
			for n := range 150 {
				ids = append(ids, fmt.Sprintf("%064x", n))
			}
			rekortest.Say(rw, 200, append(ids, l.UUID(0)))
			return true
		}
	})
	entries, err := w.ledger.Entries(t.Context())
	if len(entries) != 1 || entries[0].Digest != digest(note) {
		t.Errorf("%d entries", len(entries))
	}
	if err == nil || !strings.Contains(err.Error(), "and 147 more") {
		t.Errorf("error %v", err)
	}
}
