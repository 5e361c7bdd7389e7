package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/bench/rehearsal"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/tesseralog"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// clockJumps sets the log's clock back and forward by a day while it runs, and
// between two runs. A program of Go reads its clock from the kernel's page, past
// LD_PRELOAD and past system calls, and time namespaces leave the wall clock
// alone: so here the log runs inside the harness, with a clock of its own, on its
// real storage and with a real witness.
func clockJumps(ctx context.Context, h *harness) ([]rehearsal.Row, error) {
	w, err := h.newWorld(ctx, "clock", 1, 1, place{})
	if err != nil {
		return nil, err
	}
	defer w.close()
	r := rehearsal.NewRow("clock back and forward by a day")
	c := &clocked{w: w}
	r.Held = c.jumps(ctx, h.clocks, &r)
	return []rehearsal.Row{r}, nil
}

// clocked is a log inside this process.
type clocked struct {
	w      *world
	ahead  atomic.Int64 // nanoseconds
	signed int64        // time in the ledger, POSIX seconds
}

const day = 24 * time.Hour

func (c *clocked) jumps(ctx context.Context, n int, r *rehearsal.Row) error {
	// Back first: a day in the past, now, a day ahead, a day in the past ...
	steps := []time.Duration{-day, 0, day, -day, day, 0}
	for i := 0; i < n; {
		err := c.run(ctx, func() error {
			for range min(3, n-i) {
				c.ahead.Store(int64(steps[i%len(steps)]))
				i++
				r.Injected++
				if err := c.once(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		r.Outcomes["restarts between them"]++
	}
	// As a process again, all that was seen must be there.
	if err := c.w.startLog(ctx); err != nil {
		return err
	}
	_, err := c.w.check(ctx)
	return err
}

// once sends a release after a jump and looks at the time of the signature.
func (c *clocked) once(ctx context.Context, r *rehearsal.Row) error {
	v, err := rehearsal.NewVendor()
	if err == nil {
		err = c.w.submit(ctx, c.w.url(), v.Genesis(), 10)
	}
	if err != nil {
		return fmt.Errorf("with the clock %v off: %w", time.Duration(c.ahead.Load()), err)
	}
	rec, err := c.ledger()
	if err != nil {
		return err
	}
	now := time.Now().Add(time.Duration(c.ahead.Load())).Unix()
	switch {
	case rec.Signed < c.signed:
		return fmt.Errorf("the time of signatures ran back from %d to %d", c.signed, rec.Signed)
	case rec.Signed < now-60:
		return fmt.Errorf("signed at %d when the clock said %d", rec.Signed, now)
	}
	c.signed = rec.Signed
	r.Outcomes["published, with a time that does not run back"]++
	return nil
}

// run opens the log, serves it while do runs, and closes it.
func (c *clocked) run(ctx context.Context, do func() error) (err error) {
	private, err := keyfile.Read(filepath.Join(c.w.logDir, "log.key"))
	if err != nil {
		return err
	}
	signer, err := proofs.ParseSigner(private)
	if err != nil {
		return err
	}
	closing := func(c io.Closer) { err = errors.Join(err, c.Close()) }
	storage, err := tesseralog.Open(ctx, tesseralog.Config{Dir: filepath.Join(c.w.logDir, "tree")})
	if err != nil {
		return err
	}
	defer closing(storage)
	ledger, err := logdir.OpenLedger(c.w.ledgerDir)
	if err != nil {
		return err
	}
	defer closing(ledger)
	blobs, err := sqlite.OpenBlobs(filepath.Join(c.w.logDir, "blobs.db"))
	if err != nil {
		return err
	}
	defer closing(blobs)
	state, err := sqlite.OpenState(filepath.Join(c.w.logDir, "state.db"))
	if err != nil {
		return err
	}
	defer closing(state)
	witnesses, err := client.NewGatherer(c.w.policy, nil)
	if err != nil {
		return err
	}
	defer witnesses.Close()
	l, err := leader.Open(ctx, leader.Config{
		Publisher: publisher.Config{
			Signer: signer, Policy: c.w.policy, Storage: storage, Ledger: ledger, Witnesses: witnesses,
			Checkpoints: logdir.NewCheckpoint(filepath.Join(c.w.logDir, "checkpoint")),
			Now:         func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) },
		},
		Config: httpd.Config{Blobs: blobs, State: state, Logger: slog.New(slog.DiscardHandler)},
	})
	if err != nil {
		return err
	}
	return c.serve(ctx, l, do)
}

func (c *clocked) serve(ctx context.Context, l *leader.Log, do func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- l.Run(ctx) }()
	server := httptest.NewServer(l.Handler())
	c.w.addr = server.Listener.Addr().String()
	err := do()
	cancel()
	err = errors.Join(err, <-ran)
	c.w.http.CloseIdleConnections()
	server.Close()
	c.w.addr = ""
	return err
}

func (c *clocked) ledger() (log.LedgerRecord, error) {
	b, err := os.ReadFile(filepath.Join(c.w.ledgerDir, "ledger"))
	if err != nil {
		return log.LedgerRecord{}, err
	}
	return log.ParseLedgerRecord(b)
}
