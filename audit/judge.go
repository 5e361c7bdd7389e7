package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// Verdict is the auditor's judgement of a leaf.
type Verdict = state.Verdict

// The verdicts on a leaf.
const (
	Right       = state.Right       // the rules give exactly this leaf
	Wrong       = state.Wrong       // they do not, or it is not a leaf
	NotJudged   = state.NotJudged   // a blob that the judgement needs is missing or wrong
	UnknownToUs = state.UnknownToUs // a newer auditor may know it
	TheEnd      = state.TheEnd      // it is not a leaf: the log has ended
)

// entry is what is said of an entry of the log.
type entry struct{ verdict Verdict }

// judgePending judges the leaves that have been hashed.
func (a *Auditor) judgePending(ctx context.Context) error {
	bundles, next := a.bundles, a.next
	a.packs.begin()
	err := a.judgeAll(ctx, func(ctx context.Context, put func(item) bool) error {
		return a.feedBundles(ctx, bundles, next, put)
	}, func(l *loaded, e entry) error {
		if err := a.judged(ctx, l, e.verdict); err != nil {
			return err
		}
		if l.last {
			a.bundles[0].data = nil
			a.bundles = a.bundles[1:]
		}
		if a.cfg.Progress != nil {
			a.cfg.Progress(a.next, a.total())
		}
		return nil
	})
	var c *changed
	if errors.As(err, &c) {
		// What was signed is known by its hash and not at hand any more.
		a.recordMismatch(claim{a.verified.Tree, a.signed}, c.index*proofs.FullWidth, c.Error(), c.served)
		return nil
	}
	return err
}

