package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/mirror"
	"github.com/tuflog/tuflog/audit/source"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
)

// world is a log and a directory for its copy.
type world struct {
	*testing.T
	log *audittest.Log
	dir string

	checks int // of the whole copy
}

func newWorld(t *testing.T, size int64) *world {
	w := &world{T: t, log: audittest.New(t), dir: filepath.Join(t.TempDir(), "copy")}
	w.grow(size)
	return w
}

// grow adds leaves, which nobody judges here, and publishes. Most name a file of their
// own and share a snapshot; some files are larger than a pack takes.
func (w *world) grow(size int64) {
	w.Helper()
	for i := w.log.Size(); i < size; i++ {
		file, snapshot := fmt.Appendf(nil, "file %d", i), fmt.Appendf(nil, "snapshot %d", i/3)
		if i%100 == 1 {
			file = append(file, make([]byte, pack.MaxFile)...)
		}
		l := leaf.Leaf{
			Kind: leaf.Release, Repository: tuf.Sum(nil), Role: "targets", Version: i + 1,
			Payload: tuf.Sum(file), Metadata: tuf.Sum(file), Size: int64(len(file)),
			Snapshot: tuf.Sum(snapshot), Listed: leaf.ByHash, Encoding: tuf.JSON,
		}
		w.log.Append(l.Marshal(), file, snapshot)
	}
	w.log.Publish(2)
}

