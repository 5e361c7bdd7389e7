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
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
)

func newLookup() *cobra.Command {
	var opts struct {
		logFlags
		proofs     string
		repository string
	}
	cmd := &cobra.Command{
		Use:   "lookup FILE|SHA256|SHA512 --policy FILE",
		Short: "Report whether a file is released, with proofs",
		Long: `Report whether a file is released: the first word is YES, NO, or WARNING if the rest
needs to be read. Each answer is proved: the leaf is included under the
verified checkpoint, the metadata is the one that the leaf names, and it lists the
file. The whole log is replayed, so no release is left out.

FILE is compared by SHA-256, SHA-512 and length; a hash (64 or 128 hex digits) finds
the releases that list that hash. Anyone who may register can release any file: name
your vendor's repository with --repository.

Exit codes:
  0  a release lists the file (of the repository, if one is named)
  1  no release lists it, only evidence does, or the release that lists it contradicts
     it; or the replay has findings of class tampering or unexpected
  2  wrong usage, or an outage: not everything could be checked`,
		Example: `  auditor lookup app.bin --log https://log.example.com --policy policy.txt
  auditor lookup app.bin --policy policy.txt --repository "$(cat vendor.id)"`,
		Args: cobra.ExactArgs(1),
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
			if opts.repository != "" {
				if lookup.Pin, err = tuf.ParseDigest(strings.ToLower(opts.repository)); err != nil {
					return fmt.Errorf("--repository %q: want a repository's id, 64 hex digits (auditor show lists them)", opts.repository)
				}
			}
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
			outcome := verdict(report, err, audit.Class.AgainstLookup)
			said := conclude(args[0], lookup, report, outcome)
			if opts.json {
				printErr := cli.WriteJSON(cmd.OutOrStdout(), struct {
					conclusion
					*audit.Lookup
					Checkpoint *audit.CheckpointReport `json:"checkpoint"`
				}{said, lookup, report.Checkpoint})
				if printErr != nil {
					return printErr
				}
			} else if err := printLookup(cmd.OutOrStdout(), args[0], said, lookup, report); err != nil {
				return err
			}
			if outcome == nil && !said.Released {
				outcome = cli.Failed(cli.ErrReported)
			}
			return outcome
		},
	}
	opts.register(cmd)
	cmd.Flags().StringVar(&opts.repository, "repository", "", "`ID` of the one repository whose releases count (default: those of all)")
	cmd.Flags().StringVar(&opts.proofs, "proofs", "", "`DIR` to write the proof of each answer to, as INDEX.tlog-proof")
	return cmd
}

// readQuery takes a file, or the hash of one.
func readQuery(arg string) (audit.Query, error) {
	f, err := os.Open(arg)
	if err == nil {
		query, err := audit.QueryFile(f)
		return query, errors.Join(err, f.Close())
	}
	query, parseErr := audit.ParseQuery(arg)
	if parseErr != nil {
		return query, fmt.Errorf("neither a file nor a hash: %w; %w", err, parseErr)
	}
	return query, nil
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

func printLookup(w io.Writer, what string, said conclusion, lookup *audit.Lookup, report *audit.Report) error {
	fmt.Fprintf(w, "%-7s  %s\n", said.Word, printable.Line(said.Sentence))
	for _, note := range said.Notes {
		fmt.Fprintf(w, "         %s\n", printable.Line(note))
	}
	fmt.Fprintf(w, "\nfile        %s\n", printable.Line(what))
	if !lookup.Query.SHA256.IsZero() {
		fmt.Fprintf(w, "sha256      %v\n", lookup.Query.SHA256)
	} else {
		fmt.Fprintf(w, "sha512      %v\n", lookup.Query.SHA512)
	}
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
		t.Row(a.Index, a.Kind, short(a.Repository), printable.Line(a.Role), a.Version, yesNo(a.Current), yesNo(a.Proof != ""), printable.Line(a.Path), printable.Line(noteOn(a)))
	}
	return t.Flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
