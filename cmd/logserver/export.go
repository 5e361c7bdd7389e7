package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/log/maintain"
)

func newExport() *cobra.Command {
	var at place
	var on shared
	var to string
	cmd := &cobra.Command{
		Use:   "export --dir DIR --to FOLDER",
		Short: "Write what is published as files that any web server can serve",
		Long: `Export writes the published checkpoint, the tiles and entries of its tree, and all files
that its leaves name, at the paths at which serve has them: checkpoint, tile/... and
blob/sha256/... A web server, or a bucket, that serves the folder is enough for devices
and auditors; look-ups and submissions need logserver serve. A folder that has an older
copy is brought up to date, its checkpoint last. One that has another log's checkpoint, or
a later one, is left as it is.

A log in a directory must not be served meanwhile. A log on servers may be.

It exits 1 if the log lacks files that leaves name; the others are written.`,
		Example: `  logserver export --dir ./log --to ./site`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			keys, err := readKeys(at)
			if err != nil {
				return err
			}
			l, err := open(cmd.Context(), at, on, textLogger(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.Close()) }()
			e := &maintain.Export{Log: l, Keys: keys, To: to, Watch: bars(cmd.ErrOrStderr())}
			if err := e.Run(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d entries and %d files are in %s\n", e.Size, e.Files, to)
			if e.Missing > 0 {
				return cli.Failed(fmt.Errorf("the log lacks %d files that leaves name: logserver fsck lists them", e.Missing))
			}
			return nil
		},
	}
	at.flags(cmd)
	at.ledgerFlag(cmd)
	on.sharedFlags(cmd)
	cmd.Flags().StringVar(&to, "to", "", "folder to write to; made if it is not there (required)")
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}