func (w *world) update(src audit.Source) (*mirror.Result, error) {
	return mirror.Update(w.Context(), mirror.Config{Dir: w.dir, Source: src, Policy: w.log.Policy()})
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// size is the size of the tree that is copied, by the checkpoint.
func (w *world) size() int64 {
	w.Helper()
	note, err := os.ReadFile(filepath.Join(w.dir, "checkpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	w.must(err)
	c, err := w.log.Policy().OpenCheckpoint(note)
	w.must(err)
	return c.Tree.N
}

// paths are those of everything that a tree of that size has, but its checkpoint.
func (w *world) paths(size int64) []string {
	var list []string
	for level := proofs.EntriesLevel; level <= proofs.MaxTileLevel; level++ {
		for index := int64(0); proofs.TileWidth(size, level, index) > 0; index++ {
			id := proofs.TileID{Level: level, Index: index, Width: proofs.TileWidth(size, level, index)}
			list = append(list, id.Path())
			if level == proofs.EntriesLevel {
				list = append(list, pack.Path(id))
			}
		}
	}
	return list
}

// whole checks that the copy has everything that its checkpoint covers, and reads it as
// a static server's clients do; and that nothing in it is false.
func (w *world) whole() {
	w.Helper()
	size := w.size()
	srv := httptest.NewServer(http.FileServer(http.Dir(w.dir)))
	defer srv.Close()
	overHTTP, err := source.NewHTTP(srv.URL, nil)
	w.must(err)
	folder, err := source.OpenFolder(w.dir)
	if size == 0 && errors.Is(err, fs.ErrNotExist) {
		return
	}
	w.must(err)
	defer folder.Close()
	sources := []interface {
		audit.Source
		Pack(ctx context.Context, index int64, width int) ([]byte, error)
	}{folder}
	if w.checks++; w.checks%8 == 1 {
		sources = append(sources, overHTTP)
	}
	for _, src := range sources {
		for index := int64(0); index*proofs.FullWidth < size; index++ {
			width := proofs.TileWidth(size, 0, index)
			data, err := src.Entries(w.Context(), index, width)
			w.must(err)
			entries, err := proofs.ParseEntries(data)
			w.must(err)
			packed, err := src.Pack(w.Context(), index, width)
			w.must(err)
			files, err := pack.Parse(packed, entries)
			w.must(err)
			names := pack.Named(entries)
			for _, name := range names {
				file, err := src.Blob(w.Context(), name.Digest)
				w.must(err)
				inPack := slices.ContainsFunc(files, func(f pack.File) bool { return f.Digest == name.Digest })
				if tuf.Sum(file) != name.Digest || inPack != (len(file) <= pack.MaxFile) {
					w.Fatalf("file %v of bundle %d: %d bytes, in the pack: %v", name.Digest, index, len(file), inPack)
				}
			}
		}
		for _, path := range w.paths(size) {
			if strings.HasPrefix(path, "tile/files") {
				continue
			}
			id, err := proofs.ParseTilePath(path)
			w.must(err)
			var got []byte
			if id.Level < 0 {
				got, err = src.Entries(w.Context(), id.Index, id.Width)
			} else {
				got, err = src.Tile(w.Context(), id.Level, id.Index, id.Width)
			}
			w.must(err)
			if !bytes.Equal(got, w.serves(path)) {
				w.Fatalf("%s is another one", path)
			}
		}
	}
	w.nothingFalse()
}

// serves is what the log serves at a path, however it lies.
func (w *world) serves(path string) []byte {
	r := httptest.NewRecorder()
	w.log.ServeHTTP(r, httptest.NewRequest("GET", "/"+path, nil))
	if r.Code != http.StatusOK {
		return nil
	}
	return r.Body.Bytes()
}

// nothingFalse checks that every file of the copy is one that the log serves. The log of
// w is to be an honest one then.
func (w *world) nothingFalse() {
	w.Helper()
	w.must(filepath.WalkDir(w.dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		path, _ := filepath.Rel(w.dir, name)
		if err != nil || d.IsDir() || path == "lock" || path == "mirror" || path == "checkpoint" || path == "missing" || path == "fork.conflict" {
			return err
		}
		got, err := os.ReadFile(name)
		w.must(err)
		if rest, ok := strings.CutPrefix(path, "notes/"); ok {
			if c, err := w.log.Policy().OpenCheckpoint(got); err != nil || fmt.Sprint(c.Tree.N) != rest {
				w.Errorf("%s: %v", path, err)
			}
			return nil
		}
		if !bytes.Equal(got, w.serves(path)) {
			w.Errorf("%s has %d bytes that the log does not serve", path, len(got))
		}
		return nil
	}))
}

func TestUpdate(t *testing.T) {
	w := newWorld(t, 0)
	sizes := []int64{0, 3, 5, 256, 257, 700, 700, 1030}
	if testing.Short() {
		sizes = []int64{0, 3, 300}
	}
	end := sizes[len(sizes)-1]
	for _, size := range sizes {
		before := w.size()
		w.grow(size)
		var last atomic.Int64
		r, err := mirror.Update(t.Context(), mirror.Config{
			Dir: w.dir, Source: w.log.Source(), Policy: w.log.Policy(),
			Progress: func(done, total int64) {
				if last.Swap(done) >= done || total != size {
					t.Errorf("%d of %d", done, total)
				}
			},
		})
		w.must(err)
		if r.Before != before || r.Tree.N != size || r.Origin != audittest.Origin || len(r.Missing) > 0 || w.size() != size || size > before && last.Load() != size {
			t.Errorf("at %d: %+v, progress %d", size, r, last.Load())
		}
		if size == before && size > 0 && r.Files > 0 {
			t.Errorf("nothing is new, and %d files were written", r.Files)
		}
		w.whole()
	}
	partial, err := filepath.Glob(filepath.Join(w.dir, "tile/*/*.p"))
	w.must(err)
	last := fmt.Sprintf("%03d.p", end/proofs.FullWidth)
	want := []string{"0/" + last, "1/000.p", "entries/" + last, "files/" + last}
	for i := range partial {
		partial[i], _ = filepath.Rel(filepath.Join(w.dir, "tile"), partial[i])
	}
	if !slices.Equal(partial, want) {
		t.Errorf("partial tiles are in %q, want %q", partial, want)
	}
	// An audit of the copy sees the log.
	folder, err := source.OpenFolder(w.dir)
	w.must(err)
	defer folder.Close()
	a, err := audit.New(t.Context(), audit.Config{Source: folder, Policy: w.log.Policy()})
	w.must(err)
	defer a.Close()
	if step, err := a.Step(t.Context()); err != nil || step.To != end {
		t.Errorf("replayed to %d, %v", step.To, err)
	}
}

// broken is a log that goes away after so many reads, as if the process were killed
// then.
type broken struct {
	audit.Source
	packs interface {
		Pack(ctx context.Context, index int64, width int) ([]byte, error)
	}
	left atomic.Int64
}

func (w *world) broken(after int64) *broken {
	src := w.log.Source()
	b := &broken{Source: src, packs: src.(interface {
		Pack(ctx context.Context, index int64, width int) ([]byte, error)
	})}
	b.left.Store(after)
	return b
}

var errBroken = errors.New("the line is cut")

func (b *broken) gone() error {
	if b.left.Add(-1) < 0 {
		return errBroken
	}
	return nil
}

func (b *broken) Tile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	if err := b.gone(); err != nil {
		return nil, err
	}
	return b.Source.Tile(ctx, level, index, width)
}

func (b *broken) Entries(ctx context.Context, index int64, width int) ([]byte, error) {
	if err := b.gone(); err != nil {
		return nil, err
	}
	return b.Source.Entries(ctx, index, width)
}

func (b *broken) Pack(ctx context.Context, index int64, width int) ([]byte, error) {
	if err := b.gone(); err != nil {
		return nil, err
	}
	return b.packs.Pack(ctx, index, width)
}

func (b *broken) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	if err := b.gone(); err != nil {
		return nil, err
	}
	return b.Source.Blob(ctx, sum)
}

