package cluster

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A key that does not answer is asked once, not again and again, and what it says at last
// counts.
func TestCanSign(t *testing.T) {
	if err := newNode(Config{}).canSign(t.Context()); err != nil {
		t.Errorf("a key in a file: %v", err)
	}
	asked := 0
	answers := make(chan error)
	n := newNode(Config{CanSign: func() error { asked++; return <-answers }})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if err := n.canSign(ended); err == nil || !strings.Contains(err.Error(), "no signature by the ssh-agent") {
			t.Errorf("without an answer: %v", err)
		}
	}
	locked := errors.New("locked")
	answers <- locked
	if err := n.canSign(t.Context()); !errors.Is(err, locked) || asked != 1 {
		t.Errorf("asked %d times, want once: %v", asked, err)
	}
}

// Each service that a front end needs is asked now and then, sooner when it says no or
// somebody may have to lead, and once at a time; silence is soon taken for a no.
func TestCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running sync.WaitGroup
		asked := 0
		var says error
		hangs := make(chan struct{})
		k := &check{who: "the witnesses", calm: 30 * time.Second}
		k.ask = func(ctx context.Context) error {
			asked++
			if errors.Is(says, errNotAsked) {
				<-hangs
			}
			return says
		}
		after := func(d time.Duration, hurry bool, times int, words string) {
			t.Helper()
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				k.start(t.Context(), &running, hurry)
			}
			synctest.Wait()
			err := k.verdict(0)
			if asked != times || (err == nil) != (words == "") || err != nil && !strings.Contains(err.Error(), words) {
				t.Errorf("asked %d times, want %d: %v, want %q", asked, times, err, words)
			}
			asked = 0
		}
		if err := k.verdict(0); !errors.Is(err, errNotAsked) {
			t.Errorf("at first: %v", err)
		}
		after(65*time.Second, false, 3, "")
		after(30*time.Second, true, 10, "")
		says = errors.New("no route")
		after(33*time.Second, false, 1+1, "no route")
		says = errNotAsked // it hangs
		after(10*time.Second, true, 1, "no answer for")
		says = nil
		close(hangs)
		after(10*time.Second, false, 0, "")
		running.Wait()
	})
}
