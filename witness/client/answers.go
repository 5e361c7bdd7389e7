package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/budget"
)

// Answers asks every witness once to cosign a checkpoint again that a quorum has cosigned
// before, and returns nil if a quorum answers, otherwise a *GatherError. So a log learns
// that its witnesses would cosign, without a new cosignature. Signed and size are the
// checkpoint with the log's signatures, and its size. A witness that reports its size,
// ahead of the checkpoint or behind it, has answered. A witness that refuses has not, and
// neither has one that asked not to be called for a while, or whose clock is so far from
// the one here that its cosignatures would not be counted.
func (g *Gatherer) Answers(ctx context.Context, signed []byte, size int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(g.base, cancel)()
	q := question{signed: signed, size: size, proof: func(context.Context, int64) ([]proofs.Hash, error) { return nil, nil }}
	came := make(chan map[proofs.Key]error, len(g.peers))
	for _, p := range g.peers {
		go func() { came <- g.answers(ctx, p, q) }()
	}
	errs := map[proofs.Key]error{}
	quorum := g.quorum(errs)
	for n := 0; n < len(g.peers); n++ {
		if quorum == nil {
			cancel() // those that are slow are not waited for
		}
		maps.Copy(errs, <-came)
		if quorum != nil {
			quorum = g.quorum(errs)
		}
	}
	cancel()
	g.save(false)
	var e GatherError
	if quorum == nil || !errors.As(quorum, &e.Quorum) {
		return quorum
	}
	for _, w := range g.witnesses {
		if err := errs[w.key]; err != nil {
			e.Silent = append(e.Silent, WitnessError{Name: w.name, Err: err})
		}
	}
	return &e
}

// quorum is nil if those that have answered without an error make one.
func (g *Gatherer) quorum(errs map[proofs.Key]error) error {
	return g.satisfied(func(key proofs.Key) bool {
		err, answered := errs[key]
		return answered && err == nil
	})
}

// answers asks one witness, and returns for each of its keys nil, or why it does not
// answer.
func (g *Gatherer) answers(ctx context.Context, p *peer, q question) map[proofs.Key]error {
	errs := make(map[proofs.Key]error, len(p.keys))
	fail := func(err error) map[proofs.Key]error {
		for _, key := range p.keys {
			errs[key] = err
		}
		return errs
	}
	if wait := p.wait(g.now()); wait > 0 {
		return fail(p.leftAlone(wait))
	}
	if g.Budget.Rate().Declared() {
		return fail(g.reaches(ctx, p, q))
	}
	// Nothing is declared, so it is counted and no more.
	_ = g.Budget.Take(ctx, p.name(), budget.Growth, g.now())
	got, err := p.request(ctx, g.timeout(), q, q.size)
	var conflict *ConflictError
	switch {
	case errors.As(err, &conflict):
		p.answered(conflict.Size)
		if conflict.Time.IsZero() {
			return fail(nil)
		}
		if err := CheckTime(conflict.Time.Unix(), g.now()); err != nil {
			return fail(fmt.Errorf("by the clock of its answer: %w", err))
		}
		return fail(nil)
	case err != nil && ctx.Err() != nil:
		return fail(fmt.Errorf("it was not waited for: %w", err))
	case err != nil:
		p.backOff(err, g.now())
		p.note(nil, err, g.now())
		return fail(err)
	default:
		p.setSize(q.size)
		p.note(got, nil, g.now())
		for i, key := range p.keys {
			errs[key] = got[i].err
			if errs[key] == nil {
				errs[key] = CheckTime(got[i].newest().time, g.now())
			}
		}
	}
	return errs
}

// reaches returns nil if a witness to which a rate was declared answers at all. It is
// asked for what it shows, since all front ends ask all the time and add-checkpoint
// requests are counted. What the others have used of the budget is looked up as well.
func (g *Gatherer) reaches(ctx context.Context, p *peer, q question) error {
	ctx, cancel := context.WithTimeout(ctx, g.timeout())
	defer cancel()
	note, err := proofs.ParseNote(q.signed)
	if err != nil {
		return err
	}
	if err := g.Budget.Look(ctx, p.name(), g.now()); err != nil {
		return err
	}
	origin, _, _ := strings.Cut(note.Text, "\n")
	resp, err := (&Shown{URL: p.url, HTTP: p.http}).ask(ctx, origin)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return &StatusError{Code: resp.StatusCode, RetryAfter: retryAfter(resp.Header)}
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		if err := CheckTime(at.Unix(), g.now()); err != nil {
			return fmt.Errorf("by the clock of its answer: %w", err)
		}
	}
	return nil
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
