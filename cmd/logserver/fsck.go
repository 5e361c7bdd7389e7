package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/log/maintain"
)

// fsckReport is what fsck found.
type fsckReport struct {
	Size     int64    `json:"size"`
	Files    int64    `json:"files"`
	Seconds  float64  `json:"seconds"`
	Problems []string `json:"problems"`
}

func newFsck() *cobra.Command {
	var at place
	var on shared
	var judge, asJSON bool
	cmd := &cobra.Command{
		Use:   "fsck --dir DIR",
		Short: "Check everything that a log stores",
		Long: `Fsck hashes every entry, tile and blob of a log anew, holds the tree against the
ledger and the published checkpoint, and makes the derived state once more, in a
temporary file beside it, to compare. With --judge every leaf is judged again, as
an auditor would. The log must not be served meanwhile. Nothing is repaired.

A log on servers (--storage, --state) may be served meanwhile; only its derived state
cannot be compared while it grows. Its tiles are held against Trillian's leaves, too.

It exits 1 and says what differs, one line for each.`,
		Example: `  logserver fsck --dir ./log
  logserver fsck --dir ./log --judge --storage trillian://10.0.0.9:8090/1234 --state postgres://tuflog@10.0.0.8/tuflog`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !judge { // which may need more
				limitMemory(on.memory())
			}
			started := time.Now()
			found, err := fsck(cmd.Context(), at, on, judge, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			report := fsckReport{found.Size, found.Files, time.Since(started).Seconds(), append([]string{}, found.Problems...)}
			if asJSON {
				err = cli.WriteJSON(cmd.OutOrStdout(), report)
			} else {
				for _, p := range report.Problems {
					fmt.Fprintln(cmd.OutOrStdout(), p)
				}
				if len(report.Problems) == 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "%d entries, their tiles and their files are as they should be (%d files, %.1f s)\n", report.Size, report.Files, report.Seconds)
				} else {
					fmt.Fprintf(cmd.ErrOrStderr(), "%d entries and %d files checked in %.1f s: %d problems\n", report.Size, report.Files, report.Seconds, len(report.Problems))
				}
			}
			if err == nil && len(report.Problems) > 0 {
				err = cli.Failed(cli.ErrReported)
			}
			return err
		},
	}
	at.flags(cmd)
	at.ledgerFlag(cmd)
	on.sharedFlags(cmd)
	cmd.Flags().BoolVar(&judge, "judge", false, "judge every leaf again")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func fsck(ctx context.Context, at place, on shared, judge bool, stderr io.Writer) (report maintain.Report, err error) {
	keys, err := readKeys(at)
	if err != nil {
		return report, err
	}
	l, err := open(ctx, at, on, textLogger(stderr))
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	report, err = (&maintain.Check{Log: l, Keys: keys, Judge: judge, Watch: bars(stderr)}).Run(ctx)
	if report.Grew {
		fmt.Fprintln(stderr, "the log grew meanwhile, so its derived state was not compared: stop the front ends for that")
	}
	return report, err
}
