package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sqlite"
)

func newEvidence() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "evidence",
		Short: "See and check proof that a log showed two histories",
		Long: `Evidence is two checkpoints that a log signed and that cannot both be true. Anyone
with the log's public key can check a file of evidence, without the log and without
this witness.`,
		Example: `  witness evidence list --dir ./w1`,
	}
	cmd.AddCommand(newEvidenceList(), newEvidenceShow(), newEvidenceCheck())
	return cmd
}

// listedEvidence is what evidence list says of an evidence file, or of a
// checkpoint that was refused although its log signed it.
type listedEvidence struct {
	ID      string `json:"id"`
	Origin  string `json:"origin"`
	Older   int64  `json:"older,omitempty"` // sizes; of a refused checkpoint, Newer alone
	Newer   int64  `json:"newer"`
	Verdict string `json:"verdict"` // conflict, consistent, undecided
	Why     string `json:"why,omitempty"`
	Tries   int    `json:"tries,omitempty"` // how often the log's tiles were looked for
}

func newEvidenceList() *cobra.Command {
	var flags struct {
		dir  string
		json bool
	}
	cmd := &cobra.Command{
		Use:   "list --dir DIR",
		Short: "List evidence, and refused checkpoints that may become evidence",
		Long: `List prints one line for each evidence file and for each checkpoint that was
refused although its log signed it, judged or not. Two histories become evidence
at once if they differ at one size; otherwise the log's tiles are needed, and its
URL must be known to fetch them. It exits with 1 if there is evidence.`,
		Example: `  witness evidence list --dir ./w1 --json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			listed, found, err := listEvidence(cmd.Context(), flags.dir)
			if err != nil {
				return err
			}
			if flags.json {
				err = cli.WriteJSON(cmd.OutOrStdout(), listed)
			} else {
				err = printEvidence(cmd.OutOrStdout(), listed)
			}
			if err == nil && found {
				err = cli.Failed(cli.ErrReported)
			}
			return err
		},
	}
	dirFlag(cmd, &flags.dir)
	cmd.Flags().BoolVar(&flags.json, "json", false, "print JSON")
	return cmd
}

// suspectID names a refused checkpoint.
func suspectID(k witness.KeptSuspect) string {
	return fmt.Sprintf("%.16s-%d-%.8x", k.ID, k.Tree.N, k.Tree.Hash[:])
}

func listEvidence(ctx context.Context, dir string) (listed []listedEvidence, found bool, err error) {
	listed = []listedEvidence{} // [] in JSON, not null
	err = withStore(dir, func(s *sqlite.Store) error {
		ids, err := evidenceDir(dir).List()
		if err != nil {
			return err
		}
		for _, id := range ids {
			v, err := claim(dir, id)
			if err != nil {
				return err
			}
			found = true
			listed = append(listed, listedEvidence{ID: id, Origin: v.Origin, Older: v.Older.N, Newer: v.Newer.N, Verdict: string(witness.Conflicts)})
		}
		suspects, err := s.Suspects(ctx)
		if err != nil {
			return err
		}
		for _, k := range suspects {
			origin, _, _ := strings.Cut(string(k.Note), "\n")
			verdict := string(k.Verdict)
			if k.Verdict == witness.Undecided {
				verdict = "undecided"
			}
			listed = append(listed, listedEvidence{ID: suspectID(k), Origin: origin, Newer: k.Tree.N, Verdict: verdict, Why: k.Why, Tries: k.Tries})
		}
		return nil
	})
	return listed, found, err
}

func claim(dir, id string) (fraud.ConflictVerdict, error) {
	b, err := evidenceDir(dir).Read(id)
	if err != nil {
		return fraud.ConflictVerdict{}, err
	}
	c, err := fraud.ParseConflict(b)
	if err != nil {
		return fraud.ConflictVerdict{}, fmt.Errorf("evidence %s: %w", id, err)
	}
	return c.Claim()
}

func printEvidence(w io.Writer, listed []listedEvidence) error {
	t := printable.NewTable(w, "ID", "ORIGIN", "SIZE", "VERDICT", "WHY")
	for _, l := range listed {
		size := fmt.Sprint(l.Newer)
		if l.Older != 0 {
			size = fmt.Sprintf("%d, %d", l.Older, l.Newer)
		}
		t.Row(l.ID, l.Origin, size, l.Verdict, l.Why)
	}
	return t.Flush()
}

func newEvidenceShow() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "show --dir DIR ID",
		Short: "Print an evidence file, or a refused checkpoint",
		Long: `Show prints an entry of evidence list unchanged: an evidence file to be given to
others, or the refused checkpoint with its log's signature.`,
		Example: `  witness evidence show --dir ./w1 0d51c0c2be4ed5ad-7-7`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := readEvidence(cmd.Context(), dir, args[0])
			if err != nil {
				return err
			}
			_, err = cli.Exact(cmd.OutOrStdout()).Write(b)
			return err
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}

func readEvidence(ctx context.Context, dir, id string) (found []byte, err error) {
	err = withStore(dir, func(s *sqlite.Store) error {
		found, err = evidenceDir(dir).Read(id)
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		suspects, err := s.Suspects(ctx)
		if err != nil {
			return err
		}
		for _, k := range suspects {
			if suspectID(k) == id {
				found = k.Note
				return nil
			}
		}
		return fmt.Errorf("no evidence has the id %.80q", id)
	})
	return found, err
}

func newEvidenceCheck() *cobra.Command {
	var flags struct {
		keys        []string
		policy, dir string
	}
	cmd := &cobra.Command{
		Use:   "check (--key VKEY | --policy FILE | --dir DIR) FILE",
		Short: "Check an evidence file with only public keys",
		Long: `Check names the parties that signed both of two checkpoints that cannot both be
true. The keys are given one by one, taken from a policy (c2sp.org/tlog-policy),
or those of the logs that a witness knows. It exits with 0 if the evidence holds, with 1 if it
proves nothing against any of the keys, and with 2 if the file is of another kind.`,
		Example: `  witness evidence check --policy policy.txt fork.conflict`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := evidenceKeys(cmd.Context(), flags.keys, flags.policy, flags.dir)
			if err != nil {
				return err
			}
			return cli.CheckConflict(cmd.OutOrStdout(), args[0], keys)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&flags.keys, "key", nil, "public key of the log or of a witness (may be repeated)")
	f.StringVar(&flags.policy, "policy", "", "policy with the keys of logs and witnesses")
	f.StringVar(&flags.dir, "dir", "", "directory of a witness that knows the log")
	return cmd
}

// evidenceKeys gathers the keys to check with.
func evidenceKeys(ctx context.Context, vkeys []string, policy, dir string) ([]proofs.Key, error) {
	keys, err := cli.Keys(vkeys, policy)
	if err != nil {
		return nil, err
	}
	if dir != "" {
		err := withStore(dir, func(s *sqlite.Store) error {
			logs, err := s.Logs(ctx)
			for _, l := range logs {
				keys = append(keys, l.Keys...)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("give the keys to check with: --key, --policy or --dir")
	}
	return keys, nil
}
