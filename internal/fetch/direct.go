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
// All HTTP clients of logs, witnesses, auditors and publishers are made by it, but for those
// of the repositories that an auditor compares, which SameHost makes.
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

// maxRedirects is how many redirects a client of SameHost follows, as net/http's does.
const maxRedirects = 10

// SameHost returns a client as Direct does that follows redirects to other paths of the same
// host, and from http to https there, as the mirrors of a repository may need.
func SameHost(hc *http.Client) *http.Client {
	same := Direct(hc)
	refuse := same.CheckRedirect
	same.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		from, to := via[len(via)-1].URL, req.URL
		if to.Host != from.Host || to.Scheme != from.Scheme && to.Scheme != "https" || len(via) >= maxRedirects {
			return refuse(req, via)
		}
		return nil
	}
	return same
}

// AsRedirect returns the RedirectError that err wraps, or nil.
func AsRedirect(err error) *RedirectError {
	var redirect *RedirectError
	errors.As(err, &redirect)
	return redirect
}
