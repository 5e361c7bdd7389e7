package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
)

// knownKeys are the keys of a policy: logs, then witnesses.
func knownKeys(p *proofs.Policy) []proofs.Key {
	var keys []proofs.Key
	for _, l := range p.Logs {
		keys = append(keys, l.Key)
	}
	for _, w := range p.Witnesses {
		keys = append(keys, w.Key)
	}
	return keys
}

// strip leaves of a note that opened under the policy the text and one signature of
// each known key: whoever is on the way can add any other lines, and each would make
// another note. signed says of each key whether it is there, as a string of 0 and 1.
func (a *Auditor) strip(note proofs.Note) (stripped proofs.Note, signed string) {
	stripped.Text = note.Text
	has := make([]byte, len(a.keys))
	for i, key := range a.keys {
		has[i] = '0'
		for _, s := range note.Signatures {
			if s.Name == key.Name() && s.KeyID == key.ID() {
				stripped.Signatures = append(stripped.Signatures, s)
				has[i] = '1'
				break
			}
		}
	}
	return stripped, string(has)
}

// keepNote keeps what the known keys signed of a note, beside the signatures of other
// known keys that were seen under the same text before, and returns what of the note
// is kept.
func (a *Auditor) keepNote(ctx context.Context, note proofs.Note) ([]byte, error) {
	stripped, signed := a.strip(note)
	content := stripped.Marshal()
	kept, known, err := a.db.Note(ctx, note.Text)
	if err != nil {
		return nil, err
	}
	all, before := stripped, ""
	if known {
		_, before = a.strip(kept)
		all.Signatures = append(all.Signatures[:len(all.Signatures):len(all.Signatures)], kept.Signatures...)
		all, signed = a.strip(all)
	}
	if signed == before {
		return content, nil
	}
	// What the log has signed is kept at once: it may show something else next.
	if err := a.db.PutNote(ctx, all, true, a.cfg.Now()); err != nil {
		return nil, err
	}
	return content, a.commit(ctx)
}

// rememberNotes loads what earlier runs saw of the log and have not compared with what was
// judged.
func (a *Auditor) rememberNotes(ctx context.Context) error {
	verified, err := a.db.Verified(ctx)
	if err != nil {
		return err
	}
	for _, note := range [][]byte{verified, a.db.Newest()} {
		if note == nil {
			continue
		}
		c, err := a.cfg.Policy.OpenCheckpoint(note)
		if c == nil {
			return fmt.Errorf("auditor state in %s is not of a log of this policy: %w (after the log's key was replaced, list its old key beside the new one until the auditor has run once)", a.db.Dir(), err)
		}
		if !a.isOf(c) {
			return fmt.Errorf("auditor state in %s is of log %q, and the note beside it, in %s, of %q", a.db.Dir(), a.origin, a.db.NewestFile(), c.Origin)
		}
		stripped, _ := a.strip(c.Note)
		now := claim{c.Tree, stripped.Marshal()}
		if a.highest.note == nil || now.tree.N > a.highest.tree.N {
			a.highest = now
		}
		a.claim(now)
	}
	unknown, why := 0, error(nil)
	err = a.db.Notes(ctx, func(signed []byte) error {
		c, err := a.cfg.Policy.OpenCheckpoint(signed)
		if c == nil {
			if unknown++; unknown == 1 {
				why = err
			}
			return nil
		}
		if !a.isOf(c) {
			return fmt.Errorf("a stored note is of log %q, not of %q (use a state directory for each log)", c.Origin, a.origin)
		}
		stripped, _ := a.strip(c.Note)
		now := claim{c.Tree, stripped.Marshal()}
		if c.Tree.N <= a.tree.Size() && len(a.smaller) < maxSmaller {
			a.smaller = append(a.smaller, now)
		}
		a.claim(now)
		return nil
	})
	if err == nil && unknown > 0 {
		f := newFinding(OldNotes, "in %s, %d stored notes are not signed by a log key of the policy, as after the log's key was replaced: they are not compared with the log (the first: %v)",
			a.db.Dir(), unknown, why)
		a.oldNotes = &f
	}
	return err
}

// claim notes a tree that the log signed and that has yet to be compared.
func (a *Auditor) claim(c claim) {
	if c.tree.N <= a.tree.Size() {
		return
	}
	for _, other := range a.claims[c.tree.N] {
		if other.tree == c.tree {
			return
		}
	}
	a.claims[c.tree.N] = append(a.claims[c.tree.N], c)
}

