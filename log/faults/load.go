package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// errRefused is a verdict against a release that is as it should be.
var errRefused = errors.New("refused")

// submit sends a release once. It returns nil only for an acknowledgement whose
// sidecar verifies, and has written it down then.
func (w *world) submit(ctx context.Context, url string, rel release, wait int) error {
	path, contentType, body := "/v1/repositories", api.TypeJSON, rel.files[0].Data
	if rel.claim.Role != verify.RoleRoot {
		var err error
		path, contentType = "/v1/repositories/"+rel.claim.Repository.String()+"/metadata", api.TypeTar
		if body, err = api.Tar(rel.files); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Prefer", fmt.Sprintf("wait=%d", wait))
	resp, err := w.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return w.acknowledged(rel, answer)
	case http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %.300s", errRefused, answer)
	}
	return fmt.Errorf("status %d: %.200s", resp.StatusCode, answer)
}

func (w *world) acknowledged(rel release, answer []byte) error {
	var res api.Result
	if err := json.Unmarshal(answer, &res); err != nil {
		return err
	}
	if len(res.Results) != 1 {
		return fmt.Errorf("%d results for one file", len(res.Results))
	}
	f := res.Results[0]
	if f.Status != api.StatusReleased && f.Status != api.StatusLogged {
		return fmt.Errorf("%w: %+v", errRefused, f)
	}
	logged, err := verify.CheckSidecar([]byte(f.Sidecar), rel.claim, w.policy)
	if err != nil {
		w.rec.fail("the sidecar of an acknowledgement: %v", err)
		return err
	}
	if logged.Index != f.Index {
		w.rec.fail("acknowledged at %d with a sidecar for %d", f.Index, logged.Index)
	}
	w.rec.acknowledge(rel, logged)
	return nil
}

// load is a number of clients that submit releases until it is stopped. A
// release that is not acknowledged is sent again until it is, so whatever the
// log did with it shows.
type load struct {
	w       *world
	cancel  context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	last    error // why the last attempt was not acknowledged
}

const (
	perVendor = 20                    // releases until a client registers another
	calm      = 3 * time.Millisecond  // between two releases of a client
	again     = 10 * time.Millisecond // after an attempt that failed
)

func (w *world) load(ctx context.Context, clients int) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{w: w, cancel: cancel}
	for range clients {
		l.running.Go(func() { l.client(ctx) })
	}
	l.running.Go(func() { l.watch(ctx) })
	return l
}

func (l *load) client(ctx context.Context) {
	for ctx.Err() == nil {
		v, err := newVendor()
		if err != nil {
			l.w.rec.fail("%v", err)
			return
		}
		for i := range perVendor {
			rel := v.genesis()
			if i > 0 {
				rel = v.next()
			}
			if !l.insist(ctx, rel) {
				return
			}
			pause(ctx, calm)
		}
	}
}

// insist sends a release until it is acknowledged.
func (l *load) insist(ctx context.Context, rel release) bool {
	for ctx.Err() == nil {
		// What is under way when the load ends still gets its answer.
		err := l.w.submit(context.WithoutCancel(ctx), l.w.url(), rel, 1)
		l.mu.Lock()
		l.last = err
		l.mu.Unlock()
		switch {
		case err == nil:
			return true
		case errors.Is(err, errRefused):
			l.w.rec.fail("%v: %v", rel.claim, err)
			return false
		}
		pause(ctx, again)
	}
	return false
}

// watch takes down every checkpoint that it sees served.
func (l *load) watch(ctx context.Context) {
	var last []byte
	for ctx.Err() == nil {
		if b, err := l.w.get(ctx, "/checkpoint"); err == nil && !bytes.Equal(b, last) {
			last = b
			if cp, err := l.w.policy.OpenCheckpoint(b); err != nil {
				l.w.rec.fail("a checkpoint was served that the policy refuses: %v", err)
			} else {
				l.w.rec.serve(cp.Tree)
			}
		}
		pause(ctx, 5*time.Millisecond)
	}
}

// progress waits for n more acknowledgements.
func (l *load) progress(ctx context.Context, n int64) error {
	want := l.w.rec.count() + n
	err := eventually(ctx, fmt.Sprintf("%d more acknowledgements", n), patience, func() bool {
		return l.w.rec.count() >= want || l.w.rec.err() != nil
	})
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return fmt.Errorf("%w; the last answer was: %v; the log says: %s", err, l.last, l.w.lastWords())
	}
	return l.w.rec.err()
}

// stop ends the load.
func (l *load) stop() {
	l.cancel()
	l.running.Wait()
}

func (w *world) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url()+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %.200s", path, resp.StatusCode, b)
	}
	return b, err
}

// published returns the checkpoint that is served now.
func (w *world) published(ctx context.Context) (proofs.Tree, error) {
	b, err := w.get(ctx, "/checkpoint")
	if err != nil {
		return proofs.Tree{}, err
	}
	cp, err := w.policy.OpenCheckpoint(b)
	if err != nil {
		return proofs.Tree{}, err
	}
	return cp.Tree, nil
}
