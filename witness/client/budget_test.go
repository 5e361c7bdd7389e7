package client_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/budget"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// declared gives a Gatherer's witnesses 24 requests a day: three at once, one of which is
// left at the beginning.
var declared = budget.Rate{PerDay: 24}

// asks gathers for the log as it is, and returns how many requests that took.
func asks(t *testing.T, h hands, g *client.Gatherer, log *witnesstest.Log) (requests map[string]int, err error) {
	t.Helper()
	before := map[string]int{}
	for name, one := range h {
		before[name] = len(one.times())
	}
	_, err = g.Gather(t.Context(), log.Request(0).Checkpoint, log.Checkpoint(), proving(log))
	requests = map[string]int{}
	for name, one := range h {
		if n := len(one.times()) - before[name]; n > 0 {
			requests[name] = n
		}
	}
	return requests, err
}

func pacedFor(t *testing.T, err error) time.Duration {
	t.Helper()
	var gather *client.GatherError
	if !errors.As(err, &gather) || gather.Contradicted() {
		t.Fatalf("got %v, want a *GatherError", err)
	}
	return gather.Paced()
}

// A checkpoint for which nothing is left is not sent, and says why and until when; when it
// may be, it is sent once.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g, log := newHands(t, "group g all w1 w2\nquorum g\n", "w1", "w2")
		path := filepath.Join(t.TempDir(), "requests.json")
		g.Budget = budget.New(declared, &budget.File{Path: path})
		log.Grow(1, "")
		if _, err := asks(t, h, g, log); err != nil {
			t.Fatal(err)
		}
		log.Grow(1, "")
		if err := g.Allows(false); pacedFor(t, err) <= 0 {
			t.Errorf("nothing is left: %v", err)
		}
		n, err := asks(t, h, g, log)
		wait := pacedFor(t, err)
		if len(n) != 0 || wait <= 0 || wait > declared.Every() || !strings.Contains(err.Error(), "it is not asked for another") || !strings.Contains(err.Error(), "24 requests a day were declared to it") {
			t.Errorf("asked %v, waits %v: %v", n, wait, err)
		}
		time.Sleep(wait)
		if err := g.Allows(false); err != nil {
			t.Error(err)
		}
		if n, err = asks(t, h, g, log); err != nil || n["w1"] != 1 || n["w2"] != 1 {
			t.Errorf("after the wait: asked %v, %v", n, err)
		}
		if got := g.Health(); got[0].PerDay != 24 || got[0].In24h != 2 || got[0].Error != "" {
			t.Errorf("health is %+v", got[0])
		}

		// A process that goes on has no more; neither has one with a damaged file.
		log.Grow(1, "")
		g.Budget = budget.New(declared, &budget.File{Path: path})
		if n, err := asks(t, h, g, log); pacedFor(t, err) <= 0 || len(n) != 0 {
			t.Errorf("after a restart: asked %v, %v", n, err)
		}
		g.Close()
	})
}

// A witness that the quorum does not need waits for its budget, and is then asked for the
// newest checkpoint alone.
func TestBudgetCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g, log := newHands(t, "group g any w1 w2\nquorum g\n", "w1", "w2")
		g.Budget = budget.New(declared, nil)
		for range 4 {
			log.Grow(1, "")
			_, _ = asks(t, h, g, log)
			synctest.Wait()
		}
		if a, b := len(h["w1"].times()), len(h["w2"].times()); a != 1 || b != 1 {
			t.Fatalf("w1 was asked %d times, w2 %d times, want once", a, b)
		}
		time.Sleep(declared.Every())
		if _, err := asks(t, h, g, log); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		for _, name := range []string{"w1", "w2"} {
			if n := len(h[name].times()); n != 2 {
				t.Errorf("%s was asked %d times for four checkpoints, want twice", name, n)
			}
		}
		if health := g.Health(); health[0].Size != 4 || health[1].Size != 4 {
			t.Errorf("sizes %d and %d, want the newest", health[0].Size, health[1].Size)
		}
		g.Close()
	})
}

