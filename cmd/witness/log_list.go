package main

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sqlite"
)

// listedLog is what log list says of a log. Without a checkpoint there is no
// root and no time.
type listedLog struct {
	Origin  string   `json:"origin"`
	Keys    []string `json:"keys"`
	URL     string   `json:"url,omitempty"`
	Source  string   `json:"source,omitempty"`  // the list that named it
	PerDay  int64    `json:"per_day,omitempty"` // requests that the list allows
	Latched bool     `json:"latched,omitempty"` // cosigning is stopped
	Removed bool     `json:"removed,omitempty"`
	Size    int64    `json:"size"`
	Root    string   `json:"root,omitempty"` // base64
	Time    string   `json:"time,omitempty"` // RFC 3339, UTC
}

func newLogList() *cobra.Command {
	var flags struct {
		dir  string
		json bool
		all  bool
	}
	cmd := &cobra.Command{
		Use:   "list --dir DIR",
		Short: "List the logs and the last checkpoint cosigned of each",
		Long: `List prints one line for each log: its origin, and the size, root and time of
the checkpoint that was cosigned last; then its keys. Logs that were removed are
left out unless --all is given; "stopped" means that cosigning is stopped (see
witness latch list).`,
		Example: `  witness log list --dir ./w1 --json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logs, err := listLogs(cmd.Context(), flags.dir, flags.all)
			if err != nil {
				return err
			}
			if flags.json {
				return cli.WriteJSON(cmd.OutOrStdout(), logs)
			}
			return printLogs(cmd.OutOrStdout(), logs)
		},
	}
	dirFlag(cmd, &flags.dir)
	cmd.Flags().BoolVar(&flags.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&flags.all, "all", false, "also list removed logs")
	return cmd
}

func listLogs(ctx context.Context, dir string, all bool) (listed []listedLog, err error) {
	store, err := sqlite.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	logs, err := store.Logs(ctx)
	if err != nil {
		return nil, err
	}
	listed = make([]listedLog, 0, len(logs)) // [] in JSON, not null
	for _, l := range logs {
		if all || !l.Removed {
			listed = append(listed, describe(l))
		}
	}
	return listed, nil
}

func describe(l witness.Log) listedLog {
	d := listedLog{Origin: l.Origin, URL: fetch.Redacted(l.URL), Source: l.Source, PerDay: l.PerDay, Latched: l.Latched, Removed: l.Removed}
	for _, k := range l.Keys {
		d.Keys = append(d.Keys, k.String())
	}
	if l.Latest != nil {
		d.Size = l.Latest.Tree.N
		d.Root = l.Latest.Tree.Hash.String()
		d.Time = time.Unix(l.Latest.Time, 0).UTC().Format(time.RFC3339)
	}
	return d
}

func printLogs(w io.Writer, logs []listedLog) error {
	t := printable.NewTable(w, "ORIGIN", "SIZE", "ROOT", "TIME", "KEY")
	for _, l := range logs {
		size, root, at := strconv.FormatInt(l.Size, 10), l.Root, l.Time
		if l.Root == "" {
			size, root, at = "-", "-", "-"
		}
		switch {
		case l.Removed:
			at = "removed"
		case l.Latched:
			at = "stopped"
		}
		for i, k := range l.Keys {
			if i > 0 {
				l.Origin, size, root, at = "", "", "", ""
			}
			t.Row(l.Origin, size, root, at, k)
		}
	}
	return t.Flush()
}
