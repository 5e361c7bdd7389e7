package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/verify"
)

func newPolicy(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Say what policies promise, or turn one into C",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyExplain(o), newPolicyCompile(o))
	return cmd
}

func newPolicyExplain(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "explain --policy FILE [--install-policy FILE]",
		Short: "Say in sentences what a trust policy and an install policy promise",
		Long: `Explain says in sentences what a trust policy and an install policy promise together:
what a release needs, what each attacker can do and what not, and what is weak. It reads
the two files only. Without --install-policy the default one is explained.

Exit codes: 0 explained, whether anything is weak or not; 2 the policies cannot be used.`,
		Example: `  updater policy explain --policy trust.txt --install-policy install.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config()
			if err != nil {
				return err
			}
			p, err := verify.Explain(cfg)
			if err != nil {
				return err
			}
			if o.json {
				return cli.WriteJSON(cmd.OutOrStdout(), p)
			}
			return printPromise(cmd.OutOrStdout(), p)
		},
	}
}

func printPromise(w io.Writer, p verify.Promise) error {
	var b strings.Builder
	section := func(title string, sentences []string) {
		fmt.Fprintf(&b, "%s\n", title)
		for _, s := range sentences {
			fmt.Fprintf(&b, "  - %s\n", printable.Line(s))
		}
	}
	section("What a release needs:", p.Needs)
	section("Who can do what:", p.Against)
	if len(p.Warnings) > 0 {
		section("Weak:", p.Warnings)
	} else {
		b.WriteString("Nothing weak was found.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
