package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/compare"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/audit/gossip"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// maxVantage is how long the metadata of one vantage may take.
const maxVantage = 10 * time.Minute

type compareFlags struct {
	logFlags
	repository string
	stale      time.Duration
	out        string
}

func newCompare() *cobra.Command {
	var opts compareFlags
	cmd := &cobra.Command{
		Use:   "compare URL|FOLDER|FILE... --policy FILE",
		Short: "Compare what a repository serves with what is logged",
		Long: `Compare the metadata that a repository serves with what the log has of it, and what
several vantages serve with each other: mirrors (the URL of the metadata), copies in
folders, the metadata directory of a device. A FILE of metadata, with its .tlog-proof
beside it, is one that somebody was given. The log is replayed.

  logged         released, and the newest of its role
  behind         released, and a newer one is logged, which is not known to be so for long
  stale          a newer one has been logged for longer than --stale. When something was
                 logged is known from the checkpoints in --state
  unlogged       signed by the keys in force, and not in the log
  other-payload  likewise, and another payload of its version is logged or served elsewhere
  equivocation   likewise, with proof against the keys, which is written to DIR of --out
  evidence       the log has it as the second payload of its version
  unsigned       not signed by the keys in force: no device accepts it that begins with a
                 logged root
  older          older than what is logged, and signed by the repository's keys from before
                 the log
  untracked      a snapshot or timestamp, of which the log has none
  missing        not there, or it cannot be read

Exit codes:
  0  everything is logged, untracked or behind
  1  something else is served, or two vantages serve two payloads of one version; or the
     replay has findings of class tampering or unexpected
  2  wrong usage, or not everything could be read or checked`,
		Example: `  auditor compare --policy policy.txt https://eu.example.com/metadata/ https://us.example.com/metadata/
  auditor compare --policy policy.txt --state audit.state /var/lib/updater
  auditor compare --policy policy.txt 14.targets.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: opts.run,
	}
	opts.register(cmd)
	cmd.Flags().StringVar(&opts.repository, "repository", "", "the repository: `ID`, its first root, a .tlog-proof, or the log's label (default: the one with a root that is served)")
	cmd.Flags().DurationVar(&opts.stale, "stale", 24*time.Hour, "how long a newer release may be logged before an older one is stale")
	cmd.Flags().StringVar(&opts.out, "out", ".", "`DIR` to write evidence to")
	return cmd
}

func (o *compareFlags) run(cmd *cobra.Command, args []string) error {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	views, err := openViews(cmd.Context(), args)
	if err != nil {
		return err
	}
	id := ""
	if o.repository != "" {
		if id, err = repositoryOf(cmd.Context(), o.repository, o.url, cfg.Policy); err != nil {
			return err
		}
	}
	a, report, outcome, err := replayFor(cmd, cfg)
	if err != nil {
		return err
	}
	defer a.Close()
	histories, err := a.Histories(cmd.Context(), id)
	if err != nil {
		return err
	}
	h, err := subjectOf(cmd.Context(), histories, views, o.repository)
	if err != nil {
		return firstOf(outcome, err)
	}
	c := compare.Config{History: h, Now: time.Now(), Stale: o.stale}
	if report.Checkpoint != nil {
		c.Log = &evidence.Log{Checkpoint: []byte(report.Checkpoint.Note), Source: cfg.Source}
		for _, l := range cfg.Policy.Logs {
			c.Log.Keys = append(c.Log.Keys, l.Key)
		}
	}
	said, err := compareViews(cmd.Context(), c, cfg, views)
	if err != nil {
		return err
	}
	said.Checkpoint = report.Checkpoint
	files, err := said.writeEvidence(o.out)
	if err != nil {
		return err
	}
	if o.json {
		err = cli.WriteJSON(cmd.OutOrStdout(), said)
	} else {
		err = said.print(cli.Folded(cmd.OutOrStdout()), files)
	}
	if err != nil {
		return err
	}
	return said.outcome(outcome)
}

// comparison is the result of the command.
type comparison struct {
	Sentence   string                  `json:"sentence"`
	Repository tuf.Digest              `json:"repository"`
	Rows       []compare.Row           `json:"rows"`
	Proofs     []gossip.Result         `json:"proofs,omitempty"` // the checkpoints of proofs beside single files, and files that are not logged
	Checkpoint *audit.CheckpointReport `json:"checkpoint"`
}

func compareViews(ctx context.Context, c compare.Config, cfg audit.Config, views []view) (*comparison, error) {
	subject, err := compare.NewSubject(c)
	if err != nil {
		return nil, err
	}
	said := &comparison{Repository: c.History.ID(), Rows: []compare.Row{}}
	var vantages []compare.Vantage
	var seen []gossip.Seen
	for _, v := range views {
		if v.file == nil {
			vantages = append(vantages, v.Vantage)
			continue
		}
		row, err := subject.File(ctx, v.role, v.file, nil)
		if err != nil {
			return nil, err
		}
		row.Vantage = v.Name
		if v.sidecar != nil {
			row.Sentence += "; " + proofOf(cfg.Policy, *v.sidecar, v.role, v.file, c.History.ID())
			seen = append(seen, gossip.Seen{From: v.Name + verify.SidecarSuffix, Note: v.sidecar.Checkpoint})
		}
		said.Rows = append(said.Rows, row)
	}
	rows, err := subject.Compare(ctx, vantages)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		row := &rows[i]
		if row.Proof == nil || row.File() == nil {
			continue
		}
		proof, err := proofs.ParseProof(row.Proof)
		if err != nil {
			continue // no device reads it
		}
		row.Sentence += "; " + proofOf(cfg.Policy, proof, row.Role, row.File(), c.History.ID())
		seen = append(seen, gossip.Seen{From: fmt.Sprintf("%s: the proof of %s %d", row.Vantage, tuf.Word(row.Role), row.Version), Note: proof.Checkpoint})
	}
	said.Rows = append(said.Rows, rows...)
	if len(seen) > 0 {
		log := &gossip.Log{Policy: cfg.Policy, Source: cfg.Source}
		if said.Proofs, err = log.Compare(ctx, seen); err != nil {
			return nil, err
		}
	}
	said.Sentence = said.conclude()
	return said, nil
}

// worst are the verdicts, the worst first.
var worst = []compare.Verdict{
	compare.Equivocation, compare.Evidence, compare.OtherPayload, compare.Unlogged, compare.Unsigned, compare.Older, compare.Stale, compare.Missing, compare.Behind,
}

// conclude says in a sentence what the rows come to.
func (c *comparison) conclude() string {
	for _, p := range c.Proofs {
		if p.Verdict == gossip.Fork || p.Verdict == gossip.WentBack {
			return fmt.Sprintf("WARNING: the proof %s shows that %s", p.From, p.Sentence)
		}
	}
	vantages := map[string]bool{}
	for _, row := range c.Rows {
		vantages[row.Vantage] = true
	}
	for _, v := range worst {
		var first *compare.Row
		count := 0
		for i, row := range c.Rows {
			if row.Verdict != v {
				continue
			}
			// That which the log has something to say of comes first.
			if count++; first == nil || first.Index < 0 && row.Index >= 0 {
				first = &c.Rows[i]
			}
		}
		if first == nil {
			continue
		}
		what := fmt.Sprintf("%s %d", tuf.Word(first.Role), first.Version)
		if first.Version == 0 {
			what = tuf.Word(first.Role)
		}
		word := "WARNING: "
		if !v.Fails() {
			word = ""
		}
		more := ""
		if count > 1 {
			more = fmt.Sprintf(" (and %d more)", count-1)
		}
		return fmt.Sprintf("%s%s of %s is %s: %s%s", word, what, first.Vantage, v, first.Sentence, more)
	}
	if len(vantages) == 1 {
		return "what it serves is what is logged"
	}
	if len(vantages) == 2 {
		return "both vantages serve what is logged"
	}
	return fmt.Sprintf("all %d vantages serve what is logged", len(vantages))
}

// writeEvidence writes what was found against the keys, and returns the paths.
func (c *comparison) writeEvidence(dir string) ([]string, error) {
	var paths []string
	for _, row := range c.Rows {
		for _, e := range row.Evidence {
			path, err := writeEvidence(dir, e.Name, e.Bytes)
			if err != nil {
				return paths, err
			}
			paths = append(paths, path)
		}
	}
	more, err := writeAccusations(dir, c.Proofs)
	return append(paths, more...), err
}

func (c *comparison) print(w io.Writer, files []string) error {
	fmt.Fprintf(w, "%s\n", printable.Line(c.Sentence))
	t := printable.NewTable(w, "VANTAGE", "ROLE", "VERSION", "VERDICT", "LOGGED", "DIFFERS FROM")
	for _, row := range c.Rows {
		version := "-"
		if row.Version > 0 {
			version = fmt.Sprint(row.Version)
		}
		said := string(row.Verdict)
		if row.Expired {
			said += ", expired"
		}
		newest := "-"
		if row.Newest > 0 {
			newest = fmt.Sprint(row.Newest)
		}
		t.Row(row.Vantage, row.Role, version, said, newest, strings.Join(row.Differs, ", "))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, row := range c.Rows {
		if row.Verdict.Fails() || row.Verdict == compare.Missing || strings.Contains(row.Sentence, "; ") {
			fmt.Fprintf(w, "%s: %s: %s\n", printable.Line(row.Vantage), tuf.Word(row.Role), printable.Line(row.Sentence))
		}
	}
	for _, p := range c.Proofs {
		fmt.Fprintf(w, "%s: %s\n", printable.Line(p.From), printable.Line(p.Sentence))
	}
	printEvidenceFiles(w, files)
	return nil
}

// outcome is the error of the command, given what the replay came to.
func (c *comparison) outcome(replay error) error {
	if cli.IsFailure(replay) {
		return replay
	}
	missing := false
	for _, row := range c.Rows {
		if row.Verdict.Fails() {
			return cli.Failed(cli.ErrReported)
		}
		missing = missing || row.Verdict == compare.Missing
	}
	for _, p := range c.Proofs {
		switch p.Verdict {
		case gossip.Fork, gossip.WentBack:
			return cli.Failed(cli.ErrReported)
		case gossip.Undecided, gossip.Unsigned:
			missing = true
		}
	}
	if replay == nil && missing {
		return errors.New("not everything could be read or compared")
	}
	return replay
}
