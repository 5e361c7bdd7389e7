package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/tesseralog"
	"github.com/tuflog/tuflog/proofs"
)

func newInit() *cobra.Command {
	var at place
	var origin string
	cmd := &cobra.Command{
		Use:   "init --dir DIR --origin ORIGIN",
		Short: "Make a new log: a key, an empty tree and a ledger",
		Long: `Init makes a new log in a directory, which it creates if need be, and prints the
log's public key: give it to the witnesses that are to cosign the log, and to
everyone who is to trust it. The origin is the log's name for ever: a URL without
a scheme, not necessarily reachable.`,
		Example: `  logserver init --dir ./log --origin log.example/tuf`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			vkey, err := initialize(cmd.Context(), at, origin)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), vkey)
			fmt.Fprintf(cmd.ErrOrStderr(), handOut, vkey, vkey, at.token(), at.ledgerDir())
			return nil
		},
	}
	at.flags(cmd)
	at.ledgerFlag(cmd)
	cmd.Flags().StringVar(&origin, "origin", "", "name of the log (required)")
	if err := cmd.MarkFlagRequired("origin"); err != nil {
		panic(err) // the flag was defined one line above
	}
	return cmd
}

const handOut = `
What to hand out:
  to witnesses             witness log add --dir WITNESS %s
  in every trust policy    log %s
  to vendors, in private   the registration token in %s
Keep the ledger %s on another disk than the log, and never restore it from a backup.
`

// initialize makes a log where there is none.
func initialize(ctx context.Context, at place, origin string) (vkey string, err error) {
	if err := at.check(); err != nil {
		return "", err
	}
	signer, err := proofs.GenerateSigner(rand.Reader, origin, proofs.Ed25519)
	if err != nil {
		return "", err
	}
	for _, dir := range []string{at.dir, at.ledgerDir()} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if len(entries) > 0 {
			return "", fmt.Errorf("%s is not empty: it holds %s", dir, entries[0].Name())
		}
	}
	if err := os.MkdirAll(at.dir, 0o755); err != nil {
		return "", err
	}
	// The key comes last: without it nothing can be served, so a log that
	// was made only in part is never mistaken for a whole one.
	vkey = signer.Key().String()
	for _, step := range []func() error{
		func() error { return log.CreateFileLedger(at.ledgerDir(), origin) },
		func() error { return tesseralog.Create(ctx, at.tree()) },
		func() error { return sqlite.CreateBlobs(at.blobs()) },
		func() error { return sqlite.CreateState(at.state()) },
		func() error { return keyfile.Create(at.token(), rand.Text()) },
		func() error { return durable.WriteFile(at.vkey(), []byte(vkey+"\n"), 0o644) },
		func() error { return keyfile.Create(at.key(), signer.PrivateKey()) },
	} {
		if err := step(); err != nil {
			return "", err
		}
	}
	return vkey, nil
}
