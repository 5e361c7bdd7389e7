package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/witness/sqlite"
)

func newClock() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clock",
		Short: "See why the clock is in doubt, and accept it",
		Long: `A witness stops cosigning, for all logs, when its clock is in doubt: when the last
cosignature has a time more than an hour ahead of the clock, or when the clock jumps
by an hour against the machine's monotonic clock while the witness serves. A signed
time cannot be taken back. Find out which of the two is wrong.`,
		Example: `  witness clock show --dir ./w1`,
	}
	cmd.AddCommand(newClockShow(), newClockAccept())
	return cmd
}

// listedDoubt is what clock show says of one time that the clock was in doubt.
type listedDoubt struct {
	Since    string `json:"since,omitempty"` // RFC 3339, UTC
	Why      string `json:"why"`
	Accepted string `json:"accepted,omitempty"` // RFC 3339, UTC
	Reason   string `json:"reason,omitempty"`
}

// listedClock is what clock show says.
type listedClock struct {
	Clock   string        `json:"clock"` // RFC 3339, UTC
	Stopped bool          `json:"stopped"`
	Doubts  []listedDoubt `json:"doubts"`
}

func newClockShow() *cobra.Command {
	var flags struct {
		dir       string
		json, all bool
	}
	cmd := &cobra.Command{
		Use:   "show --dir DIR",
		Short: "Report whether cosigning is stopped because of the clock",
		Long: `Show prints the clock and why it is in doubt, and with --all the records accepted
before. It exits with 1 if cosigning is stopped because of the clock.`,
		Example: `  witness clock show --dir ./w1 --all`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			listed, err := listClock(cmd.Context(), flags.dir, flags.all)
			if err != nil {
				return err
			}
			if flags.json {
				err = cli.WriteJSON(cmd.OutOrStdout(), listed)
			} else {
				printClock(cmd.OutOrStdout(), listed)
			}
			if err == nil && listed.Stopped {
				err = cli.Failed(cli.ErrReported)
			}
			return err
		},
	}
	dirFlag(cmd, &flags.dir)
	cmd.Flags().BoolVar(&flags.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&flags.all, "all", false, "also list accepted records")
	return cmd
}

func listClock(ctx context.Context, dir string, all bool) (listedClock, error) {
	now := time.Now()
	listed := listedClock{Clock: utc(now.Unix()), Doubts: []listedDoubt{}} // [] in JSON, not null
	err := withStore(dir, func(s *sqlite.Store) error {
		records, err := s.ClockRecords(ctx, now)
		for _, r := range records {
			d := listedDoubt{Why: r.Why, Reason: r.Reason}
			if r.Since != 0 {
				d.Since = utc(r.Since)
			}
			if r.Accepted != 0 {
				d.Accepted = utc(r.Accepted)
			} else {
				listed.Stopped = true
			}
			if all || r.Accepted == 0 {
				listed.Doubts = append(listed.Doubts, d)
			}
		}
		return err
	})
	return listed, err
}

func printClock(w io.Writer, c listedClock) {
	state := "the witness cosigns by it"
	if c.Stopped {
		state = "nothing is cosigned"
	}
	fmt.Fprintf(w, "the clock says %s; %s\n", c.Clock, state)
	for _, d := range c.Doubts {
		since := "now"
		if d.Since != "" {
			since = d.Since
		}
		fmt.Fprintf(w, "  %s: %s\n", since, d.Why)
		if d.Accepted != "" {
			fmt.Fprintf(w, "    accepted %s: %s\n", d.Accepted, d.Reason)
		}
	}
}

func newClockAccept() *cobra.Command {
	var flags struct{ dir, reason string }
	cmd := &cobra.Command{
		Use:   "accept --dir DIR --reason TEXT",
		Short: "Cosign by the clock as it is now",
		Long: `Accept resumes cosigning by the clock as it is now, and records the reason. Look at
the clock first: its time is signed. A witness that is serving resumes at once.

Times never run backwards, not even then: if the last cosignature of a log is ahead of
the clock, the next ones repeat its time until the clock has reached it. Logs may not
count cosignatures so far from their own clock, and devices that have seen the time
trust it. If that is too long to wait, make a new witness with another name: devices remember
times by name.`,
		Example: `  witness clock accept --dir ./w1 --reason "the machine was suspended over night; the clock is right"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.reason == "" {
				return errors.New("give a reason, which is recorded")
			}
			return withStore(flags.dir, func(s *sqlite.Store) error {
				return acceptClock(cmd.Context(), cmd.ErrOrStderr(), s, flags.reason)
			})
		},
	}
	dirFlag(cmd, &flags.dir)
	cmd.Flags().StringVar(&flags.reason, "reason", "", "why the clock can be trusted (required)")
	required(cmd, "reason")
	return cmd
}

func acceptClock(ctx context.Context, stderr io.Writer, s *sqlite.Store, reason string) error {
	now := time.Now()
	accepted, err := s.AcceptClock(ctx, reason, now)
	if err != nil {
		return err
	}
	if len(accepted) == 0 {
		fmt.Fprintln(stderr, "the clock is not in doubt")
	}
	for _, r := range accepted {
		fmt.Fprintf(stderr, "accepted: %s\n", r.Why)
		if r.Latest != 0 {
			fmt.Fprintf(stderr, "cosignatures of logs that have that time repeat it until %s\n", utc(r.Latest))
		}
	}
	return nil
}
