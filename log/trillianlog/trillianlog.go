// Package trillianlog keeps a log in a Trillian server, in a tree of the type
// PREORDERED_LOG, where the appending process assigns the indices. Only one
// process may append at a time; a lease elsewhere decides which, and Config.Until
// returns until when. Trillian itself is a second line of defence: it never
// assigns an index twice.
//
// The identity of a leaf is SHA-256 over its index (8 bytes, big endian) and its
// bytes. So a batch whose outcome is unknown can be sent again, unchanged, until
// the outcome is known: leaves that have arrived before are reported and not
// added twice. Nothing else is appended before that.
//
// A leader's call may arrive when another process leads, because Trillian does not
// check a lease. So a leader keeps the batch where its successor finds it, before it
// sends any of it (Config.Kept), and the successor sends that very batch first
// (Finish): a late call then finds its leaves in place. The first append after Open
// has only one leaf, for leaders that do not keep batches: if its index is taken,
// nothing else has landed after it.
//
// Readers get tiles and bundles, which Trillian does not have. They are a copy,
// kept in Tiles and made from Trillian's leaves: every new leaf is read back,
// hashed onto the copy's right edge, and the root compared with Trillian's before
// anything is written. The copy can be checked against Trillian (Check) and
// rebuilt (Rebuild) at any time.
//
// Operators: after creating a tree, and after the first batches, run ANALYZE in
// Trillian's PostgreSQL database, or the signer needs seconds for each pass.
package trillianlog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/trillian"
	"google.golang.org/grpc"

	"github.com/tuflog/tuflog/proofs"
)

var (
	// ErrContradiction means that the copy does not agree with Trillian. A
	// person has to find out which is wrong. Errors of an open log that wrap it
	// wrap a *log.Halt, too.
	ErrContradiction = errors.New("the copy of the log contradicts Trillian")
	// errForeign means that another process has appended at an index that was
	// to be used. Reading the index shows the entry.
	errForeign = errors.New("somebody else has appended to the log")
	// errNoRight means that nothing was sent to Trillian because the right to
	// append has ended.
	errNoRight = errors.New("the right to append to the log has ended")
	// ErrNoTree means that Trillian does not have a tree of that number, or that
	// it was deleted.
	ErrNoTree = errors.New("no such tree in Trillian")
)

// Tiles stores the copy: the log as tiles and bundles. Each call is one
// transaction. A tile is named by its level (-1: bundle of entries) and its
// index, and is as wide as the copy's size makes it.
type Tiles interface {
	// Size returns the number of entries that the copy covers.
	Size(ctx context.Context) (int64, error)
	// Tile returns a tile; fs.ErrNotExist if the copy does not have it.
	Tile(ctx context.Context, level int, index int64) ([]byte, error)
	// Extend extends the copy from one size to another, and replaces each tile
	// by the one of its level and index: all of it, or nothing. It fails unless
	// the copy has size from.
	Extend(ctx context.Context, from, to int64, tiles map[proofs.TileID][]byte) error
	// Reset sets the copy to size 0, without any tiles.
	Reset(ctx context.Context) error
}

// Config configures a Log.
type Config struct {
	// Target is the log server: host:port, or any other gRPC target.
	Target string
	// TreeID is the number of the tree, of the type PREORDERED_LOG.
	TreeID int64
	// TLS is for the connection. Nil means plain text.
	TLS *tls.Config
	// Tiles keeps the copy.
	Tiles Tiles
	// Until returns the time at which the right to append ends, on the
	// monotonic clock. No call that appends lasts longer. Nil means that it
	// never ends.
	Until func() time.Time
	// Kept returns an error if a batch must not be sent. It returns nil if the
	// batch is kept for the next process that appends, which finishes it (Finish),
	// however late the calls of this process arrive. A nil Kept means that no other
	// process ever appends to the tree.
	Kept func(first int64, entries [][]byte) error
	// PollInterval is the shortest time to wait before asking whether the signer
	// has integrated appended leaves. The first wait is usually as long as the
	// signer usually takes, further ones are up to 10 ms. Zero means 5 ms.
	PollInterval time.Duration
	// Logger reports events to the operator. Nil means slog.Default().
	Logger *slog.Logger

	// dialOptions are for tests: faults on the way to a real server.
	dialOptions []grpc.DialOption
}

