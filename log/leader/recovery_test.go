package leader_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/index"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// What the derived state knows of entries that were not signed proves nothing: they
// are judged, and a file that is not there is not taken for a foreign entry.
func TestStateProvesNothing(t *testing.T) {
	r := start(t, nil)
	v := newPlainVendor(t, "vendor")
	r.history(t, v, 20) // more versions than are in memory
	signed := r.log.Publisher().Tree()
	r.close(t)
	invented := leaf.Leaf{
		Kind: leaf.Release, Repository: v.id, Role: "targets", Version: 1000, Payload: tuf.Sum([]byte("a")),
		Metadata: tuf.Sum([]byte("b")), Size: 1000, Snapshot: tuf.Sum([]byte("c")), Listed: leaf.ByVersion, Encoding: tuf.JSON,
	}
	entries := r.Storage.Entries()
	for _, tt := range []struct {
		name, code string
		entry      []byte
	}{
		{"an entry whose file is nowhere", string(log.HaltFilesLost), invented.Marshal()},
		{"the first release once more", string(log.HaltRepeatedEntry), entries[1]},
		{"the last release once more", string(log.HaltRepeatedEntry), entries[len(entries)-1]},
		{"the root once more", string(log.HaltRepeatedEntry), entries[0]},
	} {
		r.Storage.Truncate(int(signed.N))
		_, err := r.Storage.Append(t.Context(), [][]byte{tt.entry})
		check(t, err)
		tree, err := r.Storage.Integrated(t.Context())
		check(t, err)
		// As one that was made anew over all that the storage has.
		state, err := sqlite.OpenState(filepath.Join(r.dir, "state.db"))
		check(t, err)
		blobs, err := sqlite.OpenBlobs(filepath.Join(r.dir, "blobs.db"))
		check(t, err)
		edge, err := state.Position(t.Context())
		check(t, err)
		if edge.Tree().N == signed.N {
			indexer, err := index.Open(t.Context(), r.Storage, blobs, state, tree, r.Cfg.Logger)
			check(t, err)
			check(t, indexer.CatchUp(t.Context(), tree, nil))
		}
		check(t, errors.Join(state.Close(), blobs.Close()))
		var halt *log.Halt
		if err := r.tryOpen(t); !errors.As(err, &halt) || string(halt.Code) != tt.code || !strings.Contains(halt.What, fmt.Sprintf("index %d", signed.N)) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.code)
		}
		if now := r.Ledger.Record.Edge.Tree(); now != signed {
			t.Errorf("%s: size %d was signed", tt.name, now.N)
		}
		check(t, sqlite.RemoveState(filepath.Join(r.dir, "state.db")))
		check(t, sqlite.CreateState(filepath.Join(r.dir, "state.db")))
	}
	// Without the entry nothing is wrong.
	r.Storage.Truncate(int(signed.N))
	r.open(t)
	if res := r.submit(t, v.id.String(), v.release(t, 21, 1)...); res[0].Status != api.StatusReleased {
		t.Errorf("afterwards: %+v", res)
	}
}

// awayBlobs are blobs that cannot be read for a moment.
type awayBlobs struct {
	log.Blobs
	err error
}

func (a *awayBlobs) wraps(blobs log.Blobs) { a.Blobs = blobs }

func (a *awayBlobs) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	if a.err != nil {
		return nil, a.err
	}
	return a.Blobs.Blob(ctx, sum)
}

// awayTiles is a storage whose tiles cannot be read for a moment.
type awayTiles struct {
	log.Storage
	err error
}

func (a *awayTiles) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	if a.err != nil {
		return nil, a.err
	}
	return a.Storage.ReadTile(ctx, level, index, width)
}

// passing are errors that are no verdict on the log.
var passing = map[string]error{
	"unavailable":   fmt.Errorf("the database is %w", log.ErrUnavailable),
	"interrupted":   context.DeadlineExceeded,
	"no more files": &fs.PathError{Op: "open", Path: "x", Err: errors.New("too many open files")},
}

