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
// token and its sender has not. It is judged anew at the end, and mostly the vendor's
// own file is logged by then. That takes the race out of submitting: a draft, or a
// file under another role's name, that is public before its vendor logs it cannot get
// ahead of him. The hold is an operator's delay and not a rule of admission: a replay
// of the log sees nothing of it.

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

	// Ended says when it was judged or dropped; zero while it is held. Then its
	// bytes are gone.
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

// HoldRoom bounds what is held.
type HoldRoom struct {
	Files, Bytes             int64 // of one repository
	SourceFiles, SourceBytes int64 // of one source in it
	AllFiles, AllBytes       int64 // of all repositories
}

// HoldUse is how much of the room is taken: of a repository, by a source in it, and
// by all.
type HoldUse HoldRoom

// Check says whether there is room for another file.
func (r HoldRoom) Check(use HoldUse, size int64) error {
	switch {
	case use.SourceFiles >= r.SourceFiles || use.SourceBytes+size > r.SourceBytes:
		return ErrHoldShare
	case use.Files >= r.Files || use.Bytes+size > r.Bytes || use.AllFiles >= r.AllFiles || use.AllBytes+size > r.AllBytes:
		return ErrHoldFull
	}
	return nil
}

var (
	// ErrHoldFull means that there is no room to hold a file.
	ErrHoldFull = errors.New("too much is held already")
	// ErrHoldShare means that a source has used up what it may take of the room.
	ErrHoldShare = errors.New("this network's share of what can be held is used up")
)

// Holds keeps the files that are held, beside the blobs, and their outcomes for a
// while. A test suite is in log/statetest.
type Holds interface {
	// Hold keeps a file and the snapshot beside it, nil for none, durably. Where
	// the same is held already that stays and is returned. One that was held
	// before is held again. The error is ErrHoldFull or ErrHoldShare where
	// there is no room.
	Hold(ctx context.Context, h Held, file, snapshot []byte, room HoldRoom) (Held, error)
	// Held returns one by its ID, whether it is held or has been; fs.ErrNotExist
	// if it is not there, or forgotten.
	Held(ctx context.Context, id string) (Held, error)
	// HeldFiles returns the bytes of one that is held; fs.ErrNotExist otherwise.
	HeldFiles(ctx context.Context, id string) (file, snapshot []byte, err error)
	// ListHeld returns all that are held, those first that are judged first.
	ListHeld(ctx context.Context) ([]Held, error)
	// DueHolds returns, of those that are to be judged by a time, the first ones: the
	// first of each source before the second of any.
	DueHolds(ctx context.Context, now time.Time, limit int) ([]Held, error)
	// EndHolds makes those of a role and version due now.
	EndHolds(ctx context.Context, repository tuf.Digest, role string, version int64, now time.Time) error
	// ReleaseHold makes one due now. It is false if it is not held.
	ReleaseHold(ctx context.Context, id string, now time.Time) (bool, error)
	// SettleHold ends a hold and forgets the bytes. It is false if it was not
	// held any more: then only an outcome with a leaf goes before one without,
	// because what is logged cannot be dropped.
	SettleHold(ctx context.Context, id string, o Outcome, now time.Time) (bool, error)
	// ForgetHolds forgets those that had ended before a time.
	ForgetHolds(ctx context.Context, before time.Time) error
}
