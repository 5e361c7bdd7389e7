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
	// was to replace.
	ErrStale = errors.New("the latest checkpoint is another one")
)

// OriginHash is SHA-256 of a log's origin. It names the log in URLs.
type OriginHash [sha256.Size]byte

// HashOrigin returns the hash of an origin.
func HashOrigin(origin string) OriginHash { return sha256.Sum256([]byte(origin)) }

// String returns 64 lower-case hex digits.
func (h OriginHash) String() string { return hex.EncodeToString(h[:]) }

// ParseOriginHash reads what String prints, and nothing else.
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
	// Keys are the log's public keys, at least one; their name is Origin.
	Keys []proofs.Key
	// Latest is the checkpoint cosigned last; nil if there was none.
	Latest *Latest
}

// Latest is the checkpoint of a log that a witness cosigned last. With the
// witness's key it determines the cosignature, which is not stored.
type Latest struct {
	// Tree is the one that Note speaks of.
	Tree proofs.Tree
	// Note is the checkpoint with the signatures of the log's known keys.
	Note []byte
	// Time of the cosignature in POSIX seconds.
	Time int64
}

// Store remembers logs and what was cosigned of each. It is safe for
// concurrent use, and what one process adds is seen by another that has the
// same store open. Package witnesstest has the tests every Store must pass.
type Store interface {
	// Log returns the log with this origin hash, or ErrUnknownLog.
	Log(ctx context.Context, id OriginHash) (Log, error)
	// Logs returns all logs, ordered by origin.
	Logs(ctx context.Context) ([]Log, error)
	// AddLog makes a log known by its first key, whose name is the origin;
	// ErrKnownLog if the origin is known.
	AddLog(ctx context.Context, key proofs.Key) error
	// AddKey adds a further key to a log that is known, else ErrUnknownLog. It
	// is ErrKnownLog if the log has this key, or another with the same id.
	AddKey(ctx context.Context, key proofs.Key) error
	// Update makes next the latest checkpoint of a log if the tree of the
	// latest one is old (nil for none), else ErrStale; one atomic step. When it
	// returns nil, the change survives a crash of the machine. It refuses a
	// size or time smaller than before, and another root at the same size,
	// whatever old says. After any other error the caller must read again what
	// is there.
	Update(ctx context.Context, id OriginHash, old *proofs.Tree, next Latest) error
}

// CheckSuccessor is what Update refuses for any reason but a stale old. Every
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

// CheckLogKey says whether a key can be a log's: it must sign checkpoints, not
// cosign them.
func CheckLogKey(key proofs.Key) error {
	if key.Algorithm() != proofs.Ed25519 {
		return fmt.Errorf("key %s has type %v; a log signs with %v", key.Name(), key.Algorithm(), proofs.Ed25519)
	}
	return nil
}