const (
	closeTime = 30 * time.Second // that Close waits for an Append
	leaveTime = 2 * time.Second  // that Close waits for the outcome of the last one
	copyTime  = 10 * time.Second // for one call of Tiles that has no other limit
)

// Log is an open log. It implements log.Storage.
type Log struct {
	cfg    Config
	client client
	away   atomic.Bool // Watch has given up
	closed chan struct{}
	once   sync.Once
	// disconnect ends the calls that are under way.
	disconnect func() error

	// turn is held by the one who appends, or takes over what was appended.
	// What follows belongs to him.
	turn chan struct{}
	// front is where the copy ends; nil where it must be read first.
	front *frontier
	// pending is what was sent to Trillian with an unknown outcome.
	pending []*trillian.LogLeaf
	// landed is the size that Trillian will have at least, once the signer has
	// integrated what was appended.
	landed int64
	// probe is set when others may have appended what is not integrated yet.
	probe bool
	// alone is set when the next append is to bring one leaf.
	alone bool
	seen  time.Time     // when Trillian's root was last compared
	usual time.Duration // that the signer takes, about

	size  atomic.Int64 // of the tree that Integrated last returned
	cache cache
}

// Connect prepares a log without looking at it: for Check and Rebuild, which are
// for copies that Open refuses. Everything else looks at the copy first.
func Connect(cfg Config) (*Log, error) {
	if cfg.PollInterval == 0 {
		cfg.PollInterval = 5 * time.Millisecond
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	conn, err := dial(cfg.Target, cfg.TLS, cfg.dialOptions...)
	if err != nil {
		return nil, err
	}
	return &Log{
		cfg:    cfg,
		client: newClient(conn, cfg.TreeID),
		closed: make(chan struct{}),
		turn:   make(chan struct{}, 1),
		probe:  true,
		alone:  true,

		disconnect: sync.OnceValue(conn.Close),
	}, nil
}

// Open opens a log for the process that may append to it. It compares the copy
// with Trillian, takes over what Trillian has beyond it, and waits for what a
// former leader has left to the signer. A copy that Trillian contradicts is
// refused.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	l, err := Connect(cfg)
	if err != nil {
		return nil, err
	}
	if _, err := l.Integrated(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open log: %w", err), l.Close())
	}
	return l, nil
}

func (l *Log) take(ctx context.Context) error {
	select {
	case <-l.closed:
		return errors.New("the log is closed")
	default:
	}
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-l.closed:
		return errors.New("the log is closed")
	case <-ctx.Done():
		return fmt.Errorf("an earlier append has not ended: %w", context.Cause(ctx))
	}
}

func (l *Log) release() { <-l.turn }

// Integrated implements log.Storage: the tree of the copy, after all that
// Trillian has was taken over.
func (l *Log) Integrated(ctx context.Context) (proofs.Tree, error) {
	if err := l.take(ctx); err != nil {
		return proofs.Tree{}, err
	}
	defer l.release()
	if err := l.settle(ctx, true); err != nil {
		return proofs.Tree{}, err
	}
	l.size.Store(l.front.size())
	return l.front.tree.Tree(), nil
}

// Close implements log.Storage.
func (l *Log) Close() error {
	var err error
	l.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		// The turn is kept: nothing can be appended any more.
		if err = l.take(ctx); err == nil && !l.away.Load() {
			l.leave()
		}
		close(l.closed)
		err = errors.Join(err, l.disconnect())
	})
	return err
}

// leave tries to find out what became of the last append, so that whoever opens
// the log next need not: an empty tree does not even show what the signer has not
// integrated yet.
func (l *Log) leave() {
	if l.pending == nil && (l.front == nil || l.landed <= l.front.size()) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	if err := l.settle(ctx, false); err != nil {
		l.cfg.Logger.Warn("the log is closed without the end of an append", "err", err)
	}
}
