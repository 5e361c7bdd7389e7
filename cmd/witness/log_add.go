package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sqlite"
)

func newLogAdd() *cobra.Command {
	var flags struct {
		dir     string
		another bool
	}
	cmd := &cobra.Command{
		Use:   "add --dir DIR VKEY",
		Short: "Cosign another log from now on",
		Long: `Add makes a log known by its public key, NAME+ID+BASE64, whose name is the
log's origin. A witness that is serving sees it at once.`,
		Example: `  witness log add --dir ./w1 sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := proofs.ParseKey(args[0])
			if err != nil {
				return err
			}
			if err := addLog(cmd.Context(), flags.dir, key, flags.another); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "added %s; once cosigned, its checkpoint is at /%v/checkpoint\n", key.Name(), witness.HashOrigin(key.Name()))
			return nil
		},
	}
	dirFlag(cmd, &flags.dir)
	cmd.Flags().BoolVar(&flags.another, "another-key", false, "the log is known already and signs with this key, too")
	return cmd
}

func addLog(ctx context.Context, dir string, key proofs.Key, another bool) (err error) {
	store, err := sqlite.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if another {
		return store.AddKey(ctx, key)
	}
	return store.AddLog(ctx, key)
}
