package anchored_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/internal/lockfile"
)

// Two that audit with one folder exclude each other, and if they do not, no entry is lost that one of
// them has read.
func TestTwoAudits(t *testing.T) {
	w := newWorld(t, 2)
	w.grow(100)
	w.submit(w.note(w.trees[60], time.Time{}))
	w.judge(time.Now())
	lock, err := w.ledger.Folder.Lock()
	must(t, err)
	first := w.ledger
	w.open()
	if _, err := w.ledger.Folder.Lock(); !errors.Is(err, lockfile.ErrHeld) {
		t.Errorf("a second lock: %v", err)
	}
	must(t, lock.Release())

	entries, err := first.Entries(t.Context())
	must(t, err)
	other := w.trees[70]
	other.Hash[0] ^= 1
	fork := w.note(other, time.Time{})
	instance, err := rekor.New(w.rekor.Config())
	must(t, err)
	_, err = instance.Submit(t.Context(), fork, w.signer.Key())
	must(t, err)
	w.judge(time.Now().Add(3 * time.Hour))
	_, err = first.Judge(t.Context(), w.log(time.Now()), entries)
	must(t, err)
	w.open()
	if verdicts, _, _ := w.judge(time.Now().Add(3 * time.Hour)); verdicts[digest(fork)].Verdict != anchor.Orphan {
		t.Errorf("%q of %d entries", verdicts[digest(fork)].Verdict, len(verdicts))
	}
}
