package anchored_test

import (
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/tuf"
)

// Who acknowledged forged entries, however many, hears of each audit that has more of them.
func TestMoreOrphans(t *testing.T) {
	w := newWorld(t, 1)
	w.grow(10)
	log := w.log(time.Now())
	var judged []anchored.Judged
	seen := map[tuf.Digest]bool{}
	for i, more := range []int{1, 20, 1, 30, 0} {
		for range more {
			d, sig := rekortest.Forge(t, w.signer.Key())
			judged = append(judged, anchored.Judged{
				Entry:   anchored.Entry{Digest: hex.EncodeToString(d[:]), Signature: sig, Time: time.Now(), Entry: json.RawMessage("{}")},
				Verdict: anchor.Orphan, Size: -1,
			})
		}
		fresh := 0
		found := anchored.Findings("r", log, judged)
		for _, f := range found {
			if !seen[f.Digest()] {
				seen[f.Digest()] = true
				fresh++
			}
		}
		if fresh == 0 != (more == 0) || len(found) > anchored.MaxOrphans+1 {
			t.Errorf("%d: %d more orphans, %d findings, %d are new", i, more, len(found), fresh)
		}
	}
}
