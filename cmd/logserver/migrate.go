package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/trillianlog"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

type migrateFlags struct {
	place
	shared

	// after, which may be nil, is called when a stage is complete; an error
	// ends the command there. It is for tests.
	after func(stage string) error
}

func newMigrate() *cobra.Command {
	var flags migrateFlags
	cmd := &cobra.Command{
		Use:   "migrate --dir DIR --storage URL --state URL",
		Short: "Move a log from its directory to servers, for several front ends",
		Long: `Migrate moves a log that is not served from its directory to servers: the entries
into a tree of Trillian's log server, which is made if the URL names none, and all
else into a PostgreSQL database, which must exist and be empty. Every entry keeps its
index, every root stays what it is, and the key is the same: witnesses and devices
notice nothing.

All that was copied is read back and compared before the last step, which hands over
the ledger, and with it the right to sign. The old ledger is retired first, for ever:
it is renamed to ledger.migrated, and who serves the old directory is told where the
log is now. From then on nothing is signed until migrate has completed the new log.

If it is broken off, at whatever point, run it again: it goes on. Run once more after
the end it says so and changes nothing. Servers that hold anything else are refused.
It exits 1 if what it has copied is not what it should be; then the log can be served
where it was.

The directory stays: front ends have their keys and tokens there. tree/, blobs.db and
state.db in it are not used any more.`,
		Example: `  logserver migrate --dir ./log --storage trillian://10.0.0.9:8090 --state postgres://tuflog@10.0.0.8/tuflog`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			size, err := migrate(cmd.Context(), &flags, cmd.ErrOrStderr())
			switch {
			case errors.Is(err, errMoved):
				fmt.Fprintln(cmd.OutOrStdout(), err)
				return nil
			case err != nil:
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the log was moved, with %d entries; its front ends are\n  logserver serve --dir %s --policy POLICY --listen HOST:PORT --storage %s --state %s\n",
				size, flags.dir, printable.ShellWord(flags.storageURL), printable.ShellWord(fetch.Redacted(flags.stateURL)))
			return nil
		},
	}
	flags.flags(cmd)
	flags.ledgerFlag(cmd)
	flags.sharedFlags(cmd)
	for _, name := range []string{"storage", "state"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was defined above
		}
	}
	return cmd
}

// errMoved means that there is nothing left to do.
var errMoved = errors.New("the log was moved there already; nothing was changed")

// migrate moves a log. The order of its stages is what makes it safe: see
// migration.handOver.
func migrate(ctx context.Context, flags *migrateFlags, stderr io.Writer) (size int64, err error) {
	if err := flags.check(); err != nil {
		return 0, err
	}
	closing := func(c io.Closer) { err = errors.Join(err, c.Close()) }
	m := &migration{flags: flags, stderr: stderr, logger: slog.New(slog.NewTextHandler(stderr, nil))}
	if err := m.openLedger(ctx); err != nil {
		return 0, err
	}
	defer closing(m.ledger)
	if err := m.openTarget(ctx); err != nil {
		return 0, err
	}
	defer m.db.Close()
	if err := m.openLog(ctx); err != nil {
		return 0, err
	}
	defer closing(m.storage)
	defer closing(m.blobs)
	if err := m.prepareTarget(ctx); err != nil {
		return 0, err
	}
	lease, err := takeLease(ctx, m.db)
	if err != nil {
		return 0, err
	}
	defer func() { giveUp(ctx, lease, m.logger) }()
	ctx, end := underLease(ctx, lease)
	defer end()
	for _, stage := range []struct {
		name string
		do   func(context.Context, *postgres.Lease) error
	}{{"copied", m.copy}, {"verified", m.verify}, {"handed over", m.handOver}} {
		if err := stage.do(ctx, lease); err != nil {
			return 0, errors.Join(err, context.Cause(lease.Context()))
		}
		if err := m.reached(stage.name); err != nil {
			return 0, err
		}
	}
	return m.tree.N, nil
}

// reached tells of a stage.
func (m *migration) reached(stage string) error {
	fmt.Fprintf(m.stderr, "%s\n", stage)
	if m.flags.after == nil {
		return nil
	}
	return m.flags.after(stage)
}

// copy brings the entries, the files and what is derived from them to the servers.
func (m *migration) copy(ctx context.Context, lease *postgres.Lease) (err error) {
	cfg := m.trillian
	cfg.Tiles, cfg.Until = m.db.Tiles(lease), lease.Until
	to, err := trillianlog.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	bar := cli.NewProgress(m.stderr, "copy", m.tree.N)
	err = (&maintain.Migration{
		From: m.storage, FromBlobs: m.blobs, Tree: m.tree,
		To: to, ToBlobs: m.db.Blobs(),
		Progress: func(n int) { bar.Add(int64(n)) },
		Logger:   m.logger,
	}).Run(ctx)
	bar.Done()
	if err != nil {
		return err
	}
	if err := m.reached("entries copied"); err != nil {
		return err
	}
	if err := m.copyVendors(ctx, lease); err != nil {
		return err
	}
	return indexUpTo(ctx, to, m.db.Blobs(), m.db.State(lease), m.tree, "derived state", m.stderr)
}

