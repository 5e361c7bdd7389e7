package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/verify"
)

// Repository is a repository over HTTP.
type Repository struct {
	// URL is the URL of the metadata; timestamp.json must be below it.
	URL string
	// TargetsURL is the URL of the targets. It is needed only to download them.
	TargetsURL string
	// Client sends the requests. Nil: one that waits half a minute for an answer to begin.
	Client *http.Client
	// SameHost refuses redirects to other hosts, which an auditor must not be led to. Devices
	// follow them: what a mirror serves may be elsewhere, and all of it is verified.
	SameHost bool
	// MinRate is the least bytes a second of a server, measured over half a minute. Zero: any.
	MinRate int64
	// Timeout is the most time to spend on fetching metadata. Zero: any.
	Timeout time.Duration
	// Late is the error after Timeout. Nil: a default message.
	Late error

	spent  time.Duration
	client *http.Client // Client, as SameHost wants it
}

// TooLongError means that a file was refused because it is longer than the
// limit of its request.
type TooLongError struct {
	Request verify.Request
	Err     error
}

func (e *TooLongError) Error() string { return e.Err.Error() }
func (e *TooLongError) Unwrap() error { return e.Err }

// notThere is the error of a file that the server does not have.
type notThere struct{ error }

func (e notThere) Unwrap() error        { return e.error }
func (e notThere) Is(target error) bool { return target == fs.ErrNotExist }

// Fetch is verify.Source's. It counts the time that it takes.
func (r *Repository) Fetch(ctx context.Context, request verify.Request) ([]byte, error) {
	timed, cancel := ctx, func() {}
	if r.Timeout > 0 {
		late := r.Late
		if late == nil {
			late = fmt.Errorf("the metadata has taken longer than %v", r.Timeout)
		}
		timed, cancel = context.WithTimeoutCause(ctx, r.Timeout-r.spent, late)
	}
	defer cancel()
	begin := time.Now()
	b, err := r.pace().Get(timed, r.http(), withSlash(r.URL)+request.URLName(), request.MaxLength)
	r.spent += time.Since(begin)
	err = fetch.WithoutBody(err)
	switch {
	case errors.Is(err, fetch.ErrNotFound):
		return nil, notThere{err}
	case errors.Is(err, fetch.ErrTooLarge):
		return nil, &verify.Refusal{Code: verify.CodeBadMetadata, Role: request.Role, Detail: request.URLName(), Err: &TooLongError{request, err}}
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New(err.Error()) // a socket, say: no answer of the server's
	}
	return b, err
}

// CopyTarget is Origin's.
func (r *Repository) CopyTarget(ctx context.Context, w io.Writer, _ string, found verify.Lookup, from int64) error {
	// One byte more than listed is enough to know that it is another file.
	err := r.pace().CopyFrom(ctx, r.http(), w, withSlash(r.TargetsURL)+escapePath(found.Name), from, found.Target.Length)
	err = fetch.WithoutBody(err)
	switch {
	case errors.Is(err, fetch.ErrRange):
		return fmt.Errorf("%w: %w", ErrShort, err)
	case errors.Is(err, fetch.ErrNotFound):
		return notThere{err}
	}
	return err
}

func (r *Repository) pace() fetch.Pace { return fetch.Pace{Rate: r.MinRate} }

func (r *Repository) http() *http.Client {
	if r.client != nil {
		return r.client
	}
	if r.client = r.Client; r.client == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.ResponseHeaderTimeout = 30 * time.Second
		r.client = &http.Client{Transport: transport}
	}
	if r.SameHost {
		r.client = fetch.SameHost(r.client)
	}
	return r.client
}

func withSlash(url string) string {
	if strings.HasSuffix(url, "/") {
		return url
	}
	return url + "/"
}
