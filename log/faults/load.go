package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tuflog/tuflog/log/internal/rehearsal"
	"github.com/tuflog/tuflog/proofs"
)

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
	again = 10 * time.Millisecond // after an attempt that failed
)

func (w *world) load(ctx context.Context, clients int) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{w: w, cancel: cancel}
	for range clients {
		l.running.Go(func() { l.w.rec.Vendors(ctx, l.insist) })
	}
	l.running.Go(func() { l.watch(ctx) })
	return l
}

// insist sends a release until it is acknowledged.
func (l *load) insist(ctx context.Context, rel rehearsal.Release) bool {
	for ctx.Err() == nil {
		// What is under way when the load ends still gets its answer.
		err := l.w.submit(context.WithoutCancel(ctx), l.w.url(), rel, 1)
		l.mu.Lock()
		l.last = err
		l.mu.Unlock()
		switch {
		case err == nil:
			return true
		case errors.Is(err, rehearsal.ErrRefused):
			l.w.rec.Fail("%v: %v", rel.Claim, err)
			return false
		}
		rehearsal.Pause(ctx, again)
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
				l.w.rec.Fail("a checkpoint was served that the policy refuses: %v", err)
			} else {
				l.w.rec.Serve(l.w.url(), cp.Tree)
			}
		}
		rehearsal.Pause(ctx, 5*time.Millisecond)
	}
}

// progress waits for n more acknowledgements.
func (l *load) progress(ctx context.Context, n int64) error {
	want := l.w.rec.Count() + n
	err := rehearsal.Eventually(ctx, fmt.Sprintf("%d more acknowledgements", n), rehearsal.Patience, func() bool {
		return l.w.rec.Count() >= want || l.w.rec.Err() != nil
	})
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return fmt.Errorf("%w; the last answer was: %v; the log says: %s", err, l.last, l.w.lastWords())
	}
	return l.w.rec.Err()
}

// stop ends the load.
func (l *load) stop() {
	l.cancel()
	l.running.Wait()
}

func (w *world) client() rehearsal.Client {
	return rehearsal.Client{HTTP: w.http, Policy: w.policy, Rec: w.rec}
}

// submit sends a release once; nil is an acknowledgement that was taken down.
func (w *world) submit(ctx context.Context, url string, rel rehearsal.Release, wait int) error {
	return w.client().Submit(ctx, url, rel, wait)
}

func (w *world) get(ctx context.Context, path string) ([]byte, error) {
	return w.client().Get(ctx, w.url()+path)
}

// published returns the checkpoint that is served now.
func (w *world) published(ctx context.Context) (proofs.Tree, error) {
	return w.client().Published(ctx, w.url())
}

// read reads all entries and hashes them.
func (w *world) read(ctx context.Context) (*rehearsal.History, error) {
	return w.client().Read(ctx, w.url())
}
