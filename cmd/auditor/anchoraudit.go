package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// anchorAudit is what is said of a log and of what stands under its keys.
type anchorAudit struct {
	Log       string           `json:"log"`
	Tree      tree             `json:"tree"` // of the verified checkpoint
	Instances []anchorInstance `json:"instances"`
	Forks     []audit.Finding  `json:"forks"` // that are proved

	files []string // of evidence
}

// anchorInstance is what one instance has.
type anchorInstance struct {
	Instance   string            `json:"instance"`
	Version    int               `json:"version"`
	Consistent int               `json:"consistent"`
	Open       int               `json:"open"`
	Orphans    int               `json:"orphans"`
	Settled    int               `json:"acknowledged"` // of the orphans, those whose finding was acknowledged
	Entries    []anchored.Judged `json:"entries"`
	OtherKey   string            `json:"other_key,omitempty"` // that it shows and that is not trusted, in PEM
	Trouble    string            `json:"trouble,omitempty"`   // why not all could be looked at
}

type anchorAuditFlags struct {
	logFlags
	instanceFlags
	margin time.Duration
	out    string
}

func newAnchorAudit() *cobra.Command {
	var opts anchorAuditFlags
	cmd := &cobra.Command{
		Use:   "audit --policy FILE",
		Short: "Hold the log to everything that Rekor has under its key",
		Long: `Read every entry that the instances have under the log's keys, and match each with the log,
which is read as replay reads it. Findings are kept in --state like all others.

  consistent  it is the text of a checkpoint of the log's own tree, at whatever size,
              published or not: logs sign before witnesses cosign
  open        it is none up to the verified size, and may be of a tree to come: no quorum
              has cosigned a checkpoint since, by the times of the witnesses plus --margin
  orphan      it is none, and a quorum has: the log signed what it does not show, or
              somebody forged the entry, which needs no key and is of no text

An orphan is a reason to ask for the text: who has it can prove a fork. Notes of receipts in
DIR are compared with the log, too, and what contradicts it is a fork, with evidence, which
is also written to --out. A note from elsewhere: auditor gossip.

The index of Rekor version 1 is not proved: an instance that hides entries is not caught. Of
version 2 every entry is read, and DIR remembers how far.

Exit codes:
  0  every entry is consistent or open, or an orphan that was acknowledged in --state
  1  there is another orphan, or a fork was proved
  2  wrong usage, or not everything could be looked at`,
		Example: `  auditor anchor audit --policy policy.txt --state audit.state
  auditor anchor audit --policy policy.txt --instance rekor.example --json`,
		Args: cobra.NoArgs,
		RunE: opts.run,
	}
	opts.logFlags.register(cmd)
	opts.instanceFlags.register(cmd)
	cmd.Flags().DurationVar(&opts.margin, "margin", anchor.DefaultMargin, "how much later than an entry witnesses must have cosigned before it can be an orphan")
	cmd.Flags().StringVar(&opts.out, "out", ".", "`DIR` to write evidence of forks to")
	return cmd
}

func (o *anchorAuditFlags) run(cmd *cobra.Command, _ []string) error {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	if o.margin <= 0 {
		return fmt.Errorf("--margin: %v: want more than 0, since clocks differ", o.margin)
	}
	origin, keys, err := anchoredLog(cfg.Policy)
	if err != nil {
		return err
	}
	instances, err := o.instances()
	if err != nil {
		return err
	}
	a, stepErr := judgeOnce(cmd.Context(), cfg, cmd.ErrOrStderr())
	if a == nil {
		return stepErr
	}
	defer a.Close()
	c, err := a.Kept(cmd.Context())
	if err != nil {
		return err
	}
	if c == nil || c.Origin != origin {
		return firstOf(stepErr, errors.New("no checkpoint of the log was verified whose entries are here"))
	}
	said := anchorAudit{Log: origin, Tree: treeOf(c.Tree), Instances: []anchorInstance{}, Forks: []audit.Finding{}}
	trouble := stepErr
	for _, instance := range instances {
		one, err := o.look(cmd.Context(), a, c, &instance, keys)
		if err != nil {
			trouble = errors.Join(trouble, fmt.Errorf("%s: %w", instance.Name, err))
		}
		if one != nil {
			said.Instances = append(said.Instances, *one)
		}
	}
	if err := o.forks(cmd.Context(), a, &said); err != nil {
		return err
	}
	if o.json {
		err = cli.WriteJSON(cmd.OutOrStdout(), said)
	} else {
		err = said.print(cli.Folded(cmd.OutOrStdout()))
	}
	if err != nil {
		return err
	}
	if said.orphans() > said.settled() || len(said.Forks) > 0 {
		return cli.Failed(cli.ErrReported)
	}
	return trouble
}

