// Package witness cosigns the checkpoints of transparency logs: it is the
// server of c2sp.org/tlog-witness, as of the main branch of the specification
// (newer than its version 1.0.0). It knows trees, not what is in them.
//
// # What a cosignature promises
//
// A witness remembers, for each log it knows, the last checkpoint it cosigned.
// It cosigns another only after the log has proved that the new tree begins
// with the old one. So of one log it never cosigns two roots at one size, nor
// a smaller tree after a larger one, and its times never run backwards.
//
// # Requests
//
// The body of POST <submission prefix>/add-checkpoint is described in package
// witness/client, which has its parser. Answers:
//
//	200  signature lines of the witness, each "— NAME BASE64\n"
//	400  the body is malformed, or its old size exceeds the checkpoint's size
//	403  no signature by a known key of the log, or one that fails
//	404  the origin is unknown
//	409  the old size is not that of the checkpoint cosigned last; the body is
//	     that size and a newline, of type text/x.tlog.size
//	413  the body exceeds 64 KiB
//	422  the new tree does not begin with the old one, or no proof shows it:
//	     another root at the same size, a proof that fails or where none
//	     belongs, an empty tree with a wrong root
//
// GET <monitoring prefix>/<origin hash>/checkpoint, where the hash is SHA-256
// of the origin in lower-case hex, is the checkpoint cosigned last, with the
// signatures of the log and of the witness; 404 if there is none.
//
// # Order
//
// Check, persist, sign, under one lock per log. What is persisted, a checkpoint
// and a time, determines the cosignature: signing the same again after a crash
// gives the same bytes or says nothing new. A crash before the answer leaves
// the witness ahead of the log, which the next 409 repairs; the reverse, a
// cosignature that the witness does not remember, cannot happen.
package witness

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// Signer cosigns. *proofs.Signer is one. Signing the same text and time again
// must give a signature that says the same.
type Signer interface {
	// Key is the public key, of a type that cosigns.
	Key() proofs.Key
	// Sign signs the text of a checkpoint at a time in POSIX seconds.
	Sign(text string, unix int64) (proofs.Signature, error)
}

// Config of a Witness.
type Config struct {
	// Store is the witness's memory. Required.
	Store Store
	// Signers cosign, each with one line of the answer. At least one.
	Signers []Signer
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log takes one record for each refused checkpoint of a known log and for
	// each internal failure; nil discards them.
	Log *slog.Logger
}

// Witness is the state machine. It is safe for concurrent use, but the only
// one that may cosign with its keys and its store.
type Witness struct {
	store   Store
	signers []Signer
	now     func() time.Time
	log     *slog.Logger

	mu    sync.Mutex
	locks map[OriginHash]chan struct{} // one token each; only of known logs
}

