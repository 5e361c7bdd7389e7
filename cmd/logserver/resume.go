package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
)

func newResume() *cobra.Command {
	var at place
	var on shared
	var know, checkpoint string
	cmd := &cobra.Command{
		Use:   "resume --dir DIR --i-know ledger-lost|ledger-behind [--checkpoint FILE]",
		Short: "Get a log going again where a person must decide",
		Long: `Resume does what logserver status offers. What it did is added to
actions.jsonl in the ledger's directory.

  ledger-lost    there is no ledger: make one from the published checkpoint
  ledger-behind  the ledger was restored from an old copy: bring it forward to the
                 published checkpoint

Both are safe as long as the storage is the newest that the log ever had: if entries
that were signed are lost with it, the log would sign a second history. That you must
know, and nothing on this machine can tell. The checkpoint must be signed by the log,
and its tree must be in storage; one that a witness or an auditor has kept, given with
--checkpoint, is as good as the log's own, and a newer one is better. Where the
published checkpoint says no more than the ledger, nothing is changed, and it exits 2.
Nothing else is offered: where storage has lost or changed what was signed, only a newer
copy of it helps.

The ledger of a log on servers (--storage, --state) is in the database, and so is the
record of what was done. Where that was restored from an old copy, ledger-behind brings
it forward; what else the copy lacks is taken from Trillian, except for files, which
logserver blob add puts back.`,
		Example: `  logserver resume --dir ./log --i-know ledger-lost
  logserver resume --dir ./log --i-know ledger-behind --storage trillian://10.0.0.9:8090/1234 --state postgres://tuflog@10.0.0.8/tuflog`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			size, err := resume(cmd.Context(), at, on, know, checkpoint, cmd.ErrOrStderr())
			switch {
			case errors.Is(err, maintain.ErrNoNews) && checkpoint != "":
				fmt.Fprintln(cmd.OutOrStdout(), err)
				return nil
			case errors.Is(err, maintain.ErrNoNews):
				return fmt.Errorf("%w. If a witness or a front end shows more (logserver status names the witnesses that do), give its newest checkpoint: --checkpoint FILE", err)
			case err != nil:
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the ledger now says that size %d was signed last\n", size)
			return nil
		},
	}
	at.flags(cmd)
	at.ledgerFlag(cmd)
	on.sharedFlags(cmd)
	cmd.Flags().StringVar(&know, "i-know", "", "what is wrong, as logserver status calls it, and that you know the storage to be the newest (required)")
	cmd.Flags().StringVar(&checkpoint, "checkpoint", "", "a checkpoint of the log (default: the published one)")
	if err := cmd.MarkFlagRequired("i-know"); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}

func resume(ctx context.Context, at place, on shared, know, checkpoint string, stderr io.Writer) (size int64, err error) {
	if err := checkKnown(know); err != nil {
		return 0, err
	}
	keys, err := readKeys(at)
	if err != nil {
		return 0, err
	}
	l, err := open(ctx, at, on, textLogger(stderr))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	f := maintain.Forward{Keys: keys, Why: know, Record: l.Record}
	if f.Ledger, f.Storage, err = l.Forward(ctx, know == string(maintain.HaltLedgerLost), keys[0].Name()); err != nil {
		return 0, err
	}
	if checkpoint != "" {
		f.From = "the checkpoint in " + checkpoint
		f.Checkpoint, err = os.ReadFile(checkpoint)
	} else {
		f.From = "the published checkpoint"
		f.Checkpoint, err = l.Published(ctx)
	}
	if err != nil {
		return 0, err
	}
	if f.Checkpoint == nil {
		return 0, errors.New("no checkpoint was published here: --checkpoint takes one from another front end or a witness, and a log that never published is best made anew with logserver init")
	}
	return f.Run(ctx)
}

// checkKnown checks what is said to be wrong.
func checkKnown(know string) error {
	if know != string(maintain.HaltLedgerLost) && know != string(log.HaltLedgerBehind) {
		return fmt.Errorf("--i-know %q: want %s or %s; logserver status says which", know, maintain.HaltLedgerLost, log.HaltLedgerBehind)
	}
	return nil
}