// Wherever an update ends, the copy is whole up to its checkpoint, has nothing that is
// false, and the next update goes on without asking for packs again that are there.
func TestBrokenOff(t *testing.T) {
	if testing.Short() {
		t.Skip("ends an update after each of its reads")
	}
	w := newWorld(t, 300)
	_, err := w.update(w.log.Source())
	w.must(err)
	w.grow(1030)
	ended := 0
	for after := int64(0); ; after++ {
		_, err := w.update(w.broken(after))
		if err == nil {
			break
		}
		if !errors.Is(err, errBroken) || errors.Is(err, mirror.ErrUntrue) || w.size() != 300 {
			t.Fatalf("after %d reads: size %d, %v", after, w.size(), err)
		}
		if ended++; ended%5 == 0 {
			w.whole()
		}
	}
	w.whole()
	if w.size() != 1030 || ended < 5 {
		t.Errorf("size %d after %d ends", w.size(), ended)
	}
	// A machine that loses power may leave files in which nothing is, behind the
	// checkpoint only.
	w.must(os.WriteFile(filepath.Join(w.dir, "checkpoint"), w.log.Checkpoint(300, 2), 0o644))
	w.must(os.MkdirAll(filepath.Join(w.dir, "tile/0/001.p"), 0o755))
	w.must(os.WriteFile(filepath.Join(w.dir, "tile/0/001.p/44"), w.serves("tile/0/001.p/44"), 0o644))
	for _, path := range []string{"tile/entries/002", "tile/0/003", "tile/files/002", "tile/1/000.p/4", "blob/sha256/" + tuf.Sum([]byte("file 800")).String()} {
		if _, err := os.Stat(filepath.Join(w.dir, path)); err != nil {
			t.Fatal(err)
		}
		w.must(os.WriteFile(filepath.Join(w.dir, path), nil, 0o644))
	}
	_, err = w.update(w.log.Source())
	w.must(err)
	w.whole()
}

