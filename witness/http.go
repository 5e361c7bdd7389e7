package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/internal/rates"
	"github.com/tuflog/tuflog/internal/room"
	"github.com/tuflog/tuflog/witness/client"
)

// statuses maps each reason to refuse to its HTTP status.
var statuses = map[Reason]int{
	Malformed:    http.StatusBadRequest,
	UnknownLog:   http.StatusNotFound,
	Unsigned:     http.StatusForbidden,
	OldSizeAbove: http.StatusBadRequest,
	Latched:      http.StatusServiceUnavailable,
	Held:         http.StatusServiceUnavailable,
	Conflict:     http.StatusConflict,
	Inconsistent: http.StatusUnprocessableEntity,
	Limited:      http.StatusTooManyRequests,
	Busy:         http.StatusServiceUnavailable,
	ClockInDoubt: http.StatusServiceUnavailable,
}

// Handler serves the submission prefix, the monitoring prefix, a status page at
// /, /healthz (the state can be read) and /readyz (the witness can cosign).
func (w *Witness) Handler() http.Handler { return w.HandlerBehind("") }

// HandlerBehind is Handler behind a proxy that puts the client's address into a
// header, alone, after commas, or in a line of its own: limits per address use the
// last address there. Clients that can bypass the proxy can choose their address.
func (w *Witness) HandlerBehind(header string) http.Handler {
	return w.handlerOf(handler{w, header, "", w.unread})
}

// HandlerOfBastion is Handler for the requests that a bastion passes on. It has the
// clients' addresses in a header, where it puts nothing else (c2sp.org/https-bastion).
// They count as addresses at this bastion, so that it cannot use up what another
// client has by naming its address. For the same reason Limits.Unread counts for each
// bastion alone.
func (w *Witness) HandlerOfBastion(bastion, header string) http.Handler {
	return w.handlerOf(handler{w, header, bastion + " ", room.New(w.limits.Unread, w.limits.UnreadPerAddress)})
}

func (w *Witness) handlerOf(h handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", h.serveAddCheckpoint)
	mux.HandleFunc("GET /{hash}/checkpoint", h.limited(h.serveCheckpoint))
	mux.HandleFunc("GET /healthz", w.serveHealth)
	mux.HandleFunc("GET /readyz", w.serveHealth)
	mux.HandleFunc("GET /{$}", h.limited(h.serveStatus))
	return mux
}

// handler is a Witness behind HTTP. A request has a place among those worked on
// only while the witness works on it, never while it waits for a client to send or
// to take bytes.
type handler struct {
	*Witness
	header  string // see HandlerBehind
	bastion string // before every address; empty for clients that connect themselves
	unread  *room.Room
}

// NewServer returns an HTTP server for a handler with limits that suit a
// witness: requests and answers are small, and clients keep connections.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerFor,
		ReadTimeout:       bodyFor,
		WriteTimeout:      answerFor,
		IdleTimeout:       idleFor,
		MaxHeaderBytes:    maxHeader,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			// Once per connection instead of once per request.
			return context.WithValue(ctx, addressContext{}, rates.Connection(c))
		},
	}
}

// addressContext is the context key of a connection's address, as limits count.
type addressContext struct{}

const textPlain = "text/plain; charset=utf-8"

// limited applies the rate of an address to requests without a body.
func (h handler) limited(next http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if err := h.rate(h.address(r)); err != nil {
			h.count(nil, err)
			h.fail(rw, r, err)
			return
		}
		next(rw, r)
	}
}

func (h handler) rate(address string) error {
	if wait := h.byAddr.Take(address, h.now()); wait > 0 {
		return &Refusal{Reason: Limited, RetryAfter: wait, Err: errors.New("too many requests from this address")}
	}
	return nil
}

// place returns a function that takes a place among the requests worked on.
func (h handler) place(address string) func() (leave func(), err error) {
	return func() (func(), error) {
		p, ok := h.working.Enter(address, nil)
		if !ok {
			return nil, &Refusal{Reason: Busy, RetryAfter: retryBusy, Err: errors.New("too many requests are under way")}
		}
		return p.Leave, nil
	}
}

