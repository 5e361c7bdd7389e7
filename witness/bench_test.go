package witness_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// bench is a witness that knows one log, behind HTTP.
type bench struct {
	t     testing.TB
	key   proofs.Key
	store witnesstest.Store
	log   *witnesstest.Log
	url   string

	mu    sync.Mutex
	clock time.Time
}

func newBench(t testing.TB, store witnesstest.Store) *bench {
	t.Helper()
	b := &bench{t: t, store: store, log: witnesstest.NewLog(t, "log.example"), clock: time.Unix(1_700_000_000, 0)}
	b.know(b.log)
	signer := witnesstest.NewSigner(t, "witness.example/w1", proofs.CosignatureV1)
	b.key = signer.Key()
	b.restart(signer)
	return b
}

// restart makes a new Witness over the same store.
func (b *bench) restart(signer witness.Signer) {
	b.t.Helper()
	w, err := witness.New(witness.Config{Store: b.store, Signers: []witness.Signer{signer}, Now: b.now})
	if err != nil {
		b.t.Fatal(err)
	}
	server := httptest.NewServer(w.Handler())
	b.t.Cleanup(server.Close)
	b.url = server.URL
}

func (b *bench) know(l *witnesstest.Log) {
	b.t.Helper()
	if err := b.store.AddLog(context.Background(), witness.NewLog{Key: l.Key()}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.clock
}

func (b *bench) setClock(unix int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = time.Unix(unix, 0)
}

// answer is an HTTP answer, read.
type answer struct {
	status int
	typ    string
	body   string
}

func (b *bench) do(method, path string, body []byte) answer {
	b.t.Helper()
	req, err := http.NewRequest(method, b.url+path, bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), string(got)}
}

func (b *bench) post(body []byte) answer {
	b.t.Helper()
	return b.do("POST", "/add-checkpoint", body)
}

// cosign expects the request to be cosigned and returns the cosignature's time.
func (b *bench) cosign(r client.Request) int64 {
	b.t.Helper()
	a := b.post(r.Marshal())
	if a.status != http.StatusOK {
		b.t.Fatalf("status %d, %q", a.status, a.body)
	}
	return b.checkSignatures(a.body, r.Checkpoint)
}

func (b *bench) checkSignatures(lines string, checkpoint []byte) int64 {
	b.t.Helper()
	note, err := proofs.ParseNote(checkpoint)
	if err != nil {
		b.t.Fatal(err)
	}
	if note.Signatures, err = proofs.ParseSignatures([]byte(lines)); err != nil {
		b.t.Fatal(err)
	}
	times, err := note.VerifiedBy(b.key)
	if err != nil || len(times) != 1 || len(note.Signatures) != 1 {
		b.t.Fatalf("signatures %q: %v, %v", lines, times, err)
	}
	return times[0]
}

func (b *bench) expect(a answer, status int, text string) {
	b.t.Helper()
	if a.status != status || !strings.Contains(a.body, text) {
		b.t.Fatalf("status %d, %q; want %d and %q", a.status, a.body, status, text)
	}
}

func (b *bench) expectConflict(a answer, size int64) {
	b.t.Helper()
	if a.status != http.StatusConflict || a.typ != "text/x.tlog.size" || a.body != fmt.Sprintf("%d\n", size) {
		b.t.Fatalf("status %d, type %q, %q; want 409 with size %d", a.status, a.typ, a.body, size)
	}
}

// latest returns the tree cosigned last according to the monitoring prefix.
func (b *bench) latest() proofs.Tree {
	b.t.Helper()
	a := b.do("GET", "/"+witness.HashOrigin(b.log.Key().Name()).String()+"/checkpoint", nil)
	if a.status == http.StatusNotFound {
		return proofs.Tree{N: -1}
	}
	b.expect(a, http.StatusOK, "")
	cp, note, err := proofs.OpenCheckpoint([]byte(a.body), b.log.Key())
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := note.VerifiedBy(b.key); err != nil {
		b.t.Fatal(err)
	}
	return cp.Tree
}
