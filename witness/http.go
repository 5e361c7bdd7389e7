package witness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

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
}

// Handler serves the submission prefix, the monitoring prefix, a status page at
// /, /healthz (the state can be read) and /readyz (the witness can cosign).
func (w *Witness) Handler() http.Handler { return w.HandlerBehind("") }

// HandlerBehind is Handler behind a proxy that puts the client's address into a
// header, alone or after commas: limits per address count by the last address
// there. Clients that reach the handler past the proxy can choose theirs.
func (w *Witness) HandlerBehind(header string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", w.serveAddCheckpoint)
	mux.HandleFunc("GET /{hash}/checkpoint", w.serveCheckpoint)
	mux.HandleFunc("GET /healthz", w.serveHealth)
	mux.HandleFunc("GET /readyz", w.serveHealth)
	mux.HandleFunc("GET /{$}", w.serveStatus)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		release, ok := w.admit(rw, r, header)
		if !ok {
			return
		}
		defer release()
		mux.ServeHTTP(rw, r)
	})
}

// NewServer returns an HTTP server for a handler with limits that suit a
// witness: requests and answers are small, and clients keep connections.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			// Once per connection instead of once per request.
			return context.WithValue(ctx, addressContext{}, addressKey(c.RemoteAddr().String()))
		},
	}
}

// addressContext is the context key of a connection's address, as limits count.
type addressContext struct{}

const textPlain = "text/plain; charset=utf-8"

// admit applies the limits that need no look at the request.
func (w *Witness) admit(rw http.ResponseWriter, r *http.Request, header string) (release func(), ok bool) {
	if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
		return func() {}, true
	}
	if w.limits.PerAddress.PerSecond > 0 {
		if wait := w.byAddr.take(clientAddress(r, header), w.now()); wait > 0 {
			w.metrics.answers[Limited].Add(1)
			retryAfter(rw, wait)
			http.Error(rw, "too many requests from this address", http.StatusTooManyRequests)
			return nil, false
		}
	}
	if w.busy == nil {
		return func() {}, true
	}
	select {
	case w.busy <- struct{}{}:
		return func() { <-w.busy }, true
	default:
		w.metrics.answers[outcomeError].Add(1)
		retryAfter(rw, retryBusy)
		http.Error(rw, "too many requests are under way", http.StatusServiceUnavailable)
		return nil, false
	}
}

func clientAddress(r *http.Request, header string) string {
	if header != "" {
		v := r.Header.Get(header)
		return addressKey(strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:]))
	}
	if key, ok := r.Context().Value(addressContext{}).(string); ok {
		return key
	}
	return addressKey(r.RemoteAddr)
}

// retryAfter sets the header to whole seconds, at least one.
func retryAfter(rw http.ResponseWriter, wait time.Duration) {
	rw.Header().Set("Retry-After", strconv.FormatInt(max(1, int64(math.Ceil(wait.Seconds()))), 10))
}

func (w *Witness) serveAddCheckpoint(rw http.ResponseWriter, r *http.Request) {
	start := time.Now()
	defer func() { w.metrics.seconds.Observe(time.Since(start).Seconds()) }()
	body, err := readBody(rw, r)
	if err != nil {
		w.metrics.answers[Malformed].Add(1)
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			http.Error(rw, fmt.Sprintf("the request is larger than %d bytes", tooLarge.Limit), http.StatusRequestEntityTooLarge)
			return
		}
		http.Error(rw, "the request could not be read", http.StatusBadRequest)
		return
	}
	sigs, err := w.AddCheckpoint(r.Context(), body)
	if err != nil {
		w.fail(rw, r, err)
		return
	}
	var lines strings.Builder
	for _, s := range sigs {
		lines.WriteString(s.String())
	}
	rw.Header().Set("Content-Type", textPlain)
	rw.Header().Set("Content-Length", strconv.Itoa(lines.Len())) // not in chunks, however long
	w.write(rw, r, lines.String())
}

// readBody reads a body up to the limit. A length that the client announces is
// believed only as far as the limit.
func readBody(rw http.ResponseWriter, r *http.Request) ([]byte, error) {
	limited := http.MaxBytesReader(rw, r.Body, client.MaxRequestSize)
	if n := r.ContentLength; n >= 0 && n <= client.MaxRequestSize {
		body := make([]byte, n)
		_, err := io.ReadFull(limited, body)
		return body, err
	}
	return io.ReadAll(limited)
}

func (w *Witness) serveCheckpoint(rw http.ResponseWriter, r *http.Request) {
	id, err := ParseOriginHash(r.PathValue("hash"))
	if err != nil {
		http.Error(rw, "not an origin hash: want 64 lower-case hex digits", http.StatusNotFound)
		return
	}
	note, err := w.Cosigned(r.Context(), id)
	if errors.Is(err, ErrUnknownLog) {
		http.Error(rw, "no checkpoint of this log was cosigned", http.StatusNotFound)
		return
	} else if err != nil {
		w.fail(rw, r, err)
		return
	}
	rw.Header().Set("Content-Type", textPlain)
	rw.Header().Set("Cache-Control", "no-cache")
	w.write(rw, r, string(note))
}

func (w *Witness) serveHealth(rw http.ResponseWriter, r *http.Request) {
	if err := w.healthy(r.Context(), r.URL.Path == "/readyz"); err != nil {
		w.log.Error("health check", "path", r.URL.Path, "error", err)
		http.Error(rw, "the state cannot be read, or the key cannot sign", http.StatusServiceUnavailable)
		return
	}
	rw.Header().Set("Content-Type", textPlain)
	w.write(rw, r, "ok\n")
}

// healthy says whether the state answers, and whether the keys do.
func (w *Witness) healthy(ctx context.Context, ready bool) error {
	// A hash that is nobody's: what matters is whether the state answers.
	if _, err := w.store.Log(ctx, OriginHash{}); err != nil && !errors.Is(err, ErrUnknownLog) {
		return err
	}
	if !ready {
		return nil
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
