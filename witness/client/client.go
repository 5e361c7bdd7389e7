package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

const (
	// maxResponseSize bounds what is read of an answer, in bytes. Eight
	// signature lines of the largest kind fit into half of it.
	maxResponseSize = 64 << 10
	// shownBody is how much of an error's body is repeated, in bytes.
	shownBody = 200
)

// ConflictError is a 409 with a size: the proof did not start from the tree
// that the witness cosigned last.
type ConflictError struct {
	// Size of the tree that the witness cosigned last.
	Size int64
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("the last checkpoint it cosigned has size %d", e.Size)
}

// StatusError is every other answer than 200.
type StatusError struct {
	// Code is the HTTP status.
	Code int
	// Body is the beginning of the answer.
	Body string
	// RetryAfter is how long the witness asks to be left alone; zero if it
	// does not say.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	msg := fmt.Sprintf("status %d %s", e.Code, http.StatusText(e.Code))
	if e.Body != "" {
		msg += fmt.Sprintf(": %q", e.Body)
	}
	return msg
}

// Client asks one witness for the cosignatures of one key.
type Client struct {
	// URL is the witness's submission prefix, with or without a slash at its
	// end.
	URL string
	// Key is the key whose cosignatures are wanted.
	Key proofs.Key
	// HTTP makes the calls; nil is http.DefaultClient.
	HTTP *http.Client
}

// AddCheckpoint makes one add-checkpoint call and returns the cosignatures of
// c.Key in the answer, at least one, all of them verified over the checkpoint's
// text. Signatures by other keys are ignored. The error is a *ConflictError, a
// *StatusError, or says what was wrong with the call or the answer. The context
// bounds the time.
func (c *Client) AddCheckpoint(ctx context.Context, r Request) ([]proofs.Signature, error) {
	note, err := proofs.ParseNote(r.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	url := strings.TrimSuffix(c.URL, "/") + "/add-checkpoint"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(r.Marshal()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	hc := c.HTTP
	if hc == nil {
		hc = http.DefaultClient
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseSize+1))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("%s: read the answer: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %w", url, statusError(resp, body))
	}
	if len(body) > maxResponseSize {
		return nil, fmt.Errorf("%s: the answer is larger than %d bytes", url, maxResponseSize)
	}
	sigs, err := c.verified(note.Text, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return sigs, nil
}

// statusError turns an answer that is not a 200 into an error.
func statusError(resp *http.Response, body []byte) error {
	if resp.StatusCode == http.StatusConflict {
		// A 409 without the media type says that the roots differ; witnesses
		// that follow version 1.0.0 of the specification send one.
		if typ, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && typ == SizeType {
			line, ok := strings.CutSuffix(string(body), "\n")
			if size, err := parseDecimal(line); ok && err == nil {
				return &ConflictError{Size: size}
			}
		}
	}
	return &StatusError{Code: resp.StatusCode, Body: string(body[:min(len(body), shownBody)]), RetryAfter: retryAfter(resp.Header)}
}

// retryAfter reads Retry-After in seconds. The form with a date is left out: it
// would need both clocks to be right.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.ParseInt(h.Get("Retry-After"), 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// verified returns the signature lines of c.Key in a witness's answer.
func (c *Client) verified(text string, answer []byte) ([]proofs.Signature, error) {
	lines, err := proofs.ParseSignatures(answer)
	if err != nil {
		return nil, fmt.Errorf("the answer is no list of signature lines: %w", err)
	}
	var sigs []proofs.Signature
	for _, s := range lines {
		if s.Name != c.Key.Name() || s.KeyID != c.Key.ID() {
			continue
		}
		unix, err := c.Key.Verify(text, s.Sig)
		if err != nil {
			return nil, fmt.Errorf("signature by %s: %w", c.Key.Name(), err)
		}
		// A cosignature without a time says nothing about the tree being the
		// largest one, so it counts for nothing.
		if unix <= 0 {
			return nil, fmt.Errorf("signature by %s carries no time", c.Key.Name())
		}
		sigs = append(sigs, s)
	}
	if len(sigs) == 0 {
		return nil, fmt.Errorf("the answer has no signature by %s+%08x", c.Key.Name(), c.Key.ID())
	}
	return sigs, nil
}
