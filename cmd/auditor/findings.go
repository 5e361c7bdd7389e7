package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
)

// withState opens the state in a directory for a command that does not read the log.
func withState(ctx context.Context, dir string, do func(*state.DB) error) error {
	db, err := state.OpenExisting(ctx, dir)
	if err != nil {
		return stateError(dir, err)
	}
	return errors.Join(do(db), db.Close())
}

// viewState is withState for a command that reads the state, also while a replay or a monitor
// writes it.
func viewState(ctx context.Context, dir string, do func(*state.Reader) error) error {
	view, err := state.OpenView(ctx, dir)
	if errors.Is(err, state.ErrVersion) {
		// A state of a version before is upgraded when it is opened.
		if err = withState(ctx, dir, func(*state.DB) error { return nil }); err == nil {
			view, err = state.OpenView(ctx, dir)
		}
	}
	if err != nil {
		return stateError(dir, err)
	}
	return errors.Join(view.At(ctx, do), view.Close())
}

// stateError says what to do about a state that cannot be opened.
func stateError(dir string, err error) error {
	if errors.Is(err, state.ErrDamaged) {
		err = fmt.Errorf("%w (%s)", err, state.Advice)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no state in %s: auditor replay --state makes one (%w)", dir, err)
	}
	return err
}

func newFindings() *cobra.Command {
	var opts struct {
		state string
		all   bool
		json  bool
	}
	cmd := &cobra.Command{
		Use:   "findings --state DIR",
		Short: "List the findings that earlier replays have kept",
		Long: `List the findings that earlier replays have kept, with their ids and since when each is
there. The log is not read: what the list says is true of the last replay.

A finding that you know of, and that does not need to be said again, is acknowledged
with auditor findings ack: with a reason, which auditor serve and a monitor's pages
publish. replay --new-only leaves out those, and those that an earlier replay has told.

Exit codes:
  0  the list was printed, and may be empty
  2  wrong usage, or there is no state in DIR, or it is damaged`,
		Example: `  auditor findings --state audit.state
  auditor findings ack 1f2e3d4c --reason "the vendor told us" --state audit.state`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return viewState(cmd.Context(), opts.state, func(kept *state.Reader) error {
				list, err := audit.KeptFindings(cmd.Context(), kept, opts.all)
				if err != nil {
					return err
				}
				if opts.json {
					return cli.WriteJSON(cmd.OutOrStdout(), list)
				}
				return printKept(cli.Folded(cmd.OutOrStdout()), list, opts.all)
			})
		},
	}
	cmd.Flags().StringVar(&opts.state, "state", "", "`DIR` that replay --state keeps")
	cobra.CheckErr(cmd.MarkFlagRequired("state"))
	cmd.Flags().BoolVar(&opts.all, "all", false, "list those that are gone, too")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	cmd.AddCommand(newFindingsAck())
	return cmd
}

func newFindingsAck() *cobra.Command {
	var opts struct {
		state, reason string
		undo          bool
	}
	cmd := &cobra.Command{
		Use:   "ack ID... --reason TEXT --state DIR",
		Short: "Note that findings are known, and why they may stay",
		Long: `Note that findings are known, and why they may stay: replay --new-only leaves them out.
An id, or its beginning, is what auditor findings prints. Of several either all are noted
or none. The note is kept in DIR and lasts as long as the finding is there: one that goes
and comes back is open again, but for hygiene. The log, and other auditors, do not know of
it, but the reason is public where auditor serve or a monitor shows DIR as web pages. A
replay or a monitor that has DIR goes on meanwhile, and knows of the note at once.

Exit codes:
  0  it was noted
  2  wrong usage, or no finding has the id`,
		Example: `  auditor findings ack 1f2e3d4c --reason "the vendor told us" --state audit.state
  auditor findings ack 1f2e3d4c --undo --state audit.state`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.undo == (opts.reason != "") {
				return errors.New("want either --reason TEXT or --undo")
			}
			found, err := state.Acknowledge(cmd.Context(), opts.state, args, opts.reason, time.Now())
			if err != nil {
				return stateError(opts.state, err)
			}
			what := "acknowledged"
			if opts.undo {
				what = "no longer acknowledged"
			}
			for _, f := range found {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s: %s\n", state.ShortID(f.ID()), what, printable.Line(f.Kind))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&opts.state, "state", "", "`DIR` that replay --state keeps")
	cobra.CheckErr(cmd.MarkFlagRequired("state"))
	cmd.Flags().StringVar(&opts.reason, "reason", "", "`TEXT` that says why; everybody who reads the pages of this state sees it")
	cmd.Flags().BoolVar(&opts.undo, "undo", false, "take it back")
	return cmd
}

// printKept prints findings with their lives.
func printKept(w io.Writer, list []audit.Finding, all bool) error {
	there, known, gone := 0, 0, 0
	for _, f := range list {
		switch {
		case f.Gone != 0:
			gone++
		case f.Acked != 0:
			known++
			there++
		default:
			there++
		}
	}
	fmt.Fprintf(w, "There %s", areFindings(there))
	if known > 0 {
		fmt.Fprintf(w, ", of which %d acknowledged", known)
	}
	if all {
		fmt.Fprintf(w, ", and %d gone", gone)
	}
	fmt.Fprint(w, ".\n")
	if len(list) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := printable.NewTable(w, "ID", "CLASS", "KIND", "INDEX", "REPOSITORY", "SINCE", "UNTIL", "WHAT")
	for _, f := range list {
		index, until := "-", ""
		if f.Index >= 0 {
			index = fmt.Sprint(f.Index)
		}
		if f.Gone > 0 {
			until = audit.When(f.Gone)
		}
		what := f.Sentence
		if f.Acked != 0 {
			what = fmt.Sprintf("(acknowledged %s: %s) %s", day(f.Acked), f.AckReason, what)
		} else if f.AckReason != "" {
			what = fmt.Sprintf("(acknowledged before it came back: %s) %s", f.AckReason, what)
		}
		t.Row(f.ShortID(), f.Class, f.Kind, index, short(f.Repository), audit.When(f.Time), until, printable.Line(what))
	}
	return t.Flush()
}

func areFindings(n int) string {
	switch n {
	case 0:
		return "are no findings"
	case 1:
		return "is 1 finding"
	}
	return fmt.Sprintf("are %d findings", n)
}
