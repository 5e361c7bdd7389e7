package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/proofs"
)

func expectKeyCommand() *cobra.Command {
	var keys signingKeys
	var out string
	var mldsa bool
	cmd := &cobra.Command{
		Use:   "key --name NAME {--out FILE | --ssh-agent SOCKET}",
		Short: "Make a key for expectations, and print its public form",
		Long: `Make a private key for expectations in a new file that only its user can read, and
print the public key, which monitors need (expectations_key). Keep the file where the
build system cannot read it, best on another machine: a person signs with it, a few times
a year.

With --ssh-agent no key is made: the public form of an Ed25519 key that the agent has is
printed. The key must not have another use.`,
		Example: `  publisher expect key --name acme.example/expect --out expect.key`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (out == "") == (keys.agent == "") {
				return errors.New("give either --out, for a new key, or --ssh-agent, for one that the agent has")
			}
			if err := cli.CheckName(keys.name); err != nil {
				return fmt.Errorf("--name: %w", err)
			}
			if keys.agent != "" {
				s, err := keys.inAgent()
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), s.Key())
				return nil
			}
			alg := proofs.Ed25519
			if mldsa {
				alg = proofs.MLDSA44
			}
			s, err := proofs.GenerateSigner(nil, keys.name, alg)
			if err != nil {
				return err
			}
			if err := keyfile.Create(out, s.PrivateKey()); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), s.Key())
			return nil
		},
	}
	keys.register(cmd)
	cmd.Flags().StringVar(&out, "out", "", "`FILE` for the new private key")
	cmd.Flags().BoolVar(&mldsa, "ml-dsa", false, "make an ML-DSA-44 key, which withstands quantum computers, not an Ed25519 key")
	if err := cmd.MarkFlagRequired("name"); err != nil {
		panic(err) // a flag that was not declared above
	}
	return cmd
}
