package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
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
	// Time is the witness's clock, as its answer says; zero if it does not.
	Time time.Time
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("the last checkpoint it cosigned has size %d", e.Size)
}

// StatusError is an answer with a status other than 200, or a 409 without a
// size.
type StatusError struct {
	// Code is the HTTP status.
	Code int
	// Body is the beginning of the answer.
	Body string
	// RetryAfter is how long the witness asks the client to wait; zero if it
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
	// HTTP makes the calls, and follows no redirect; nil is one with net/http's
	// defaults.
	HTTP *http.Client
}

// AddCheckpoint makes one add-checkpoint call and returns the cosignatures of
// c.Key in the answer, at least one, all of them verified over the checkpoint's
// text. Signatures by other keys are ignored. The error is a *ConflictError, a
// *StatusError, or describes the fault of the call or of the answer. The
// context bounds the time.
func (c *Client) AddCheckpoint(ctx context.Context, r Request) ([]proofs.Signature, error) {
	got, err := addCheckpoint(ctx, fetch.Direct(c.HTTP), c.URL, []proofs.Key{c.Key}, r)
	if err != nil {
		return nil, err
	}
	return got[0].sigs, nil
}

// cosigned is what an answer has of one key.
type cosigned struct {
	sigs []proofs.Signature // verified
	time int64              // the latest
	err  error              // why there are none
}

// newest returns of the cosignatures of one key the one with the latest time. A
// witness could send so many that the note has more than notes may have, and then
// one witness alone would keep a log from publishing.
func (c cosigned) newest() cosigned {
	// Keys that cosign put the time first, eight bytes of it.
	c.sigs = []proofs.Signature{slices.MaxFunc(c.sigs, func(a, b proofs.Signature) int { return bytes.Compare(a.Sig[:8], b.Sig[:8]) })}
	return c
}

// addCheckpoint makes one add-checkpoint call for several keys, and returns for
// each what the answer has of it, at least one good cosignature among them.
func addCheckpoint(ctx context.Context, hc *http.Client, prefix string, keys []proofs.Key, r Request) ([]cosigned, error) {
	note, err := proofs.ParseNote(r.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	url := strings.TrimSuffix(prefix, "/") + "/add-checkpoint"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(r.Marshal()))
	if err != nil {
		return nil, fetch.RedactError(err)
	}
	url = fetch.Redacted(url)
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := fetch.Do(hc, req)
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
	lines, err := proofs.ParseSignatures(body)
	if err != nil {
		return nil, fmt.Errorf("%s: the answer is not a list of signature lines: %w", url, err)
	}
	got := make([]cosigned, len(keys))
	var errs []error
	for i, key := range keys {
		got[i] = verified(key, note.Text, lines)
		if got[i].err != nil {
			got[i].err = fmt.Errorf("%s: %w", url, got[i].err)
			errs = append(errs, got[i].err)
		}
	}
	if len(errs) == len(keys) {
		return nil, errors.Join(errs...)
	}
	return got, nil
}

// statusError turns an answer that is not a 200 into an error.
func statusError(resp *http.Response, body []byte) error {
	if resp.StatusCode == http.StatusConflict {
		// A 409 without the media type says that the roots differ; witnesses
		// that follow version 1.0.0 of the specification send one.
		if typ, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && typ == SizeType {
			line, ok := strings.CutSuffix(string(body), "\n")
			if size, err := proofs.ParseDecimal(line); ok && err == nil {
				at, _ := http.ParseTime(resp.Header.Get("Date")) // zero if there is none
				return &ConflictError{Size: size, Time: at}
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

// verified returns the signature lines of a key in a witness's answer.
func verified(key proofs.Key, text string, lines []proofs.Signature) cosigned {
	var got cosigned
	for _, s := range lines {
		if s.Name != key.Name() || s.KeyID != key.ID() {
			continue
		}
		unix, err := key.Verify(text, s.Sig)
		if err != nil {
			return cosigned{err: fmt.Errorf("signature by %s: %w", key.Name(), err)}
		}
		// A cosignature without a time says nothing about the tree being the
		// largest one, so it counts for nothing.
		if unix <= 0 {
			return cosigned{err: fmt.Errorf("signature by %s carries no time", key.Name())}
		}
		got.sigs, got.time = append(got.sigs, s), max(got.time, unix)
	}
	if len(got.sigs) == 0 {
		got.err = fmt.Errorf("the answer has no signature by %s+%08x", key.Name(), key.ID())
	}
	return got
}