// judgeAll judges the entries that feed puts, in order, while their files are read ahead.
// done is told of each.
func (a *Auditor) judgeAll(ctx context.Context, feed func(ctx context.Context, put func(item) bool) error, done func(l *loaded, e entry) error) error {
	if err := a.lookAtDue(ctx); err != nil {
		return err
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ln := a.readAhead(ctx, &reading, feed)
	for c := range ln.queue {
		l := <-c
		if l.later {
			l = a.load(ctx, l.item, false)
		}
		if l.pack != "" {
			f := newFinding(PackMismatch, "%s: its files are read one by one instead", l.pack)
			f.Index = l.index
			a.record(f)
		}
		e, err := a.judge(ctx, l)
		if err != nil {
			return err
		}
		ln.done(l)
		if err := done(l, e); err != nil {
			return err
		}
		if e.verdict == Right {
			a.due = l
		}
		if err := a.lookAtDue(ctx); err != nil {
			return err
		}
		if err := a.sayFound(ctx); err != nil {
			return err
		}
		if err := a.late(); err != nil && !l.final {
			return err
		}
	}
	return ln.err
}

// malformed is a file that is the one the leaf names and does not parse.
type malformed struct {
	what string
	err  error
}

func (m *malformed) Error() string { return m.what + " does not parse: " + m.err.Error() }
func (m *malformed) Unwrap() error { return m.err }

func (a *Auditor) file(ctx context.Context, what string, sum tuf.Digest, encoding tuf.Encoding) (*tuf.Metadata, error) {
	content, err := a.blobs.get(ctx, sum)
	if err != nil {
		return nil, err
	}
	return parse(what, content, sum, encoding)
}

// parse reads a file with the SHA-256 sum, which it is known to have.
func parse(what string, content []byte, sum tuf.Digest, encoding tuf.Encoding) (*tuf.Metadata, error) {
	m, err := codec.ParseKnown(encoding, content, sum)
	if err != nil {
		return nil, &malformed{what, err}
	}
	return m, nil
}

// judge records what is wrong with a leaf. The error means that it could not be
// judged now.
func (a *Auditor) judge(ctx context.Context, l *loaded) (entry, error) {
	if a.ended > 0 && l.index >= a.ended {
		f := newFinding(BehindEnd, "entry %d is behind the end of the log, which is entry %d", l.index, a.ended-1)
		f.Index = l.index
		if !a.accuse(ctx, &f, evidence.BehindEnd, func(g *evidence.Log) ([]byte, error) { return g.BehindEnd(ctx, a.ended-1) }) {
			f.Evidence = []Evidence{a.leafEvidence(ctx, a.ended-1, []byte(leaf.End)), a.leafEvidence(ctx, l.index, l.raw)}
		}
		a.record(f)
		return entry{Wrong}, nil
	}
	if leaf.IsEnd(l.raw) {
		a.ended = l.index + 1
		return entry{TheEnd}, nil
	}
	if l.leafErr != nil {
		f := newFinding(BadLeaf, "entry %d is not a leaf: %v", l.index, l.leafErr)
		verdict := Wrong
		if kind, ok := leaf.UnknownKind(l.raw); ok {
			f = newFinding(UnknownLeaf, "entry %d is a leaf of a kind that this auditor does not know: %q", l.index, clip(kind, 100))
			verdict = UnknownToUs
		}
		f.Index = l.index
		if verdict == UnknownToUs || !a.accuse(ctx, &f, evidence.BadLeaf, func(g *evidence.Log) ([]byte, error) { return g.BadLeaf(ctx, l.index) }) {
			f.Evidence = []Evidence{a.leafEvidence(ctx, l.index, l.raw)}
		}
		a.record(f)
		return entry{verdict}, nil
	}
	repo, err := a.judging(ctx, l)
	if err != nil {
		return entry{}, err
	}
	if l.err != nil {
		return a.trouble(ctx, l, l.err)
	}
	if other, ok := a.unseen[l.leaf.Payload]; ok && repo == nil && l.isGenesis() && other != l.leaf.Repository {
		return a.awaits(l, other), nil
	}
	decision, err := a.decide(ctx, l, repo)
	var refused *admit.Refused
	switch {
	case errors.As(err, &refused):
		return a.wrong(ctx, l, FalseAdmission, refused.Code, fmt.Sprintf("the rules refuse it: %v", err), -1), nil
	case err != nil:
		return a.trouble(ctx, l, err)
	case decision.Logged:
		return a.wrong(ctx, l, Duplicate, "", fmt.Sprintf("it is already logged at index %d", decision.Index), decision.Index), nil
	case decision.Leaf != l.leaf:
		return a.wrong(ctx, l, FalseAdmission, "", l.leaf.Difference(decision.Leaf), -1), nil
	}
	e, err := a.accept(ctx, l, repo)
	if err == nil && e.verdict == Right && l.metadata.Root != nil {
		a.likely.learnRoot(l.leaf.Repository, l.metadata.Root)
	}
	return e, err
}

// refusedRepository is the code for a leaf without a repository.
const refusedRepository = "unknown-repository"

// isGenesis reports whether a leaf says that a repository begins with it.
func (l *loaded) isGenesis() bool {
	return l.leaf.Role == tuf.RoleRoot && l.leaf.Kind == leaf.Release && l.leaf.Payload == l.leaf.Repository
}

func (a *Auditor) decide(ctx context.Context, l *loaded, repo *repository) (admit.Decision, error) {
	if repo != nil {
		var snapshots []*tuf.Metadata
		if l.snapshot != nil {
			snapshots = append(snapshots, l.snapshot)
		}
		return repo.Judge(ctx, l.leaf.Role, l.metadata, snapshots)
	}
	if !l.isGenesis() {
		return admit.Decision{}, &admit.Refused{Code: refusedRepository, Detail: "no root of this repository is validly logged before it"}
	}
	// Registering a root that is in a chain already gives back its repository.
	if l.leaf.Payload == l.metadata.PayloadDigest {
		root, ok, err := a.firstRelease(ctx, l.leaf.Payload, true, l.index)
		if err != nil {
			return admit.Decision{}, err
		}
		if ok {
			return admit.Decision{Logged: true, Index: root.index}, nil
		}
	}
	return admit.JudgeGenesis(l.metadata)
}

// leafEvidence is a proof that the log holds the entry, or where the tiles do
// not give one, the entry.
func (a *Auditor) leafEvidence(ctx context.Context, index int64, raw []byte) Evidence {
	proof, err := a.Prove(ctx, index, raw)
	if err != nil {
		return evidenceFile(fmt.Sprintf("%d.leaf", index), raw)
	}
	return evidenceFile(fmt.Sprintf("%d.tlog-proof", index), proof)
}
