package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/monitor"
)

func newMonitorEnable() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "enable TO",
		Short: "Switch on a destination of alerts that was switched off",
		Long: `Switch on a destination that was switched off because it failed for days, or said that it
wants nothing more. What has waited for it is sent, in few messages. A monitor that runs
notices within seconds. One that fails now and waits for its next try is tried at once.

Exit codes:
  0  it is on
  2  wrong usage, or the configuration cannot be used`,
		Example: `  auditor monitor enable ops --config monitor.toml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cfg, err := monitor.Read(cmd.Context(), config)
			if err != nil {
				return err
			}
			a := cfg.Alerts
			a.Stdout, a.Logger = io.Discard, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			d, err := alert.Open(cmd.Context(), monitor.AlertsFile(cfg.Dir), a)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.Close()) }()
			if err := d.Enable(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is on\n", args[0])
			return nil
		},
	}
	configFlag(cmd, &config)
	return cmd
}
