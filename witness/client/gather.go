package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/budget"
)

// DefaultTimeout is how long a Gatherer waits for one answer of one witness.
const DefaultTimeout = 5 * time.Second

// Consistency returns the RFC 6962 proof from the tree of size oldSize to the
// tree of the checkpoint that is being cosigned. It is called for sizes that
// witnesses report, larger than 0 and smaller than the checkpoint's. Each call
// of Gather calls it once at a time, possibly after Gather has returned: the
// context is that of the witness's request.
type Consistency = func(ctx context.Context, oldSize int64) ([]proofs.Hash, error)

// Gatherer asks the witnesses of a policy for cosignatures. It is safe for
// concurrent use, but checkpoints should be gathered in order: a witness that
// has cosigned a later one refuses an earlier one.
type Gatherer struct {
	// Timeout bounds each request; zero is DefaultTimeout. Set it before the
	// first call of Gather.
	Timeout time.Duration
	// Now is the clock of Health; nil is time.Now.
	Now func() time.Time
	// Late, if not nil, is called with the cosignatures over a checkpoint's
	// text that arrive after Gather has returned it with a quorum. Set it
	// before the first call of Gather; it is called from other goroutines, and
	// never after Close.
	Late func(text string, sigs []proofs.Signature)
	// Budget counts the requests to each witness, and keeps them within what the log
	// has declared; nil: nothing is declared. Set it before the first call of Gather.
	Budget *budget.Budget

	policy    *proofs.Policy
	witnesses []witness // that have a URL, in the policy's order
	peers     []*peer   // one of each URL

	// Requests outlive the Gather that started them, up to their timeout, but
	// not the Gatherer: base ends with Close.
	base    context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	memory  memory

	mu      sync.Mutex // guards closed against running, and what follows
	closed  bool
	newest  *collection   // of the last checkpoint that was asked for
	waiting []*collection // without a quorum, at most maxWaiting, newest first
}

// witness is a line of the policy.
type witness struct {
	name string
	key  proofs.Key
	peer *peer
}

