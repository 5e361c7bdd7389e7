package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// peer is a witness of a test: a real one, unless handle replaces it.
type peer struct {
	t      testing.TB
	signer *proofs.Signer
	store  *witnesstest.Memory
	real   http.Handler
	server *httptest.Server

	mu       sync.Mutex
	handle   http.HandlerFunc
	requests int
}

func newPeer(t testing.TB, name string, log *witnesstest.Log) *peer {
	t.Helper()
	p := &peer{t: t, signer: witnesstest.NewSigner(t, name, proofs.CosignatureV1), store: new(witnesstest.Memory)}
	if err := p.store.AddLog(context.Background(), witness.NewLog{Key: log.Key()}); err != nil {
		t.Fatal(err)
	}
	w, err := witness.New(witness.Config{Store: p.store, Signers: []witness.Signer{p.signer}})
	if err != nil {
		t.Fatal(err)
	}
	p.real = w.Handler()
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	return p
}

func (p *peer) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.requests++
	handle := p.handle
	p.mu.Unlock()
	if handle != nil {
		handle(rw, r)
		return
	}
	p.real.ServeHTTP(rw, r)
}

// answer replaces the witness; nil brings it back.
func (p *peer) answer(handle http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handle = handle
}

func (p *peer) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.requests
	p.requests = 0
	return n
}

// size is that of the checkpoint that the witness has cosigned last.
func (p *peer) size(origin string) int64 {
	p.t.Helper()
	l, err := p.store.Log(context.Background(), witness.HashOrigin(origin))
	if err != nil {
		p.t.Fatal(err)
	}
	if l.Latest == nil {
		return -1
	}
	return l.Latest.Tree.N
}

// fixture is a log with three witnesses of which two must cosign.
type fixture struct {
	t      *testing.T
	log    *witnesstest.Log
	peers  []*peer
	policy *proofs.Policy
	g      *client.Gatherer
}

