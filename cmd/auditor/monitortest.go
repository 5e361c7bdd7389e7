package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/internal/cli"
)

func newMonitorTestAlert() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "test-alert [TO]",
		Short: "Send a test to a destination of alerts, or to all",
		Long: `Send an event of type test to a destination, or to each, and wait until it has been taken.
It goes past the queue, and also to a destination that was switched off. A monitor may be
running.

Exit codes:
  0  it was taken
  1  a destination did not take it: stderr says why
  2  wrong usage, or the configuration cannot be used`,
		Example: `  auditor monitor test-alert ops --config monitor.toml`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cfg, err := monitor.Read(cmd.Context(), config)
			if err != nil {
				return err
			}
			to := ""
			if len(args) > 0 {
				to = args[0]
			}
			a := cfg.Alerts
			a.Stdout, a.Logger = cmd.OutOrStdout(), slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			if len(a.To) == 0 {
				return fmt.Errorf("%s: to: there is no destination: want a table such as [to.ops]", config)
			}
			d, err := alert.Open(cmd.Context(), monitor.AlertsFile(cfg.Dir), a)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.Close()) }()
			if err := d.Test(cmd.Context(), to); errors.Is(err, alert.ErrDestination) {
				return err
			} else if err != nil {
				return cli.Failed(err)
			}
			if to == "" {
				to = strings.Join(d.Destinations(), ", ")
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "taken by %s\n", to)
			return nil
		},
	}
	configFlag(cmd, &config)
	return cmd
}
