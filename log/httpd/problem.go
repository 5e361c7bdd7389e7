package httpd

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
)

// problem is an answer that says why there is no other.
type problem struct {
	api.Problem
	retryAfter int // seconds; 0: none
	allow      string
	cause      error // for the operator, not the client
}

func problemf(status int, code, format string, args ...any) *problem {
	return &problem{Problem: api.Problem{
		Type:   "about:blank",
		Title:  http.StatusText(status),
		Status: status,
		Code:   code,
		Detail: fmt.Sprintf(format, args...),
	}}
}

// later says that the same request may succeed in a few seconds.
func later(code, format string, args ...any) *problem {
	p := problemf(http.StatusServiceUnavailable, code, format, args...)
	p.retryAfter = 2
	return p
}

// because keeps the cause of a problem, which is not the client's business. One
// that passes by itself makes it another problem.
func (p *problem) because(err error) *problem {
	if errors.Is(err, log.ErrUnavailable) {
		p = later(api.CodeUnavailable, "%s: a server that the log depends on cannot be reached", p.Detail)
	}
	p.cause = err
	return p
}

func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="tuflog"`)
	}
	h.Set("Cache-Control", "no-store")
	writeJSON(w, api.TypeProblem, p.Status, p.Problem)
}

func writeJSON(w http.ResponseWriter, contentType string, status int, v any) {
	b := marshal(v)
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	// An error here is a client that has gone.
	_, _ = w.Write(b)
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		// Nothing that is marshalled here can fail: plain structs.
		panic(err)
	}
	return append(b, '\n')
}

// PreferredWait reads "Prefer: wait=SECONDS" (RFC 7240).
func PreferredWait(h http.Header) time.Duration {
	const standard, most = 10, 60
	for _, line := range h.Values("Prefer") {
		for pref := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ',' || r == ';' }) {
			name, value, _ := strings.Cut(strings.TrimSpace(pref), "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			if n, err := proofs.ParseDecimal(strings.Trim(strings.TrimSpace(value), `"`)); err == nil {
				return time.Duration(min(n, most)) * time.Second
			}
		}
	}
	return standard * time.Second
}

// Unavailable answers that the same request may succeed in a few seconds.
func Unavailable(w http.ResponseWriter, code, format string, args ...any) {
	p := later(code, format, args...)
	p.Instance = w.Header().Get("X-Request-Id")
	p.write(w)
}
