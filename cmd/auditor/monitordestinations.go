package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
)

func newMonitorDestinations() *cobra.Command {
	var opts struct {
		config string
		json   bool
	}
	cmd := &cobra.Command{
		Use:   "destinations",
		Short: "List the destinations of alerts, and how each is",
		Long: `List the destinations of alerts that a monitor has used: what waits for each, whether it
fails or was switched off, and why. A monitor may be running.

Exit codes:
  0  each takes what it gets
  1  one fails, or is switched off
  2  wrong usage, or the outbox cannot be read`,
		Example: `  auditor monitor destinations --config monitor.toml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, err := monitor.Read(cmd.Context(), opts.config)
			if err != nil {
				return err
			}
			path := monitor.AlertsFile(cfg.Dir)
			if _, err := os.Stat(path); err != nil {
				return fmt.Errorf("no monitor has run with this configuration: %w", err)
			}
			r, err := alert.OpenReader(cmd.Context(), path)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.Close()) }()
			list, err := r.Status(cmd.Context(), time.Now())
			if err != nil {
				return err
			}
			if opts.json {
				err = cli.WriteJSON(cmd.OutOrStdout(), list)
			} else {
				err = printDestinations(cmd, list)
			}
			if err != nil {
				return err
			}
			for _, s := range list {
				if !s.Failing.IsZero() || !s.Off.IsZero() {
					return cli.Failed(fmt.Errorf("%s: %s", s.To, s.Trouble))
				}
			}
			return nil
		},
	}
	configFlag(cmd, &opts.config)
	cmd.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	return cmd
}

func printDestinations(cmd *cobra.Command, list []alert.Status) error {
	out := cli.Folded(cmd.OutOrStdout())
	bad := 0
	for _, s := range list {
		if !s.Failing.IsZero() || !s.Off.IsZero() {
			bad++
		}
	}
	fmt.Fprintf(out, "%d of %d destinations take what they get.\n\n", len(list)-bad, len(list))
	t := printable.NewTable(out, "TO", "STATE", "WAITING", "LATER", "SENT", "FAILED", "LOST", "LAST ERROR")
	for _, s := range list {
		how := "well"
		switch {
		case !s.Off.IsZero():
			how = "off since " + s.Off.Format(time.RFC3339)
		case !s.Failing.IsZero():
			how = "failing since " + s.Failing.Format(time.RFC3339)
		}
		t.Row(s.To, how, s.Waiting, s.Later, s.Sent, s.Failed, s.Lost, s.Trouble)
	}
	return t.Flush()
}