// look looks at one instance. The error means that not everything could be looked at.
func (o *anchorAuditFlags) look(ctx context.Context, a *audit.Auditor, c *proofs.SignedCheckpoint, instance *opened, keys []proofs.Key) (*anchorInstance, error) {
	ledger, err := instance.ledger(o.dir, c.Origin, keys)
	if err != nil {
		return nil, err
	}
	lock, err := ledger.Folder.Lock()
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Release() }()
	one := &anchorInstance{Instance: instance.Name, Version: ledger.Instance.Version(), Entries: []anchored.Judged{}}
	var partly error
	if one.OtherKey, partly = ledger.KeyChanged(ctx); one.OtherKey != "" {
		partly = errors.New("it shows a public key that is not among those that are trusted: has it been rotated? It is believed only once you give it with --rekor-key")
	}
	entries, err := ledger.Entries(ctx)
	partly = errors.Join(partly, err)
	log := &anchored.Log{Policy: a.Policy(), Checkpoint: c, Margin: o.margin, Leaves: anchored.ReaderLeaves(&a.State().Reader)}
	judged, strange, err := ledger.Judge(ctx, log, entries)
	if partly = errors.Join(partly, err); err != nil && !errors.Is(err, anchored.ErrNoReceipt) {
		return nil, partly
	}
	for _, j := range judged {
		switch j.Verdict {
		case anchor.Consistent:
			one.Consistent++
		case anchor.Open:
			one.Open++
		case anchor.Orphan:
			one.Orphans++
		}
	}
	one.Entries = append(one.Entries, judged...)
	if partly != nil {
		one.Trouble = partly.Error()
	}
	for _, note := range strange {
		if err := a.Offer(ctx, note); err != nil {
			partly = errors.Join(partly, err)
		}
	}
	found := anchored.Findings(instance.Name, log, judged)
	if err := a.Watched(ctx, anchored.WatchedName(instance.Name), found); err != nil {
		return one, errors.Join(partly, err)
	}
	one.Settled, err = settledOrphans(ctx, a, found, one.Orphans)
	return one, errors.Join(partly, err)
}

// settledOrphans returns how many orphans are among acknowledged findings.
func settledOrphans(ctx context.Context, a *audit.Auditor, found []audit.Finding, orphans int) (n int, err error) {
	kept, err := audit.KeptFindings(ctx, a.State(), false)
	if err != nil {
		return 0, err
	}
	acked := map[tuf.Digest]bool{}
	for _, f := range kept {
		acked[f.Digest()] = f.Acked != 0
	}
	for i, f := range found {
		switch {
		case !acked[f.Digest()]:
		case i == anchored.MaxOrphans: // the one for all others
			n += orphans - anchored.MaxOrphans
		default:
			n++
		}
	}
	return n, nil
}

// forks notes which forks are known of the log, and writes their evidence.
func (o *anchorAuditFlags) forks(ctx context.Context, a *audit.Auditor, said *anchorAudit) error {
	kept, err := audit.KeptFindings(ctx, a.State(), false)
	if err != nil {
		return err
	}
	for _, f := range kept {
		if f.Kind != audit.Fork {
			continue
		}
		said.Forks = append(said.Forks, f)
		for _, e := range f.Evidence {
			if e.Text == "" {
				continue // it is in the state alone
			}
			path, err := writeEvidence(o.out, e.Name, []byte(e.Text))
			if err != nil {
				return err
			}
			said.files = append(said.files, path)
		}
	}
	return nil
}

func (s *anchorAudit) orphans() (n int) {
	for _, one := range s.Instances {
		n += one.Orphans
	}
	return n
}

func (s *anchorAudit) settled() (n int) {
	for _, one := range s.Instances {
		n += one.Settled
	}
	return n
}

func (s *anchorAudit) entries() (n int) {
	for _, one := range s.Instances {
		n += len(one.Entries)
	}
	return n
}

// maxPrinted is how many entries that are not consistent are printed of an instance.
const maxPrinted = 50

func (s *anchorAudit) print(w io.Writer) error {
	switch n := s.orphans() - s.settled(); {
	case len(s.Forks) > 0:
		fmt.Fprintf(w, "FORK: log %s signed two histories.\n", printable.Line(s.Log))
	case n > 0:
		fmt.Fprintf(w, "ORPHANS: %d of %d entries under the keys of log %s are of no checkpoint of its tree of %d entries.\n", n, s.entries(), printable.Line(s.Log), s.Tree.Size)
	default:
		fmt.Fprintf(w, "Nothing speaks against log %s, at size %d.\n", printable.Line(s.Log), s.Tree.Size)
	}
	t := printable.NewTable(w, "INSTANCE", "VERSION", "CONSISTENT", "OPEN", "ORPHANS", "ACKNOWLEDGED")
	for _, one := range s.Instances {
		t.Row(printable.Line(one.Instance), one.Version, one.Consistent, one.Open, one.Orphans, one.Settled)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := s.printEntries(w); err != nil {
		return err
	}
	if s.orphans() > 0 {
		fmt.Fprintln(w, "An orphan accuses nobody by itself: anyone can forge one, of no text. Ask for the text with its SHA-256: auditor gossip makes evidence of it.")
	}
	for _, f := range s.Forks {
		fmt.Fprintf(w, "fork: %s\n", printable.Line(f.Sentence))
	}
	printEvidenceFiles(w, s.files)
	return nil
}

// printEntries prints those that are not consistent.
func (s *anchorAudit) printEntries(w io.Writer) error {
	var t printable.Table
	rows := 0
	for _, one := range s.Instances {
		for _, j := range one.Entries {
			if j.Verdict == anchor.Consistent {
				continue
			}
			if rows == 0 {
				fmt.Fprintln(w)
				t = printable.NewTable(w, "INSTANCE", "ENTRY", "SINCE", "VERDICT", "SHA-256 OF THE TEXT")
			}
			if rows++; rows <= maxPrinted {
				t.Row(printable.Line(one.Instance), j.LogIndex, j.Time.Format(time.RFC3339), j.Verdict, j.Digest)
			}
		}
	}
	if rows == 0 {
		return nil
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if rows > maxPrinted {
		fmt.Fprintf(w, "and %d more (--json prints all)\n", rows-maxPrinted)
	}
	return nil
}
