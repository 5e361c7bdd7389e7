package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/cluster"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/trillianlog"
	"github.com/tuflog/tuflog/proofs"
)

// takeTime is how long a command waits for the lease of a front end that was killed. One
// that runs, and renews it, is not waited for.
const takeTime = 30 * time.Second

// releaseTime is how long giving the lease up may take. Not given up it expires.
const releaseTime = 2 * time.Second

// take has a command write the log instead of any front end, until done is called.
func (s *shared) take(ctx context.Context, logger *slog.Logger) (c *servers, lease *postgres.Lease, done func(), err error) {
	if c, err = s.connect(ctx, logger); err != nil {
		return nil, nil, nil, err
	}
	if lease, err = takeLease(ctx, c.db); err != nil {
		c.db.Close()
		return nil, nil, nil, err
	}
	// While it waited, another command may have put the log elsewhere.
	if err := c.db.CheckStorage(ctx, storageName(c.storage.TreeID)); err != nil {
		giveUp(ctx, lease, logger)
		c.db.Close()
		return nil, nil, nil, err
	}
	return c, lease, func() { giveUp(ctx, lease, logger); c.db.Close() }, nil
}

// giveUp gives a lease up that may be lost already.
func giveUp(ctx context.Context, lease *postgres.Lease, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := lease.Release(ctx); err != nil {
		logger.Warn("the lease was not given up; it expires by itself", "err", err)
		return
	}
	logger.Info("not leading the log any more")
}

// underLease returns a context that ends, with the reason, when the lease is lost: nothing
// is written after that. The caller calls end.
func underLease(ctx context.Context, lease *postgres.Lease) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(lease.Context(), func() { cancel(context.Cause(lease.Context())) })
	return ctx, func() { stop(); cancel(nil) }
}

// takeLease takes the lease for a command.
func takeLease(ctx context.Context, db *postgres.DB) (*postgres.Lease, error) {
	id, err := cluster.ProcessID()
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, takeTime)
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() {
		defer cancel()
		waitRenewal(waiting, db)
	})
	lease, err := db.Campaign(waiting, postgres.Candidate{ID: id})
	cancel()
	watching.Wait()
	if err == nil {
		return lease, nil
	}
	switch leader, ok, _ := db.Leader(ctx); {
	case ok && leader.URL != "":
		err = fmt.Errorf("the front end at %s serves the log: stop all front ends that have its key first", fetch.Redacted(leader.URL))
	case ok:
		err = fmt.Errorf("another command writes the log, in the process %s", leader.ID)
	}
	return nil, err
}

// waitRenewal returns when somebody has renewed the lease, or ctx ends.
func waitRenewal(ctx context.Context, db *postgres.DB) {
	const often = 100 * time.Millisecond
	var first postgres.Leader
	for seen := false; ; {
		leader, ok, err := db.Leader(ctx)
		switch {
		case err != nil || !ok:
		case !seen:
			first, seen = leader, true
		case leader.Epoch == first.Epoch && leader.Renewals > first.Renewals:
			return
		default:
			first = leader
		}
		if wait.For(ctx, often) != nil {
			return
		}
	}
}

