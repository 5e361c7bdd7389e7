package leader_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/tuf"
)

// gatedBlobs does not give out one file before it is told to.
type gatedBlobs struct {
	r *running

	mu    sync.Mutex
	held  tuf.Digest
	asked chan struct{} // closed when somebody waits for it
	open  chan struct{}
	given atomic.Int64 // how often a reader gave up waiting
}

// hold makes whoever reads a file wait.
func (g *gatedBlobs) hold(file []byte) (asked chan struct{}, release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held, g.asked, g.open = tuf.Sum(file), make(chan struct{}), make(chan struct{})
	return g.asked, sync.OnceFunc(func() { close(g.open) })
}

func (g *gatedBlobs) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	g.mu.Lock()
	held, asked, open := sum == g.held, g.asked, g.open
	if held {
		select {
		case <-asked:
		default:
			close(asked)
		}
	}
	g.mu.Unlock()
	if held {
		select {
		case <-open:
		case <-ctx.Done():
			g.given.Add(1)
			return nil, fmt.Errorf("blob %v: %w", sum, ctx.Err())
		}
	}
	return g.r.blobs.Blob(ctx, sum)
}

func (g *gatedBlobs) Put(ctx context.Context, files [][]byte) error { return g.r.blobs.Put(ctx, files) }

// startGated starts a log whose files can be held back.
func startGated(t *testing.T) (r *running, gate *gatedBlobs) {
	gate = new(gatedBlobs)
	r = start(t, func(c *leader.Config) { c.Blobs = gate })
	gate.r = r
	return r, gate
}

// A vendor whose files take long to judge holds up nobody else, however many
// processors his judgements keep busy.
func TestSlowJudgementsHoldUpNobody(t *testing.T) {
	r, gate := startGated(t)
	slow, quick := newVendor(t), newVendor(t)
	slowID, quickID := r.register(t, file(slow, "root").Data), r.register(t, file(quick, "root").Data)
	check(t, slow.Release("targets"))
	asked, release := gate.hold(file(slow, "root").Data)
	defer release()
	answer := make(chan []api.FileResult, 1)
	go func() {
		res, err := r.client.Submit(t.Context(), slowID, []api.File{file(slow, "targets"), file(slow, "snapshot")})
		if err != nil {
			t.Error(err)
			res = new(api.Result)
		}
		answer <- res.Results
	}()
	<-asked
	for i := range 3 {
		check(t, quick.Put("targets", "app.bin", fmt.Append(nil, i)))
		check(t, quick.Release("targets"))
		wantSummary(t, r.submit(t, quickID, file(quick, "targets"), file(quick, "snapshot")), file(quick, "targets").Name+" targets released")
	}
	release()
	select {
	case got := <-answer:
		wantSummary(t, got, file(slow, "targets").Name+" targets released")
	case <-time.After(30 * time.Second):
		t.Fatal("the slow vendor gets no answer")
	}
}

// gatedState tells late that a root is not logged.
type gatedState struct {
	log.State

	mu    sync.Mutex
	calls int // about the root that is held, before its answer is held back
	held  tuf.Digest
	asked chan struct{}
	open  chan struct{}
}

func (g *gatedState) wraps(state log.State) { g.State = state }

func (g *gatedState) Root(ctx context.Context, payload tuf.Digest) (admit.Record, bool, error) {
	rec, ok, err := g.State.Root(ctx, payload)
	g.mu.Lock()
	wait := false
	if payload == g.held {
		g.calls--
		wait = g.calls == 0
	}
	g.mu.Unlock()
	if wait {
		close(g.asked)
		<-g.open
	}
	return rec, ok, err
}

// A root that was to begin a repository, and that came into another's chain while
// it was judged, is that one's.
func TestSlowGenesis(t *testing.T) {
	// When it is submitted the state is asked once, and once when it is judged.
	gate := &gatedState{calls: 2, asked: make(chan struct{}), open: make(chan struct{})}
	r := start(t, func(c *leader.Config) { c.State = gate })
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	check(t, v.Rotate("snapshot"))
	second := file(v, "root")
	m, err := tuf.ParseJSON(second.Data)
	check(t, err)
	gate.mu.Lock()
	gate.held = m.PayloadDigest
	gate.mu.Unlock()
	release := sync.OnceFunc(func() { close(gate.open) })
	defer release()
	answer := make(chan *api.Result, 1)
	go func() {
		res, err := r.client.Register(t.Context(), second.Data)
		if err != nil {
			t.Error(err)
			res = new(api.Result)
		}
		answer <- res
	}()
	<-gate.asked
	wantSummary(t, r.submit(t, id, second), second.Name+" root released")
	release()
	select {
	case res := <-answer:
		if res.Repository != id || len(res.Results) != 1 || res.Results[0].Status != api.StatusLogged || res.Results[0].Index != 1 {
			t.Errorf("got %+v, want it logged at 1 in repository %s", res, id)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no answer")
	}
	resp, body := r.do(t, http.MethodGet, "/v1/repositories", nil)
	if resp.StatusCode != http.StatusOK || strings.Count(string(body), `"id"`) != 1 {
		t.Errorf("%d %s; want one repository", resp.StatusCode, body)
	}
}
