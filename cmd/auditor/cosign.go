package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/cosign"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/internal/cli"
)

func newCosign() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cosign",
		Short: "Keys and state of audited cosignatures",
		Long: `A monitor with a section [cosign] in its configuration puts its own name under the
checkpoints whose every leaf it judged right and whose every file it holds: an audited
cosignature, which policies can require beside those of witnesses. A finding that the log
answers for stops it until a person resumes. docs/monitor.md describes it.`,
		Example: `  auditor cosign init --config monitor.toml
  auditor cosign key --config monitor.toml
  auditor cosign status --config monitor.toml
  auditor cosign resume --config monitor.toml --log example --finding 1a2b3c4d5e6f --reason "known, see our site"`,
	}
	cmd.AddCommand(newCosignInit(), newCosignKey(), newCosignStatus(), newCosignResume())
	return cmd
}

// readCosign reads the configuration of a monitor that cosigns, and returns the directory of
// the cosigner's state.
func readCosign(ctx context.Context, path string) (*monitor.Config, string, error) {
	cfg, err := monitor.Read(ctx, path)
	if err != nil {
		return nil, "", err
	}
	if cfg.Cosign == nil {
		return nil, "", fmt.Errorf("%s has no section [cosign]: want the auditor's name, and its keys", path)
	}
	return cfg, monitor.CosignDir(cfg.Dir), nil
}

func newCosignInit() *cobra.Command {
	var config string
	var unused bool
	cmd := &cobra.Command{
		Use:   "init [--config FILE]",
		Short: "Make the keys, an empty state and an empty ledger",
		Long: `Make what the section [cosign] of a monitor's configuration needs: the key files, the
first of type Ed25519 and the second of type ML-DSA-44, an empty state in DIR/cosign, and
an empty ledger (by default DIR/cosign.ledger; another disk is better). Nothing that
exists is replaced. It prints the public keys.

A key that exists may have cosigned, and an empty state does not know what: it is refused.
If the state is lost, give cosign.keys other file names, and hand out the new keys. With
--unused-keys keys that exist, or that an ssh-agent has, are taken: only if they have never
cosigned anything.

The ledger must never be restored from a backup: it keeps a restored state from signing
a second history.`,
		Example: `  auditor cosign init --config monitor.toml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, dir, err := readCosign(cmd.Context(), config)
			if err != nil {
				return err
			}
			keys, err := cosign.Create(dir, *cfg.Cosign, unused)
			if errors.Is(err, cosign.ErrKeysExist) {
				return fmt.Errorf("%w (give other file names, or --unused-keys if it has never cosigned anything)", err)
			}
			if err != nil {
				return err
			}
			for _, k := range keys {
				fmt.Fprintln(cmd.OutOrStdout(), k)
			}
			for _, path := range cfg.Cosign.Keys {
				fmt.Fprintln(cmd.ErrOrStderr(), "private key: "+path)
			}
			if cfg.Cosign.Ledger == "" {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning: the ledger is beside the state: one bad disk takes both; cosign.ledger names a directory on another disk")
			}
			fmt.Fprintln(cmd.ErrOrStderr(), cli.Pasteable(cmd, "Next: auditor monitor run, and auditor cosign key for what to hand out to the makers of devices"))
			return nil
		},
	}
	configFlag(cmd, &config)
	cmd.Flags().BoolVar(&unused, "unused-keys", false, "take keys that exist: they have never cosigned anything")
	return cmd
}
