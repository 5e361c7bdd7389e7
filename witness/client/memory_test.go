package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// scripted is a witness that answers as told and keeps what it was asked.
type scripted struct {
	signer *proofs.Signer
	server *httptest.Server
	answer func(w http.ResponseWriter, text string)

	mu    sync.Mutex
	asked []client.Request
}

func newScripted(t *testing.T, name string) *scripted {
	s := &scripted{signer: witnesstest.NewSigner(t, name, proofs.CosignatureV1)}
	s.answer = func(w http.ResponseWriter, text string) {
		fmt.Fprint(w, cosign(t, s.signer, text, time.Now().Unix()).String())
	}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		if _, err := r.Body.Read(body); err != nil && err.Error() != "EOF" {
			t.Error(err)
		}
		req, err := client.ParseRequest(body)
		if err != nil {
			t.Error(err)
			return
		}
		s.mu.Lock()
		s.asked = append(s.asked, req)
		s.mu.Unlock()
		note, err := proofs.ParseNote(req.Checkpoint)
		if err != nil {
			t.Error(err)
			return
		}
		s.answer(w, note.Text)
	}))
	t.Cleanup(s.server.Close)
	return s
}

func (s *scripted) requests() []client.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]client.Request(nil), s.asked...)
}

func gatherer(t *testing.T, quorum string, witnesses ...*scripted) *client.Gatherer {
	t.Helper()
	var b strings.Builder
	for i, w := range witnesses {
		fmt.Fprintf(&b, "witness w%d %v %s\n", i, w.signer.Key(), w.server.URL)
	}
	policy, err := proofs.ParsePolicy([]byte(b.String() + quorum))
	if err != nil {
		t.Fatal(err)
	}
	g, err := client.NewGatherer(policy, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestRememberedSizes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "witnesses.json")
	log := witnesstest.NewLog(t, "log.example")
	w := newScripted(t, "w.example")
	for _, wantOld := range []int64{0, 3, 0} {
		log.Grow(3, "")
		g := gatherer(t, "quorum w0\n", w)
		err := g.Remember(path)
		if damaged := wantOld == 0 && len(w.requests()) > 0; (err != nil) != damaged {
			t.Fatalf("remember: %v", err)
		}
		r := log.Request(0)
		if _, err := g.Gather(t.Context(), r.Checkpoint, log.Checkpoint(), func(context.Context, int64) ([]proofs.Hash, error) { return nil, nil }); err != nil {
			t.Fatal(err)
		}
		g.Close()
		asked := w.requests()
		if got := asked[len(asked)-1].OldSize; got != wantOld {
			t.Errorf("asked from size %d, want %d", got, wantOld)
		}
		if wantOld == 3 {
			if err := os.WriteFile(path, []byte("damaged"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A witness that answers when the quorum is met already is still heard.
func TestLate(t *testing.T) {
	log := witnesstest.NewLog(t, "log.example")
	log.Grow(3, "")
	fast, slow := newScripted(t, "fast.example"), newScripted(t, "slow.example")
	answer, gate := slow.answer, make(chan struct{})
	slow.answer = func(w http.ResponseWriter, text string) {
		<-gate
		answer(w, text)
	}
	g := gatherer(t, "quorum w0\n", fast, slow)
	type late struct {
		text string
		sigs []proofs.Signature
	}
	got := make(chan late, 2)
	g.Late = func(text string, sigs []proofs.Signature) { got <- late{text, sigs} }
	if _, err := g.Gather(t.Context(), log.Request(0).Checkpoint, log.Checkpoint(), nil); err != nil {
		t.Fatal(err)
	}
	close(gate)
	select {
	case l := <-got:
		if l.text != log.Checkpoint().String() || len(l.sigs) != 1 || l.sigs[0].Name != "slow.example" {
			t.Errorf("late: %+v", l)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing came late")
	}
	g.Close()
}

// Retry-After is honoured, of a witness that is too busy alone, and for 15 s at most.
func TestRetryAfter(t *testing.T) {
	log := witnesstest.NewLog(t, "log.example")
	log.Grow(3, "")
	w := newScripted(t, "w.example")
	answer := w.answer
	for status, wantAsked := range map[int]int{429: 2, 503: 2, 500: 3} {
		now := time.Now()
		g := gatherer(t, "quorum w0\n", w)
		g.Now = func() time.Time { return now }
		w.answer = func(rw http.ResponseWriter, _ string) {
			rw.Header().Set("Retry-After", "3600")
			rw.WriteHeader(status)
			fmt.Fprint(rw, "come back later")
		}
		before := len(w.requests())
		gather := func() error {
			_, err := g.Gather(t.Context(), log.Request(0).Checkpoint, log.Checkpoint(), nil)
			return err
		}
		if err := gather(); err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Fatalf("%d: %v", status, err)
		}
		now = now.Add(14 * time.Second)
		if err := gather(); err == nil || status != 500 && !strings.Contains(err.Error(), `as it requested (status `) || !strings.Contains(err.Error(), `"come back later"`) {
			t.Fatalf("%d, a second too early: %v", status, err)
		}
		w.answer = answer
		now = now.Add(time.Second)
		if err := gather(); err != nil {
			t.Fatalf("%d, in time: %v", status, err)
		}
		if got := len(w.requests()) - before; got != wantAsked {
			t.Errorf("%d: asked %d times, want %d", status, got, wantAsked)
		}
		g.Close()
	}
}
