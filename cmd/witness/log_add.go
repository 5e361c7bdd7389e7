package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sqlite"
)

type logAddFlags struct {
	dir, origin, url string
	another          bool
}

func newLogAdd() *cobra.Command {
	var flags logAddFlags
	cmd := &cobra.Command{
		Use:   "add --dir DIR VKEY",
		Short: "Cosign another log from now on",
		Long: `Add makes a log known by its public key, NAME+ID+BASE64, whose name is the
log's origin unless --origin says otherwise. A witness that is serving sees it
at once.

Give --url whenever the log's checkpoint can be fetched. There the witness looks
for cosignatures of its own that its state has lost, and for tiles to judge a
checkpoint with a failed proof. For a log that is known by this key, it changes the
URL.`,
		Example: `  witness log add --dir ./w1 --url https://log.example log.example+1e7f7b5c+AQQcH1nDDGGoOCMoZYsGAl5T6l4Db5EU0oEuXPMUlzwb
  witness log add --dir ./w1 --origin "go.sum database tree" sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := proofs.ParseKey(args[0])
			if err != nil {
				return err
			}
			n := witness.NewLog{Key: key, Origin: flags.origin}
			if flags.url != "" {
				if n.URL, err = cleanURL(flags.url); err != nil {
					return fmt.Errorf("--url: %w", err)
				}
			}
			err = withStore(flags.dir, func(s *sqlite.Store) error { return addLog(cmd.Context(), s, n, flags.another) })
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "added %s; once cosigned, its checkpoint is at /%v/checkpoint\n", n.Name(), witness.HashOrigin(n.Name()))
			return nil
		},
	}
	dirFlag(cmd, &flags.dir)
	f := cmd.Flags()
	f.StringVar(&flags.origin, "origin", "", "the log's origin, if it is not the key's name")
	f.StringVar(&flags.url, "url", "", "prefix below which the log publishes its checkpoint and tiles")
	f.BoolVar(&flags.another, "another-key", false, "the log is known already and also signs with this key")
	return cmd
}

func addLog(ctx context.Context, store *sqlite.Store, n witness.NewLog, another bool) error {
	if another {
		if err := store.AddKey(ctx, n.Origin, n.Key); err != nil || n.URL == "" {
			return err
		}
		return store.SetURL(ctx, n.Name(), n.URL)
	}
	err := store.AddLog(ctx, n)
	if !errors.Is(err, witness.ErrKnownLog) {
		return err
	}
	log, readErr := store.Log(ctx, witness.HashOrigin(n.Name()))
	switch {
	case readErr != nil:
		return errors.Join(err, readErr)
	case !slices.Contains(log.Keys, n.Key):
		return fmt.Errorf("%w, by another key: --another-key adds this one to it", err)
	case n.URL == "":
		return err
	}
	return store.SetURL(ctx, n.Name(), n.URL)
}
