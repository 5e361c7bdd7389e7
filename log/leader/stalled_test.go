package leader_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

// A leader knows that nothing it has to publish gets further; one that has nothing to
// publish waits for nothing.
func TestStalled(t *testing.T) {
	c := newCluster(t, nil)
	leader := c.front(t)
	l := leader.lead(t)
	v := newVendor(t)
	if _, err := leader.client.Register(t.Context(), file(v, "root").Data); err != nil {
		t.Fatal(err)
	}
	if d := l.Stalled(); d != 0 {
		t.Errorf("with nothing to publish: %v", d)
	}
	signed, size := l.Publisher().Cosigned()
	note, err := proofs.ParseNote(signed)
	if err != nil || len(note.Signatures) != 1 || note.Signatures[0].Name != "log.example" || size != 1 {
		t.Errorf("what witnesses are asked with: size %d, %v\n%s", size, err, signed)
	}

	c.Witnesses.SetDown(true, true, true)
	leader.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data, "Prefer", "wait=0")
	eventually(t, "an entry waits for witnesses", func() bool { return l.Stalled() > 0 })
	c.Witnesses.SetDown(false, false, false)
	eventually(t, "it is published", func() bool { return l.Stalled() == 0 })

	var broken atomic.Bool
	broken.Store(true)
	c.Storage.OnAppend = func(entries [][]byte) ([][]byte, error) {
		if broken.Load() {
			return nil, errors.New("the cable is out")
		}
		return entries, nil
	}
	leader.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data, "Prefer", "wait=0")
	eventually(t, "a file waits to be appended", func() bool { return l.Stalled() > 0 })
	broken.Store(false)
	eventually(t, "it is appended, and published", func() bool { return l.Stalled() == 0 && l.Publisher().Published().Tree.N == 3 })
}
