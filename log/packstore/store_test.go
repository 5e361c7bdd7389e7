package packstore

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// world is the entries and the files of a log, in memory. It counts what is read.
type world struct {
	log.Storage
	log.Blobs
	entries [][]byte
	files   map[tuf.Digest][]byte
	reads   int
	logged  bytes.Buffer
}

// newWorld makes a log of n leaves. Each names a file of its own and a snapshot that it
// shares with the next, and one of the snapshots is larger than a pack takes.
func newWorld(n int) *world {
	w := &world{files: map[tuf.Digest][]byte{}}
	for i := range n {
		snapshot := fmt.Appendf(nil, "snapshot %d", i/2)
		if i/2 == 1 {
			snapshot = append(snapshot, make([]byte, pack.MaxFile)...)
		}
		w.add(fmt.Appendf(nil, "metadata %d", i), snapshot)
	}
	return w
}

func (w *world) add(metadata, snapshot []byte) {
	l := leaf.Leaf{
		Kind:       leaf.Release,
		Repository: tuf.Sum([]byte("repository")),
		Role:       "targets",
		Version:    int64(len(w.entries) + 1),
		Payload:    tuf.Sum(metadata),
		Metadata:   tuf.Sum(metadata),
		Size:       int64(len(metadata)),
		Snapshot:   tuf.Sum(snapshot),
		Listed:     leaf.ByHash,
		Encoding:   tuf.JSON,
	}
	w.entries = append(w.entries, l.Marshal())
	w.files[l.Metadata], w.files[l.Snapshot] = metadata, snapshot
}

func (w *world) ReadEntries(_ context.Context, index int64, width int) ([]byte, error) {
	var bundle []byte
	for _, e := range w.entries[index*proofs.FullWidth:][:width] {
		bundle, _ = proofs.AppendEntry(bundle, e)
	}
	return bundle, nil
}

func (w *world) Blob(_ context.Context, sum tuf.Digest) ([]byte, error) {
	w.reads++
	if data, ok := w.files[sum]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (w *world) ReadBlobs(_ context.Context, sums []tuf.Digest, each func(tuf.Digest, []byte)) error {
	for _, sum := range sums {
		if data, ok := w.files[sum]; ok {
			w.reads++
			lent := bytes.Clone(data)
			each(sum, lent)
			clear(lent) // valid during the call only
		}
	}
	return nil
}

func (w *world) CountBlobs(_ context.Context, sums []tuf.Digest) (n int, err error) {
	for _, sum := range sums {
		if _, ok := w.files[sum]; ok {
			n++
		}
	}
	return n, nil
}

func (w *world) packs(cfg Config) *Store {
	return New(cfg, w, w, slog.New(slog.NewTextHandler(&w.logged, nil)))
}

// want is the pack that there should be.
func (w *world) want(t *testing.T, id proofs.TileID) []byte {
	t.Helper()
	entries := w.entries[id.Index*proofs.FullWidth:][:id.Width]
	b, _, err := pack.Encode(entries, func(sum tuf.Digest) ([]byte, error) { return w.files[sum], nil })
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// plain takes a pack out of its coding.
func plain(t *testing.T, coding Coding, data []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	var err error
	switch coding {
	case Zstd:
		r, err = zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow))
	case Gzip:
		r, err = gzip.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func bundle(index int64, width int) proofs.TileID {
	return proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: width}
}

var codings = []Coding{Identity, Gzip, Zstd}

// is checks that a pack is kept, and is the right one, or that it is not.
func is(t *testing.T, what string, w *world, p *Store, index int64, kept bool) {
	t.Helper()
	for _, coding := range codings {
		w.reads = 0
		got, err := p.Kept(t.Context(), index, coding)
		if !kept {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %d bytes in %q, %v", what, len(got.Data), coding, err)
			}
			continue
		}
		if err != nil || !got.Whole || !bytes.Equal(plain(t, coding, got.Data), w.want(t, bundle(index, proofs.FullWidth))) {
			t.Fatalf("%s: in %q: %d bytes, %v", what, coding, len(got.Data), err)
		}
		if w.reads != 0 {
			t.Errorf("%s: %d files were read", what, w.reads)
		}
	}
}

// A pack is made once, and is found from then on, by the next process as well.
func TestKept(t *testing.T) {
	w := newWorld(2*proofs.FullWidth + 1)
	dir := filepath.Join(t.TempDir(), "packs")
	p := w.packs(Config{Dir: dir})
	is(t, "before it is made", w, p, 1, false)
	for i, coding := range codings {
		id := bundle(int64(i)%2, proofs.FullWidth)
		made, err := p.Make(t.Context(), id, coding)
		if err != nil || !made.Whole || !bytes.Equal(plain(t, coding, made.Data), w.want(t, id)) {
			t.Fatalf("in %q: %d bytes, %v", coding, len(made.Data), err)
		}
	}
	is(t, "when it is made", w, p, 0, true)
	is(t, "when it is made", w, p, 1, true)
	is(t, "after a restart", w, w.packs(Config{Dir: dir}), 1, true)
	files, err := pack.Parse(w.want(t, bundle(0, proofs.FullWidth)), w.entries[:proofs.FullWidth])
	if err != nil || len(files) != proofs.FullWidth+proofs.FullWidth/2-1 {
		t.Errorf("%d files, %v: all but the large one should be there", len(files), err)
	}

	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	is(t, "after it was removed", w, p, 1, false)
	if _, err := p.Make(t.Context(), bundle(1, proofs.FullWidth), Zstd); err != nil {
		t.Fatal(err)
	}
	is(t, "when it was made again", w, p, 1, true)
}

