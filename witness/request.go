package witness

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// Reason classifies a refusal.
type Reason int

// The reasons to refuse a checkpoint, in the order in which they are checked.
const (
	Malformed    Reason = iota + 1 // the request does not parse
	UnknownLog                     // no log with this origin is known
	Unsigned                       // no signature by a key of the log, or a false one
	OldSizeAbove                   // the old size exceeds the checkpoint's
	Latched                        // cosigning for this log is stopped
	Held                           // the published checkpoint has not been looked at yet
	Conflict                       // the old size is not the latest one
	Inconsistent                   // not shown to extend the latest checkpoint
	Limited                        // too many requests
	Busy                           // too many requests are under way
	ClockInDoubt                   // cosigning is stopped for all logs because of the clock
)

// String names the reason in one word, for metrics.
func (r Reason) String() string {
	names := [...]string{"ok", "malformed", "unknown_log", "unsigned", "old_size_above", "latched", "held", "conflict", "inconsistent", "limited", "busy", "clock"}
	if r < 0 || int(r) >= len(names) {
		return "other"
	}
	return names[r]
}

// How long a client should wait when only time, or a person, can help.
const (
	retryHeld    = 5 * time.Second
	retryLatched = 10 * time.Minute
	retryBusy    = time.Second
)

// Refusal is the error of AddCheckpoint when the request cannot be granted.
type Refusal struct {
	Reason Reason
	// Size of the checkpoint cosigned last; with Conflict only.
	Size int64
	// RetryAfter is how long to wait before asking again; with Latched, Held, Limited, Busy and
	// ClockInDoubt only.
	RetryAfter time.Duration
	Err        error
}

func (r *Refusal) Error() string { return r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Err: fmt.Errorf(format, args...)}
}

// submission is a request whose form and signatures have been checked.
type submission struct {
	id      OriginHash
	oldSize int64
	proof   []proofs.Hash
	cp      proofs.Checkpoint
	// note has the text as printed from cp and the log's signatures only.
	note proofs.Note
}

// open parses a request and verifies the log's signatures. The submission is
// returned with an error, too, once its log is known to have signed it.
func (w *Witness) open(ctx context.Context, body []byte) (*submission, Log, error) {
	req, err := client.ParseRequest(body)
	if err != nil {
		return nil, Log{}, refuse(Malformed, "%w", err)
	}
	note, err := proofs.ParseNote(req.Checkpoint)
	if err != nil {
		return nil, Log{}, refuse(Malformed, "%w", err)
	}
	cp, err := parseCheckpoint(note.Text)
	if err != nil {
		return nil, Log{}, refuse(Malformed, "%w", err)
	}
	// From here on the body's own bytes are out of use: signatures are checked
	// over, and made over, what was understood of it.
	note.Text = cp.String()
	id := HashOrigin(cp.Origin)
	log, err := w.store.Log(ctx, id)
	if errors.Is(err, ErrUnknownLog) {
		return nil, Log{}, refuse(UnknownLog, "origin %.200q is unknown", cp.Origin)
	} else if err != nil {
		return nil, Log{}, fmt.Errorf("look up %s: %w", cp.Origin, err)
	}
	if note.Signatures, err = signedBy(note, cp, log.Keys); err != nil {
		return nil, Log{}, err
	}
	s := &submission{id: id, oldSize: req.OldSize, proof: req.Proof, cp: cp, note: note}
	if req.OldSize > cp.Tree.N {
		err := refuse(OldSizeAbove, "old size %d is larger than the checkpoint's size %d", req.OldSize, cp.Tree.N)
		w.suspect(ctx, w.origin(id), s, log, err)
		return s, log, err
	}
	return s, log, nil
}

// signedBy verifies the signatures of the given keys and returns one of each
// key that signed. Where the checkpoint has extension lines, one of them must be
// of a type that covers these.
func signedBy(note proofs.Note, cp proofs.Checkpoint, keys []proofs.Key) ([]proofs.Signature, error) {
	var found []proofs.Signature
	covered := len(cp.Extensions) == 0
	for _, k := range keys {
		_, err := note.VerifiedBy(k)
		if errors.Is(err, proofs.ErrNoSignature) {
			continue
		} else if err != nil {
			return nil, refuse(Unsigned, "%w", err)
		}
		covered = covered || k.Algorithm() != proofs.MLDSA44
		for _, s := range note.Signatures {
			if s.Name == k.Name() && s.KeyID == k.ID() {
				found = append(found, s)
				break
			}
		}
	}
	switch {
	case len(found) == 0:
		return nil, refuse(Unsigned, "no signature by a known key of this log")
	case !covered:
		return nil, refuse(Unsigned, "no signature by a known key of this log covers the extension lines")
	}
	return found, nil
}

// parseCheckpoint also accepts an empty tree with another root than the empty
// one: that is not malformed but a lie, and the specification wants the log known
// and its signature valid before saying so.
func parseCheckpoint(text string) (proofs.Checkpoint, error) {
	cp, err := proofs.ParseCheckpoint(text)
	if errors.Is(err, proofs.ErrEmptyRoot) {
		return cp, nil
	}
	return cp, err
}

// extends checks the submission against the checkpoint cosigned last.
func (s *submission) extends(latest *Latest) error {
	older := proofs.EmptyTree
	if latest != nil {
		older = latest.Tree
	}
	newer := s.cp.Tree
	if s.oldSize != older.N {
		r := refuse(Conflict, "old size %d, but the last checkpoint has size %d", s.oldSize, older.N)
		r.Size = older.N
		return r
	}
	switch {
	case newer.N == 0 && newer != proofs.EmptyTree:
		return refuse(Inconsistent, "an empty tree has root %v, not %v", proofs.EmptyTree.Hash, newer.Hash)
	case older.N == 0 && len(s.proof) > 0:
		return refuse(Inconsistent, "a proof of %d hashes from size 0, where none is needed", len(s.proof))
	case older.N == newer.N && older.Hash != newer.Hash:
		return refuse(Inconsistent, "root %v at size %d, where %v was cosigned", newer.Hash, newer.N, older.Hash)
	case older.N == newer.N && len(s.proof) > 0:
		return refuse(Inconsistent, "a proof of %d hashes between equal sizes, where none is needed", len(s.proof))
	}
	if err := proofs.VerifyConsistency(older, newer, s.proof); err != nil {
		return refuse(Inconsistent, "%w", err)
	}
	return nil
}
