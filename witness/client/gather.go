package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// DefaultTimeout is how long a Gatherer waits for one answer of one witness.
const DefaultTimeout = 5 * time.Second

// Consistency returns the RFC 6962 proof from the tree of size oldSize to the
// tree of the checkpoint that is being cosigned. It is called for sizes that
// witnesses report, larger than 0 and smaller than the checkpoint's. One call
// of Gather makes one call at a time, and may make it after it has returned.
type Consistency = func(oldSize int64) ([]proofs.Hash, error)

// Gatherer asks the witnesses of a policy for cosignatures. It is safe for
// concurrent use, but checkpoints should be gathered in order: a witness that
// has cosigned a later one refuses an earlier one.
type Gatherer struct {
	// Timeout bounds each request; zero is DefaultTimeout. Set it before the
	// first call of Gather.
	Timeout time.Duration
	// Now is the clock of Health; nil is time.Now.
	Now func() time.Time
	// Late, if not nil, is given the cosignatures over a checkpoint's text
	// that arrive after Gather has returned it with a quorum. Set it before the
	// first call of Gather; it is called from other goroutines, and never
	// after Close.
	Late func(text string, sigs []proofs.Signature)

	policy *proofs.Policy
	peers  []*peer

	// Requests outlive the Gather that started them, up to their timeout, but
	// not the Gatherer: base ends with Close.
	base    context.Context
	cancel  context.CancelFunc
	mu      sync.Mutex // guards closed against running
	closed  bool
	running sync.WaitGroup
	memory  memory
}

// NewGatherer returns a Gatherer for every witness of the policy that has a
// URL. It is an error if these alone cannot meet the quorum. A nil hc is
// http.DefaultClient.
func NewGatherer(p *proofs.Policy, hc *http.Client) (*Gatherer, error) {
	g := &Gatherer{policy: p}
	reachable := make(map[string]bool)
	for _, w := range p.Witnesses {
		if w.URL == "" {
			continue
		}
		reachable[w.Name] = true
		g.peers = append(g.peers, &peer{
			name:   w.Name,
			client: Client{URL: w.URL, Key: w.Key, HTTP: hc},
			turn:   make(chan struct{}, 1),
		})
	}
	if err := p.Satisfied(func(name string) bool { return reachable[name] }); err != nil {
		return nil, fmt.Errorf("the witnesses of the policy that have a URL cannot meet its quorum: %w", err)
	}
	g.base, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// GatherError says that the quorum was not met, and why each witness that did
// not cosign did not.
type GatherError struct {
	// Quorum says what is missing.
	Quorum *proofs.QuorumError
	// Silent lists the witnesses without a cosignature, in the policy's order.
	Silent []WitnessError
	// Cause is the context's error if it ended before all had answered.
	Cause error
}

// WitnessError is why a witness did not cosign.
type WitnessError struct {
	// Name of the witness in the policy.
	Name string
	Err  error
}

func (e *GatherError) Error() string {
	var b strings.Builder
	b.WriteString(e.Quorum.Error())
	for _, s := range e.Silent {
		fmt.Fprintf(&b, "; witness %s: %v", s.Name, s.Err)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, "; gave up: %v", e.Cause)
	}
	return b.String()
}

func (e *GatherError) Unwrap() []error {
	errs := []error{e.Quorum}
	if e.Cause != nil {
		errs = append(errs, e.Cause)
	}
	for _, s := range e.Silent {
		errs = append(errs, s.Err)
	}
	return errs
}

var (
	errNoAnswerYet = errors.New("no answer yet")
	errClosed      = errors.New("the gatherer is closed")
)

// Gather asks all witnesses in parallel to cosign a checkpoint and returns as
// soon as the policy's quorum is met, with the note carrying the cosignatures
// that have arrived by then, in the policy's order. Signed is the checkpoint
// with the log's signatures, cp its content. When all have answered and the
// quorum is not met, or when ctx ends, the error is a *GatherError.
//
// Slow witnesses are not called off: their requests run on until their own
// timeout, so that a witness slower than the quorum is not left behind.
func (g *Gatherer) Gather(ctx context.Context, signed []byte, cp proofs.Checkpoint, consistency Consistency) ([]byte, error) {
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return nil, fmt.Errorf("gather: %w", err)
	}
	if note.Text != cp.String() {
		return nil, fmt.Errorf("gather: the note is not the checkpoint of %s at size %d", cp.Origin, cp.Tree.N)
	}
	q := question{signed: signed, size: cp.Tree.N, proof: memoize(cp.Tree.N, consistency)}
	answers, err := g.ask(q)
	if err != nil {
		return nil, fmt.Errorf("gather: %w", err)
	}
	got := make([]answer, len(g.peers))
	for i := range got {
		got[i].err = errNoAnswerYet
	}
	for pending := len(g.peers); ; {
		drain(answers, func(a answer) { got[a.peer] = a; pending-- })
		quorum := g.policy.Satisfied(func(name string) bool {
			return slices.ContainsFunc(got, func(a answer) bool { return a.err == nil && g.peers[a.peer].name == name })
		})
		if quorum == nil {
			for _, a := range got {
				note.Signatures = append(note.Signatures, newest(a.sigs)...)
			}
			g.passOn(note.Text, answers, pending)
			return note.Marshal(), nil
		}
		if pending == 0 || ctx.Err() != nil {
			return nil, g.failure(quorum, got, ctx)
		}
		select {
		case a := <-answers:
			got[a.peer] = a
			pending--
		case <-ctx.Done():
		}
	}
}

