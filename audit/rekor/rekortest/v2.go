package rekortest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"

	"github.com/tuflog/tuflog/proofs"
)

func (l *Ledger) serveV2(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	shown := l.Leaves[:len(l.Leaves)-l.Hidden]
	switch {
	case path == "api/v2/log/entries":
		l.createV2(w, r)
	case path == "checkpoint":
		w.Write([]byte(l.CheckpointV2(shown)))
	case strings.HasPrefix(path, "tile/"):
		id, err := proofs.ParseTilePath(path)
		if err != nil || !id.In(int64(len(shown))) {
			w.WriteHeader(404)
			return
		}
		if id.Level != proofs.EntriesLevel {
			data, _ := Memory(shown).ReadTile(r.Context(), id.Level, id.Index, id.Width)
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

func (l *Ledger) createV2(w http.ResponseWriter, r *http.Request) {
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
		Say(w, 400, map[string]any{"code": 3, "message": "invalid hashedrekord request"})
		return
	}
	sig := request.R.Signature
	public, err := x509.ParsePKIXPublicKey(sig.Verifier.PublicKey.RawBytes)
	if err != nil || !ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), request.R.Digest, sig.Content) {
		Say(w, 400, map[string]any{"code": 3, "message": "invalid hashedrekord request"})
		return
	}
	leaf := LeafV2(request.R.Digest, sig.Content, sig.Verifier.PublicKey.RawBytes)
	for n := range l.Leaves {
		if bytes.Equal(l.Leaves[n], leaf) {
			w.Header().Set("X-Log-Index", strconv.Itoa(n))
			Say(w, 409, map[string]any{"code": 6, "message": fmt.Sprintf("an equivalent entry already exists in the transparency log with index %d", n)})
			return
		}
	}
	l.Add(leaf)
	Say(w, 201, l.EntryV2(len(l.Leaves)-1))
}

// LeafV2 is the leaf that v2 makes of a digest, a signature and a public key in DER.
func LeafV2(digest, sig, der []byte) []byte {
	canonical, err := jsoncanonicalizer.Transform([]byte(fmt.Sprintf(`{"kind":"hashedrekord","apiVersion":"0.0.2","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":%q},"signature":{"content":%q,"verifier":{"publicKey":{"rawBytes":%q},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}}`,
		base64.StdEncoding.EncodeToString(digest), base64.StdEncoding.EncodeToString(sig), base64.StdEncoding.EncodeToString(der))))
	if err != nil {
		panic(err)
	}
	return canonical
}

// CheckpointV2 is the signed checkpoint of leaves.
func (l *Ledger) CheckpointV2(leaves [][]byte) string {
	s, err := proofs.NewSigner(Host, proofs.Ed25519, l.Private)
	if err != nil {
		panic(err)
	}
	text := proofs.Checkpoint{Origin: Host, Tree: treeOf(leaves)}.String()
	sig, err := s.Sign(text, 0)
	if err != nil {
		panic(err)
	}
	return string(proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}.Marshal())
}

// EntryV2 is what v2 answers about a leaf.
func (l *Ledger) EntryV2(n int) map[string]any {
	path, err := proofs.InclusionProof(context.WithoutCancel(l.t.Context()), treeOf(l.Leaves), int64(n), Memory(l.Leaves))
	if err != nil {
		panic(err)
	}
	hashes := [][]byte{}
	for _, h := range path {
		hashes = append(hashes, h[:])
	}
	root := RootOf(l.Leaves)
	e := map[string]any{
		"logIndex": fmt.Sprint(n), "kindVersion": map[string]any{"kind": "hashedrekord", "version": "0.0.2"},
		"integratedTime": "0", "inclusionPromise": nil,
		"inclusionProof":    map[string]any{"logIndex": fmt.Sprint(n), "rootHash": root[:], "treeSize": fmt.Sprint(len(l.Leaves)), "hashes": hashes, "checkpoint": map[string]any{"envelope": l.CheckpointV2(l.Leaves)}},
		"canonicalizedBody": l.Leaves[n],
	}
	if l.Bend != nil {
		l.Bend(e)
	}
	return e
}
