package rekorserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/proofs"
)

// statement is a note and the signature of it that Rekor takes.
type statement struct {
	note   []byte
	digest [32]byte
	sig    []byte
	key    proofs.Key
}

// newStatement signs a checkpoint of a size.
func newStatement(t *testing.T, log *proofs.Signer, size int64) statement {
	t.Helper()
	tree := proofs.Tree{N: size, Hash: sha256.Sum256([]byte{byte(size)})} // Rekor does not see it
	text := proofs.Checkpoint{Origin: log.Key().Name(), Tree: tree}.String()
	sig, err := log.Sign(text, 0)
	if err != nil {
		t.Fatal(err)
	}
	note := proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}
	return statement{note.Marshal(), sha256.Sum256([]byte(text)), sig.Sig, log.Key()}
}

// v1 is the body of a submission to Rekor v1.
func (s statement) v1() any {
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: s.key.PublicKey()})
	return map[string]any{"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": map[string]any{
		"data": map[string]any{"hash": map[string]any{"algorithm": "sha256", "value": hex.EncodeToString(s.digest[:])}},
		"signature": map[string]any{
			"content":   base64.StdEncoding.EncodeToString(s.sig),
			"publicKey": map[string]any{"content": base64.StdEncoding.EncodeToString(block)},
		},
	}}
}

// v2 is the body of a submission to Rekor v2.
func (s statement) v2() any {
	return map[string]any{"hashedRekordRequestV002": map[string]any{
		"digest": base64.StdEncoding.EncodeToString(s.digest[:]),
		"signature": map[string]any{
			"content": base64.StdEncoding.EncodeToString(s.sig),
			"verifier": map[string]any{
				"publicKey":  map[string]any{"rawBytes": base64.StdEncoding.EncodeToString(s.key.PublicKey())},
				"keyDetails": "PKIX_ECDSA_P256_SHA_256",
			},
		},
	}}
}

func ecdsaKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ed25519Key(t *testing.T) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	if err := process.Eventually(t.Context(), what, process.Patience, is); err != nil {
		t.Fatal(err)
	}
}

// Entries survive that Rekor is killed, at the same URL and in the same tree.
func TestV1(t *testing.T) {
	s := NewV1(t, "v1.rekor.example", ecdsaKey(t))
	st := newStatement(t, testlog.NewSigner(t, "log.example", proofs.ECDSA), 1)
	was := ask(t, s.URL+"/api/v1/log/entries", "", st.v1(), http.StatusCreated)
	s.Kill()
	if _, err := get(t.Context(), s.URL+"/api/v1/log"); err == nil {
		t.Error("the server that was killed answers")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	is := ask(t, s.URL+"/api/v1/log/entries", "", st.v1(), http.StatusConflict)
	if got, want := is.Header["Location"], was.Header["Location"]; got != want || want == "" {
		t.Errorf("the entry is at %q, was at %q", got, want)
	}
	ask(t, s.URL+is.Header["Location"], "", nil, http.StatusOK)
}

// So do those of rekor-tiles, whose checkpoint and tiles can be read while it is away.
func TestV2(t *testing.T) {
	for name, key := range map[string]crypto.Signer{"Ed25519": ed25519Key(t), "ECDSA": ecdsaKey(t)} {
		t.Run(name, func(t *testing.T) {
			s := NewV2(t, "v2.rekor.example", key)
			st := newStatement(t, testlog.NewSigner(t, "log.example", proofs.ECDSA), 1)
			ask(t, s.URL+"/api/v2/log/entries", "", st.v2(), http.StatusCreated)
			s.Kill()
			ask(t, s.URL+"/api/v2/log/entries", "", st.v2(), http.StatusBadGateway)
			if a := ask(t, s.URL+"/checkpoint", "", nil, http.StatusOK); !strings.HasPrefix(a.Text, "v2.rekor.example\n1\n") {
				t.Errorf("checkpoint: %s", a.Text)
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if a := ask(t, s.URL+"/api/v2/log/entries", "", st.v2(), http.StatusConflict); a.Header["X-Log-Index"] != "0" {
				t.Errorf("the entry is at %v", a.Header)
			}
		})
	}
}