// newest returns of the cosignatures of one key the one with the latest time. A
// witness could send so many that the note has more than notes may have, and then
// one witness alone would keep a log from publishing.
func newest(sigs []proofs.Signature) []proofs.Signature {
	var newest []proofs.Signature
	for _, s := range sigs {
		// Keys that cosign put the time first, eight bytes of it.
		if newest == nil || bytes.Compare(s.Sig[:8], newest[0].Sig[:8]) > 0 {
			newest = []proofs.Signature{s}
		}
	}
	return newest
}

// passOn hands the answers that are still to come to Late.
func (g *Gatherer) passOn(text string, answers <-chan answer, pending int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.Late == nil || g.closed || pending == 0 {
		return
	}
	g.running.Go(func() {
		for range pending {
			select {
			case a := <-answers:
				if a.err == nil {
					g.Late(text, newest(a.sigs))
				}
			case <-g.base.Done():
				return
			}
		}
	})
}

// failure says who did not answer.
func (g *Gatherer) failure(quorum error, got []answer, ctx context.Context) error {
	e := &GatherError{}
	if !errors.As(quorum, &e.Quorum) {
		return quorum
	}
	for i, a := range got {
		if a.err != nil {
			e.Silent = append(e.Silent, WitnessError{Name: g.peers[i].name, Err: a.err})
			if errors.Is(a.err, errNoAnswerYet) {
				e.Cause = context.Cause(ctx)
			}
		}
	}
	return e
}

// drain takes what is in the channel without waiting.
func drain(answers <-chan answer, take func(answer)) {
	for {
		select {
		case a := <-answers:
			take(a)
		default:
			return
		}
	}
}

// ask sends the question to every witness; each answers once.
func (g *Gatherer) ask(q question) (<-chan answer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, errClosed
	}
	timeout := g.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	now := g.Now
	if now == nil {
		now = time.Now
	}
	// Room for all answers: the late ones have no reader.
	answers := make(chan answer, len(g.peers))
	for i, p := range g.peers {
		g.running.Go(func() {
			sigs, err := p.cosign(g.base, timeout, q, now)
			p.note(err, now())
			g.save(false)
			answers <- answer{peer: i, sigs: sigs, err: err}
		})
	}
	return answers, nil
}

// Close calls off the requests that are still running and waits for them. A
// closed Gatherer gathers no more.
func (g *Gatherer) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	g.running.Wait()
	g.save(true)
}

// Health is what a Gatherer knows of a witness.
type Health struct {
	// Name and URL of the witness in the policy.
	Name string `json:"name"`
	URL  string `json:"url"`
	// Size of the last tree that the witness is known to have cosigned.
	Size int64 `json:"size"`
	// Error of the last request; empty if it succeeded or there was none.
	Error string `json:"error,omitempty"`
	// LastSuccess is when the witness last cosigned; zero if never.
	LastSuccess time.Time `json:"last_success,omitzero"`
}

// Health reports on every witness, in the policy's order.
func (g *Gatherer) Health() []Health {
	all := make([]Health, 0, len(g.peers))
	for _, p := range g.peers {
		all = append(all, p.health())
	}
	return all
}

// memoize computes each proof once, since most witnesses are at the same size.
func memoize(size int64, consistency Consistency) Consistency {
	var mu sync.Mutex
	known := make(map[int64][]proofs.Hash)
	return func(old int64) ([]proofs.Hash, error) {
		if old == 0 || old == size {
			return nil, nil // the specification wants no proof here
		}
		mu.Lock()
		defer mu.Unlock()
		if proof, ok := known[old]; ok {
			return proof, nil
		}
		proof, err := consistency(old)
		if err != nil {
			return nil, fmt.Errorf("proof from size %d: %w", old, err)
		}
		known[old] = proof
		return proof, nil
	}
}