// openWritten opens a log on servers for a command that writes it.
func (s *shared) openWritten(ctx context.Context, cfg *leader.Config) (*written, error) {
	c, lease, done, err := s.take(ctx, cfg.Logger)
	if err != nil {
		return nil, err
	}
	w := &written{record: c.db.AppendAction, lost: func() (log.Ledger, error) { return c.db.LostLedger(ctx, lease) }, closers: []func() error{func() error { done(); return nil }}}
	storage, err := c.openStorage(ctx, lease, nil)
	if err == nil && cfg.Publisher.Ending {
		err = c.finish(ctx, storage) // nothing may come behind the end
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	w.closers = append(w.closers, storage.Close)
	cfg.Publisher.Storage, cfg.Publisher.Ledger, cfg.Publisher.Checkpoints = storage, c.db.Ledger(lease), c.db.Checkpoints(lease)
	cfg.Blobs, cfg.State, cfg.Right = c.db.Blobs(), c.db.State(lease), lease.Context()
	return w, nil
}

// resume brings a ledger in the database forward, or makes it anew.
func (s *shared) resume(ctx context.Context, at place, know, checkpoint string, stderr io.Writer) (size int64, err error) {
	if err := checkKnown(know); err != nil {
		return 0, err
	}
	keys, err := readKeys(at)
	if err != nil {
		return 0, err
	}
	cfg := leader.Config{Config: httpd.Config{Logger: slog.New(slog.NewTextHandler(stderr, nil))}}
	w, err := s.openWritten(ctx, &cfg)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	var signed []byte
	to := "the published checkpoint"
	if checkpoint != "" {
		to = "the checkpoint in " + checkpoint
		signed, err = os.ReadFile(checkpoint)
	} else {
		signed, err = cfg.Publisher.Checkpoints.Load(ctx)
	}
	if err != nil {
		return 0, err
	}
	if signed == nil {
		return 0, errors.New("nothing is published: --checkpoint takes a checkpoint from another front end or a witness")
	}
	if know == string(maintain.HaltLedgerLost) {
		if cfg.Publisher.Ledger, err = w.lost(); err != nil {
			return 0, err
		}
	}
	return (&maintain.Forward{
		Ledger: cfg.Publisher.Ledger, Storage: cfg.Publisher.Storage, Keys: keys, Checkpoint: signed, From: to, Why: know,
		Record: w.record,
	}).Run(ctx)
}

// reindex makes the derived state of a log on servers anew, and with tiles the copy
// of its entries before that.
func (s *shared) reindex(ctx context.Context, tiles bool, stderr io.Writer) (n int64, err error) {
	c, lease, done, err := s.take(ctx, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return 0, err
	}
	defer done()
	ctx, end := underLease(ctx, lease)
	defer end()
	if tiles {
		if err := c.rebuild(ctx, lease, stderr); err != nil {
			return 0, err
		}
	}
	storage, err := c.openStorage(ctx, lease, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, storage.Close()) }()
	rec, err := c.db.Ledger(lease).Load(ctx)
	if err != nil {
		return 0, err
	}
	tree := rec.Edge.Tree() // what comes behind it nobody is known to have judged
	return tree.N, c.indexAnew(ctx, lease, storage, tree, stderr)
}

// indexAnew makes the derived state anew for a tree.
func (c *servers) indexAnew(ctx context.Context, lease *postgres.Lease, storage log.Storage, tree proofs.Tree, stderr io.Writer) error {
	anew, err := c.db.Scratch(ctx, lease)
	if err != nil {
		return err
	}
	err = indexUpTo(ctx, storage, c.db.Blobs(), anew, tree, "reindex", stderr)
	if err == nil {
		err = anew.Replace(ctx)
	}
	if err != nil {
		return errors.Join(err, anew.Drop(context.WithoutCancel(ctx)))
	}
	return nil
}

