// Package tesseralog keeps a log in one directory with Tessera's POSIX driver.
//
// Tessera is made to be the log: it signs and publishes checkpoints of its own.
// Here it only sequences and integrates. Its checkpoint is signed by a key that
// is thrown away, is never served, and exists because its clean-up and its
// shutdown wait for it. This package prevents damage from outside Tessera: a
// lock keeps the directory to one process; a directory that has tiles but lost
// its state is not opened, because Tessera would begin again at size 0; entries
// of one Append may be split and reordered between Tessera's batches, so every
// entry's own index is returned; and the outcome of an Append is awaited even
// when its caller has given up, because until then the content of the log is
// unknown.
package tesseralog

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/klog/v2"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Config configures a Log.
type Config struct {
	// Dir is the log's directory. Nothing else may write to it.
	Dir string
	// MaxBatch is the number of entries that Tessera integrates at once. One
	// Append should not have more. Zero means 4096.
	MaxBatch uint
	// CheckpointInterval is how often Tessera writes its checkpoint, which is
	// never served; Close waits for one. Zero means 1 s, the minimum is 100 ms.
	CheckpointInterval time.Duration
	// SettleTimeout is how long Close waits for a running Append. Zero means 30
	// s.
	SettleTimeout time.Duration
}

// batchMaxAge is how long Tessera lets a batch grow: an Append brings its
// entries all at once, so waiting for more would be for nothing.
const batchMaxAge = time.Millisecond

// Log is an open log.
type Log struct {
	cfg      Config
	lock     *lockfile.Lock
	add      tessera.AddFn
	shutdown func(context.Context) error
	reader   tessera.LogReader
	cancel   context.CancelFunc

	// turn is held by an Append until its outcome is known.
	turn chan struct{}
	size atomic.Int64 // of the tree that Integrated last returned
}

// Create makes an empty log in dir, which must not exist or be empty.
func Create(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty: it holds %s", dir, entries[0].Name())
	}
	lock, err := lockfile.AcquireDir(dir)
	if err != nil {
		return err
	}
	l, err := start(ctx, Config{Dir: dir}, lock)
	if err != nil {
		return errors.Join(err, lock.Release())
	}
	return errors.Join(l.Close(), durable.SyncDir(filepath.Dir(filepath.Clean(dir))))
}

// Open opens a log that Create made. It refuses a log that has lost its state.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if _, err := os.Stat(cfg.Dir); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	lock, err := lockfile.AcquireDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	state := filepath.Join(cfg.Dir, ".state", "treeState")
	if _, err := os.Stat(state); err != nil {
		return nil, errors.Join(fmt.Errorf("open log: %s is lost (%w); Tessera would begin a new log at size 0 over the old tiles: restore the whole directory", state, err), lock.Release())
	}
	l, err := start(ctx, cfg, lock)
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	if _, err := l.Integrated(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// quiet keeps Tessera's chatter off stderr, which belongs to the program; its
// warnings and errors go to slog. Its logger is one for the whole process.
var quiet = sync.OnceFunc(func() {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "FATAL", "skip_headers": "true"} {
		if err := flags.Set(name, value); err != nil {
			panic("tesseralog: klog has no flag " + name)
		}
	}
	klog.SetOutputBySeverity("INFO", io.Discard)
	klog.SetOutputBySeverity("WARNING", warnings{})
	klog.SetOutputBySeverity("ERROR", io.Discard) // they are among the warnings
})

type warnings struct{}

func (warnings) Write(line []byte) (int, error) {
	slog.Warn("tessera", "says", strings.TrimSpace(string(line)))
	return len(line), nil
}

func start(ctx context.Context, cfg Config, lock *lockfile.Lock) (*Log, error) {
	if cfg.MaxBatch == 0 {
		cfg.MaxBatch = 4096
	}
	if cfg.CheckpointInterval == 0 {
		cfg.CheckpointInterval = time.Second
	}
	if cfg.SettleTimeout == 0 {
		cfg.SettleTimeout = 30 * time.Second
	}
	quiet()
	signer, err := throwAwaySigner()
	if err != nil {
		return nil, err
	}
	// Tessera's background work must outlive the context of whoever opened
	// the log: futures never resolve once theirs is cancelled.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	driver, err := posix.New(ctx, posix.Config{Path: cfg.Dir})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open log: %w", err)
	}
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(cfg.CheckpointInterval).
		WithCheckpointRepublishInterval(0).
		WithBatching(cfg.MaxBatch, batchMaxAge))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &Log{
		cfg:      cfg,
		lock:     lock,
		add:      appender.Add,
		shutdown: shutdown,
		reader:   reader,
		cancel:   cancel,
		turn:     make(chan struct{}, 1),
	}, nil
}

