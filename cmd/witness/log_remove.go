package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/witness/sqlite"
)

func newLogRemove() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "remove --dir DIR ORIGIN",
		Short: "Stop cosigning a log",
		Long: `Remove makes a log unknown. Its last checkpoint is kept: if the log is added
again, with this or another key, it continues from there. Lists do not add it
again. A witness that is serving stops cosigning it at once.`,
		Example: `  witness log remove --dir ./w1 log.example`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := withStore(dir, func(s *sqlite.Store) error { return s.RemoveLog(cmd.Context(), args[0]) })
			if err != nil {
				return named(args[0], err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "removed %s\n", args[0])
			return nil
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}
