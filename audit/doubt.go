package audit

import (
	"context"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/tuf"
)

// This file is about what a log served wrong without having signed it. A cache, a network that
// wants a log-in first, or anybody on the way can do that, past caches as well. With
// Config.Confirm such an answer accuses nobody before a later look has seen it too; until
// then it is in doubt. An older checkpoint is what the log signed, and proves nothing: it is
// in doubt for Config.Stale. While something is served wrong, nobody can vouch; once it is
// served right, the finding is gone. What the log has signed twice never waits, and lasts.

// doubtKey tells apart what is in doubt. It is the same at each look, where sentences are not
// while a log grows.
type doubtKey struct {
	kind       Kind
	repository tuf.Digest
	index      int64
	tile       string // what a finding about a tile says, which is its path
}

// A doubt is what was served wrong.
type doubt struct {
	finding Finding
	seen    time.Time // first
	sure    bool      // a later look saw it, too
}

// doubtful returns what tells a finding apart if one wrong answer makes it; false: it is
// proved by what somebody signed.
func doubtful(f *Finding) (doubtKey, bool) {
	switch f.Kind {
	case BadSignature, RootMismatch:
		return doubtKey{kind: f.Kind}, true
	case Rollback:
		return doubtKey{kind: f.Kind}, !f.proved
	case TileMismatch:
		return doubtKey{kind: f.Kind, index: f.Index, tile: f.Sentence}, true
	case BlobMismatch:
		return doubtKey{kind: f.Kind, repository: f.Repository, index: f.Index}, true
	}
	return doubtKey{}, false
}

// maxDoubts is how many doubts are held with their evidence. Others do without.
const maxDoubts = 256

// doubts reports whether a finding has to be seen by a later look before it counts.
func (a *Auditor) doubts(f *Finding) bool {
	key, is := doubtful(f)
	if !a.cfg.Confirm || !is {
		return false
	}
	d := a.doubted[key]
	if d == nil {
		d = &doubt{finding: *f, seen: time.Now()}
		d.finding.Evidence = slices.Clone(f.Evidence)
		for i, e := range d.finding.Evidence {
			if len(a.doubted) >= maxDoubts || len(e.content) > largeEvidence {
				d.finding.Evidence[i].content = nil
			}
		}
		a.doubted[key] = d
		return true
	}
	wait := a.cfg.Interval
	if f.Kind == Rollback {
		wait = max(wait, a.cfg.Stale)
	}
	// A step that cannot read a checkpoint cannot tell the log from the way to it.
	if a.stepBegan.Sub(d.seen) >= wait && (a.answered || f.Kind == BadSignature) {
		d.sure = true
	}
	return !d.sure
}

// servedRight ends the doubt about something, because it was served right, or not at all.
func (a *Auditor) servedRight(key doubtKey) { delete(a.doubted, key) }

// checkpointRight ends what was found, or is in doubt, of checkpoints that were served wrong.
func (a *Auditor) checkpointRight(ctx context.Context, kind Kind) error {
	a.servedRight(doubtKey{kind: kind})
	if a.right[kind] {
		return nil
	}
	var gone []tuf.Digest
	err := a.db.OfKind(ctx, string(kind), func(kept state.Finding) error {
		f, err := FindingOf(kept, 0)
		if err == nil && unproved(&f) {
			gone = append(gone, kept.Sum)
		}
		return err
	})
	for _, sum := range gone {
		if err == nil {
			err = a.db.FindingGone(ctx, sum, a.cfg.Now())
		}
	}
	a.right[kind] = err == nil
	return err
}

// unproved reports whether a finding that was kept is about what was served wrong and has been
// signed by nobody, or by the log once.
func unproved(f *Finding) bool {
	if _, is := doubtful(f); !is {
		return false
	}
	return !slices.ContainsFunc(f.Evidence, func(e Evidence) bool { return e.Name == rollbackProof })
}

// wrongAgain notes that the log serves the file of a leaf wrong again.
func (a *Auditor) wrongAgain(repository tuf.Digest, index int64, bad *badBlob) {
	d := a.doubted[doubtKey{kind: BlobMismatch, repository: repository, index: index}]
	if d == nil || d.sure {
		return
	}
	f := d.finding
	f.Evidence = slices.Clone(f.Evidence)
	for i, e := range f.Evidence {
		if e.Name == servedBlob && e.content == nil && bad.served != nil {
			f.Evidence[i] = evidenceFile(servedBlob, bad.served)
		}
	}
	a.record(f)
}

// InDoubt reports whether an answer was wrong that the next step asks for again, before it is
// a finding.
func (a *Auditor) InDoubt() bool { return len(a.wrongAnswers()) > 0 }

// wrongAnswers words what is in doubt, one finding for each kind.
func (a *Auditor) wrongAnswers() (found []Finding) {
	first := map[Kind]*doubt{}
	for _, d := range a.doubted {
		kind := d.finding.Kind
		if !d.sure && (first[kind] == nil || d.seen.Before(first[kind].seen)) {
			first[kind] = d
		}
	}
	for _, kind := range []Kind{BadSignature, Rollback, RootMismatch, TileMismatch, BlobMismatch} {
		if d := first[kind]; d != nil {
			f := newFinding(WrongAnswer, "an answer was wrong, and is asked for again before anybody is accused: %s", d.finding.Sentence)
			found = append(found, f.About(string(kind)))
		}
	}
	return found
}
