package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// vendors submit release after release through front ends, and keep what was
// acknowledged.
type vendors struct {
	w            *sharedWorld
	mu           sync.Mutex
	acknowledged map[int64]tuf.Digest // index: SHA-256 of the metadata
	last         time.Time
	pause        time.Duration // longest between two acknowledgements
}

// run submits releases of one vendor until the context ends. Each is sent until it
// is acknowledged, by one front end or the other.
func (l *vendors) run(ctx context.Context, t *testing.T, n int) {
	v := newVendor(t)
	_, root := v.File("root")
	id := ""
	for try := n; ctx.Err() == nil && id == ""; try++ {
		if res, err := l.w.registrar(t, l.w.fronts[try%2]).Register(ctx, root); err == nil && res.Done {
			id = res.Repository
		}
	}
	for version := 0; ctx.Err() == nil; version++ {
		files := release(t, v, fmt.Sprint("version ", version))
		for try := n; ctx.Err() == nil; try++ {
			res, err := l.submit(ctx, try, id, files)
			if err == nil && res.Done {
				l.keep(t, res, files[0].Data)
				break
			}
			var problem *api.ProblemError
			if errors.As(err, &problem) && problem.Status != 503 {
				t.Errorf("a submission: %v", err)
				return
			}
		}
	}
}

func (l *vendors) submit(ctx context.Context, n int, id string, files []api.File) (*api.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second) // a front end may hang
	defer cancel()
	return l.w.clientOf(l.w.fronts[n%2]).Submit(ctx, id, files)
}

func (l *vendors) keep(t *testing.T, res *api.Result, targets []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(res.Results) != 1 || res.Results[0].Index < 0 {
		t.Errorf("acknowledged: %+v", res)
		return
	}
	now := time.Now()
	l.pause, l.last = max(l.pause, now.Sub(l.last)), now
	l.acknowledged[res.Results[0].Index] = tuf.Sum(targets)
}

// moves waits until the log takes submissions again, and returns the longest pause
// since it was called last.
func (l *vendors) moves(t *testing.T) time.Duration {
	t.Helper()
	l.mu.Lock()
	had := len(l.acknowledged)
	l.mu.Unlock()
	runtest.Eventually(t, "the log takes submissions", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.acknowledged) >= had+8
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	pause := l.pause
	l.pause = 0
	return pause
}

// Under load, a leader that hangs, a database and a Trillian that are killed, and a
// signer that pauses cost time and nothing else.
func TestFrontEndsInTrouble(t *testing.T) {
	t.Parallel()
	w := newSharedWorld(t)
	w.leads(t)
	l := &vendors{w: w, acknowledged: map[int64]tuf.Digest{}, last: time.Now()}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var running sync.WaitGroup
	for n := range 4 {
		running.Go(func() { l.run(ctx, t, n) })
	}
	l.moves(t)
	for _, trouble := range []struct {
		what string
		does func()
	}{
		{"the leader hangs", func() {
			leader, _ := w.leads(t)
			leader.Signal(t, syscall.SIGSTOP)
			t.Logf("another leads after %v", l.moves(t))
			leader.Signal(t, syscall.SIGCONT)
		}},
		{"the database is killed", func() {
			if err := errors.Join(w.postgres.Kill(), w.postgres.Restart(t.Context())); err != nil {
				t.Fatal(err)
			}
		}},
		{"Trillian's log server is killed", func() {
			w.trillian.KillServer()
			if err := w.trillian.RestartServer(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
		{"the signer pauses", func() {
			if err := w.trillian.PauseSigner(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if err := w.trillian.ResumeSigner(); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		trouble.does()
		t.Logf("%s: the longest pause was %v", trouble.what, l.moves(t))
	}
	stop()
	running.Wait()
	w.holds(t, l.acknowledged)
}

// holds checks that the log has what was acknowledged, where it was, and nothing
// twice.
func (w *sharedWorld) holds(t *testing.T, acknowledged map[int64]tuf.Digest) {
	t.Helper()
	var cp *proofs.SignedCheckpoint
	runtest.Eventually(t, "both serve the same checkpoint", func() bool {
		var trees []proofs.Tree
		for _, s := range w.fronts {
			_, body := get(t, s.URL+"/checkpoint")
			var err error
			if cp, err = w.Policy.OpenCheckpoint(body); err != nil {
				t.Fatal(err)
			}
			trees = append(trees, cp.Tree)
		}
		return trees[0] == trees[1]
	})
	seen := map[string]int64{}
	var edge proofs.Edge
	for first := int64(0); first < cp.Tree.N; first += 256 {
		_, body := get(t, w.fronts[0].URL+"/"+proofs.EntriesPath(first/256, int(min(256, cp.Tree.N-first))))
		entries, err := proofs.ParseEntries(body)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range entries {
			index := first + int64(i)
			leaf, err := leaf.Parse(e)
			if err != nil {
				t.Fatal(err)
			}
			if before, ok := seen[string(e)]; ok {
				t.Errorf("entries %d and %d are one", before, index)
			}
			seen[string(e)] = index
			if want, ok := acknowledged[index]; ok && want != leaf.Metadata {
				t.Errorf("entry %d is of %v, %v was acknowledged", index, leaf.Metadata, want)
			}
			if err := edge.Append(proofs.LeafHash(e)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if edge.Tree() != cp.Tree {
		t.Errorf("the entries have %v, the checkpoint %v", edge.Tree(), cp.Tree)
	}
	for index := range acknowledged {
		if index >= cp.Tree.N {
			t.Errorf("entry %d was acknowledged, the log has %d", index, cp.Tree.N)
		}
	}
	t.Logf("%d entries, %d acknowledged", cp.Tree.N, len(acknowledged))
}
