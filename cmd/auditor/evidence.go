package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
)

func newEvidence() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "evidence",
		Short:   "Check evidence from others",
		Long:    `Evidence is a file that can be checked with only public keys.`,
		Example: `  auditor evidence check --policy policy.txt fork.conflict`,
	}
	cmd.AddCommand(newEvidenceCheck())
	return cmd
}

func newEvidenceCheck() *cobra.Command {
	var flags struct {
		keys   []string
		policy string
		json   bool
	}
	cmd := &cobra.Command{
		Use:   "check (--key VKEY | --policy FILE) FILE... | check METADATA METADATA",
		Short: "Say what files of evidence prove, and against whom",
		Long: `Check says in one sentence what each file proves, and against whom. It needs nothing
but the public keys of the log and its witnesses, given one by one or by a policy: it
neither reads the log nor asks anybody. The files are those that auditors and witnesses
write (docs/formats.md, Conflict and Accusation).

Given two files of targets metadata of one version, it explains why they are not proof
by themselves, and which files would be.

Exit codes:
  0  every file proves its point
  1  a file proves nothing against any of the keys
  2  wrong usage, or a file of another kind, such as a .tlog-proof, or an accusation
     that depends on entries that are not in the file: they are named, to be replayed`,
		Example: `  auditor evidence check --policy policy.txt fork.conflict
  auditor evidence check --policy policy.txt audit.state/evidence/*/*.accusation`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 && bothMetadata(args) {
				return checkPayloads(cmd.OutOrStdout(), args)
			}
			keys, err := evidenceKeys(flags.keys, flags.policy)
			if err != nil {
				return err
			}
			var checked []checkedFile
			for _, path := range args {
				checked = append(checked, checkFile(cmd.Context(), path, keys))
			}
			if flags.json {
				if err := cli.WriteJSON(cmd.OutOrStdout(), checked); err != nil {
					return err
				}
			} else {
				printChecked(cli.Folded(cmd.OutOrStdout()), cmd.ErrOrStderr(), cmd.CommandPath(), checked)
			}
			return outcome(checked)
		},
	}
	cmd.Flags().StringArrayVar(&flags.keys, "key", nil, "public key of the log or of a witness (may be repeated)")
	cmd.Flags().StringVar(&flags.policy, "policy", "", "policy with the keys of logs and witnesses")
	cmd.Flags().BoolVar(&flags.json, "json", false, "print JSON: file, proved, the statement, or the error")
	return cmd
}

// checkedFile is what is said of one file.
type checkedFile struct {
	File      string              `json:"file"`
	Proved    bool                `json:"proved"`
	Statement *evidence.Statement `json:"statement,omitempty"`
	Replay    *entryRange         `json:"replay,omitempty"` // what decides, where the file does not
	Error     string              `json:"error,omitempty"`

	err error
}

// entryRange is entries of a log, both ends included.
type entryRange struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// checkFile checks a file of evidence. The error is a failure if the file proves nothing.
func checkFile(ctx context.Context, path string, keys []proofs.Key) checkedFile {
	c := checkedFile{File: path}
	b, err := cli.ReadEvidence(path, cli.ConflictLine, cli.AccusationLine)
	if err == nil {
		var s evidence.Statement
		s, err = evidence.Check(ctx, b, keys...)
		var unproved *evidence.Unproved
		switch {
		case err == nil:
			c.Proved, c.Statement = true, &s
		case errors.As(err, &unproved):
			c.Replay = &entryRange{unproved.From, unproved.To}
			err = fmt.Errorf("%s: %w", path, err)
		default:
			err = cli.Failed(fmt.Errorf("%s: %w", path, err))
		}
	}
	if c.err = err; err != nil {
		c.Error = err.Error()
	}
	return c
}

// printChecked prints a sentence for each file that proves its point, and the reason for
// each other but the last, which ends the command.
func printChecked(stdout, stderr io.Writer, command string, checked []checkedFile) {
	last := outcome(checked)
	for _, c := range checked {
		switch {
		case c.err == nil && len(checked) == 1:
			fmt.Fprintf(stdout, "%s\n", printable.Line(c.Statement.Sentence))
		case c.err == nil:
			fmt.Fprintf(stdout, "%s: %s\n", printable.Line(c.File), printable.Line(c.Statement.Sentence))
		case c.err != last:
			fmt.Fprintf(stderr, "%s: %s\n", command, printable.Line(c.Error))
		}
	}
}

// outcome is the error of the command: that a file proves nothing comes before that a file
// cannot be judged.
func outcome(checked []checkedFile) error {
	var worst error
	for _, c := range checked {
		if c.err != nil && (worst == nil || cli.IsFailure(c.err) && !cli.IsFailure(worst)) {
			worst = c.err
		}
	}
	return worst
}

// bothMetadata reports whether files are JSON, and so no evidence.
func bothMetadata(paths []string) bool {
	for _, path := range paths {
		b, err := cli.ReadAtMost(path, fraud.MaxAccusationSize)
		if err != nil || !bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
			return false
		}
	}
	return true
}

// evidenceKeys gathers the keys to check with.
func evidenceKeys(vkeys []string, policy string) ([]proofs.Key, error) {
	keys, err := cli.Keys(vkeys, policy)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("give the keys to check with: --key or --policy")
	}
	return keys, nil
}