func newFixture(t *testing.T, quorum string, urls func(p *peer) string) *fixture {
	t.Helper()
	f := &fixture{t: t, log: witnesstest.NewLog(t, "log.example")}
	text := "log " + f.log.Key().String() + "\n"
	for i := range 3 {
		p := newPeer(t, fmt.Sprintf("witness.example/%d", i+1), f.log)
		f.peers = append(f.peers, p)
		text += fmt.Sprintf("witness w%d %v %s\n", i+1, p.signer.Key(), urls(p))
	}
	text += quorum
	var err error
	if f.policy, err = proofs.ParsePolicy([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if f.g, err = client.NewGatherer(f.policy, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.g.Close)
	return f
}

const twoOfThree = "group g 2 w1 w2 w3\nquorum g\n"

func serverURL(p *peer) string { return p.server.URL }

func (f *fixture) gather(ctx context.Context) ([]byte, error) {
	f.t.Helper()
	// A copy, because requests to slow witnesses outlive the call.
	log := f.log.Fork()
	cp := log.Checkpoint()
	return f.g.Gather(ctx, log.Sign(cp), cp, proving(log))
}

// mustGather expects cosignatures that satisfy the policy.
func (f *fixture) mustGather() *proofs.SignedCheckpoint {
	f.t.Helper()
	signed, err := f.gather(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	sc, err := f.policy.OpenCheckpoint(signed)
	if err != nil {
		f.t.Fatal(err)
	}
	if sc.Tree != f.log.Checkpoint().Tree {
		f.t.Fatalf("gathered for size %d", sc.Tree.N)
	}
	return sc
}

// mustFail expects that the quorum is not met, and returns the error.
func (f *fixture) mustFail(ctx context.Context) *client.GatherError {
	f.t.Helper()
	signed, err := f.gather(ctx)
	var gather *client.GatherError
	var quorum *proofs.QuorumError
	if signed != nil || !errors.As(err, &gather) || !errors.As(err, &quorum) {
		f.t.Fatalf("got %q, %v", signed, err)
	}
	return gather
}

// eventually polls, because late answers arrive when they do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func (f *fixture) idle() {
	f.t.Helper()
	want := f.log.Size()
	eventually(f.t, "all witnesses at the latest size", func() bool {
		return !slices.ContainsFunc(f.g.Health(), func(h client.Health) bool { return h.Size != want || h.Error != "" })
	})
}

func TestGather(t *testing.T) {
	f := newFixture(t, "group g all w1 w2 w3\nquorum g\n", serverURL)
	for _, grow := range []int64{0, 3, 0, 4, 1} {
		f.log.Grow(grow, "")
		sc := f.mustGather()
		var names []string
		for _, s := range sc.Note.Signatures {
			names = append(names, s.Name)
		}
		if want := []string{"log.example", "witness.example/1", "witness.example/2", "witness.example/3"}; !slices.Equal(names, want) {
			t.Fatalf("signatures by %v, want %v", names, want)
		}
	}
	for _, p := range f.peers {
		// It remembers what they have cosigned: no request went to waste.
		if n := p.count(); n != 5 {
			t.Errorf("%d requests for 5 checkpoints", n)
		}
	}
}

func TestGatherWithDeadSlowAndLying(t *testing.T) {
	f := newFixture(t, twoOfThree, serverURL)
	f.log.Grow(3, "")
	f.mustGather()
	f.idle()

	// One dead: the quorum is met without it.
	f.peers[2].server.Close()
	f.log.Grow(1, "")
	if sc := f.mustGather(); len(sc.Cosignatures) != 2 {
		t.Fatalf("%d cosignatures", len(sc.Cosignatures))
	}
	eventually(t, "health names the dead one", func() bool { return strings.Contains(f.g.Health()[2].Error, "refused") })
	h := f.g.Health()
	if h[0].Size != 4 || h[0].Error != "" || h[0].LastSuccess.IsZero() || h[2].Size != 3 || h[2].Name != "w3" || h[2].LastSuccess.IsZero() {
		t.Fatalf("health is %+v", h)
	}

	// Another one lies, in turn: the quorum is not met, and both are named.
	text := func(l *witnesstest.Log) string { return l.Checkpoint().String() }
	impostor := witnesstest.NewSigner(t, f.peers[1].signer.Key().Name(), proofs.CosignatureV1)
	for want, lie := range map[string]string{
		"not a list of signature lines":    "It works!\n",
		"no signature by witness.example/": cosign(t, impostor, text(f.log), 1).String(),
		"does not verify":                  cosign(t, f.peers[1].signer, "something else\n", 1).String(),
	} {
		f.peers[1].answer(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, lie) })
		err := f.mustFail(t.Context())
		if len(err.Silent) != 2 || err.Silent[0].Name != "w2" || err.Silent[1].Name != "w3" || err.Cause != nil {
			t.Fatalf("silent are %+v", err.Silent)
		}
		for _, part := range []string{"witness w2: ", want, "witness w3: ", "refused"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("error %q does not say %q", err, part)
			}
		}
	}

	// They come to their senses.
	f.peers[0].answer(nil)
	f.peers[1].answer(nil)
	f.log.Grow(1, "")
	f.mustGather()
}

func TestGatherDoesNotWaitForTheSlow(t *testing.T) {
	f := newFixture(t, twoOfThree, serverURL)
	release := make(chan struct{})
	slow := f.peers[0]
	slow.answer(func(rw http.ResponseWriter, r *http.Request) {
		<-release
		slow.real.ServeHTTP(rw, r)
	})
	f.log.Grow(3, "")
	if sc := f.mustGather(); len(sc.Cosignatures) != 2 || sc.Cosignatures[0].Witness != "w2" {
		t.Fatalf("cosignatures are %+v", sc.Cosignatures)
	}
	if n := slow.size("log.example"); n != -1 {
		t.Fatalf("the slow one has already cosigned size %d", n)
	}
	// Its request was not called off.
	close(release)
	eventually(t, "the slow one at size 3", func() bool { return f.g.Health()[0].Size == 3 })
	if n := slow.size("log.example"); n != 3 {
		t.Fatalf("the slow one has cosigned size %d", n)
	}
}

