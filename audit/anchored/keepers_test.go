package anchored

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/proofs"
)

// keepers makes keepers of one log's anchors in one Rekor, which answers with a status at first.
type keepers struct {
	t      *testing.T
	rekor  *rekortest.Ledger
	key    string // file with Rekor's key
	signer *proofs.Signer
	other  *proofs.Signer // of the log, with Ed25519
	policy *proofs.Policy
	dir    string
	size   int64 // of the log's tree
	now    time.Time

	unsigned bool   // the log signs with the other key alone
	url      string // of what stands before Rekor; empty: nothing does
}

func newKeepers(t *testing.T, status int) *keepers {
	k := &keepers{t: t, rekor: rekortest.New(t, 2), key: filepath.Join(t.TempDir(), "rekor.pem"), dir: t.TempDir(), now: time.Now()}
	k.rekor.Instead = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true }
	k.must(os.WriteFile(k.key, k.rekor.PEM(), 0o644))
	var err error
	k.signer, err = proofs.GenerateSigner(rand.Reader, "log.example", proofs.ECDSA)
	k.must(err)
	k.other, err = proofs.GenerateSigner(rand.Reader, "log.example", proofs.Ed25519)
	k.must(err)
	k.policy, err = proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nlog %v\nquorum none\n", k.other.Key(), k.signer.Key()))
	k.must(err)
	return k
}

func (k *keepers) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// tree is what the log shows.
func (k *keepers) tree() proofs.Tree {
	return proofs.Tree{N: k.size, Hash: proofs.Hash{byte(k.size)}}
}

// note is a checkpoint of the log.
func (k *keepers) note(tree proofs.Tree, signer *proofs.Signer) []byte {
	n := proofs.Note{Text: proofs.Checkpoint{Origin: "log.example", Tree: tree}.String()}
	sig, err := signer.Sign(n.Text, 0)
	k.must(err)
	n.Signatures = []proofs.Signature{sig}
	return n.Marshal()
}

// open returns a keeper, as a process that starts has it.
func (k *keepers) open() *Keeper {
	keeper, err := NewKeeper(KeeperConfig{
		Config: Config{Name: "r", URL: cmp.Or(k.url, k.rekor.URL()), Version: 2, Keys: []string{k.key}}, Dir: k.dir, Policy: k.policy, Origin: "log.example",
		Newest: func() ([]byte, int64) {
			if k.unsigned {
				return k.note(k.tree(), k.other), 0
			}
			return k.note(k.tree(), k.signer), 0
		},
		State: k.t.TempDir(), Now: func() time.Time { return k.now },
	})
	k.must(err)
	return keeper
}
