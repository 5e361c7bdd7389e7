package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// askTime is how long a check may take.
	askTime = 5 * time.Second
	// slowAnswer is after how long without an answer it counts as none.
	slowAnswer = 2 * time.Second
	// hasty is how often a check is made while it says no, or nobody is known to
	// lead well.
	hasty = 3 * time.Second
	// How often it is made otherwise. Witnesses and tokens that sign are asked
	// by every front end, all the time.
	askTrillian, askAgent, askWitnesses = 5 * time.Second, 10 * time.Second, 30 * time.Second
)

// check is whether something answers that a front end needs to lead.
type check struct {
	who  string
	ask  func(context.Context) error
	calm time.Duration // how often it is asked at least

	mu       sync.Mutex
	running  bool
	began    time.Time // while it runs
	answered time.Time // zero: not yet
	err      error
}

// do asks now.
func (k *check) do(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	err := k.ask(asking)
	if ctx.Err() == nil {
		k.note(err)
	}
	return err
}

// note keeps what came of asking.
func (k *check) note(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answered, k.err = time.Now(), err
}

// due reports whether it is to be asked now, and takes that on.
func (k *check) due(now time.Time, hurry bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	every := k.calm
	if hurry || k.err != nil {
		every = min(every, hasty)
	}
	if k.running || !k.answered.IsZero() && now.Sub(k.answered) < every {
		return false
	}
	k.running, k.began = true, now
	return true
}

// start asks in the background if it is due.
func (k *check) start(ctx context.Context, running *sync.WaitGroup, hurry bool) {
	if !k.due(time.Now(), hurry) {
		return
	}
	running.Go(func() {
		_ = k.do(ctx) // it is kept
		k.mu.Lock()
		defer k.mu.Unlock()
		k.running = false
	})
}

// errNotAsked is the verdict of a check that has not been made.
var errNotAsked = errors.New("whether it could is being found out")

// verdict is what came of it last. One that is older than max, if that is not 0, is of
// no interest.
func (k *check) verdict(max time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch waited := time.Since(k.began); {
	case k.running && waited >= slowAnswer:
		return fmt.Errorf("no answer for %v from %s", waited.Round(time.Second), k.who)
	case k.answered.IsZero():
		return errNotAsked
	case max > 0 && time.Since(k.answered) >= max:
		return nil
	}
	return k.err
}

// checks are what a front end needs to lead.
type checks struct{ trillian, agent, witnesses *check }

func (c *node) newChecks() checks {
	return checks{
		trillian:  &check{who: "Trillian's log server", ask: c.reach, calm: askTrillian},
		agent:     &check{who: "the ssh-agent", ask: c.canSign, calm: askAgent},
		witnesses: &check{who: "the witnesses", ask: c.haveQuorum, calm: askWitnesses},
	}
}

func (k checks) all() []*check { return []*check{k.trillian, k.agent, k.witnesses} }

// anew has all of them made soon.
func (k checks) anew() {
	for _, k := range k.all() {
		k.mu.Lock()
		k.answered = time.Time{}
		k.mu.Unlock()
	}
}

// err is why this front end could not lead as far as the checks know.
func (k checks) err() (err error) {
	for _, k := range k.all() {
		if found := k.verdict(0); found != nil {
			if err = found; !errors.Is(found, errNotAsked) {
				break
			}
		}
	}
	return err
}

// canSign says why the log's key cannot be used: only where an agent has it is that a
// question. An agent that says nothing is asked once, not again and again. It is called by
// its check alone, which is made once at a time.
func (c *node) canSign(ctx context.Context) error {
	s, ok := c.cfg.Publisher.Signer.(*agentSigner)
	if !ok {
		return nil
	}
	if c.trying == nil {
		tried := make(chan error, 1)
		go func() { tried <- s.try() }() // it has a limit of its own
		c.trying = tried
	}
	select {
	case err := <-c.trying:
		c.trying = nil
		return err
	case <-ctx.Done():
		return fmt.Errorf("no signature by the ssh-agent: %w", ctx.Err())
	}
}

// haveQuorum says why the witnesses would not cosign what this front end publishes. They
// are asked with what is published, so that nothing new is cosigned; before there is
// anything they cannot be asked. What others publish must be of this front end's keys.
func (c *node) haveQuorum(ctx context.Context) error {
	if err := c.follower.Keyless(); err != nil {
		return fmt.Errorf("the log has other keys than this front end: %w", err)
	}
	signed, size := c.follower.Board().Cosigned()
	if signed == nil {
		return nil
	}
	if err := c.witnesses.Answers(ctx, signed, size); err != nil {
		return fmt.Errorf("the witnesses would not cosign: %w", err)
	}
	return nil
}

// hindrance is why this front end could not lead and publish now, or, while it leads, does
// not.
func (c *node) hindrance(now time.Time) error {
	c.mu.Lock()
	leading := c.leading
	c.mu.Unlock()
	if c.ending.Load() {
		return errors.New("it is being stopped")
	}
	if leading != nil {
		if err := leading.Trouble(); err != nil {
			return err
		}
		if stalled := leading.Stalled(); stalled >= c.times.doubt {
			return fmt.Errorf("it leads and has published nothing for %v", stalled.Round(time.Second))
		}
		return nil
	}
	if halt := c.stopped.Load(); halt != nil {
		return halt
	}
	if failed := c.failed.Load(); failed != nil && now.Sub(failed.at) < c.times.out {
		return fmt.Errorf("leading has failed: %w", failed.err)
	}
	if err := c.out.err(now); err != nil {
		return err
	}
	if barred := c.barred.Load(); barred != nil {
		return barred.err
	}
	return c.checks.err()
}

// able is postgres.Candidate's. Who cannot reach Trillian, or was given another tree than
// the log's, leaves the lease to others in
// any case; who is hindered otherwise does if another one is able.
func (c *node) able(ctx context.Context) error {
	now := time.Now()
	if why := c.hindrance(now); why != nil && !errors.Is(why, errNotAsked) {
		if able := ableOf(c.others.alive(now)); len(able) > 0 {
			return fmt.Errorf("the front end at %s is able to lead, this one is not: %w", able[0].URL, why)
		}
	}
	return c.checks.trillian.do(ctx)
}

// why is cluster.ForwarderConfig's.
func (c *node) why() error {
	if barred := c.barred.Load(); barred != nil {
		return barred.err
	}
	if failed := c.failed.Load(); failed != nil && time.Since(failed.at) < c.times.out {
		return fmt.Errorf("leading has failed here: %w", failed.err)
	}
	// It is asked as long as nobody has the lease: an old answer is of no use.
	if err := c.checks.trillian.verdict(awayFor); !errors.Is(err, errNotAsked) {
		return err
	}
	return nil
}
