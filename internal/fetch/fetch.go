// Package fetch reads bounded bodies over HTTP, and keeps passwords in URLs out of
// errors.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/tuflog/tuflog/internal/printable"
)

// ErrNotFound is wrapped when the server answered 404 or 410 (or 403, which
// object stores answer for a missing file).
var ErrNotFound = errors.New("not found")

// ErrTooLarge is wrapped when a body is longer than the caller allowed.
var ErrTooLarge = errors.New("response too large")

// StatusError is an answer with a status other than 200.
type StatusError struct {
	URL    string
	Status int
	Body   string // its first 512 bytes
}

func (e *StatusError) Error() string {
	msg := fmt.Sprintf("%s answered %d %s", Redacted(e.URL), e.Status, http.StatusText(e.Status))
	if body := strings.TrimSpace(e.Body); body != "" {
		msg += ": " + printable.Line(body)
	}
	return msg
}

// WithoutBody returns an error without the body of an answer that was not 200. Nobody has said
// who answers for a server of strangers, so that what it says is not for reports.
func WithoutBody(err error) error {
	var status *StatusError
	if errors.As(err, &status) {
		status.Body = ""
	}
	return err
}

// Unwrap makes the error of a missing file an ErrNotFound for errors.Is.
func (e *StatusError) Unwrap() error {
	switch e.Status {
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden:
		return ErrNotFound
	}
	return nil
}

// Get returns the body at url, of at most max bytes: for a longer one the error
// is ErrTooLarge, and at most max+1 bytes are read. Any status but 200 is a
// *StatusError.
func Get(ctx context.Context, client *http.Client, url string, max int64) ([]byte, error) {
	return Pace{}.Get(ctx, client, url, max)
}