// An error that may pass halts nothing: a moment later all goes on.
func TestPassingErrorsDoNotHalt(t *testing.T) {
	f := logtest.New(t)
	f.Grow(f.Open(), 3)
	f.Append(300) // not signed yet
	tiles := &awayTiles{Storage: f.Cfg.Storage}
	f.Cfg.Storage = tiles
	for name, err := range passing {
		tiles.err = err
		_, err := publisher.Open(t.Context(), f.Cfg)
		var halt *log.Halt
		if err == nil || errors.As(err, &halt) {
			t.Errorf("tiles, %s: %v", name, err)
		}
	}
	tiles.err = nil
	f.Open()

	blobs := new(awayBlobs)
	r := start(t, func(c *leader.Config) { c.Blobs = blobs })
	v := newPlainVendor(t, "vendor")
	r.unjudged(t, v, 2)
	for name, err := range passing {
		blobs.err = err
		var halt *log.Halt
		if err := r.tryOpen(t); err == nil || errors.As(err, &halt) {
			t.Errorf("files, %s: %v", name, err)
		}
	}
	blobs.err = nil
	r.open(t)
	if n := r.log.Publisher().Tree().N; n != 3 {
		t.Errorf("afterwards %d entries are judged", n)
	}
}

// Where the ledger is of an older date nothing new is signed, however it came back,
// and where a witness shows what was signed since the log stops.
func TestOldLedger(t *testing.T) {
	for name, tt := range map[string]struct {
		stored int  // entries in storage when it comes back, of 5 that were signed
		shows  bool // the witnesses show what they have cosigned
		code   log.HaltCode
	}{
		"storage is the newest":                  {5, true, log.HaltLedgerBehind},
		"storage is the newest, nobody shows":    {5, false, ""},
		"storage is as old":                      {2, true, log.HaltStorageBehind},
		"storage is as old, nobody shows":        {2, false, ""},
		"storage and ledger are new, of nothing": {0, true, log.HaltStorageBehind},
		"they are new, and nobody shows":         {0, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := logtest.New(t)
			old := f.Ledger.Record
			if tt.stored > 0 {
				f.Grow(f.Open(), 2)
				old = f.Ledger.Record
				f.Grow(f.Open(), 3)
			} else {
				f.Grow(f.Open(), 5)
			}
			f.Ledger.Record = old
			f.Storage.Truncate(tt.stored)
			f.Cfg.Checkpoints = logdir.NewCheckpoint(filepath.Join(t.TempDir(), "checkpoint")) // it is old, too
			if !tt.shows {
				for _, w := range f.Witnesses.All {
					w.Shown = nil
				}
			}
			p := f.Open()
			f.Append(1)
			check(t, p.Extend(t.Context(), nil))
			err := p.Publish(t.Context(), false)
			var halt *log.Halt
			switch {
			case err == nil:
				t.Error("published")
			case tt.code == "" && errors.As(err, &halt):
				t.Errorf("what nobody shows halts: %v", err)
			case tt.code != "" && (!errors.As(err, &halt) || halt.Code != tt.code):
				t.Errorf("got %v, want %s", err, tt.code)
			}
			if now := f.Ledger.Record.Edge.Tree(); now != old.Edge.Tree() {
				t.Errorf("size %d was signed after size %d", now.N, old.Edge.Tree().N)
			}
		})
	}
}

// One witness has what was signed last, and the quorum that answers after a fail-over to a
// ledger of an older date has not: what the one shows counts all the same.
func TestOldLedgerUnknownToQuorum(t *testing.T) {
	f := logtest.New(t)
	f.Grow(f.Open(), 2)
	old := f.Ledger.Record
	p := f.Open()
	check(t, p.Publish(t.Context(), true))
	f.Witnesses.SetDown(true, true, false)
	f.Append(1)
	check(t, p.Extend(t.Context(), nil))
	if err := p.Publish(t.Context(), false); err == nil {
		t.Fatal("published by one witness")
	}
	f.Ledger.Record = old
	f.Storage.Truncate(2)
	f.Witnesses.SetDown(false, false, false)
	p = f.Open()
	_, err := f.Storage.Append(t.Context(), [][]byte{[]byte("another entry")})
	check(t, err)
	check(t, p.Extend(t.Context(), nil))
	var halt *log.Halt
	if err := p.Publish(t.Context(), false); !errors.As(err, &halt) || halt.Code != log.HaltStorageBehind && halt.Code != log.HaltLedgerBehind {
		t.Errorf("after the fail-over: %v", err)
	}
	if now := f.Ledger.Record.Edge.Tree(); now != old.Edge.Tree() {
		t.Errorf("size %d was signed once more, over another entry", now.N)
	}
}

