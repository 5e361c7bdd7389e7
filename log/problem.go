package log

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/tuflog/tuflog/log/api"
)

// problem is an answer that is not what was asked for.
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
	if errors.Is(err, ErrUnavailable) {
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
