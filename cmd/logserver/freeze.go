package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/log/audited"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/serverlog"
	"github.com/tuflog/tuflog/witness/client"
)

type freezeFlags struct {
	place
	shared
	policy, agent string
	know          bool
	declared      declaredFlags
}

func newFreeze() *cobra.Command {
	var flags freezeFlags
	cmd := &cobra.Command{
		Use:   "freeze --dir DIR --policy POLICY --i-know",
		Short: "End a log for ever with a last entry",
		Long: `Freeze ends a log: it appends a last entry, the line "tuflog end v1", signs the
tree with it, asks the witnesses to cosign it, and publishes it. Nothing is ever
signed behind it, whatever is done to the storage or the ledger: the signed tree
itself says that the log has ended, to its readers, too. Its files can be served by
logserver serve, which then refuses submissions and refreshes the cosignatures, or
by any web server.

There is no way back: witnesses and devices may hold the last checkpoint, and tell
everyone when the log goes on. Without the flag --i-know nothing happens. The log
must not be served meanwhile. If the witnesses do not make a quorum, the log has
ended all the same, and the exit code is 2: run it again, or serve, until they do.`,
		Example: `  logserver freeze --dir ./log --policy policy.txt --i-know
  logserver freeze --dir ./log --policy policy.txt --i-know --storage trillian://10.0.0.9:8090/1234 --state postgres://tuflog@10.0.0.8/tuflog`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !flags.know {
				return errors.New("the end of a log cannot be taken back: say --i-know")
			}
			size, err := freeze(cmd.Context(), flags, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the log has ended at size %d\n", size)
			return nil
		},
	}
	flags.flags(cmd)
	flags.ledgerFlag(cmd)
	flags.sharedFlags(cmd)
	flags.declared.flags(cmd.Flags())
	cmd.Flags().StringVar(&flags.policy, "policy", "", "trust policy: the witnesses with their URLs, and the quorum (required)")
	cmd.Flags().StringVar(&flags.agent, "ssh-agent", "", "socket of the ssh-agent that holds the log's key")
	cmd.Flags().BoolVar(&flags.know, "i-know", false, "you know that it cannot be taken back")
	if err := cmd.MarkFlagRequired("policy"); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}

func freeze(ctx context.Context, flags freezeFlags, stderr io.Writer) (size int64, err error) {
	if err := errors.Join(flags.log().Check(), flags.declared.check()); err != nil {
		return 0, err
	}
	cfg := leader.Config{Config: httpd.Config{Logger: textLogger(stderr)}}
	if cfg.Publisher.Signer, err = openSigner(flags.place, flags.agent); err != nil {
		return 0, err
	}
	if cfg.Publisher.More, err = openMoreKeys(flags.place); err != nil {
		return 0, err
	}
	if _, err := warnOfLost(flags.place, cfg.Publisher, cfg.Logger); err != nil {
		return 0, err
	}
	if cfg.Publisher.Policy, err = cli.ReadPolicy(flags.policy); err != nil {
		return 0, err
	}
	if err := refuseAuditors(ctx, audited.Policies{Published: cfg.Publisher.Policy}, cfg.Publisher.Signer.Key().Name()); err != nil {
		return 0, err
	}
	gatherer, err := client.NewGatherer(cfg.Publisher.Policy, nil)
	if err != nil {
		return 0, err
	}
	defer gatherer.Close()
	if err := gatherer.Remember(flags.witnesses()); err != nil {
		cfg.Logger.Warn("the witnesses are asked how far they are", "err", err)
	}
	cfg.Publisher.Witnesses, cfg.Publisher.Ending = gatherer, true
	if flags.on() {
		keys, err := readKeys(flags.place)
		if err != nil {
			return 0, err
		}
		if cfg.Publisher.Served, err = publisher.OpenServed(flags.served(), keys, cfg.Logger); err != nil {
			return 0, err
		}
		defer cfg.Publisher.Served.Close()
	}
	w, err := open(ctx, flags.place, flags.shared, cfg.Logger)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	servers, _ := w.(*serverlog.Log)
	gatherer.Budget = flags.declared.budget(&flags.place, servers)
	if err := w.Write(ctx, &cfg); err != nil {
		return 0, err
	}
	l, err := leader.Open(ctx, cfg)
	if err != nil {
		return 0, err
	}
	if err := w.Record(ctx, maintain.ActionNow("freeze", fmt.Sprintf("at size %d", l.Publisher().Tree().N))); err != nil {
		return 0, err
	}
	err = l.End(ctx)
	return l.Publisher().Tree().N, err
}
