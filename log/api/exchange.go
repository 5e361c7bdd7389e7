package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/wait"
)

// response is an answer of status 200 or 202, read whole.
type response struct {
	url    string // what was asked, without a password
	at     *url.URL
	status int
	header http.Header
	body   []byte
}

func (r *response) result() (*Result, error) {
	res := new(Result)
	if err := json.Unmarshal(r.body, res); err != nil {
		return nil, fmt.Errorf("%s: %w", r.url, err)
	}
	return res, nil
}

// do repeats a request while the log answers that it is full or that the client
// should come later. Answers other than 200 and 202 are a *ProblemError.
func (c *Client) do(ctx context.Context, build func() (*http.Request, error), limit int64) (*response, error) {
	client := fetch.Direct(c.HTTP)
	for try, backoff := 1, firstBackoff; ; try, backoff = try+1, min(2*backoff, longestBackoff) {
		req, err := build()
		if err != nil {
			return nil, err
		}
		resp, err := fetch.Do(client, req)
		if redirect := fetch.AsRedirect(err); redirect != nil {
			asked := strings.TrimPrefix(req.URL.String(), strings.TrimSuffix(c.Base, "/"))
			return nil, fmt.Errorf("the log's URL redirects to %q: use that, if it is the log's", strings.TrimSuffix(redirect.To, asked))
		}
		if err != nil {
			return nil, err
		}
		answer, err := read(resp, limit)
		problem := (*ProblemError)(nil)
		if err == nil || !errors.As(err, &problem) {
			return answer, err
		}
		asked, ok := retryAfter(resp.Header, time.Now())
		if problem.isProxys() && !ok && try < proxyTries {
			ok, problem.Detail = true, fmt.Sprintf("%d %s, from something in front of the log", problem.Status, problem.Title)
		}
		// Room for held files may take hours to become free.
		if !ok || problem.Code == CodeHoldFull || !problem.isProxys() && problem.Status != http.StatusServiceUnavailable && problem.Status != http.StatusTooManyRequests {
			return nil, err
		}
		// The log says when it hopes to have room; a client that is told
		// so for the tenth time need not ask every second. The random
		// part keeps many clients from coming back at once.
		c.waits(problem.Detail)
		after := max(asked, backoff)
		after += rand.N(after/4 + time.Millisecond)
		if sleepErr := wait.For(ctx, after); sleepErr != nil {
			return nil, fmt.Errorf("%w (gave up waiting: %w)", err, sleepErr)
		}
	}
}

// isProxys reports whether the answer is that of a proxy which cannot reach the log, as
// while the log is being restarted: the log's own answers are problem documents.
func (e *ProblemError) isProxys() bool {
	switch e.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return e.Code == ""
	}
	return false
}

// read reads and closes a response's body.
func read(resp *http.Response, limit int64) (*response, error) {
	defer resp.Body.Close()
	asked := fetch.Redacted(resp.Request.URL.String())
	fine := resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusAccepted
	if !fine {
		limit = maxProblem
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", asked, err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", asked, limit)
	}
	if !fine {
		return nil, problemError(asked, resp, body)
	}
	return &response{url: asked, at: resp.Request.URL, status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// problemError reads a problem document, or makes one of any other body.
func problemError(asked string, resp *http.Response, body []byte) *ProblemError {
	e := &ProblemError{URL: asked}
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || mediaType != TypeProblem || json.Unmarshal(body, &e.Problem) != nil {
		e.Problem = Problem{
			Title:  http.StatusText(resp.StatusCode),
			Detail: strings.TrimSpace(strings.ToValidUTF8(string(body[:min(len(body), 512)]), "")),
		}
	}
	e.Status = resp.StatusCode // the document's own copy is advisory (RFC 9457, section 3.1.2)
	return e
}

// retryAfter reads Retry-After: seconds or an HTTP date.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	v := h.Get("Retry-After")
	if v == "" {
		return 0, false
	}
	if n, err := strconv.ParseInt(v, 10, 32); err == nil && n >= 0 {
		return time.Duration(n) * time.Second, true
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}

func (c *Client) request(ctx context.Context, method, url string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, fmt.Errorf("log URL: %w", fetch.RedactError(err))
	}
	req.Header.Set("Accept", TypeJSON+", "+TypeProblem+", "+TypeText)
	return req, nil
}

func (c *Client) base() (*url.URL, error) {
	base, err := url.Parse(strings.TrimSuffix(c.Base, "/") + "/")
	if err != nil {
		return nil, fmt.Errorf("log URL: %w", fetch.RedactError(err))
	}
	return base, nil
}

// sameLog resolves a Location against the URL of the answer that has it. The client
// follows it only within the log's own URL.
func (c *Client) sameLog(at *url.URL, location string) (string, error) {
	base, err := c.base()
	if err != nil {
		return "", err
	}
	to, err := at.Parse(location)
	if err != nil {
		return "", fmt.Errorf("location %q: %w", location, fetch.RedactError(err))
	}
	if to.User == nil {
		to.User = base.User
	}
	if to.Scheme != base.Scheme || to.Host != base.Host || !strings.HasPrefix(to.EscapedPath(), base.EscapedPath()) {
		return "", fmt.Errorf("location %q leads away from the log %s", location, fetch.Redacted(c.Base))
	}
	return to.String(), nil
}

// prefer leaves time for a second request: a log that has answered 202 has said why
// it waits.
func (c *Client) prefer(ctx context.Context) string {
	wait := c.Prefer
	if wait <= 0 {
		wait = defaultWait
	}
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end)/2)
	}
	return "wait=" + strconv.FormatInt(int64(max(0, min(wait, maxWait)).Seconds()), 10)
}
