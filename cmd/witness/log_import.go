package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sqlite"
)

func newLogImport() *cobra.Command {
	var flags struct {
		dir  string
		json bool
	}
	cmd := &cobra.Command{
		Use:   "import --dir DIR LIST",
		Short: "Cosign the logs of a list",
		Long: `Import reads a list of logs in the format of the witness network (it begins
"logs/v0"), from an https URL or a file, and adds its logs. A log is refused if its
name is taken by another key or if it was removed; logs that are no longer in the
list stay. It exits with 1 if any was refused.

To follow a list, give it to "witness serve --log-list".`,
		Example: `  witness log import --dir ./w1 https://testing.witness-network.org/log-list.1`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var report witness.ImportReport
			err := withStore(flags.dir, func(s *sqlite.Store) (err error) {
				report, err = witness.ImportList(cmd.Context(), s, nil, args[0])
				return err
			})
			if err != nil {
				return err
			}
			if err := printImport(cmd, report, flags.json); err != nil {
				return err
			}
			if len(report.Refused) > 0 {
				return cli.Failed(cli.ErrReported)
			}
			return nil
		},
	}
	dirFlag(cmd, &flags.dir)
	cmd.Flags().BoolVar(&flags.json, "json", false, "print JSON")
	return cmd
}

func printImport(cmd *cobra.Command, report witness.ImportReport, asJSON bool) error {
	if asJSON {
		refused := append([]witness.Refused{}, report.Refused...) // [] in JSON, not null
		return cli.WriteJSON(cmd.OutOrStdout(), struct {
			Added   int               `json:"added"`
			Known   int               `json:"known"`
			Refused []witness.Refused `json:"refused"`
		}{report.Added, report.Known, refused})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "added %d, known %d, refused %d\n", report.Added, report.Known, len(report.Refused))
	t := printable.NewTable(cmd.OutOrStdout())
	for _, r := range report.Refused {
		t.Row(r.Log, r.Why)
	}
	return t.Flush()
}
