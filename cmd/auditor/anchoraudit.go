package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	// Incomplete means that not everything could be looked at.
	Incomplete bool   `json:"incomplete,omitempty"`
	State      string `json:"state,omitempty"` // where the findings are, if each log has a state of its own

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
		Short: "Hold a log to everything that Rekor has under its keys",
		Long: `Read every entry that the instances have under a log's keys, and match each with the log,
which is read as replay reads it. Findings are kept in --state like all others. All logs of
the policy that have a key of type ECDSA are audited, at the URLs that it names: if that is
more than one, each has a state of its own below --state, and --log audits one of them.

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
version 2 every entry is read, and DIR remembers how far. One audit reads up to 50,000 entries
that no earlier one has read; if there are more, the exit code is 2, and the next goes on.

Exit codes:
  0  every entry is consistent or open, or an orphan that was acknowledged in --state
  1  there is another orphan, or a fork was proved
  2  wrong usage, not everything could be looked at, or what the log shows is not as it should
     be, which replay tells`,
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
	if o.margin <= 0 {
		return fmt.Errorf("--margin: %v: want more than 0, since clocks differ", o.margin)
	}
	policy, err := cli.ReadPolicy(o.policy)
	if err != nil {
		return err
	}
	logs, err := anchoredLogs(policy)
	if err != nil {
		return err
	}
	targets, err := o.targets(logs)
	if err != nil {
		return err
	}
	instances, err := o.instances()
	if err != nil {
		return err
	}
	all := []*anchorAudit{}
	wrong := false
	var trouble error
	for _, t := range targets {
		said, err := o.audit(cmd, policy, logs, t, instances)
		trouble = errors.Join(trouble, err)
		if said == nil {
			continue
		}
		wrong = wrong || said.orphans() > said.settled() || len(said.Forks) > 0
		all = append(all, said)
	}
	if o.json {
		err = cli.WriteJSON(cmd.OutOrStdout(), all)
	} else {
		err = printAudits(cli.Folded(cmd.OutOrStdout()), all)
	}
	if err != nil {
		return err
	}
	if wrong {
		if trouble != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "auditor: %v\n", trouble)
		}
		return cli.Failed(cli.ErrReported)
	}
	return trouble
}

// anchorTarget is a log that is audited.
type anchorTarget struct {
	log   *anchoredLog // nil: the one that the URL shows
	url   string
	state string
	own   bool // its state is below --state
}

// targets returns the one that --log names, or all logs of the policy.
func (o *anchorAuditFlags) targets(logs []anchoredLog) ([]anchorTarget, error) {
	if o.url != "" {
		return []anchorTarget{{url: o.url, state: o.state}}, nil
	}
	if len(logs) > 1 && o.remembers() {
		return nil, fmt.Errorf("--state: %s is the state of one log, and the policy has %d: give another DIR, or say which log with --log", o.state, len(logs))
	}
	var list []anchorTarget
	for i := range logs {
		t := anchorTarget{log: &logs[i], url: logs[i].url, state: o.state}
		if o.state != "" && len(logs) > 1 {
			t.own, t.state = true, filepath.Join(o.state, anchored.LogName(logs[i].origin))
			if err := os.MkdirAll(o.state, 0o755); err != nil {
				return nil, err
			}
		}
		list = append(list, t)
	}
	return list, nil
}