// A copy that is damaged at its edge is not continued. Without its checkpoint it is
// verified and mended.
func TestDamaged(t *testing.T) {
	w := newWorld(t, 300)
	_, err := w.update(w.log.Source())
	w.must(err)
	tile := filepath.Join(w.dir, "tile/0/001.p/44")
	good, err := os.ReadFile(tile)
	w.must(err)
	for _, bad := range [][]byte{nil, good[:32], append(bytes.Clone(good[1:]), 1)} {
		w.must(os.WriteFile(tile, bad, 0o644))
		if _, err := w.update(w.log.Source()); err == nil || !strings.Contains(err.Error(), "without") || errors.Is(err, mirror.ErrUntrue) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	w.must(os.Remove(filepath.Join(w.dir, "checkpoint")))
	_, err = w.update(w.log.Source())
	w.must(err)
	w.whole()
}

// Nothing that a log or a server serves wrong gets into the copy under its name, and the
// error says that the log is to blame.
func TestLyingLog(t *testing.T) {
	if testing.Short() {
		t.Skip("makes ten copies")
	}
	honest := newWorld(t, 300)
	_, err := honest.update(honest.log.Source())
	honest.must(err)
	honest.grow(600)
	file := fmt.Appendf(nil, "file %d", 500)
	large := append(fmt.Appendf(nil, "file %d", 501), make([]byte, pack.MaxFile)...)
	for path, change := range map[string]func([]byte) ([]byte, error){
		"tile/entries/001":             audittest.Flip(1, 2),
		"tile/entries/002.p/88":        func(b []byte) ([]byte, error) { return b[:len(b)/2], nil },
		"tile/entries/001 too long":    func([]byte) ([]byte, error) { return nil, audit.ErrTooLarge },
		"tile/0/001":                   audittest.Flip(1, 2),
		"tile/0/002.p/88":              audittest.Flip(0, 2),
		"tile/1/000.p/2":               audittest.Flip(1, 2),
		audittest.BlobPath(large):      audittest.Flip(1, 2),
		audittest.BlobPath(file) + " ": audittest.Flip(1, 2),
	} {
		name := path
		path, _, _ = strings.Cut(path, " ")
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, checks: 1, log: honest.log.Clone(), dir: filepath.Join(t.TempDir(), "copy")}
			w.must(os.CopyFS(w.dir, os.DirFS(honest.dir)))
			w.log.Publish(2)
			w.log.Spoil(path, change)
			if strings.HasSuffix(name, " ") { // a small file, and packs do not have it
				for _, path := range []string{"tile/files/001", "tile/files/002.p/88"} {
					w.log.Spoil(path, audittest.Missing)
				}
			}
			_, err := w.update(w.log.Source())
			if !errors.Is(err, mirror.ErrUntrue) || w.size() != 300 {
				t.Errorf("size %d, %v", w.size(), err)
			}
			w.log = honest.log
			w.whole()
		})
	}
}

// A log that signs another history than the one that was copied is accused with a
// proof; a smaller tree of the same history is no fork.
func TestFork(t *testing.T) {
	w := newWorld(t, 300)
	other := w.log.Clone()
	w.grow(400)
	_, err := w.update(w.log.Source())
	w.must(err)
	keys := []proofs.Key{w.log.Signer.Key()}
	for _, size := range []int64{301, 400, 500} {
		for other.Size() < size {
			other.Append(fmt.Appendf(nil, "another history %d", other.Size()))
		}
		other.Serve(other.Checkpoint(size, 2))
		_, err := w.update(other.Source())
		var fork *mirror.ForkError
		if !errors.As(err, &fork) {
			t.Fatalf("at %d: %v", size, err)
		}
		b, err := os.ReadFile(fork.Path)
		w.must(err)
		c, err := fraud.ParseConflict(b)
		w.must(err)
		if v, err := c.Check(keys...); err != nil || len(v.By) != 1 {
			t.Errorf("at %d the proof shows %+v, %v", size, v, err)
		}
		w.whole()
	}
	w.log.Serve(w.log.Checkpoint(350, 2))
	if _, err := w.update(w.log.Source()); !errors.Is(err, mirror.ErrBehind) || w.size() != 400 {
		t.Errorf("an older checkpoint: size %d, %v", w.size(), err)
	}
	w.log.Publish(1)
	if _, err := w.update(w.log.Source()); err == nil || !strings.Contains(err.Error(), "the checkpoint that the log serves") {
		t.Errorf("without a quorum: %v", err)
	}
	if _, err := w.update(audittest.New(t).Source()); err == nil || w.size() != 400 {
		t.Errorf("another log: size %d, %v", w.size(), err)
	}
	w.whole()
}

