package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
)

const (
	requestTimeout = 20 * time.Second
	maxAnswer      = 256 << 10 // bytes read of an answer
	shownAnswer    = 120       // bytes shown of one
	// A witness that limits its clients, or is busy, is asked again: after the
	// time that it says, but no later than maxWait, or else after firstWait, doubled
	// each time. One that does not say that it is asked too often may mean it, and is
	// given up soon.
	maxRetries = 20
	maxUnasked = 5
	firstWait  = 50 * time.Millisecond
	maxWait    = 10 * time.Second
)

// do makes a call. A witness that asks for patience gets some. What it limits is its
// operator's choice, so where that does not suffice the case cannot be run.
func (s *session) do(hc *http.Client, method, url string, body []byte) (answer, error) {
	for try, pause := 1, firstWait; ; try, pause = try+1, min(2*pause, maxWait) {
		a, wait, err := s.once(hc, method, url, body)
		limited, busy := a.status == http.StatusTooManyRequests, a.status == http.StatusServiceUnavailable
		switch {
		case err != nil || !limited && !busy:
			return a, err
		case busy && wait == 0 && try == maxUnasked:
			return a, nil
		case try == maxRetries:
			return a, skipped{fmt.Sprintf("the witness limits its clients: %v, %d times", a, try)}
		}
		if wait == 0 {
			wait = pause
		}
		select {
		case <-time.After(min(wait, maxWait)):
		case <-s.ctx.Done():
			return a, s.ctx.Err()
		}
	}
}

// noAnswer is the error of a call that was not answered.
type noAnswer struct{ err error }

func (e noAnswer) Error() string { return "no answer: " + e.err.Error() }

func (e noAnswer) Unwrap() error { return e.err }

func (s *session) once(hc *http.Client, method, url string, body []byte) (a answer, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return a, 0, fetch.RedactError(err)
	}
	resp, err := fetch.Do(fetch.Direct(hc), req)
	if err != nil {
		return a, 0, noAnswer{err}
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return a, 0, fmt.Errorf("answer not read: %w", err)
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // a date, or nothing, is no wait
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), string(b)}, time.Duration(seconds) * time.Second, nil
}

func (s *session) post(body []byte) (answer, error) {
	return s.do(s.cfg.HTTP, http.MethodPost, s.cfg.URL+"/add-checkpoint", body)
}
