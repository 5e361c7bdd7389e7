package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/budget"
)

// question is one checkpoint to be cosigned.
type question struct {
	signed []byte
	size   int64
	proof  Consistency
}

// asking is how a witness is asked.
type asking struct {
	timeout time.Duration
	now     func() time.Time
	budget  *budget.Budget
	// kind is why, at the moment at which the witness has its turn; lacking reports
	// whether anything is missing then.
	kind    func() budget.Kind
	lacking func() bool
	over    <-chan struct{} // closed when there is no need any more
}

// peer is one witness, which has one URL and one key or more, and what is
// remembered of it.
type peer struct {
	url  string // without a slash at its end
	keys []proofs.Key
	http *http.Client
	// turn holds a token while a request is under way. A witness answers one
	// checkpoint after the other; two at once would race for the same old size
	// and the loser would come back with a conflict.
	turn chan struct{}

	mu        sync.Mutex
	size      int64
	notBefore time.Time // it has asked to be left alone until then
	last      map[proofs.Key]outcome
}

// outcome is how it last went with one key of a witness.
type outcome struct {
	err     error
	success time.Time // by the clock here; zero: never
	offset  int64     // of the time in its last cosignature from the clock here, in seconds
}

// errSettled means that there was no need to ask.
var errSettled = errors.New("nothing is missing")

// cosign obtains the witness's cosignatures: for each of its keys what the answer
// has of it, at least one of them good. The timeout bounds the wait for an earlier
// request to end, and then each request. It is errSettled if over is closed before
// the witness has its turn, or lacking says then that nothing is missing any more.
// Each request is counted before it is sent, and none is sent beyond the budget.
func (p *peer) cosign(ctx context.Context, q question, a asking) ([]cosigned, error) {
	if wait := p.wait(a.now()); wait > 0 {
		return nil, p.leftAlone(wait)
	}
	if err := p.takeTurn(ctx, a.timeout, a.over); err != nil {
		return nil, err
	}
	defer func() { <-p.turn }()
	if !a.lacking() {
		return nil, errSettled
	}
	kind := a.kind()
	old := p.knownSize()
	if old > q.size {
		// Either the witness has seen a later checkpoint or it has lost its
		// state. Asking from zero makes it say which.
		old = 0
	}
	for retried := false; ; retried = true {
		if err := p.take(ctx, a, kind); err != nil {
			return nil, err
		}
		got, err := p.request(ctx, a.timeout, q, old)
		var conflict *ConflictError
		switch {
		case err == nil:
			p.setSize(q.size)
			return got, nil
		case !errors.As(err, &conflict):
			p.backOff(err, a.now())
			return nil, err
		}
		p.setSize(conflict.Size)
		switch {
		case conflict.Size > q.size:
			return nil, &AheadError{Witness: conflict.Size, Checkpoint: q.size}
		case retried || conflict.Size == old:
			return nil, fmt.Errorf("asked from size %d: %w", old, err)
		}
		old = conflict.Size
	}
}

// AheadError means that a witness has cosigned a larger tree: it will never
// cosign this one.
type AheadError struct {
	// Witness and Checkpoint are the sizes of the two trees.
	Witness, Checkpoint int64
}

func (e *AheadError) Error() string {
	return fmt.Sprintf("it has cosigned a tree of size %d, larger than this one of size %d", e.Witness, e.Checkpoint)
}

// maxPause is the longest that a witness is not asked, whatever it says or however
// often it has failed. With the rounds of a log that waits for its quorum, which
// may take 15 s each, it makes half a minute.
const maxPause = 15 * time.Second

