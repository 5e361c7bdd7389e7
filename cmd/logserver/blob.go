package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/log/maintain"
)

func newBlob() *cobra.Command {
	cmd := &cobra.Command{Use: "blob", Short: "Put back files that a log lacks"}
	cmd.AddCommand(newBlobAdd())
	return cmd
}

func newBlobAdd() *cobra.Command {
	var at place
	var on shared
	cmd := &cobra.Command{
		Use:   "add --dir DIR FILE...",
		Short: "Put back files that leaves name and the log lacks",
		Long: `Add puts files back into a log whose blobs.db, or state database, was restored from
an old copy: logserver fsck says what is missing. Vendors, auditors, mirrors and
caches (/blob/sha256/...) have them. A file is stored if a leaf names its SHA-256 as
metadata or as snapshot and the log has no such file; add says for each what it did.

Nothing else puts a file back: a submission of what is logged already does not, for
a file may be missing because the operator withholds it. Which of the two it is only
the operator knows; so do not add what you withhold. Each file that is stored is
recorded, in actions.jsonl in the ledger's directory.

What the files list can be looked up after logserver reindex.

The log must not be served meanwhile. A log on servers (--storage, --state) may be; its
record is in the database.

It exits 1 if there was a file that no leaf names.`,
		Example: `  logserver blob add --dir ./log 3.targets.json 3.snapshot.json
  logserver blob add --dir ./log --storage trillian://10.0.0.9:8090/1234 --state postgres://tuflog@10.0.0.8/tuflog *.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return addBlobs(cmd.Context(), at, on, args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	at.flags(cmd)
	at.ledgerFlag(cmd)
	on.sharedFlags(cmd)
	return cmd
}

func addBlobs(ctx context.Context, at place, on shared, paths []string, stdout, stderr io.Writer) (err error) {
	l, err := openPresent(ctx, at, on, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	lost, err := maintain.OpenLostFiles(ctx, l, l.Record)
	if err != nil {
		return err
	}
	unnamed := false
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		did, err := lost.PutBack(ctx, data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		unnamed = unnamed || did == maintain.Unnamed
		fmt.Fprintf(stdout, "%s: %s\n", path, did)
	}
	if unnamed {
		return cli.Failed(cli.ErrReported)
	}
	return nil
}
