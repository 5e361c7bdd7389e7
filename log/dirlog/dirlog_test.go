package dirlog_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/dirlog"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/maintain"
)

const origin = "test.example/log"

// newDir makes an empty log.
func newDir(t *testing.T) dirlog.Dir {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "log")
	d := dirlog.Dir{Path: dir, Ledger: dir + ".ledger"}
	if err := errors.Join(os.Mkdir(dir, 0o755), d.Create(t.Context(), origin)); err != nil {
		t.Fatal(err)
	}
	return d
}

func open(t *testing.T, d dirlog.Dir) *dirlog.Log {
	t.Helper()
	l := dirlog.Open(d, nil)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// A log that is written cannot be written by another, nor its entries looked at; the rest can.
func TestWrittenByOne(t *testing.T) {
	d := newDir(t)
	writer := open(t, d)
	var cfg leader.Config
	if err := writer.Write(t.Context(), &cfg); err != nil {
		t.Fatal(err)
	}
	if cfg.Publisher.Storage == nil || cfg.Publisher.Ledger == nil || cfg.Publisher.Checkpoints == nil || cfg.Blobs == nil || cfg.State == nil || cfg.Tokens == nil || cfg.Holds == nil {
		t.Errorf("opened %+v", cfg)
	}
	other := open(t, d)
	if err := other.Write(t.Context(), new(leader.Config)); !errors.Is(err, log.ErrLocked) {
		t.Errorf("written twice: %v", err)
	}
	if _, err := other.Reindex(t.Context(), nil); !errors.Is(err, log.ErrLocked) {
		t.Errorf("reindexed while it is written: %v", err)
	}
	r := maintain.Reading{}
	if err := r.Read(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(r.NoStorage, log.ErrLocked) || r.NoLedger != nil || r.NoState != nil || r.NoPublished != nil || r.NoTokens != nil || r.Record.Origin != origin {
		t.Errorf("read %+v", r)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := other.Reindex(t.Context(), nil); n != 0 || err != nil {
		t.Errorf("reindexed: %d entries, %v", n, err)
	}
}

// A ledger that is lost is made when it is written, and not before: what fails leaves none.
func TestLostLedger(t *testing.T) {
	d := newDir(t)
	l := open(t, d)
	if _, _, err := l.Forward(t.Context(), true, origin); err == nil || !strings.Contains(err.Error(), "there is a ledger at ") {
		t.Errorf("a ledger that is there is lost: %v", err)
	}
	if err := os.RemoveAll(d.Ledger); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Ledger(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its ledger: %v", err)
	}
	ledger, storage, err := l.Forward(t.Context(), true, origin)
	if err != nil {
		t.Fatal(err)
	}
	if tree, err := storage.Integrated(t.Context()); err != nil || tree.N != 0 {
		t.Errorf("its entries: %v, %v", tree, err)
	}
	old, err := ledger.Load(t.Context())
	if err != nil || old.Origin != origin || old.Edge.Tree().N != 0 {
		t.Fatalf("the lost ledger says %+v, %v", old, err)
	}
	if _, err := os.Stat(d.Ledger); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a ledger before it is written: %v", err)
	}
	if err := l.Record(t.Context(), maintain.ActionNow("ledger-lost", "test")); err != nil {
		t.Fatal(err)
	}
	next := old
	next.Signed = 1
	if err := ledger.Swap(t.Context(), old, next); err != nil {
		t.Fatal(err)
	}
	if rec, err := l.Ledger(t.Context()); err != nil || rec.Signed != 1 {
		t.Errorf("the new ledger says %+v, %v", rec, err)
	}
	if done, err := maintain.ReadActions(d.Ledger); err != nil || len(done) != 1 || done[0].Action != "ledger-lost" {
		t.Errorf("recorded: %+v, %v", done, err)
	}
}

// A log that was moved is not written in its directory, and a directory that has the ledger in
// it is refused.
func TestNotHere(t *testing.T) {
	d := newDir(t)
	ledger, err := logdir.OpenLedger(d.Ledger)
	if err == nil {
		err = errors.Join(ledger.Retire(logdir.Moved{Origin: origin, Target: "x", Where: "elsewhere"}), ledger.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	var moved *logdir.MovedError
	for what, do := range map[string]func(*dirlog.Log) error{
		"written": func(l *dirlog.Log) error { return l.Write(t.Context(), new(leader.Config)) },
		"brought forward": func(l *dirlog.Log) error {
			_, _, err := l.Forward(t.Context(), false, origin)
			return err
		},
	} {
		if err := do(open(t, d)); !errors.As(err, &moved) {
			t.Errorf("%s after it was moved: %v", what, err)
		}
	}
	for _, inside := range []string{d.Path, filepath.Join(d.Path, "ledger")} {
		if err := (dirlog.Dir{Path: d.Path, Ledger: inside}).Check(); err == nil {
			t.Errorf("the ledger may be in %s", inside)
		}
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
}
