package log

import (
	"context"
	"sync"
	"time"

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

// AddCosignatures is for cosignatures over a checkpoint that arrive after Gather
// has returned: if it is still the published one, they are verified and join it,
// so that devices see as many witnesses as there are, as long as Run runs. It returns
// at once.
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
		if !sleep(ctx, lateDelay) {
			return
		}
		p.mergeLate(ctx)
	}
}

// mergeLate adds what has been collected to the published checkpoint.
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
	if err := p.cfg.Checkpoints.Store(ctx, b); err != nil {
		p.cfg.Logger.Warn("late cosignatures are left out", "err", err)
		return
	}
	p.update(func() { p.published.Note = b })
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
