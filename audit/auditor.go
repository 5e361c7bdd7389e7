package audit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// DefaultStale is a Config's Stale.
const DefaultStale = time.Hour

// Config configures an Auditor.
type Config struct {
	Source Source         // required
	Policy *proofs.Policy // required

	// StateDir keeps what was judged and found, the notes and the evidence: the next
	// Auditor goes on from there. It is created if necessary. Empty means that nothing is
	// kept.
	StateDir string
	// ReportOnly means that nothing but reports and findings is wanted: State does not
	// know which target files and keys releases list, but for roots, and takes long to find
	// the leaves of a file. There must be no StateDir then, whose next reader might ask.
	ReportOnly bool
	// Copy means that the Source is not the log but a copy that somebody keeps, such as a
	// folder: that it ends before what was verified is not a rollback, since the log did not
	// say it.
	Copy bool
	// Confirm means that an answer of the log that is wrong, and that the log has not signed,
	// is a finding only when a step that began an Interval later sees it, too. Until then it
	// is a wrong-answer. It is for auditors that look again and again.
	Confirm bool
	// Now is the auditor's clock, with which times of cosignatures are compared; nil
	// means time.Now.
	Now func() time.Time
	// Stale is how long, with Confirm, the log may show an older checkpoint than one that was
	// verified, at each look, before that is the finding rollback; 0 means DefaultStale.
	Stale time.Duration
	// Interval is the pause between two steps of Run; 0 means 5 seconds.
	Interval time.Duration
	// Wake, if not nil, ends the pause of Run: there is something to look at.
	Wake <-chan struct{}
	// Found, if not nil, is called in the middle of a step when something was found and the
	// state has it, in the goroutine of the step: what is judged next may take long. It may read
	// State, and calls nothing else of the Auditor.
	Found func(ctx context.Context)
	// Progress, if not nil, is called after each leaf, and each bundle that is read, with how
	// many leaves have been judged and how many there are.
	Progress func(done, total int64)
}

// Auditor replays one log. It is not safe for concurrent use.
type Auditor struct {
	cfg   Config
	store store
	db    *state.DB

	tree     *proofs.Frontier
	growth   *growth                  // what is read of a larger tree; nil: nothing
	target   int64                    // the size that the tree grows to
	more     bool                     // of the checkpoint that was verified in this step, entries follow the tree's
	verified *proofs.SignedCheckpoint // whose root the tree has, or whose tree begins with it; nil at first
	signed   []byte                   // its note
	claims   map[int64][]claim        // what the log signed beyond the tree, by size
	origin   string                   // of the one log that is audited; empty until it is known
	highest  claim                    // the largest that satisfied the policy, in this run or before
	smaller  []claim                  // smaller trees that the log signed, to be compared when tiles tell
	keys     []proofs.Key             // of the policy
	empty    bool                     // the log says that it has not published a checkpoint yet

	until   time.Time    // after which a step goes no further; zero: it goes to the end
	tiles   []wantedTile // to be compared with those served
	bundles []bundle     // hashed, not yet all judged
	next    int64        // the first leaf not yet judged
	looks   []look       // trees with leaves that are not yet judged
	looked  int64        // when the last tree was verified, in POSIX seconds; 0: never
	blobs   *blobCache

	lookedKept int64 // looked, as the state has it

	packs     *packReader
	snapshots sharedFiles
	likely    likelyKeys

	repos  map[tuf.Digest]*repository // those in memory: see repository
	held   int                        // the bytes that they take, about
	uses   int64                      // of repositories
	recent recent
	before recentFile // the last one that was read again: it is asked for twice
	due    *loaded    // a leaf that was applied, while it is not known what stands since
	ended  int64      // the size at which the log has ended; 0: it has not

	blind     map[tuf.Digest]*blindness   // repositories with a leaf that cannot be judged
	unseen    map[tuf.Digest]tuf.Digest   // payloads of roots among these leaves, and whose they are
	waiting   map[tuf.Digest][]tuf.Digest // repositories that are judged again with another
	askedTo   int64                       // the leaf whose missing file is to be asked for next
	rejudging *rejudgement                // nil: none
	lost      []wantedTile                // tiles that the log did not serve
	again     map[tuf.Digest]bool         // repositories that the state says are to be judged again

	began        int64 // leaves that the state had when the process began
	committed    int64 // leaves that the state has for good
	committedAt  time.Time
	commitTook   time.Duration // the last one
	foundSaid    int           // of fresh, how many Found was called for
	partBundles  int           // see grow.go
	maxUnproved  int64         // likewise
	maxInMemory  int           // see held.go
	lastReleases int

	oldNotes   *Finding                            // nil: all notes can be compared
	described  tuf.Digest                          // the repository at which Describe goes on; zero: at the first
	pending    []Finding                           // recorded, not yet kept
	fresh      []Finding                           // findings of this step
	passing    []Finding                           // outages, as long as they last
	there      map[state.Scope]map[tuf.Digest]bool // findings that are there, of scopes that have been asked for
	told       map[tuf.Digest]bool                 // findings that were lost with the state and found again are not new
	unkept     []Finding                           // that were lost with the state
	maxPerKind int

	standingAllowed, standingPerByte int64
	largeKept, largeAllowed          int64 // bytes of large files of evidence that are kept, and may be
	spanned                          int   // spans of the log that were read for accusations
	unsaved                          []unsaved
	unsavedSize                      int
	stateErr                         error           // what is wrong with the auditor's own disk, in this step
	far                              map[string]bool // witnesses whose clock was far from the auditor's

	doubted   map[doubtKey]*doubt // what was served wrong
	right     map[Kind]bool       // no finding of such a kind about checkpoints is in the state
	stepBegan time.Time           // the running step, or the last
	answered  bool                // in this step a checkpoint of the log was read

	away    bool // in this step the log did not serve a tile for a proof
	offline offline
}

