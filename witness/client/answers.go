package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tuflog/tuflog/proofs"
)

// Answers asks every witness once to cosign a checkpoint again that a quorum has cosigned
// before, and returns nil if as many answer as make a quorum, otherwise a *GatherError. So
// a log learns that its witnesses would cosign, without anything new being cosigned.
// Signed and size are the checkpoint with the log's signatures, and its size. A witness
// that says how far it is, whether ahead of the checkpoint or behind it, has answered; one
// that refuses has not, nor has one that wants to be left alone.
func (g *Gatherer) Answers(ctx context.Context, signed []byte, size int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.base, cancel)()
	errs := map[*peer][]error{} // of each key
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, p := range g.peers {
		asking.Go(func() {
			e := g.answers(ctx, p, question{signed: signed, size: size, proof: func(int64) ([]proofs.Hash, error) { return nil, nil }})
			mu.Lock()
			defer mu.Unlock()
			errs[p] = e
		})
	}
	asking.Wait()
	g.save(false)
	silent := map[string]error{}
	var all []WitnessError
	for _, w := range g.witnesses {
		for i, key := range w.peer.keys {
			if err := errs[w.peer][i]; key == w.key && err != nil {
				silent[w.name] = err
				all = append(all, WitnessError{Name: w.name, Err: err})
			}
		}
	}
	quorum := g.policy.Satisfied(func(name string) bool {
		for _, w := range g.witnesses {
			if w.name == name {
				return silent[name] == nil
			}
		}
		return false
	})
	if quorum == nil {
		return nil
	}
	e := &GatherError{Silent: all, Cause: context.Cause(ctx)}
	if !errors.As(quorum, &e.Quorum) {
		return quorum
	}
	return e
}

// answers asks one witness, and returns for each of its keys why it does not answer.
func (g *Gatherer) answers(ctx context.Context, p *peer, q question) []error {
	errs := make([]error, len(p.keys))
	fail := func(err error) []error {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	if wait := p.wait(g.now()); wait > 0 {
		return fail(p.leftAlone(wait))
	}
	got, err := p.request(ctx, g.timeout(), q, q.size)
	var conflict *ConflictError
	switch {
	case errors.As(err, &conflict):
		p.answered(conflict.Size)
	case err != nil && ctx.Err() != nil:
		return fail(fmt.Errorf("it was not waited for: %w", err))
	case err != nil:
		p.backOff(err, g.now())
		p.note(nil, err, g.now())
		return fail(err)
	default:
		p.setSize(q.size)
		p.note(got, nil, g.now())
		for i := range got {
			errs[i] = got[i].err
			if errs[i] == nil {
				errs[i] = checkTime(got[i].newest().time, g.now())
			}
		}
	}
	return errs
}

// answered takes down that the witness has said how far it is.
func (p *peer) answered(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size = size
	for key, o := range p.last {
		o.err = nil
		p.last[key] = o
	}
}
