package witness

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/proofs"
)

// The rollback latch. Whoever restores a witness's state from a backup, or runs
// a copy of it on a second machine, has a witness that does not remember all it
// has cosigned: it would cosign again, and perhaps a fork. The traces are
// elsewhere: in the ledger (package witness/ledger), in the checkpoint that the
// log publishes, with other witnesses. A cosignature of ours found there that
// the state does not account for stops cosigning for that log.

// Latch tells why cosigning for a log was stopped.
type Latch struct {
	// Since is when, in POSIX seconds.
	Since int64
	// Source is the place of the cosignature: a URL, or the ledger.
	Source string
	// Why is one sentence.
	Why string
	// Seen is the cosignature; zero if the latch has another reason.
	Seen Mark
	// Note is the checkpoint with the signatures of the log's known keys; nil
	// if it carried none.
	Note []byte
}

// Unknown returns why the log's state does not account for a cosignature of
// this witness, or "" if it does. A smaller tree cosigned earlier is accounted
// for: the state keeps only the latest.
func (l Log) Unknown(m Mark) string {
	for _, c := range l.Cleared {
		if c.Tree == m.Tree && m.Time <= c.Time {
			return ""
		}
	}
	switch {
	case l.Latest == nil:
		return fmt.Sprintf("size %d was cosigned, but the state knows of no checkpoint", m.Tree.N)
	case m.Tree.N > l.Latest.Tree.N:
		return fmt.Sprintf("size %d was cosigned, but the state ends at size %d", m.Tree.N, l.Latest.Tree.N)
	case m.Tree.N == l.Latest.Tree.N && m.Tree.Hash != l.Latest.Tree.Hash:
		return fmt.Sprintf("root %v was cosigned at size %d, but the state has root %v there", m.Tree.Hash, m.Tree.N, l.Latest.Tree.Hash)
	case m.Time > l.Latest.Time:
		return fmt.Sprintf("size %d was cosigned at time %d, but the state ends at time %d with size %d", m.Tree.N, m.Time, l.Latest.Time, l.Latest.Tree.N)
	}
	return ""
}

// Observe examines a signed checkpoint of a log that was found at source. A
// cosignature of this witness that its state does not account for latches the
// log; a root that contradicts the latest checkpoint becomes evidence. It
// returns the checkpoint if the log signed it.
func (w *Witness) Observe(ctx context.Context, id OriginHash, source string, signed []byte) (*proofs.Checkpoint, error) {
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return nil, err
	}
	cp, err := parseCheckpoint(note.Text)
	if err != nil {
		return nil, err
	}
	if HashOrigin(cp.Origin) != id {
		return nil, fmt.Errorf("a checkpoint of another origin, %.200q", cp.Origin)
	}
	// Read after the checkpoint was fetched: the state knows all that was
	// cosigned before.
	log, err := w.store.Log(ctx, id)
	if err != nil {
		return nil, err
	}
	ours, oursErr := w.cosignedAt(note)
	signatures, err := signedBy(note, cp, log.Keys)
	if err == nil {
		note.Signatures = signatures
		if err := w.compare(ctx, id, log, cp, note.Marshal(), source); err != nil {
			return nil, err
		}
	}
	if ours >= 0 {
		seen := Mark{Tree: cp.Tree, Time: ours}
		if why := log.Unknown(seen); why != "" {
			l := Latch{Since: w.now().Unix(), Source: source, Why: why, Seen: seen}
			if err == nil {
				l.Note = note.Marshal()
			}
			if err := w.latch(ctx, id, log.Origin, l); err != nil {
				return nil, err
			}
		}
	}
	if err = errors.Join(err, oursErr); err != nil {
		return nil, err
	}
	return &cp, nil
}

// cosignedAt returns the latest time of a signature by one of the witness's own
// keys on a note, -1 if there is none. A false one by one key does not hide a
// true one by another.
func (w *Witness) cosignedAt(note proofs.Note) (unix int64, err error) {
	unix = -1
	for _, s := range w.signers {
		for _, sig := range note.Signatures {
			if sig.Name != s.Key().Name() || sig.KeyID != s.Key().ID() {
				continue
			}
			t, verifyErr := s.Key().Verify(note.Text, sig.Sig)
			if verifyErr != nil {
				err = verifyErr
				continue
			}
			unix = max(unix, t)
		}
	}
	return unix, err
}

// latch stops cosigning for a log, unless it is stopped for the same reason.
func (w *Witness) latch(ctx context.Context, id OriginHash, origin string, l Latch) error {
	if err := w.store.Latch(context.WithoutCancel(ctx), id, l); err != nil {
		return fmt.Errorf("stop cosigning for %s: %w", origin, err)
	}
	w.metrics.latched.Inc()
	w.log.Error("cosigning is stopped: the state has lost a cosigned checkpoint", "origin", origin, "why", l.Why, "source", l.Source,
		"advice", "witness latch list")
	return nil
}

// Adopt returns the checkpoint that a log's state becomes when its latches are
// cleared: the largest one seen that has a note and continues the state's, at
// the latest time seen; nil if the state stays.
func Adopt(latest *Latest, latches []Latch) *Latest {
	var next Latest
	if latest != nil {
		next = *latest
	}
	for _, l := range latches {
		if l.Note != nil && (next.Note == nil || l.Seen.Tree.N > next.Tree.N) {
			next.Tree, next.Note = l.Seen.Tree, slices.Clone(l.Note)
		}
		next.Time = max(next.Time, l.Seen.Time)
	}
	if next.Note == nil || latest != nil && next.Tree == latest.Tree && next.Time == latest.Time {
		return nil
	}
	return &next
}
