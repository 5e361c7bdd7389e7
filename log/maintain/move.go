package maintain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/index"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// ErrMoved means that a log was moved already, and that there is nothing left to do.
var ErrMoved = errors.New("the log was moved there already; nothing was changed")

// CopyError means that what was copied is not what it should be, in plain words. The log
// can be served where it was.
type CopyError struct{ Problems []string }

func (e *CopyError) Error() string {
	return fmt.Sprintf("what was copied is not what it should be, in %d places", len(e.Problems))
}

// Move moves a log that nobody serves from its directory to a place that several front ends
// share: the entries, the files, what is derived from them, tokens and what is held, and in
// the end the ledger, and with it the right to sign. Entries keep their indices, and roots
// stay what they are.
//
// It can be broken off at any time and run again: it goes on. What makes it safe is the
// order of its stages:
//
//   - begun: the place is made. Nobody can serve the log there before the last stage;
//   - entries copied, copied: all of it is there;
//   - verified: all of it was read back and compared;
//   - retired: the old ledger is retired, by one renaming that is durable. Before it the
//     log is served from its directory as if nothing had been; after it nobody can sign;
//   - handed over: the new ledger gets the record, together with the published checkpoint
//     and the name under which front ends find the log, in one transaction. After it they
//     can sign, and what they sign extends what was signed in the directory.
//
// So the record of what was signed is in exactly one place that can be signed by, or in
// none, at every moment. Broken off between the last two, the log stands still until Move
// is run again. The note in the retired ledger names the one place that may have the
// record.
type Move struct {
	// Dir is the log's directory, and LedgerDir that of its ledger, which Run keeps from
	// others.
	Dir, LedgerDir string
	// Keys are the log's public keys, its own first.
	Keys []proofs.Key
	// Published has the published checkpoint of the directory.
	Published log.Checkpoints
	// Open opens the rest of the log in its directory. It is called when there is something
	// to copy, or to hand over.
	Open func(ctx context.Context) (*Departing, error)
	// To opens where the log goes. Run closes it.
	To func(ctx context.Context) (Destination, error)

	// Reached, which may be nil, is told of each stage that is complete, by its name above.
	// An error ends Run there, with this error.
	Reached func(stage string) error
	Watch   Watch
	// Logger is told of files that are not there and of what is tried again. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// Departing is a log in its directory, opened to be read. Nobody else may have it open for
// writing.
type Departing struct {
	Storage log.Storage
	// Stored is the tree that the storage says it holds.
	Stored proofs.Tree
	Files  DepartingFiles
	Close  func() error
}

// DepartingFiles are the files that leaves name, and what is kept for the vendors.
type DepartingFiles interface {
	admit.Blobs
	Tokens(ctx context.Context) (list []log.Token, changes int64, err error)
	ListHeld(ctx context.Context) ([]log.Held, error)
	HeldFiles(ctx context.Context, id string) (file, snapshot []byte, err error)
}

// Destination is where a log goes: a storage for its entries, and a database for all else.
type Destination interface {
	// Log returns the log that is there: its origin, the name of its storage, and whether
	// it is still arriving. It is fs.ErrNotExist where there is none.
	Log(ctx context.Context) (origin, storage string, arriving bool, err error)
	// ID names the database of the log for ever: another that is made for it has another.
	ID(ctx context.Context) (string, error)
	// Ledger returns what the ledger there knows.
	Ledger(ctx context.Context) (log.LedgerRecord, error)
	// Find finds the storage with a name that Log has returned.
	Find(storage string) error
	// Create makes an empty storage and the place of an arriving log, and returns the
	// storage's name. It refuses a storage that has entries.
	Create(ctx context.Context, origin string) (storage string, err error)
	// Take takes the right to write there, which nobody else has then.
	Take(ctx context.Context) (Arriving, error)
	// Database names the database for people, and Where the storage as well.
	Database() string
	Where() string
	io.Closer
}

// Arriving is the right to write an arriving log. All of it is refused once the right is
// lost.
type Arriving interface {
	// Context ends, with the reason, when the right is lost.
	Context() context.Context
	// Entries opens the storage to append to. The caller closes it.
	Entries(ctx context.Context) (EntryStore, error)
	// Copied returns the entries as front ends read them.
	Copied() log.Storage
	// Check holds what front ends read against the storage, up to size entries, and
	// returns what differs.
	Check(ctx context.Context, size int64) ([]string, error)
	Blobs() log.Blobs
	State() log.StateWriter
	// Vendors puts tokens and what is held in the place of what is there.
	Vendors(ctx context.Context, tokens []log.Token, held []log.Held, files func(id string) (file, snapshot []byte, err error)) error
	// Arrive completes the log, in one transaction: from then on it can be served. It is
	// fs.ErrExist where it has arrived before.
	Arrive(ctx context.Context, a Arrival) error
	// Release gives the right up.
	Release(ctx context.Context)
}

// EntryStore is a storage that is closed in the end.
type EntryStore interface {
	log.Storage
	io.Closer
}

// Arrival is what a log brings along in the end, beside its entries and files.
type Arrival struct {
	Record     log.LedgerRecord
	Checkpoint []byte // the published one; nil: none
	Actions    []Action
}

// move is a Move that runs.
type move struct {
	*Move

	ledger     *logdir.Ledger
	record     log.LedgerRecord
	moved      *logdir.Moved // nil: its ledger is not retired
	from       *Departing
	tree       proofs.Tree // all that it has
	checkpoint []byte      // published; nil: none
	published  proofs.Tree

	to     Destination
	target string // names the database and the storage for ever; empty: nothing is there yet
}

// Run moves the log, and returns how many entries it has. It is ErrMoved where all of it
// had arrived, and a *CopyError where the copy is not the log.
func (cfg *Move) Run(ctx context.Context) (entries int64, err error) {
	m := &move{Move: cfg}
	if m.Logger == nil {
		m.Logger = slog.Default()
	}
	if err := m.openLedger(ctx); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.ledger.Close()) }()
	if m.to, err = m.To(ctx); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.to.Close()) }()
	if err := m.lookThere(ctx); err != nil {
		return 0, err
	}
	if err := m.openLog(ctx); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.from.Close()) }()
	if err := m.prepare(ctx); err != nil {
		return 0, err
	}
	right, err := m.to.Take(ctx)
	if err != nil {
		return 0, err
	}
	defer right.Release(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(right.Context(), func() { cancel(context.Cause(right.Context())) })()
	for _, stage := range []struct {
		name string
		do   func(context.Context, Arriving) error
	}{{"copied", m.copy}, {"verified", m.verify}, {"handed over", m.handOver}} {
		if err := stage.do(ctx, right); err != nil {
			return 0, errors.Join(err, context.Cause(right.Context()))
		}
		if err := m.reached(stage.name); err != nil {
			return 0, err
		}
	}
	return m.tree.N, nil
}

