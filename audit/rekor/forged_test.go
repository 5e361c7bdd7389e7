package rekor_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"testing"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/proofs"
)

func pair(t *testing.T, r, s *big.Int) []byte {
	t.Helper()
	sig, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// post submits an entry to a ledger without any of the package.
func (l *ledger) post(t *testing.T, algorithm string, digest, sig []byte, key proofs.Key) {
	t.Helper()
	b64 := base64.StdEncoding.EncodeToString
	path, body := "/api/v2/log/entries", fmt.Sprintf(`{"hashedRekordRequestV002":{"digest":%q,"signature":{"content":%q,"verifier":{"publicKey":{"rawBytes":%q},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}`, b64(digest), b64(sig), b64(key.PublicKey()))
	if l.version == 1 {
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key.PublicKey()})
		path, body = "/api/v1/log/entries", fmt.Sprintf(`{"kind":"hashedrekord","apiVersion":"0.0.1","spec":{"data":{"hash":{"algorithm":%q,"value":%q}},"signature":{"content":%q,"publicKey":{"content":%q}}}}`, algorithm, hex.EncodeToString(digest), b64(sig), b64(text))
	}
	resp, err := http.Post(l.url+path, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 201 {
		t.Fatalf("%s answers %d", path, resp.StatusCode)
	}
}

// Without a private key, anyone can have an entry under a log's key. So an entry without its note
// accuses nobody: no note goes with this one.
func TestForgedEntry(t *testing.T) {
	each(t, func(t *testing.T, l *ledger) {
		v, i := newVendorlog(t), l.instance()
		sum, sig := rekortest.Forge(t, v.key)
		digest := sum[:]
		l.post(t, "sha256", digest, sig, v.key)
		anchors := found(t, i, v.key)
		if len(anchors) != 1 || !bytes.Equal(anchors[0].Digest[:], digest) || anchors[0].Size != 0 {
			t.Fatalf("%d anchors", len(anchors))
		}
		r := rekor.Receipt{Instance: "test", Version: l.version, Note: v.note(t, 1), Entry: anchors[0].Entry}
		if _, err := r.Verify(v.key, l.Config().Keys); err == nil {
			t.Error("the entry is a receipt of a note that it is not of")
		}
		// Not even with a note that carries the same signature.
		n, err := proofs.ParseNote(r.Note)
		if err != nil {
			t.Fatal(err)
		}
		n.Signatures[0].Sig = sig
		r.Note = n.Marshal()
		if _, err := r.Verify(v.key, l.Config().Keys); err == nil {
			t.Error("a forged signature verifies over a note")
		}
	})
}

// Rekor's own servers, of both versions, take a forged entry.
func TestForgedEntryReal(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			_, i, cfg := newReal(t, version, version == 2)
			v := newVendorlog(t)
			sum, sig := rekortest.Forge(t, v.key)
			digest := sum[:]
			(&ledger{version: version, url: cfg.URL}).post(t, "sha256", digest, sig, v.key)
			var anchors []*rekor.Anchor
			err := process.Eventually(t.Context(), "the entry is shown", process.Patience, func() bool {
				anchors = found(t, i, v.key)
				return len(anchors) > 0
			})
			if err != nil || !bytes.Equal(anchors[0].Digest[:], digest) {
				t.Errorf("%d anchors, %v", len(anchors), err)
			}
		})
	}
}

// A digest of the log's with more bytes behind it is signed under P-256 as the digest itself.
func TestLongerDigests(t *testing.T) {
	l := newLedger(t, 1)
	v, i := newVendorlog(t), l.instance()
	note := v.note(t, 1)
	n, _ := proofs.ParseNote(note)
	d := digest(note)
	l.post(t, "sha512", append(d[:], make([]byte, 32)...), n.Signatures[0].Sig, v.key)
	l.post(t, "sha384", append(d[:], make([]byte, 16)...), n.Signatures[0].Sig, v.key)
	if anchors := found(t, i, v.key); len(anchors) != 0 {
		t.Errorf("%d anchors of digests that the log did not sign", len(anchors))
	}
	l.post(t, "sha256", d[:], n.Signatures[0].Sig, v.key)
	if anchors := found(t, i, v.key); len(anchors) != 1 {
		t.Errorf("%d anchors, want the honest one", len(anchors))
	}
}

// Anyone can turn a signature into a second one of the same digest, which is another entry.
func TestTwistedSignature(t *testing.T) {
	each(t, func(t *testing.T, l *ledger) {
		v, i := newVendorlog(t), l.instance()
		note := v.note(t, 1)
		receipt, err := i.Submit(t.Context(), note, v.key)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := proofs.ParseNote(note)
		var rs struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(n.Signatures[0].Sig, &rs); err != nil {
			t.Fatal(err)
		}
		d := digest(note)
		l.post(t, "sha256", d[:], pair(t, rs.R, rs.S.Sub(elliptic.P256().Params().N, rs.S)), v.key)
		anchors := found(t, i, v.key)
		if len(anchors) != 2 || anchors[0].Digest != anchors[1].Digest || anchors[0].Digest != d {
			t.Fatalf("%d anchors", len(anchors))
		}
		receipt.Entry = anchors[1].Entry
		if _, err := receipt.Verify(v.key, l.Config().Keys); err == nil {
			t.Error("an entry with a signature that the note does not have is a receipt of it")
		}
	})
}

// A leaf that names the key and has no signature of it is not the log's, even if Rekor made it.
func TestUnsignedEntry(t *testing.T) {
	l := newLedger(t, 2)
	v, other, i := newVendorlog(t), newVendorlog(t), l.instance()
	d := sha256.Sum256([]byte("text\n"))
	sig, err := other.signer.Sign("text\n", 0)
	if err != nil {
		t.Fatal(err)
	}
	l.Add(rekortest.LeafV2(d[:], sig.Sig, v.key.PublicKey()))
	if anchors := found(t, i, v.key); len(anchors) != 0 {
		t.Errorf("%d anchors", len(anchors))
	}
}
