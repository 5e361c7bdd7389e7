package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/cosign"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
)

func newCosignResume() *cobra.Command {
	var opts struct {
		config, log string
		accept      cosign.Acceptance
	}
	cmd := &cobra.Command{
		Use:   "resume [--config FILE] --log NAME --finding ID... --reason TEXT",
		Short: "Let a log be cosigned again, and record why",
		Long: `Let a log be cosigned again, and record the reason, which is shown to everyone where the
cosignatures are served. A monitor that is running resumes at its next look.

Find out first what happened: auditor cosign status names the findings, and auditor
findings has their evidence. Whoever resumes accepts these findings, each by its id: while
they last, they do not stop the log again, and its checkpoints are cosigned although they
are there. If another one stops it, which may have come since, nothing is resumed.
Other findings stop it again. A file that is not there is never accepted.

If a log has forked, or the keys were used on two machines, do not resume. It takes --fork.

Exit codes:
  0  resumed
  1  cosigning is not stopped for this log, or something that stops it is not accepted
  2  wrong usage, or there is no state`,
		Example: `  auditor cosign resume --config monitor.toml --log example --finding 1a2b3c4d5e6f --reason "known, see our site"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, dir, err := readCosign(cmd.Context(), opts.config)
			if err != nil {
				return err
			}
			origin, err := originOf(cmd, cfg, dir, opts.log)
			if err != nil {
				return err
			}
			cleared, err := cosign.Resume(cmd.Context(), dir, origin, opts.accept, time.Now())
			if errors.Is(err, cosign.ErrNotStopped) || errors.Is(err, cosign.ErrNotAccepted) {
				return cli.Failed(fmt.Errorf("%s: %w", opts.log, err))
			}
			if err != nil {
				return err
			}
			w := cli.Folded(cmd.OutOrStdout())
			fmt.Fprintf(w, "%s is cosigned again. Accepted:\n", printable.Line(opts.log))
			for _, l := range cleared {
				fmt.Fprintf(w, "  %s: %s\n", l.Since, printable.Line(l.Why))
			}
			return nil
		},
	}
	configFlag(cmd, &opts.config)
	cmd.Flags().StringVar(&opts.log, "log", "", "`NAME` of the log in the configuration")
	cmd.Flags().StringVar(&opts.accept.Reason, "reason", "", "`TEXT`: why it is right to cosign again; recorded, and shown to everyone")
	cmd.Flags().StringArrayVar(&opts.accept.Findings, "finding", nil, "`ID` of what is accepted, as status shows it (repeatable: all that stops the log)")
	cmd.Flags().BoolVar(&opts.accept.Fork, "fork", false, "accept also that the log, or these keys, may have two histories")
	cobra.CheckErr(cmd.MarkFlagRequired("log"))
	cobra.CheckErr(cmd.MarkFlagRequired("reason"))
	return cmd
}

// originOf returns the origin, in the cosigner's state, of a log of the configuration.
func originOf(cmd *cobra.Command, cfg *monitor.Config, dir, name string) (string, error) {
	i := slices.IndexFunc(cfg.Logs, func(l monitor.Log) bool { return l.Name == name })
	if i < 0 {
		return "", fmt.Errorf("--log: the configuration has no log %q", name)
	}
	policy, err := cli.ReadPolicy(cfg.Logs[i].Policy)
	if err != nil {
		return "", err
	}
	s, err := cosign.ReadStatus(cmd.Context(), dir)
	if err != nil {
		return "", err
	}
	for _, l := range s.Logs {
		if slices.ContainsFunc(policy.Logs, func(p proofs.PolicyLog) bool { return p.Key.Name() == l.Origin }) {
			return l.Origin, nil
		}
	}
	return "", cli.Failed(fmt.Errorf("%s: no checkpoint of it was seen, so nothing is stopped", name))
}