// The end of a log, too, is not signed over an older history: nor is it appended.
func TestOldLedgerIsNotEnded(t *testing.T) {
	r := start(t, nil)
	v := newPlainVendor(t, "vendor")
	r.history(t, v, 2)
	old, size := r.Ledger.Record, int(r.log.Publisher().Tree().N)
	if res := r.submit(t, v.id.String(), v.release(t, 3, 1)...); res[0].Status != api.StatusReleased {
		t.Fatalf("released: %+v", res)
	}
	r.close(t)
	r.Ledger.Record = old
	r.Storage.Truncate(size)
	r.Cfg.Checkpoints = logdir.NewCheckpoint(filepath.Join(t.TempDir(), "checkpoint"))
	check(t, sqlite.RemoveState(filepath.Join(r.dir, "state.db")))
	check(t, sqlite.CreateState(filepath.Join(r.dir, "state.db")))
	err := r.end(t)
	var halt *log.Halt
	if !errors.As(err, &halt) || halt.Code != log.HaltStorageBehind {
		t.Errorf("ended: %v", err)
	}
	if n := len(r.Storage.Entries()); n != size || r.Ledger.Record.Edge.Tree() != old.Edge.Tree() {
		t.Errorf("%d entries, want %d; size %d is signed", n, size, r.Ledger.Record.Edge.Tree().N)
	}
}

// A new log signs nothing before a quorum has said that it knows nothing of it, and one
// that is down or lies holds up nobody where the others make the quorum.
func TestNewLedger(t *testing.T) {
	f := logtest.New(t)
	f.Witnesses.SetDown(true, true, false)
	p := f.Open()
	f.Append(1)
	check(t, p.Extend(t.Context(), nil))
	if err := p.Publish(t.Context(), false); err == nil || !strings.Contains(err.Error(), "nothing is signed before") {
		t.Errorf("one witness of three: %v", err)
	}
	if n := f.Ledger.Record.Edge.Tree().N; n != 0 {
		t.Errorf("size %d was signed", n)
	}
	f.Witnesses.SetDown(false, false, false)
	f.Witnesses.All[0].Seen = proofs.Tree{N: 7}
	check(t, p.Publish(t.Context(), false))
	f.Published(p, 1)
}

// A witness that claims a larger tree and does not show it, or shows one that this log
// has not signed, holds up nobody where the others make the quorum.
func TestLyingWitness(t *testing.T) {
	f := logtest.New(t)
	f.Grow(f.Open(), 2)
	f.Witnesses.All[0].Seen = proofs.Tree{N: 1 << 40}
	f.Witnesses.All[0].Shown = []byte("log.example\n1099511627776\nAAAA\n\n")
	p := f.Open()
	f.Append(1)
	check(t, p.Extend(t.Context(), nil))
	check(t, p.Publish(t.Context(), false))
	f.Published(p, 3)

	f.Witnesses.SetDown(false, true, false)
	p = f.Open()
	f.Append(1)
	check(t, p.Extend(t.Context(), nil))
	var halt *log.Halt
	if err := p.Publish(t.Context(), false); err == nil || errors.As(err, &halt) {
		t.Errorf("a liar instead of a quorum: %v", err)
	}
	if n := f.Ledger.Record.Edge.Tree().N; n != 3 {
		t.Errorf("size %d was signed without a quorum's word", n)
	}
}
