package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// Config says what an Auditor reads and by which policy.
type Config struct {
	Source Source         // required
	Policy *proofs.Policy // required

	// StateDir keeps the last verified checkpoint, the notes and the evidence.
	// It is made if need be. Empty: nothing is kept.
	StateDir string
	// Interval is the pause between two steps of Run; 0 means 5 seconds.
	Interval time.Duration
	// Observe, if not nil, is shown every leaf that was judged to be right, in
	// log order. Its error ends the step.
	Observe func(*Observation) error
	// Progress, if not nil, is called after each leaf with how many have been
	// judged and how many there are.
	Progress func(done, total int64)
}

// Auditor replays one log. It is not safe for concurrent use.
type Auditor struct {
	cfg   Config
	store store
	ctx   context.Context // of the running step: verify.Blobs has no room for one

	tree     *growing
	verified *proofs.SignedCheckpoint // whose root the tree has; nil at first
	signed   []byte                   // its note
	claims   map[int64][]claim        // what the log signed beyond the tree, by size
	highest  claim                    // the largest that satisfied the policy, in this run or before
	notes    map[verify.Digest]bool   // signed notes seen

	tiles   []wantedTile // to be compared with those served
	bundles []bundle     // hashed, not yet all judged
	next    int64        // the first leaf not yet judged
	blobs   *blobCache
	repos   map[verify.Digest]*repository
	order   []*repository
	entries []entry
	chains  map[verify.Digest]place // root payloads, where they are released first
	listing map[verify.Digest]place // payloads of targets metadata that lists something, likewise
	ended   int64                   // the size at which the log has ended; 0: it has not
	blind   map[verify.Digest]bool  // repositories with a leaf that could not be judged

	findings   []Finding
	passing    []Finding // outages, as long as they last
	found      map[verify.Digest]bool
	count      map[Kind]int
	suppressed map[Kind]int64
}

// A claim is a tree that the log signed.
type claim struct {
	tree proofs.Tree
	note []byte
}

// New returns an Auditor that will replay from entry 0.
func New(cfg Config) (*Auditor, error) {
	if cfg.Source == nil || cfg.Policy == nil {
		return nil, errors.New("an auditor needs a source and a policy")
	}
	if cfg.Interval == 0 {
		cfg.Interval = 5 * time.Second
	}
	s, err := openStore(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	a := &Auditor{
		cfg:        cfg,
		store:      s,
		ctx:        context.Background(),
		tree:       newGrowing(),
		claims:     map[int64][]claim{},
		notes:      map[verify.Digest]bool{},
		blobs:      newBlobCache(cfg.Source),
		repos:      map[verify.Digest]*repository{},
		chains:     map[verify.Digest]place{},
		listing:    map[verify.Digest]place{},
		blind:      map[verify.Digest]bool{},
		found:      map[verify.Digest]bool{},
		count:      map[Kind]int{},
		suppressed: map[Kind]int64{},
	}
	return a, a.remember()
}

// remember loads what earlier runs saw.
func (a *Auditor) remember() error {
	state, err := a.store.load()
	if err != nil {
		return err
	}
	if state != nil {
		c, err := a.cfg.Policy.OpenCheckpoint(state.Checkpoint)
		if err != nil && c == nil {
			return fmt.Errorf("auditor state in %s is not of a log of this policy: %w", a.store.dir, err)
		}
		a.highest = claim{c.Tree, state.Checkpoint}
		a.claim(a.highest)
	}
	notes, err := a.store.notes()
	if err != nil {
		return err
	}
	for _, signed := range notes {
		c, err := a.cfg.Policy.OpenCheckpoint(signed)
		if c == nil {
			return fmt.Errorf("a note kept in %s: %w", a.store.dir, err)
		}
		a.notes[verify.Sum(signed)] = true
		a.claim(claim{c.Tree, signed})
	}
	return nil
}

// claim notes a tree that the log signed and that has yet to be compared.
func (a *Auditor) claim(c claim) {
	if c.tree.N <= a.tree.size {
		return
	}
	for _, other := range a.claims[c.tree.N] {
		if other.tree == c.tree {
			return
		}
	}
	a.claims[c.tree.N] = append(a.claims[c.tree.N], c)
}

// StepResult says what a step did.
type StepResult struct {
	Checkpoint *proofs.SignedCheckpoint // the last verified one; nil if there is none yet
	From, To   int64                    // leaves judged: those from From up to but not including To
	Findings   []Finding                // new ones, and outages as long as they last
}

// Step reads the newest checkpoint and replays up to it. What is wrong with the
// log is a finding; the error means that something could not be checked now, by
// an outage or the auditor's own disk, and the next step takes up from there.
func (a *Auditor) Step(ctx context.Context) (StepResult, error) {
	a.ctx = ctx
	a.passing = nil
	before, from := len(a.findings), a.next
	err := a.step(ctx)
	if err != nil && ctx.Err() == nil {
		var o *outage
		if errors.As(err, &o) {
			a.passing = append(a.passing, newFinding(Unreachable, "%s", o.Error()))
		}
	}
	return StepResult{
		Checkpoint: a.verified,
		From:       from,
		To:         a.next,
		Findings:   append(append([]Finding{}, a.findings[before:]...), a.passing...),
	}, err
}

func (a *Auditor) step(ctx context.Context) error {
	if err := a.follow(ctx); err != nil {
		return err
	}
	if err := a.checkTiles(ctx); err != nil {
		return err
	}
	return a.judgePending(ctx)
}

// Run steps until the context ends, and then returns its error. report is called
// after every step; an error of its own ends the run.
func (a *Auditor) Run(ctx context.Context, report func(StepResult, error) error) error {
	for {
		result, err := a.Step(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := report(result, err); err != nil {
			return err
		}
		timer := time.NewTimer(a.cfg.Interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// outage is trouble with reading the log.
type outage struct {
	what string
	err  error
}

func (o *outage) Error() string { return fmt.Sprintf("%s cannot be read: %v", o.what, o.err) }
func (o *outage) Unwrap() error { return o.err }
