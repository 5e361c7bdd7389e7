package main

import (
	"github.com/spf13/cobra"
)

// defaultConfig is the configuration file of a monitor.
const defaultConfig = "monitor.toml"

func newMonitor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "monitor",
		Short: "Follow logs and live repositories, and tell what comes",
		Long: `Follow any number of logs, their witnesses and live repositories, by one configuration
file: judge every leaf as replay does, compare what the log shows with what its witnesses
cosigned and what repositories serve with what is logged, and tell what comes and goes.
docs/monitor.md describes it.`,
		Example: `  auditor monitor init > monitor.toml
  auditor monitor check --config monitor.toml
  auditor monitor test-alert --config monitor.toml
  auditor monitor run --config monitor.toml`,
	}
	cmd.AddCommand(newMonitorInit(), newMonitorCheck(), newMonitorRun(), newMonitorTestAlert(), newMonitorDestinations(), newMonitorEnable())
	return cmd
}

// configFlag adds --config.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", defaultConfig, "`FILE` with the configuration (auditor monitor init prints an example)")
}
