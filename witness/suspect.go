package witness

import (
	"context"
	"errors"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
)

// Suspect is a checkpoint that was refused although its log signed it: the log
// may have shown two histories, or a client may have sent a bad proof or an old
// checkpoint. The log's tiles show which (see Examine).
type Suspect struct {
	// Tree is the tree of Note.
	Tree proofs.Tree
	// Note is the checkpoint with the signatures of the log's known keys.
	Note []byte
	// Why it was refused.
	Why string
	// Failed reports whether the proof failed. Other suspects came with a wrong
	// old size, as late and repeated requests do, and are dropped first.
	Failed bool
	// Seen is when it first came, in POSIX seconds.
	Seen int64
}

// keepRate is how many suspects of one log are taken, of those whose proof failed
// and of the others each: old checkpoints are public, so anybody can send stale
// ones.
var keepRate = Rate{PerSecond: 0.1, Burst: 64}

// suspect keeps what a refused checkpoint may prove. It must not change the
// answer, so failures are only logged.
func (w *Witness) suspect(ctx context.Context, o *origin, s *submission, log Log, refusal error) {
	var r *Refusal
	if !errors.As(refusal, &r) {
		return
	}
	ctx = context.WithoutCancel(ctx)
	note := s.note.Marshal()
	if err := w.compare(ctx, s.id, log, s.cp, note, "a request"); err != nil {
		w.log.Error("evidence not kept", "origin", log.Origin, "error", err, "checkpoint", string(note))
	}
	var latest int64
	if log.Latest != nil {
		latest = log.Latest.Tree.N
		if log.Latest.Tree == s.cp.Tree {
			return
		}
	}
	// A larger tree with a wrong old size comes again with the right one.
	failed := r.Reason == Inconsistent
	if !failed && (s.cp.Tree.N > latest || s.cp.Tree == proofs.EmptyTree) || o.recent.has(s.cp.Tree) {
		return
	}
	// A log can sign any number of them.
	bucket := &o.stale
	if failed {
		bucket = &o.failed
	}
	if bucket.Take(keepRate, w.now()) > 0 {
		return
	}
	if failed {
		attrs := []any{"origin", log.Origin, "size", s.cp.Tree.N, "root", s.cp.Tree.Hash.String(), "why", r.Error(), "checkpoint", string(note)}
		if log.Latest != nil {
			attrs = append(attrs, "latest_size", log.Latest.Tree.N, "latest_root", log.Latest.Tree.Hash.String())
		}
		w.log.Warn("refused a checkpoint that its log signed", attrs...)
	}
	err := w.store.Keep(ctx, s.id, Suspect{Tree: s.cp.Tree, Note: note, Why: r.Error(), Failed: failed, Seen: w.now().Unix()})
	if err != nil {
		w.log.Error("refused checkpoint not kept", "origin", log.Origin, "error", err)
		return
	}
	o.recent.add(s.cp.Tree)
	w.metrics.suspects.Inc()
	w.wake()
}

// compare makes evidence of a checkpoint that its log signed and that has
// another root than the latest one at the same size.
func (w *Witness) compare(ctx context.Context, id OriginHash, log Log, cp proofs.Checkpoint, note []byte, source string) error {
	if log.Latest == nil || cp.Tree.N == 0 || cp.Tree.N != log.Latest.Tree.N || cp.Tree.Hash == log.Latest.Tree.Hash {
		return nil
	}
	c, err := fraud.NewConflict(ctx, log.Latest.Note, note, nil)
	if err != nil {
		return err
	}
	return w.accuse(log, c, source)
}

// accuse keeps a conflict as evidence.
func (w *Witness) accuse(log Log, c fraud.Conflict, source string) error {
	v, err := c.Check(log.Keys...)
	if err != nil {
		return err
	}
	attrs := []any{"origin", log.Origin, "older_size", v.Older.N, "newer_size", v.Newer.N, "source", source}
	if w.evidence == nil {
		w.log.Error("the log signed two histories", append(attrs, "evidence", string(c.Marshal()))...)
		return nil
	}
	id, isNew, err := w.evidence.Keep(log.Origin, c)
	if err != nil {
		return err
	}
	if isNew {
		w.metrics.conflicts.Inc()
		w.log.Error("the log signed two histories", append(attrs, "evidence", id)...)
	}
	return nil
}

// wake lets the examiner look at once, if it runs.
func (w *Witness) wake() {
	select {
	case w.nudge <- struct{}{}:
	default:
	}
}
