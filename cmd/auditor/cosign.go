package main

import (
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
  auditor cosign resume --config monitor.toml --log example --reason "a cache had a bad disk"`,
	}
	cmd.AddCommand(newCosignInit(), newCosignKey(), newCosignStatus(), newCosignResume())
	return cmd
}

// readCosign reads the configuration of a monitor that cosigns, and returns the directory of
// the cosigner's state.
func readCosign(path string) (*monitor.Config, string, error) {
	cfg, err := monitor.Read(path)
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
	cmd := &cobra.Command{
		Use:   "init [--config FILE]",
		Short: "Make the keys that do not exist, an empty state and an empty ledger",
		Long: `Make what the section [cosign] of a monitor's configuration needs: the key files that do
not exist, the first of type Ed25519 and the second of type ML-DSA-44, an empty state in
DIR/cosign, and an empty ledger (by default DIR/cosign.ledger; another disk is better).
Nothing that exists is replaced. It prints the public keys.

The ledger must never be restored from a backup: it keeps a restored state from signing
a second history.`,
		Example: `  auditor cosign init --config monitor.toml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, dir, err := readCosign(config)
			if err != nil {
				return err
			}
			keys, err := cosign.Create(dir, *cfg.Cosign)
			if err != nil {
				return err
			}
			for _, k := range keys {
				fmt.Fprintln(cmd.OutOrStdout(), k)
			}
			fmt.Fprintln(cmd.ErrOrStderr(), cli.Pasteable(cmd, "Next: auditor monitor run, and auditor cosign key for what to hand out to the makers of devices"))
			return nil
		},
	}
	configFlag(cmd, &config)
	return cmd
}
