package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/tesseralog"
)

func newReindex() *cobra.Command {
	var at place
	var on shared
	var tiles bool
	cmd := &cobra.Command{
		Use:   "reindex --dir DIR",
		Short: "Make the derived state anew from the log",
		Long: `Reindex makes state.db, from which the log answers questions such as which
releases list a file, anew from the log's entries and blobs. The log must not be
served meanwhile. If it is interrupted, serve goes on where it stopped.

Of a log on servers (--storage, --state) the front ends that have its key must be
stopped; the others go on with the old state until the new one is there. --tiles first
makes the copy of Trillian's entries anew that front ends read: they do not serve
what is missing meanwhile. It refuses where Trillian lacks entries that were signed.`,
		Example: `  logserver reindex --dir ./log
  logserver reindex --dir ./log --tiles --storage trillian://10.0.0.9:8090/1234 --state postgres://tuflog@10.0.0.8/tuflog`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var n int64
			var err error
			switch {
			case on.on():
				n, err = on.reindex(cmd.Context(), tiles, cmd.ErrOrStderr())
			case tiles:
				err = errors.New("--tiles is for logs on servers")
			default:
				n, err = reindex(cmd.Context(), at, cmd.ErrOrStderr())
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d entries indexed\n", n)
			return nil
		},
	}
	at.flags(cmd)
	on.sharedFlags(cmd)
	cmd.Flags().BoolVar(&tiles, "tiles", false, "with --state: make the copy of Trillian's entries anew, too")
	return cmd
}

func reindex(ctx context.Context, at place, stderr io.Writer) (n int64, err error) {
	// Opening the tree keeps the server, and a second reindex, out.
	storage, err := tesseralog.Open(ctx, tesseralog.Config{Dir: at.tree()})
	if err != nil {
		return 0, err
	}
	closing := func(c io.Closer) { err = errors.Join(err, c.Close()) }
	defer closing(storage)
	blobs, err := sqlite.OpenBlobs(at.blobs())
	if err != nil {
		return 0, err
	}
	defer closing(blobs)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(at.state() + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	if err := sqlite.CreateState(at.state()); err != nil {
		return 0, err
	}
	state, err := sqlite.OpenState(at.state())
	if err != nil {
		return 0, err
	}
	defer closing(state)

	tree, err := storage.Integrated(ctx)
	if err != nil {
		return 0, err
	}
	return tree.N, index(ctx, storage, blobs, state, tree, "reindex", stderr)
}
