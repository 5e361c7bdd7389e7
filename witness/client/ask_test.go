package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// cosign signs as a witness.
func cosign(t testing.TB, s *proofs.Signer, text string, unix int64) proofs.Signature {
	t.Helper()
	sig, err := s.Sign(text, unix)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func TestAddCheckpoint(t *testing.T) {
	log := witnesstest.NewLog(t, "log.example")
	log.Grow(3, "")
	text := log.Checkpoint().String()
	w := witnesstest.NewSigner(t, "witness.example", proofs.CosignatureV1)
	other := witnesstest.NewSigner(t, "other.example", proofs.CosignatureV1)
	impostor := witnesstest.NewSigner(t, "witness.example", proofs.CosignatureV1)
	good, second := cosign(t, w, text, 1_700_000_000), cosign(t, w, text, 1_700_000_001)
	foreign := cosign(t, other, text, 1_700_000_000)
	elsewhere := cosign(t, w, "other.example\n3\n", 1_700_000_000)
	timeless := cosign(t, w, text, 0)
	long := strings.Repeat("x", 300)

	for name, tt := range map[string]struct {
		status int
		typ    string
		body   string
		want   []proofs.Signature
		err    string
	}{
		"one":                {200, "", good.String(), []proofs.Signature{good}, ""},
		"two":                {200, "", good.String() + second.String(), []proofs.Signature{good, second}, ""},
		"among others":       {200, "", foreign.String() + good.String(), []proofs.Signature{good}, ""},
		"only others":        {200, "", foreign.String(), nil, "no signature by witness.example+"},
		"another key":        {200, "", cosign(t, impostor, text, 1).String(), nil, "no signature by witness.example+"},
		"over another text":  {200, "", elsewhere.String(), nil, "does not verify"},
		"true and false":     {200, "", good.String() + elsewhere.String(), nil, "does not verify"},
		"without a time":     {200, "", timeless.String(), nil, "carries no time"},
		"nothing":            {200, "", "", nil, "not a list of signature lines"},
		"rubbish":            {200, "", "<html>hello</html>\n", nil, "not a list of signature lines"},
		"too much":           {200, "", strings.Repeat(good.String(), 600), nil, "larger than 65536 bytes"},
		"no newline":         {200, "", strings.TrimSuffix(good.String(), "\n"), nil, "not a list of signature lines"},
		"created":            {201, "", good.String(), nil, "status 201 Created"},
		"forbidden":          {403, "", "I don't\nknow you", nil, `status 403 Forbidden: "I don't\nknow you"`},
		"long error":         {500, "", long, nil, `: "` + long[:200] + `"`},
		"conflict":           {409, "text/x.tlog.size", "42\n", nil, "size 42"},
		"conflict, charset":  {409, "text/x.tlog.size; charset=utf-8", "42\n", nil, "size 42"},
		"conflict, no type":  {409, "text/plain", "42\n", nil, "status 409 Conflict"},
		"conflict, no LF":    {409, "text/x.tlog.size", "42", nil, "status 409 Conflict"},
		"conflict, zeros":    {409, "text/x.tlog.size", "042\n", nil, "status 409 Conflict"},
		"conflict, negative": {409, "text/x.tlog.size", "-1\n", nil, "status 409 Conflict"},
		"conflict, empty":    {409, "text/x.tlog.size", "", nil, "status 409 Conflict"},
	} {
		t.Run(name, func(t *testing.T) {
			r := log.Request(0)
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
				body, err := io.ReadAll(req.Body)
				if err != nil || req.Method != "POST" || req.URL.Path != "/prefix/add-checkpoint" || string(body) != string(r.Marshal()) {
					t.Errorf("got %s %s %q, %v", req.Method, req.URL, body, err)
				}
				if tt.typ != "" {
					rw.Header().Set("Content-Type", tt.typ)
				}
				rw.WriteHeader(tt.status)
				io.WriteString(rw, tt.body)
			}))
			defer server.Close()
			for _, url := range []string{server.URL + "/prefix", server.URL + "/prefix/"} {
				c := client.Client{URL: url, Key: w.Key()}
				sigs, err := c.AddCheckpoint(t.Context(), r)
				if tt.err != "" {
					if err == nil || !strings.Contains(err.Error(), tt.err) || sigs != nil {
						t.Fatalf("got %v, %v; want an error with %q", sigs, err, tt.err)
					}
					var conflict *client.ConflictError
					if errors.As(err, &conflict) != strings.HasPrefix(tt.err, "size") {
						t.Fatalf("got %#v", err)
					}
					continue
				}
				if err != nil || len(sigs) != len(tt.want) {
					t.Fatalf("got %v, %v; want %v", sigs, err, tt.want)
				}
				for i := range sigs {
					if sigs[i].String() != tt.want[i].String() {
						t.Errorf("signature %d is %v, want %v", i, sigs[i], tt.want[i])
					}
				}
			}
		})
	}
}

func TestAddCheckpointOfRubbish(t *testing.T) {
	c := client.Client{URL: "http://127.0.0.1:1", Key: witnesstest.NewSigner(t, "w", proofs.CosignatureV1).Key()}
	if _, err := c.AddCheckpoint(t.Context(), client.Request{Checkpoint: []byte("rubbish\n")}); err == nil || !strings.Contains(err.Error(), "checkpoint:") {
		t.Fatalf("got %v", err)
	}
}
