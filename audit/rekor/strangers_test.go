package rekor_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/proofs"
)

// strangers returns what anybody can submit so that Rekor v1 lists it under a log's key, without that
// key and without a signature under it: an entry with a certificate one of whose names is what the index
// calls the key. The certificate has a size.
func strangers(t *testing.T, of proofs.Key, size int) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name := sha256.Sum256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: of.PublicKey()}))
	cert := &x509.Certificate{
		SerialNumber:    big.NewInt(1),
		DNSNames:        []string{hex.EncodeToString(name[:])},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 55555, 1}, Value: make([]byte, size)}},
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(der)
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%x"}},"signature":{"content":%q,"publicKey":{"content":%q}}}}`,
		digest, b64(sig), b64(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// listed returns the anchors that a v1 lists, and how many leaves of others.
func listed(t *testing.T, i *rekor.Instance, key proofs.Key, known map[proofs.Hash]bool) (anchors []*rekor.Anchor, others int) {
	t.Helper()
	for l, err := range i.List(t.Context(), key, func(leaf proofs.Hash) bool { return known[leaf] }) {
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		known[l.Leaf] = true
		if l.Anchor != nil {
			anchors = append(anchors, l.Anchor)
		} else {
			others++
		}
	}
	return anchors, others
}

// What strangers put under a log's key keeps nothing from being read, however large it is, and is read once.
func TestStrangersEntries(t *testing.T) {
	l := newLedger(t, 1)
	v, i := newVendorlog(t), l.instance()
	for n := range 24 {
		size := 60 << 10 // no leaf of a log's key is that large
		if n < 12 {
			size = 400 << 10
		}
		l.Add(strangers(t, v.key, size))
		l.Names[n] = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: v.key.PublicKey()}))
	}
	if _, err := i.Submit(t.Context(), v.note(t, 1), v.key); err != nil {
		t.Fatal(err)
	}
	known := map[proofs.Hash]bool{}
	if anchors, others := listed(t, i, v.key, known); len(anchors) != 1 || others != 24 {
		t.Errorf("%d anchors, %d others", len(anchors), others)
	}
	if anchors, others := listed(t, i, v.key, known); len(anchors) != 0 || others != 0 {
		t.Errorf("read again: %d anchors, %d others", len(anchors), others)
	}
}

// An entry at which the instance fails keeps the others from nothing.
func TestFailsAtOne(t *testing.T) {
	l := newLedger(t, 1)
	v, i := newVendorlog(t), l.instance()
	for n := range int64(25) {
		if _, err := i.Submit(t.Context(), v.note(t, n+1), v.key); err != nil {
			t.Fatal(err)
		}
	}
	bad := l.UUID(3)
	l.Set(func(l *rekortest.Ledger) {
		l.Instead = func(w http.ResponseWriter, r *http.Request) bool {
			b, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(b))
			if !strings.HasSuffix(r.URL.Path, "/log/entries/retrieve") || !bytes.Contains(b, []byte(bad)) {
				return false
			}
			rekortest.Say(w, 500, map[string]any{"code": 500, "message": "failed"})
			return true
		}
	})
	good := 0
	var errs []error
	for l, err := range i.List(t.Context(), v.key, nil) {
		if err != nil {
			errs = append(errs, err)
		} else if l.Anchor != nil {
			good++
		}
	}
	if good != 24 || len(errs) != 1 || !errors.Is(errs[0], rekor.ErrUnavailable) {
		t.Errorf("%d anchors, %v", good, errs)
	}
}

func TestStrangersEntriesReal(t *testing.T) {
	_, i, cfg := newReal(t, 1, false)
	v := newVendorlog(t)
	for _, size := range []int{1, 60 << 10, 400 << 10, 400 << 10, 400 << 10, 400 << 10, 400 << 10, 400 << 10, 2100 << 10} {
		resp, err := http.Post(cfg.URL+"/api/v1/log/entries", "application/json", bytes.NewReader(strangers(t, v.key, size)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 201 {
			t.Fatalf("a certificate of %d bytes: it answers %d", size, resp.StatusCode)
		}
	}
	if _, err := i.Submit(t.Context(), v.note(t, 1), v.key); err != nil {
		t.Fatal(err)
	}
	known := map[proofs.Hash]bool{}
	anchors, others := 0, 0
	err := process.Eventually(t.Context(), "all entries are listed", process.Patience, func() bool {
		a, o := listed(t, i, v.key, known)
		anchors, others = anchors+len(a), others+o
		return t.Failed() || anchors == 1 && others == 9
	})
	if err != nil || t.Failed() {
		t.Fatalf("%d anchors, %d others: %v", anchors, others, err)
	}
}
