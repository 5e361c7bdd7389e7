package cluster

import (
	"context"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/follower"
	"github.com/tuflog/tuflog/log/leader"
)

// Config has the parts of a front end. All fields must be set that are not said to be
// optional; a front end that never leads, because Start is given no URL, needs only Follow,
// Lead and Leases.
type Config struct {
	// Follow is the log as it is read while another front end leads, and its
	// Sources.FrontEndSecret is what front ends know each other by. Open sets Forward.
	Follow follower.Config
	// Lead has the parts of the log while this front end leads. Lease.Open completes
	// it each time with those that are written under the lease, and the Node with Right. Its
	// Logger, nil for slog.Default(), reports what an operator should know.
	Lead leader.Config
	// Leases is where the right to lead is.
	Leases Leases
	// FrontEnds is where front ends say how they are.
	FrontEnds FrontEnds
	// Reach says why this front end could not write to the log's storage now: a server
	// does not answer, or the log is in another storage by now, a *MovedError. It is asked
	// every few seconds, and always between looking at the lease and taking it, so that
	// nobody can have moved the log meanwhile.
	Reach func(ctx context.Context) error
	// CanSign says why the log's key cannot be used now. It returns after a time limit of
	// its own, and is not called again before. Optional: nil means that it always can.
	CanSign func() error
	// Quorum says why not enough witnesses would cosign, asked with a checkpoint of so many
	// entries that is published.
	Quorum func(ctx context.Context, signed []byte, size int64) error
	// Record adds to the log's list of actions an action that this front end takes of its
	// own accord.
	Record func(ctx context.Context, action, detail string) error
	// Advise adds to the reason why the log has stopped what its operator can do. Optional.
	Advise func(*log.Halt) *log.Halt
	// Yielded is told when this front end leaves the lease to others, and for which of
	// YieldReasons. Optional.
	Yielded func(reason string)
}

// Leases is where the right to lead is, which one process has at a time. It is decided in
// log/postgres/lease.go.
type Leases interface {
	// Campaign waits until nobody has the lease, takes it for a candidate, and renews it.
	Campaign(ctx context.Context, who Candidate) (Lease, error)
	// Leader returns the holder of the lease; false means that nobody has it.
	Leader(ctx context.Context) (Leader, bool, error)
}

// Candidate campaigns for the lease.
type Candidate struct {
	// ID names the process, and URL is where it listens: the other front ends are told
	// both.
	ID, URL string
	// Able says why the candidate could not lead now. It is asked when nobody holds the
	// lease, and after an error about every second again: meanwhile others can have it.
	Able func(ctx context.Context) error
	// Barred is told what keeps the candidate from campaigning, other than a holder of the
	// lease, and nil when nothing does any more.
	Barred func(error)
}

// Leader is the front end that leads, or a command that writes the log instead.
type Leader struct {
	ID    string // of its process
	URL   string // where front ends reach it; empty: it is a command
	Epoch int64  // larger with each change of leader
	// Renewals is how often it has renewed the lease: one that lives does so twice a
	// second.
	Renewals int64
}

// Lease is the right to lead. It is renewed in the background until it is lost or released.
type Lease interface {
	// Context ends when the right ends; context.Cause says why.
	Context() context.Context
	// Epoch is larger than that of any lease before.
	Epoch() int64
	// Open opens the log's storage for writing as long as the lease lasts, appends what
	// the leader before was about to, and completes cfg with all that leader.Open needs.
	// The error is a *log.Halt where the storage contradicts what is known of it.
	Open(ctx context.Context, cfg *leader.Config) (Storage, error)
	// Release gives the lease up, so that another front end can take it at once.
	Release(ctx context.Context) error
}

// Storage is the opened storage of a log that this process leads.
type Storage interface {
	// Watch returns nil when ctx ends, or before that why the storage does not answer any
	// more.
	Watch(ctx context.Context) error
	Close() error
}

// FrontEnds is where front ends that may lead say how they are.
type FrontEnds interface {
	// Tell writes the row of this front end, and returns the rows of all, its own
	// among them. Writes and Ago of own are not looked at.
	Tell(ctx context.Context, own FrontEnd) (all []FrontEnd, err error)
	// Forget removes the row of a front end that is gone, unless it has been written since
	// it was read.
	Forget(ctx context.Context, gone FrontEnd) error
}

// FrontEnd is the row in which a front end that may lead describes itself.
type FrontEnd struct {
	// ID names the process, as in the lease. URL is where other front ends reach it,
	// and Version that of its program.
	ID, URL, Version string
	// Able reports whether it could lead and publish now, or does. Why says what is
	// in the way otherwise, or what else an operator must know of one that is able.
	Able bool
	Why  string
	// Leader is the epoch of the one that it follows, 0 if it knows none.
	// Unreached says why it does not reach that one's URL, and is empty if it does.
	Leader    int64
	Unreached string
	// Writes is another number after each of its writes.
	Writes int64
	// Ago is how long ago that was by the clock of the database, which may have been set:
	// it is for people.
	Ago time.Duration
}

// MovedError means that the log is in another storage than the one that this front end was
// given.
type MovedError struct {
	// Halt is the reason that a front end gives from then on that has stopped already.
	Halt *log.Halt
	// Err says so of one that has not.
	Err error
}

func (e *MovedError) Error() string { return e.Err.Error() }

func (e *MovedError) Unwrap() error { return e.Err }
