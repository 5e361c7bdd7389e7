package client_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/witness/client"
)

// Whether a quorum answers is found out without anything new being cosigned.
func TestAnswers(t *testing.T) {
	f := newFixture(t, twoOfThree, serverURL)
	f.log.Grow(2, "")
	f.mustGather()
	f.idle()
	old := f.log.Fork()
	cp := old.Checkpoint()
	ask := func(ctx context.Context) error { return f.g.Answers(ctx, old.Sign(cp), cp.Tree.N) }
	if err := ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Ahead of what they are asked with.
	f.log.Grow(3, "")
	f.mustGather()
	f.idle()
	for _, p := range f.peers {
		p.count()
	}
	if err := ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked := 0 // two make a quorum: the third is not waited for
	for _, p := range f.peers {
		n, size := p.count(), p.size("log.example")
		if asked += n; n > 1 || size != 5 {
			t.Errorf("asked %d times; it has cosigned size %d", n, size)
		}
	}
	if asked < 2 {
		t.Errorf("%d were asked", asked)
	}

	// One of the clocks is wrong, so that nothing they cosign would be counted.
	for _, ahead := range []time.Duration{-client.MaxClockDifference - time.Hour, client.MaxClockDifference + time.Hour} {
		f.g.Now = func() time.Time { return time.Now().Add(ahead) }
		var clock *client.ClockError
		if err := ask(t.Context()); err == nil || !errors.As(err, new(*client.GatherError)) || !errors.As(err.(*client.GatherError).Silent[0].Err, &clock) {
			t.Errorf("with a clock that is %v ahead: %v", ahead, err)
		}
	}
	f.g.Now = nil

	for _, status := range []int{http.StatusNotFound, http.StatusForbidden, http.StatusServiceUnavailable, http.StatusConflict} {
		refuse := func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "not for you", status) }
		f.peers[0].answer(refuse)
		if err := ask(t.Context()); err != nil {
			t.Errorf("one of three answers with %d: %v", status, err)
		}
		f.peers[1].answer(refuse)
		var silent *client.GatherError
		if err := ask(t.Context()); !errors.As(err, &silent) || silent.Quorum == nil || len(silent.Silent) != 2 || !strings.Contains(err.Error(), http.StatusText(status)) {
			t.Errorf("two of three answer with %d: %v", status, err)
		}
		f.peers[0].answer(nil)
		f.peers[1].answer(nil)
		eventually(t, "they answer again", func() bool { return ask(t.Context()) == nil })
	}
	// One that says nothing is not waited for.
	slow := make(chan struct{})
	f.peers[2].answer(func(http.ResponseWriter, *http.Request) { <-slow })
	if err := ask(t.Context()); err != nil {
		t.Errorf("one of three says nothing: %v", err)
	}
	close(slow)
	for _, p := range f.peers {
		p.server.Close()
	}
	if err := ask(t.Context()); err == nil {
		t.Error("nobody is there")
	}
}