// reached tells of a stage.
func (m *move) reached(stage string) error {
	if m.Reached == nil {
		return nil
	}
	return m.Reached(stage)
}

// copy brings the entries, the files and what is derived from them there.
func (m *move) copy(ctx context.Context, right Arriving) (err error) {
	to, err := right.Entries(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	add, done := m.Watch.Begin("copy", m.tree.N)
	err = (&Migration{
		From: m.from.Storage, FromBlobs: m.from.Files, Tree: m.tree,
		To: to, ToBlobs: right.Blobs(),
		Progress: add,
		Logger:   m.Logger,
	}).Run(ctx)
	done()
	if err != nil {
		return err
	}
	if err := m.reached("entries copied"); err != nil {
		return err
	}
	if err := m.copyVendors(ctx, right); err != nil {
		return err
	}
	add, done = m.Watch.Begin("derived state", m.tree.N)
	defer done()
	return IndexUpTo(ctx, to, right.Blobs(), right.State(), m.tree, add, m.Logger)
}

// IndexUpTo takes a derived state up to a tree of a storage. Progress is told how many
// entries it has gone on by.
func IndexUpTo(ctx context.Context, storage log.Storage, blobs log.Blobs, state log.StateWriter, tree proofs.Tree, progress func(n int), logger *slog.Logger) error {
	stored, err := storage.Integrated(ctx)
	if err != nil {
		return err
	}
	indexer, err := index.Open(ctx, storage, blobs, state, stored, logger)
	if err != nil {
		return err
	}
	return indexer.CatchUp(ctx, tree, progress)
}

// copyVendors brings the tokens of repositories and what is held there.
func (m *move) copyVendors(ctx context.Context, right Arriving) error {
	tokens, _, err := m.from.Files.Tokens(ctx)
	if err != nil {
		return err
	}
	held, err := m.from.Files.ListHeld(ctx)
	if err != nil {
		return err
	}
	return right.Vendors(ctx, tokens, held, func(id string) (file, snapshot []byte, err error) { return m.from.Files.HeldFiles(ctx, id) })
}

// verify reads back all that was copied: the entries and tiles that front ends read, and
// what the storage has beside them, and every file.
func (m *move) verify(ctx context.Context, right Arriving) error {
	trees := map[string]proofs.Tree{"the old ledger": m.record.Edge.Tree(), "the old storage": m.tree}
	if m.published.N > 0 {
		trees["the published checkpoint"] = m.published
	}
	withheld := 0
	add, done := m.Watch.Begin("verify", m.tree.N)
	check := Fsck{
		Storage: right.Copied(), Stored: m.tree, Blobs: right.Blobs(), Trees: trees,
		Absent: func(sum tuf.Digest) bool {
			if _, err := m.from.Files.Blob(ctx, sum); !errors.Is(err, fs.ErrNotExist) {
				return false
			}
			withheld++
			return true
		},
		Progress: add,
	}
	problems, err := check.Run(ctx)
	done()
	if err != nil {
		return err
	}
	found, err := right.Check(ctx, m.tree.N)
	if err != nil {
		return err
	}
	if problems = append(problems, found...); len(problems) > 0 {
		return &CopyError{problems}
	}
	if withheld > 0 {
		m.Logger.Warn("files that leaves name were not there and were not copied", "files", withheld)
	}
	return nil
}

// handOver gives the new place the right to sign: see Move.
func (m *move) handOver(ctx context.Context, right Arriving) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx) // the right is lost: the other half could not be done
	}
	if m.moved == nil {
		moved := logdir.Moved{Origin: m.record.Origin, Target: m.target, Where: m.to.Where(), Time: time.Now().UTC()}
		if err := m.ledger.Retire(moved); err != nil {
			return err
		}
		m.moved = &moved
	}
	// An attempt to make another ledger for the old directory is told, too.
	if err := m.moved.Write(m.Dir); err != nil {
		return err
	}
	if err := m.reached("retired"); err != nil {
		return err
	}
	arrival, err := m.arrival()
	if err != nil {
		return err
	}
	if err := right.Arrive(ctx, arrival); err != nil {
		return err
	}
	return m.arrived()
}

// arrived keeps in the old ledger's directory that the new one has the record, so
// that it is never given it again, by an old copy of the database above all.
func (m *move) arrived() error {
	if m.moved.Arrived {
		return nil
	}
	m.moved.Arrived = true
	return m.moved.Write(m.LedgerDir)
}

// arrival is what the new log gets in the end.
func (m *move) arrival() (a Arrival, err error) {
	record, err := m.record.Marshal()
	if err != nil {
		return a, err
	}
	a = Arrival{Record: m.record, Checkpoint: m.checkpoint}
	if a.Actions, err = ReadActions(m.LedgerDir); err != nil {
		return a, err
	}
	a.Actions = append(a.Actions, Action{
		Time:   time.Now().UTC(),
		Action: "migrate",
		Detail: fmt.Sprintf("from %s, with %d entries", m.Dir, m.tree.N),
		After:  string(record),
	})
	return a, nil
}