// What a witness answers costs: a conflict takes a second request, refusals are not repeated
// beyond the reserve, and an outage is not said to be the log's own waiting.
func TestBudgetOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rate := budget.Rate{PerDay: 864}
		h, g, log := newHands(t, "quorum w1\n", "w1")
		g.Budget = budget.New(rate, nil)
		log.Grow(1, "")
		h["w1"].answers(func(string) (int, http.Header, string) { return http.StatusInternalServerError, nil, "closed" })
		began := time.Now()
		for time.Since(began) < 3*time.Hour {
			if _, err := asks(t, h, g, log); pacedFor(t, err) != 0 || !strings.Contains(err.Error(), "closed") {
				t.Fatalf("an outage: %v", err)
			}
			time.Sleep(5 * time.Second)
		}
		most := rate.Reserve() + int64(3*time.Hour/rate.Every()) + 1
		if n := int64(len(h["w1"].times())); n > most || n < most/2 {
			t.Errorf("%d requests in three hours, want at most %d", n, most)
		}
		// A new checkpoint has the reserve, less what it was at the beginning.
		log.Grow(1, "")
		if n, _ := asks(t, h, g, log); n["w1"] != 1 {
			t.Errorf("a new checkpoint was sent %d times", n["w1"])
		}
		if got := g.Health()[0]; got.In24h != int64(len(h["w1"].times())) {
			t.Errorf("counted %d of %d requests", got.In24h, len(h["w1"].times()))
		}
		g.Close()
	})
}

// New times are asked for within half of what comes in.
func TestBudgetOfRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rate := budget.Rate{PerDay: 24}
		h, g, log := newHands(t, "quorum w1\n", "w1")
		g.Budget = budget.New(rate, nil)
		log.Grow(1, "")
		if _, err := asks(t, h, g, log); err != nil {
			t.Fatal(err)
		}
		sent := 0
		for range 10 * 24 * 6 { // every ten minutes for ten days
			time.Sleep(10 * time.Minute)
			if g.Allows(true) != nil {
				continue
			}
			if n, err := asks(t, h, g, log); err != nil || n["w1"] != 1 {
				t.Fatalf("a refresh that was allowed: asked %v, %v", n, err)
			}
			sent++
		}
		if most := int(10*24*time.Hour/rate.Every())/2 + 1; sent > most || sent < most*3/4 {
			t.Errorf("%d refreshes in ten days, want about %d", sent, most)
		}
		for i := range int(rate.Reserve()) {
			log.Grow(1, "")
			if err := g.Allows(false); err != nil {
				t.Errorf("new checkpoint %d: %v", i, err)
			}
			if _, err := asks(t, h, g, log); err != nil {
				t.Errorf("new checkpoint %d: %v", i, err)
			}
		}
		g.Close()
	})
}

// Whether a declared witness answers is found out without an add-checkpoint request.
func TestAnswersWithinBudget(t *testing.T) {
	f := newFixture(t, twoOfThree, serverURL)
	f.g.Budget = budget.New(declared, nil)
	f.log.Grow(2, "")
	f.mustGather()
	f.idle()
	for _, p := range f.peers {
		p.count()
	}
	signed, size := f.log.Sign(f.log.Checkpoint()), f.log.Size()
	for range 10 {
		if err := f.g.Answers(t.Context(), signed, size); err != nil {
			t.Fatal(err)
		}
	}
	for i, h := range f.g.Health() {
		if h.In24h != 1 {
			t.Errorf("witness %d was sent %d requests", i+1, h.In24h)
		}
	}
	for _, p := range f.peers[:2] {
		p.answer(down)
	}
	var quorum *proofs.QuorumError
	if err := f.g.Answers(t.Context(), signed, size); !errors.As(err, &quorum) {
		t.Errorf("two of three are down: %v", err)
	}
}