// A file that is withheld is withheld at once, and a pack without it is not kept,
// because it may come back.
func TestWithheld(t *testing.T) {
	w := newWorld(proofs.FullWidth)
	p := w.packs(Config{Dir: t.TempDir()})
	id := bundle(0, proofs.FullWidth)
	if _, err := p.Make(t.Context(), id, Zstd); err != nil {
		t.Fatal(err)
	}
	is(t, "at first", w, p, 0, true)
	file := []byte("metadata 200")
	sum := tuf.Sum(file)
	delete(w.files, sum)
	is(t, "while a file is withheld", w, p, 0, false)
	for range 2 {
		made, err := p.Make(t.Context(), id, Identity)
		if err != nil || made.Whole || !bytes.Equal(made.Data, w.want(t, id)) || bytes.Contains(made.Data, file) {
			t.Fatalf("%d bytes, whole %v, %v", len(made.Data), made.Whole, err)
		}
	}
	is(t, "while a file is withheld", w, p, 0, false)
	w.files[sum] = file
	is(t, "when the file is back", w, p, 0, true)
}

// A log that is restored from an older copy and goes on otherwise does not serve packs
// of what it dropped.
func TestOtherEntries(t *testing.T) {
	w := newWorld(proofs.FullWidth - 1)
	p := w.packs(Config{Dir: t.TempDir()})
	for _, name := range []string{"dropped", "other"} {
		w.entries = w.entries[:proofs.FullWidth-1]
		w.add([]byte(name), []byte("snapshot 0"))
		is(t, "before it is made", w, p, 0, false)
		if _, err := p.Make(t.Context(), bundle(0, proofs.FullWidth), Gzip); err != nil {
			t.Fatal(err)
		}
		is(t, "of "+name, w, p, 0, true)
	}
}

// A file that is damaged is no pack, wherever the damage is, and is replaced.
func TestDamaged(t *testing.T) {
	w := newWorld(proofs.FullWidth)
	p := w.packs(Config{Dir: t.TempDir()})
	if _, err := p.Make(t.Context(), bundle(0, proofs.FullWidth), Zstd); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(p.path(0))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	places := []int{0, 31, 32, 63, 64, 95, 96, 100, 103, headSize, len(whole) - 1}
	for range 10 {
		places = append(places, random.IntN(len(whole)))
	}
	want := w.want(t, bundle(0, proofs.FullWidth))
	for _, at := range places {
		changed := bytes.Clone(whole)
		changed[at] ^= 1
		write(t, p.path(0), changed)
		for _, coding := range codings {
			got, err := p.Kept(t.Context(), 0, coding)
			if err == nil && !bytes.Equal(plain(t, coding, got.Data), want) || err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("byte %d is changed: %d bytes in %q, %v", at, len(got.Data), coding, err)
			}
		}
	}
	for _, size := range []int{0, 1, headSize - 1, headSize, len(whole) / 2} {
		write(t, p.path(0), whole[:size])
		if _, err := p.Kept(t.Context(), 0, Gzip); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("cut to %d bytes: %v", size, err)
		}
	}
	if _, err := p.Make(t.Context(), bundle(0, proofs.FullWidth), Zstd); err != nil {
		t.Fatal(err)
	}
	is(t, "when it was replaced", w, p, 0, true)
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What cannot or must not be kept is made all the same.
func TestNotKept(t *testing.T) {
	w := newWorld(proofs.FullWidth)
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	for name, tt := range map[string]struct {
		cfg   Config
		width int
		says  string
	}{
		"partial bundle": {Config{Dir: t.TempDir()}, proofs.FullWidth - 1, ""},
		"no directory":   {Config{}, proofs.FullWidth, ""},
		"no room":        {Config{Dir: t.TempDir(), Room: func() error { return errors.New("the disk is full") }}, proofs.FullWidth, "the disk is full"},
		"not writable":   {Config{Dir: filepath.Join(file, "packs")}, proofs.FullWidth, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			w.logged.Reset()
			p := w.packs(tt.cfg)
			id := bundle(0, tt.width)
			for _, coding := range codings {
				made, err := p.Make(t.Context(), id, coding)
				if err != nil || !made.Whole || !bytes.Equal(plain(t, coding, made.Data), w.want(t, id)) {
					t.Fatalf("in %q: %d bytes, %v", coding, len(made.Data), err)
				}
			}
			if got := w.logged.String(); strings.Count(got, "\n") != min(len(tt.says), 1) || !strings.Contains(got, tt.says) {
				t.Errorf("logged:\n%s", got)
			}
			is(t, name, w, p, 0, false)
		})
	}
}

// single are blobs that can be read one by one only.
type single struct{ w *world }

func (s single) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) { return s.w.Blob(ctx, sum) }
func (s single) Put(context.Context, [][]byte) error                      { return errors.ErrUnsupported }

func TestOneByOne(t *testing.T) {
	w := newWorld(proofs.FullWidth)
	p := New(Config{Dir: t.TempDir()}, w, single{w}, slog.New(slog.DiscardHandler))
	if _, err := p.Make(t.Context(), bundle(0, proofs.FullWidth), Zstd); err != nil {
		t.Fatal(err)
	}
	got, err := p.Kept(t.Context(), 0, Identity)
	if err != nil || !bytes.Equal(got.Data, w.want(t, bundle(0, proofs.FullWidth))) {
		t.Fatalf("%d bytes, %v", len(got.Data), err)
	}
	delete(w.files, tuf.Sum([]byte("metadata 7")))
	is(t, "while a file is withheld", w, p, 0, false)
}