// backOff honours the Retry-After of a witness that is too busy.
func (p *peer) backOff(err error, now time.Time) {
	var status *StatusError
	if !errors.As(err, &status) || status.Code != http.StatusTooManyRequests && status.Code != http.StatusServiceUnavailable {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notBefore = now.Add(min(status.RetryAfter, maxPause))
}

// take counts a request that is sent next. The error is a *pacedError if the budget does
// not have one now.
func (p *peer) take(ctx context.Context, a asking, kind budget.Kind) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	err := a.budget.Take(ctx, p.name(), kind, a.now())
	var paced *budget.PacedError
	if errors.As(err, &paced) {
		return &pacedError{paced, p.failed()}
	}
	return err
}

// name is what the witness is called in the budget.
func (p *peer) name() string { return fetch.Redacted(p.url) }

// failed returns why the last request failed; nil: it did not.
func (p *peer) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range p.keys {
		if err := p.last[key].err; err != nil {
			return err
		}
	}
	return nil
}

// pacedError is that of a witness that was not asked because of what was declared to it.
type pacedError struct {
	*budget.PacedError
	failed error // why the last request failed; nil: it did not
}

func (e *pacedError) Error() string {
	if e.failed == nil {
		return e.PacedError.Error()
	}
	return fmt.Sprintf("%v (the last request failed: %v)", e.PacedError, e.failed)
}

func (e *pacedError) Unwrap() []error {
	if e.failed == nil {
		return []error{e.PacedError}
	}
	return []error{e.PacedError, e.failed}
}

// wait returns how long the witness is still left alone.
func (p *peer) wait(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	// A clock that was set back does not make it longer.
	return min(p.notBefore.Sub(now), maxPause)
}

// leftAlone says that the witness wants to be, in the words in which it said so.
func (p *peer) leftAlone(wait time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.last {
		var status *StatusError
		if errors.As(o.err, &status) {
			return &aloneError{wait.Round(time.Second), status}
		}
	}
	return &aloneError{wait.Round(time.Second), nil}
}

// aloneError is that of a witness that was not asked.
type aloneError struct {
	wait time.Duration
	said *StatusError // nil if it is not known any more
}

func (e *aloneError) Error() string {
	msg := fmt.Sprintf("it is not asked for another %v, as it requested", e.wait)
	if e.said != nil {
		msg += " (" + e.said.Error() + ")"
	}
	return msg
}

func (e *aloneError) Unwrap() error {
	if e.said == nil {
		return nil
	}
	return e.said
}

func (p *peer) takeTurn(ctx context.Context, timeout time.Duration, over <-chan struct{}) error {
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-over:
		return errSettled
	case <-t.C:
		return fmt.Errorf("still busy with an earlier checkpoint after %v", timeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *peer) request(ctx context.Context, timeout time.Duration, q question, old int64) ([]cosigned, error) {
	slow := fmt.Errorf("no answer within %v: %w", timeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, slow)
	defer cancel()
	proof, err := q.proof(ctx, old)
	if err != nil {
		return nil, err
	}
	return addCheckpoint(ctx, p.http, p.url, p.keys, Request{OldSize: old, Proof: proof, Checkpoint: q.signed})
}

func (p *peer) knownSize() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

func (p *peer) setSize(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size = n
}

// note records how a request went: err is that of all keys.
func (p *peer) note(answer []cosigned, err error, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, key := range p.keys {
		o := p.last[key]
		o.err = err
		if err == nil {
			o.err = answer[i].err
		}
		if o.err == nil {
			newest := answer[i].newest()
			o.offset = newest.time - now.Unix()
			if o.err = CheckTime(newest.time, now); o.err == nil {
				o.success = now
			}
		}
		p.last[key] = o
	}
}

// health reports on one of the witness's keys.
func (p *peer) health(name string, key proofs.Key, b *budget.Budget, now time.Time) Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.last[key]
	h := Health{PerDay: b.Rate().Daily(), In24h: b.In24h(p.name(), now), Name: name, Key: key.String(), URL: fetch.Redacted(p.url), Size: p.size, LastSuccess: o.success, ClockOffset: o.offset}
	if o.err != nil {
		h.Error = o.err.Error()
	}
	return h
}
