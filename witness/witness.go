// Package witness cosigns the checkpoints of transparency logs: it is the
// server of c2sp.org/tlog-witness, as of the main branch of the specification
// (newer than its version 1.0.0). It knows trees, not their entries.
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
//	408  the body did not come in time
//	413  the body exceeds 64 KiB
//	422  the new tree does not begin with the old one, or no proof shows it:
//	     another root at the same size, a proof that fails or where none
//	     belongs, an empty tree with a wrong root
//	429  too many requests, by this log or from this address
//	503  busy, or the body was still incomplete when many newer requests of the
//	     same address had come; or the clock is in doubt; or cosigning for this
//	     log is stopped (see Latch), or on hold until the log's published
//	     checkpoint has been looked at
//
// With 429 and 503 comes Retry-After, in seconds.
//
// GET <monitoring prefix>/<origin hash>/checkpoint, where the hash is SHA-256
// of the origin in lower-case hex, is the checkpoint cosigned last, with the
// signatures of the log and of the witness; 404 if the log has none.
//
// # Order
//
// Check, persist, sign, under one lock per log. The persisted checkpoint and
// time determine the cosignature: signing them again after a crash gives the
// same bytes, or a signature of the same statement. A crash before the answer
// leaves the witness ahead of the log, which the next 409 repairs; the reverse,
// a cosignature that the witness does not remember, cannot happen.
//
// # Doubt
//
// While the clock is in doubt, the witness does not sign (see CheckClock). A
// cosignature of this witness that its state does not account for stops
// cosigning for that log until a person acts (see Latch). Checkpoints refused
// although their log signed them are kept and judged (see Suspect); two of them
// that cannot both be true become a file that proves it (fraud.Conflict).
package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/internal/rates"
	"github.com/tuflog/tuflog/internal/room"
	"github.com/tuflog/tuflog/proofs"
)

// Signer cosigns. *proofs.Signer is one. Signing the same text and time again
// must give a signature of the same statement.
type Signer interface {
	// Key is the public key, of a type that cosigns.
	Key() proofs.Key
	// Sign signs the text of a checkpoint at a time in POSIX seconds.
	Sign(text string, unix int64) (proofs.Signature, error)
}

// Config configures a Witness.
type Config struct {
	// Store is the witness's memory. Required.
	Store Store
	// Signers cosign, each with one line of the answer. At least one.
	Signers []Signer
	// Evidence is the directory for conflicting checkpoints; with nil they are
	// only logged.
	Evidence *EvidenceDir
	// Watch configures the search for cosignatures that the state has lost.
	Watch Watch
	// Limits on requests; zero means no limits.
	Limits Limits
	// About is what the page at / says of how the witness is run.
	About About
	// Room returns why the state cannot be stored, such as a full disk; /readyz
	// calls it. Nil means that it always can.
	Room func() error
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Elapsed is a monotonic clock with any starting point. If it and Now are nil,
	// the process's own clock is used; if only Elapsed is nil, jumps of the clock
	// are not detected.
	Elapsed func() time.Duration
	// Log gets a record for each failure, and for each refused checkpoint of a
	// known log that may be evidence; nil discards them.
	Log *slog.Logger
	// Registry is the registry for the metrics; nil means no metrics.
	Registry prometheus.Registerer
}

// Witness is the state machine. It is safe for concurrent use, but no other
// Witness may cosign with the same keys or store.
type Witness struct {
	store    Store
	signers  []Signer
	evidence *EvidenceDir
	watch    Watch
	limits   Limits
	about    About
	room     func() error // nil: there always is
	now      func() time.Time
	clock    *clock // whether now can be trusted
	log      *slog.Logger
	metrics  *metrics
	started  time.Time
	unread   *room.Room // requests whose body has not come whole, by address
	working  *room.Room // requests worked on, by address
	byAddr   *rates.Buckets[string]
	nudge    chan struct{} // wakes the examiner
	status   status
	alive    shared
	ready    shared

	mu      sync.Mutex
	origins map[OriginHash]*origin // only of known logs
}

// origin is what a process remembers of a log it knows, beside the store.
type origin struct {
	turn   chan struct{} // one token: the lock
	check  firstCheck
	grow   rates.Bucket // checkpoints of new trees
	repeat rates.Bucket // the same tree again, which anybody can ask for
	stale  rates.Bucket // suspects with a wrong old size, of which anybody can make many
	failed rates.Bucket // suspects whose proof failed
	recent recent       // trees cosigned, or kept as suspects, of late
	counts counts
}

// New returns a Witness.
func New(c Config) (*Witness, error) {
	if c.Store == nil || len(c.Signers) == 0 {
		return nil, errors.New("a witness needs a store and a signer")
	}
	for _, s := range c.Signers {
		if a := s.Key().Algorithm(); !a.ForWitnesses() {
			return nil, fmt.Errorf("key %s has type %v, which witnesses do not sign with", s.Key().Name(), a)
		}
	}
	w := &Witness{
		store: c.Store, signers: c.Signers, evidence: c.Evidence, watch: c.Watch.withDefaults(), limits: c.Limits, about: c.About, room: c.Room,
		now: c.Now, log: c.Log, nudge: make(chan struct{}, 1), origins: make(map[OriginHash]*origin),
	}
	w.clock = newClock(c.Now, c.Elapsed)
	w.now = w.clock.now
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.unread = room.New(c.Limits.Unread, c.Limits.UnreadPerAddress)
	w.working = room.New(c.Limits.Concurrent, c.Limits.inOneAddress())
	w.byAddr = rates.NewBuckets[string](c.Limits.PerAddress, rates.MaxAddresses)
	w.started = w.now()
	var err error
	if w.metrics, err = newMetrics(c.Registry, w); err != nil {
		return nil, err
	}
	return w, nil
}

