package witness

import (
	"errors"
	"fmt"
	"io"
	"net/http"
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
	Conflict:     http.StatusConflict,
	Inconsistent: http.StatusUnprocessableEntity,
}

// Handler serves the submission prefix, the monitoring prefix and /healthz.
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", w.serveAddCheckpoint)
	mux.HandleFunc("GET /{hash}/checkpoint", w.serveCheckpoint)
	mux.HandleFunc("GET /healthz", w.serveHealth)
	return mux
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
	}
}

const textPlain = "text/plain; charset=utf-8"

func (w *Witness) serveAddCheckpoint(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, client.MaxRequestSize))
	if err != nil {
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
	w.write(rw, r, lines.String())
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
	// A hash that is nobody's: what matters is whether the state answers.
	if _, err := w.store.Log(r.Context(), OriginHash{}); err != nil && !errors.Is(err, ErrUnknownLog) {
		w.log.Error("health check", "error", err)
		http.Error(rw, "the state cannot be read", http.StatusServiceUnavailable)
		return
	}
	rw.Header().Set("Content-Type", textPlain)
	w.write(rw, r, "ok\n")
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
