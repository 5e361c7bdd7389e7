package maintain

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/proofs"
)

const origin = "test.example/log"

// there is a Destination of which only the state matters.
type there struct {
	Destination
	origin, storage string
	arriving        bool
	size            int64
	found           string
}

func (d *there) Log(context.Context) (string, string, bool, error) {
	if d.origin == "" {
		return "", "", false, fs.ErrNotExist
	}
	return d.origin, d.storage, d.arriving, nil
}

func (d *there) ID(context.Context) (string, error) { return "id", nil }

func (d *there) Ledger(context.Context) (log.LedgerRecord, error) { return recordOf(d.size) }

func (d *there) Find(storage string) error { d.found = storage; return nil }

func (d *there) Database() string { return "database" }

func (d *there) Where() string { return "the tree and the database" }

// recordOf returns the record of a log of equal entries.
func recordOf(size int64) (log.LedgerRecord, error) {
	edge := new(proofs.Edge)
	for range size {
		if err := edge.Append(proofs.LeafHash([]byte("x"))); err != nil {
			return log.LedgerRecord{}, err
		}
	}
	return log.LedgerRecord{Origin: origin, Edge: edge}, nil
}

// newMove returns a move that has opened the ledger of a new log.
func newMove(t *testing.T, to *there) *move {
	t.Helper()
	dir := t.TempDir()
	m := &move{Move: &Move{Dir: dir, LedgerDir: filepath.Join(dir, "ledger")}, to: to}
	if err := logdir.CreateLedger(m.LedgerDir, origin); err != nil {
		t.Fatal(err)
	}
	if err := m.openLedger(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.ledger.Close() })
	return m
}

// The state of the destination decides whether a move begins, goes on, is over or is refused:
// above all it never goes to two places.
func TestWhatIsThere(t *testing.T) {
	retired := func(target string, arrived bool) *logdir.Moved {
		return &logdir.Moved{Origin: origin, Target: target, Where: "another place", Time: time.Now(), Arrived: arrived}
	}
	for _, tt := range []struct {
		name  string
		there there
		moved *logdir.Moved
		size  int64 // that was signed in the directory
		says  string
		found string
	}{
		{name: "nothing is there"},
		{name: "it began", there: there{origin: origin, storage: "s", arriving: true}, found: "s"},
		{name: "it was broken off after the ledger was retired", there: there{origin: origin, storage: "s", arriving: true}, moved: retired("id, s", false), found: "s"},
		{name: "it is over", there: there{origin: origin, storage: "s", size: 3}, moved: retired("id, s", false), size: 2, says: ErrMoved.Error()},
		{name: "another log", there: there{origin: "other", storage: "s"}, says: `has log "other", not`},
		{name: "the same log from elsewhere", there: there{origin: origin, storage: "s"}, says: "already, from elsewhere"},
		{name: "it went elsewhere, and nothing is here", moved: retired("id, s", false), says: "moved to another place, which is not this database"},
		{name: "it went to another database", there: there{origin: origin, storage: "s", arriving: true}, moved: retired("other, s", false), says: "which is not this database"},
		{name: "it went to another storage", there: there{origin: origin, storage: "s"}, moved: retired("id, other", true), says: "which is not this database"},
		{name: "the database forgot that it arrived", there: there{origin: origin, storage: "s", arriving: true}, moved: retired("id, s", true), says: "restored from an old copy"},
		{name: "the new ledger knows less", there: there{origin: origin, storage: "s", size: 1}, moved: retired("id, s", true), size: 2, says: "its ledger there knows 1"},
	} {
		m := newMove(t, &tt.there)
		m.moved = tt.moved
		var err error
		if m.record, err = recordOf(tt.size); err != nil {
			t.Fatal(err)
		}
		err = m.lookThere(t.Context())
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
		if tt.there.found != tt.found {
			t.Errorf("%s: the storage %q was looked for, want %q", tt.name, tt.there.found, tt.found)
		}
	}
}

// gets is an Arriving that only gets a ledger.
type gets struct {
	Arriving
	arrive func(Arrival) error
}

func (g gets) Arrive(_ context.Context, a Arrival) error { return g.arrive(a) }

// The record is never where it can be signed by in two places: the old ledger is retired
// before the new one has anything, and not at all once the right to write there is lost.
func TestHandOver(t *testing.T) {
	m := newMove(t, &there{})
	m.target = "id, s"
	lost, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("another one has the lease")
	cancel(cause)
	if err := m.handOver(lost, nil); !errors.Is(err, cause) {
		t.Errorf("without the right to write: %v", err)
	}
	if err := logdir.ReadMoved(m.LedgerDir); err != nil {
		t.Fatalf("the ledger is retired: %v", err)
	}
	for _, fails := range []error{errors.New("the database is away"), nil} {
		called := false
		err := m.handOver(t.Context(), gets{arrive: func(a Arrival) error {
			called = true
			var moved *logdir.MovedError
			if err := logdir.ReadMoved(m.LedgerDir); !errors.As(err, &moved) || moved.Target != m.target || moved.Arrived {
				t.Errorf("while the new ledger gets the record the old one is not retired, or says that it has it: %v", err)
			}
			if err := logdir.ReadMovedNote(m.Dir); err == nil {
				t.Error("the directory does not say that the log was moved")
			}
			if n := len(a.Actions); n != 1 || a.Actions[0].Action != "migrate" || a.Record.Origin != origin {
				t.Errorf("the new log gets %+v", a)
			}
			return fails
		}})
		var moved *logdir.MovedError
		if err2 := logdir.ReadMoved(m.LedgerDir); !called || !errors.Is(err, fails) || !errors.As(err2, &moved) || moved.Arrived != (fails == nil) {
			t.Errorf("after %v: %v, and the ledger says %v", fails, err, err2)
		}
	}
	// Another open goes on from there.
	if err := m.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.openLedger(t.Context()); err != nil || m.moved == nil || !m.moved.Arrived {
		t.Errorf("opened again: %+v, %v", m.moved, err)
	}
}
