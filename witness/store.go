package witness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/proofs"
)

// Errors of a Store that callers tell apart.
var (
	// ErrUnknownLog means that no log with this origin is known.
	ErrUnknownLog = errors.New("unknown log")
	// ErrKnownLog means that the origin, or the key, is known already.
	ErrKnownLog = errors.New("known already")
	// ErrStale means that the latest checkpoint is not the one that an update
	// expected to replace.
	ErrStale = errors.New("the latest checkpoint is another one")
	// ErrLatched means that cosigning for a log is stopped until a person acts.
	ErrLatched = errors.New("cosigning is stopped until the operator acts")
)

// OriginHash is SHA-256 of a log's origin. It names the log in URLs.
type OriginHash [sha256.Size]byte

// HashOrigin returns the hash of an origin.
func HashOrigin(origin string) OriginHash { return sha256.Sum256([]byte(origin)) }

// String returns 64 lower-case hex digits.
func (h OriginHash) String() string { return hex.EncodeToString(h[:]) }

// ParseOriginHash reads the text that String prints, and no other.
func ParseOriginHash(s string) (OriginHash, error) {
	var h OriginHash
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) || hex.EncodeToString(b) != s {
		return h, fmt.Errorf("%.80q is not 64 lower-case hex digits", s)
	}
	copy(h[:], b)
	return h, nil
}

// Log is a log that a witness knows.
type Log struct {
	Origin string
	// Keys are the log's public keys, at least one. Their name is the origin,
	// except for logs that are known to use another name.
	Keys []proofs.Key
	// URL is the prefix below which the log publishes its checkpoint and its
	// tiles (c2sp.org/tlog-tiles), without a slash at its end; "" if unknown.
	URL string
	// Source is the list that named the log; "" if the operator added it.
	Source string
	// PerDay is how many requests a day the list allows the log; 0 is no limit.
	PerDay int64
	// Removed reports whether the log was removed and is no longer cosigned.
	// Its last checkpoint is kept, so that it cannot restart from scratch.
	Removed bool
	// Latched reports whether cosigning is stopped until the operator acts.
	Latched bool
	// Latest is the checkpoint cosigned last; nil if the log was never
	// cosigned.
	Latest *Latest
	// Cleared are cosignatures that contradicted the state and that the
	// operator has cleared.
	Cleared []Mark
}

// Latest is the checkpoint of a log that a witness cosigned last. With the
// witness's key it determines the cosignature, which is not stored.
type Latest struct {
	// Tree is the tree of Note.
	Tree proofs.Tree
	// Note is the checkpoint with the signatures of the log's known keys.
	Note []byte
	// Time of the cosignature in POSIX seconds.
	Time int64
}

// Mark returns the statement of the cosignature.
func (l Latest) Mark() Mark { return Mark{Tree: l.Tree, Time: l.Time} }

// Mark is the statement of a cosignature of this witness: the largest tree at a
// time.
type Mark struct {
	Tree proofs.Tree
	Time int64
}

// Signed is a Latest with its log.
type Signed struct {
	ID OriginHash
	Latest
}

// Store is the memory of a Witness. It is safe for concurrent use. Changes by
// one process are seen by another that has the same store open: by Update at
// once, by the other methods soon. Values returned are shared and must not be
// changed. Package witnesstest has the tests every Store must pass.
type Store interface {
	// Log returns the log with this origin hash; ErrUnknownLog if it does not
	// exist or was removed.
	Log(ctx context.Context, id OriginHash) (Log, error)
	// Logs returns all logs, removed ones too, ordered by origin.
	Logs(ctx context.Context) ([]Log, error)
	// Update makes next the latest checkpoint of a log if the tree of the latest
	// one is old (nil for none), else ErrStale; ErrUnknownLog and ErrLatched are
	// returned as their names say. It is one atomic step, and when it returns
	// nil, the change survives a crash of the machine. It refuses a size or time
	// smaller than before, and another root at the same size, regardless of old.
	// After any other error the caller must read the state again.
	Update(ctx context.Context, id OriginHash, old *proofs.Tree, next Latest) error
	// Latch stops cosigning for a log, durably. A second latch of a log is
	// recorded beside the first.
	Latch(ctx context.Context, id OriginHash, l Latch) error
	// Clock returns the record of the clock.
	Clock(ctx context.Context) (ClockState, error)
	// StopClock stops cosigning for all logs, durably, until the operator accepts
	// the clock. A second stop has no effect.
	StopClock(ctx context.Context, s ClockStop) error
	// Keep keeps a checkpoint that was refused although its log signed it, until
	// it is judged. It may drop the oldest ones of a log that has many.
	Keep(ctx context.Context, id OriginHash, s Suspect) error
}

// NewLog is a log to be added to a store.
type NewLog struct {
	Key proofs.Key
	// Origin of the log; "" is the key's name.
	Origin string
	// URL, Source and PerDay are as in Log.
	URL    string
	Source string
	PerDay int64
}

// Name returns the origin.
func (n NewLog) Name() string {
	if n.Origin == "" {
		return n.Key.Name()
	}
	return n.Origin
}

// CheckSuccessor makes all checks of Update but the one for a stale old. Every
// implementation calls it, so that no mistake above a Store can make it forget
// or fork.
func CheckSuccessor(latest *Latest, next Latest) error {
	if latest == nil {
		return nil
	}
	switch {
	case next.Tree.N < latest.Tree.N:
		return fmt.Errorf("size %d after size %d", next.Tree.N, latest.Tree.N)
	case next.Tree.N == latest.Tree.N && next.Tree.Hash != latest.Tree.Hash:
		return fmt.Errorf("root %v after root %v at size %d", next.Tree.Hash, latest.Tree.Hash, next.Tree.N)
	case next.Time < latest.Time:
		return fmt.Errorf("time %d after time %d", next.Time, latest.Time)
	}
	return nil
}

// CheckLogKey returns an error unless the key can be a log's: it must sign
// checkpoints, not cosign them.
func CheckLogKey(key proofs.Key) error {
	if !key.Algorithm().ForLogs() {
		return fmt.Errorf("key %s has type %v, which logs do not sign with", key.Name(), key.Algorithm())
	}
	return nil
}
