package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
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

func (w *world) load(ctx context.Context, clients int) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{w: w, cancel: cancel}
	w.loads = append(w.loads, l)
	for range clients {
		l.running.Go(func() { l.w.rec.Vendors(ctx, l.insist) })
	}
	l.running.Go(func() { w.client().Watch(ctx, w.url(), w.url()) })
	return l
}

// insist sends a release until it is acknowledged.
func (l *load) insist(ctx context.Context, rel rehearsal.Release) bool {
	return l.w.client().Insist(ctx, rel, 1, func(int) string { return l.w.url() }, func(_ int, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.last = err
	})
}

// progress waits for n more acknowledgements, as long as it takes while they come.
func (l *load) progress(ctx context.Context, n int64) error {
	var err error
	for have, want := l.w.rec.Count(), l.w.rec.Count()+n; err == nil && have < want && l.w.rec.Err() == nil; have = l.w.rec.Count() {
		err = process.Eventually(ctx, fmt.Sprintf("%d more acknowledgements", want-have), process.Patience, func() bool {
			return l.w.rec.Count() > have || l.w.rec.Err() != nil
		})
	}
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