func TestGatherTimesOut(t *testing.T) {
	f := newFixture(t, twoOfThree, serverURL)
	f.g.Timeout = 50 * time.Millisecond
	hang := func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // until then the server does not notice that the client left
		<-r.Context().Done()
	}
	f.peers[0].answer(hang)
	f.peers[2].answer(hang)
	f.log.Grow(3, "")
	err := f.mustFail(t.Context())
	if len(err.Silent) != 2 || !strings.Contains(err.Error(), "no answer within 50ms") || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	f.peers[0].answer(nil)
	f.mustGather()
}

func TestGatherEndsWithItsContext(t *testing.T) {
	f := newFixture(t, twoOfThree, serverURL)
	release := make(chan struct{})
	for _, p := range f.peers[:2] {
		p.answer(func(rw http.ResponseWriter, r *http.Request) {
			<-release
			p.real.ServeHTTP(rw, r)
		})
	}
	f.log.Grow(3, "")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	err := f.mustFail(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "witness w1: no answer yet") {
		t.Fatalf("got %v", err)
	}
	// What was under way ends as usual.
	close(release)
	f.idle()
}

func TestGatherRecoversFromConflicts(t *testing.T) {
	f := newFixture(t, "group g all w1 w2 w3\nquorum g\n", serverURL)
	f.log.Grow(3, "")
	f.mustGather()

	// A Gatherer that knows nothing, as after a restart.
	var err error
	if f.g, err = client.NewGatherer(f.policy, nil); err != nil {
		t.Fatal(err)
	}
	defer f.g.Close()
	for _, p := range f.peers {
		p.count()
	}
	f.log.Grow(4, "")
	f.mustGather()
	f.log.Grow(4, "")
	f.mustGather()
	for _, p := range f.peers {
		if n := p.count(); n != 3 {
			t.Errorf("%d requests, want 409, 200, 200", n)
		}
	}

	// A witness that cosigned more than this checkpoint, for another copy of
	// the log.
	ahead := f.log.Fork()
	ahead.Grow(5, "")
	c := client.Client{URL: f.peers[1].server.URL, Key: f.peers[1].signer.Key()}
	if _, err := c.AddCheckpoint(t.Context(), ahead.Request(11)); err != nil {
		t.Fatal(err)
	}
	f.log.Grow(1, "")
	if err := f.mustFail(t.Context()); !err.Contradicted() || !strings.Contains(err.Error(), "witness w2: it has cosigned a tree of size 16, larger than this one of size 12") {
		t.Fatalf("got %v", err)
	}
	if err := f.mustFail(t.Context()); !strings.Contains(err.Error(), "cosigned a tree of size 16") {
		t.Fatalf("the second time: %v", err)
	}
	f.log.Grow(4, "")
	f.mustGather()

	// One that never agrees with itself is asked twice, not for ever.
	f.log.Grow(1, "")
	for _, tt := range []struct {
		answers []int64
		left    int
	}{
		{[]int64{5, 6, 7}, 1},
		{[]int64{16, 16, 16}, 1},
		{[]int64{16, 16, 16}, 2}, // what was asked from already
	} {
		answers := slices.Clone(tt.answers)
		f.peers[1].answer(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", client.SizeType)
			rw.WriteHeader(http.StatusConflict)
			fmt.Fprintf(rw, "%d\n", answers[0])
			answers = answers[1:]
		})
		if err := f.mustFail(t.Context()); len(err.Silent) != 1 {
			t.Fatalf("got %v", err)
		}
		if len(answers) != tt.left {
			t.Fatalf("of the answers %v, %d are left, want %d", tt.answers, len(answers), tt.left)
		}
	}
}

