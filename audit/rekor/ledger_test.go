package rekor_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/go-openapi/runtime"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/proofs"
)

// A ledger is a Rekor that does as Rekor does, with keys of its own, until a test bends it.
type ledger struct {
	t       testing.TB
	version int
	private crypto.Signer
	srv     *httptest.Server
	url     string // of the server

	mu      sync.Mutex
	leaves  [][]byte
	names   []string // under which v1's index lists them: the PEM of a key
	hidden  int      // how many of the last leaves are not published
	treeID  int64
	skew    int64                                                  // of the indexes of v1, from earlier shards
	instead func(w http.ResponseWriter, r *http.Request) bool      // answers itself, and reports whether it did
	bend    func(e map[string]any)                                 // changes an entry of v1 after it was signed
	before  func(e *models.LogEntryAnon, p *models.InclusionProof) // and before
	asked   []string
}

const ledgerHost = "127.0.0.1"

func newLedger(t testing.TB, version int) *ledger {
	l := &ledger{t: t, version: version, treeID: 1193050959916656506}
	if version == 1 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		l.private = key
	} else {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		l.private = key
	}
	l.srv = httptest.NewServer(l)
	l.url = l.srv.URL
	t.Cleanup(l.srv.Close)
	return l
}

func (l *ledger) config() rekor.Config {
	return rekor.Config{Name: "test", URL: l.srv.URL, Version: l.version, Keys: []crypto.PublicKey{l.private.Public()}, Timeout: 10 * time.Second}
}

func (l *ledger) instance() *rekor.Instance {
	l.t.Helper()
	i, err := rekor.New(l.config())
	if err != nil {
		l.t.Fatal(err)
	}
	return i
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, r.Method+" "+r.URL.Path)
	if l.instead != nil && l.instead(w, r) {
		return
	}
	if l.version == 1 {
		l.serveV1(w, r)
	} else {
		l.serveV2(w, r)
	}
}

func say(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b)
}

// Version 1.