// copyVendors brings the tokens of repositories and what is held to the servers.
func (m *migration) copyVendors(ctx context.Context, lease *postgres.Lease) error {
	tokens, _, err := m.blobs.Tokens(ctx)
	if err != nil {
		return err
	}
	held, err := m.blobs.ListHeld(ctx)
	if err != nil {
		return err
	}
	return m.db.Holds(lease).Arrive(ctx, tokens, held, func(id string) (file, snapshot []byte, err error) { return m.blobs.HeldFiles(ctx, id) })
}

// verify reads back all that was copied: the entries and tiles that front ends
// read, and Trillian's leaves beside them, and every file.
func (m *migration) verify(ctx context.Context, _ *postgres.Lease) error {
	c := &servers{db: m.db, storage: m.trillian, logger: m.logger}
	trees := map[string]proofs.Tree{"the old ledger": m.record.Edge.Tree(), "the old storage": m.tree}
	if m.published.N > 0 {
		trees["the published checkpoint"] = m.published
	}
	withheld := 0
	bar := cli.NewProgress(m.stderr, "verify", m.tree.N)
	check := maintain.Fsck{
		Storage: trillianlog.OpenReader(m.db.Tiles(nil)), Stored: m.tree, Blobs: m.db.Blobs(), Trees: trees,
		Absent: func(sum tuf.Digest) bool {
			if _, err := m.blobs.Blob(ctx, sum); !errors.Is(err, fs.ErrNotExist) {
				return false
			}
			withheld++
			return true
		},
		Progress: func(n int) { bar.Add(int64(n)) },
	}
	problems, err := check.Run(ctx)
	bar.Done()
	if err != nil {
		return err
	}
	found, err := c.checkTrillian(ctx, m.tree.N, m.stderr)
	if err != nil {
		return err
	}
	problems = append(problems, found...)
	for _, p := range problems {
		fmt.Fprintln(m.stderr, p)
	}
	if len(problems) > 0 {
		return cli.Failed(fmt.Errorf("what was copied is not what it should be, in %d places", len(problems)))
	}
	if withheld > 0 {
		m.logger.Warn("files that leaves name were not there and were not copied", "files", withheld)
	}
	return nil
}

// handOver gives the servers the right to sign. The record of what was signed is
// in exactly one place that can be signed by, or in none, at every moment:
//
//   - the old ledger is retired, by one renaming that is durable: before it the
//     log is served from its directory as if nothing had been, after it nobody can
//     sign;
//   - the new ledger gets the record, together with the published checkpoint and
//     the name under which front ends find the log, in one transaction: after it
//     they can sign, and what they sign extends what was signed here.
//
// Broken off between the two, the log stands still until migrate is run again. The
// note in the retired ledger names the one database that may have the record.
func (m *migration) handOver(ctx context.Context, lease *postgres.Lease) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx) // the lease is lost: the other half could not be done
	}
	if m.moved == nil {
		moved := logdir.Moved{Origin: m.record.Origin, Target: m.target, Where: m.where(), Time: time.Now().UTC()}
		if err := m.ledger.Retire(moved); err != nil {
			return err
		}
		m.moved = &moved
	}
	// Whoever makes another ledger for the old directory is told, too.
	if err := m.moved.Write(m.flags.dir); err != nil {
		return err
	}
	if err := m.reached("retired"); err != nil {
		return err
	}
	arrival, err := m.arrival()
	if err != nil {
		return err
	}
	if err := m.db.Arrive(ctx, lease, storageName(m.trillian.TreeID), arrival); err != nil {
		return err
	}
	return m.arrived()
}

// arrived keeps in the old ledger's directory that the new one has the record, so
// that it is never given it again, by an old copy of the database above all.
func (m *migration) arrived() error {
	if m.moved.Arrived {
		return nil
	}
	m.moved.Arrived = true
	return m.moved.Write(m.flags.ledgerDir())
}

// arrival is what the new log gets in the end.
func (m *migration) arrival() (a postgres.Arrival, err error) {
	record, err := m.record.Marshal()
	if err != nil {
		return a, err
	}
	a = postgres.Arrival{Record: m.record, Checkpoint: m.checkpoint}
	if a.Actions, err = maintain.ReadActions(m.flags.ledgerDir()); err != nil {
		return a, err
	}
	a.Actions = append(a.Actions, maintain.Action{
		Time:   time.Now().UTC(),
		Action: "migrate",
		Detail: fmt.Sprintf("from %s, with %d entries", m.flags.dir, m.tree.N),
		After:  string(record),
	})
	return a, nil
}