// What witnesses show is taken from those that show something, and from nobody without
// bounds.
func TestNewest(t *testing.T) {
	f := newFixture(t, twoOfThree, serverURL)
	if notes := f.g.Newest(t.Context(), "log.example"); len(notes) != 0 {
		t.Fatalf("of a log that nobody has cosigned: %d notes", len(notes))
	}
	f.log.Grow(3, "")
	f.mustGather()
	f.idle()
	f.peers[1].answer(func(rw http.ResponseWriter, _ *http.Request) { rw.Write(make([]byte, 1<<20)) })
	f.peers[2].answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	f.g.Timeout = 100 * time.Millisecond
	notes := f.g.Newest(t.Context(), "log.example")
	if len(notes) != 1 {
		t.Fatalf("%d notes, want one", len(notes))
	}
	if cp, _, err := proofs.OpenCheckpoint(notes[0], f.log.Key()); err != nil || cp.Tree.N != 3 {
		t.Errorf("the witness shows %+v, %v", cp, err)
	}
}

func TestGatherWithoutProof(t *testing.T) {
	f := newFixture(t, twoOfThree, serverURL)
	f.log.Grow(3, "")
	f.mustGather()
	f.idle()
	f.log.Grow(1, "")
	cp := f.log.Checkpoint()
	broken := errors.New("tile is gone")
	_, err := f.g.Gather(t.Context(), f.log.Sign(cp), cp, func(_ context.Context, old int64) ([]proofs.Hash, error) {
		if old != 3 {
			t.Errorf("asked for a proof from size %d", old)
		}
		return nil, broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
}

func TestGatherComparesNoteAndCheckpoint(t *testing.T) {
	f := newFixture(t, twoOfThree, serverURL)
	f.log.Grow(3, "")
	signed := f.log.Sign(f.log.Checkpoint())
	f.log.Grow(1, "")
	if _, err := f.g.Gather(t.Context(), signed, f.log.Checkpoint(), proving(f.log)); err == nil || !strings.Contains(err.Error(), "not the checkpoint") {
		t.Fatalf("got %v", err)
	}
}

func TestGatherClosed(t *testing.T) {
	f := newFixture(t, twoOfThree, serverURL)
	for _, p := range f.peers {
		p.answer(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		})
	}
	done := make(chan error)
	f.log.Grow(3, "")
	go func() {
		_, err := f.gather(context.Background())
		done <- err
	}()
	eventually(t, "requests under way", func() bool { return f.peers[0].count() > 0 })
	f.g.Close()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if _, err := f.gather(t.Context()); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Fatalf("after Close: %v", err)
	}
}

func TestNewGatherer(t *testing.T) {
	// A witness without a URL is not asked, and cannot be counted on.
	only := func(name string) func(p *peer) string {
		return func(p *peer) string {
			if p.signer.Key().Name() == name {
				return ""
			}
			return p.server.URL
		}
	}
	f := newFixture(t, twoOfThree, only("witness.example/2"))
	f.log.Grow(3, "")
	if sc := f.mustGather(); len(sc.Cosignatures) != 2 || len(f.g.Health()) != 2 {
		t.Fatalf("cosignatures are %+v", sc.Cosignatures)
	}
	for _, quorum := range []string{"quorum w2\n", "group g all w1 w2 w3\nquorum g\n"} {
		log := f.log.Key().String()
		text := "log " + log + "\n"
		for i, p := range f.peers {
			text += fmt.Sprintf("witness w%d %v %s\n", i+1, p.signer.Key(), only("witness.example/2")(p))
		}
		policy, err := proofs.ParsePolicy([]byte(text + quorum))
		if err != nil {
			t.Fatal(err)
		}
		var short *proofs.QuorumError
		if _, err := client.NewGatherer(policy, nil); !errors.As(err, &short) {
			t.Fatalf("quorum %q: %v", quorum, err)
		}
	}
}

// proving proves what a log is asked to.
func proving(log *witnesstest.Log) client.Consistency {
	return func(_ context.Context, old int64) ([]proofs.Hash, error) { return log.Proof(old) }
}
