package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/cosign"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
)

func newCosignStatus() *cobra.Command {
	var opts struct {
		config string
		json   bool
	}
	cmd := &cobra.Command{
		Use:   "status [--config FILE]",
		Short: "Say what was cosigned last of each log, and what stops it",
		Long: `Say for each log which tree was cosigned last and when, why the newest checkpoint is not
cosigned, and what a person has accepted when they resumed it. A monitor may be running.

Exit codes:
  0  cosigning is not stopped for any log
  1  it is stopped for a log until a person resumes it
  2  wrong usage, or there is no state`,
		Example: `  auditor cosign status --config monitor.toml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := readCosignStatus(cmd, opts.config)
			if err != nil {
				return err
			}
			stopped := 0
			for _, l := range s.Logs {
				if l.Stopped() {
					stopped++
				}
			}
			if opts.json {
				err = cli.WriteJSON(cmd.OutOrStdout(), s)
			} else {
				err = printCosignStatus(cli.Folded(cmd.OutOrStdout()), s, stopped)
			}
			if err == nil && stopped > 0 {
				err = cli.Failed(cli.ErrReported)
			}
			return err
		},
	}
	configFlag(cmd, &opts.config)
	cmd.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	return cmd
}

// readCosignStatus reads what the state says, and what the running monitor last wrote of it.
func readCosignStatus(cmd *cobra.Command, config string) (*cosign.Status, error) {
	cfg, dir, err := readCosign(cmd.Context(), config)
	if err != nil {
		return nil, err
	}
	s, err := cosign.ReadStatus(cmd.Context(), dir)
	if err != nil {
		return nil, err
	}
	for _, log := range cfg.Logs {
		written, err := monitor.ReadStatus(cfg.Dir, log.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for i := range s.Logs {
			if l := &s.Logs[i]; l.Origin == written.Origin {
				l.Log = log.Name
				// What the monitor wrote may be older than what it has cosigned since.
				if l.Why == "" && written.Audited != nil && written.Audited.Size >= l.Size {
					l.Why = written.Audited.Waits
				}
			}
		}
	}
	return s, nil
}

func printCosignStatus(w io.Writer, s *cosign.Status, stopped int) error {
	switch {
	case len(s.Logs) == 0:
		fmt.Fprintf(w, "%s has not seen a log yet.\n", printable.Line(s.Name))
		return nil
	case stopped > 0:
		fmt.Fprintf(w, "Cosigning is stopped for %s of %d, until a person resumes it.\n", plural(stopped, "log"), len(s.Logs))
	default:
		fmt.Fprintf(w, "%s cosigns the checkpoints of %s.\n", printable.Line(s.Name), plural(len(s.Logs), "log"))
	}
	t := printable.NewTable(w, "LOG", "SIZE", "COSIGNED", "STATE")
	for _, l := range s.Logs {
		size, at, state := "-", "never", "cosigned"
		if l.Size >= 0 {
			size, at = fmt.Sprint(l.Size), time.Unix(l.Time, 0).UTC().Format(time.RFC3339)
		}
		switch {
		case l.Stopped():
			state = "stopped"
		case l.Why != "" || l.Size < 0:
			state = "waits"
		}
		t.Row(cosignedLog(l), size, at, state)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, l := range s.Logs {
		for _, latch := range l.Latched {
			fmt.Fprintf(w, "%s: stopped since %s: %s\n", printable.Line(cosignedLog(l)), latch.Since, printable.Line(latch.Why))
			fmt.Fprintf(w, "  to accept it: --finding %s\n", strings.Join(latch.Accept, " --finding "))
		}
		if !l.Stopped() && l.Why != "" {
			fmt.Fprintf(w, "%s: the newest checkpoint is not cosigned: %s\n", printable.Line(cosignedLog(l)), printable.Line(l.Why))
		}
		for _, latch := range l.Past {
			fmt.Fprintf(w, "%s: resumed %s (%s) after: %s\n", printable.Line(cosignedLog(l)), latch.Resumed, printable.Line(latch.Reason), printable.Line(latch.Why))
		}
	}
	return nil
}

// cosignedLog is the name of a log in the configuration, or its origin.
func cosignedLog(l cosign.LogStatus) string {
	if l.Log != "" {
		return l.Log
	}
	return l.Origin
}