// Keys returns the witness's public keys.
func (w *Witness) Keys() []proofs.Key {
	keys := make([]proofs.Key, len(w.signers))
	for i, s := range w.signers {
		keys[i] = s.Key()
	}
	return keys
}

// AddCheckpoint handles the body of one add-checkpoint call and returns the
// witness's signatures. The error is a *Refusal, or an internal one; then the
// witness has not signed.
func (w *Witness) AddCheckpoint(ctx context.Context, body []byte) ([]proofs.Signature, error) {
	return w.addCheckpoint(ctx, body, func() (func(), error) { return func() {}, nil })
}

// addCheckpoint is AddCheckpoint where work needs a place, which it takes and
// leaves. While it waits for a log that is looked at, it has none.
func (w *Witness) addCheckpoint(ctx context.Context, body []byte, place func() (leave func(), err error)) (sigs []proofs.Signature, err error) {
	var s *submission
	defer func() { w.count(s, err) }()
	leave, err := place()
	if err != nil {
		return nil, err
	}
	var log Log
	s, log, err = w.open(ctx, body)
	leave()
	if err != nil {
		return nil, err
	}
	o := w.origin(s.id)
	if err := w.mayCosign(ctx, o, s.id, log); err != nil {
		return nil, err
	}
	if leave, err = place(); err != nil {
		return nil, err
	}
	defer leave()
	return w.cosign(ctx, o, s)
}

// cosign is AddCheckpoint for a request that a known log signed.
func (w *Witness) cosign(ctx context.Context, o *origin, s *submission) ([]proofs.Signature, error) {
	unlock, err := o.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	log, err := w.store.Log(ctx, s.id)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", s.cp.Origin, err)
	}
	if log.Latched {
		return nil, latchedRefusal()
	}
	now, err := w.signingTime(ctx, log.Latest)
	if err != nil {
		return nil, err
	}
	if err := s.extends(log.Latest); err != nil {
		w.suspect(ctx, o, s, log, err)
		return nil, err
	}
	next := Latest{Tree: s.cp.Tree, Note: s.note.Marshal()}
	if next.Time, err = nextTime(now, log.Latest); err != nil {
		return nil, err
	}
	if err := w.persist(ctx, o, s, log, next); err != nil {
		return nil, err
	}
	return w.sign(s.note.Text, next.Time)
}

// persist stores what is about to be signed, durably.
func (w *Witness) persist(ctx context.Context, o *origin, s *submission, log Log, next Latest) error {
	limited := &o.grow
	var old *proofs.Tree
	if log.Latest != nil {
		if next.Tree == log.Latest.Tree {
			// Within one second the same again is already persisted.
			if next.Time == log.Latest.Time && bytes.Equal(next.Note, log.Latest.Note) {
				return nil
			}
			limited = &o.repeat
		}
		old = &log.Latest.Tree
	}
	if wait := limited.Take(w.limits.of(log, limited == &o.repeat), w.now()); wait > 0 {
		return &Refusal{Reason: Limited, RetryAfter: wait, Err: fmt.Errorf("too many checkpoints of %s", s.cp.Origin)}
	}
	// A client that hangs up must not leave it open whether this happened.
	err := w.store.Update(context.WithoutCancel(ctx), s.id, old, next)
	if errors.Is(err, ErrLatched) {
		return latchedRefusal()
	} else if err != nil {
		return fmt.Errorf("persist checkpoint of %s at size %d: %w", s.cp.Origin, s.cp.Tree.N, err)
	}
	o.recent.add(next.Tree)
	return nil
}

// mayCosign refuses while cosigning for a log is stopped or on hold.
func (w *Witness) mayCosign(ctx context.Context, o *origin, id OriginHash, log Log) error {
	if log.Latched {
		return latchedRefusal()
	}
	if err := w.checkFirst(ctx, o, id, log); err != nil {
		// What went wrong is in the log: it may say too much about the network.
		return &Refusal{Reason: Held, RetryAfter: retryHeld, Err: errors.New("on hold until the log's published checkpoint can be looked at")}
	}
	return nil
}

func latchedRefusal() error {
	return &Refusal{Reason: Latched, RetryAfter: retryLatched, Err: ErrLatched}
}

// nextTime returns the time of the next cosignature: the clock's, or the last one
// where that is later.
func nextTime(now time.Time, latest *Latest) (int64, error) {
	unix := now.Unix()
	if latest != nil {
		unix = max(unix, latest.Time)
	}
	// A cosignature without a time would not say that the tree is the largest.
	if unix <= 0 {
		return 0, fmt.Errorf("the clock says %d, before 1970", unix)
	}
	return unix, nil
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

// cosigned returns the checkpoint of a log that was cosigned last, with the
// signatures of the log and of the witness. It is ErrUnknownLog if the log is
// unknown or was never cosigned.
func (w *Witness) cosigned(ctx context.Context, id OriginHash) ([]byte, error) {
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

// origin returns what is remembered of a log. The log must be known: unknown
// ones would fill the memory.
func (w *Witness) origin(id OriginHash) *origin {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, ok := w.origins[id]
	if !ok {
		o = &origin{turn: make(chan struct{}, 1)}
		w.origins[id] = o
	}
	return o
}

// lock waits for its turn with a log.
func (o *origin) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case o.turn <- struct{}{}:
		return func() { <-o.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// recent is a short memory of trees.
type recent struct {
	mu    sync.Mutex
	trees [8]proofs.Tree
	next  int
}

func (r *recent) add(t proofs.Tree) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trees[r.next] = t
	r.next = (r.next + 1) % len(r.trees)
}

func (r *recent) has(t proofs.Tree) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, have := range r.trees {
		if have == t {
			return true
		}
	}
	return false
}
