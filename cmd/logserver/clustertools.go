package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/tuflog/tuflog/cmd/internal/cli"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/metrics"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/trillianlog"
	"github.com/tuflog/tuflog/proofs"
)

// takeTime is how long a command waits for the lease of a front end that has just
// ended; one that runs keeps it.
const takeTime = 5 * time.Second

// take has a command write the log instead of any front end, until done is called.
func (s *shared) take(ctx context.Context, cfg log.Config) (c *cluster, lease *postgres.Lease, done func(), err error) {
	if c, err = s.connect(ctx, cfg, metrics.New()); err != nil {
		return nil, nil, nil, err
	}
	id, err := processID()
	if err != nil {
		c.db.Close()
		return nil, nil, nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, takeTime)
	defer cancel()
	if lease, err = c.db.Campaign(waiting, id, ""); err != nil {
		if leader, ok, _ := c.db.Leader(ctx); ok {
			err = fmt.Errorf("the front end at %s serves the log: stop all front ends that have its key first", leader.URL)
		}
		c.db.Close()
		return nil, nil, nil, err
	}
	return c, lease, func() { c.release(lease); c.db.Close() }, nil
}

// fixedCheckpoint is a published checkpoint that was read before.
type fixedCheckpoint []byte

func (f fixedCheckpoint) Load() ([]byte, error) { return f, nil }

func (f fixedCheckpoint) Store([]byte) error { return fs.ErrPermission }

// readStatus is the status of a log on servers, which may be served meanwhile: what
// can only grow is read after what must not be larger.
func (s *shared) readStatus(ctx context.Context, at place) (st status, err error) {
	keys, err := st.readKeys(at)
	if err != nil {
		return st, err
	}
	c, err := s.connect(ctx, log.Config{Logger: slog.New(slog.DiscardHandler)}, nil)
	if err != nil {
		return st, err
	}
	defer c.db.Close()
	leader, ok, err := c.db.Leader(ctx)
	if err != nil {
		return st, err
	}
	st.Served, st.Leader = ok, leader.URL
	position, err := c.db.State(nil).Position(ctx)
	if err != nil {
		return st, err
	}
	n := position.Tree().N
	st.State = &n
	signed, err := c.db.Checkpoints(nil).Load()
	if err != nil {
		return st, err
	}
	if cp, _, err := proofs.OpenCheckpoint(signed, keys...); err == nil {
		st.Published = treeOf(cp.Tree)
	}
	rec, err := c.db.Ledger(nil).Load()
	if err != nil {
		return st, err
	}
	st.setLedger(rec)
	storage := trillianlog.OpenReader(c.db.Tiles(nil))
	stored, err := storage.Integrated(ctx)
	if err != nil {
		st.explain(log.HaltStorageDamaged, err.Error(), "The copy of Trillian's entries is damaged: logserver reindex --tiles makes it anew")
		return st, nil
	}
	st.Storage = treeOf(stored)
	st.judge(ctx, fixedCheckpoint(signed), keys, rec, storage)
	return st, nil
}

// resume brings a ledger in the database forward.
func (s *shared) resume(ctx context.Context, at place, know, checkpoint string, stderr io.Writer) (size int64, err error) {
	if know != string(log.HaltLedgerBehind) {
		return 0, fmt.Errorf("--i-know %q: with --state want %s", know, log.HaltLedgerBehind)
	}
	keys, err := readKeys(at)
	if err != nil {
		return 0, err
	}
	c, lease, done, err := s.take(ctx, log.Config{Logger: slog.New(slog.NewTextHandler(stderr, nil))})
	if err != nil {
		return 0, err
	}
	defer done()
	var signed []byte
	to := "the published checkpoint"
	if checkpoint != "" {
		to = "the checkpoint in " + checkpoint
		signed, err = os.ReadFile(checkpoint)
	} else {
		signed, err = c.db.Checkpoints(lease).Load()
	}
	if err != nil {
		return 0, err
	}
	storage, err := c.openStorage(ctx, lease)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, storage.Close()) }()
	ledger := c.db.Ledger(lease)
	old, err := ledger.Load()
	if err != nil {
		return 0, err
	}
	next, err := log.RecordFromCheckpoint(ctx, signed, keys, storage, old)
	if err != nil {
		return 0, err
	}
	return moveLedger(ledger, old, next, know, to, func(a log.Action) error { return c.db.AppendAction(ctx, a) })
}

// freeze ends a log on servers.
func (s *shared) freeze(ctx context.Context, cfg log.Config) (size int64, err error) {
	c, lease, done, err := s.take(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer done()
	storage, l, err := c.openLeader(ctx, lease)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, storage.Close()) }()
	size = l.Publisher().Tree().N
	err = c.db.AppendAction(ctx, log.Action{Time: time.Now().UTC(), Action: "freeze", Detail: fmt.Sprintf("at size %d", size)})
	if err != nil {
		return size, err
	}
	return size, l.Publisher().Freeze(ctx)
}

