package witness

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// The clock. A time that has been signed cannot be taken back: the next cosignature
// must not have an earlier one, and whoever has seen it believes that this much time
// has passed. So a clock that was wrong once would be wrong for ever, and nothing is
// signed while it is in doubt.

// maxClockError is how far ahead of the clock the last cosignature may be, and how
// far the clock may move against the monotonic one.
const maxClockError = time.Hour

// ClockStop tells why cosigning was stopped for all logs.
type ClockStop struct {
	// Since is when, by the clock in doubt, in POSIX seconds.
	Since int64
	// Why is one sentence.
	Why string
}

// ClockState is the record that a Store keeps of the clock.
type ClockState struct {
	// Stop is set while cosigning is stopped because the clock jumped.
	Stop *ClockStop
	// Accepted is the latest time of a cosignature, in POSIX seconds, that an
	// operator has accepted although the clock is behind it.
	Accepted int64
}

// clock watches over the wall clock.
type clock struct {
	now     func() time.Time
	elapsed func() time.Duration // the monotonic clock; nil: jumps are not looked for

	mu sync.Mutex
	// wall and ticks are what the clocks said when they were last set against each
	// other.
	wall  time.Time
	ticks time.Duration
	// latest is the latest time of a cosignature, once it is known.
	latest int64
	known  bool
	behind bool   // at the last look the clock was behind the latest time
	why    string // cosigning is stopped, "" while it is not
}

func newClock(now func() time.Time, elapsed func() time.Duration) *clock {
	if now == nil {
		now = time.Now
		if elapsed == nil {
			start := time.Now()
			elapsed = func() time.Duration { return time.Since(start) }
		}
	}
	c := &clock{now: now, elapsed: elapsed}
	c.align(now())
	return c
}

// align believes the wall clock from now on.
func (c *clock) align(now time.Time) {
	c.wall = now.Round(0) // without the monotonic reading
	if c.elapsed != nil {
		c.ticks = c.elapsed()
	}
}

// jump returns how far the wall clock has moved against the monotonic one.
func (c *clock) jump(now time.Time) time.Duration {
	if c.elapsed == nil {
		return 0
	}
	return now.Round(0).Sub(c.wall) - (c.elapsed() - c.ticks)
}

// CheckClock returns a *Refusal while signing is stopped because the clock is in
// doubt. That lasts until the operator acts (witness clock), or, if the clock has only
// been behind the last cosignature since the start, until the clock is set right.
func (w *Witness) CheckClock(ctx context.Context) error {
	_, err := w.signingTime(ctx, nil)
	return err
}

// signingTime returns the time by a clock that is not in doubt. Latest is the log's
// checkpoint, whose time may be news: a person may have taken over one that a copy of
// this witness has cosigned.
func (w *Witness) signingTime(ctx context.Context, latest *Latest) (time.Time, error) {
	c := w.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	// Read under the lock: what one request has stopped another must not take for
	// accepted.
	state, err := w.store.Clock(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("state of the clock: %w", err)
	}
	if !c.known {
		latest, err := w.readLatest(ctx)
		if err != nil {
			return time.Time{}, err
		}
		c.latest, c.known = max(c.latest, latest), true
	}
	if latest != nil {
		c.latest = max(c.latest, latest.Time)
	}
	now := c.now()
	before := c.why
	if stop := c.judge(now, state); stop != nil {
		if err := w.store.StopClock(context.WithoutCancel(ctx), *stop); err != nil {
			c.why = before // it is found again
			return time.Time{}, fmt.Errorf("stop cosigning because of the clock: %w", err)
		}
	}
	if c.why != before {
		if c.why == "" {
			w.log.Warn("cosigning continues: the clock is trusted again", "time", now.UTC().Format(time.RFC3339))
		} else {
			w.log.Error("cosigning is stopped for all logs: the clock cannot be trusted", "why", c.why, "advice", "witness clock show")
		}
	}
	if c.why != "" {
		return time.Time{}, &Refusal{Reason: ClockInDoubt, RetryAfter: retryLatched, Err: errors.New("cosigning is stopped until the operator acts: " + c.why)}
	}
	return now, nil
}

// judge sets why, and returns a stop that has to be remembered.
func (c *clock) judge(now time.Time, state ClockState) *ClockStop {
	wasBehind, stopped := c.behind, c.why != "" && !c.behind
	c.behind = false
	switch {
	case state.Stop != nil:
		c.why = state.Stop.Why
		return nil
	case stopped, wasBehind:
		// A person has accepted the clock; or nothing has been signed since it
		// was behind, so it may be set right.
		c.align(now)
	}
	if jump := c.jump(now); jump.Abs() >= maxClockError {
		direction := "ahead"
		if jump < 0 {
			direction = "back"
		}
		stop := &ClockStop{Since: now.Unix(), Why: fmt.Sprintf("the clock jumped %v %s, to %s", jump.Abs().Round(time.Second), direction, utc(now.Unix()))}
		c.why = stop.Why
		return stop
	}
	if Ahead(c.latest, state.Accepted, now) {
		c.behind = true
		c.why = fmt.Sprintf("the last cosignature has the time %s, but the clock says %s", utc(c.latest), utc(now.Unix()))
		return nil
	}
	c.why = ""
	return nil
}

// Ahead reports whether the latest signed time, in POSIX seconds, is so far ahead of
// the clock that the operator has to accept it.
func Ahead(latest, accepted int64, now time.Time) bool {
	return latest > accepted && latest > now.Add(maxClockError).Unix()
}

func utc(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

// readLatest returns the latest time of all logs.
func (w *Witness) readLatest(ctx context.Context) (latest int64, err error) {
	logs, err := w.store.Logs(ctx)
	if err != nil {
		return 0, fmt.Errorf("latest time that was signed: %w", err)
	}
	for _, l := range logs {
		if l.Latest != nil {
			latest = max(latest, l.Latest.Time)
		}
	}
	return latest, nil
}

// reread finds a latest time that was taken over for a log of which nothing is asked.
// It reads every log, and holds up nobody meanwhile.
func (w *Witness) reread(ctx context.Context) error {
	latest, err := w.readLatest(ctx)
	if err != nil {
		return err
	}
	c := w.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest = max(c.latest, latest)
	return nil
}

// doubt says why the clock is in doubt; "" if it is not.
func (c *clock) doubt() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}