// address is what limits count the client of a request by.
func (h handler) address(r *http.Request) string {
	if h.header == "" {
		if key, ok := r.Context().Value(addressContext{}).(string); ok {
			return key
		}
	}
	return h.bastion + rates.Client(r, h.header)
}

// retryAfter sets the header to whole seconds, at least one.
func retryAfter(rw http.ResponseWriter, wait time.Duration) {
	rw.Header().Set("Retry-After", strconv.FormatInt(max(1, int64(math.Ceil(wait.Seconds()))), 10))
}

func (h handler) serveAddCheckpoint(rw http.ResponseWriter, r *http.Request) {
	address := h.address(r)
	body, err := h.readBody(rw, r, address)
	if err != nil {
		h.failRead(rw, err)
		return
	}
	start := time.Now()
	defer func() { h.metrics.seconds.Observe(time.Since(start).Seconds()) }()
	if err := h.rate(address); err != nil {
		h.count(nil, err)
		h.fail(rw, r, err)
		return
	}
	sigs, err := h.addCheckpoint(r.Context(), body, h.place(address))
	if err != nil {
		h.fail(rw, r, err)
		return
	}
	var lines strings.Builder
	for _, s := range sigs {
		lines.WriteString(s.String())
	}
	rw.Header().Set("Content-Type", textPlain)
	rw.Header().Set("Content-Length", strconv.Itoa(lines.Len())) // not in chunks, however long
	h.write(rw, r, lines.String())
}

// failRead answers a request whose body could not be read.
func (h handler) failRead(rw http.ResponseWriter, err error) {
	outcome := Malformed
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, errGivenUp):
		outcome = Busy
		retryAfter(rw, retryBusy)
		http.Error(rw, err.Error(), http.StatusServiceUnavailable)
	case errors.As(err, &tooLarge):
		http.Error(rw, fmt.Sprintf("the request is larger than %d bytes", tooLarge.Limit), http.StatusRequestEntityTooLarge)
	case errors.Is(err, os.ErrDeadlineExceeded):
		http.Error(rw, "the request did not come in time", http.StatusRequestTimeout)
	default:
		http.Error(rw, "the request could not be read", http.StatusBadRequest)
	}
	h.metrics.answers[outcome].Add(1)
}

var errGivenUp = errors.New("the request was still incomplete when many newer ones of this address, or of others, had come")

// readBody reads a body up to the limit, within the server's ReadTimeout and for as
// long as there is room for it. Memory grows with what has come, not with what was
// announced.
func (h handler) readBody(rw http.ResponseWriter, r *http.Request, address string) ([]byte, error) {
	var (
		mu            sync.Mutex
		done, givenUp bool
	)
	p, ok := h.unread.Enter(address, func() {
		mu.Lock()
		defer mu.Unlock()
		if givenUp = !done; givenUp {
			// What reads below returns at once, and nothing else will read from
			// this connection. Where that is not possible, ReadTimeout ends it.
			_ = http.NewResponseController(rw).SetReadDeadline(time.Unix(1, 0))
		}
	})
	if !ok {
		return nil, errGivenUp
	}
	var body bytes.Buffer
	if n := r.ContentLength; n >= 0 && n < firstRead {
		body.Grow(int(n) + bytes.MinRead)
	} else {
		body.Grow(firstRead)
	}
	_, err := body.ReadFrom(http.MaxBytesReader(rw, r.Body, client.MaxRequestSize))
	p.Leave()
	mu.Lock()
	defer mu.Unlock()
	done = true
	if givenUp {
		if r.ProtoMajor == 1 {
			rw.Header().Set("Connection", "close") // with HTTP/2 it would end other requests
		}
		return nil, errGivenUp
	}
	return body.Bytes(), err
}

// firstRead is room for the body of nearly every request, in bytes.
const firstRead = 4 << 10

