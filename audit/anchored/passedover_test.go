package anchored_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchored"
)

// A file among the receipts that is none, as somebody may hand over, is reported. All else is judged.
func TestNoReceipt(t *testing.T) {
	w := newWorld(t, 1)
	w.grow(10)
	other := w.trees[7]
	other.Hash[0] ^= 1
	fork := w.note(other, time.Time{})
	w.submit(fork)
	dirs, err := filepath.Glob(filepath.Join(w.dir, "test", "*", "receipts"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dirs[0], "3-victim.json"), []byte("{\"x\":1}\n"), 0o644))
	entries, err := w.ledger.Entries(t.Context())
	must(t, err)
	found, err := w.ledger.Judge(t.Context(), w.log(time.Now()), entries)
	if !errors.Is(err, anchored.ErrNoReceipt) || !strings.Contains(err.Error(), "3-victim.json") {
		t.Errorf("error %v", err)
	}
	if len(found.Entries) != 1 || len(found.Strange) != 1 || string(found.Strange[0]) != string(fork) {
		t.Errorf("%d judged, %d strange", len(found.Entries), len(found.Strange))
	}
}

// A receipt that somebody hands over counts whatever its file is called, and what is none is reported.
func TestReceiptOfAnyName(t *testing.T) {
	w := newWorld(t, 1)
	w.grow(10)
	other := w.trees[7]
	other.Hash[0] ^= 1
	fork := w.note(other, time.Time{})
	w.submit(fork)
	paths, err := filepath.Glob(filepath.Join(w.dir, "test", "*", "receipts", "*.json"))
	must(t, err)
	must(t, os.Rename(paths[0], filepath.Join(filepath.Dir(paths[0]), "from-the-phone")))
	must(t, os.WriteFile(filepath.Join(filepath.Dir(paths[0]), "notes.txt"), []byte("hello\n"), 0o644))
	entries, err := w.ledger.Entries(t.Context())
	must(t, err)
	found, err := w.ledger.Judge(t.Context(), w.log(time.Now()), entries)
	if !errors.Is(err, anchored.ErrNoReceipt) || !strings.Contains(err.Error(), "notes.txt") || strings.Contains(err.Error(), "phone") {
		t.Errorf("error %v", err)
	}
	if len(found.Strange) != 1 || string(found.Strange[0]) != string(fork) {
		t.Errorf("%d strange", len(found.Strange))
	}
}
