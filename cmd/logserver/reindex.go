package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
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
releases list a file, anew from the log's entries and blobs, as far as they were
signed: the rest is judged by serve, which indexes it. The log must not be served
meanwhile. The old state.db is there until the new one is whole: if reindex is
interrupted, nothing has changed, and it begins again when it is run again.

Of a log on servers (--storage, --state) the front ends that have its key must be
stopped; the others go on with the old state until the new one is there. --tiles first
makes the copy of Trillian's entries anew that front ends read: they do not serve
what is missing meanwhile. It refuses where Trillian lacks entries that were signed.`,
		Example: `  logserver reindex --dir ./log
  logserver reindex --dir ./log --tiles --storage trillian://10.0.0.9:8090/1234 --state postgres://tuflog@10.0.0.8/tuflog`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limitMemory(on.memory())
			started := time.Now()
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
			seconds := time.Since(started).Seconds()
			fmt.Fprintf(cmd.OutOrStdout(), "%d entries indexed in %.1f s, %.0f a second\n", n, seconds, float64(n)/seconds)
			return nil
		},
	}
	at.flags(cmd)
	at.ledgerFlag(cmd)
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
	rec, err := (&dirLog{at: at}).ledger(ctx)
	if err != nil {
		return 0, fmt.Errorf("%w: only what was signed is indexed, and the ledger knows what that is; logserver status says more", err)
	}
	tree := rec.Edge.Tree()
	// What one that was broken off has left is of no use.
	path := at.state() + ".new"
	if err := sqlite.RemoveState(path); err != nil {
		return 0, err
	}
	state, err := sqlite.Build(path)
	if err != nil {
		return 0, err
	}
	if err = indexUpTo(ctx, storage, blobs, state, tree, "reindex", stderr); err == nil {
		bar := cli.NewProgress(stderr, "indices", sqlite.BuildSteps)
		err = state.Finish(ctx, func() { bar.Add(1) })
		bar.Done()
	}
	if err != nil {
		return 0, errors.Join(err, state.Close(), sqlite.RemoveState(path))
	}
	return tree.N, sqlite.ReplaceState(at.state(), path)
}
