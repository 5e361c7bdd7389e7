package page

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/tuf"
)

// asked is a log that counts what it is asked, and answers when it is let.
type asked struct {
	audit.Source
	let          chan struct{} // nil: at once
	fails        bool
	now, most, n atomic.Int64
}

var content = []byte("a file")

func (a *asked) Blob(ctx context.Context, _ tuf.Digest) ([]byte, error) {
	a.n.Add(1)
	if now := a.now.Add(1); now > a.most.Load() {
		a.most.Store(now)
	}
	defer a.now.Add(-1)
	if a.let != nil {
		<-a.let
	}
	if a.fails {
		return nil, audit.ErrNotFound
	}
	return content, ctx.Err()
}

func (a *asked) Tile(ctx context.Context, _ int, _ int64, _ int) ([]byte, error) {
	return a.Blob(ctx, tuf.Digest{})
}

// A log is asked for the same once, for so much at a time, and of that half for one address.
func TestAskingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &asked{let: make(chan struct{})}
		a := newAsking(nil, log, time.Now)
		var failed atomic.Int64
		ask := func(address string, index int64) {
			go func() {
				if _, err := a.Tile(withSource(t.Context(), address), 0, index, 256); err != nil {
					failed.Add(1)
				}
			}()
		}
		for range 50 {
			ask("192.0.2.1", 0)
			ask("192.0.2.2", 0)
		}
		synctest.Wait()
		if n := log.n.Load(); n != 1 {
			t.Errorf("for the same it was asked %d times", n)
		}
		for i := range int64(50) {
			ask("192.0.2.1", 1+i)
		}
		synctest.Wait()
		if n := log.n.Load(); n > maxAsked/2+1 {
			t.Errorf("for one address it is asked %d things at once", n)
		}
		before := log.n.Load()
		ask("192.0.2.3", 100)
		synctest.Wait()
		if n := log.n.Load(); n != before+1 {
			t.Errorf("another address waits: %d, %d", n, before)
		}
		for i := range int64(50) {
			ask(fmt.Sprintf("198.51.100.%d", i), 200+i)
		}
		synctest.Wait()
		close(log.let)
		synctest.Wait()
		if most := log.most.Load(); most != maxAsked || failed.Load() > 0 {
			t.Errorf("it was asked %d things at once, and %d were not answered", most, failed.Load())
		}
	})
}

// What a log is asked in the long run is bounded, for all and for one address. A failure is
// remembered, and one who goes away does not take the answer from others.
func TestAskingBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &asked{}
		a := newAsking(nil, log, time.Now)
		a.all, a.sources = rate.NewLimiter(0.1, 5), newMeters(0.05, 3)
		ask := func(address string, index int64) error {
			_, err := a.Tile(withSource(t.Context(), address), 0, index, 256)
			return err
		}
		for i := range int64(3) {
			if err := ask("a", i); err != nil {
				t.Fatal(err)
			}
		}
		if err := ask("a", 3); !errors.Is(err, errBusy) {
			t.Errorf("beyond its half: %v", err)
		}
		for i := range int64(2) {
			if err := ask("b", 10+i); err != nil {
				t.Errorf("another address: %v", err)
			}
		}
		if err := ask("b", 12); !errors.Is(err, errBusy) || log.n.Load() != 5 {
			t.Errorf("beyond the budget of all: %v, %d", err, log.n.Load())
		}
		time.Sleep(time.Minute)
		if err := ask("b", 12); err != nil {
			t.Errorf("later: %v", err)
		}

		log.fails = true
		for range 10 {
			if err := ask("c", 20); !errors.Is(err, audit.ErrNotFound) {
				t.Errorf("what is not there: %v", err)
			}
		}
		if log.n.Load() != 7 {
			t.Errorf("for what is not there it was asked %d times", log.n.Load()-6)
		}
		log.fails = false
		time.Sleep(failedFor + time.Second)
		if err := ask("c", 20); err != nil {
			t.Errorf("once it is there: %v", err)
		}

		log.let = make(chan struct{})
		gone, cancel := context.WithCancel(withSource(t.Context(), "d"))
		first, second := make(chan error), make(chan error)
		go func() { _, err := a.Tile(gone, 0, 30, 256); first <- err }()
		synctest.Wait()
		go func() { second <- ask("e", 30) }()
		synctest.Wait()
		if cancel(); !errors.Is(<-first, context.Canceled) {
			t.Error("who has gone away still waits")
		}
		close(log.let)
		if err := <-second; err != nil {
			t.Errorf("who still waits: %v", err)
		}
	})
}

// spoilt is a copy whose files are others.
type spoilt struct{ audit.Source }

func (spoilt) Blob(context.Context, tuf.Digest) ([]byte, error) { return []byte("another"), nil }

// A copy costs the log nothing; what it does not have, or has otherwise, the log is asked.
func TestAskingCopy(t *testing.T) {
	log := &asked{}
	for name, test := range map[string]struct {
		copy audit.Source
		asks int64
	}{"whole": {&asked{}, 0}, "empty": {&asked{fails: true}, 1}, "spoilt": {spoilt{}, 1}} {
		log.n.Store(0)
		if got, err := newAsking(test.copy, log, time.Now).Blob(t.Context(), tuf.Sum(content)); err != nil || string(got) != string(content) || log.n.Load() != test.asks {
			t.Errorf("%s: %q %v, the log was asked %d times", name, got, err, log.n.Load())
		}
	}
	if _, err := newAsking(spoilt{}, nil, time.Now).Blob(t.Context(), tuf.Sum(content)); err == nil {
		t.Error("a copy whose file is another")
	}
}
