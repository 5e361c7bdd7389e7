package verify_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/tuflog/tuflog/bench/floor"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// BenchmarkOffline judges a targets file of 5 KB and the proof beside it from their bytes:
// one signature of the role, the log's and three cosignatures, ten steps of the tree. The
// floor is five bare verifications and the hashes of the file, the payload and the steps.
func BenchmarkOffline(b *testing.B) {
	r := newFakeRepo(b)
	r.cosignAll = true
	for i := range 29 {
		r.put("targets", fmt.Sprintf("images/board-%06d.bin", i), fmt.Sprint(i))
	}
	for i := range 1000 {
		r.log.Add(fmt.Append(nil, i))
	}
	r.publish("targets")
	file := r.last("targets")
	sidecar, policy := r.sidecars[tuf.Sum(file)], r.log.Policy()
	keys := r.parse(r.last("root")).Root.KeySet("targets")
	judge := func() {
		m, err := tuf.ParseJSON(file)
		r.must(err)
		r.must(m.Meets(keys))
		_, err = verify.CheckSidecar(sidecar, verify.ClaimFor(r.genesis, "targets", m), policy)
		r.must(err)
	}

	payload := r.parse(file).Payload
	bare := []func() bool{}
	for _, private := range r.signers["targets"] {
		public, sig := private.Public().(ed25519.PublicKey), ed25519.Sign(private, payload)
		bare = append(bare, func() bool { return ed25519.Verify(public, payload, sig) })
	}
	proof, err := proofs.ParseProof(sidecar)
	r.must(err)
	bare = append(bare, bareNote(b, r, proof.Checkpoint)...)
	node := make([]byte, 65)
	floor.Beside(b, judge, func() {
		sha256.Sum256(file)
		sha256.Sum256(payload)
		for range proof.Hashes {
			sha256.Sum256(node)
		}
		for _, verify := range bare {
			if !verify() {
				b.Fatal("a bare signature does not verify")
			}
		}
	})
}

// bareNote returns what verifies each signature of a checkpoint by nothing but Ed25519.
func bareNote(b *testing.B, r *fakeRepo, checkpoint []byte) (list []func() bool) {
	note, err := proofs.ParseNote(checkpoint)
	r.must(err)
	for _, s := range append([]*proofs.Signer{r.log.Key}, r.log.Witnesses...) {
		times, err := note.VerifiedBy(s.Key())
		r.must(err)
		text := note.Text
		if s.Key().Algorithm() == proofs.CosignatureV1 {
			text = fmt.Sprintf("cosignature/v1\ntime %d\n%s", times[0], text)
		}
		for _, line := range note.Signatures {
			if line.Name != s.Key().Name() {
				continue
			}
			public, sig := s.Key().PublicKey(), line.Sig[len(line.Sig)-ed25519.SignatureSize:]
			list = append(list, func() bool { return ed25519.Verify(public, []byte(text), sig) })
		}
	}
	if len(list) != 4 {
		b.Fatalf("%d signatures, want the log's and three cosignatures", len(list))
	}
	return list
}
