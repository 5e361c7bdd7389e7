package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/publish"
	"github.com/tuflog/tuflog/verify"
)

func refreshCommand() *cobra.Command {
	var o options
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

Exit codes: 0 all proofs are as new as the log's; 1 a proof does not verify, an
existing one or one of the log's; 2 wrong usage, no proofs, or the log could not be reached.`,
		Example: `  publisher refresh --policy policy.txt ./metadata`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			cfg, log, err := o.config(cmd)
			if err != nil {
				return err
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
			switch {
			case errors.Is(err, publish.ErrNoProofs):
				return fmt.Errorf("%w: publisher submit writes them", err)
			case errors.As(err, &refusal):
				return cli.Failed(err)
			}
			return log.explain(err)
		},
	}
	o.registerAny(cmd)
	cmd.Flags().StringVar(&o.repository, "repository", "", "the proofs must be about this repository (64 hex digits; default: the one that each is about)")
	cmd.Flags().BoolVar(&o.replace, "replace", false, "overwrite proofs of other logs than the policy's")
	return cmd
}

func printRefreshed(cmd *cobra.Command, list []publish.Refreshed, asJSON bool) error {
	if asJSON {
		return cli.WriteJSON(cmd.OutOrStdout(), list)
	}
	return publish.WriteRefreshed(cmd.OutOrStdout(), list)
}
