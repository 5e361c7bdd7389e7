package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/log/dirlog"
	"github.com/tuflog/tuflog/log/serverlog"
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
			n, err := reindex(cmd.Context(), at, on, tiles, cmd.ErrOrStderr())
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

func reindex(ctx context.Context, at place, on shared, tiles bool, stderr io.Writer) (n int64, err error) {
	if !on.on() {
		if tiles {
			return 0, errors.New("--tiles is for logs on servers")
		}
		l := dirlog.Open(at.log(), textLogger(stderr))
		defer func() { err = errors.Join(err, l.Close()) }()
		return l.Reindex(ctx, bars(stderr))
	}
	l, err := serverlog.Open(ctx, on.servers(), textLogger(stderr))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return l.Reindex(ctx, tiles, bars(stderr))
}