// fsck checks a log on servers, which may be served meanwhile.
func (s *shared) fsck(ctx context.Context, at place, judge bool, stderr io.Writer) (report fsckReport, err error) {
	report.Problems = []string{}
	keys, err := readKeys(at)
	if err != nil {
		return report, err
	}
	c, err := s.connect(ctx, log.Config{Logger: slog.New(slog.NewTextHandler(stderr, nil))}, nil)
	if err != nil {
		return report, err
	}
	defer c.db.Close()
	trees, problems, err := c.knownTrees(ctx, keys)
	if err != nil {
		return report, err
	}
	report.Problems = append(report.Problems, problems...)
	storage := trillianlog.OpenReader(c.db.Tiles(nil))
	stored, err := storage.Integrated(ctx)
	if err != nil {
		if errors.Is(err, log.ErrUnavailable) {
			return report, err
		}
		report.Problems = append(report.Problems, fmt.Sprintf("the copy of Trillian's entries: %v", err))
	} else {
		report.Size = stored.N
		bar := cli.NewProgress(stderr, "fsck", stored.N)
		check := log.Fsck{Storage: storage, Stored: stored, Blobs: c.db.Blobs(), Trees: trees, Judge: judge, Progress: func(n int) { bar.Add(int64(n)) }}
		found, err := check.Run(ctx)
		bar.Done()
		report.Problems = append(report.Problems, found...)
		if err != nil {
			return report, err
		}
	}
	found, err := c.checkTrillian(ctx, report.Size, stderr)
	report.Problems = append(report.Problems, found...)
	if err != nil || len(report.Problems) > 0 {
		return report, err // a state made from a damaged log would say nothing
	}
	report.Problems, err = c.compareState(ctx, trees["the derived state"], stderr)
	return report, err
}

// compareState makes the derived state anew, as far as it goes, and compares. One
// that is written meanwhile cannot be compared.
func (c *cluster) compareState(ctx context.Context, tree proofs.Tree, stderr io.Writer) (found []string, err error) {
	found = []string{}
	anew, err := c.db.Scratch(ctx, nil)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, anew.Drop(ctx)) }()
	if err := c.index(ctx, trillianlog.OpenReader(c.db.Tiles(nil)), anew, tree, "derived state", stderr); err != nil {
		return found, err
	}
	state := c.db.State(nil)
	differences, err := state.Differences(ctx, anew)
	if err != nil {
		return found, err
	}
	now, err := state.Position(ctx)
	if err == nil && now.Tree() != tree {
		fmt.Fprintln(stderr, "the log grew meanwhile, so its derived state was not compared: stop the front ends for that")
		return found, nil
	}
	return append(found, differences...), err
}

// index takes a derived state up to a tree.
func (c *cluster) index(ctx context.Context, storage log.Storage, state log.State, tree proofs.Tree, what string, stderr io.Writer) error {
	stored, err := storage.Integrated(ctx)
	if err != nil {
		return err
	}
	indexer, err := log.OpenIndexer(ctx, storage, c.db.Blobs(), state, stored, c.logger)
	if err != nil {
		return err
	}
	bar := cli.NewProgress(stderr, what, tree.N)
	defer bar.Done()
	return indexer.CatchUp(ctx, tree, func(n int) { bar.Add(int64(n)) })
}

// reindex makes the derived state of a log on servers anew, and with tiles the copy
// of its entries before that.
func (s *shared) reindex(ctx context.Context, tiles bool, stderr io.Writer) (n int64, err error) {
	c, lease, done, err := s.take(ctx, log.Config{Logger: slog.New(slog.NewTextHandler(stderr, nil))})
	if err != nil {
		return 0, err
	}
	defer done()
	// The lease may be lost on the way; nothing is written after that.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(lease.Context(), func() { cancel(context.Cause(lease.Context())) })()
	if tiles {
		if err := c.rebuild(ctx, lease, stderr); err != nil {
			return 0, err
		}
	}
	storage, err := c.openStorage(ctx, lease)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, storage.Close()) }()
	tree, err := storage.Integrated(ctx)
	if err != nil {
		return 0, err
	}
	anew, err := c.db.Scratch(ctx, lease)
	if err != nil {
		return 0, err
	}
	if err := c.index(ctx, storage, anew, tree, "reindex", stderr); err != nil {
		return 0, errors.Join(err, anew.Drop(context.WithoutCancel(ctx)))
	}
	return tree.N, anew.Replace(ctx)
}

// rebuild makes the copy of Trillian's entries anew.
func (c *cluster) rebuild(ctx context.Context, lease *postgres.Lease, stderr io.Writer) (err error) {
	cfg := c.storage
	cfg.Tiles, cfg.Until = c.db.Tiles(lease), lease.Until
	trillian, err := trillianlog.Connect(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	bar := cli.NewProgress(stderr, "tiles", 0)
	defer bar.Done()
	return trillian.Rebuild(ctx, func(n int) { bar.Add(int64(n)) })
}

// knownTrees reads what the database says of the log beside its entries.
func (c *cluster) knownTrees(ctx context.Context, keys []proofs.Key) (trees map[string]proofs.Tree, problems []string, err error) {
	trees = map[string]proofs.Tree{}
	position, err := c.db.State(nil).Position(ctx)
	if err != nil {
		return nil, nil, err
	}
	trees["the derived state"] = position.Tree()
	signed, err := c.db.Checkpoints(nil).Load()
	if err != nil {
		return nil, nil, err
	}
	if signed != nil {
		cp, _, err := proofs.OpenCheckpoint(signed, keys...)
		if err != nil {
			problems = append(problems, fmt.Sprintf("the published checkpoint: %v", err))
		} else {
			trees["the published checkpoint"] = cp.Tree
		}
	}
	rec, err := c.db.Ledger(nil).Load()
	switch {
	case errors.Is(err, log.ErrUnavailable):
		return nil, nil, err
	case err != nil:
		problems = append(problems, fmt.Sprintf("the ledger: %v", err))
	default:
		trees["the ledger"] = rec.Edge.Tree()
	}
	return trees, problems, nil
}

// checkTrillian compares the copy with Trillian's leaves.
func (c *cluster) checkTrillian(ctx context.Context, size int64, stderr io.Writer) (found []string, err error) {
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