// A file that the log does not serve is left out and listed, and put in its places when
// it comes.
func TestMissing(t *testing.T) {
	w := newWorld(t, 300)
	small, large := []byte("file 250"), append([]byte("file 1"), make([]byte, pack.MaxFile)...)
	packed := func() []byte { return w.serves("tile/files/000") }
	all := packed()
	for _, file := range [][]byte{small, large} {
		w.log.Spoil(audittest.BlobPath(file), audittest.Missing)
	}
	w.log.Spoil("tile/files/000", audittest.Missing)
	for range 2 {
		r, err := w.update(w.log.Source())
		w.must(err)
		if len(r.Missing) != 2 || !slices.Contains(r.Missing, mirror.Missing{Bundle: 0, Digest: tuf.Sum(small)}) || w.size() != 300 {
			t.Errorf("size %d, missing %v", w.size(), r.Missing)
		}
		list, err := os.ReadFile(filepath.Join(w.dir, "missing"))
		w.must(err)
		if strings.Count(string(list), "\n") != 2 || !strings.Contains(string(list), "0 "+tuf.Sum(large).String()+"\n") {
			t.Errorf("missing:\n%s", list)
		}
		if got, err := os.ReadFile(filepath.Join(w.dir, "tile/files/000")); err != nil || bytes.Contains(got, small) || len(got) >= len(all) {
			t.Errorf("the pack has %d bytes of %d, %v", len(got), len(all), err)
		}
	}
	w.grow(310) // the bundle that is not full has nothing missing
	w.log.Spoil(audittest.BlobPath(small), nil)
	r, err := w.update(w.log.Source())
	w.must(err)
	if len(r.Missing) != 1 {
		t.Errorf("missing %v", r.Missing)
	}
	w.log.Spoil(audittest.BlobPath(large), nil)
	r, err = w.update(w.log.Source())
	w.must(err)
	if _, err := os.Stat(filepath.Join(w.dir, "missing")); len(r.Missing) > 0 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing %v, %v", r.Missing, err)
	}
	w.log.Spoil("tile/files/000", nil)
	w.whole()
}

// A log that has grown since its checkpoint was read need not have the partial pack any
// more: the files are cut from the full one, and none is asked for by itself.
func TestPartialPackGone(t *testing.T) {
	w := newWorld(t, 0)
	for i := range int64(256) {
		l := leaf.Leaf{
			Kind: leaf.Release, Repository: tuf.Sum(nil), Role: "targets", Version: i + 1, Payload: tuf.Sum(nil),
			Metadata: tuf.Sum(fmt.Append(nil, i)), Size: int64(len(fmt.Append(nil, i))), Encoding: tuf.JSON,
		}
		w.log.Append(l.Marshal(), fmt.Append(nil, i))
	}
	w.log.Serve(w.log.Checkpoint(100, 2))
	w.log.Spoil("tile/files/000.p/100", audittest.Missing)
	_, err := w.update(w.log.Source())
	w.must(err)
	for _, path := range w.log.Read() {
		if strings.HasPrefix(path, "blob/") {
			t.Errorf("%s was asked for", path)
		}
	}
	w.log.Spoil("tile/files/000.p/100", nil)
	w.whole()
}

// Nobody has signed a pack, and no log need serve one: one that is wrong, too long, or cannot
// be read is left aside, and its files are asked for one by one.
func TestWrongPack(t *testing.T) {
	w := newWorld(t, 300)
	html := func([]byte) ([]byte, error) { return []byte("<html>"), nil }
	twice := func(b []byte) ([]byte, error) { return append(b, b[:100]...), nil }
	fails := func(err error) func([]byte) ([]byte, error) {
		return func([]byte) ([]byte, error) { return nil, err }
	}
	for _, spoil := range [][2]func([]byte) ([]byte, error){
		{html, twice},
		{fails(&fetch.StatusError{Status: http.StatusBadGateway}), fails(io.ErrUnexpectedEOF)},
		{fails(audit.ErrTooLarge), audittest.Missing},
	} {
		w.dir = filepath.Join(t.TempDir(), "copy")
		w.log.Spoil("tile/files/000", spoil[0])
		w.log.Spoil("tile/files/001.p/44", spoil[1])
		_, err := w.update(w.log.Source())
		w.must(err)
		w.log.Spoil("tile/files/000", nil)
		w.log.Spoil("tile/files/001.p/44", nil)
		w.whole()
	}
}

