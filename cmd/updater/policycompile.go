package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/embedded/compile"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
)

func newPolicyCompile(o *options) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "compile --policy FILE",
		Short: "Turn a trust policy into a C header for microcontrollers",
		Long: `Compile turns a trust policy into a C header for the verifier in embedded/, which checks
sidecars on devices that cannot run Go. The header goes to standard output.

That verifier has room for 16 keys and 16 groups, and knows Ed25519 keys only. Keys of other
types are left out, which standard error says, if there is a quorum without them.

Exit codes: 0 written; 2 the policy cannot be used, or cannot be compiled.`,
		Example: `  updater policy compile --policy trust.txt > trust_policy.h`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			policy, err := cli.ReadPolicy(o.policy)
			if err != nil {
				return usage(err)
			}
			c, err := compile.Policy(policy)
			if err != nil {
				return usage(fmt.Errorf("--policy: %s: %w", o.policy, err))
			}
			header, err := c.Header(name, o.policy)
			if err != nil {
				return usage(fmt.Errorf("--name: %w", err))
			}
			for _, left := range c.LeftOut {
				fmt.Fprintf(cmd.ErrOrStderr(), "left out: the %s\n", printable.Line(left))
			}
			_, err = cmd.OutOrStdout().Write(header)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "trust", "name of the policy in C")
	return cmd
}
