package rekortest

import (
	"bytes"
	"context"
	"crypto"
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

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/go-openapi/runtime"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/tuflog/tuflog/proofs"
)

// ServeV1 answers as v1 does; Instead may call it.
func (l *Ledger) ServeV1(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/api/v1/")
	switch {
	case path == "log/entries" && r.Method == http.MethodPost:
		l.createV1(w, r)
	case path == "log/entries/retrieve":
		var query struct {
			EntryUUIDs []string `json:"entryUUIDs"`
		}
		if err := json.NewDecoder(r.Body).Decode(&query); err != nil || len(query.EntryUUIDs) > 10 {
			Say(w, 400, map[string]any{"code": 400, "message": "bad query"})
			return
		}
		answers := []any{}
		for _, id := range query.EntryUUIDs {
			if n := l.find(id); n >= 0 {
				answers = append(answers, l.EntryV1(n))
			}
		}
		Say(w, 200, answers)
	case strings.HasPrefix(path, "log/entries/"):
		if n := l.find(strings.TrimPrefix(path, "log/entries/")); n >= 0 {
			Say(w, 200, l.EntryV1(n))
			return
		}
		w.WriteHeader(404)
	case path == "index/retrieve":
		var query models.SearchIndex
		if err := json.NewDecoder(r.Body).Decode(&query); err != nil {
			Say(w, 400, nil)
			return
		}
		ids := []string{}
		for n, name := range l.Names {
			if name == string(query.PublicKey.Content) {
				ids = append(ids, l.UUID(n))
			}
		}
		Say(w, 200, ids)
	case path == "log":
		root := RootOf(l.Leaves)
		Say(w, 200, map[string]any{"rootHash": hex.EncodeToString(root[:]), "treeSize": len(l.Leaves), "treeID": fmt.Sprint(l.TreeID), "signedTreeHead": l.CheckpointV1()})
	case path == "log/proof":
		first, _ := strconv.Atoi(r.URL.Query().Get("firstSize"))
		last, _ := strconv.Atoi(r.URL.Query().Get("lastSize"))
		path, err := proofs.ConsistencyProof(r.Context(), int64(first), treeOf(l.Leaves[:last]), Memory(l.Leaves[:last]))
		if err != nil {
			Say(w, 400, map[string]any{"code": 400, "message": err.Error()})
			return
		}
		hashes := []string{}
		for _, h := range path {
			hashes = append(hashes, hex.EncodeToString(h[:]))
		}
		Say(w, 200, map[string]any{"rootHash": strings.Repeat("0", 64), "hashes": hashes})
	case path == "log/publicKey":
		w.Header().Set("Content-Type", "application/x-pem-file")
		der, _ := x509.MarshalPKIXPublicKey(l.Private.Public())
		pem.Encode(w, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
	default:
		w.WriteHeader(404)
	}
}

func (l *Ledger) createV1(w http.ResponseWriter, r *http.Request) {
	proposed, err := models.UnmarshalProposedEntry(r.Body, runtime.JSONConsumer())
	if err != nil {
		Say(w, 400, map[string]any{"code": 400, "message": err.Error()})
		return
	}
	entry, err := types.CreateVersionedEntry(proposed)
	if err != nil {
		Say(w, 400, map[string]any{"code": 400, "message": err.Error()})
		return
	}
	leaf, err := types.CanonicalizeEntry(r.Context(), entry)
	if err != nil {
		Say(w, 400, map[string]any{"code": 400, "message": err.Error()})
		return
	}
	for n := range l.Leaves {
		if bytes.Equal(l.Leaves[n], leaf) {
			w.Header().Set("Location", "/api/v1/log/entries/"+l.UUID(n))
			Say(w, 409, map[string]any{"code": 409, "message": "an equivalent entry already exists in the transparency log with UUID " + l.UUID(n)})
			return
		}
	}
	l.Add(leaf)
	Say(w, 201, l.EntryV1(len(l.Leaves)-1))
}

// Add appends a leaf, whatever it is.
func (l *Ledger) Add(leaf []byte) {
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
	l.Leaves, l.Names = append(l.Leaves, leaf), append(l.Names, string(named.Spec.Signature.PublicKey.Content))
}

func (l *Ledger) find(id string) int {
	return slices.IndexFunc(l.Leaves, func(leaf []byte) bool {
		h := proofs.LeafHash(leaf)
		return strings.HasSuffix(id, hex.EncodeToString(h[:]))
	})
}

// UUID is that of a leaf in v1: the tree's id and the hash of the leaf.
func (l *Ledger) UUID(n int) string {
	h := proofs.LeafHash(l.Leaves[n])
	return fmt.Sprintf("%016x%x", l.TreeID, h[:])
}

func (l *Ledger) signerV1() signature.Signer {
	s, err := signature.LoadSigner(l.Private, crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return s
}

// CheckpointV1 is the signed checkpoint of all leaves.
func (l *Ledger) CheckpointV1() string {
	root := RootOf(l.Leaves)
	b, err := util.CreateAndSignCheckpoint(context.WithoutCancel(l.t.Context()), "rekor.example", l.TreeID, uint64(len(l.Leaves)), root[:], l.signerV1())
	if err != nil {
		panic(err)
	}
	return string(b)
}

// EntryV1 is what Rekor v1 answers about an entry.
func (l *Ledger) EntryV1(n int) any {
	root := RootOf(l.Leaves)
	path, err := proofs.InclusionProof(context.WithoutCancel(l.t.Context()), treeOf(l.Leaves), int64(n), Memory(l.Leaves))
	if err != nil {
		panic(err)
	}
	hashes := []string{}
	for _, h := range path {
		hashes = append(hashes, hex.EncodeToString(h[:]))
	}
	der, _ := x509.MarshalPKIXPublicKey(l.Private.Public())
	sum := sha256.Sum256(der)
	id, index, global, when, size, checkpoint, rootText := hex.EncodeToString(sum[:]), int64(n), int64(n)+l.Skew, l.tookAt(n), int64(len(l.Leaves)), l.CheckpointV1(), hex.EncodeToString(root[:])
	e := models.LogEntryAnon{LogID: &id, LogIndex: &global, IntegratedTime: &when, Body: base64.StdEncoding.EncodeToString(l.Leaves[n])}
	p := &models.InclusionProof{TreeSize: &size, RootHash: &rootText, LogIndex: &index, Hashes: hashes, Checkpoint: &checkpoint}
	if l.Before != nil {
		l.Before(&e, p)
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
	if l.Bend != nil {
		l.Bend(loose)
	}
	return map[string]any{l.UUID(n): loose}
}

func (l *Ledger) tookAt(n int) int64 {
	if l.Time == nil {
		return int64(1764500000 + n)
	}
	return l.Time(n).Unix()
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

// Submit adds an entry of v1 with a digest and a signature, whoever made them.
func (l *Ledger) Submit(digest [32]byte, sig []byte, key proofs.Key) {
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key.PublicKey()})
	l.mu.Lock()
	defer l.mu.Unlock()
	body := fmt.Sprintf(`{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%x"}},"signature":{"content":%q,"publicKey":{"content":%q}}}}`,
		digest, base64.StdEncoding.EncodeToString(sig), base64.StdEncoding.EncodeToString(public))
	rec := httptest.NewRecorder()
	l.createV1(rec, httptest.NewRequest("POST", "/api/v1/log/entries", strings.NewReader(body)))
	if rec.Code != http.StatusCreated {
		l.t.Errorf("the entry is answered %d: %s", rec.Code, rec.Body)
	}
}
