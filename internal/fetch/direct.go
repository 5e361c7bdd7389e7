package fetch

import (
	"errors"
	"fmt"
	"net/http"
)

// RedirectError means that a server redirects its client to another URL.
type RedirectError struct {
	// From is the requested URL, To the URL in the answer.
	From, To string
}

func (e *RedirectError) Error() string {
	return fmt.Sprintf("%.500s redirects to %.500q, which is not followed", e.From, e.To)
}

// Direct returns a client that does not follow redirects: its error then wraps a
// *RedirectError. A server could use a redirect to make a client reach hosts that
// only the client can reach, and to receive its token there. Other settings are
// those of hc, or net/http's defaults if hc is nil.
//
// All HTTP clients of logs, witnesses, auditors and publishers are made by it.
func Direct(hc *http.Client) *http.Client {
	var direct http.Client
	if hc != nil {
		direct = *hc
	}
	direct.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		return &RedirectError{From: Redacted(via[len(via)-1].URL.String()), To: Redacted(req.URL.String())}
	}
	return &direct
}

// AsRedirect returns the RedirectError that err wraps, or nil.
func AsRedirect(err error) *RedirectError {
	var redirect *RedirectError
	errors.As(err, &redirect)
	return redirect
}
