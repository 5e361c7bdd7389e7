package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// cosigned is a checkpoint that the witness cosigned, and between which moments.
type cosigned struct {
	tree        proofs.Tree
	unix        int64
	asked, came time.Time
}

// attacker sends checkpoints of its own branch of a log and notes what the
// witness cosigns.
type attacker struct {
	branch string
	log    *witnesstest.Log
	got    []cosigned
}

// attack sends until the context ends. It follows the witness's size with its
// own tree, so that it sends valid and conflicting checkpoints alike.
func (a *attacker) attack(ctx context.Context, c *client.Client, r *rand.Rand) {
	old := int64(0)
	for ctx.Err() == nil {
		if need := old + 1 + r.Int64N(3) - a.log.Size(); need > 0 {
			a.log.Grow(need, a.branch)
		}
		req := a.log.Request(min(old, a.log.Size()))
		asked := time.Now()
		sigs, err := c.AddCheckpoint(ctx, req)
		came := time.Now()
		var conflict *client.ConflictError
		switch {
		case err == nil:
			tree := a.log.Checkpoint().Tree
			unix, err := c.Key.Verify(a.log.Checkpoint().String(), sigs[0].Sig)
			if err != nil {
				panic(err) // AddCheckpoint has verified it
			}
			a.got = append(a.got, cosigned{tree, unix, asked, came})
			old = tree.N
		case errors.As(err, &conflict):
			old = conflict.Size
		}
		// Anything else is a fork refused, or a process that is gone.
	}
}

// TestKill kills the process in the middle of its work, again and again, while
// two branches of a log compete for its cosignature.
func TestKill(t *testing.T) {
	kills := 12
	if testing.Short() {
		kills = 3
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir, key := newWitness(t)
	root := witnesstest.NewLog(t, "log.example")
	mustRun(t, "log", "add", "--dir", dir, root.Key().String())
	attackers := []*attacker{{branch: "a", log: root.Fork()}, {branch: "b", log: root.Fork()}, {branch: "a", log: root.Fork()}}
	var all []cosigned
	for range kills {
		p := serveProgram(t, dir)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, a := range attackers {
			rr := rand.New(rand.NewPCG(r.Uint64(), 0))
			wg.Go(func() { a.attack(ctx, p.client(key), rr) })
		}
		// Not a wait for something: the moment of death is part of the test.
		<-time.After(time.Duration(50+r.IntN(200)) * time.Millisecond)
		p.kill()
		cancel()
		wg.Wait()
	}
	for _, a := range attackers {
		all = append(all, a.got...)
	}
	checkCosigned(t, all)
	slices.SortFunc(all, func(x, y cosigned) int { return x.came.Compare(y.came) })
	last := all[len(all)-1].tree
	if got := serveProgram(t, dir).latest(root.Key(), key); got.N < last.N {
		t.Errorf("the witness remembers size %d, but has cosigned %d", got.N, last.N)
	}
	t.Logf("%d checkpoints cosigned up to size %d over %d kills", len(all), last.N, kills)
}

// checkCosigned checks what a witness promises of all it ever cosigned.
func checkCosigned(t *testing.T, all []cosigned) {
	t.Helper()
	if len(all) < 10 {
		t.Fatalf("only %d checkpoints were cosigned", len(all))
	}
	roots := make(map[int64]proofs.Hash)
	for _, c := range all {
		if have, ok := roots[c.tree.N]; ok && have != c.tree.Hash {
			t.Errorf("two roots at size %d: %v and %v", c.tree.N, have, c.tree.Hash)
		}
		roots[c.tree.N] = c.tree.Hash
	}
	// Of two cosignatures one of which was there before the other was asked
	// for, the later one has neither the smaller size nor the earlier time.
	slices.SortFunc(all, func(x, y cosigned) int { return x.asked.Compare(y.asked) })
	for i, later := range all {
		for _, earlier := range all[:i] {
			if earlier.came.Before(later.asked) && (later.tree.N < earlier.tree.N || later.unix < earlier.unix) {
				t.Errorf("size %d at time %d was cosigned after size %d at time %d", later.tree.N, later.unix, earlier.tree.N, earlier.unix)
			}
		}
	}
}
