package main

import (
	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/publish"
)

func checkCommand() *cobra.Command {
	var cfg publish.Config
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check PATH...",
		Short: "Judge metadata by a log's rules, without a log",
		Long: `Read metadata files as strictly as a log and devices do, and judge them by the rules of
admission, as an empty log would. Check does not send or write files, or need a network:
run it before a signing ceremony is over. PATH is as for submit, and so are the table and
the reasons; snapshots and timestamps are also judged. The content of a log, such as
another payload of a version, is not known here: submit --dry-run asks the log.

Exit codes: 0 all files would be logged that devices may require; 1 a file would be
refused, or two files contradict each other; 2 wrong usage, or submit would ask for the
first root of the repository.`,
		Example: `  publisher check ./metadata`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			if err := checkGenesis(cfg.Genesis); err != nil {
				return err
			}
			files, err := publish.ReadFiles(paths)
			if err != nil {
				return err
			}
			report, err := publish.Rehearse(cmd.Context(), cfg, nil, files)
			return told(cmd, report, asJSON, err, nil)
		},
	}
	cmd.Flags().Int64Var(&cfg.Genesis, "genesis", 0, "the repository begins with the root of this `VERSION` (default: version 1)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// told prints what became of the files of a submission to a log, or of a rehearsal
// without one, and returns how the command ends.
func told(cmd *cobra.Command, report *publish.Report, asJSON bool, err error, log *owner) error {
	printNotes(cmd.ErrOrStderr(), report)
	if len(report.Files) > 0 || err == nil {
		if printErr := printSubmitted(cmd, report, asJSON); printErr != nil {
			return printErr
		}
	}
	switch {
	case err != nil && log == nil:
		return advise(err)
	case err != nil:
		return log.explain(err)
	case log == nil:
		return outcome(report, "", cmd.ErrOrStderr())
	}
	return outcome(report, log.sent, cmd.ErrOrStderr())
}

func printSubmitted(cmd *cobra.Command, report *publish.Report, asJSON bool) error {
	if asJSON {
		return cli.WriteJSON(cmd.OutOrStdout(), report)
	}
	return report.WriteFiles(cmd.OutOrStdout())
}
