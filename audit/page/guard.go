package page

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/tuflog/tuflog/internal/rates"
	"github.com/tuflog/tuflog/internal/room"
)

// Limits bound the work that strangers cause. An address is an IPv4 address, or the first
// 64 bits of an IPv6 address.
type Limits struct {
	// PerSecond is how many requests a second an address may send in the long run, and Burst
	// how many at once; 0 is the default, negative any number.
	PerSecond float64
	Burst     int
	// Concurrent is how many answers are made at once, up to a quarter of them for one
	// address; 0 is the default. Up to half of them, an eighth for one address, may be of work
	// that costs much, or wait for it. An answer that is made is sent beside: a slow reader
	// keeps nobody else waiting.
	Concurrent int
	// Timeout is how long the making of an answer may take; 0 is the default.
	Timeout time.Duration
}

// DefaultLimits are those of "auditor serve".
var DefaultLimits = Limits{PerSecond: 20, Burst: 200, Concurrent: 64, Timeout: 10 * time.Second}

func (l Limits) or(d Limits) Limits {
	l.PerSecond, l.Burst = cmp.Or(l.PerSecond, d.PerSecond), cmp.Or(l.Burst, d.Burst)
	l.Concurrent, l.Timeout = cmp.Or(l.Concurrent, d.Concurrent), cmp.Or(l.Timeout, d.Timeout)
	return l
}

const (
	// headerFor and answerFor are how long a request's header may take to come, and an answer
	// to be made and taken; idleFor is how long a connection may be without a request.
	headerFor = 5 * time.Second
	answerFor = 2 * time.Minute // a file of evidence over a slow line
	idleFor   = 2 * time.Minute
	// maxHeader is how many bytes a request's header may have, its URL included.
	maxHeader = 16 << 10
	// maxConnections is how many connections there are at once, and perAddress how many of
	// one address.
	maxConnections = 1024
	perAddress     = 64
)

// NewHTTPServer returns an http.Server for a handler with timeouts and a bounded number of
// connections. behindProxy says that all connections come from one proxy.
func NewHTTPServer(h http.Handler, behindProxy bool) *http.Server {
	s := &http.Server{Handler: h, ReadHeaderTimeout: headerFor, ReadTimeout: headerFor, WriteTimeout: answerFor, IdleTimeout: idleFor, MaxHeaderBytes: maxHeader}
	most := perAddress
	if behindProxy {
		most = 0
	}
	room.LimitConnections(s, room.New(min(maxConnections, room.ForConnections()), most), rates.Connection)
	return s
}

// guard answers requests within the limits.
type guard struct {
	limits Limits
	header string // in which a proxy gives the client's address; empty: no proxy
	now    func() time.Time
	places *room.Room // where answers are made
	lines  *room.Room // on which they are sent, by their size
	heavy  *room.Room // where work that costs much is done or waits
	meters *meters    // of requests
}

func newGuard(l Limits, header string, now func() time.Time) *guard {
	return &guard{
		limits: l, header: header, now: now, places: room.New(l.Concurrent, (l.Concurrent+3)/4), lines: room.New(maxLines, linesPerAddress),
		heavy: room.New((l.Concurrent+1)/2, (l.Concurrent+7)/8), meters: newMeters(l.PerSecond*pageCost, max(l.Burst, 1)*pageCost),
	}
}

// refuse answers a request with a sentence.
type refuse func(w http.ResponseWriter, r *http.Request, status int, say string)

// wrap returns a handler that is asked within the limits, and of each request what it costs.
func (g *guard) wrap(next http.Handler, cost int, refuse refuse) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		address := g.address(r)
		if wait := g.take(address, cost); wait > 0 {
			retryAfter(w, wait)
			refuse(w, r, http.StatusTooManyRequests, "There were too many requests from your address. Try again in a moment.")
			return
		}
		place, ok := g.places.Enter(address, nil)
		if !ok {
			retryAfter(w, time.Second)
			refuse(w, r, http.StatusServiceUnavailable, "Too many requests are under way. Try again in a moment.")
			return
		}
		defer place.Leave()
		a := &answer{ResponseWriter: w, guard: g, address: address, made: place.Leave}
		defer a.sent()
		ctx, cancel := context.WithTimeout(withSource(r.Context(), address), g.limits.Timeout)
		defer cancel()
		next.ServeHTTP(a, r.WithContext(ctx))
	})
}

// pages returns a handler for what can only be read, that says what went wrong.
func (s *Server) pages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			s.fail(w, r, http.StatusMethodNotAllowed, "These pages can only be read.")
			return
		}
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // it is a value
				s.cfg.Logger.Error("a page panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				s.fail(w, r, http.StatusInternalServerError, "This page cannot be shown: a fault of this program, which is noted.")
			}
		}()
		next.ServeHTTP(w, r.WithContext(withPins(r.Context())))
	})
}

// What requests cost of an address's share.
const (
	pageCost = 50
	fileCost = 1
)

// Limited returns a handler of something that is served beside the pages, and shares their
// limits. A request costs as much as one of a page; if it is one of many small files, a fiftieth.
func (s *Server) Limited(next http.Handler, files bool) http.Handler {
	cost := pageCost
	if files {
		cost = fileCost
	}
	return s.guard.wrap(next, cost, func(w http.ResponseWriter, _ *http.Request, status int, say string) { http.Error(w, say, status) })
}

// policy is what a page may load: its style and its icon. Nothing runs, frames it, or is
// sent elsewhere.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// secure sets the headers of every answer.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

// take takes a request of an address, or returns how long to wait.
func (g *guard) take(address string, cost int) time.Duration {
	if g.limits.PerSecond < 0 {
		return 0
	}
	return g.meters.take(address, g.now(), cost)
}

// address is what requests are counted by.
func (g *guard) address(r *http.Request) string {
	return rates.Client(r, g.header)
}

func retryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.FormatInt(max(1, int64(math.Ceil(wait.Seconds()))), 10))
}
