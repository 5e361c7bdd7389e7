package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/sqlite"
)

func newInit() *cobra.Command {
	var flags struct{ dir, name string }
	cmd := &cobra.Command{
		Use:   "init --dir DIR --name NAME",
		Short: "Make a new witness: a key and an empty state",
		Long: `Init makes a new witness in a directory, which it creates if need be, and prints
the witness's public key. The name goes into the key and cannot be changed: a
URL without a scheme that identifies the witness, not necessarily reachable.`,
		Example: `  witness init --dir ./w1 --name witness.example/w1`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			vkey, err := initialize(flags.dir, flags.name)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), vkey)
			return nil
		},
	}
	dirFlag(cmd, &flags.dir)
	cmd.Flags().StringVar(&flags.name, "name", "", "name of the witness (required)")
	if err := cmd.MarkFlagRequired("name"); err != nil {
		panic(err) // the flag was defined one line above
	}
	return cmd
}

func initialize(dir, name string) (vkey string, err error) {
	signer, err := proofs.GenerateSigner(nil, name, proofs.CosignatureV1)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	// The key comes first: a state whose key is missing would be mistaken for
	// a witness that lost it.
	if err := keyfile.Create(keyPath(dir), signer.PrivateKey()); err != nil {
		return "", err
	}
	if err := sqlite.Create(dir, signer.Key()); err != nil {
		return "", err
	}
	vkey = signer.Key().String()
	return vkey, durable.WriteFile(vkeyPath(dir), []byte(vkey+"\n"), 0o644)
}
