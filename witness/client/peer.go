package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// question is one checkpoint to be cosigned.
type question struct {
	signed []byte
	size   int64
	proof  Consistency
}

// answer is what one witness made of a question.
type answer struct {
	peer int // index into Gatherer.peers
	sigs []proofs.Signature
	err  error
}

// peer is one witness and what is remembered of it.
type peer struct {
	name   string
	client Client
	// turn holds a token while a request is under way. A witness answers one
	// checkpoint after the other; two at once would race for the same old size
	// and the loser would come back with a conflict.
	turn chan struct{}

	mu          sync.Mutex
	size        int64
	notBefore   time.Time // it has asked to be left alone until then
	lastErr     error
	lastSuccess time.Time
}

// cosign obtains the witness's cosignatures. The timeout bounds the wait for
// an earlier request to end, and then each request.
func (p *peer) cosign(ctx context.Context, timeout time.Duration, q question, now func() time.Time) ([]proofs.Signature, error) {
	if wait := p.wait(now()); wait > 0 {
		return nil, fmt.Errorf("it is not asked for another %v: it wants to be left alone", wait.Round(time.Second))
	}
	if err := p.takeTurn(ctx, timeout); err != nil {
		return nil, err
	}
	defer func() { <-p.turn }()
	old := p.knownSize()
	if old > q.size {
		// Either the witness has seen a later checkpoint or it has lost its
		// state. Asking from zero makes it say which.
		old = 0
	}
	for retried := false; ; retried = true {
		sigs, err := p.request(ctx, timeout, q, old)
		var conflict *ConflictError
		switch {
		case err == nil:
			p.setSize(q.size)
			return sigs, nil
		case !errors.As(err, &conflict):
			p.backOff(err, now())
			return nil, err
		}
		p.setSize(conflict.Size)
		switch {
		case conflict.Size > q.size:
			return nil, fmt.Errorf("it has cosigned a tree of size %d, larger than this one of size %d", conflict.Size, q.size)
		case retried || conflict.Size == old:
			return nil, fmt.Errorf("asked from size %d: %w", old, err)
		}
		old = conflict.Size
	}
}

// maxRetryAfter is the longest that a witness can ask to be left alone.
const maxRetryAfter = 10 * time.Minute

// backOff honours the Retry-After of a witness that is too busy.
func (p *peer) backOff(err error, now time.Time) {
	var status *StatusError
	if !errors.As(err, &status) || status.Code != http.StatusTooManyRequests && status.Code != http.StatusServiceUnavailable {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notBefore = now.Add(min(status.RetryAfter, maxRetryAfter))
}

// wait returns how long the witness still wants to be left alone.
func (p *peer) wait(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	// A clock that was set back does not make it longer.
	return min(p.notBefore.Sub(now), maxRetryAfter)
}

func (p *peer) takeTurn(ctx context.Context, timeout time.Duration) error {
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-t.C:
		return fmt.Errorf("still busy with an earlier checkpoint after %v", timeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *peer) request(ctx context.Context, timeout time.Duration, q question, old int64) ([]proofs.Signature, error) {
	proof, err := q.proof(old)
	if err != nil {
		return nil, err
	}
	slow := fmt.Errorf("no answer within %v: %w", timeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, slow)
	defer cancel()
	return p.client.AddCheckpoint(ctx, Request{OldSize: old, Proof: proof, Checkpoint: q.signed})
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

// note records how a question ended.
func (p *peer) note(err error, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastErr = err
	if err == nil {
		p.lastSuccess = now
	}
}

func (p *peer) health() Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := Health{Name: p.name, URL: p.client.URL, Size: p.size, LastSuccess: p.lastSuccess}
	if p.lastErr != nil {
		h.Error = p.lastErr.Error()
	}
	return h
}
