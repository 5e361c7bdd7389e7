// Package rekortest is a Rekor for tests, version 1 or 2: it speaks their protocols with keys of
// its own, verifies what it is given and signs what it answers, until a test bends it. Begin
// with New. Of the real servers bench/rekorserver starts some.
package rekortest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/rekor/pkg/generated/models"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/proofs"
)

// A Ledger is a Rekor that does as Rekor does, with keys of its own, until a test bends it. The
// fields are for a test to set while nobody asks.
type Ledger struct {
	Version int           // of Rekor
	Private crypto.Signer // signs its answers
	Leaves  [][]byte
	Names   []string                                               // under which v1's index lists them: the PEM of a key
	TreeID  int64                                                  // of v1
	Hidden  int                                                    // how many of the last leaves are not published
	Skew    int64                                                  // of the indexes of v1, from earlier shards
	Instead func(w http.ResponseWriter, r *http.Request) bool      // answers itself, and reports whether it did
	Bend    func(e map[string]any)                                 // changes an entry after it was signed
	Before  func(e *models.LogEntryAnon, p *models.InclusionProof) // and one of v1 before
	Time    func(n int) time.Time                                  // when v1 took an entry; nil: in November 2025
	Asked   []string                                               // requests, by method and path

	t   testing.TB
	srv *httptest.Server
	mu  sync.Mutex
}

// Host is the origin of the checkpoints of v2.
const Host = "127.0.0.1"

// New starts a ledger, which ends with the test.
func New(t testing.TB, version int) *Ledger {
	l := &Ledger{t: t, Version: version, TreeID: 1193050959916656506}
	if version == 1 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		l.Private = key
	} else {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		l.Private = key
	}
	l.srv = httptest.NewServer(l)
	t.Cleanup(l.srv.Close)
	return l
}

// Config is what trusts it.
func (l *Ledger) Config() rekor.Config {
	return rekor.Config{Name: "test", URL: l.srv.URL, Version: l.Version, Keys: []crypto.PublicKey{l.Private.Public()}, Timeout: 10 * time.Second}
}

// URL is where it answers.
func (l *Ledger) URL() string { return l.srv.URL }

// PEM is its public key.
func (l *Ledger) PEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(l.Private.Public())
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Set changes the ledger while others ask it.
func (l *Ledger) Set(change func(*Ledger)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// ServeHTTP implements http.Handler.
func (l *Ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Asked = append(l.Asked, r.Method+" "+r.URL.Path)
	if l.Instead != nil && l.Instead(w, r) {
		return
	}
	if l.Version == 1 {
		l.ServeV1(w, r)
	} else {
		l.serveV2(w, r)
	}
}

// Say answers with a status and JSON.
func Say(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b)
}

// Memory is a tree whose tiles are hashed anew.
type Memory [][]byte

// ReadTile implements proofs.TileReader.
func (m Memory) ReadTile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	var tile []byte
	for n := range int64(width) {
		span := int64(1) << (8 * level)
		from := (index*256 + n) * span
		if from+span > int64(len(m)) {
			return nil, fmt.Errorf("no hash %d of level %d", index*256+n, level)
		}
		h := RootOf(m[from : from+span])
		tile = append(tile, h[:]...)
	}
	return tile, nil
}

func treeOf(leaves [][]byte) proofs.Tree {
	return proofs.Tree{N: int64(len(leaves)), Hash: RootOf(leaves)}
}

// RootOf is RFC 6962, section 2.1, of leaves.
func RootOf(leaves [][]byte) proofs.Hash {
	switch len(leaves) {
	case 0:
		return proofs.EmptyTree.Hash
	case 1:
		return proofs.LeafHash(leaves[0])
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	left, right := RootOf(leaves[:k]), RootOf(leaves[k:])
	return sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))
}
