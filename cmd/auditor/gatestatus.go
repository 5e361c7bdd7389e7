package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
)

func newGateStatus() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status URL",
		Short: "Ask a gate what it has signed",
		Long: `Ask a running gate for which repositories it signs, and which timestamp of each it signed
last. A repository needs a look if its root does not name the gate's key, or its last
timestamp has expired.

Exit codes: 0 all is well; 1 a repository needs a look; 2 the gate cannot be asked.`,
		Example: `  auditor gate status http://127.0.0.1:7385
  auditor gate status --json https://gate.example`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cli.CheckBaseURL(args[0]); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
			defer cancel()
			list, err := client.Gate{URL: args[0]}.Status(ctx)
			if err != nil {
				return err
			}
			wrong := 0
			table := printable.NewTable(cmd.OutOrStdout(), "repository", "timestamp", "expires", "root", "")
			for _, s := range list {
				words, expires := "", "–"
				switch {
				case !s.InRole:
					words = "its root does not name this gate for the timestamp"
				case s.Expires != nil && s.Expires.Before(time.Now()):
					words = "its last timestamp has expired"
				}
				if words != "" {
					wrong++
				} else if !s.Certain {
					words = "started; it looks around before it signs"
				}
				if s.Expires != nil {
					expires = s.Expires.UTC().Format(time.RFC3339)
				}
				table.Row(s.Name+" "+s.Repository.Short(), s.Version, expires, s.Root, words)
			}
			if asJSON {
				if err := cli.WriteJSON(cmd.OutOrStdout(), list); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "The gate signs for %d repositories; %d of them need a look.\n\n", len(list), wrong)
				if err := table.Flush(); err != nil {
					return err
				}
			}
			if wrong > 0 {
				return cli.Failed(cli.ErrReported)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
