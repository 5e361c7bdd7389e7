package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/verify"
)

func newPostpone(o *options) *cobra.Command {
	wait := "7d"
	cmd := &cobra.Command{
		Use:   "postpone --metadata-dir DIR [--for DURATION] ID...",
		Short: "Put off what waits for the owner of a device",
		Long: `Postpone puts off releases that wait for their owner, under ids that updater pending
prints, all or none: refresh and download on a terminal do not ask about it until it has been public
for that much longer. It makes no requests, and ends an approval of that release.

Time is counted by the cosignatures of witnesses, as all waits are, and not by the clock.
The install policy has the last word: a release is not put off beyond "postpone", or
"postpone_security" if its vendor calls it urgent. With "approval": "auto" nothing waits
for the owner, and nothing can be put off. A newer release of the role is asked about
again. updater approve ends the wait.`,
		Example: `  updater postpone --metadata-dir /var/lib/updater --for 3d 3f2a91c04d5e6f70a1b2c3d4e5f60718`,
		Args:    some("an id, which updater pending prints", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := verify.ParseDuration(wait)
			if err != nil {
				return fmt.Errorf("--for: %w", err)
			}
			state, under, now, err := o.decide(cmd, args, func(s verify.State, id string, now time.Time) (verify.State, []verify.Waiting, error) {
				return s.Postpone(id, d, now)
			})
			if err != nil {
				return err
			}
			rows := make([]waitingRow, 0, len(under))
			for _, w := range under {
				rows = append(rows, rowOfWaiting(state, w, now))
			}
			if o.json {
				return cli.WriteJSON(cmd.OutOrStdout(), rows)
			}
			return printPutOff(cmd.OutOrStdout(), under)
		},
	}
	cmd.Flags().StringVar(&wait, "for", wait, "how long from now, such as 3d or 12h")
	return cmd
}

// printPutOff says until when releases are put off.
func printPutOff(out io.Writer, waits []verify.Waiting) error {
	for _, w := range waits {
		limit := ""
		if w.Until == w.MayWait {
			limit = ", when the install policy lets it in"
		}
		if _, err := fmt.Fprintf(out, "put off: %s (%s), until it has been public for %s%s\n", w, w.ID(), about(time.Duration(w.Until)*time.Second), limit); err != nil {
			return err
		}
	}
	return nil
}
