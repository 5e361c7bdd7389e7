package rekorserver

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/proofs"
)

var update = flag.Bool("update", false, "TestRecording writes audit/rekor/testdata anew from the real servers")

// recorder asks a server and keeps what it answers.
type recorder struct {
	t   *testing.T
	url string
	Recording
}

func newRecorder(t *testing.T, of, hostname, url string, key crypto.Signer, log *proofs.Signer) *recorder {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &recorder{t: t, url: url, Recording: Recording{Of: of, Hostname: hostname, LogKey: log.Key().String(),
		RekorKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}}
}

// ask sends a request and keeps the answer, which must have a status.
func (r *recorder) ask(path, has string, body any, status int) Answer {
	r.t.Helper()
	a := ask(r.t, r.url+path, has, body, status)
	r.Answers = append(r.Answers, a)
	return a
}

// ask sends a request, with a body in JSON unless that is nil.
func ask(t *testing.T, url, has string, body any, status int) Answer {
	t.Helper()
	method, content := http.MethodGet, io.Reader(nil)
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte(has)) {
			t.Fatalf("the body has no %q: %s", has, b)
		}
		method, content = http.MethodPost, bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, content)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, application/x-pem-file")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	a, err := newAnswer(req, has, resp)
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != status {
		t.Fatalf("%s %s: %s, want %d: %s", method, url, resp.Status, status, a.Body())
	}
	return a
}

// note submits a note of the log.
func (r *recorder) note(st statement, path, digest string, body any, status int) Answer {
	r.t.Helper()
	if !slices.Contains(r.Notes, string(st.note)) {
		r.Notes = append(r.Notes, string(st.note))
	}
	return r.ask(path, digest, body, status)
}

// TestRecording does not need the recording to be of the same keys: what has to be the same
// is the status, the headers and the names and kinds of all members.
func TestRecording(t *testing.T) {
	log, stranger := testlog.NewSigner(t, "log.example/updates", proofs.ECDSA), testlog.NewSigner(t, "stranger.example", proofs.ECDSA)
	sizes := []int64{1, 5, 8}
	t.Run("v1", func(t *testing.T) {
		key := ecdsaKey(t)
		s := NewV1(t, "rekor.example", key)
		r := newRecorder(t, "github.com/sigstore/rekor/cmd/rekor-server@v1.5.4", "rekor.example", s.URL, key, log)
		r.ask("/api/v1/log/publicKey", "", nil, http.StatusOK)
		submit := func(st statement, status int) string {
			return r.note(st, "/api/v1/log/entries", hex.EncodeToString(st.digest[:]), st.v1(), status).Header["Location"]
		}
		var at []string
		for _, size := range sizes {
			// Others' entries stand between ours.
			other := newStatement(t, stranger, size)
			ask(t, s.URL+"/api/v1/log/entries", "", other.v1(), http.StatusCreated)
			st := newStatement(t, log, size)
			at = append(at, submit(st, http.StatusCreated))
			if again := submit(st, http.StatusConflict); again != at[len(at)-1] {
				t.Errorf("409 names %q, the entry is at %q", again, at[len(at)-1])
			}
			r.ask(at[len(at)-1], "", nil, http.StatusOK)
			// The hash of the leaf, without the tree in front of it, is enough.
			r.ask("/api/v1/log/entries/"+at[len(at)-1][len(at[len(at)-1])-64:], "", nil, http.StatusOK)
		}
		block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: log.Key().PublicKey()})
		mine := base64.StdEncoding.EncodeToString(block)
		var ids []string
		// Rekor writes its index after it has answered.
		eventually(t, "the index has all entries", func() bool {
			a := ask(t, s.URL+"/api/v1/index/retrieve", mine, map[string]any{"publicKey": map[string]any{"format": "x509", "content": mine}}, http.StatusOK)
			if err := json.Unmarshal(a.Body(), &ids); err != nil {
				t.Fatal(err)
			}
			return len(ids) == len(sizes)
		})
		r.ask("/api/v1/index/retrieve", mine, map[string]any{"publicKey": map[string]any{"format": "x509", "content": mine}}, http.StatusOK)
		r.ask("/api/v1/log/entries/retrieve", ids[0], map[string]any{"entryUUIDs": ids}, http.StatusOK)
		r.ask("/api/v1/log/entries?logIndex=1", "", nil, http.StatusOK)
		r.ask("/api/v1/log", "", nil, http.StatusOK)
		r.ask("/api/v1/log/proof?firstSize=2&lastSize=6", "", nil, http.StatusOK)
		r.ask("/api/v1/log/entries/"+ids[0][:16]+strings.Repeat("0", 64), "", nil, http.StatusNotFound)
		r.finish("v1.json")
	})
	t.Run("v2", func(t *testing.T) {
		key := ed25519Key(t)
		s := NewV2(t, "rekor.example", key)
		r := newRecorder(t, "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix@v2.3.0", "rekor.example", s.URL, key, log)
		for _, size := range sizes {
			other := newStatement(t, stranger, size)
			ask(t, s.URL+"/api/v2/log/entries", "", other.v2(), http.StatusCreated)
			st := newStatement(t, log, size)
			digest := base64.StdEncoding.EncodeToString(st.digest[:])
			r.note(st, "/api/v2/log/entries", digest, st.v2(), http.StatusCreated)
			r.note(st, "/api/v2/log/entries", digest, st.v2(), http.StatusConflict)
		}
		size := 2 * len(sizes)
		eventually(t, "the checkpoint has all entries", func() bool {
			return strings.HasPrefix(ask(t, s.URL+"/checkpoint", "", nil, http.StatusOK).Text, fmt.Sprintf("rekor.example\n%d\n", size))
		})
		r.ask("/checkpoint", "", nil, http.StatusOK)
		r.ask(fmt.Sprintf("/tile/0/000.p/%d", size), "", nil, http.StatusOK)
		r.ask(fmt.Sprintf("/tile/entries/000.p/%d", size), "", nil, http.StatusOK)
		r.ask("/tile/1/000.p/1", "", nil, http.StatusNotFound)
		r.finish("v2.json")
	})
}

