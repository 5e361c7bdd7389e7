package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
)

// maxSpanned is about how many long spans of the log a process reads for accusations: of a
// log that breaks the rules at every entry, some are enough.
const maxSpanned = 32

// evidenceSource is the log, of which an accusation is made. Files come from the cache.
type evidenceSource struct{ a *Auditor }

func (s evidenceSource) Tile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return s.a.cfg.Source.Tile(ctx, level, index, width)
}

func (s evidenceSource) Entries(ctx context.Context, index int64, width int) ([]byte, error) {
	return s.a.cfg.Source.Entries(ctx, index, width)
}

func (s evidenceSource) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	return s.a.blobs.get(ctx, sum)
}

// accuse adds to a finding the one file that proves it, and reports whether it could. A
// file that does not prove it by itself is added all the same: it names what to replay.
func (a *Auditor) accuse(ctx context.Context, f *Finding, kind evidence.Kind, make func(*evidence.Log) ([]byte, error)) bool {
	if a.verified == nil || a.full(ctx, f) {
		return false // it would not be kept
	}
	g := &evidence.Log{Checkpoint: a.signed, Source: evidenceSource{a}}
	for _, l := range a.cfg.Policy.Logs {
		g.Keys = append(g.Keys, l.Key)
	}
	if a.spanned < maxSpanned {
		g.MaxEntries = fraud.MaxAccusedEntries
	}
	b, err := make(g)
	a.spanned += g.Spanned
	if err != nil && !errors.As(err, new(*evidence.Unproved)) {
		return false
	}
	f.Evidence = []Evidence{evidenceFile(string(kind)+".accusation", b)}
	return true
}

// accuseOf accuses the log of a leaf that the rules do not give. If it repeats an earlier
// one in a way that proves nothing by itself, the whole repository may prove it.
func (a *Auditor) accuseOf(ctx context.Context, f *Finding, l *loaded, earlier int64) bool {
	if earlier >= 0 && a.accuse(ctx, f, evidence.Duplicate, func(g *evidence.Log) ([]byte, error) { return g.Duplicate(ctx, earlier, l.index) }) {
		return true
	}
	return a.accuse(ctx, f, evidence.FalseAdmission, func(g *evidence.Log) ([]byte, error) {
		var h evidence.History
		if repo, err := a.whole(ctx, l.leaf.Repository); err != nil {
			return nil, err
		} else if repo != nil {
			h = repo
		}
		return g.FalseAdmission(ctx, l.index, h)
	})
}

// accuseKeys accuses the keys of a repository of two payloads of one version, at two
// entries. l is the leaf that is being judged, which may be one of them.
func (a *Auditor) accuseKeys(ctx context.Context, f *Finding, repo *repository, first, second int64, l *loaded) bool {
	return a.accuse(ctx, f, evidence.Equivocation, func(g *evidence.Log) ([]byte, error) {
		var rivals [2]evidence.Rival
		for i, index := range []int64{first, second} {
			var err error
			if rivals[i], err = a.rival(ctx, index, l); err != nil {
				return nil, err
			}
		}
		return g.Equivocation(ctx, repo, f.Role, rivals)
	})
}

// rival is an entry with its files. l is the leaf that is being judged.
func (a *Auditor) rival(ctx context.Context, index int64, l *loaded) (evidence.Rival, error) {
	r := evidence.Rival{Index: index}
	entry, ok, err := a.leafAt(ctx, index)
	if err != nil {
		return evidence.Rival{}, err
	}
	if index == l.index {
		entry, ok = l.leaf, true
	}
	if !ok {
		return r, fmt.Errorf("entry %d is not a leaf", index)
	}
	if r.File, err = a.blobs.get(ctx, entry.Metadata); err == nil && !entry.Snapshot.IsZero() {
		r.Snapshot, err = a.blobs.get(ctx, entry.Snapshot)
	}
	return r, err
}
