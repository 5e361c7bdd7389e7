package cluster

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
	// slowAnswer is the time without an answer after which a check counts as failed.
	slowAnswer = 2 * time.Second
	// hasty is how often a check is made while it says no, or nobody is known to
	// lead well.
	hasty = 3 * time.Second
	// How often it is made otherwise. Witnesses and tokens that sign are asked
	// by every front end, all the time.
	askStorage, askAgent, askWitnesses = 5 * time.Second, 10 * time.Second, 30 * time.Second
	// awayFor is how long it is of interest that the storage did not answer: longer
	// than it takes until it is asked again.
	awayFor = 5 * time.Second
)

// check asks again and again whether a service that a front end needs to lead answers.
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

// note keeps the answer.
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

// verdict is the last answer. One that is older than max, if that is not 0, is of
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

// checks ask for the services that a front end needs to lead.
type checks struct{ storage, agent, witnesses *check }

func (n *Node) newChecks() checks {
	return checks{
		storage:   &check{who: "Trillian's log server", ask: n.reach, calm: askStorage},
		agent:     &check{who: "the ssh-agent", ask: n.canSign, calm: askAgent},
		witnesses: &check{who: "the witnesses", ask: n.haveQuorum, calm: askWitnesses},
	}
}

func (k checks) all() []*check { return []*check{k.storage, k.agent, k.witnesses} }

// anew makes all of them due.
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

// reach says why this front end cannot write to the storage. One that has stopped goes on
// following where the log is in another storage by now, and says so.
func (n *Node) reach(ctx context.Context) error {
	err := n.cfg.Reach(ctx)
	var moved *MovedError
	if errors.As(err, &moved) && n.stopped.Load() != nil {
		n.stop(moved.Halt)
	}
	return err
}

// canSign says why the log's key cannot be used. An agent that does not answer is asked once,
// not again and again. It is called by its check alone, which is made once at a time.
func (n *Node) canSign(ctx context.Context) error {
	if n.cfg.CanSign == nil {
		return nil
	}
	if n.trying == nil {
		tried := make(chan error, 1)
		go func() { tried <- n.cfg.CanSign() }() // it has a limit of its own
		n.trying = tried
	}
	select {
	case err := <-n.trying:
		n.trying = nil
		return err
	case <-ctx.Done():
		return fmt.Errorf("no signature by the ssh-agent: %w", ctx.Err())
	}
}

// haveQuorum says why the witnesses would not cosign what this front end publishes. They
// are asked with the published checkpoint, so that nothing new is cosigned; before there is
// one they cannot be asked. A checkpoint of others must be of this front end's keys.
func (n *Node) haveQuorum(ctx context.Context) error {
	if err := n.follower.Keyless(); err != nil {
		return fmt.Errorf("the log has other keys than this front end: %w", err)
	}
	signed, size := n.follower.Board().Cosigned()
	if signed == nil {
		return nil
	}
	if err := n.cfg.Quorum(ctx, signed, size); err != nil {
		return fmt.Errorf("the witnesses would not cosign: %w", err)
	}
	return nil
}

// hindrance says why this front end could not lead and publish now or, while it leads, does
// not.
func (n *Node) hindrance(now time.Time) error {
	n.mu.Lock()
	leading := n.leading
	n.mu.Unlock()
	if n.ending.Load() {
		return errors.New("it is being stopped")
	}
	if leading != nil {
		if err := leading.Trouble(); err != nil {
			return err
		}
		if stalled := leading.Stalled(); stalled >= n.times.doubt {
			return fmt.Errorf("it leads and has published nothing for %v", stalled.Round(time.Second))
		}
		return nil
	}
	if halt := n.stopped.Load(); halt != nil {
		return halt
	}
	if failing := n.failing(now); failing != nil {
		return fmt.Errorf("leading has failed: %w", failing)
	}
	if err := n.out.err(now); err != nil {
		return err
	}
	if barred := n.barred.Load(); barred != nil {
		return *barred
	}
	return n.checks.err()
}

// able is Candidate's. A front end that cannot reach the storage, or was given another one
// than the log's, leaves the lease to others in any case; one that is hindered otherwise does
// if another one is able.
func (n *Node) able(ctx context.Context) error {
	now := time.Now()
	if why := n.hindrance(now); why != nil && !errors.Is(why, errNotAsked) {
		if able := ableOf(n.others.alive(now)); len(able) > 0 {
			return fmt.Errorf("the front end at %s is able to lead, this one is not: %w", able[0].URL, why)
		}
	}
	return n.checks.storage.do(ctx)
}
