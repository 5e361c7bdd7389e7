package publisher

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/proofs"
)

// lateDelay is how long late cosignatures are collected before they join the
// published checkpoint. A log that grows has published the next one by then.
const lateDelay = 100 * time.Millisecond

// late holds the cosignatures that came after the quorum was met.
type late struct {
	mu   sync.Mutex
	text string // of the checkpoint
	sigs []proofs.Signature
	came chan struct{} // has room for one
}

// AddCosignatures takes cosignatures over a checkpoint that arrive after Gather has
// returned. While Run runs and the checkpoint is still the published one, they are
// verified and added to it, so that devices see as many witnesses as possible. It
// returns at once.
func (p *Publisher) AddCosignatures(text string, sigs []proofs.Signature) {
	p.late.mu.Lock()
	defer p.late.mu.Unlock()
	if text != p.late.text {
		p.late.text, p.late.sigs = text, nil
	}
	p.late.sigs = append(p.late.sigs, sigs...)
	select {
	case p.late.came <- struct{}{}:
	default:
	}
}

// runLate publishes late cosignatures until the context ends.
func (p *Publisher) runLate(ctx context.Context) {
	for {
		select {
		case <-p.late.came:
		case <-ctx.Done():
			return
		}
		if wait.For(ctx, lateDelay) != nil {
			return
		}
		p.mergeLate(ctx)
	}
}

// mergeLate adds the collected cosignatures to the published checkpoint.
func (p *Publisher) mergeLate(ctx context.Context) {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.late.mu.Lock()
	text, sigs := p.late.text, p.late.sigs
	p.late.text, p.late.sigs = "", nil
	p.late.mu.Unlock()
	published := p.Published()
	note, err := proofs.ParseNote(published.Note)
	if err != nil || note.Text != text {
		return
	}
	merged := false
	for _, sig := range sigs {
		if p.welcome(note, sig) {
			note.Signatures = append(note.Signatures, sig)
			merged = true
		}
	}
	if !merged {
		return
	}
	b := note.Marshal()
	if _, err := p.policy.Load().OpenCheckpoint(b); err != nil {
		p.cfg.Logger.Warn("late cosignatures are left out", "err", err)
		return
	}
	if err := p.store(ctx, b); err != nil {
		p.cfg.Logger.Warn("late cosignatures are left out", "err", err)
		return
	}
	p.update(func() { p.published.Note = b })
}

// proving makes proofs for witnesses, which may ask for one after Gather has returned,
// until their Gatherer is closed. It ends with Run, after which the storage may be
// closed.
type proving struct {
	mu      sync.Mutex
	over    bool
	cancels map[*context.CancelFunc]bool
	running sync.WaitGroup
}

var errStopped = errors.New("the log is being stopped")

func (s *proving) prove(ctx context.Context, fn func(context.Context) ([]proofs.Hash, error)) ([]proofs.Hash, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return nil, errStopped
	}
	if s.cancels == nil {
		s.cancels = map[*context.CancelFunc]bool{}
	}
	s.cancels[&cancel] = true
	s.running.Add(1)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.cancels, &cancel)
		s.mu.Unlock()
		s.running.Done()
	}()
	return fn(ctx)
}

func (s *proving) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = false
}

// stop refuses further proofs and returns when none is being made.
func (s *proving) stop() {
	s.mu.Lock()
	s.over = true
	for cancel := range s.cancels {
		(*cancel)()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// welcome reports whether a cosignature is valid, of a witness of the policy, and
// not on the checkpoint yet.
func (p *Publisher) welcome(note proofs.Note, sig proofs.Signature) bool {
	for _, have := range note.Signatures {
		if have.Name == sig.Name && have.KeyID == sig.KeyID {
			return false
		}
	}
	for _, w := range p.policy.Load().Witnesses {
		if w.Key.Name() == sig.Name && w.Key.ID() == sig.KeyID {
			_, err := w.Key.Verify(note.Text, sig.Sig)
			return err == nil
		}
	}
	return false
}
