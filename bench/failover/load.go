package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

// load is a number of clients that submit releases through both front ends until
// it is stopped. A release that is not acknowledged is sent again, through the
// other one, until it is.
type load struct {
	w       *world
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	began    time.Time
	acked    []time.Time // of every acknowledgement, in order
	through  map[*front]int
	repeated int              // attempts beyond a release's first
	last     map[*front]error // why its last attempt was not acknowledged
}

// wait is for how many seconds a client asks a front end to wait.
const wait = 4

func (w *world) load(ctx context.Context) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{w: w, cancel: cancel, began: time.Now(), through: map[*front]int{}, last: map[*front]error{}}
	for range w.h.clients {
		l.running.Go(func() { l.w.rec.Vendors(ctx, l.insist) })
	}
	for _, f := range w.fronts {
		l.running.Go(func() { w.client().Watch(ctx, f.name, f.url()) })
	}
	return l
}

// insist sends a release until it is acknowledged.
func (l *load) insist(ctx context.Context, rel rehearsal.Release) bool {
	// By chance: taking turns all clients end up at one front end in step.
	first := rand.IntN(len(l.w.fronts))
	front := func(try int) *front { return l.w.fronts[(first+try)%len(l.w.fronts)] }
	return l.w.client().Insist(ctx, rel, wait, func(try int) string { return front(try).url() }, func(try int, err error) {
		l.note(front(try), try > 0, err)
	})
}

func (l *load) note(f *front, again bool, err error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if again {
		l.repeated++
	}
	if err != nil {
		l.last[f] = err
		return
	}
	l.acked = append(l.acked, now)
	l.through[f]++
}

// progress waits until each of the given front ends has acknowledged n more.
func (l *load) progress(ctx context.Context, n int, fronts ...*front) error {
	want := map[*front]int{}
	l.mu.Lock()
	for _, f := range fronts {
		want[f] = l.through[f] + n
	}
	l.mu.Unlock()
	err := process.Eventually(ctx, fmt.Sprintf("%d more acknowledgements through each front end", n), process.Patience, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for f, n := range want {
			if l.through[f] < n {
				return l.w.rec.Err() != nil
			}
		}
		return true
	})
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, f := range fronts {
			err = fmt.Errorf("%w; the last answer of %s that was none: %w", err, f.name, l.last[f])
		}
		return fmt.Errorf("%w%s", err, l.w.lastWords())
	}
	return l.w.rec.Err()
}

// pauses returns the longest time without an acknowledgement between two times, and
// when the first one was that came after the first time.
func (l *load) pauses(from, to time.Time) (longest time.Duration, first time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, _ := slices.BinarySearchFunc(l.acked, from, time.Time.Compare)
	before := from
	for _, at := range l.acked[i:] {
		if at.After(to) {
			break
		}
		if first.IsZero() {
			first = at
		}
		longest, before = max(longest, at.Sub(before)), at
	}
	return max(longest, to.Sub(before)), first
}

// firstAfter returns when the first acknowledgement came after a time.
func (l *load) firstAfter(t time.Time) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.acked); n == 0 || !l.acked[n-1].After(t) {
		return time.Time{}, false
	}
	i, _ := slices.BinarySearchFunc(l.acked, t, time.Time.Compare)
	return l.acked[i], true
}

// stop ends the load.
func (l *load) stop() {
	l.cancel()
	l.running.Wait()
}