// A process that was killed when it had listed what is missing, and before it replaced
// the checkpoint, leaves files of bundles that its checkpoint does not cover.
func TestKilledWithMissing(t *testing.T) {
	w := newWorld(t, 200)
	_, err := w.update(w.log.Source())
	w.must(err)
	checkpoint := filepath.Join(w.dir, "checkpoint")
	old, err := os.ReadFile(checkpoint)
	w.must(err)
	w.grow(600)
	path := audittest.BlobPath([]byte("file 500"))
	w.log.Spoil(path, audittest.Missing)
	w.log.Spoil("tile/files/001", audittest.Missing)
	r, err := w.update(w.log.Source())
	w.must(err)
	if len(r.Missing) != 1 {
		t.Fatalf("missing %v", r.Missing)
	}
	w.must(os.WriteFile(checkpoint, old, 0o644))
	w.log.Spoil(path, nil)
	w.log.Spoil("tile/files/001", nil)
	if r, err = w.update(w.log.Source()); err != nil || len(r.Missing) > 0 {
		t.Fatalf("missing %v, %v", r, err)
	}
	w.whole()
}

// A directory with something else in it is left as it is.
func TestForeignDirectory(t *testing.T) {
	w := newWorld(t, 3)
	mine := filepath.Join(w.dir, "tmp", "mine")
	w.must(os.MkdirAll(filepath.Dir(mine), 0o755))
	w.must(os.WriteFile(mine, []byte("thesis"), 0o644))
	w.must(os.WriteFile(filepath.Join(w.dir, "checkpoint"), []byte("of a model"), 0o644))
	if _, err := w.update(w.log.Source()); err == nil || !strings.Contains(err.Error(), "is not the copy of a log") {
		t.Error(err)
	}
	if kept, err := os.ReadFile(mine); err != nil || string(kept) != "thesis" {
		t.Errorf("%q, %v", kept, err)
	}
	w.must(os.RemoveAll(w.dir))
	_, err := w.update(w.log.Source())
	w.must(err)
	w.must(os.Remove(filepath.Join(w.dir, "mirror"))) // as copies were before they had a mark
	if _, err := w.update(w.log.Source()); err != nil {
		t.Error(err)
	}
}

// A copy that comes from a stranger may have links in it: nothing outside of it is
// written or removed.
func TestLinksOutside(t *testing.T) {
	w := newWorld(t, 3)
	_, err := w.update(w.log.Source())
	w.must(err)
	outside := t.TempDir()
	mine := filepath.Join(outside, "0", "000.p", "mine")
	w.must(os.MkdirAll(filepath.Dir(mine), 0o755))
	w.must(os.WriteFile(mine, nil, 0o644))
	w.must(os.RemoveAll(filepath.Join(w.dir, "tile")))
	w.must(os.Symlink(outside, filepath.Join(w.dir, "tile")))
	w.must(os.Remove(filepath.Join(w.dir, "checkpoint")))
	w.grow(300)
	if _, err := w.update(w.log.Source()); err == nil {
		t.Error("a copy is written through a link")
	}
	var files []string
	w.must(filepath.WalkDir(outside, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, name)
		}
		return err
	}))
	if !slices.Equal(files, []string{mine}) {
		t.Errorf("outside are %v", files)
	}
}

// One process writes a copy at a time.
func TestHeld(t *testing.T) {
	w := newWorld(t, 3)
	w.must(os.MkdirAll(w.dir, 0o755))
	lock, err := lockfile.AcquireDir(w.dir)
	w.must(err)
	if _, err := w.update(w.log.Source()); !errors.Is(err, lockfile.ErrHeld) {
		t.Errorf("%v", err)
	}
	w.must(lock.Release())
	if _, err := w.update(w.log.Source()); err != nil {
		t.Error(err)
	}
}
