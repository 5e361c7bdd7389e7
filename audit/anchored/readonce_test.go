package anchored_test

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/proofs"
)

// An entry of version 1 that was read is not asked for again, whatever it is, and judged at each audit. Above
// the limit of one audit that is said, and the next one goes on.
func TestReadOnce(t *testing.T) {
	w := newWorld(t, 1)
	w.rekor.Time = func(int) time.Time { return time.Now() }
	w.grow(40)
	key := w.signer.Key()
	for size := range 25 {
		note := w.note(w.trees[size+1], time.Time{})
		w.submit(note)
		n, err := proofs.ParseNote(note)
		must(t, err)
		w.rekor.Submit(sha256.Sum256([]byte(n.Text)), rekortest.Negate(t, n.Signatures[0].Sig), key) // the same anchor
	}
	forged, sig := rekortest.Forge(t, key)
	w.rekor.Submit(forged, sig, key)
	w.rekor.Add([]byte(strings.Replace(string(w.rekor.Leaves[0]), `"hashedrekord"`, `"rekord"`, 1)))
	asked := 0
	w.rekor.Set(func(l *rekortest.Ledger) {
		l.Instead = func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/log/entries/retrieve") {
				asked++
			}
			return false
		}
	})
	late := time.Now().Add(3 * time.Hour)
	for audit, want := range []int{2, 2, 2, 0, 0} { // requests, of ten entries each
		w.open()
		w.ledger.Most = 20
		asked = 0
		entries, err := w.ledger.Entries(t.Context())
		if more := audit < 2; more != errors.Is(err, anchored.ErrMore) || !more && err != nil {
			t.Errorf("audit %d: %v", audit, err)
		}
		// What follows the twentieth is only asked for once the next audit goes on from there.
		if asked > want+1 || audit > 2 && asked > 0 {
			t.Errorf("audit %d: %d requests", audit, asked)
		}
		if _, err := w.ledger.Judge(t.Context(), w.log(late), entries); err != nil {
			t.Fatal(err)
		}
	}
	w.open()
	verdicts, _, _ := w.judge(late)
	consistent, orphans := 0, 0
	for _, v := range verdicts {
		switch v.Verdict {
		case anchor.Consistent:
			consistent++
		case anchor.Orphan:
			orphans++
		}
	}
	if consistent != 25 || orphans != 1 {
		t.Errorf("%d consistent, %d orphans", consistent, orphans)
	}
	// What the log rewrites later is found out by what is remembered alone.
	w.leaves[20][0] ^= 1
	edge := new(proofs.Edge)
	for n, l := range w.leaves {
		must(t, edge.Append(l))
		w.trees[n+1] = edge.Tree()
	}
	asked = 0
	w.open()
	verdicts, strange, _ := w.judge(late)
	orphans = 0
	for _, v := range verdicts {
		if v.Verdict == anchor.Orphan {
			orphans++
		}
	}
	if orphans != 6 || len(strange) != 5 || asked > 0 {
		t.Errorf("%d orphans, %d strange, %d requests", orphans, len(strange), asked)
	}
	paths, err := filepath.Glob(filepath.Join(w.dir, "test", "*", "memory.json"))
	must(t, err)
	info, err := os.Stat(paths[0])
	must(t, err)
	if perEntry := info.Size() / 52; perEntry > 600 {
		t.Errorf("%d bytes an entry are remembered", perEntry)
	}
}