// Consider keeps a checkpoint of the log that was seen elsewhere, signed by a log key of the
// policy. When the tree that is replayed has its size, it is compared.
func (a *Auditor) Consider(ctx context.Context, signed []byte) error {
	c, err := a.cfg.Policy.OpenCheckpoint(signed)
	if c == nil {
		return err
	}
	if !a.isOf(c) {
		return fmt.Errorf("a checkpoint of log %s, and this auditor is of %s", tuf.Word(c.Origin), tuf.Word(a.origin))
	}
	kept, err := a.keepNote(ctx, c.Note)
	if err != nil {
		return err
	}
	now := claim{c.Tree, kept}
	if c.Tree.N <= a.tree.Size() && len(a.smaller) < maxSmaller {
		a.smaller = append(a.smaller, now)
	}
	a.claim(now)
	return nil
}

// maxSmaller is how many trees wait to be compared with the one that was verified,
// while the log does not serve the tiles for it. Their notes are kept.
const maxSmaller = 64

// compareSmaller records what contradicts the tree that was verified, of the smaller
// ones that the log signed.
func (a *Auditor) compareSmaller(ctx context.Context) error {
	own, ok := a.own()
	if !ok {
		return nil
	}
	waiting := a.smaller
	a.smaller = nil
	for _, c := range waiting {
		if _, err := a.forksFrom(ctx, c, own); err != nil && len(a.smaller) < maxSmaller {
			a.smaller = append(a.smaller, c)
		}
	}
	return a.closeNotes(ctx)
}

// closeNotes notes that the notes of trees that are not larger than what was judged have
// been compared with it: all but those that wait for tiles.
func (a *Auditor) closeNotes(ctx context.Context) error {
	var waiting []string
	for _, c := range a.smaller {
		note, err := proofs.ParseNote(c.note)
		if err != nil {
			return err
		}
		waiting = append(waiting, note.Text)
	}
	return a.db.CloseNotes(ctx, a.next, waiting...)
}

// errNoLeaves means that not all leaves of a tree have been judged.
var errNoLeaves = errors.New("not all of its leaves are here")

// forksFrom reports whether a larger tree does not begin with a smaller one, and
// records that. The error means that neither the tiles of the leaves that were judged nor
// those of the log tell.
func (a *Auditor) forksFrom(ctx context.Context, older, newer claim) (bool, error) {
	var conflict fraud.Conflict
	err := errNoLeaves
	if newer.tree.N <= a.db.Size() {
		conflict, err = fraud.NewConflict(ctx, older.note, newer.note, a.Tiles())
	}
	if err != nil && !errors.Is(err, fraud.ErrNoConflict) && ctx.Err() == nil {
		conflict, err = fraud.NewConflict(ctx, older.note, newer.note, tileReader{a})
	}
	if errors.Is(err, fraud.ErrNoConflict) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	a.recordFork(older, newer, conflict.Prefix, evidenceFile("fork.conflict", conflict.Marshal()))
	return true, nil
}

// maxClock is how far a cosignature's time may be from the auditor's clock.
const maxClock = 24 * time.Hour

// lookAtClocks records whose cosignatures are far from the auditor's clock, once as
// long as they are: a device keeps the largest time of each witness, and what was
// cosigned long ago may hide what came since.
func (a *Auditor) lookAtClocks(c *proofs.SignedCheckpoint) {
	now := a.cfg.Now()
	for _, cosig := range c.Cosignatures {
		off := time.Unix(cosig.Time, 0).Sub(now)
		if cosig.Time == 0 || off <= maxClock && off >= -maxClock {
			delete(a.far, cosig.Witness)
			continue
		}
		if a.far[cosig.Witness] {
			continue
		}
		a.far[cosig.Witness] = true
		days := int64(off.Abs() / (24 * time.Hour))
		what := fmt.Sprintf("%d days behind this auditor's clock: its clock is wrong, or the checkpoint is old", days)
		if off > 0 {
			what = fmt.Sprintf("%d days ahead of this auditor's clock: one of the two clocks is wrong, and devices keep the largest time of each witness", days)
		}
		a.record(newFinding(WitnessClock, "witness %s cosigned size %d at %s, %s", tuf.Word(cosig.Witness), c.Tree.N, When(cosig.Time), what))
	}
}

// When prints POSIX seconds in RFC 3339, if its years reach that far.
func When(seconds int64) string {
	t := time.Unix(seconds, 0).UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return fmt.Sprintf("%d s after 1970", seconds)
	}
	return t.Format(time.RFC3339)
}

// published reads the newest checkpoint. It returns nil if the log says that there is
// none yet.
func (a *Auditor) published(ctx context.Context) ([]byte, error) {
	served, err := a.cfg.Source.Checkpoint(ctx)
	a.empty = errors.Is(err, ErrNothingPublished)
	switch {
	case a.empty && a.highest.tree.N > 0:
		return nil, &outage{"the checkpoint", fmt.Errorf("size %d was verified, and now %w", a.highest.tree.N, err)}
	case a.empty:
		return nil, nil
	case err != nil:
		return nil, &outage{"the checkpoint", err}
	}
	return served, nil
}
