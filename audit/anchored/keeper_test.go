package anchored

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/proofs"
)

// While an instance is away no more wait than there is room for, and the newest goes first when
// it is back.
func TestQueue(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	rekor := rekortest.New(t, 2)
	rekor.Instead = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	key := filepath.Join(t.TempDir(), "rekor.pem")
	must(os.WriteFile(key, rekor.PEM(), 0o644))
	signer, err := proofs.GenerateSigner(rand.Reader, "log.example", proofs.ECDSA)
	must(err)
	policy, err := proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nquorum none\n", signer.Key()))
	must(err)
	size := int64(0)
	now := time.Now()
	dir := t.TempDir()
	open := func() *Keeper {
		k, err := NewKeeper(KeeperConfig{
			Config: Config{Name: "r", URL: rekor.URL(), Version: 2, Keys: []string{key}}, Dir: dir, Policy: policy, Origin: "log.example",
			Newest: func() ([]byte, int64) {
				n := proofs.Note{Text: proofs.Checkpoint{Origin: "log.example", Tree: proofs.Tree{N: size, Hash: proofs.Hash{byte(size)}}}.String()}
				sig, err := signer.Sign(n.Text, 0)
				must(err)
				n.Signatures = []proofs.Signature{sig}
				return n.Marshal(), 0
			},
			State: t.TempDir(), Now: func() time.Time { return now },
		})
		must(err)
		return k
	}
	k := open()
	const more = 10
	for range MaxQueue + more {
		size++
		k.collect()
		k.collect() // what waits already does not wait twice
	}
	k.submit(t.Context())
	if s := k.Status(); s.Queued != MaxQueue || s.Since == 0 || s.Size != -1 || !strings.Contains(s.Trouble, "502") {
		t.Errorf("%+v", s)
	}
	asked := len(rekor.Asked)
	if k.again.Sub(now) != firstPause {
		t.Errorf("it is tried again after %v", k.again.Sub(now))
	}
	k.submit(t.Context())
	if k.again.Sub(now) != 2*firstPause || len(rekor.Asked) != asked+1 {
		t.Errorf("it is tried again after %v, %d times", k.again.Sub(now), len(rekor.Asked)-asked)
	}
	// Another process, and the instance is back. The first entry is the newest checkpoint.
	k = open()
	rekor.Set(func(l *rekortest.Ledger) { l.Instead = nil })
	k.collect()
	k.submit(t.Context())
	if s := k.Status(); s.Queued != 0 || s.Since != 0 || s.Size != size || s.Trouble != "" {
		t.Errorf("%+v", s)
	}
	var sizes []int64
	must(k.ledger.Folder.Receipts(func(r Kept) error {
		a, err := k.ledger.Verify(r.Receipt)
		must(err)
		if a.LogIndex != size-r.Size {
			t.Errorf("size %d is entry %d", r.Size, a.LogIndex)
		}
		sizes = append(sizes, r.Size)
		return nil
	}))
	if len(sizes) != MaxQueue || sizes[0] != more+1 {
		t.Errorf("%d receipts, from size %d on", len(sizes), sizes[0])
	}
	// What is anchored does not wait again.
	if k.collect(); k.Status().Queued != 0 {
		t.Errorf("%+v", k.Status())
	}
}