// A claim is a tree that the log signed.
type claim struct {
	tree proofs.Tree
	note []byte
}

// New returns an Auditor that goes on from where its state is, from entry 0 if it has none.
// It locks its state directory until it is closed: if another process has the lock, the
// error wraps lockfile.ErrHeld and names the process. It wraps state.ErrDamaged if the
// state is not what was written.
func New(ctx context.Context, cfg Config) (*Auditor, error) {
	if cfg.Source == nil || cfg.Policy == nil {
		return nil, errors.New("an auditor needs a source and a policy")
	}
	if cfg.Stale == 0 {
		cfg.Stale = DefaultStale
	}
	if cfg.Interval == 0 {
		cfg.Interval = 5 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.ReportOnly && cfg.StateDir != "" {
		return nil, errors.New("an auditor with a state directory keeps what releases list")
	}
	db, err := state.Open(ctx, cfg.StateDir)
	if errors.Is(err, state.ErrDamaged) {
		err = fmt.Errorf("%w (%s)", err, state.Advice)
	}
	if err != nil {
		return nil, err
	}
	if cfg.ReportOnly {
		err = db.ForgetNames(ctx)
	}
	s, storeErr := openStore(cfg.StateDir)
	if err := errors.Join(err, storeErr); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	a := &Auditor{
		cfg:          cfg,
		store:        s,
		db:           db,
		keys:         knownKeys(cfg.Policy),
		blobs:        newBlobCache(cfg.Source),
		packs:        newPackReader(cfg.Source),
		there:        map[state.Scope]map[tuf.Digest]bool{},
		told:         map[tuf.Digest]bool{},
		doubted:      map[doubtKey]*doubt{},
		maxPerKind:   maxPerKind,
		partBundles:  partBundles,
		maxUnproved:  maxUnproved,
		maxInMemory:  maxInMemory,
		lastReleases: lastReleases,

		standingAllowed: standingAllowed,
		standingPerByte: standingPerByte,
		largeKept:       s.largeEvidence(),
		largeAllowed:    largeAllowed,
	}
	if err := a.remember(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	a.began = a.next
	return a, nil
}

// Close unlocks the state directory.
func (a *Auditor) Close() error { return errors.Join(a.db.Close(), a.blobs.spill.close()) }

// StepResult is the result of a step.
type StepResult struct {
	Checkpoint *proofs.SignedCheckpoint // the last verified one; nil if none was verified yet
	From, To   int64                    // leaves judged: those from From up to but not including To
	Findings   []Finding                // new ones, and outages as long as they last
	// Waiting is how many leaves of that checkpoint wait for the next step: Run limits a
	// step to about a minute, which a large or slow log can exceed.
	Waiting int64
}

// Step reads the newest checkpoint and replays up to it. A fault of the log is a
// finding. The error means that a check was not possible because of an outage, and
// the next step continues from there, or that the auditor's own disk fails: a
// *StateError.
func (a *Auditor) Step(ctx context.Context) (StepResult, error) {
	a.passing, a.stateErr, a.away = nil, nil, false
	a.stepBegan, a.answered = time.Now(), false
	a.foundSaid = 0
	defer func() { a.fresh = nil }()
	from := a.next
	a.saveUnsaved()
	err := a.step(ctx)
	waiting := int64(0)
	if errors.Is(err, errLate) {
		waiting, err = a.total()-a.next, nil
	}
	if !errors.As(err, new(*state.Error)) {
		// What has been judged is kept, whatever came then.
		err = firstError(a.commit(context.WithoutCancel(ctx)), err)
	}
	if err != nil && ctx.Err() == nil {
		var o *outage
		if errors.As(err, &o) {
			a.passing = append(a.passing, newFinding(Unreachable, "%s", o.Error()))
		}
	}
	a.passing = append(a.passing, a.wrongAnswers()...)
	a.passing = append(a.passing, a.lostTiles()...)
	blind, _ := a.unjudgedFindings()
	a.passing = append(a.passing, blind...)
	if !errors.As(err, new(*state.Error)) {
		err = firstError(a.keepPassing(context.WithoutCancel(ctx)), err)
	}
	if errors.As(err, new(*state.Error)) {
		a.stateFailed(err)
		err = a.startAgain(context.WithoutCancel(ctx))
	}
	if err == nil {
		err = a.stateErr
	}
	return StepResult{
		Checkpoint: a.verified,
		From:       from,
		To:         max(from, a.next),
		Findings:   append(append([]Finding{}, a.fresh...), a.passing...),
		Waiting:    waiting,
	}, err
}

// firstError returns the first error that is the state's, or else the last.
func firstError(ours, other error) error {
	if ours != nil {
		return ours
	}
	return other
}

// keepPassing keeps which findings last.
func (a *Auditor) keepPassing(ctx context.Context) error {
	if err := a.reconcile(ctx, state.Passing, a.passing); err != nil {
		return err
	}
	return a.db.Commit(ctx)
}

// startAgain goes back to what the state has, after it failed. What was found since is
// told once.
func (a *Auditor) startAgain(ctx context.Context) error {
	for _, f := range a.pending {
		f.Evidence = slices.Clone(f.Evidence)
		for i := range f.Evidence {
			f.Evidence[i].content = nil
		}
		if sum := f.digest(); !a.told[sum] {
			a.fresh = append(a.fresh, f)
		}
	}
	for _, f := range a.fresh {
		a.told[f.digest()] = true
	}
	a.unkept = append(a.unkept, a.fresh...)
	a.there, a.offline = map[state.Scope]map[tuf.Digest]bool{}, offline{}
	if err := a.db.Rollback(ctx); err != nil {
		return err
	}
	return a.remember(ctx)
}

func (a *Auditor) step(ctx context.Context) error {
	if err := a.follow(ctx); err != nil {
		return err
	}
	if err := a.compareSmaller(ctx); err != nil {
		return err
	}
	if err := a.checkTiles(ctx); err != nil {
		return err
	}
	if err := a.askAgain(ctx); err != nil {
		return err
	}
	if err := a.rejudge(ctx); err != nil {
		return err
	}
	if err := a.judgePending(ctx); err != nil {
		return err
	}
	for a.more && len(a.bundles) == 0 {
		if err := a.late(); err != nil {
			return err
		}
		a.more = false
		if err := a.extend(ctx, a.verified, a.signed); err != nil {
			return err
		}
		if err := a.checkTiles(ctx); err != nil {
			return err
		}
		if err := a.judgePending(ctx); err != nil {
			return err
		}
	}
	if a.verified == nil || a.next < a.verified.Tree.N || len(a.claims) > 0 {
		return nil
	}
	// All that the log signed, as far as is known, has been served as it was signed.
	a.servedRight(doubtKey{kind: RootMismatch})
	return a.served(ctx, RootMismatch, tuf.Digest{}, -1, math.MaxInt64)
}

// maxStep is how long a step of Run goes on before it looks at the checkpoint again. A
// log that takes its time over each file must not keep a fork from being seen.
const maxStep = time.Minute

// errLate ends a step that has taken long. The next one goes on from there.
var errLate = errors.New("the rest is for the next step")

// late returns errLate if the step has taken long.
func (a *Auditor) late() error {
	if a.until.IsZero() || time.Now().Before(a.until) {
		return nil
	}
	return errLate
}

// sayFound commits what was found, and says so, if the commits take a small part of the time.
// Whoever logs what is odd must not make the others wait for the disk.
func (a *Auditor) sayFound(ctx context.Context) error {
	const part = 10
	if a.cfg.Found == nil || len(a.pending) == 0 && len(a.fresh) == a.foundSaid || time.Since(a.committedAt) < min(part*a.commitTook, time.Second) {
		return nil
	}
	if err := a.commit(ctx); err != nil {
		return err
	}
	if len(a.fresh) > a.foundSaid {
		a.foundSaid = len(a.fresh)
		a.cfg.Found(ctx)
	}
	return nil
}

// StateError means that the auditor's own state could not be read or written. It does not
// concern the log.
type StateError struct{ Err error }

func (e *StateError) Error() string {
	if errors.Is(e.Err, state.ErrDamaged) {
		return fmt.Sprintf("%v (%s)", e.Err, state.Advice)
	}
	return "the auditor's own state cannot be written: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *StateError) Unwrap() error { return e.Err }

// stateFailed notes the first thing that went wrong in a step.
func (a *Auditor) stateFailed(err error) {
	if a.stateErr == nil && err != nil {
		a.stateErr = &StateError{err}
	}
}

// presentEvery is how often Run looks at what is true of the present state of repositories,
// such as that a release is about to expire. Time alone can make it true.
const presentEvery = time.Hour

// Run steps until the context ends, and then returns its error. report is called
// after every step; an error of its own ends the run. From an hour after the first step on
// the findings of a step have those, too, that are only true of the present.
func (a *Auditor) Run(ctx context.Context, report func(StepResult, error) error) error {
	defer func() { a.until = time.Time{} }()
	var looked time.Time // at the present
	for {
		a.until = time.Now().Add(maxStep)
		result, err := a.Step(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if now := a.cfg.Now(); err == nil && result.Waiting == 0 && looked.IsZero() {
			looked = now
		} else if err == nil && result.Waiting == 0 && now.Sub(looked) >= presentEvery {
			looked = now
			var found []Finding
			if found, err = a.newlyPresent(ctx); err != nil && ctx.Err() != nil {
				return ctx.Err()
			}
			result.Findings = append(result.Findings, found...)
		}
		if err := report(result, err); err != nil {
			return err
		}
		if err == nil && a.late() != nil {
			continue
		}
		if a.pause(ctx) != nil {
			return ctx.Err()
		}
	}
}

// pause waits for the next step of Run. The error is the context's.
func (a *Auditor) pause(ctx context.Context) error {
	pause := time.NewTimer(a.cfg.Interval)
	defer pause.Stop()
	select {
	case <-ctx.Done():
	case <-pause.C:
	case <-a.cfg.Wake:
	}
	return ctx.Err()
}

// outage is trouble with reading the log.
type outage struct {
	what string
	err  error
}

func (o *outage) Error() string { return fmt.Sprintf("%s cannot be read: %v", o.what, o.err) }
func (o *outage) Unwrap() error { return o.err }
