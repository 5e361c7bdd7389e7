package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/internal/cli"
)

func newMonitorInit() *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Print an example of a configuration file, with comments",
		Long: `Print an example of a configuration file on stdout. Every key stands there, with a comment;
those that are optional are commented out. Nothing is written.`,
		Example: `  auditor monitor init > monitor.toml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cli.Exact(cmd.OutOrStdout()), monitor.Example)
			return err
		},
	}
}