// throwAwaySigner signs the checkpoints that are never served.
func throwAwaySigner() (note.Signer, error) {
	private, _, err := note.GenerateKey(rand.Reader, "tuflog-internal-never-served")
	if err != nil {
		return nil, err
	}
	return note.NewSigner(private)
}

// Append implements log.Storage.
func (l *Log) Append(ctx context.Context, entries [][]byte) ([]int64, error) {
	prepared := make([]*tessera.Entry, len(entries))
	for i, e := range entries {
		prepared[i] = tessera.NewEntry(e)
	}
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	type outcome struct {
		indices []int64
		err     error
	}
	settled := make(chan outcome, 1)
	go func() {
		defer l.release()
		indices, err := l.settle(context.WithoutCancel(ctx), prepared)
		settled <- outcome{indices, err}
	}()
	select {
	case o := <-settled:
		return o.indices, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("append of %d entries has not ended: %w", len(entries), context.Cause(ctx))
	}
}

// settle adds the entries, whether or not anybody still waits for it, and waits for the index of each.
func (l *Log) settle(ctx context.Context, entries []*tessera.Entry) ([]int64, error) {
	futures := make([]tessera.IndexFuture, len(entries))
	for i, e := range entries {
		futures[i] = l.add(ctx, e)
	}
	indices := make([]int64, len(entries))
	var errs []error
	for i, f := range futures {
		index, err := f()
		if err == nil && (index.IsDup || index.Index > math.MaxInt64) {
			err = fmt.Errorf("tessera assigned index %d, duplicate %v", index.Index, index.IsDup)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		indices[i] = int64(index.Index)
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("append: %d of %d entries failed: %w", len(errs), len(entries), errs[0])
	}
	return indices, nil
}

func (l *Log) take(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("an earlier append has not ended: %w", context.Cause(ctx))
	}
}

func (l *Log) release() { <-l.turn }

// Integrated implements log.Storage.
func (l *Log) Integrated(ctx context.Context) (proofs.Tree, error) {
	if err := l.take(ctx); err != nil {
		return proofs.Tree{}, err
	}
	defer l.release()
	size, err := l.reader.IntegratedSize(ctx)
	if err != nil {
		return proofs.Tree{}, fmt.Errorf("integrated size: %w", err)
	}
	if size > math.MaxInt64 {
		return proofs.Tree{}, fmt.Errorf("integrated size: %d", size)
	}
	l.size.Store(int64(size))
	return log.TreeFromTiles(ctx, int64(size), l)
}

// ReadTile implements log.Storage.
func (l *Log) ReadTile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	return l.read(proofs.TileID{Level: level, Index: index, Width: width})
}

// ReadEntries implements log.Storage.
func (l *Log) ReadEntries(_ context.Context, index int64, width int) ([]byte, error) {
	return l.read(proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: width})
}

// read reads the file that belongs to the present tree, or the full one where the
// tree has grown since its size was read, and the partial file was cleaned up. A
// narrower file, even if it is there, can be the remains of a batch that a crash
// cut short, and hold what never became part of the log.
func (l *Log) read(id proofs.TileID) ([]byte, error) {
	size := l.size.Load()
	if !id.In(size) {
		return nil, fmt.Errorf("%s: %w", id.Path(), fs.ErrNotExist)
	}
	present := id
	present.Width = proofs.TileWidth(size, id.Level, id.Index)
	data, err := present.Read(fs.ErrNotExist, func(id proofs.TileID) ([]byte, error) {
		return os.ReadFile(filepath.Join(l.cfg.Dir, filepath.FromSlash(id.Path())))
	})
	if err != nil {
		return nil, err
	}
	whole, err := present.Cut(data)
	if err != nil || len(whole) != len(data) {
		return nil, fmt.Errorf("%s is damaged: %d bytes: %v", present.Path(), len(data), err)
	}
	if id == present {
		return data, nil
	}
	return id.Cut(data)
}

// Close implements log.Storage.
func (l *Log) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.SettleTimeout)
	defer cancel()
	// The turn is kept: nothing can be appended any more.
	settled := l.take(ctx)
	// Tessera's checkpoint decides nothing here: that it is late is no reason
	// to call the log badly closed.
	patience, cancel2 := context.WithTimeout(ctx, 2*l.cfg.CheckpointInterval)
	defer cancel2()
	ended := l.shutdown(patience)
	if errors.Is(ended, context.DeadlineExceeded) {
		ended = nil
	}
	l.cancel()
	return errors.Join(settled, ended, l.lock.Release())
}