// New returns a Witness.
func New(c Config) (*Witness, error) {
	if c.Store == nil || len(c.Signers) == 0 {
		return nil, errors.New("a witness needs a store and a signer")
	}
	for _, s := range c.Signers {
		if a := s.Key().Algorithm(); a != proofs.CosignatureV1 {
			return nil, fmt.Errorf("key %s has type %v; a witness signs with %v", s.Key().Name(), a, proofs.CosignatureV1)
		}
	}
	w := &Witness{store: c.Store, signers: c.Signers, now: c.Now, log: c.Log, locks: make(map[OriginHash]chan struct{})}
	if w.now == nil {
		w.now = time.Now
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	return w, nil
}

// Reason classifies a refusal.
type Reason int

// The reasons to refuse a checkpoint, in the order in which they are checked.
const (
	Malformed    Reason = iota + 1 // the request does not parse
	UnknownLog                     // no log with this origin is known
	Unsigned                       // no signature by a key of the log, or a false one
	OldSizeAbove                   // the old size exceeds the checkpoint's
	Conflict                       // the old size is not the latest one
	Inconsistent                   // not shown to extend the latest checkpoint
)

// Refusal is the error of AddCheckpoint when the request is at fault.
type Refusal struct {
	Reason Reason
	// Size of the checkpoint cosigned last; with Conflict only.
	Size int64
	Err  error
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

// AddCheckpoint handles the body of one add-checkpoint call and returns the
// witness's signatures. The error is a *Refusal, or an internal one, after
// which nothing was signed.
func (w *Witness) AddCheckpoint(ctx context.Context, body []byte) ([]proofs.Signature, error) {
	s, err := w.open(ctx, body)
	if err != nil {
		return nil, err
	}
	unlock, err := w.lock(ctx, s.id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	log, err := w.store.Log(ctx, s.id)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", s.cp.Origin, err)
	}
	if err := s.extends(log.Latest); err != nil {
		w.report(s, log.Latest, err)
		return nil, err
	}
	next := Latest{Tree: s.cp.Tree, Note: s.note.Marshal()}
	if next.Time, err = w.time(log.Latest); err != nil {
		return nil, err
	}
	var old *proofs.Tree
	if log.Latest != nil {
		old = &log.Latest.Tree
	}
	// A client that hangs up must not leave it open whether this happened.
	if err := w.store.Update(context.WithoutCancel(ctx), s.id, old, next); err != nil {
		return nil, fmt.Errorf("persist checkpoint of %s at size %d: %w", s.cp.Origin, s.cp.Tree.N, err)
	}
	return w.sign(s.note.Text, next.Time)
}

// open parses a request and verifies the log's signatures.
func (w *Witness) open(ctx context.Context, body []byte) (*submission, error) {
	req, err := client.ParseRequest(body)
	if err != nil {
		return nil, refuse(Malformed, "%w", err)
	}
	note, err := proofs.ParseNote(req.Checkpoint)
	if err != nil {
		return nil, refuse(Malformed, "%w", err)
	}
	cp, err := parseCheckpoint(note.Text)
	if err != nil {
		return nil, refuse(Malformed, "%w", err)
	}
	// From here on the body's own bytes are out of use: signatures are checked
	// over, and made over, what was understood of it.
	note.Text = cp.String()
	id := HashOrigin(cp.Origin)
	log, err := w.store.Log(ctx, id)
	if errors.Is(err, ErrUnknownLog) {
		return nil, refuse(UnknownLog, "origin %.200q is unknown", cp.Origin)
	} else if err != nil {
		return nil, fmt.Errorf("look up %s: %w", cp.Origin, err)
	}
	signatures, err := signedBy(note, log.Keys)
	if err != nil {
		return nil, err
	}
	note.Signatures = signatures
	if req.OldSize > cp.Tree.N {
		return nil, refuse(OldSizeAbove, "old size %d is larger than the checkpoint's size %d", req.OldSize, cp.Tree.N)
	}
	return &submission{id: id, oldSize: req.OldSize, proof: req.Proof, cp: cp, note: note}, nil
}

// signedBy verifies the signatures of the given keys and returns one of each
// key that signed.
func signedBy(note proofs.Note, keys []proofs.Key) ([]proofs.Signature, error) {
	var found []proofs.Signature
	for _, k := range keys {
		_, err := note.VerifiedBy(k)
		if errors.Is(err, proofs.ErrNoSignature) {
			continue
		} else if err != nil {
			return nil, refuse(Unsigned, "%w", err)
		}
		for _, s := range note.Signatures {
			if s.Name == k.Name() && s.KeyID == k.ID() {
				found = append(found, s)
				break
			}
		}
	}
	if len(found) == 0 {
		return nil, refuse(Unsigned, "no signature by a known key of this log")
	}
	return found, nil
}

// parseCheckpoint also accepts an empty tree with another root than the empty
// one, which package proofs refuses: that is not malformed but a lie, and the
// specification wants the log known and its signature valid before saying so.
func parseCheckpoint(text string) (proofs.Checkpoint, error) {
	cp, err := proofs.ParseCheckpoint(text)
	if err == nil {
		return cp, nil
	}
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 || lines[1] != "0" || len(lines[2]) != base64.StdEncoding.EncodedLen(len(proofs.Hash{})) {
		return cp, err
	}
	root, decodeErr := base64.StdEncoding.Strict().DecodeString(lines[2])
	if decodeErr != nil || len(root) != len(proofs.Hash{}) {
		return cp, err
	}
	lines[2] = proofs.EmptyTree.Hash.String()
	if cp, err = proofs.ParseCheckpoint(strings.Join(lines, "\n")); err != nil {
		return cp, err
	}
	copy(cp.Tree.Hash[:], root)
	return cp, nil
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

// time returns the time of the next cosignature: the clock's, or the last one
// where the clock has been set back.
func (w *Witness) time(latest *Latest) (int64, error) {
	now := w.now().Unix()
	if latest != nil {
		now = max(now, latest.Time)
	}
	// A cosignature without a time would not say that the tree is the largest.
	if now <= 0 {
		return 0, fmt.Errorf("the clock says %d, before 1970", now)
	}
	return now, nil
}

// sign cosigns a text at a time that has been persisted with it.
func (w *Witness) sign(text string, unix int64) ([]proofs.Signature, error) {
	sigs := make([]proofs.Signature, 0, len(w.signers))
	for _, signer := range w.signers {
		sig, err := signer.Sign(text, unix)
		if err != nil {
			return nil, fmt.Errorf("cosign with %s: %w", signer.Key().Name(), err)
		}
		sigs = append(sigs, sig)
	}
	return sigs, nil
}

// Cosigned returns the checkpoint of a log that was cosigned last, with the
// signatures of the log and of the witness. It is ErrUnknownLog if the log is
// unknown or was never cosigned.
func (w *Witness) Cosigned(ctx context.Context, id OriginHash) ([]byte, error) {
	log, err := w.store.Log(ctx, id)
	if err != nil {
		return nil, err
	}
	if log.Latest == nil {
		return nil, fmt.Errorf("%s was never cosigned: %w", log.Origin, ErrUnknownLog)
	}
	note, err := proofs.ParseNote(log.Latest.Note)
	if err != nil {
		return nil, fmt.Errorf("stored checkpoint of %s: %w", log.Origin, err)
	}
	sigs, err := w.sign(note.Text, log.Latest.Time)
	if err != nil {
		return nil, err
	}
	note.Signatures = append(note.Signatures, sigs...)
	return note.Marshal(), nil
}

// lock waits for its turn with a log. The log must be known: the locks of
// unknown ones would fill the memory.
func (w *Witness) lock(ctx context.Context, id OriginHash) (unlock func(), err error) {
	w.mu.Lock()
	l, ok := w.locks[id]
	if !ok {
		l = make(chan struct{}, 1)
		w.locks[id] = l
	}
	w.mu.Unlock()
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// report leaves a trace of a checkpoint that a known log signed and that does
// not extend what was cosigned: it may be proof that the log misbehaves.
func (w *Witness) report(s *submission, latest *Latest, err error) {
	var r *Refusal
	if !errors.As(err, &r) || r.Reason != Inconsistent {
		return
	}
	attrs := []any{"origin", s.cp.Origin, "size", s.cp.Tree.N, "root", s.cp.Tree.Hash.String(), "why", err.Error(), "checkpoint", string(s.note.Marshal())}
	if latest != nil {
		attrs = append(attrs, "latest_size", latest.Tree.N, "latest_root", latest.Tree.Hash.String())
	}
	w.log.Warn("refused a checkpoint that its log signed", attrs...)
}
