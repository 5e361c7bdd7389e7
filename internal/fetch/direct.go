package fetch

import (
	"errors"
	"fmt"
	"net/http"
)

// RedirectError is that of a server which sends its client elsewhere.
type RedirectError struct {
	// From and To are the URLs asked and named.
	From, To string
}

func (e *RedirectError) Error() string {
	return fmt.Sprintf("%.500s redirects to %.500q, which is not followed", e.From, e.To)
}

// Direct returns a client that follows no redirect: its error then wraps a
// *RedirectError. A server that could send its clients elsewhere could use them to
// reach what only they can reach, and a token would go with them. The rest is as in
// hc, or as net/http has it if hc is nil.
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

// AsRedirect returns the redirect that an error of a Direct client is about, or
// nil.
func AsRedirect(err error) *RedirectError {
	var redirect *RedirectError
	errors.As(err, &redirect)
	return redirect
}
