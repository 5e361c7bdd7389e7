package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
)

// Newest returns the newest checkpoint of a log that the witness at a URL shows, or
// nil. It is not verified.
func Newest(ctx context.Context, hc *http.Client, url, origin string) []byte {
	note, err := (&Shown{URL: url, HTTP: hc}).Newest(ctx, origin)
	if err != nil {
		return nil
	}
	return note
}

// HeaderAuditor is the HTTP header with the name of an auditor, in every answer of one. It
// cosigns checkpoints that are published, and not those that are about to be.
const HeaderAuditor = "Tuflog-Auditor"

// IsAuditor reports whether an auditor answers at a URL that is given as a witness's. The
// error says that nobody answered.
func IsAuditor(ctx context.Context, hc *http.Client, url, origin string) (bool, error) {
	s := Shown{URL: url, HTTP: hc}
	resp, err := s.ask(ctx, origin)
	if err != nil {
		return false, err
	}
	return resp.Header.Get(HeaderAuditor) != "", resp.Body.Close()
}

// Shown looks at what one witness, or auditor, shows as the newest checkpoint of a log at
// its monitoring prefix (c2sp.org/tlog-witness). Where nothing has changed little is
// sent. It is not safe for concurrent use.
type Shown struct {
	// URL is the monitoring prefix, with or without a slash at its end.
	URL string
	// HTTP makes the calls, and follows no redirect; nil is one with net/http's defaults.
	HTTP *http.Client

	origin, tag string
	note        []byte
}

// Newest returns the newest checkpoint that is shown of a log; nil if there is none. It is
// not verified. The error is a *StatusError or says what failed. It takes DefaultTimeout
// at most.
func (s *Shown) Newest(ctx context.Context, origin string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	if origin != s.origin {
		s.origin, s.tag, s.note = origin, "", nil
	}
	resp, err := s.ask(ctx, origin)
	tag, note := s.tag, s.note
	s.tag, s.note = "", nil // unless it is right once more
	if err != nil {
		return nil, err
	}
	url := fetch.Redacted(resp.Request.URL.String())
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseSize+1))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("%s: read the answer: %w", url, err)
	}
	switch {
	case resp.StatusCode == http.StatusNotModified && tag != "":
		s.tag, s.note = tag, note
		return note, nil
	case resp.StatusCode == http.StatusNotFound:
		return nil, nil
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %w", url, statusError(resp, body))
	case len(body) > maxResponseSize:
		return nil, fmt.Errorf("%s: the answer is larger than %d bytes", url, maxResponseSize)
	}
	s.tag, s.note = fetch.ETag(resp), body
	return body, nil
}

func (s *Shown) ask(ctx context.Context, origin string) (*http.Response, error) {
	url := fmt.Sprintf("%s/%x/checkpoint", strings.TrimSuffix(s.URL, "/"), sha256.Sum256([]byte(origin)))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fetch.RedactError(err)
	}
	if s.tag != "" {
		req.Header.Set("If-None-Match", s.tag)
	}
	return fetch.Do(fetch.Direct(s.HTTP), req)
}

// newest returns what the witness shows at the monitoring prefix, nil for nothing.
func (p *peer) newest(ctx context.Context, timeout time.Duration, origin string) []byte {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return Newest(ctx, p.http, p.url, origin)
}
