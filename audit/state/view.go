package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/tuflog/tuflog/internal/sqlitefile"
)

// maxReaders is how many readers a View has at a time: others wait.
const maxReaders = 8

// ErrReplaced means that what a View has read may be of two states, because somebody began to
// write the file, or put another one in its place: read it again.
var ErrReplaced = errors.New("somebody began to write it while it was read; read it again")

// View reads the state in a directory while a DB writes it, in the same process or in another
// one. It never writes, and does not take the directory. It is safe for concurrent use.
//
// A View does not mind that the state is not there yet, goes away or is replaced by another:
// each At reads that which is there.
type View struct {
	path    string
	readers chan struct{} // has one for each that is in use
	mu      sync.Mutex
	now     *viewed // nil: none has been opened
	opened  uint64  // how many have been
	closed  bool
}

// viewed is a file that is open.
type viewed struct {
	pool   *sql.DB
	info   fs.FileInfo
	number uint64      // among those that the View has opened, from 1
	still  bool        // nobody was writing it
	whole  atomic.Bool // it has all tables and indexes
	free   []*Reader
	used   int
	old    bool // it is closed when nobody uses it
}

// NewView returns a View of the state in a directory, which need not be there.
func NewView(dir string) *View {
	return &View{path: filepath.Join(dir, FileName), readers: make(chan struct{}, maxReaders)}
}

// OpenView returns a View of a state that is there. If there is none, the error wraps
// fs.ErrNotExist; if what is there is damaged, ErrDamaged; if another version of this program
// wrote it, ErrVersion.
func OpenView(ctx context.Context, dir string) (*View, error) {
	v := NewView(dir)
	if err := v.At(ctx, func(*Reader) error { return nil }); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// At calls fn with a Reader of the state of the newest commit, which stays the same until fn
// returns, and no longer. It waits until a Reader is free. As long as fn has not returned,
// what is written cannot be put in its place in the file, so it must not wait for a client.
// Errors are those of OpenView and of fn, and the context's.
func (v *View) At(ctx context.Context, fn func(*Reader) error) error {
	select {
	case v.readers <- struct{}{}:
		defer func() { <-v.readers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // see Reader.stmt
	f, r, err := v.take(ctx)
	if err != nil {
		return explained(err)
	}
	whole := false
	defer func() { v.give(f, r, whole) }() // also if fn panics
	if err := f.begin(ctx, r); err != nil {
		return explained(err)
	}
	err = fn(r)
	if endErr := r.exec(ctx, "ROLLBACK"); endErr != nil {
		return errors.Join(err, endErr)
	}
	whole = true
	if f.still && !v.same(f) {
		// What was read may be of both states.
		return errors.Join(err, &Error{fmt.Errorf("%s: %w", v.path, ErrReplaced)})
	}
	return err
}

// Close closes the files. An At that is going on goes on.
func (v *View) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	return v.drop()
}

// take returns a reader of the file that is there now.
func (v *View) take(ctx context.Context) (*viewed, *Reader, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil, nil, errors.New("the view is closed")
	}
	if v.now != nil && !v.same(v.now) {
		if err := v.drop(); err != nil {
			return nil, nil, err
		}
	}
	if v.now == nil {
		f, err := openViewed(v.path)
		if err != nil {
			return nil, nil, err
		}
		v.opened++
		f.number, v.now = v.opened, f
	}
	f := v.now
	var r *Reader
	if n := len(f.free); n > 0 {
		r, f.free = f.free[n-1], f.free[:n-1]
	} else {
		conn, err := f.pool.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		r = &Reader{conn: conn, file: f.number}
	}
	f.used++
	return f, r, nil
}

// give takes a reader back; one that is not whole is not used again.
func (v *View) give(f *viewed, r *Reader, whole bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f.used--
	if whole {
		f.free = append(f.free, r)
	} else {
		_ = r.close()
	}
	if f.old && f.used == 0 {
		_ = f.close()
	}
}

// drop closes the file that is open, when nobody uses it.
func (v *View) drop() error {
	f := v.now
	v.now = nil
	if f == nil {
		return nil
	}
	if f.old = true; f.used > 0 {
		return nil
	}
	return f.close()
}

func (f *viewed) close() error {
	var errs []error
	for _, r := range f.free {
		errs = append(errs, r.close())
	}
	f.free = nil
	return errors.Join(append(errs, f.pool.Close())...)
}

// same reports whether a file is the one that is there now, and is read as it has to be.
func (v *View) same(f *viewed) bool {
	info, err := os.Stat(v.path)
	if err != nil || !os.SameFile(info, f.info) {
		return false
	}
	return !f.still || info.Size() == f.info.Size() && info.ModTime().Equal(f.info.ModTime()) && isStill(v.path)
}

// isStill reports whether nobody has a file open for writing, and has left nothing to be read
// beside it.
func isStill(path string) bool {
	_, err := os.Stat(path + "-wal")
	return errors.Is(err, fs.ErrNotExist)
}

func openViewed(path string) (*viewed, error) {
	f := &viewed{still: isStill(path)}
	var err error
	if f.info, err = os.Stat(path); err != nil {
		return nil, err
	}
	// SQLite would make the files beside it that it needs for reading while somebody
	// writes, and with an owner who may be another.
	open := sqlitefile.ReadChecked
	if f.still {
		open = sqlitefile.ReadStill
	}
	f.pool, err = open(path, version, "query_only(1)", viewCacheSize)
	if errors.Is(err, sqlitefile.ErrNew) { // who makes it has not ended
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	if errors.Is(err, sqlitefile.ErrVersion) {
		return nil, otherVersion(path, err)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

const viewCacheSize = "cache_size(-8192)" // KiB, for each reader

// begin begins to read one state.
func (f *viewed) begin(ctx context.Context, r *Reader) error {
	r.forget()
	if err := r.exec(ctx, "BEGIN"); err != nil {
		return err
	}
	if !f.whole.Load() {
		if err := r.complete(ctx); err != nil {
			return err
		}
		f.whole.Store(true)
	}
	tree, err := r.Judged(ctx)
	if err != nil {
		return err
	}
	var last int64
	if _, err := r.row(ctx, "SELECT coalesce(max(leaf), -1) FROM leaves", nil, &last); err != nil {
		return err
	}
	if last+1 != tree.N {
		return damaged("its last leaf is %d, and its edge is that of %d leaves", last, tree.N)
	}
	r.size = tree.N
	return nil
}
