package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// This file is about what an auditor is told by those who watch what the log does not serve:
// a vendor's live repository and his expectations, and the checkpoints that witnesses show.
// None of it is safe for use beside a Step. What is found is in the next StepResult, too.

// Keep keeps a finding that somebody else made, with the content of its evidence
// (WithContent), for as long as the state lasts. It does nothing if it is there already.
func (a *Auditor) Keep(ctx context.Context, f Finding) error {
	if f.Kind.Class() == "" || f.Class != f.Kind.Class() {
		return fmt.Errorf("a finding of kind %q and class %q: want a known kind, and its class", f.Kind, f.Class)
	}
	f.Evidence = slices.Clone(f.Evidence)
	if err := a.settleOne(ctx, f, state.Outside); err != nil {
		return err
	}
	return a.db.Commit(ctx)
}

// Watched says which findings there are now of what is watched under a name, such as a live
// repository's URL: those that were there before and are not in the list are gone. An empty
// list means that all is well, or that it is not watched any more.
func (a *Auditor) Watched(ctx context.Context, what string, now []Finding) error {
	return a.WatchedPart(ctx, what, now, func(*Finding) bool { return false })
}

// WatchedPart is Watched where not all could be looked at: of the findings that were there
// before and are not in the list, those stay for which stays returns true.
func (a *Auditor) WatchedPart(ctx context.Context, what string, now []Finding, stays func(*Finding) bool) error {
	name := watchedName + what
	var before []tuf.Digest
	if err := a.get(ctx, name, &before); err != nil {
		return err
	}
	is := make([]tuf.Digest, 0, len(now))
	for _, f := range now {
		if f.Kind.Class() == "" || f.Class != f.Kind.Class() {
			return fmt.Errorf("a finding of kind %q and class %q: want a known kind, and its class", f.Kind, f.Class)
		}
		if sum := f.digest(); !slices.Contains(is, sum) {
			is = append(is, sum)
		}
		f.Evidence = slices.Clone(f.Evidence)
		if err := a.settleOne(ctx, f, state.Outside); err != nil {
			return err
		}
	}
	for _, sum := range before {
		if !slices.Contains(is, sum) {
			kept, ok, err := a.db.Finding(ctx, sum)
			if err != nil {
				return err
			}
			if ok && kept.Gone == 0 {
				f, err := FindingOf(kept, 0)
				if err != nil {
					return err
				}
				if stays(&f) {
					is = append(is, sum)
					continue
				}
			}
			if err := a.db.FindingGone(ctx, sum, a.cfg.Now()); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(is, func(x, y tuf.Digest) int { return bytes.Compare(x[:], y[:]) })
	if len(before)+len(is) > 0 {
		if err := a.set(ctx, name, is); err != nil {
			return err
		}
	}
	return a.db.Commit(ctx)
}

// watchedName is what the names of values in the state begin with that list the findings of
// what is watched.
const watchedName = "watched "

// WatchedNames returns the names of what was watched and has findings, or had some.
func (a *Auditor) WatchedNames(ctx context.Context) ([]string, error) {
	names, err := a.db.Names(ctx, watchedName)
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], watchedName)
	}
	return names, err
}

// WithContent returns a finding with one more file of evidence, which Keep and Watched write
// to the state.
func (f Finding) WithContent(name string, content []byte) Finding {
	f.Evidence = append(slices.Clip(f.Evidence), evidenceFile(name, content))
	return f
}

// About returns a finding that is told apart from others of its kind, place and role by a
// text instead of by its sentence, which may then change.
func (f Finding) About(text string) Finding {
	f.about = text
	return f
}

// NewFinding words a finding about a leaf of a repository, or about none (index -1, a zero
// repository, no role).
func NewFinding(kind Kind, index int64, repository tuf.Digest, role string, version int64, sentence string) Finding {
	f := newFinding(kind, "%s", sentence)
	f.Index, f.Repository, f.Role, f.Version = index, repository, role, version
	return f
}

// ErrNotOffered is wrapped if what was offered is not a checkpoint that the audited log
// signed.
var ErrNotOffered = errors.New("not a checkpoint of this log")

// maxOffered is how many trees ahead of the auditor's own wait to be compared, of those that
// were offered: the smallest, which are compared first.
const maxOffered = 256

