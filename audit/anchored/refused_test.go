package anchored

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/audit/rekor/rekortest"
)

// What an instance refuses does not wait, and is not anchored either.
func TestRefused(t *testing.T) {
	w := newKeepers(t, http.StatusNotFound)
	k := w.open()
	for range 3 {
		w.size++
		k.collect()
		k.submit(t.Context())
		if s := k.Status(); s.Since == 0 || s.Queued != 0 || s.Trouble == "" {
			t.Errorf("%+v", s)
		}
	}
	w.rekor.Set(func(l *rekortest.Ledger) { l.Instead = nil })
	w.size++
	k.collect()
	k.submit(t.Context())
	if s := k.Status(); s.Since != 0 || s.Size != w.size {
		t.Errorf("%+v", s)
	}
}

// A file among the receipts says nothing by its name: others put theirs there.
func TestForeignReceipt(t *testing.T) {
	w := newKeepers(t, http.StatusBadGateway)
	k := w.open()
	w.size++
	k.collect()
	w.must(os.MkdirAll(filepath.Join(k.ledger.Folder.path, "receipts"), 0o755))
	foreign := filepath.Join(k.ledger.Folder.path, "receipts", "000000000000999999-x.json")
	w.must(os.WriteFile(foreign, []byte("{}\n"), 0o644))
	k.collect()
	if s := k.Status(); s.Since == 0 || s.Size != -1 {
		t.Errorf("%+v", s)
	}
}
