package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/publish"
	"github.com/tuflog/tuflog/verify"
)

func refreshCommand() *cobra.Command {
	var o options
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "refresh --policy POLICY PATH...",
		Short: "Fetch newer proofs, which show devices the age of a release",
		Long: `Fetch for each file that has a proof, FILE.tlog-proof, the newest one of the same entry
and write it to FILE.latest.tlog-proof beside it. Devices with min_age in their install
policy require it: the two proofs together show how long the release has been public. Run
it regularly, at least as often as the smallest min_age of your devices, and upload the
written files. It does not need keys or tokens, so a mirror can run it as well.

PATH is as for submit; for each role the highest version is refreshed. Every proof is
checked against POLICY before it is written; FILE.tlog-proof stays as it is.

If POLICY needs auditors (its group "auditors"), FILE.tlog-proof is of no use until they
have cosigned the log so far, which they do after publication: it is then replaced by a
proof that they have cosigned. With --wait refresh waits for that, 15 minutes if no
duration is given, and says for what. Run it after each submit; what needs nothing is left
as it is, so it can be run again at any time.

Exit codes: 0 all proofs meet POLICY and are as new as the log's; 1 a proof does not
verify, an existing one or one of the log's, or auditors have not cosigned it yet; 2 wrong
usage, no proofs, or the log could not be reached.`,
		Example: `  publisher refresh --policy policy.txt ./metadata
  publisher refresh --policy audited.txt --wait ./metadata
  publisher refresh --policy audited.txt --wait=1h ./metadata`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			cfg, log, err := o.config(cmd)
			if err != nil {
				return err
			}
			if wait < 0 {
				return fmt.Errorf("--wait=%v is less than no time", wait)
			}
			cfg.Wait = wait
			cfg.Waiting = func(proofs int, why string) {
				fmt.Fprintf(cmd.ErrOrStderr(), "waiting for auditors: %d proofs left; %s\n", proofs, printable.Line(why))
			}
			files, err := publish.ReadFiles(paths)
			if err != nil {
				return err
			}
			list, err := publish.Refresh(cmd.Context(), cfg, files)
			if len(list) > 0 {
				if printErr := printRefreshed(cmd, list, o.json); printErr != nil {
					return printErr
				}
			}
			var refusal *verify.Refusal
			var unaudited *publish.UnauditedError
			switch {
			case errors.Is(err, publish.ErrNoProofs):
				return fmt.Errorf("%w: publisher submit writes them", err)
			case errors.As(err, &unaudited) && wait == 0:
				return cli.Failed(fmt.Errorf("%w (give --wait to wait for them)", err))
			case errors.As(err, &unaudited):
				return cli.Failed(fmt.Errorf("%w (run this again: it goes on from here)", err))
			case errors.As(err, &refusal):
				return cli.Failed(err)
			}
			return log.explain(err)
		},
	}
	o.registerAny(cmd)
	cmd.Flags().StringVar(&o.repository, "repository", "", "the proofs must be about this repository (64 hex digits; default: the one that each is about)")
	cmd.Flags().BoolVar(&o.replace, "replace", false, "overwrite proofs of other logs than the policy's")
	cmd.Flags().BoolVar(&o.allSignatures, "all-signatures", false, "keep in the proofs also the signatures that the policy cannot use, for devices with other policies")
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait until the policy's auditors have cosigned: --wait, or --wait=`DURATION`")
	cmd.Flags().Lookup("wait").NoOptDefVal = "15m"
	return cmd
}

func printRefreshed(cmd *cobra.Command, list []publish.Refreshed, asJSON bool) error {
	if asJSON {
		return cli.WriteJSON(cmd.OutOrStdout(), list)
	}
	return publish.WriteRefreshed(cmd.OutOrStdout(), list)
}
