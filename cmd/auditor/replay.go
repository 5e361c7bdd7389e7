package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/cmd/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
)

// failing are the classes that make replay exit with 1.
var failing = []audit.Class{audit.Tampering, audit.Equivocation, audit.Unexpected}

func newReplay() *cobra.Command {
	var opts struct {
		source
		follow   bool
		interval time.Duration
	}
	cmd := &cobra.Command{
		Use:   "replay --policy FILE",
		Short: "Replay the whole log and print repositories and findings",
		Long: `Replay the whole log and print the checkpoint, the repositories and the findings.

With --state DIR the next replay also finds out whether the log has gone back or
tells another history, and the evidence of each finding is kept there as files.

With --follow it goes on until it is interrupted and prints what is new; with
--json that is one line for each step that brought something.

Exit codes:
  0  the log is as it should be, perhaps with findings of class hygiene
  1  something of class tampering, equivocation or unexpected was found
  2  wrong usage, or an outage: not everything could be checked`,
		Example: `  auditor replay --log https://log.example.com --policy policy.txt --state audit.state`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := opts.config()
			if err != nil {
				return err
			}
			if cfg.Interval = opts.interval; cfg.Interval <= 0 {
				return fmt.Errorf("--interval %v: want a positive duration", opts.interval)
			}
			if opts.follow {
				return follow(cmd.Context(), cfg, opts.json, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			_, report, err := replayOnce(cmd.Context(), cfg, cmd.ErrOrStderr())
			if report == nil {
				return err
			}
			if opts.json {
				if err := cli.WriteJSON(cmd.OutOrStdout(), report); err != nil {
					return err
				}
			} else {
				printReport(cmd.OutOrStdout(), report)
			}
			return verdict(report, err, failing...)
		},
	}
	opts.register(cmd)
	cmd.Flags().BoolVar(&opts.follow, "follow", false, "go on with the log as it grows, until interrupted")
	cmd.Flags().DurationVar(&opts.interval, "interval", 5*time.Second, "pause between two looks at the log with --follow")
	return cmd
}

// update is what --follow --json prints for a step.
type update struct {
	Size     int64              `json:"size"` // of the last verified checkpoint
	From     int64              `json:"from"`
	To       int64              `json:"to"`
	Leaves   []audit.LeafReport `json:"leaves"`
	Findings []audit.Finding    `json:"findings"`
	Error    string             `json:"error,omitempty"`
}

// follow replays and goes on. It ends with the context, and then with the
// verdict on all that was seen.
func follow(ctx context.Context, cfg audit.Config, asJSON bool, stdout, stderr io.Writer) error {
	bar := &progress{stderr: stderr}
	cfg.Progress = func(done, total int64) {
		if bar != nil {
			bar.to(done, total)
		}
	}
	a, err := audit.New(cfg)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(stdout)
	enc.SetEscapeHTML(false)
	var last string // what was said of the last trouble
	err = a.Run(ctx, func(step audit.StepResult, stepErr error) error {
		first := bar != nil && stepErr == nil
		if first {
			bar.done()
			bar = nil
		}
		trouble := ""
		if stepErr != nil {
			trouble = stepErr.Error()
		}
		news := step.From < step.To || len(step.Findings) > 0 && trouble == "" || trouble != last
		if last = trouble; !news && !first {
			return nil
		}
		if asJSON {
			u := update{From: step.From, To: step.To, Leaves: a.Leaves(step.From, step.To), Findings: step.Findings, Error: trouble}
			if step.Checkpoint != nil {
				u.Size = step.Checkpoint.Tree.N
			}
			return enc.Encode(u)
		}
		if first {
			report, err := a.Report(ctx)
			if err != nil {
				fmt.Fprintln(stderr, printable.Line(err.Error()))
			}
			printReport(stdout, report)
			return nil
		}
		if trouble != "" {
			fmt.Fprintf(stderr, "%s\n", printable.Line(trouble))
		}
		printStep(stdout, a, step)
		return nil
	})
	if ctx.Err() == nil {
		return err
	}
	report, err := a.Report(context.WithoutCancel(ctx))
	return verdict(report, err, failing...)
}

func printStep(w io.Writer, a *audit.Auditor, step audit.StepResult) {
	for _, leaf := range a.Leaves(step.From, step.To) {
		if leaf.Verdict == audit.TheEnd {
			fmt.Fprintf(w, "%d the log has ended\n", leaf.Index)
			continue
		}
		fmt.Fprintf(w, "%d %s %s %s %d %s\n", leaf.Index, leaf.Kind, short(leaf.Repository), printable.Line(leaf.Role), leaf.Version, leaf.Verdict)
	}
	for _, f := range step.Findings {
		fmt.Fprintf(w, "%s: %s: %s\n", f.Class, f.Kind, printable.Line(f.Sentence))
	}
}
