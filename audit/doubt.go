package audit

import (
	"slices"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

// This file is about what a log served wrong without having signed it. A cache, a network that
// wants a log-in first, or anybody on the way can do that once, past caches as well. With
// Config.Confirm such an answer accuses nobody before a later look has seen it too; until
// then it is in doubt, and nobody can vouch. What the log has signed twice never waits.

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
	// A step that cannot read a checkpoint cannot tell the log from the way to it.
	if a.stepBegan.Sub(d.seen) >= a.cfg.Interval && (a.answered || f.Kind == BadSignature) {
		d.sure = true
	}
	return !d.sure
}

// servedRight ends the doubt about something, because it was served right, or not at all.
func (a *Auditor) servedRight(key doubtKey) { delete(a.doubted, key) }

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