// NewGatherer returns a Gatherer for every witness of the policy that has a URL.
// Entries with the same URL are keys of one witness: it is asked once, and its
// answer has the cosignatures of all of them. It is an error if the witnesses
// with a URL alone cannot meet the quorum. Redirects are not followed; a nil hc
// means a client with net/http's defaults.
func NewGatherer(p *proofs.Policy, hc *http.Client) (*Gatherer, error) {
	g := &Gatherer{policy: p, Budget: budget.New(budget.Rate{}, nil)}
	hc = fetch.Direct(hc)
	reachable := make(map[string]bool)
	for _, w := range p.Witnesses {
		if w.URL == "" {
			continue
		}
		reachable[w.Name] = true
		url := strings.TrimSuffix(w.URL, "/")
		i := slices.IndexFunc(g.peers, func(p *peer) bool { return p.url == url })
		if i < 0 {
			i = len(g.peers)
			g.peers = append(g.peers, &peer{url: url, http: hc, turn: make(chan struct{}, 1), last: map[proofs.Key]outcome{}})
		}
		g.peers[i].keys = append(g.peers[i].keys, w.Key)
		g.witnesses = append(g.witnesses, witness{w.Name, w.Key, g.peers[i]})
	}
	if err := p.Satisfied(func(name string) bool { return reachable[name] }); err != nil {
		return nil, fmt.Errorf("the witnesses of the policy that have a URL cannot meet its quorum: %w", err)
	}
	g.base, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// GatherError means that the quorum was not met. It lists the reasons of the
// silent witnesses.
type GatherError struct {
	// Quorum lists the missing cosignatures.
	Quorum *proofs.QuorumError
	// Silent lists the witnesses without a cosignature, in the policy's order.
	Silent []WitnessError
	// Cause is the context's error if it ended before all had answered.
	Cause error
	// paced is how long until those that the budget lets wait, and that have not failed,
	// may be asked and would make the quorum with the others; 0: they would not.
	paced time.Duration
}

// WitnessError tells why a witness did not cosign.
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

// Paced returns how long it takes until a quorum may be asked, where nothing but what was
// declared to the witnesses is in the way; 0: something else is.
func (e *GatherError) Paced() time.Duration { return e.paced }

// Contradicted reports whether a witness has answered that it knows another tree of
// the log: a larger one, or another one of that size.
func (e *GatherError) Contradicted() bool {
	return slices.ContainsFunc(e.Silent, func(s WitnessError) bool {
		var ahead *AheadError
		var conflict *ConflictError
		var status *StatusError
		return errors.As(s.Err, &ahead) || errors.As(s.Err, &conflict) ||
			errors.As(s.Err, &status) && (status.Code == http.StatusConflict || status.Code == http.StatusUnprocessableEntity)
	})
}

// Gather asks all witnesses in parallel to cosign a checkpoint and returns as
// soon as the policy's quorum is met, with the note carrying the cosignatures
// that have arrived by then, in the policy's order. Signed is the checkpoint
// with the log's signatures, cp its content. When all have answered and the
// quorum is not met, or when ctx ends, the error is a *GatherError. A cosignature
// whose time is more than MaxClockDifference from the clock here is not counted.
//
// Cosignatures for a checkpoint without a quorum are kept, and later ones are
// added: gathering for the same checkpoint again asks only the missing
// witnesses. So each witness has to be reachable once, but not all at the same
// time.
//
// Requests to slow witnesses are not canceled: they run until their own timeout,
// so that a witness slower than the quorum is not left behind. A witness that
// failed is asked again at least every 15 s, as long as the checkpoint is the
// newest.
//
// A witness that may not be asked now because of the Budget counts as silent: the error
// has a method Paced. It is asked for the newest checkpoint alone when it may be.
func (g *Gatherer) Gather(ctx context.Context, signed []byte, cp proofs.Checkpoint, consistency Consistency) ([]byte, error) {
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return nil, fmt.Errorf("gather: %w", err)
	}
	if note.Text != cp.String() {
		return nil, fmt.Errorf("gather: the note is not the checkpoint of %s at size %d", cp.Origin, cp.Tree.N)
	}
	c, err := g.askAll(note.Text, question{signed: signed, size: cp.Tree.N, proof: memoize(cp.Tree.N, consistency)})
	if err != nil {
		return nil, fmt.Errorf("gather: %w", err)
	}
	for {
		over := ctx.Err() != nil // before looking: what has arrived by then counts
		sigs, changed, err := g.counted(c, over, ctx)
		switch {
		case err != nil:
			return nil, err
		case changed == nil:
			note.Signatures = append(note.Signatures, sigs...)
			return note.Marshal(), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// askAll sends the question to every witness of which something is missing.
func (g *Gatherer) askAll(text string, q question) (*collection, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, errClosed
	}
	c := g.collection(text, q)
	c.forgetOld(g.now())
	for _, p := range g.peers {
		if !c.lacks(p) {
			continue
		}
		for _, key := range p.keys {
			c.errs[key] = errNoAnswerYet
		}
		c.pending++
		g.running.Go(func() { g.askPeer(c, p, q, true) })
	}
	return c, nil
}

// counted returns the cosignatures if they meet the quorum; the error if they will
// not, because all have answered or the caller's context is over; or else a channel
// that is closed when there is news.
func (g *Gatherer) counted(c *collection, over bool, ctx context.Context) (sigs []proofs.Signature, changed <-chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	quorum := g.satisfied(c.has)
	switch {
	case quorum == nil:
		for _, w := range g.witnesses {
			sigs = append(sigs, c.got[w.key].sigs...)
		}
		g.finish(c)
		g.pursue(c)
		return sigs, nil, nil
	case c.pending == 0 || over:
		return nil, nil, g.unmet(quorum, c.has, c.errs, ctx)
	}
	return nil, c.changed, nil
}

// askPeer asks one witness, once, and takes down what comes of it. For Gather, if
// that waits for the answer.
func (g *Gatherer) askPeer(c *collection, p *peer, q question, waited bool) {
	lacking := func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return c.lacks(p)
	}
	kind := func() budget.Kind {
		g.mu.Lock()
		defer g.mu.Unlock()
		return c.kind(p)
	}
	answer, err := p.cosign(g.base, q, asking{timeout: g.timeout(), now: g.now, budget: g.Budget, kind: kind, lacking: lacking, over: c.over})
	now := g.now()
	settled, alone, paced := errors.Is(err, errSettled), (*aloneError)(nil), (*pacedError)(nil)
	asked := !settled && !errors.As(err, &alone) && !errors.As(err, &paced)
	if asked {
		p.note(answer, err, now)
	}
	g.save(false)
	g.mu.Lock()
	if asked {
		c.asked[p] = true
	}
	var fresh []proofs.Signature
	if !settled {
		fresh = c.take(p, answer, err, now)
	}
	if waited {
		c.pending--
	}
	c.notify()
	late := c.done && !g.closed && g.Late != nil && len(fresh) > 0
	g.mu.Unlock()
	if late {
		g.Late(c.text, fresh)
	}
}

// pursue goes on asking the witnesses of which something is missing while the
// checkpoint is the newest. It must be called with g.mu held.
func (g *Gatherer) pursue(c *collection) {
	if g.closed || c.isOver {
		return
	}
	for _, p := range g.peers {
		if !c.lacks(p) {
			continue
		}
		g.running.Go(func() {
			for pause := firstPause; ; pause = min(2*pause, maxPause) {
				t := time.NewTimer(max(pause, p.wait(g.now()), g.allowed(c, p)))
				select {
				case <-t.C:
				case <-c.over:
				case <-g.base.Done():
				}
				t.Stop()
				g.mu.Lock()
				needed := !g.closed && !c.isOver && c.lacks(p)
				q := c.question
				g.mu.Unlock()
				if !needed {
					return
				}
				g.askPeer(c, p, q, false)
			}
		})
	}
}

// allowed is how long it takes until the witness may be asked for a checkpoint.
func (g *Gatherer) allowed(c *collection, p *peer) time.Duration {
	g.mu.Lock()
	kind := c.kind(p)
	g.mu.Unlock()
	return g.Budget.Wait(p.name(), kind, g.now())
}

// Allows returns nil if the budget has a request now for each witness of a quorum: one to
// refresh cosignatures, or one for a new checkpoint. The error is a *GatherError whose
// Paced is how long that takes.
func (g *Gatherer) Allows(refresh bool) error {
	kind := budget.Growth
	if refresh {
		kind = budget.Refresh
	}
	errs := make(map[proofs.Key]error)
	for _, p := range g.peers {
		if wait := g.Budget.Wait(p.name(), kind, g.now()); wait > 0 {
			for _, key := range p.keys {
				errs[key] = &pacedError{&budget.PacedError{Wait: wait, Rate: g.Budget.Rate()}, nil}
			}
		}
	}
	answers := func(key proofs.Key) bool { return errs[key] == nil }
	quorum := g.satisfied(answers)
	if quorum == nil {
		return nil
	}
	return g.unmet(quorum, answers, errs, nil)
}

// satisfied is nil if the keys of which there is an answer make a quorum.
func (g *Gatherer) satisfied(answered func(proofs.Key) bool) error {
	return g.policy.Satisfied(func(name string) bool {
		return slices.ContainsFunc(g.witnesses, func(w witness) bool { return w.name == name && answered(w.key) })
	})
}

// paced is the least wait after which the budget lets a quorum be asked, together with the
// witnesses that have answered; 0: no wait does.
func (g *Gatherer) paced(answered func(proofs.Key) bool, errs map[proofs.Key]error) time.Duration {
	waits := make(map[proofs.Key]time.Duration)
	for _, w := range g.witnesses {
		var paced *pacedError
		if !answered(w.key) && errors.As(errs[w.key], &paced) && paced.failed == nil {
			waits[w.key] = paced.Wait
		}
	}
	for _, longest := range slices.Sorted(maps.Values(waits)) {
		by := func(key proofs.Key) bool {
			wait, ok := waits[key]
			return answered(key) || ok && wait <= longest
		}
		if g.satisfied(by) == nil {
			return longest
		}
	}
	return 0
}

// firstPause is how long a witness that failed is left alone when the quorum was
// met without it.
const firstPause = time.Second

func (g *Gatherer) timeout() time.Duration {
	if g.Timeout <= 0 {
		return DefaultTimeout
	}
	return g.Timeout
}

func (g *Gatherer) now() time.Time {
	if g.Now == nil {
		return time.Now()
	}
	return g.Now()
}

// Newest returns the newest checkpoints of a log that the witnesses show. They are not
// verified. Witnesses are left out that do not answer, do not know a checkpoint, or
// have no monitoring prefix at their URL.
func (g *Gatherer) Newest(ctx context.Context, origin string) [][]byte {
	notes := make([][]byte, len(g.peers))
	var asking sync.WaitGroup
	for i, p := range g.peers {
		asking.Go(func() { notes[i] = p.newest(ctx, g.timeout(), origin) })
	}
	asking.Wait()
	return slices.DeleteFunc(notes, func(note []byte) bool { return note == nil })
}

// unmet says who did not answer, and why. The context is the caller's, nil if it does not
// matter.
func (g *Gatherer) unmet(quorum error, answered func(proofs.Key) bool, errs map[proofs.Key]error, ctx context.Context) error {
	e := &GatherError{paced: g.paced(answered, errs)}
	if !errors.As(quorum, &e.Quorum) {
		return quorum
	}
	for _, w := range g.witnesses {
		if answered(w.key) {
			continue
		}
		err := errs[w.key]
		e.Silent = append(e.Silent, WitnessError{Name: w.name, Err: err})
		if errors.Is(err, errNoAnswerYet) {
			e.Cause = context.Cause(ctx)
		}
	}
	return e
}

// Close cancels the requests that are still running and waits for them. A
// closed Gatherer cannot be used again.
func (g *Gatherer) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	g.running.Wait()
	g.save(true)
}

