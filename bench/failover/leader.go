package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tuflog/tuflog/bench/process"
)

// mostPause is how long the log may acknowledge nothing when its leader is killed.
const mostPause = 5 * time.Second

// errSlow is wrapped by the error that says that a hand-over took too long.
var errSlow = errors.New("the log stood still for too long")

// handOver is what came of one kill.
type handOver struct {
	pause time.Duration // longest without an acknowledgement, until the next kill
	// Where the time until the next acknowledgement went.
	lease, opening, first time.Duration
}

// killing is what came of killing leaders.
type killing struct {
	verdict
	duration  time.Duration
	acks      int
	repeated  int
	handOvers []handOver
}

// killLeaders kills the front end that leads with SIGKILL under load, and starts it
// again when the other one leads. Without a result it could not be tried.
func (h *harness) killLeaders(ctx context.Context) (k *killing, err error) {
	w, err := h.newWorld(ctx, "leader", worldConfig{})
	if err != nil {
		return nil, err
	}
	defer w.close()
	l := w.load(ctx)
	defer l.stop()
	if err := l.progress(ctx, 1, w.fronts...); err != nil {
		return nil, err
	}
	began := time.Now()
	k = &killing{}
	var kills []time.Time
	for n := range h.kills {
		// Anywhere in the middle of its share of the time.
		share := h.duration / time.Duration(h.kills)
		at := began.Add(share*time.Duration(n) + share/5 + time.Duration(w.rand.Int64N(int64(share/5))))
		process.Pause(ctx, time.Until(at))
		killed, over, err := w.killLeader(ctx, l)
		if err != nil {
			return k, fmt.Errorf("kill %d: %w", n+1, err)
		}
		kills, k.handOvers = append(kills, killed), append(k.handOvers, over)
		h.Say("kill %d of %d: acknowledged again after %v", n+1, h.kills, round(over.lease+over.opening+over.first))
	}
	process.Pause(ctx, time.Until(began.Add(h.duration)))
	if err := l.progress(ctx, 3, w.fronts...); err != nil {
		return k, err
	}
	ended := time.Now()
	l.stop()
	k.duration, k.acks, k.repeated = ended.Sub(l.began), len(l.acked), l.repeated
	for n := range kills {
		until := ended
		if n+1 < len(kills) {
			until = kills[n+1]
		}
		k.handOvers[n].pause, _ = l.pauses(kills[n], until)
	}
	if k.verdict, err = w.check(ctx); err != nil {
		return k, err
	}
	return k, k.tooLong()
}

// killLeader kills the leader once and starts it again.
func (w *world) killLeader(ctx context.Context, l *load) (killed time.Time, over handOver, err error) {
	dead, err := w.leader(ctx)
	if err != nil {
		return killed, over, err
	}
	next := dead.other()
	if !next.process.Alive() {
		return killed, over, fmt.Errorf("%s has ended: %s", next.name, next.lastWords())
	}
	killed = time.Now()
	dead.kill()
	var leading, open, acked time.Time
	err = process.Eventually(ctx, "the other front end leads and acknowledges", process.Patience, func() bool {
		var leads1, opened1, acks bool
		if leading, leads1 = next.since(leads, killed); leads1 {
			if open, opened1 = next.since(opened, leading.Add(-time.Millisecond)); opened1 {
				acked, acks = l.firstAfter(open)
			}
		}
		return acks
	})
	if err != nil {
		return killed, over, fmt.Errorf("%w%s", err, w.lastWords())
	}
	over.lease, over.opening, over.first = leading.Sub(killed), open.Sub(leading), acked.Sub(open)
	if err := dead.start(ctx); err != nil {
		return killed, over, err
	}
	return killed, over, l.progress(ctx, 3, w.fronts...)
}

func (k *killing) longest() (longest time.Duration) {
	for _, over := range k.handOvers {
		longest = max(longest, over.pause)
	}
	return longest
}

func (k *killing) tooLong() error {
	if p := k.longest(); p >= mostPause {
		return fmt.Errorf("%w: it acknowledged nothing for %v, less than %v is allowed", errSlow, round(p), mostPause)
	}
	return nil
}

func (k *killing) print(w io.Writer) {
	fmt.Fprintf(w, "\n| kill | longest pause | next acknowledgement | until the lease | opening the log | first publication |\n|---|---|---|---|---|---|\n")
	for n, o := range k.handOvers {
		fmt.Fprintf(w, "| %d | %v | %v | %v | %v | %v |\n", n+1, round(o.pause), round(o.lease+o.opening+o.first), round(o.lease), round(o.opening), round(o.first))
	}
	fmt.Fprintf(w, `
load: %v
leaders killed: %d
releases acknowledged: %d
submissions repeated: %d
checkpoints published: %d, shown to witnesses: %d
entries in the log: %d, root %v
entries that the auditor judged and vouches for: %d
longest pause between acknowledgements around a kill: %v (less than %v is allowed)
`, k.duration.Round(time.Second), len(k.handOvers), k.acks, k.repeated, k.served, k.verdict.signed, k.tree.N, k.tree.Hash, k.judged, round(k.longest()), mostPause)
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
