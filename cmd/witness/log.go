package main

import "github.com/spf13/cobra"

func newLog() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Say which logs the witness cosigns",
		Example: `  witness log add --dir ./w1 sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8
  witness log list --dir ./w1`,
	}
	cmd.AddCommand(newLogAdd(), newLogList())
	return cmd
}
