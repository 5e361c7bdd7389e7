package log

import (
	"context"
	"errors"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// The hold. A file that would become a leaf waits for a while if its repository has a
// token and its sender does not have it. It is judged again at the end, when the
// vendor's own file is usually in the log. So a draft, or a file under another role's
// name, that is public before its vendor logs it cannot get ahead of the vendor. The
// hold is an operator's delay and not a rule of admission: a replay of the log does
// not depend on it.

// Held is a file that is held, or has been.
type Held struct {
	ID         string // 32 hex digits that follow from repository, role and files
	Repository tuf.Digest
	Role       string
	Version    int64
	Name       string    // of the file, as it was sent
	Kind       leaf.Kind // of the leaf that it would have become when it came
	Source     string    // the network or token it came from; empty: the log's own host
	Size       int64     // bytes of the file and of the snapshot beside it
	Since      time.Time // to the millisecond, like the other times
	Until      time.Time // when it is judged

	// Ended is the time when it was judged or dropped, and its bytes were
	// deleted; zero while it is held.
	Ended   time.Time
	Outcome Outcome
}

// Outcome is the end of a held file.
type Outcome struct {
	Status       api.Status // refused also if it was dropped
	Index        int64      // of its leaf; -1: none
	Code, Detail string     // of a refusal
}

// Dropped is the outcome of a file that an operator has dropped.
var Dropped = Outcome{Status: api.StatusRefused, Index: -1, Code: api.CodeHoldDropped, Detail: "the operator has dropped what was held"}

// HoldRoom limits the files that are held.
type HoldRoom struct {
	Files, Bytes             int64 // of one repository
	SourceFiles, SourceBytes int64 // of one source in it
	AllFiles, AllBytes       int64 // of all repositories
	AllSourceFiles           int64 // of one source in all of them
	AllSourceBytes           int64
}

// HoldUse is the part of a HoldRoom that is taken: of a repository, by a source in
// it, by all, and by the source in all.
type HoldUse HoldRoom

// Check returns nil if there is room for another file of size bytes, and
// otherwise ErrHoldShare or ErrHoldFull.
func (r HoldRoom) Check(use HoldUse, size int64) error {
	switch {
	case use.SourceFiles >= r.SourceFiles || use.SourceBytes+size > r.SourceBytes,
		use.AllSourceFiles >= r.AllSourceFiles || use.AllSourceBytes+size > r.AllSourceBytes:
		return ErrHoldShare
	case use.Files >= r.Files || use.Bytes+size > r.Bytes || use.AllFiles >= r.AllFiles || use.AllBytes+size > r.AllBytes:
		return ErrHoldFull
	}
	return nil
}

var (
	// ErrHoldFull means that the room to hold files is full.
	ErrHoldFull = errors.New("too much is held already")
	// ErrHoldShare means that a source has used up its share of the room.
	ErrHoldShare = errors.New("this network's share of what can be held is used up")
)

// Holds keeps the files that are held, beside the blobs, and their outcomes for a
// while. A test suite is in log/statetest.
type Holds interface {
	// Hold keeps a file and the snapshot beside it, nil for none, durably. If
	// the same file is held already, it stays and is returned. A file whose
	// earlier hold has ended is held again. The error is ErrHoldFull or
	// ErrHoldShare if the room does not suffice.
	Hold(ctx context.Context, h Held, file, snapshot []byte, room HoldRoom) (Held, error)
	// Held returns a file by its ID, whether it is still held or its hold has
	// ended; fs.ErrNotExist if it is unknown or forgotten.
	Held(ctx context.Context, id string) (Held, error)
	// HeldFiles returns the bytes of a file that is still held; fs.ErrNotExist
	// otherwise.
	HeldFiles(ctx context.Context, id string) (file, snapshot []byte, err error)
	// ListHeld returns all files that are still held, in the order in which
	// they are due.
	ListHeld(ctx context.Context) ([]Held, error)
	// DueHolds returns at most limit of the files that are due by now: the first of
	// each source before the second of any.
	DueHolds(ctx context.Context, now time.Time, limit int) ([]Held, error)
	// EndHolds makes the held files of a role and version due now.
	EndHolds(ctx context.Context, repository tuf.Digest, role string, version int64, now time.Time) error
	// ReleaseHold makes one file due now. It reports whether the file is held.
	ReleaseHold(ctx context.Context, id string, now time.Time) (bool, error)
	// SettleHold ends a hold and deletes the bytes. It reports whether the file
	// was still held. If it was not, the outcome is replaced only where the new
	// one has a leaf and the old one has none, because a logged file cannot be
	// dropped.
	SettleHold(ctx context.Context, id string, o Outcome, now time.Time) (bool, error)
	// ForgetHolds forgets the holds that ended before a time.
	ForgetHolds(ctx context.Context, before time.Time) error
}
