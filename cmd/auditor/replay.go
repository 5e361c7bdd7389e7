package main

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/cli"
)

func newReplay() *cobra.Command {
	var opts struct {
		logFlags
		follow   bool
		newOnly  bool
		verbose  bool
		interval time.Duration
	}
	cmd := &cobra.Command{
		Use:   "replay --policy FILE",
		Short: "Replay the log and print repositories and findings",
		Long: `Replay the log and print the checkpoint, the repositories and the findings.

If the quorum of the policy needs an auditor (a group called auditors), as that of
devices may, the log's newest audited checkpoint is read, /checkpoint/audited, and not
the newest, which no auditor has cosigned yet.

With --state DIR the next replay goes on where this one ended, detects whether the log
has gone back or shows another history, and tells new findings from those that were told
before (--new-only, which is brief, and auditor findings). The evidence of each finding is kept there as
files.

With --follow it continues until it is interrupted and prints new leaves and findings;
with --json that is one line for each step with news. An outage is reported when it
begins and when it is over.

One process at a time has the DIR of --state.

docs/findings.md says of each kind of finding what happened, why it matters and what to do.

Exit codes:
  0  the log is as it should be, perhaps with findings of class hygiene
  1  findings of class tampering, equivocation or unexpected; with --new-only, new ones
  2  wrong usage, or an outage: not everything could be checked, DIR could not be
     written, or the result could not be printed`,
		Example: `  auditor replay --log https://log.example.com --policy policy.txt --state audit.state`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := opts.config()
			if err != nil {
				return err
			}
			cfg.ReportOnly = cfg.StateDir == ""
			if cfg.Interval = opts.interval; cfg.Interval <= 0 {
				return fmt.Errorf("--interval %v: want a positive duration", opts.interval)
			}
			if opts.newOnly && cfg.StateDir == "" {
				return errors.New("--new-only needs --state DIR: without it all findings are new")
			}
			if opts.newOnly && opts.follow {
				return errors.New("--follow prints new findings only by itself: want one of --new-only and --follow")
			}
			if opts.follow {
				return follow(cmd.Context(), cfg, opts.json, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			return replay(cmd, cfg, opts.newOnly, opts.verbose, opts.json)
		},
	}
	opts.register(cmd)
	cmd.Flags().BoolVar(&opts.follow, "follow", false, "follow the log as it grows, until interrupted")
	cmd.Flags().BoolVar(&opts.newOnly, "new-only", false, "print, and exit with 1 for, only findings that came since the last replay that was finished and are not acknowledged; outages always")
	cmd.Flags().BoolVarP(&opts.verbose, "verbose", "v", false, "with --new-only: print the repositories, too")
	cmd.Flags().DurationVar(&opts.interval, "interval", 5*time.Second, "pause between two looks at the log with --follow")
	return cmd
}

// replay replays the log once and prints what was found, or of that the news.
func replay(cmd *cobra.Command, cfg audit.Config, newOnly, verbose, asJSON bool) error {
	a, err := judgeOnce(cmd.Context(), cfg, cmd.ErrOrStderr())
	if a == nil {
		return err
	}
	defer a.Close()
	report, reportErr := a.Report(cmd.Context())
	err = firstOf(err, reportErr)
	var known []audit.Finding
	if newOnly {
		report.Findings = slices.DeleteFunc(report.Findings, func(f audit.Finding) bool {
			told := f.Class != audit.Outage && (!f.New || f.Acked != 0)
			if told {
				known = append(known, f)
			}
			return told
		})
	}
	if asJSON {
		if err != nil {
			report.Error = err.Error()
		}
		err := writeReport(cmd.OutOrStdout(), report, func(fn func(audit.LeafReport) error) error {
			return a.EachLeaf(cmd.Context(), 0, report.Judged, fn)
		})
		if err != nil {
			return err
		}
	} else {
		out := bufio.NewWriter(cli.Folded(cmd.OutOrStdout())) // a table is written cell by cell
		switch brief := newOnly && !verbose; {
		case brief && err == nil && len(report.Findings) == 0 && report.Checkpoint != nil && report.Waiting == 0:
			printNothingNew(out, report.Checkpoint.Size, known)
		default:
			printReport(out, report, known, !brief)
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	if err == nil && report.Checkpoint != nil && report.Waiting == 0 {
		err = a.Finished(cmd.Context()) // all of it was told
	}
	return verdict(report, err, audit.Class.Fails)
}
