package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
)

func newMonitorCheck() *cobra.Command {
	var opts struct {
		config string
		json   bool
	}
	cmd := &cobra.Command{
		Use:   "check [--config FILE]",
		Short: "Test a configuration file",
		Long: `Test a configuration file as monitor run reads it: keys, policies, names of repositories,
and what each rule would have matched of what DIR has. Nothing is fetched or written. A
monitor may be running.

Exit codes:
  0  it can be used
  1  a rule can match nothing, or a repository is not in its log
  2  it cannot be read or used`,
		Example: `  auditor monitor check --config monitor.toml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := monitor.Read(cmd.Context(), opts.config)
			if err != nil {
				return err
			}
			c, err := monitor.CheckConfig(cmd.Context(), cfg)
			if err != nil {
				return fmt.Errorf("%s: %w", opts.config, err)
			}
			if opts.json {
				err = cli.WriteJSON(cmd.OutOrStdout(), c)
			} else {
				err = printConfigCheck(cmd, opts.config, c)
			}
			if err == nil && len(c.Wrong) > 0 {
				err = cli.Failed(cli.ErrReported)
			}
			return err
		},
	}
	configFlag(cmd, &opts.config)
	cmd.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	return cmd
}

func printConfigCheck(cmd *cobra.Command, path string, c *monitor.ConfigCheck) error {
	w := cli.Folded(cmd.OutOrStdout())
	if n := len(c.Wrong); n > 0 {
		fmt.Fprintf(w, "%s is not as it should be: %s.\n", printable.Line(path), plural(n, "fault"))
	} else {
		fmt.Fprintf(w, "%s can be used.\n", printable.Line(path))
	}
	t := printable.NewTable(w, "LOG", "URL", "WITNESSES ASKED", "JUDGED", "FINDINGS")
	for _, l := range c.Logs {
		t.Row(l.Name, l.URL, fmt.Sprintf("%d of %d", l.Asked, l.Witnesses), l.Judged, l.Findings)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = printable.NewTable(w, "ROUTE", "TO", "DIGEST", "WOULD HAVE MATCHED", "LAST")
	for _, r := range c.Routes {
		to := strings.Join(r.To, ", ")
		if to == "" {
			to = "nobody"
		}
		t.Row(r.Route, to, r.Digest, r.Matched, r.Last)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(c.Anchors) > 0 {
		fmt.Fprintln(w)
		t = printable.NewTable(w, "LOG", "ANCHORED IN", "REKOR", "UNDER THE KEYS OF")
		for _, a := range c.Anchors {
			t.Row(a.Log, a.Instance, fmt.Sprintf("v%d", a.Version), a.Origin)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for _, wrong := range c.Wrong {
		fmt.Fprintf(w, "%s\n", printable.Line(wrong))
	}
	for _, note := range c.Notes {
		fmt.Fprintf(w, "note: %s\n", printable.Line(note))
	}
	return nil
}
