package conformance

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

// FuzzAnswer reads answers that a witness made up.
func FuzzAnswer(f *testing.F) {
	text := proofs.Checkpoint{Origin: "log.example", Tree: proofs.EmptyTree}.String()
	w, err := proofs.GenerateSigner(strings.NewReader(strings.Repeat("k", 64)), "w.example", proofs.CosignatureV1)
	if err != nil {
		f.Fatal(err)
	}
	log, err := proofs.GenerateSigner(strings.NewReader(strings.Repeat("l", 64)), "log.example", proofs.Ed25519)
	if err != nil {
		f.Fatal(err)
	}
	good, err := w.Sign(text, 1700000000)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(200, "text/plain; charset=utf-8", good.String())
	f.Add(200, "", good.String()+good.String())
	f.Add(200, "", "— w.example AAAAAA==\n")
	f.Add(409, "text/x.tlog.size", "17\n")
	f.Add(409, "text/x.tlog.size; charset=utf-8", "-1\n")
	f.Add(422, ";;", "\xff\x00")
	f.Fuzz(func(t *testing.T, status int, typ, body string) {
		s, err := newSession(t.Context(), Config{URL: "http://127.0.0.1:1", Keys: []proofs.Key{w.Key()}, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		a := answer{status, typ, body}
		if n, ok := a.size(); ok && (n < 0 || status != http.StatusConflict) {
			t.Errorf("size %d of %v", n, a)
		}
		if a.String() == "" || strings.ContainsRune(a.mediaType(), ';') && typ != a.mediaType() {
			t.Errorf("%q, media type %q", a, a.mediaType())
		}
		sigs, err := s.cosigned(a, text)
		if err != nil {
			return
		}
		verified := 0
		for _, sig := range sigs {
			if k := s.keyOf(sig); k != nil {
				if _, err := k.Verify(text, sig.Sig); err != nil {
					t.Errorf("taken for cosigned: %v", err)
				}
				verified++
			}
		}
		if status != http.StatusOK || verified == 0 {
			t.Errorf("taken for cosigned: %v", a)
		}
	})
}
