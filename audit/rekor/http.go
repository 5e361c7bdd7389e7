package rekor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
)

// Bounds of answers, in bytes.
const (
	maxEntry  = 256 << 10                                    // one entry with its proof, which has about 3 KiB
	maxAnswer = 4 << 20                                      // several of them
	maxAlone  = 16 << 20                                     // one entry of whatever kind, which Rekor takes from anyone
	maxIndex  = 16 << 20                                     // the list of entries of a v1 under a key: MaxListed, at 83 each
	maxBundle = proofs.FullWidth * (2 + proofs.MaxEntrySize) // of a v2 instance
)

// bounded returns a client for answers of an instance: without redirects, of the coding that
// was asked for, and of at most the size that bound puts into the context of a request.
func bounded(hc *http.Client, timeout time.Duration) *http.Client {
	c := fetch.Direct(hc)
	next := c.Transport
	if next == nil {
		next = transport()
	}
	c.Transport = limited{next}
	c.Timeout = timeout
	c.Jar = nil
	return c
}

// transport is net/http's default, which would read 10 MiB of headers.
var transport = sync.OnceValue(func() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxResponseHeaderBytes = 64 << 10
	return t
})

type boundKey struct{}

// bound bounds the answers to requests under a context.
func bound(ctx context.Context, max int64) context.Context {
	return context.WithValue(ctx, boundKey{}, max)
}

type limited struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t limited) RoundTrip(req *http.Request) (*http.Response, error) {
	max, ok := req.Context().Value(boundKey{}).(int64)
	if !ok {
		max = maxEntry
	}
	req = req.Clone(req.Context())
	req.Header.Set("Accept-Encoding", "identity") // net/http unpacks what it asked for itself
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	coding := resp.Header.Get("Content-Encoding")
	if coding != "" && coding != "identity" {
		resp.Body.Close()
		return nil, fmt.Errorf("%w: the answer has content coding %.20q, which was not asked for", ErrMisbehaved, coding)
	}
	if resp.ContentLength > max {
		resp.Body.Close()
		return nil, tooLarge(max)
	}
	resp.Body = &limitedBody{resp.Body, max, max}
	return resp, nil
}

func tooLarge(max int64) error {
	return fmt.Errorf("%w: %w: more than %d bytes", ErrMisbehaved, fetch.ErrTooLarge, max)
}

type limitedBody struct {
	io.ReadCloser
	left, max int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, tooLarge(b.max)
	}
	return n, err
}

// plain gives the generated client of v1 nothing but what it can read: it takes an answer that is not
// JSON, as of a proxy before Rekor, for an error of its own and forgets the status.
type plain struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t plain) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	format := formatOf(resp)
	switch {
	case resp.StatusCode == http.StatusConflict && format == "application/json":
		return resp, nil // with a header of use
	case resp.StatusCode >= http.StatusBadRequest:
		says, err := io.ReadAll(io.LimitReader(resp.Body, maxSaid))
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return nil, err
		}
		return nil, &fetch.StatusError{URL: req.URL.String(), Status: resp.StatusCode, Body: string(says)}
	case format != "application/json" && format != "application/x-pem-file" && resp.StatusCode/100 == 2 && resp.StatusCode != http.StatusNoContent:
		resp.Body.Close()
		return nil, webPage(format)
	}
	return resp, nil
}

func formatOf(resp *http.Response) string {
	format, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return format
}

// webPage is the error of an answer that is not Rekor's, but that of something between.
func webPage(format string) error {
	return fmt.Errorf("%w: it answers with %.50q instead of JSON", ErrUnavailable, format)
}

// answered makes an error of a request ErrUnavailable, ErrRefused or ErrMisbehaved.
func answered(ctx context.Context, err error) error {
	err = fetch.RedactError(err)
	var status *fetch.StatusError
	var network net.Error
	var failed *url.Error
	switch {
	case err == nil, errors.Is(err, ErrMisbehaved), errors.Is(err, ErrUnavailable), errors.Is(err, ErrRefused):
		return err
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return err
	case fetch.AsRedirect(err) != nil:
		return fmt.Errorf("%w: %w", ErrMisbehaved, err)
	case errors.Is(err, fetch.ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrMisbehaved, err)
	case errors.As(err, &status):
		return statusError(status.Status, status.Body)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.DeadlineExceeded), errors.As(err, &network), errors.As(err, &failed):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", ErrMisbehaved, err)
}

// statusError is an answer with another status than the one of success.
func statusError(status int, says string) error {
	kind := ErrRefused
	if status < 400 {
		kind = ErrMisbehaved
	}
	if status >= 500 && status != http.StatusNotImplemented || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout {
		kind = ErrUnavailable
	}
	switch status {
	case http.StatusNotFound:
		kind = ErrNotThere
	case http.StatusInternalServerError:
		kind = errInternal
	}
	var problem struct {
		Message string `json:"message"`
	}
	if json.Unmarshal([]byte(says), &problem) == nil && problem.Message != "" {
		says = problem.Message
	}
	if len(says) > maxSaid {
		says = says[:maxSaid]
	}
	return fmt.Errorf("%w: it answers %d %s: %s", kind, status, http.StatusText(status), printable.Line(says))
}

// maxSaid is how much of what an instance says with an error is repeated, in bytes.
const maxSaid = 300

// post sends JSON and returns the answer of any status.
func (i *Instance) post(ctx context.Context, url string, body any) (*http.Response, []byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(b))
	if err != nil {
		return nil, nil, fetch.RedactError(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := fetch.Do(i.http, req)
	if err != nil {
		return nil, nil, answered(ctx, err)
	}
	if format := formatOf(resp); resp.StatusCode/100 == 2 && format != "application/json" && resp.StatusCode != http.StatusNoContent {
		resp.Body.Close()
		return nil, nil, webPage(format)
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, nil, answered(ctx, err)
	}
	return resp, answer, nil
}

// get reads a file of a v2 instance.
func (i *Instance) get(ctx context.Context, path string, max int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(bound(ctx, max), i.cfg.Timeout)
	defer cancel()
	return fetch.Get(ctx, i.http, i.cfg.Tiles+"/"+path, max)
}
