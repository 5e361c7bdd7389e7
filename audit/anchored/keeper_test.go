package anchored

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/rekor/rekortest"
)

// While an instance is away no more wait than there is room for, and the newest goes first when
// it is back.
func TestQueue(t *testing.T) {
	w := newKeepers(t, http.StatusBadGateway)
	k := w.open()
	const more = 10
	for range MaxQueue + more {
		w.size++
		k.collect()
		k.collect() // what waits already does not wait twice
	}
	k.submit(t.Context())
	if s := k.Status(); s.Queued != MaxQueue || s.Since == 0 || s.Size != -1 || !strings.Contains(s.Trouble, "502") {
		t.Errorf("%+v", s)
	}
	asked := len(w.rekor.Asked)
	if k.again.Sub(w.now) != firstPause {
		t.Errorf("it is tried again after %v", k.again.Sub(w.now))
	}
	k.submit(t.Context())
	if k.again.Sub(w.now) != 2*firstPause || len(w.rekor.Asked) != asked+1 {
		t.Errorf("it is tried again after %v, %d times", k.again.Sub(w.now), len(w.rekor.Asked)-asked)
	}
	// Another process, and the instance is back. The first entry is the newest checkpoint.
	k = w.open()
	w.rekor.Set(func(l *rekortest.Ledger) { l.Instead = nil })
	k.collect()
	k.submit(t.Context())
	if s := k.Status(); s.Queued != 0 || s.Since != 0 || s.Size != w.size || s.Trouble != "" {
		t.Errorf("%+v", s)
	}
	var sizes []int64
	w.must(k.ledger.Folder.Receipts(func(r Kept) error {
		a, err := k.ledger.Verify(r.Receipt)
		w.must(err)
		_, c, err := parseSigned(r.Receipt.Note)
		w.must(err)
		if a.LogIndex != w.size-c.Tree.N {
			t.Errorf("size %d is entry %d", c.Tree.N, a.LogIndex)
		}
		sizes = append(sizes, c.Tree.N)
		return nil
	}))
	if len(sizes) != MaxQueue || slices.Min(sizes) != more+1 {
		t.Errorf("%d receipts, from size %d on", len(sizes), slices.Min(sizes))
	}
	// What is anchored does not wait again.
	if k.collect(); k.Status().Queued != 0 {
		t.Errorf("%+v", k.Status())
	}
}
