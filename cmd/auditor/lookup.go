package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/cmd/internal/cli"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/verify"
)

func newLookup() *cobra.Command {
	var opts struct {
		source
		proofs string
	}
	cmd := &cobra.Command{
		Use:   "lookup FILE|SHA256 --policy FILE",
		Short: "Say which releases list a file, each answer proved",
		Long: `Say which releases list a file, each answer proved: the leaf is included under
the verified checkpoint, the metadata is the one that the leaf names, and it
lists the file. The whole log is replayed, so no release is left out.

FILE is compared by SHA-256, SHA-512 and length; a SHA-256 (64 hex digits)
finds the releases that list that hash.

Exit codes:
  0  the file is listed
  1  no release lists it, or the replay found tampering or something unexpected
  2  wrong usage, or an outage: not everything could be checked`,
		Example: `  auditor lookup app.bin --log https://log.example.com --policy policy.txt`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query, err := readQuery(args[0])
			if err != nil {
				return err
			}
			cfg, err := opts.config()
			if err != nil {
				return err
			}
			lookup := audit.NewLookup(query)
			cfg.Observe = lookup.Observe
			a, report, err := replayOnce(cmd.Context(), cfg, cmd.ErrOrStderr())
			if report == nil {
				return err
			}
			defer a.Close()
			if proveErr := lookup.Finish(cmd.Context(), a); err == nil {
				err = proveErr
			}
			warn(cmd.ErrOrStderr(), report)
			if opts.proofs != "" {
				if err := writeProofs(opts.proofs, lookup); err != nil {
					return err
				}
			}
			if opts.json {
				printErr := cli.WriteJSON(cmd.OutOrStdout(), struct {
					*audit.Lookup
					Checkpoint *audit.CheckpointReport `json:"checkpoint"`
				}{lookup, report.Checkpoint})
				if printErr != nil {
					return printErr
				}
			} else if err := printLookup(cmd.OutOrStdout(), args[0], lookup, report); err != nil {
				return err
			}
			if err := verdict(report, err, audit.Tampering, audit.Unexpected); err != nil {
				return err
			}
			if len(lookup.Answers) == 0 {
				return cli.Failed(errors.New("no release in the log lists this file"))
			}
			return nil
		},
	}
	opts.register(cmd)
	cmd.Flags().StringVar(&opts.proofs, "proofs", "", "`DIR` to write the proof of each answer to, as INDEX.tlog-proof")
	return cmd
}

// readQuery takes a file, or the SHA-256 of one.
func readQuery(arg string) (audit.Query, error) {
	f, err := os.Open(arg)
	if err == nil {
		query, err := audit.QueryFile(f)
		return query, errors.Join(err, f.Close())
	}
	if sum, parseErr := verify.ParseDigest(strings.TrimPrefix(strings.ToLower(arg), "sha256:")); parseErr == nil {
		return audit.QueryDigest(sum), nil
	}
	return audit.Query{}, fmt.Errorf("%q is neither a file nor a SHA-256 in hex: %w", arg, err)
}

func writeProofs(dir string, lookup *audit.Lookup) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, answer := range lookup.Answers {
		if answer.Proof == "" {
			continue
		}
		path := filepath.Join(dir, fmt.Sprintf("%d.tlog-proof", answer.Index))
		if err := durable.WriteFile(path, []byte(answer.Proof), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func printLookup(w io.Writer, what string, lookup *audit.Lookup, report *audit.Report) error {
	fmt.Fprintf(w, "file        %s\nsha256      %v\n", printable.Line(what), lookup.Query.SHA256)
	if lookup.Query.Length >= 0 {
		fmt.Fprintf(w, "length      %d\n", lookup.Query.Length)
	}
	printCheckpoint(w, report)
	for _, n := range lookup.Named {
		fmt.Fprintf(w, "it is the %s of leaf %d\n", n.As, n.Index)
	}
	if len(lookup.Answers) == 0 {
		fmt.Fprintf(w, "\nnot listed by any of the %d leaves\n", report.Judged)
		return nil
	}
	fmt.Fprintln(w)
	t := printable.NewTable(w, "INDEX", "KIND", "REPOSITORY", "ROLE", "VERSION", "CURRENT", "PROVED", "PATH", "NOTE")
	for _, a := range lookup.Answers {
		t.Row(a.Index, a.Kind, short(a.Repository), printable.Line(a.Role), a.Version, yesNo(a.Current), yesNo(a.Proof != ""), printable.Line(a.Path), printable.Line(a.Conflict))
	}
	return t.Flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
