package anchored_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
)

// Entries that others forge, however many, do not make forgotten what may still be an orphan: no more is read than
// there is room for, and the next audits go on, until all of them are judged.
func TestFlood(t *testing.T) {
	for _, version := range []int{1, 2} {
		w := newWorld(t, version)
		w.rekor.Time = func(int) time.Time { return time.Now() }
		w.grow(100)
		other := w.trees[70]
		forks := []string{}
		fork := func() {
			other.Hash[0]++
			note := w.note(other, time.Time{})
			w.pin(note)
			forks = append(forks, digest(note))
		}
		fork()
		for range 30 {
			sum, sig := rekortest.Forge(t, w.signer.Key())
			if version == 1 {
				w.rekor.Submit(sum, sig, w.signer.Key())
			} else {
				w.rekor.Add(rekortest.LeafV2(sum[:], sig, w.signer.Key().PublicKey()))
			}
		}
		fork()
		orphans, total := map[string]bool{}, 0
		audit := func(at time.Time) error {
			w.open()
			w.ledger.Strange = 10
			entries, err := w.ledger.Entries(t.Context())
			found, err2 := w.ledger.Judge(t.Context(), w.log(at), entries)
			if found == nil {
				t.Fatal(err2)
			}
			for _, j := range found.Entries {
				if j.Verdict == anchor.Orphan && !orphans[j.Digest] {
					orphans[j.Digest] = true
					total++
				}
			}
			return err
		}
		for range 3 { // while all are open
			if err := audit(time.Now()); !errors.Is(err, anchored.ErrMore) {
				t.Errorf("v%d: error %v", version, err)
			}
		}
		for range 6 {
			_ = audit(time.Now().Add(3 * time.Hour))
		}
		if !orphans[forks[0]] || !orphans[forks[1]] || total != 32 {
			t.Errorf("v%d: %v and %v are orphans, of %d", version, orphans[forks[0]], orphans[forks[1]], total)
		}
	}
}
