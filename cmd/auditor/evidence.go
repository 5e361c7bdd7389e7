package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/proofs"
)

func newEvidence() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "evidence",
		Short:   "Check evidence from others",
		Long:    `Evidence is a file that can be checked with only public keys.`,
		Example: `  auditor evidence check --policy policy.txt fork.conflict`,
	}
	cmd.AddCommand(newEvidenceCheck())
	return cmd
}

func newEvidenceCheck() *cobra.Command {
	var flags struct {
		keys   []string
		policy string
	}
	cmd := &cobra.Command{
		Use:   "check (--key VKEY | --policy FILE) FILE | check METADATA METADATA",
		Short: "Check two checkpoints that cannot both be true",
		Long: `Check names the parties that signed both of two checkpoints that cannot both be
true, in a file as witnesses write it (docs/formats.md, Conflict). The keys are given
one by one, or taken from a policy.

Given two files of targets metadata of one version, it explains why they are not proof
by themselves, and which files would be.

Exit codes:
  0  the evidence holds
  1  it proves nothing against any of the keys
  2  wrong usage, or a file of another kind, such as a .tlog-proof`,
		Example: `  auditor evidence check --policy policy.txt fork.conflict`,
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return checkPayloads(cmd.OutOrStdout(), args)
			}
			keys, err := evidenceKeys(flags.keys, flags.policy)
			if err != nil {
				return err
			}
			return cli.CheckConflict(cmd.OutOrStdout(), args[0], keys)
		},
	}
	cmd.Flags().StringArrayVar(&flags.keys, "key", nil, "public key of the log or of a witness (may be repeated)")
	cmd.Flags().StringVar(&flags.policy, "policy", "", "policy with the keys of logs and witnesses")
	return cmd
}

// evidenceKeys gathers the keys to check with.
func evidenceKeys(vkeys []string, policy string) ([]proofs.Key, error) {
	keys, err := cli.Keys(vkeys, policy)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("give the keys to check with: --key or --policy")
	}
	return keys, nil
}