// Offer compares a signed checkpoint that somebody shows, such as a witness, with the log's
// history. One within the tree that was read is compared at once, and one ahead of it when
// the tree has grown to its size, in this process or a later one. What contradicts the log's
// history is the finding fork, with evidence: once, since a log that signed two histories
// can sign any number, and again when somebody has acknowledged it: a fork that was settled
// says nothing of the next one. Only what a log key of the policy has signed
// counts: the error wraps ErrNotOffered for all else. That too few witnesses cosigned it
// does not matter, since the log's signature alone binds the log.
func (a *Auditor) Offer(ctx context.Context, signed []byte) error {
	if len(signed) > proofs.MaxNoteSize {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrNotOffered, len(signed), proofs.MaxNoteSize)
	}
	c, err := a.openOffered(signed)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotOffered, err)
	}
	if a.origin != "" && c.Origin != a.origin {
		return fmt.Errorf("%w: it is of log %s, and this auditor is of %s", ErrNotOffered, tuf.Word(c.Origin), tuf.Word(a.origin))
	}
	stripped, _ := a.strip(c.Note)
	seen := claim{c.Tree, stripped.Marshal()}
	own, has := a.own()
	proved, err := a.forkProved(ctx)
	switch {
	case err != nil:
		return err
	case proved, has && own.tree == c.Tree:
		return nil // that it signs two histories is proved, or this is none
	case a.contradicts(ctx, seen):
		err = a.keepOffered(ctx, c.Note)
	case has && c.Tree.N < own.tree.N && c.Tree.N <= a.tree.Size():
		var forked bool
		if forked, err = a.forksFrom(ctx, seen, own); forked {
			err = a.keepOffered(ctx, c.Note)
		} else if err != nil && len(a.smaller) < maxSmaller {
			a.smaller, err = append(a.smaller, seen), a.keepOffered(ctx, c.Note)
		} else {
			err = nil // it is of one history, or there is no room to ask again for it
		}
	case a.roomFor(c.Tree.N):
		if a.origin == "" {
			a.origin = c.Origin
		}
		a.claim(seen)
		err = a.keepOffered(ctx, c.Note)
	}
	return firstError(a.commit(ctx), err)
}

// forkProved reports whether a fork is there that nobody has acknowledged, or as many as are
// kept.
func (a *Auditor) forkProved(ctx context.Context) (bool, error) {
	n, open := 0, false
	err := a.db.OfKind(ctx, string(Fork), func(f state.Finding) error {
		n++
		open = open || f.Acked == 0
		return nil
	})
	return open || n >= a.maxPerKind, err
}

// openOffered opens a checkpoint by the log keys of the policy. A signature of a witness that
// fails is no reason not to compare what the log has signed, and is left out.
func (a *Auditor) openOffered(signed []byte) (*proofs.SignedCheckpoint, error) {
	c, err := a.cfg.Policy.OpenCheckpoint(signed)
	if c != nil {
		return c, nil
	}
	var keys []proofs.Key
	for _, l := range a.cfg.Policy.Logs {
		keys = append(keys, l.Key)
	}
	checkpoint, note, openErr := proofs.OpenCheckpoint(signed, keys...)
	if openErr != nil {
		return nil, err
	}
	bare := proofs.Note{Text: note.Text}
	for _, s := range note.Signatures {
		for _, k := range keys {
			if s.Name == k.Name() && s.KeyID == k.ID() {
				bare.Signatures = append(bare.Signatures, s)
			}
		}
	}
	return &proofs.SignedCheckpoint{Checkpoint: checkpoint, Note: bare}, nil
}

// keepOffered keeps the note of an offered checkpoint, which the next process compares if
// this one does not come to it.
func (a *Auditor) keepOffered(ctx context.Context, note proofs.Note) error {
	_, err := a.keepNote(ctx, note)
	return err
}

// roomFor reports whether one more tree of a size may wait to be compared. The largest gives
// way: what is smaller is compared before it, and if the log signed two histories the
// smallest of them shows it.
func (a *Auditor) roomFor(size int64) bool {
	n, largest := 0, int64(0)
	for at, list := range a.claims {
		n, largest = n+len(list), max(largest, at)
	}
	if n < maxOffered {
		return true
	}
	return size < largest && n < 2*maxOffered
}

// WaitsFor returns the sizes of the trees ahead of the auditor's own that the log signed and
// that have yet to be compared, in order.
func (a *Auditor) WaitsFor() []int64 { return slices.Sorted(maps.Keys(a.claims)) }

// Note returns the newest checkpoint that was verified, with the signatures of the policy's
// keys alone; nil: none was.
func (a *Auditor) Note() []byte { return a.signed }

// Ended reports whether the log has ended: an entry says so.
func (a *Auditor) Ended() bool { return a.ended > 0 }

// Origin returns the name of the log; empty: no checkpoint of it has been seen.
func (a *Auditor) Origin() string { return a.origin }

// Policy returns the policy by which the log is audited.
func (a *Auditor) Policy() *proofs.Policy { return a.cfg.Policy }

// Source returns where the log is read from.
func (a *Auditor) Source() Source { return a.cfg.Source }
