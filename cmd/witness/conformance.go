package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/cmd/internal/cli"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/conformance"
)

type conformanceFlags struct {
	keys                    []string
	logKey, monitoring      string
	spec, branches, junitTo string
	json                    bool
}

func newConformance() *cobra.Command {
	var flags conformanceFlags
	cmd := &cobra.Command{
		Use:   "conformance URL --key VKEY --log-key KEYFILE",
		Short: "Test any witness against the specification",
		Long: `Conformance tests the witness at URL, its submission prefix, against the rules of
c2sp.org/tlog-witness and c2sp.org/tlog-cosignature, and prints a table of the
cases: number, level, PASS, FAIL or SKIP with the reason, and the sentence that
the case tests.

It plays a log whose private key is in KEYFILE and whose public key the witness
must know: see "witness conformance new-log". For all cases to be run the witness
must have cosigned nothing of that log yet; with a key that was used before, the
first few are skipped. Every key that the witness cosigns with is given with --key.

The monitoring prefix is looked for at the submission prefix unless it is given.
Where requests race, the witness decides which history is true; which one it was
stands in KEYFILE.branches for the next run.

Exit code 1 means that a case failed, 2 that the witness could not be tested.`,
		Example: `  witness conformance new-log suite.key --origin suite.example/log
  witness conformance http://127.0.0.1:7380 --key "$(cat ./w1/witness.vkey)" --log-key suite.key
  witness conformance https://witness.example/w1 --key "$VKEY" --log-key suite.key --junit report.xml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := flags.config(args[0])
			if err != nil {
				return err
			}
			return conform(cmd.Context(), cfg, flags, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&flags.keys, "key", nil, "public key of the witness (required; may be repeated, or hold several lines)")
	f.StringVar(&flags.logKey, "log-key", "", "file with the private key of the log to play (required)")
	f.StringVar(&flags.monitoring, "monitoring", "", "monitoring prefix of the witness")
	f.StringVar(&flags.spec, "spec", string(conformance.Main), "version of tlog-witness to test against: main or v1.0.0")
	f.StringVar(&flags.branches, "branches", "", "file to keep the outcome of races in (default KEYFILE.branches)")
	f.BoolVar(&flags.json, "json", false, "print JSON")
	f.StringVar(&flags.junitTo, "junit", "", "write JUnit XML to this file, too")
	required(cmd, "key")
	required(cmd, "log-key")
	cmd.AddCommand(newConformanceLog(), newConformanceCases())
	return cmd
}

func (f *conformanceFlags) config(url string) (conformance.Config, error) {
	cfg := conformance.Config{URL: url, Monitoring: f.monitoring, Spec: conformance.Spec(f.spec)}
	for _, lines := range f.keys {
		for line := range bytes.Lines([]byte(lines)) {
			k, err := proofs.ParseKey(string(bytes.TrimSpace(line)))
			if err != nil {
				return cfg, err
			}
			cfg.Keys = append(cfg.Keys, k)
		}
	}
	skey, err := keyfile.Read(f.logKey)
	if err != nil {
		return cfg, err
	}
	if cfg.Log, err = proofs.ParseSigner(skey); err != nil {
		return cfg, fmt.Errorf("%s: %w", f.logKey, err)
	}
	if f.branches == "" {
		f.branches = f.logKey + ".branches"
	}
	b, err := os.ReadFile(f.branches)
	if err == nil {
		err = json.Unmarshal(b, &cfg.Branches)
	} else if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return cfg, fmt.Errorf("branches in %s: %w", f.branches, err)
	}
	cfg.Keep = func(branches []int64) error {
		b, err := json.Marshal(branches)
		if err != nil {
			return err
		}
		return durable.WriteFile(f.branches, append(b, '\n'), 0o644)
	}
	return cfg, nil
}

// conform runs the suite and prints what came of it.
func conform(ctx context.Context, cfg conformance.Config, flags conformanceFlags, out io.Writer) error {
	if !flags.json {
		fmt.Fprintln(out, conformance.TableHeader)
		cfg.Progress = func(r conformance.Result) { fmt.Fprintln(out, r) }
	}
	report, err := conformance.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if flags.junitTo != "" {
		var buf bytes.Buffer
		if err := report.JUnit(&buf); err != nil {
			return err
		}
		if err := os.WriteFile(flags.junitTo, buf.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if flags.json {
		if err := cli.WriteJSON(out, report); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(out, report.Summary())
	}
	if report.Count(conformance.Fail) > 0 {
		return cli.Failed(cli.ErrReported)
	}
	return nil
}

func newConformanceLog() *cobra.Command {
	var origin string
	cmd := &cobra.Command{
		Use:   "new-log KEYFILE --origin ORIGIN",
		Short: "Make a key for the log that the suite plays",
		Long: `New-log makes the private key of a log, in a file that must not exist, and prints
the public key, which the witness under test has to know: for this one, give it
to "witness log add".`,
		Example: `  witness conformance new-log other.key --origin suite.example/other`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			signer, err := proofs.GenerateSigner(nil, origin, proofs.Ed25519)
			if err != nil {
				return err
			}
			if err := keyfile.Create(args[0], signer.PrivateKey()); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), signer.Key())
			return nil
		},
	}
	cmd.Flags().StringVar(&origin, "origin", "", "name of the log (required)")
	required(cmd, "origin")
	return cmd
}

func newConformanceCases() *cobra.Command {
	var spec string
	var markdown, asJSON bool
	cmd := &cobra.Command{
		Use:     "cases",
		Short:   "List the cases, each with the sentence that it tests",
		Example: `  witness conformance cases --spec v1.0.0`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s := conformance.Spec(spec); s != conformance.Main && s != conformance.V1 {
				return fmt.Errorf("specification %q is neither %q nor %q", spec, conformance.Main, conformance.V1)
			}
			cases := conformance.Cases(conformance.Spec(spec))
			switch {
			case asJSON:
				return cli.WriteJSON(cmd.OutOrStdout(), cases)
			case markdown:
				return conformance.Markdown(cmd.OutOrStdout(), cases)
			}
			for _, c := range cases {
				fmt.Fprintln(cmd.OutOrStdout(), c)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&spec, "spec", string(conformance.Main), "version of tlog-witness: main or v1.0.0")
	f.BoolVar(&markdown, "markdown", false, "print a Markdown table")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("markdown", "json")
	return cmd
}
