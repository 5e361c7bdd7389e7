package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/cosign"
	"github.com/tuflog/tuflog/internal/cli"
)

func newCosignKey() *cobra.Command {
	var opts struct{ config, out string }
	cmd := &cobra.Command{
		Use:   "key [--config FILE] [--out FILE]",
		Short: "Print the public keys as lines of a policy, for the makers of devices",
		Long: `Print lines for the trust policies of devices (c2sp.org/tlog-policy): a witness line for
each of the auditor's keys, a group of them, and in comments how to require the group
beside the policy's witnesses. With --out it writes the public keys alone to a file, one
a line.

The policy by which the log publishes, and by which this monitor reads it, must not need
the auditor: it cosigns only what is published.`,
		Example: `  auditor cosign key --config monitor.toml
  auditor cosign key --config monitor.toml --out auditor.vkey`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, dir, err := readCosign(cmd.Context(), opts.config)
			if err != nil {
				return err
			}
			keys, err := cosign.PublicKeys(dir)
			if err != nil {
				return err
			}
			if opts.out != "" {
				return cosign.WritePublicKeys(opts.out, keys)
			}
			prefix := ""
			if cfg.URL != "" {
				prefix = strings.TrimSuffix(cfg.URL, "/") + cosign.Prefix
			} else {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning: the configuration has no url, so the witness lines have none: logserver --audited-policy refuses them as they are")
			}
			_, err = cli.Exact(cmd.OutOrStdout()).Write([]byte(cosign.PolicyText(keys, prefix)))
			return err
		},
	}
	configFlag(cmd, &opts.config)
	cmd.Flags().StringVar(&opts.out, "out", "", "`FILE` to write the public keys to, one a line")
	return cmd
}
