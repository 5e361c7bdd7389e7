package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/log/dirlog"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/serverlog"
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
it is renamed to ledger.migrated, and a server of the old directory is told where the
log is now. From then on nothing is signed until migrate has completed the new log.

If it is broken off, at any point, run it again: it goes on. Run once more after
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
			case errors.Is(err, maintain.ErrMoved):
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

// migrate moves a log: see maintain.Move.
func migrate(ctx context.Context, flags *migrateFlags, stderr io.Writer) (size int64, err error) {
	if err := flags.log().Check(); err != nil {
		return 0, err
	}
	keys, err := readKeys(flags.place)
	if err != nil {
		return 0, err
	}
	logger, to := textLogger(stderr), flags.servers()
	size, err = (&maintain.Move{
		Dir:       flags.dir,
		LedgerDir: flags.ledgerDir(),
		Keys:      keys,
		Published: logdir.NewCheckpoint(flags.log().Checkpoint()),
		Open:      func(context.Context) (*maintain.Departing, error) { return dirlog.Departing(flags.log()) },
		To: func(ctx context.Context) (maintain.Destination, error) {
			return serverlog.Arrive(ctx, &to, bars(stderr), logger)
		},
		Reached: func(stage string) error {
			fmt.Fprintf(stderr, "%s\n", stage)
			if flags.after == nil {
				return nil
			}
			return flags.after(stage)
		},
		Watch:  bars(stderr),
		Logger: logger,
	}).Run(ctx)
	flags.storageURL = to.Storage // with the tree
	var wrong *maintain.CopyError
	if errors.As(err, &wrong) {
		for _, p := range wrong.Problems {
			fmt.Fprintln(stderr, p)
		}
		err = cli.Failed(err)
	}
	return size, err
}
