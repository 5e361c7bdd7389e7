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

	"github.com/tuflog/tuflog/internal/cli"
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
cases: number, level, PASS, FAIL, NOTE or SKIP with the reason, and the sentence that
the case tests. A case fails only if the witness has broken a sentence. A note is for
the operator: no sentence was broken, but other witnesses may answer differently, for
example to a request that its sender must not send (level FORM).

It plays a log whose private key is in KEYFILE and whose public key the witness
must know: see "witness conformance new-log". To run all cases the witness must not
have cosigned that log yet; with a key that was used before, the first few cases are
skipped. KEYFILE.1, KEYFILE.2 and so on, if they exist, are the keys of further logs
for cases of first contact: after a mistake of the witness at first contact with a log,
the other cases need another log. Give every key that the witness cosigns with by --key.

If the monitoring prefix is not given, it is looked for at the submission prefix.
If requests race, the witness decides which history is true; the result is kept in
KEYFILE.branches for the next run.

Exit code 1 means that a case failed, 2 that the witness could not be tested.`,
		Example: `  witness conformance new-log suite.key --origin suite.example/log --first 3
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
	f.StringVar(&flags.junitTo, "junit", "", "also write JUnit XML to this file")
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
	var err error
	if cfg.Log, err = readSigner(f.logKey); err != nil {
		return cfg, err
	}
	for i := 1; ; i++ {
		log, err := readSigner(firstKey(f.logKey, i))
		if errors.Is(err, os.ErrNotExist) {
			break
		} else if err != nil {
			return cfg, err
		}
		cfg.First = append(cfg.First, log)
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

// firstKey returns the file with the key of a log for first contact, from 1 on.
func firstKey(logKey string, i int) string { return fmt.Sprintf("%s.%d", logKey, i) }

func readSigner(file string) (*proofs.Signer, error) {
	skey, err := keyfile.Read(file)
	if err != nil {
		return nil, err
	}
	signer, err := proofs.ParseSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return signer, nil
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
	var flags struct {
		origin string
		first  int
	}
	cmd := &cobra.Command{
		Use:   "new-log KEYFILE --origin ORIGIN",
		Short: "Make a key for the log that the suite plays",
		Long: `New-log makes the private key of a log, in a file that must not exist, and prints
the public key. The witness under test has to know it: for this program's witness,
give it to "witness log add".

With --first N it makes N more, in KEYFILE.1 and so on, of the logs ORIGIN/1 and so on,
for cases of first contact, and prints one public key a line. The witness has to know
all of them. With three no case hides another.`,
		Example: `  witness conformance new-log other.key --origin suite.example/other --first 3`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.first < 0 {
				return fmt.Errorf("--first: %d logs", flags.first)
			}
			file, origin := args[0], flags.origin
			for i := range flags.first + 1 {
				if i > 0 {
					file, origin = firstKey(args[0], i), fmt.Sprintf("%s/%d", flags.origin, i)
				}
				signer, err := proofs.GenerateSigner(nil, origin, proofs.Ed25519)
				if err != nil {
					return err
				}
				if err := keyfile.Create(file, signer.PrivateKey()); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), signer.Key())
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&flags.origin, "origin", "", "name of the log (required)")
	cmd.Flags().IntVar(&flags.first, "first", 0, "how many further logs, for cases of first contact")
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