// finish writes the recording, or compares it with the one that is there.
func (r *recorder) finish(name string) {
	r.t.Helper()
	path := filepath.Join("..", "..", "audit", "rekor", "testdata", name)
	if !*update {
		old, err := ReadRecording(path)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(old.Answers) != len(r.Answers) {
			r.t.Fatalf("%s has %d answers, not %d: make it anew with -update", path, len(old.Answers), len(r.Answers))
		}
		for i := range r.Answers {
			if have, was := shape(r.t, &r.Answers[i]), shape(r.t, &old.Answers[i]); have != was {
				r.t.Errorf("answer %d is not as it was recorded; look why, and run with -update\nis  %s\nwas %s", i, have, was)
			}
		}
		return
	}
	b, err := json.MarshalIndent(r.Recording, "", " ")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// shape is what of an answer is the same whatever the keys and the entries are.
func shape(t *testing.T, a *Answer) string {
	t.Helper()
	names := []string{}
	for name := range a.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	kind := a.Header["Content-Type"]
	if strings.HasPrefix(kind, "application/json") && a.Status == http.StatusOK || a.Status == http.StatusCreated {
		var v any
		if err := json.Unmarshal(a.Body(), &v); err != nil {
			t.Errorf("%s %s: %v", a.Method, a.Path, err)
		}
		kind += " " + shapeOf(v)
	}
	return fmt.Sprintf("%s %d %v %s", a.Method, a.Status, names, kind)
}

// shapeOf prints names and types of a JSON value; of a list that of its first element.
func shapeOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for name, member := range v {
			if len(name) >= 64 { // an entry's UUID
				name = "*"
			}
			parts = append(parts, name+":"+shapeOf(member))
		}
		slices.Sort(parts)
		return "{" + strings.Join(slices.Compact(parts), " ") + "}"
	case []any:
		if len(v) == 0 {
			return "[]"
		}
		return "[" + shapeOf(v[0]) + "]"
	}
	return fmt.Sprintf("%T", v)
}
