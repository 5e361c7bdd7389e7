package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/log/audited"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/serverlog"
	"github.com/tuflog/tuflog/witness/client"
)

type replaceFlags struct {
	place
	shared
	policy, agent, to string

	// after, which may be nil, is called when a stage is complete; an error
	// ends the command there. It is for tests.
	after func(stage string) error
}

func newTree() *cobra.Command {
	cmd := &cobra.Command{Use: "tree", Short: "Replace Trillian's tree of a log on servers"}
	cmd.AddCommand(newTreeReplace())
	return cmd
}

func newTreeReplace() *cobra.Command {
	var flags replaceFlags
	cmd := &cobra.Command{
		Use:   "replace --dir DIR --policy POLICY --storage URL --state URL",
		Short: "Continue a log in a new tree of Trillian, with all that was signed",
		Long: `Replace is the way back for a log on servers whose tree cannot be used any more:
Trillian removes nothing, so an entry that is there twice, or that something else has
appended, stays there, and the log must not sign it (repeated-entry, foreign-entry);
or entries that were signed are lost with Trillian's database (storage-behind), or
were changed there (storage-forked).

It makes a new tree, puts the entries that were signed into it, from their copy in the
state database, reads each of them back, checks that the new tree has the very root
that was signed, and puts it in the place of the old one. Every entry keeps its index,
every root stays what it is: witnesses, devices, vendors and auditors notice nothing.
What lies behind the last signed entry is left behind. None of it was acknowledged;
its senders send it again.

A quorum of the witnesses is asked before that to cosign what was signed last: where
one has seen more, or more was served from DIR, the state database is of an older date,
and nothing is replaced.

The new tree is made at the same log server, or at the one that --to names; the old one
is frozen. Where --to names a tree, it is one that replace has made before, of which a
state database of an older date does not know: then nothing is made or signed, and that
tree, which must begin with what was signed, takes the place of the old one. The front
ends that have the log's key must be stopped, and all of them need the new URL, which is
printed, afterwards. If replace is broken off, at any point, run it again: it goes on.
Run once more after the end it says so and changes nothing. What it did is recorded in
the database, with both URLs.`,
		Example: `  logserver tree replace --dir ./log --policy policy.txt --storage trillian://10.0.0.9:8090/1234 --state postgres://tuflog@10.0.0.8/tuflog
  logserver tree replace --config /etc/tuflog/logserver-1.conf --to trillian://10.0.0.7:8090`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			size, err := replaceTree(cmd.Context(), &flags, cmd.ErrOrStderr())
			var done *serverlog.ReplacedError
			switch {
			case errors.As(err, &done):
				fmt.Fprintf(cmd.OutOrStdout(), "nothing was changed: %v\n", done)
				return nil
			case err != nil:
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the log has a new tree, with %d entries; every front end needs its URL\n  --storage %s\n", size, printable.ShellWord(flags.to))
			return nil
		},
	}
	flags.flags(cmd)
	flags.sharedFlags(cmd)
	cmd.Flags().StringVar(&flags.policy, "policy", "", "trust policy: the witnesses with their URLs, and the quorum (required)")
	cmd.Flags().StringVar(&flags.agent, "ssh-agent", "", "socket of the ssh-agent that holds the log's key")
	cmd.Flags().StringVar(&flags.to, "to", "", "Trillian's log server for the new tree, trillian://HOST:PORT or trillians://HOST:PORT?ca=FILE (default: that of --storage); with a tree, /TREE, that one, which replace has made before")
	for _, name := range []string{"storage", "state", "policy"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was defined above
		}
	}
	return cmd
}

// replaceTree gives a log a new tree and sets flags.to to its URL: see serverlog.Replacement.
func replaceTree(ctx context.Context, flags *replaceFlags, stderr io.Writer) (size int64, err error) {
	r := &serverlog.Replacement{
		At: flags.servers(), To: flags.to, Watch: bars(stderr), Logger: textLogger(stderr),
		Reached: func(stage string) error {
			fmt.Fprintln(stderr, stage)
			if flags.after == nil {
				return nil
			}
			return flags.after(stage)
		},
	}
	r.Publisher = func() (publisher.Config, func(), error) { return flags.confirming(ctx, r.Logger) }
	size, err = r.Run(ctx)
	flags.to = r.To
	if errors.As(err, new(*serverlog.OtherTreeError)) {
		err = cli.Failed(err)
	}
	return size, err
}

// confirming returns the keys that sign the last tree once more, and the witnesses to cosign it.
func (f *replaceFlags) confirming(ctx context.Context, logger *slog.Logger) (cfg publisher.Config, done func(), err error) {
	keys, err := readKeys(f.place)
	if err != nil {
		return cfg, nil, err
	}
	if cfg.Signer, err = openSigner(f.place, f.agent); err != nil {
		return cfg, nil, err
	}
	if cfg.More, err = openMoreKeys(f.place); err != nil {
		return cfg, nil, err
	}
	if _, err := warnOfLost(f.place, cfg, logger); err != nil {
		return cfg, nil, err
	}
	if cfg.Policy, err = cli.ReadPolicy(f.policy); err != nil {
		return cfg, nil, err
	}
	if err := refuseAuditors(ctx, audited.Policies{Published: cfg.Policy}, keys[0].Name()); err != nil {
		return cfg, nil, err
	}
	gatherer, err := client.NewGatherer(cfg.Policy, nil)
	if err != nil {
		return cfg, nil, err
	}
	cfg.Witnesses = gatherer
	if cfg.Served, err = publisher.OpenServed(f.served(), keys, logger); err != nil {
		gatherer.Close()
		return cfg, nil, err
	}
	return cfg, func() { cfg.Served.Close(); gatherer.Close() }, nil
}