// Health is a Gatherer's record of one key of a witness.
type Health struct {
	// Name, Key and URL of the witness in the policy, the URL without a password.
	Name string `json:"name"`
	Key  string `json:"key"`
	URL  string `json:"url"`
	// Size of the last tree that the witness is known to have cosigned.
	Size int64 `json:"size"`
	// Error of the last request, with the beginning of the witness's own
	// message; empty if the request succeeded or none was made.
	Error string `json:"error,omitempty"`
	// LastSuccess is when the witness last cosigned; zero if never.
	LastSuccess time.Time `json:"last_success,omitzero"`
	// ClockOffset is how far the time in its last cosignature was ahead of the
	// local clock, in seconds.
	ClockOffset int64 `json:"clock_offset"`
	// PerDay is how many requests in 24 hours were declared to the witness; 0: nothing
	// was. In24h is how many were sent in the last 24 hours, to ten minutes, as far as
	// this process knows. They are those of all keys.
	PerDay int64 `json:"per_day,omitempty"`
	In24h  int64 `json:"in_24h"`
}

// Health reports on every witness, in the policy's order.
func (g *Gatherer) Health() []Health {
	all := make([]Health, 0, len(g.witnesses))
	for _, w := range g.witnesses {
		all = append(all, w.peer.health(w.name, w.key, g.Budget, g.now()))
	}
	return all
}

// memoize computes each proof once, since most witnesses are at the same size.
func memoize(size int64, consistency Consistency) Consistency {
	var mu sync.Mutex
	known := make(map[int64][]proofs.Hash)
	return func(ctx context.Context, old int64) ([]proofs.Hash, error) {
		if old == 0 || old == size {
			return nil, nil // the specification wants no proof here
		}
		mu.Lock()
		defer mu.Unlock()
		if proof, ok := known[old]; ok {
			return proof, nil
		}
		proof, err := consistency(ctx, old)
		if err != nil {
			return nil, fmt.Errorf("proof from size %d: %w", old, err)
		}
		known[old] = proof
		return proof, nil
	}
}
