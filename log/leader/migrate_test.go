package leader_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/storagetest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// heldBlobs are log.Blobs in memory.
type heldBlobs struct {
	files map[tuf.Digest][]byte
	onPut func() error // nil: it succeeds
}

func (h *heldBlobs) Blob(_ context.Context, sum tuf.Digest) ([]byte, error) {
	if b, ok := h.files[sum]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (h *heldBlobs) Put(_ context.Context, files [][]byte) error {
	if h.onPut != nil {
		if err := h.onPut(); err != nil {
			return err
		}
	}
	for _, f := range files {
		h.files[tuf.Sum(f)] = f
	}
	return nil
}

// migrated is a log to be copied, and the copy.
type migrated struct {
	maintain.Migration
	from, to           *storagetest.Mem
	fromBlobs, toBlobs *heldBlobs
	copied             int // as Progress says
}

func newMigrated(t *testing.T, size int) *migrated {
	t.Helper()
	m := &migrated{
		from: new(storagetest.Mem), to: new(storagetest.Mem),
		fromBlobs: &heldBlobs{files: map[tuf.Digest][]byte{}}, toBlobs: &heldBlobs{files: map[tuf.Digest][]byte{}},
	}
	var entries [][]byte
	for i := range size {
		file, snapshot := fmt.Appendf(nil, "file %d", i), fmt.Appendf(nil, "snapshot %d", i/3)
		check(t, m.fromBlobs.Put(t.Context(), [][]byte{file, snapshot}))
		leaf := leaf.Leaf{
			Kind: leaf.Release, Role: "targets", Version: int64(i + 1), Encoding: tuf.JSON,
			Metadata: tuf.Sum(file), Size: int64(len(file)), Snapshot: tuf.Sum(snapshot), Listed: leaf.ByVersion,
		}
		entries = append(entries, leaf.Marshal())
	}
	if size > 0 {
		_, err := m.from.Append(t.Context(), entries)
		check(t, err)
	}
	tree, err := m.from.Integrated(t.Context())
	check(t, err)
	m.Migration = maintain.Migration{
		From: m.from, FromBlobs: m.fromBlobs, Tree: tree, To: m.to, ToBlobs: m.toBlobs,
		Batch: 100, Patience: time.Minute,
		Progress: func(n int) { m.copied += n },
		Logger:   slog.New(slog.DiscardHandler),
	}
	return m
}

// complete checks that the copy is the log.
func (m *migrated) complete(t *testing.T) {
	t.Helper()
	if !reflect.DeepEqual(m.from.Entries(), m.to.Entries()) {
		t.Errorf("the copy has %d entries, other ones than the log, which has %d", len(m.to.Entries()), len(m.from.Entries()))
	}
	if !reflect.DeepEqual(m.fromBlobs.files, m.toBlobs.files) {
		t.Errorf("the copy has %d files, other ones than the log, which has %d", len(m.toBlobs.files), len(m.fromBlobs.files))
	}
}

func TestMigration(t *testing.T) {
	for _, size := range []int{0, 1, 99, 100, 256, 700} {
		m := newMigrated(t, size)
		for range 2 { // the second time there is nothing to do
			m.copied = 0
			check(t, m.Run(t.Context()))
			if m.complete(t); m.copied != size {
				t.Errorf("progress tells of %d of %d entries", m.copied, size)
			}
		}
	}
}

// A log that has ended can be moved, with its end.
func TestMigrationOfAnEnd(t *testing.T) {
	m := newMigrated(t, 3)
	_, err := m.from.Append(t.Context(), [][]byte{[]byte(leaf.End)})
	check(t, err)
	m.Tree, err = m.from.Integrated(t.Context())
	check(t, err)
	check(t, m.Run(t.Context()))
	m.complete(t)
	if entries := m.to.Entries(); string(entries[3]) != leaf.End {
		t.Errorf("the last entry is %q", entries[3])
	}
}

// Broken off at each call that writes, before it has any effect, after it and in the
// middle of it, a copy goes on when it is run again.
func TestMigrationGoesOn(t *testing.T) {
	crash := errors.New("the end")
	for call := range 7 {
		for _, keep := range []int{0, 37, 100} {
			m := newMigrated(t, 700)
			calls := 0
			m.to.OnAppend = func(entries [][]byte) ([][]byte, error) {
				if calls++; calls == call+1 {
					return entries[:min(keep, len(entries))], crash
				}
				return entries, nil
			}
			if err := m.Run(t.Context()); !errors.Is(err, crash) {
				t.Fatalf("append %d: %v", call, err)
			}
			m.copied = 0
			check(t, m.Run(t.Context()))
			if m.complete(t); m.copied != 700 {
				t.Errorf("progress tells of %d entries", m.copied)
			}
		}
		m := newMigrated(t, 700)
		puts := 0
		m.toBlobs.onPut = func() error {
			if puts++; puts == call+1 {
				return crash
			}
			return nil
		}
		if err := m.Run(t.Context()); !errors.Is(err, crash) {
			t.Fatalf("put %d: %v", call, err)
		}
		check(t, m.Run(t.Context()))
		m.complete(t)
	}
}

// What is not available for a while is waited for, whatever became of the call.
func TestMigrationWaits(t *testing.T) {
	m := newMigrated(t, 250)
	away := fmt.Errorf("the test's server is %w", log.ErrUnavailable)
	appends, asked, puts := 0, 0, 0
	m.to.OnAppend = func(entries [][]byte) ([][]byte, error) {
		if appends++; appends <= 3 {
			return entries[:[]int{0, 10, len(entries)}[appends-1]], away
		}
		return entries, nil
	}
	m.to.OnIntegrated = func(tree proofs.Tree) (proofs.Tree, error) {
		if asked++; asked == 2 {
			return tree, away
		}
		return tree, nil
	}
	m.toBlobs.onPut = func() error {
		if puts++; puts == 2 {
			return away
		}
		return nil
	}
	check(t, m.Run(t.Context()))
	m.complete(t)

	m = newMigrated(t, 250)
	m.Patience = time.Millisecond
	m.to.OnAppend = func([][]byte) ([][]byte, error) { return nil, away }
	if err := m.Run(t.Context()); !errors.Is(err, log.ErrUnavailable) {
		t.Errorf("without an end: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	m.Patience = time.Hour
	m.to.OnAppend = func([][]byte) ([][]byte, error) { cancel(); return nil, away }
	if err := m.Run(ctx); err == nil {
		t.Error("broken off, it succeeded")
	}
}

// A storage with other entries is left as it is, and so is everything where the log
// is damaged.
func TestMigrationRefuses(t *testing.T) {
	other := [][]byte{[]byte("another log's entry")}
	for _, tt := range []struct {
		name   string
		change func(*migrated)
		is     error
		says   string
	}{
		{"other entries", func(m *migrated) { m.to.Append(t.Context(), other) }, maintain.ErrOtherEntries, "size 1"},
		{"more entries", func(m *migrated) {
			m.to.Append(t.Context(), m.from.Entries())
			m.to.Append(t.Context(), other)
		}, maintain.ErrOtherEntries, "301 entries"},
		{"someone else appends first", func(m *migrated) {
			m.to.OnAppend = func(entries [][]byte) ([][]byte, error) { return append(other, entries...), nil }
		}, maintain.ErrOtherEntries, ""},
		{"someone else appends instead", func(m *migrated) {
			m.to.OnAppend = func([][]byte) ([][]byte, error) { return other, log.ErrUnavailable }
		}, maintain.ErrOtherEntries, "size 1"},
		{"a damaged tile", func(m *migrated) { m.From = &damaged{m.from, 0, 1} }, nil, "entry 299 is not the one"},
		{"a root that is not that of the tiles", func(m *migrated) { m.Tree.Hash[0] ^= 1 }, nil, "the log is damaged"},
	} {
		m := newMigrated(t, 300)
		tt.change(m)
		err := m.Run(t.Context())
		if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if n := len(m.to.Entries()); tt.name == "a damaged tile" && n > 200 {
			t.Errorf("%d entries were copied of a bundle that is damaged", n)
		}
	}
}

// A file that is withheld is missing in the copy, too, and one that is damaged is
// not copied.
func TestMigrationWithheld(t *testing.T) {
	m := newMigrated(t, 10)
	gone := tuf.Sum([]byte("file 3"))
	delete(m.fromBlobs.files, gone)
	delete(m.fromBlobs.files, tuf.Sum([]byte("snapshot 0")))
	check(t, m.Run(t.Context()))
	m.complete(t)
	run := func(absent func(tuf.Digest) bool) []string {
		problems, err := (&maintain.Fsck{Storage: m.to, Stored: m.Tree, Blobs: m.toBlobs, Absent: absent}).Run(t.Context())
		check(t, err)
		return problems
	}
	known := func(sum tuf.Digest) bool { _, err := m.fromBlobs.Blob(t.Context(), sum); return err != nil }
	if problems := run(known); len(problems) > 0 {
		t.Errorf("fsck: %q", problems)
	}
	if problems := run(nil); len(problems) != 4 {
		t.Errorf("fsck that does not know: %q", problems)
	}
	delete(m.toBlobs.files, tuf.Sum([]byte("file 5")))
	if problems := run(known); len(problems) != 1 {
		t.Errorf("fsck of a copy that lacks a file: %q", problems)
	}

	m = newMigrated(t, 10)
	damaged := errors.New("damaged")
	m.FromBlobs = unreadable{m.fromBlobs, tuf.Sum([]byte("file 7")), damaged}
	if err := m.Run(t.Context()); !errors.Is(err, damaged) {
		t.Errorf("a damaged file: %v", err)
	}
	if n := len(m.to.Entries()); n > 0 {
		t.Errorf("%d entries were copied without their files", n)
	}
}

// unreadable cannot read one of the files.
type unreadable struct {
	admit.Blobs
	sum tuf.Digest
	err error
}

func (f unreadable) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	if sum == f.sum {
		return nil, f.err
	}
	return f.Blobs.Blob(ctx, sum)
}
