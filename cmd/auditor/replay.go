package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
)

func newReplay() *cobra.Command {
	var opts struct {
		logFlags
		follow   bool
		newOnly  bool
		interval time.Duration
	}
	cmd := &cobra.Command{
		Use:   "replay --policy FILE",
		Short: "Replay the log and print repositories and findings",
		Long: `Replay the log and print the checkpoint, the repositories and the findings.

With --state DIR the next replay goes on where this one ended, detects whether the log
has gone back or shows another history, and tells new findings from those that were told
before (--new-only, and auditor findings). The evidence of each finding is kept there as
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
			a, report, err := replayOnce(cmd.Context(), cfg, cmd.ErrOrStderr())
			if report == nil {
				return err
			}
			defer a.Close()
			var known []audit.Finding
			if opts.newOnly {
				report.Findings = slices.DeleteFunc(report.Findings, func(f audit.Finding) bool {
					told := f.Class != audit.Outage && (!f.New || f.Acked != 0)
					if told {
						known = append(known, f)
					}
					return told
				})
			}
			if opts.json {
				leaves, leavesErr := a.Leaves(cmd.Context(), 0, report.Judged)
				if leavesErr != nil {
					return leavesErr
				}
				report.Leaves = leaves
				if err != nil {
					report.Error = err.Error()
				}
				if err := cli.WriteJSON(cmd.OutOrStdout(), report); err != nil {
					return err
				}
			} else {
				printReport(cmd.OutOrStdout(), report, known)
			}
			if err == nil && report.Checkpoint != nil && report.Waiting == 0 {
				err = a.Finished(cmd.Context()) // all of it was told
			}
			return verdict(report, err, audit.Class.Fails)
		},
	}
	opts.register(cmd)
	cmd.Flags().BoolVar(&opts.follow, "follow", false, "follow the log as it grows, until interrupted")
	cmd.Flags().BoolVar(&opts.newOnly, "new-only", false, "print, and exit with 1 for, only findings that came since the last replay that was finished and are not acknowledged; outages always")
	cmd.Flags().DurationVar(&opts.interval, "interval", 5*time.Second, "pause between two looks at the log with --follow")
	return cmd
}

// follow replays and goes on. It ends with the context, and then with the
// verdict on all that was seen.
func follow(ctx context.Context, cfg audit.Config, asJSON bool, stdout, stderr io.Writer) error {
	bar := &progress{stderr: stderr, label: "replay"}
	cfg.Progress = func(done, total int64) {
		if bar != nil {
			bar.to(done, total)
		}
	}
	a, err := audit.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer a.Close()
	enc := json.NewEncoder(stdout)
	last := "" // what could not be done in the step before
	var lasting outages
	err = a.Run(ctx, func(step audit.StepResult, stepErr error) (err error) {
		var own *audit.StateError // the log was audited all the same
		done := stepErr == nil || errors.As(stepErr, &own)
		first := bar != nil && done && step.Waiting == 0
		if first {
			bar.done()
			bar = nil
		}
		if done && step.Waiting > 0 {
			fmt.Fprintf(stderr, "%s %d of %d leaves have been judged\n", clock(), step.To, step.To+step.Waiting)
		}
		trouble := ""
		if stepErr != nil {
			trouble = stepErr.Error()
		}
		var over []audit.Finding
		step.Findings, over = lasting.next(step.Findings)
		news := step.From < step.To || len(step.Findings)+len(over) > 0 || trouble != last
		if !news && !first {
			return nil
		}
		said := trouble == last
		last = trouble
		if done && step.Waiting == 0 {
			defer func() {
				if err != nil {
					return
				}
				if err := a.Finished(ctx); err != nil {
					fmt.Fprintf(stderr, "%s %s\n", clock(), printable.Line(err.Error()))
				}
			}()
		}
		if asJSON {
			r, err := a.StepReport(ctx, step)
			if first && err == nil {
				leaves := r.Leaves
				r, err = a.Report(ctx)
				r.From, r.Leaves = step.From, leaves
			}
			if trouble == "" && err != nil {
				trouble = err.Error()
			}
			r.Over, r.Error = over, trouble
			return enc.Encode(r)
		}
		if trouble != "" && !said {
			fmt.Fprintf(stderr, "%s %s\n", clock(), printable.Line(trouble))
		}
		var out bytes.Buffer
		if first {
			report, err := a.Report(ctx)
			if err != nil {
				fmt.Fprintln(stderr, printable.Line(err.Error()))
			}
			printReport(&out, report, nil)
		} else {
			if bar != nil {
				step.From = step.To // the report will have the leaves
			}
			leaves, err := a.Leaves(ctx, step.From, step.To)
			if err != nil {
				return err
			}
			printStep(&out, leaves, step, over)
		}
		_, err = out.WriteTo(stdout) // who cannot print has nobody to go on for
		return err
	})
	if ctx.Err() == nil {
		return err
	}
	report, err := a.Report(context.WithoutCancel(ctx))
	return verdict(report, err, audit.Class.Fails)
}

// outages are the findings that last.
type outages struct{ list []audit.Finding }

// next takes the findings of a step and returns those that are new, and those that
// lasted until then.
func (o *outages) next(findings []audit.Finding) (news, over []audit.Finding) {
	key := func(f audit.Finding) string { return fmt.Sprint(f.Kind, f.Index, f.Repository, f.Sentence) }
	before, now := map[string]bool{}, map[string]bool{}
	for _, f := range o.list {
		before[key(f)] = true
	}
	var list []audit.Finding
	news = []audit.Finding{}
	for _, f := range findings {
		if f.Class == audit.Outage {
			list = append(list, f)
			now[key(f)] = true
			if before[key(f)] {
				continue
			}
		}
		news = append(news, f)
	}
	over = []audit.Finding{}
	for _, f := range o.list {
		if !now[key(f)] {
			over = append(over, f)
		}
	}
	o.list = list
	return news, over
}

func clock() string { return time.Now().UTC().Format(time.RFC3339) }

// verdicts are what is said of a leaf that was followed.
var verdicts = map[audit.Verdict]string{
	audit.Right:       "logged rightly",
	audit.Wrong:       "LOGGED WRONGLY",
	audit.NotJudged:   "not judged",
	audit.UnknownToUs: "of a kind that is not known",
}

func printStep(w io.Writer, leaves []audit.LeafReport, step audit.StepResult, over []audit.Finding) {
	now := clock()
	for _, leaf := range leaves {
		if leaf.Verdict == audit.TheEnd {
			fmt.Fprintf(w, "%s entry %d: the log has ended\n", now, leaf.Index)
			continue
		}
		what := "entry"
		if leaf.Fields != nil {
			what = fmt.Sprintf("%s of repository %s, %s %d", leaf.Kind, leaf.Repository[:8], printable.Line(leaf.Role), leaf.Version)
		}
		fmt.Fprintf(w, "%s entry %d: %s: %s\n", now, leaf.Index, what, verdicts[leaf.Verdict])
	}
	for _, f := range step.Findings {
		fmt.Fprintf(w, "%s %s: %s: %s%s\n", now, f.Class, f.Kind, whereFound(f), printable.Line(f.Sentence))
	}
	for _, f := range over {
		fmt.Fprintf(w, "%s over: %s: %s%s\n", now, f.Kind, whereFound(f), printable.Line(f.Sentence))
	}
}

// whereFound says what a finding is about.
func whereFound(f audit.Finding) string {
	where := ""
	if f.Index >= 0 {
		where = fmt.Sprintf("entry %d: ", f.Index)
	}
	if !f.Repository.IsZero() {
		where = fmt.Sprintf("repository %s, ", short(f.Repository)) + where
	}
	return where
}