// audit audits one log. With an error, not everything could be looked at.
func (o *anchorAuditFlags) audit(cmd *cobra.Command, policy *proofs.Policy, logs []anchoredLog, t anchorTarget, instances []opened) (*anchorAudit, error) {
	if t.url == "" {
		return nil, t.log.errNoURL()
	}
	src, err := openLog(t.url, policy)
	if err != nil {
		return nil, err
	}
	_, folder := folderOf(t.url)
	a, trouble := judgeOnce(cmd.Context(), audit.Config{Source: src, Policy: policy, StateDir: t.state, Copy: folder}, cmd.ErrOrStderr())
	if a == nil {
		return nil, trouble
	}
	defer a.Close()
	c, err := a.Kept(cmd.Context())
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, firstOf(trouble, fmt.Errorf("%s: no checkpoint of the log was verified", printable.Line(t.url)))
	}
	log := t.log
	for i := range logs {
		if log == nil && logs[i].origin == c.Origin {
			log = &logs[i]
		}
	}
	switch {
	case log == nil:
		return nil, fmt.Errorf("log %s: %w", printable.Line(c.Origin), anchored.ErrNoKey)
	case log.origin != c.Origin:
		return nil, fmt.Errorf("%s: it shows log %s, and the policy says that log %s is there", printable.Line(t.url), printable.Line(c.Origin), printable.Line(log.origin))
	}
	said := &anchorAudit{Log: c.Origin, Tree: treeOf(c.Tree), Instances: []anchorInstance{}, Forks: []audit.Finding{}}
	if t.own {
		said.State = t.state
	}
	for i := range instances {
		one, err := o.look(cmd.Context(), a, c, &instances[i], log)
		if err != nil {
			trouble = errors.Join(trouble, instances[i].explain(err))
		}
		if one == nil {
			one = &anchorInstance{Instance: instances[i].Name, Version: instances[i].Version, Entries: []anchored.Judged{}, Trouble: err.Error()}
		}
		said.Instances = append(said.Instances, *one)
	}
	kept, err := audit.KeptFindings(cmd.Context(), a.State(), false)
	if err != nil {
		return nil, errors.Join(trouble, err)
	}
	if err := o.forks(kept, said); err != nil {
		return nil, errors.Join(trouble, err)
	}
	trouble = errors.Join(trouble, beside(kept))
	said.Incomplete = trouble != nil
	return said, trouble
}

// beside returns what speaks against the log, or against what it shows now, beside its anchors.
func beside(kept []audit.Finding) (errs error) {
	for _, f := range kept {
		if (f.Class == audit.Tampering || f.Class == audit.Outage) && f.Acked == 0 && f.Kind != audit.Fork {
			errs = errors.Join(errs, fmt.Errorf("%s: %s: %s (auditor replay)", f.Class, f.Kind, printable.Line(f.Sentence)))
		}
	}
	return errs
}

// look looks at one instance. The error means that not everything could be looked at.
func (o *anchorAuditFlags) look(ctx context.Context, a *audit.Auditor, c *proofs.SignedCheckpoint, instance *opened, of *anchoredLog) (*anchorInstance, error) {
	ledger, err := instance.ledger(c.Origin, of.keys)
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
	if err == nil || errors.Is(err, anchored.ErrMore) {
		err = errors.Join(err, instance.works())
	}
	partly = errors.Join(partly, err)
	log := &anchored.Log{Policy: a.Policy(), Checkpoint: c, Margin: o.margin, Leaves: anchored.ReaderLeaves(&a.State().Reader)}
	matched, err := ledger.Judge(ctx, log, entries)
	if partly = errors.Join(partly, err); matched == nil {
		return nil, partly
	}
	one.Consistent = matched.Counted
	one.add(matched.Entries)
	if partly != nil {
		one.Trouble = partly.Error()
	}
	for _, note := range matched.Strange {
		if err := a.Offer(ctx, note); err != nil {
			partly = errors.Join(partly, err)
		}
	}
	found := anchored.Findings(instance.Name, log, matched.Entries)
	if err := a.Watched(ctx, anchored.WatchedName(instance.Name), found); err != nil {
		return one, errors.Join(partly, err)
	}
	one.Settled, err = settledOrphans(ctx, a, found, one.Orphans)
	return one, errors.Join(partly, err)
}

// add adds entries and counts their verdicts.
func (one *anchorInstance) add(judged []anchored.Judged) {
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
func (o *anchorAuditFlags) forks(kept []audit.Finding, said *anchorAudit) error {
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
