package leader_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/tuf"
)

// errorsOf collects what a log says that is an error.
type errorsOf struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (e *errorsOf) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.text.Write(p)
}

func (e *errorsOf) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.text.String()
}

// A client that hangs up ends what is read for it alone. It takes nothing from others
// that wait for the same judgement, and what was broken off counts for nothing.
func TestClientsThatHangUp(t *testing.T) {
	gate, failed := new(gatedBlobs), new(errorsOf)
	r := start(t, func(c *leader.Config) {
		c.Blobs = gate
		c.Logger = slog.New(slog.NewTextHandler(failed, &slog.HandlerOptions{Level: slog.LevelError}))
	})
	gate.r = r
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	check(t, v.Release("targets"))
	files := []api.File{file(v, "targets"), file(v, "snapshot")}

	// A judgement is shared by all that sent the file.
	asked, release := gate.hold(file(v, "root").Data)
	defer release()
	gone, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	var first sync.WaitGroup
	first.Go(func() {
		if res, err := r.client.Submit(gone, id, files); err == nil {
			t.Errorf("a client that hung up has an answer: %+v", res)
		}
	})
	<-asked
	answer := make(chan *api.Result, 1)
	go func() {
		res, err := r.client.Submit(t.Context(), id, files)
		if err != nil {
			t.Error(err)
			res = new(api.Result)
		}
		answer <- res
	}()
	r.until(t, func() bool { return r.log.Stats(gone).Queued == 2 })
	hangUp()
	first.Wait()
	release()
	res := <-answer
	if len(res.Results) == 0 || res.Results[0].Status != api.StatusLogged || res.Results[0].Index != 1 || res.Results[0].Sidecar == "" {
		t.Errorf("the other client's answer: %+v", res)
	}
	if n := gate.given.Load(); n != 0 {
		t.Errorf("a judgement was broken off %d times", n)
	}

	// What is read for one answer alone is broken off, and read again for the next.
	r.close(t)
	r.open(t)
	for _, path := range []string{
		"/v1/repositories/" + id + "/roles/targets",
		"/blob/sha256/" + tuf.Sum(file(v, "root").Data).String(),
		"/v1/lookup/sha256/" + tuf.Sum(file(v, "root").Data).String(),
	} {
		before := gate.given.Load()
		asked, release := gate.hold(file(v, "root").Data)
		gone, hangUp := context.WithCancel(t.Context())
		var client sync.WaitGroup
		client.Go(func() {
			req, err := http.NewRequestWithContext(gone, http.MethodGet, r.http.URL+path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := http.DefaultClient.Do(req); err == nil {
				t.Errorf("%s: a client that hung up has an answer: %d", path, resp.StatusCode)
				resp.Body.Close()
			}
		})
		<-asked
		hangUp()
		client.Wait()
		r.until(t, func() bool { return gate.given.Load() > before })
		release()
		if resp, body := r.do(t, http.MethodGet, path, nil); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		} else if path[:4] == "/v1/" && !bytes.Contains(body, []byte(`"index":`)) {
			t.Errorf("%s: %s", path, body)
		}
	}
	if err := r.log.Publisher().Halted(); err != nil {
		t.Errorf("the log has halted: %v", err)
	}
	if s := failed.String(); s != "" {
		t.Errorf("errors: %s", s)
	}
}

// lingeringBlobs reads one file for a while after it was told that nobody waits.
type lingeringBlobs struct {
	log.Blobs
	held   atomic.Pointer[tuf.Digest]
	asked  chan struct{}
	inside atomic.Int64
	over   atomic.Bool
	late   atomic.Int64 // calls when the log was over
}

func (b *lingeringBlobs) wraps(blobs log.Blobs) { b.Blobs = blobs }

func (b *lingeringBlobs) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	if b.over.Load() {
		b.late.Add(1)
	}
	if held := b.held.Load(); held != nil && *held == sum {
		b.inside.Add(1)
		defer b.inside.Add(-1)
		b.held.Store(nil)
		close(b.asked)
		<-ctx.Done()
		time.Sleep(300 * time.Millisecond) // no batch waits so long, and a log that does not either returns meanwhile
		return nil, ctx.Err()
	}
	return b.Blobs.Blob(ctx, sum)
}

// When Run has returned nothing is judged any more, also what no batch waited for: its
// caller closes the files next.
func TestRunWaitsForJudgements(t *testing.T) {
	blobs := &lingeringBlobs{asked: make(chan struct{})}
	r := start(t, func(c *leader.Config) {
		c.Blobs, c.DrainTimeout = blobs, time.Millisecond
	})
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	check(t, v.Release("targets"))
	root := tuf.Sum(file(v, "root").Data)
	blobs.held.Store(&root)
	waiting, leave := context.WithCancel(t.Context())
	defer leave()
	var client sync.WaitGroup
	client.Go(func() {
		// It is told that the log is being stopped.
		_, _ = r.client.Submit(waiting, id, []api.File{file(v, "targets"), file(v, "snapshot")})
	})
	<-blobs.asked
	r.cancel()
	err := <-r.ended
	blobs.over.Store(true)
	if n := blobs.inside.Load(); n != 0 {
		t.Errorf("Run has returned while %d files were being read", n)
	}
	r.ended <- err // for the end of the test
	leave()
	client.Wait()
	if n := blobs.late.Load(); n != 0 {
		t.Errorf("%d files were read after Run had returned", n)
	}
}
