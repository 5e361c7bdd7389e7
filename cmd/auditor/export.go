package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/export"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
)

func newExport() *cobra.Command {
	var opts struct {
		logFlags
		format string
	}
	cmd := &cobra.Command{
		Use:   "export OUT --policy FILE",
		Short: "Write the log's history and the findings as tables for other programs",
		Long: `Replay the log and write its history and the findings as tables for other programs:
with --format sqlite the database OUT, with csv or jsonl a file for each table in the
folder OUT. What was there under these names is replaced. docs/data.md says what each
column is; the table "columns" has the same in every export.

Exit codes:
  0  the export is complete
  1  it is, and the replay has findings of class tampering or unexpected
  2  wrong usage, or an outage: the export has what could be checked`,
		Example: `  auditor export history.sqlite --policy policy.txt --state audit.state
  auditor export tables --policy policy.txt --log ./copy --format csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch opts.format {
			case "sqlite", string(export.CSV), string(export.JSONLines):
			default:
				return fmt.Errorf("--format %s: want sqlite, csv or jsonl", opts.format)
			}
			if err := apart(args[0], opts.format, opts.state); err != nil {
				return err
			}
			cfg, err := opts.config()
			if err != nil {
				return err
			}
			a, _, outcome, err := replayFor(cmd, cfg)
			if err != nil {
				return err
			}
			defer a.Close()
			written, err := writeExport(cmd.Context(), args[0], opts.format, a, cfg)
			if err != nil {
				return err
			}
			return firstOf(printExport(cmd, args[0], opts.json, a.State().Size(), written), outcome)
		},
	}
	opts.register(cmd)
	cmd.Flags().StringVar(&opts.format, "format", "sqlite", "`FORMAT` of OUT: sqlite, csv or jsonl")
	return cmd
}

// apart checks that an export would not be written over the state that it reads.
func apart(out, format, state string) error {
	into := out
	if format == "sqlite" {
		into = filepath.Dir(out)
	}
	folder, err := os.Stat(into)
	if err != nil || state == "" {
		return nil // there is nothing to write over
	}
	kept, err := os.Stat(state)
	if err == nil && os.SameFile(folder, kept) {
		return fmt.Errorf("%s is in the directory of the state, %s: name another place", out, state)
	}
	return nil
}

func writeExport(ctx context.Context, out, format string, a *audit.Auditor, cfg audit.Config) ([]export.Written, error) {
	if format == "sqlite" {
		return export.SQLite(ctx, out, a.State(), cfg.Policy)
	}
	return export.Folder(ctx, out, export.Format(format), a.State(), cfg.Policy)
}

func printExport(cmd *cobra.Command, out string, asJSON bool, entries int64, written []export.Written) error {
	if asJSON {
		return cli.WriteJSON(cmd.OutOrStdout(), struct {
			Out     string           `json:"out"`
			Entries int64            `json:"entries"` // of the log
			Tables  []export.Written `json:"tables"`
		}{out, entries, written})
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s has %d entries of the log, and what is known of them.\n\n", printable.Line(out), entries); err != nil {
		return err
	}
	table := printable.NewTable(cmd.OutOrStdout(), "TABLE", "ROWS")
	for _, t := range written {
		table.Row(t.Table, t.Rows)
	}
	return table.Flush()
}
