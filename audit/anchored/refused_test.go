package anchored

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/proofs"
)

// What an instance refuses does not wait, and is not anchored either.
func TestRefused(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	rekor := rekortest.New(t, 2)
	rekor.Instead = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusNotFound); return true }
	key := filepath.Join(t.TempDir(), "rekor.pem")
	must(os.WriteFile(key, rekor.PEM(), 0o644))
	signer, err := proofs.GenerateSigner(rand.Reader, "log.example", proofs.ECDSA)
	must(err)
	policy, err := proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nquorum none\n", signer.Key()))
	must(err)
	size := int64(0)
	k, err := NewKeeper(KeeperConfig{
		Config: Config{Name: "r", URL: rekor.URL(), Version: 2, Keys: []string{key}}, Dir: t.TempDir(), Policy: policy, Origin: "log.example",
		Newest: func() ([]byte, int64) {
			n := proofs.Note{Text: proofs.Checkpoint{Origin: "log.example", Tree: proofs.Tree{N: size, Hash: proofs.Hash{byte(size)}}}.String()}
			sig, err := signer.Sign(n.Text, 0)
			must(err)
			n.Signatures = []proofs.Signature{sig}
			return n.Marshal(), 0
		},
		State: t.TempDir(),
	})
	must(err)
	for range 3 {
		size++
		k.collect()
		k.submit(t.Context())
		if s := k.Status(); s.Since == 0 || s.Queued != 0 || s.Trouble == "" {
			t.Errorf("%+v", s)
		}
	}
	rekor.Set(func(l *rekortest.Ledger) { l.Instead = nil })
	size++
	k.collect()
	k.submit(t.Context())
	if s := k.Status(); s.Since != 0 || s.Size != size {
		t.Errorf("%+v", s)
	}
}