// rebuild makes the copy of Trillian's entries anew.
func (c *servers) rebuild(ctx context.Context, lease *postgres.Lease, stderr io.Writer) (err error) {
	cfg := c.storage
	cfg.Tiles, cfg.Until = c.db.Tiles(lease), lease.Until
	trillian, err := trillianlog.Connect(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	rec, err := c.db.Ledger(lease).Load(ctx)
	if err != nil {
		return err
	}
	bar := cli.NewProgress(stderr, "tiles", 0)
	defer bar.Done()
	return trillian.Rebuild(ctx, rec.Edge.Tree(), func(n int) { bar.Add(int64(n)) })
}

// serverLog is a log on servers to be looked at. Others may serve it meanwhile.
type serverLog struct{ c *servers }

func (s *shared) openKept(ctx context.Context, stderr io.Writer) (kept, error) {
	c, err := s.connect(ctx, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return nil, err
	}
	return &serverLog{c}, nil
}

func (s *serverLog) Close() error {
	s.c.db.Close()
	return nil
}

func (s *serverLog) ledger(ctx context.Context) (log.LedgerRecord, error) {
	return s.c.db.Ledger(nil).Load(ctx)
}

func (s *serverLog) published(ctx context.Context) ([]byte, error) {
	return s.c.db.Checkpoints(nil).Load(ctx)
}

func (s *serverLog) state(ctx context.Context) (stateSize, error) {
	return sizeOf(ctx, s.c.db.State(nil))
}

// storage opens the copy of Trillian's entries that front ends read.
func (s *serverLog) storage(ctx context.Context) (log.Storage, proofs.Tree, error) {
	storage := trillianlog.OpenReader(s.c.db.Tiles(nil))
	stored, err := storage.Integrated(ctx)
	return storage, stored, err
}

func (s *serverLog) reader() (log.State, error) { return s.c.db.State(nil), nil }

func (s *serverLog) blobs() (log.Blobs, error) { return s.c.db.Blobs(), nil }

func (s *serverLog) tokens(ctx context.Context) error {
	_, _, err := s.c.db.Tokens().Tokens(ctx)
	return err
}

func (s *serverLog) anew(ctx context.Context) (*secondState, error) {
	second, err := s.c.db.Scratch(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &secondState{
		State:       second,
		differences: func(ctx context.Context) ([]string, error) { return s.c.db.State(nil).Differences(ctx, second) },
		drop:        second.Drop,
	}, nil
}

// look tells who leads, and how far Trillian is.
func (s *serverLog) look(ctx context.Context, st *status) (err error) {
	leader, ok, err := s.c.db.Leader(ctx)
	if err != nil {
		return err
	}
	st.Shared, st.Served, st.Leader, st.leads, st.Epoch = true, ok, fetch.Redacted(leader.URL), leader.URL, leader.Epoch
	if ok && leader.URL == "" {
		st.Leader = "a command, in the process " + leader.ID
	}
	st.FrontEnds, err = frontEnds(ctx, s.c.db, leader.ID)
	switch {
	case errors.Is(err, log.ErrUnavailable):
		return err
	case err != nil:
		st.Fault(fmt.Sprintf("what its front ends say of themselves cannot be read: %v. The one that leads goes on; none knows which other one is able to lead", err),
			"Nothing is lost with it. A front end that has the log's key and runs makes the table again within a second, if the database lets it: its output says why not")
	}
	_, copied, err := s.storage(ctx)
	if err != nil {
		return nil // that was said
	}
	trillian, err := trillianlog.Connect(s.c.storage)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	root, err := trillian.Compare(ctx, copied)
	var halt *log.Halt
	switch {
	case errors.As(err, &halt):
		st.Trillian = treeOf(root)
		halt = withCommands(halt)
		st.Explain(halt.Code, halt.What, halt.Do)
	case err != nil:
		st.Explain(maintain.HaltTrillianAway, err.Error(), fmt.Sprintf("See whether Trillian's log server runs at %s, has its database and, with TLS, a certificate for that host that is of ca or of the system's authorities. What is published can be read meanwhile", s.c.storage.Target))
	default:
		st.Trillian = treeOf(root)
	}
	if err == nil {
		if state, err := trillian.TreeState(ctx); err == nil && state != "ACTIVE" {
			st.Explain(maintain.HaltTreeFrozen, fmt.Sprintf("Trillian's tree is %s: nothing can be appended to it", state), "Find out who has changed it, and set it to ACTIVE again (Trillian's updatetree)")
		}
	}
	return nil
}

// further compares the copy with Trillian's leaves.
func (s *serverLog) further(ctx context.Context, size int64, stderr io.Writer) ([]string, error) {
	return s.c.checkTrillian(ctx, size, stderr)
}

func (c *servers) checkTrillian(ctx context.Context, size int64, stderr io.Writer) (found []string, err error) {
	cfg := c.storage
	cfg.Tiles = c.db.Tiles(nil)
	trillian, err := trillianlog.Connect(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	bar := cli.NewProgress(stderr, "Trillian", size)
	err = trillian.Check(ctx, func(n int) { bar.Add(int64(n)) })
	bar.Done()
	if errors.Is(err, trillianlog.ErrContradiction) {
		return strings.Split(err.Error(), "\n"), nil
	}
	return nil, err
}