func (l *ledger) serveV1(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/api/v1/")
	switch {
	case path == "log/entries" && r.Method == http.MethodPost:
		l.createV1(w, r)
	case path == "log/entries/retrieve":
		var query struct {
			EntryUUIDs []string `json:"entryUUIDs"`
		}
		if err := json.NewDecoder(r.Body).Decode(&query); err != nil || len(query.EntryUUIDs) > 10 {
			say(w, 400, map[string]any{"code": 400, "message": "bad query"})
			return
		}
		answers := []any{}
		for _, id := range query.EntryUUIDs {
			if n := l.find(id); n >= 0 {
				answers = append(answers, l.entryV1(n))
			}
		}
		say(w, 200, answers)
	case strings.HasPrefix(path, "log/entries/"):
		if n := l.find(strings.TrimPrefix(path, "log/entries/")); n >= 0 {
			say(w, 200, l.entryV1(n))
			return
		}
		w.WriteHeader(404)
	case path == "index/retrieve":
		var query models.SearchIndex
		if err := json.NewDecoder(r.Body).Decode(&query); err != nil {
			say(w, 400, nil)
			return
		}
		ids := []string{}
		for n, name := range l.names {
			if name == string(query.PublicKey.Content) {
				ids = append(ids, l.uuid(n))
			}
		}
		say(w, 200, ids)
	case path == "log":
		root := rootOf(l.leaves)
		say(w, 200, map[string]any{"rootHash": hex.EncodeToString(root[:]), "treeSize": len(l.leaves), "treeID": fmt.Sprint(l.treeID), "signedTreeHead": l.checkpointV1()})
	case path == "log/proof":
		first, _ := strconv.Atoi(r.URL.Query().Get("firstSize"))
		last, _ := strconv.Atoi(r.URL.Query().Get("lastSize"))
		path, err := proofs.ConsistencyProof(r.Context(), int64(first), treeOf(l.leaves[:last]), memory(l.leaves[:last]))
		if err != nil {
			say(w, 400, map[string]any{"code": 400, "message": err.Error()})
			return
		}
		hashes := []string{}
		for _, h := range path {
			hashes = append(hashes, hex.EncodeToString(h[:]))
		}
		say(w, 200, map[string]any{"rootHash": strings.Repeat("0", 64), "hashes": hashes})
	case path == "log/publicKey":
		w.Header().Set("Content-Type", "application/x-pem-file")
		der, _ := x509.MarshalPKIXPublicKey(l.private.Public())
		pem.Encode(w, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
	default:
		w.WriteHeader(404)
	}
}

func (l *ledger) createV1(w http.ResponseWriter, r *http.Request) {
	proposed, err := models.UnmarshalProposedEntry(r.Body, runtime.JSONConsumer())
	if err != nil {
		say(w, 400, map[string]any{"code": 400, "message": err.Error()})
		return
	}
	entry, err := types.CreateVersionedEntry(proposed)
	if err != nil {
		say(w, 400, map[string]any{"code": 400, "message": err.Error()})
		return
	}
	leaf, err := types.CanonicalizeEntry(r.Context(), entry)
	if err != nil {
		say(w, 400, map[string]any{"code": 400, "message": err.Error()})
		return
	}
	for n := range l.leaves {
		if bytes.Equal(l.leaves[n], leaf) {
			w.Header().Set("Location", "/api/v1/log/entries/"+l.uuid(n))
			say(w, 409, map[string]any{"code": 409, "message": "an equivalent entry already exists in the transparency log with UUID " + l.uuid(n)})
			return
		}
	}
	l.add(leaf)
	say(w, 201, l.entryV1(len(l.leaves)-1))
}

// add appends a leaf, whatever it is.
func (l *ledger) add(leaf []byte) {
	var named struct {
		Spec struct {
			Signature struct {
				PublicKey struct {
					Content []byte `json:"content"`
				} `json:"publicKey"`
			} `json:"signature"`
		} `json:"spec"`
	}
	_ = json.Unmarshal(leaf, &named)
	l.leaves, l.names = append(l.leaves, leaf), append(l.names, string(named.Spec.Signature.PublicKey.Content))
}

func (l *ledger) find(id string) int {
	return slices.IndexFunc(l.leaves, func(leaf []byte) bool {
		h := proofs.LeafHash(leaf)
		return strings.HasSuffix(id, hex.EncodeToString(h[:]))
	})
}

func (l *ledger) uuid(n int) string {
	h := proofs.LeafHash(l.leaves[n])
	return fmt.Sprintf("%016x%x", l.treeID, h[:])
}

func (l *ledger) signerV1() signature.Signer {
	s, err := signature.LoadSigner(l.private, crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return s
}

func (l *ledger) checkpointV1() string {
	root := rootOf(l.leaves)
	b, err := util.CreateAndSignCheckpoint(context.Background(), "rekor.example", l.treeID, uint64(len(l.leaves)), root[:], l.signerV1())
	if err != nil {
		panic(err)
	}
	return string(b)
}

// entryV1 is what Rekor v1 answers about an entry.
func (l *ledger) entryV1(n int) any {
	root := rootOf(l.leaves)
	path, err := proofs.InclusionProof(context.Background(), treeOf(l.leaves), int64(n), memory(l.leaves))
	if err != nil {
		panic(err)
	}
	hashes := []string{}
	for _, h := range path {
		hashes = append(hashes, hex.EncodeToString(h[:]))
	}
	der, _ := x509.MarshalPKIXPublicKey(l.private.Public())
	sum := sha256.Sum256(der)
	id, index, global, when, size, checkpoint, rootText := hex.EncodeToString(sum[:]), int64(n), int64(n)+l.skew, int64(1764500000+n), int64(len(l.leaves)), l.checkpointV1(), hex.EncodeToString(root[:])
	e := models.LogEntryAnon{LogID: &id, LogIndex: &global, IntegratedTime: &when, Body: base64.StdEncoding.EncodeToString(l.leaves[n])}
	p := &models.InclusionProof{TreeSize: &size, RootHash: &rootText, LogIndex: &index, Hashes: hashes, Checkpoint: &checkpoint}
	if l.before != nil {
		l.before(&e, p)
	}
	payload, err := e.MarshalBinary()
	if err != nil {
		panic(err)
	}
	canonical, err := jsoncanonicalizer.Transform(payload)
	if err != nil {
		panic(err)
	}
	set, err := l.signerV1().SignMessage(bytes.NewReader(canonical))
	if err != nil {
		panic(err)
	}
	e.Verification = &models.LogEntryAnonVerification{InclusionProof: p, SignedEntryTimestamp: set}
	loose := asMap(e)
	if l.bend != nil {
		l.bend(loose)
	}
	return map[string]any{l.uuid(n): loose}
}

func asMap(v any) map[string]any {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		panic(err)
	}
	return m
}

// Version 2.

func (l *ledger) serveV2(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	shown := l.leaves[:len(l.leaves)-l.hidden]
	switch {
	case path == "api/v2/log/entries":
		l.createV2(w, r)
	case path == "checkpoint":
		w.Write([]byte(l.checkpointV2(shown)))
	case strings.HasPrefix(path, "tile/"):
		id, err := proofs.ParseTilePath(path)
		if err != nil || !id.In(int64(len(shown))) {
			w.WriteHeader(404)
			return
		}
		if id.Level != proofs.EntriesLevel {
			data, _ := memory(shown).ReadTile(r.Context(), id.Level, id.Index, id.Width)
			w.Write(data)
			return
		}
		var bundle []byte
		for _, leaf := range shown[id.Index*proofs.FullWidth:][:id.Width] {
			bundle, _ = proofs.AppendEntry(bundle, leaf)
		}
		w.Write(bundle)
	default:
		w.WriteHeader(404)
	}
}

func (l *ledger) createV2(w http.ResponseWriter, r *http.Request) {
	var request struct {
		R struct {
			Digest    []byte
			Signature struct {
				Content  []byte
				Verifier struct {
					PublicKey struct{ RawBytes []byte }
				}
			}
		} `json:"hashedRekordRequestV002"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		say(w, 400, map[string]any{"code": 3, "message": "invalid hashedrekord request"})
		return
	}
	sig := request.R.Signature
	public, err := x509.ParsePKIXPublicKey(sig.Verifier.PublicKey.RawBytes)
	if err != nil || !ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), request.R.Digest, sig.Content) {
		say(w, 400, map[string]any{"code": 3, "message": "invalid hashedrekord request"})
		return
	}
	leaf := leafV2(request.R.Digest, sig.Content, sig.Verifier.PublicKey.RawBytes)
	for n := range l.leaves {
		if bytes.Equal(l.leaves[n], leaf) {
			w.Header().Set("X-Log-Index", strconv.Itoa(n))
			say(w, 409, map[string]any{"code": 6, "message": fmt.Sprintf("an equivalent entry already exists in the transparency log with index %d", n)})
			return
		}
	}
	l.add(leaf)
	say(w, 201, l.entryV2(len(l.leaves)-1))
}

func leafV2(digest, sig, der []byte) []byte {
	canonical, err := jsoncanonicalizer.Transform([]byte(fmt.Sprintf(`{"kind":"hashedrekord","apiVersion":"0.0.2","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":%q},"signature":{"content":%q,"verifier":{"publicKey":{"rawBytes":%q},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}}`,
		base64.StdEncoding.EncodeToString(digest), base64.StdEncoding.EncodeToString(sig), base64.StdEncoding.EncodeToString(der))))
	if err != nil {
		panic(err)
	}
	return canonical
}

func (l *ledger) checkpointV2(leaves [][]byte) string {
	s, err := proofs.NewSigner(ledgerHost, proofs.Ed25519, l.private)
	if err != nil {
		panic(err)
	}
	text := proofs.Checkpoint{Origin: ledgerHost, Tree: treeOf(leaves)}.String()
	sig, err := s.Sign(text, 0)
	if err != nil {
		panic(err)
	}
	return string(proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}.Marshal())
}

func (l *ledger) entryV2(n int) map[string]any {
	path, err := proofs.InclusionProof(context.Background(), treeOf(l.leaves), int64(n), memory(l.leaves))
	if err != nil {
		panic(err)
	}
	hashes := [][]byte{}
	for _, h := range path {
		hashes = append(hashes, h[:])
	}
	root := rootOf(l.leaves)
	e := map[string]any{
		"logIndex": fmt.Sprint(n), "kindVersion": map[string]any{"kind": "hashedrekord", "version": "0.0.2"},
		"integratedTime": "0", "inclusionPromise": nil,
		"inclusionProof":    map[string]any{"logIndex": fmt.Sprint(n), "rootHash": root[:], "treeSize": fmt.Sprint(len(l.leaves)), "hashes": hashes, "checkpoint": map[string]any{"envelope": l.checkpointV2(l.leaves)}},
		"canonicalizedBody": l.leaves[n],
	}
	if l.bend != nil {
		l.bend(e)
	}
	return e
}

// memory is a tree whose tiles are hashed anew.
type memory [][]byte

func (m memory) ReadTile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	var tile []byte
	for n := range int64(width) {
		span := int64(1) << (8 * level)
		from := (index*256 + n) * span
		if from+span > int64(len(m)) {
			return nil, fmt.Errorf("no hash %d of level %d", index*256+n, level)
		}
		h := rootOf(m[from : from+span])
		tile = append(tile, h[:]...)
	}
	return tile, nil
}

func treeOf(leaves [][]byte) proofs.Tree {
	return proofs.Tree{N: int64(len(leaves)), Hash: rootOf(leaves)}
}

func rootOf(leaves [][]byte) proofs.Hash {
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
	left, right := rootOf(leaves[:k]), rootOf(leaves[k:])
	return sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))
}

// A vendorlog is a log that signs checkpoints.
type vendorlog struct {
	signer *proofs.Signer
	key    proofs.Key
}

func newVendorlog(t testing.TB) vendorlog {
	s, err := proofs.GenerateSigner(rand.Reader, "log.example/updates", proofs.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	return vendorlog{s, s.Key()}
}

// note returns the signed checkpoint of a tree of that size.
func (v vendorlog) note(t testing.TB, size int64) []byte {
	t.Helper()
	text := proofs.Checkpoint{Origin: v.key.Name(), Tree: proofs.Tree{N: size, Hash: sha256.Sum256(fmt.Append(nil, size))}}.String()
	sig, err := v.signer.Sign(text, 0)
	if err != nil {
		t.Fatal(err)
	}
	return proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}.Marshal()
}
