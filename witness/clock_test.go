package witness_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// clocks are a wall clock and a monotonic one that can go apart.
type clocks struct {
	*bench
	store *witnesstest.Memory
	w     *witness.Witness
	ticks time.Duration
}

const began = 1_700_000_000

func newClocks(t *testing.T) *clocks {
	c := &clocks{store: new(witnesstest.Memory)}
	c.bench = newBench(t, c.store)
	c.setClock(began)
	c.start()
	return c
}

// start makes a new Witness, as if the process had been restarted.
func (c *clocks) start() {
	c.w = c.with([]witness.Signer{c.signer()}, func(cfg *witness.Config) { cfg.Elapsed = func() time.Duration { return c.ticks } })
}

// pass lets time pass by both clocks.
func (c *clocks) pass(d time.Duration) {
	c.ticks += d
	c.jump(d)
}

// jump lets the wall clock jump.
func (c *clocks) jump(d time.Duration) { c.setClock(c.now().Add(d).Unix()) }

// signs expects that a larger tree is cosigned at a time.
func (c *clocks) signs(unix int64) {
	c.t.Helper()
	old := c.log.Size()
	c.log.Grow(1, "")
	if got := c.cosign(c.log.Request(old)); got != unix {
		c.t.Fatalf("cosigned with time %d, want %d", got, unix)
	}
}

// refuses expects that nothing is cosigned, and why.
func (c *clocks) refuses(why string) {
	c.t.Helper()
	before := c.latest()
	f := c.log.Fork()
	f.Grow(1, "")
	c.expect(c.post(f.Request(c.log.Size()).Marshal()), http.StatusServiceUnavailable, why)
	c.expect(c.do("GET", "/readyz", nil), http.StatusServiceUnavailable, why)
	c.expect(c.do("GET", "/healthz", nil), http.StatusOK, "")
	if got := c.latest(); got != before {
		c.t.Fatalf("size %d after a refusal, %d before", got.N, before.N)
	}
}

func TestClockJumps(t *testing.T) {
	for _, d := range []time.Duration{time.Hour, 400 * 24 * time.Hour, -time.Hour} {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			c := newClocks(t)
			c.signs(began)
			c.pass(90 * 24 * time.Hour)
			now := c.now().Unix()
			c.signs(now)
			c.jump(d)
			c.refuses("the clock jumped")
			// It lasts: over a restart, and when the clock is set right.
			c.start()
			c.refuses("the clock jumped")
			c.jump(-d)
			c.refuses("the clock jumped")
			c.start()
			c.refuses("the clock jumped")
			c.store.AcceptClock(0)
			c.signs(now)
			c.pass(time.Second)
			c.signs(now + 1)
			c.jump(d)
			c.refuses("the clock jumped")
		})
	}
}

// A person may accept the clock as it is after the jump, too.
func TestClockJumpAccepted(t *testing.T) {
	c := newClocks(t)
	c.signs(began)
	c.jump(5 * time.Hour)
	c.refuses("the clock jumped 5h0m0s ahead, to 2023-11-15T03:13:20Z")
	c.store.AcceptClock(0)
	c.signs(began + 5*3600)
	c.jump(-5 * time.Hour)
	c.refuses("the clock jumped 5h0m0s back")
	c.store.AcceptClock(began + 5*3600)
	c.signs(began + 5*3600) // never backwards
}

// Steps add up; what is slow, as the monotonic clock is, does not matter.
func TestClockSteps(t *testing.T) {
	c := newClocks(t)
	for range 3 {
		c.jump(19 * time.Minute)
		c.pass(24 * time.Hour)
		c.signs(c.now().Unix())
	}
	c.jump(3 * time.Minute)
	c.refuses("the clock jumped 1h0m0s ahead")
}

// The last cosignature has a time that the clock has not reached.
func TestClockBehindAtStart(t *testing.T) {
	c := newClocks(t)
	c.signs(began)
	c.setClock(began - 3600)
	c.start()
	c.signs(began) // an hour is not more than an hour, and times do not run backwards
	c.setClock(began - 3601)
	c.start()
	c.refuses("the last cosignature has the time 2023-11-14T22:13:20Z, but the clock says 2023-11-14T21:13:19Z")
	other := witnesstest.NewLog(t, "other.example")
	c.know(other)
	c.expect(c.post(other.Request(0).Marshal()), http.StatusServiceUnavailable, "the last cosignature")
	// A clock that was not set yet when the machine started is set right.
	c.jump(2 * time.Hour)
	c.signs(began + 3599)

	c.setClock(began - 7200)
	c.start()
	c.refuses("the last cosignature")
	c.store.AcceptClock(began + 3599)
	c.signs(began + 3599) // the time is repeated until the clock has reached it
	if got := c.cosignOther(other); got != began-7200 {
		t.Errorf("a log that was never cosigned: time %d", got)
	}
	c.jump(time.Hour)
	c.refuses("the clock jumped")
}

func (c *clocks) cosignOther(l *witnesstest.Log) int64 {
	c.t.Helper()
	a := c.post(l.Request(0).Marshal())
	c.expect(a, http.StatusOK, "")
	return c.checkSignatures(a.body, l.Request(0).Checkpoint)
}

// stopless is a store that cannot write.
type stopless struct{ *witnesstest.Memory }

var errDisk = errors.New("disk full")

func (stopless) StopClock(context.Context, witness.ClockStop) error { return errDisk }

// What cannot be written down stops cosigning nevertheless.
func TestClockStopNotKept(t *testing.T) {
	c := newClocks(t)
	c.bench.store = stopless{c.store}
	c.start()
	c.signs(began)
	c.jump(time.Hour)
	for range 2 {
		old := c.log.Size()
		f := c.log.Fork()
		f.Grow(1, "")
		c.expect(c.post(f.Request(old).Marshal()), http.StatusInternalServerError, "internal error")
	}
	if err := c.w.CheckClock(t.Context()); !errors.Is(err, errDisk) {
		t.Errorf("the error is %v", err)
	}
}

// Many requests that find out at once do not take each other's stop for accepted.
func TestClockJumpsAmongMany(t *testing.T) {
	c := newClocks(t)
	c.signs(began)
	c.jump(2 * time.Hour)
	errs := make(chan error)
	for range 50 {
		go func() { errs <- c.w.CheckClock(t.Context()) }()
	}
	for range 50 {
		if err := <-errs; err == nil || !strings.Contains(err.Error(), "the clock jumped") {
			t.Errorf("one of many: %v", err)
		}
	}
}
