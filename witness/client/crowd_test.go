package client_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// A witness that cosigns a hundred times, each time at another second, does not make
// a checkpoint that nobody can read: of each witness one cosignature is kept.
func TestGatherKeepsOneCosignature(t *testing.T) {
	f := newFixture(t, "group g all w1 w2 w3\nquorum g\n", serverURL)
	f.log.Grow(1, "")
	text, times := f.log.Checkpoint().String(), int64(proofs.MaxSignatures)
	now := time.Now().Unix()
	var lines strings.Builder
	for i := range times {
		lines.WriteString(cosign(t, f.peers[0].signer, text, now+(i+5)%times).String())
	}
	f.peers[0].answer(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, lines.String()) })
	sc := f.mustGather()
	for _, c := range sc.Cosignatures {
		if c.Key == f.peers[0].signer.Key() && c.Time != now+times-1 {
			t.Errorf("the cosignature that is kept has time %d, want the latest", c.Time)
		}
	}
	if got, want := len(sc.Note.Signatures), 1+len(f.peers); got != want {
		t.Errorf("%d signatures, want %d", got, want)
	}
}
