package cluster

import (
	"context"
	"net/http"
	"sync"

	"github.com/tuflog/tuflog/log/httpd"
)

// Front serves the present log: a Follower or, while this process leads, a Log. The
// zero value answers nothing: call Switch before it is served.
type Front struct {
	mu  sync.RWMutex
	now *serving
}

// Server is a log with its HTTP interface.
type Server interface {
	Handler() http.Handler
	Stats(ctx context.Context) httpd.Stats
}

// serving is a log with the requests that it is answering.
type serving struct {
	server   Server
	requests sync.WaitGroup
}

// Switch asks a log to answer all requests from now on. Those that the one
// before is answering are not disturbed: left, which may be called once, waits
// for their end. Until then the one before must run.
func (f *Front) Switch(l Server) (left func()) {
	f.mu.Lock()
	before := f.now
	f.now = &serving{server: l}
	f.mu.Unlock()
	if before == nil {
		return func() {}
	}
	return before.requests.Wait
}

// enter returns the present log. With the lock held, so that none enters one that
// has been left.
func (f *Front) enter() *serving {
	f.mu.RLock()
	defer f.mu.RUnlock()
	f.now.requests.Add(1)
	return f.now
}

// ServeHTTP implements http.Handler.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := f.enter()
	defer now.requests.Done()
	now.server.Handler().ServeHTTP(w, r)
}

// Stats returns how far the present log is.
func (f *Front) Stats(ctx context.Context) httpd.Stats {
	now := f.enter()
	defer now.requests.Done()
	return now.server.Stats(ctx)
}
