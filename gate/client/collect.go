package client

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/tuf"
)

// Collection configures Collect.
type Collection struct {
	Gates      []Gate
	Repository tuf.Digest
	Staged     *Staged
	// URL is where it is staged; empty: it is sent.
	URL string
	// Wait is how long gates are asked again that cannot answer now.
	Wait time.Duration
	// Timeout is how long one request may take; zero: DefaultTimeout.
	Timeout time.Duration
	// Late is how long gates that were asked are waited for when there are enough signatures;
	// zero: DefaultLate. One that is slower than the others, and never waited for, would not
	// see what is published, until it were too far behind to take the place of another.
	Late time.Duration
	// Tell, if not nil, is called with each answer, in turn.
	Tell func(Result)
}

// Result is what came of one gate.
type Result struct {
	Gate      string     `json:"gate"` // its URL
	Signature *Signature `json:"signature,omitempty"`
	// Err is why there is none: a *Refused, an outage, or ErrNotNeeded.
	Err error `json:"-"`
}

// DefaultTimeout is how long a gate is waited for. A gate gives up earlier.
const DefaultTimeout = 160 * time.Second

// DefaultLate is how long gates are waited for that are later than those that suffice.
const DefaultLate = 3 * time.Second

// ErrNotNeeded is the result of a gate that was not waited for: there were enough.
var ErrNotNeeded = errors.New("not needed: there were enough signatures")

// ErrTooFew is wrapped if too few gates have signed.
var ErrTooFew = errors.New("too few gates have signed")

// Collect asks all gates at once until there are as many signatures as the timestamp lacks,
// and returns what came of each, in their order. Gates that are a little later sign as well.
// The error wraps ErrTooFew if there are not enough.
func Collect(ctx context.Context, c Collection) ([]Result, error) {
	need := c.Staged.Lacks()
	results := make([]Result, len(c.Gates))
	if need == 0 {
		for i, g := range c.Gates {
			results[i] = Result{Gate: g.URL, Err: ErrNotNeeded}
		}
		return results, nil
	}
	var tar []byte
	if c.URL == "" {
		var err error
		if tar, err = c.Staged.Tar(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	again, enough := context.WithCancel(ctx)
	defer enough()
	answers := make(chan int)
	until := time.Now().Add(c.Wait)
	for i := range c.Gates {
		go func() {
			results[i] = c.ask(ctx, again, c.Gates[i], tar, until)
			answers <- i
		}()
	}
	signed := c.Staged.Timestamp.Signers(c.Staged.Keys())
	got := 0
	for range c.Gates {
		i := <-answers
		r := &results[i]
		if got >= need && r.Err != nil {
			r.Signature, r.Err = nil, ErrNotNeeded
			continue
		}
		if r.Err == nil {
			id, _ := c.Staged.Keys().Key(r.Signature.KeyID).Identity()
			if slices.Contains(signed, id) {
				r.Signature, r.Err = nil, errors.New("its key has signed already, or is another gate's as well")
			} else {
				signed = append(signed, id)
				got++
			}
		}
		if c.Tell != nil {
			c.Tell(*r)
		}
		if got >= need && again.Err() == nil {
			enough()
			late := c.Late
			if late == 0 {
				late = DefaultLate
			}
			defer time.AfterFunc(late, cancel).Stop()
		}
	}
	if got < need {
		return results, fmt.Errorf("%w: %d of the %d that are needed", ErrTooFew, got, need)
	}
	return results, nil
}

// ask asks one gate, and, as long as again lasts, again where that may help.
func (c Collection) ask(ctx, again context.Context, g Gate, tar []byte, until time.Time) Result {
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		a, err := c.once(ctx, g, tar)
		if err == nil {
			return Result{Gate: g.URL, Signature: &a.Signature}
		}
		var r *Refused
		after := pause
		if errors.As(err, &r) && r.After > after {
			after = r.After
		}
		if !Passing(err) || again.Err() != nil || time.Now().Add(after).After(until) || wait.For(again, after) != nil {
			return Result{Gate: g.URL, Err: err}
		}
	}
}

// once asks one gate once, and verifies its signature.
func (c Collection) once(ctx context.Context, g Gate, tar []byte) (a *Answer, err error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if c.URL != "" {
		a, err = g.SignURL(limited, c.Repository, c.URL)
	} else {
		a, err = g.Sign(limited, c.Repository, tar)
	}
	switch {
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		return nil, fmt.Errorf("the gate at %s gave no answer within %v", fetch.Redacted(g.URL), timeout)
	case err != nil:
		return nil, err
	}
	key := c.Staged.Keys().Key(a.KeyID)
	sig, err := hex.DecodeString(a.Sig)
	switch {
	case key == nil:
		return nil, &Refused{Code: CodeNotInRole, Detail: fmt.Sprintf("the gate at %s signs under key id %q, which root %d does not name for the timestamp", fetch.Redacted(g.URL), tuf.Clip(a.KeyID), c.Staged.Root.Version)}
	case err != nil || !key.Verify(c.Staged.Timestamp.Payload, sig):
		return nil, &Refused{Code: CodeInternal, Detail: fmt.Sprintf("the gate at %s gave a wrong signature of timestamp %d", fetch.Redacted(g.URL), c.Staged.Timestamp.Version)}
	}
	return a, nil
}
