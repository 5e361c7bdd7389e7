package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/witness/sqlite"
)

func newLatch() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "latch",
		Short: "See why cosigning is stopped, and resume it",
		Long: `Cosigning for a log stops when a cosignature of this witness is found, in its
ledger, at the log or at another witness, that its state does not account for: the
state was restored from a backup or lost, or a copy of the witness runs elsewhere
with the same key. Find out which before you resume it.`,
		Example: `  witness latch list --dir ./w1`,
	}
	cmd.AddCommand(newLatchList(), newLatchClear())
	return cmd
}

// listedLatch is what latch list says.
type listedLatch struct {
	Origin  string `json:"origin"`
	Since   string `json:"since"` // RFC 3339, UTC
	Source  string `json:"source"`
	Why     string `json:"why"`
	Cleared string `json:"cleared,omitempty"` // RFC 3339, UTC
	Reason  string `json:"reason,omitempty"`
}

func newLatchList() *cobra.Command {
	var flags struct {
		dir       string
		json, all bool
	}
	cmd := &cobra.Command{
		Use:   "list --dir DIR",
		Short: "List the logs for which cosigning is stopped",
		Long: `List prints why cosigning is stopped, log by log, and with --all the latches
cleared before. It exits with 1 if cosigning is stopped for any log.`,
		Example: `  witness latch list --dir ./w1 --all`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			listed, stopped, err := listLatches(cmd.Context(), flags.dir, flags.all)
			if err != nil {
				return err
			}
			if flags.json {
				err = cli.WriteJSON(cmd.OutOrStdout(), listed)
			} else {
				printLatches(cmd.OutOrStdout(), listed)
			}
			if !stopped {
				fmt.Fprintln(cmd.ErrOrStderr(), "cosigning is not stopped for any log")
			}
			if err == nil && stopped {
				err = cli.Failed(cli.ErrReported)
			}
			return err
		},
	}
	dirFlag(cmd, &flags.dir)
	cmd.Flags().BoolVar(&flags.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&flags.all, "all", false, "also list cleared latches")
	return cmd
}

func listLatches(ctx context.Context, dir string, all bool) (listed []listedLatch, stopped bool, err error) {
	listed = []listedLatch{} // [] in JSON, not null
	err = withStore(dir, func(s *sqlite.Store) error {
		records, err := s.Latches(ctx)
		for _, r := range records {
			l := listedLatch{Origin: r.Origin, Since: utc(r.Since), Source: r.Source, Why: r.Why, Reason: r.Reason}
			if r.Cleared != 0 {
				l.Cleared = utc(r.Cleared)
			} else {
				stopped = true
			}
			if all || r.Cleared == 0 {
				listed = append(listed, l)
			}
		}
		return err
	})
	return listed, stopped, err
}

func utc(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

func printLatches(w io.Writer, listed []listedLatch) {
	for _, l := range listed {
		fmt.Fprintf(w, "%s\n  stopped %s: %s (seen at: %s)\n", printable.Line(l.Origin), l.Since, printable.Line(l.Why), printable.Line(l.Source))
		if l.Cleared != "" {
			fmt.Fprintf(w, "  cleared %s: %s\n", l.Cleared, printable.Line(l.Reason))
		}
	}
}

func newLatchClear() *cobra.Command {
	var flags struct {
		dir, reason string
		all         bool
	}
	cmd := &cobra.Command{
		Use:   "clear --dir DIR (ORIGIN | --all) --reason TEXT",
		Short: "Cosign a log again",
		Long: `Clear resumes cosigning and records the reason. A seen checkpoint that the state
lacked becomes the state, so that the log continues from there. One that does not
continue the state, such as another root at the same size, is recorded and does not
stop cosigning again. A witness that is serving resumes at once.

If the key was used on two machines, or two roots were cosigned at one size, do
not resume: retire the key.`,
		Example: `  witness latch clear --dir ./w1 log.example --reason "restored from the backup of Monday; no copy runs"`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.all == (len(args) == 1) {
				return errors.New("name one log, or give --all")
			}
			if flags.reason == "" {
				return errors.New("give a reason, which is recorded")
			}
			return withStore(flags.dir, func(s *sqlite.Store) error {
				return clearLatches(cmd.Context(), cmd.ErrOrStderr(), s, args, flags.reason)
			})
		},
	}
	dirFlag(cmd, &flags.dir)
	cmd.Flags().StringVar(&flags.reason, "reason", "", "why it is safe to resume (required)")
	cmd.Flags().BoolVar(&flags.all, "all", false, "all logs for which cosigning is stopped")
	required(cmd, "reason")
	return cmd
}

// clearLatches clears the given logs, or all.
func clearLatches(ctx context.Context, stderr io.Writer, s *sqlite.Store, origins []string, reason string) error {
	if len(origins) == 0 {
		var err error
		if origins, err = s.Latched(ctx); err != nil {
			return err
		}
		if len(origins) == 0 {
			fmt.Fprintln(stderr, "cosigning is not stopped for any log")
		}
	}
	for _, origin := range origins {
		adopted, err := s.ClearLatch(ctx, origin, reason, time.Now().Unix())
		if err != nil {
			return named(origin, err)
		}
		if adopted == nil {
			fmt.Fprintf(stderr, "%s: resumed; the state stays as it is\n", origin)
		} else {
			fmt.Fprintf(stderr, "%s: resumed at size %d, time %s\n", origin, adopted.Tree.N, utc(adopted.Time))
		}
	}
	return nil
}