func (h handler) serveCheckpoint(rw http.ResponseWriter, r *http.Request) {
	id, err := ParseOriginHash(r.PathValue("hash"))
	if err != nil {
		http.Error(rw, "not an origin hash: want 64 lower-case hex digits", http.StatusNotFound)
		return
	}
	leave, err := h.place(h.address(r))()
	if err != nil {
		h.count(nil, err)
		h.fail(rw, r, err)
		return
	}
	note, err := h.cosigned(r.Context(), id)
	leave()
	if errors.Is(err, ErrUnknownLog) {
		http.Error(rw, "no checkpoint of this log was cosigned", http.StatusNotFound)
		return
	} else if err != nil {
		h.fail(rw, r, err)
		return
	}
	rw.Header().Set("Content-Type", textPlain)
	rw.Header().Set("Cache-Control", "no-cache")
	h.write(rw, r, string(note))
}

func (w *Witness) serveHealth(rw http.ResponseWriter, r *http.Request) {
	check, ready := &w.alive, r.URL.Path == "/readyz"
	if ready {
		check = &w.ready
	}
	err := check.do(func() error {
		// Not of one request alone: others wait for the answer as well.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), healthTimeout)
		defer cancel()
		return w.healthy(ctx, ready)
	})
	if err != nil {
		if stop := (*Refusal)(nil); errors.As(err, &stop) {
			http.Error(rw, stop.Error(), http.StatusServiceUnavailable)
			return
		}
		w.log.Error("health check", "path", r.URL.Path, "error", err)
		http.Error(rw, "the state cannot be read or written, or the key cannot sign", http.StatusServiceUnavailable)
		return
	}
	rw.Header().Set("Content-Type", textPlain)
	w.write(rw, r, "ok\n")
}

// healthTimeout is how long a health check may take.
const healthTimeout = 5 * time.Second

// shared is a check whose outcome serves all who asked before it began, so that any
// number of them costs one at a time. Health has no limit by address, because it is
// asked for by the operator's own machines, perhaps from behind the same proxy.
type shared struct {
	asked atomic.Int64 // number of those who have asked
	doing sync.Mutex
	heard int64 // number of those who have the outcome; with doing held
	err   error
}

func (s *shared) do(check func() error) error {
	ticket := s.asked.Add(1)
	s.doing.Lock()
	defer s.doing.Unlock()
	if s.heard < ticket {
		all := s.asked.Load()
		s.err = check()
		s.heard = all
	}
	return s.err
}

// healthy says whether the state answers, and whether the clock and the keys let it
// cosign.
func (w *Witness) healthy(ctx context.Context, ready bool) error {
	// A hash that is nobody's: what matters is whether the state answers.
	if _, err := w.store.Log(ctx, OriginHash{}); err != nil && !errors.Is(err, ErrUnknownLog) {
		return err
	}
	if !ready {
		return nil
	}
	if err := w.CheckClock(ctx); err != nil {
		return err
	}
	if w.room != nil {
		if err := w.room(); err != nil {
			return fmt.Errorf("the state cannot be stored: %w", err)
		}
	}
	// A key may be in an agent that is gone.
	for _, s := range w.signers {
		if p, ok := s.(interface{ Ping() error }); ok {
			if err := p.Ping(); err != nil {
				return fmt.Errorf("key %s: %w", s.Key().Name(), err)
			}
		}
	}
	return nil
}

// fail answers with the status of an error. What an internal error says is for
// the operator.
func (w *Witness) fail(rw http.ResponseWriter, r *http.Request, err error) {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		if r.Context().Err() != nil {
			w.log.Debug("client left", "path", r.URL.Path, "error", err)
			return
		}
		w.log.Error("request failed", "path", r.URL.Path, "error", err)
		http.Error(rw, "internal error", http.StatusInternalServerError)
		return
	}
	if refusal.RetryAfter > 0 {
		retryAfter(rw, refusal.RetryAfter)
	}
	if refusal.Reason == Conflict {
		rw.Header().Set("Content-Type", client.SizeType)
		rw.Header().Set("X-Content-Type-Options", "nosniff")
		rw.WriteHeader(http.StatusConflict)
		w.write(rw, r, fmt.Sprintf("%d\n", refusal.Size))
		return
	}
	http.Error(rw, refusal.Error(), statuses[refusal.Reason])
}

func (w *Witness) write(rw http.ResponseWriter, r *http.Request, s string) {
	if _, err := io.WriteString(rw, s); err != nil {
		w.log.Debug("answer not delivered", "path", r.URL.Path, "error", err)
	}
}
