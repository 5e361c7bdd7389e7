package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/compare"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/audit/gossip"
	"github.com/tuflog/tuflog/audit/history"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// maxVantage is how long the metadata of one vantage may take.
const maxVantage = 10 * time.Minute

func newCompare() *cobra.Command {
	var opts struct {
		logFlags
		repository string
		stale      time.Duration
		out        string
	}
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
  unsigned       not signed by the keys in force: no device accepts it
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
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := opts.config()
			if err != nil {
				return err
			}
			views, err := openViews(cmd.Context(), args, cfg.Policy)
			if err != nil {
				return err
			}
			id := ""
			if opts.repository != "" {
				if id, err = repositoryOf(cmd.Context(), opts.repository, opts.url, cfg.Policy); err != nil {
					return err
				}
			}
			a, report, err := replayOnce(cmd.Context(), cfg, cmd.ErrOrStderr())
			if report == nil {
				return err
			}
			defer a.Close()
			warn(cmd.ErrOrStderr(), report)
			outcome := verdict(report, err, audit.Class.AgainstLookup)
			histories, err := a.Histories(cmd.Context(), id)
			if err != nil {
				return err
			}
			h, err := subjectOf(cmd.Context(), histories, views, opts.repository)
			if err != nil {
				return firstOf(outcome, err)
			}
			c := compare.Config{History: h, Now: time.Now(), Stale: opts.stale}
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
			files, err := said.writeEvidence(opts.out)
			if err != nil {
				return err
			}
			if opts.json {
				err = cli.WriteJSON(cmd.OutOrStdout(), said)
			} else {
				err = said.print(cmd.OutOrStdout(), files)
			}
			if err != nil {
				return err
			}
			return said.outcome(outcome)
		},
	}
	opts.register(cmd)
	cmd.Flags().StringVar(&opts.repository, "repository", "", "the repository: `ID`, its first root, a .tlog-proof, or the log's label (default: the one with a root that is served)")
	cmd.Flags().DurationVar(&opts.stale, "stale", 24*time.Hour, "how long a newer release may be logged before an older one is stale")
	cmd.Flags().StringVar(&opts.out, "out", ".", "`DIR` to write evidence to")
	return cmd
}

// view is a vantage, or a single file.
type view struct {
	compare.Vantage
	role    string // of a single file
	file    *tuf.Metadata
	sidecar *proofs.Proof // beside it; nil: none
}

// openViews looks at the arguments.
func openViews(ctx context.Context, args []string, policy *proofs.Policy) ([]view, error) {
	var views []view
	for _, arg := range args {
		v := view{Vantage: compare.Vantage{Name: arg}}
		if strings.Contains(arg, "://") {
			if err := cli.CheckURL(arg); err != nil {
				return nil, err
			}
			v.Source = &device.Repository{URL: arg, Timeout: maxVantage}
			views = append(views, v)
			continue
		}
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			if v.Source, err = device.OpenFolder(arg); err != nil {
				return nil, err
			}
		} else if err := v.open(arg); err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	return views, ctx.Err()
}

// open reads a single file, and the proof beside it. Without a proof that names its role,
// the name of the file does.
func (v *view) open(path string) error {
	b, err := cli.ReadAtMost(path, tuf.MaxFileSize)
	if err != nil {
		return err
	}
	if v.file, err = tuf.ParseJSON(b); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	proof, err := cli.ReadAtMost(path+verify.SidecarSuffix, proofs.MaxProofSize)
	switch {
	case err == nil:
		p, err := proofs.ParseProof(proof)
		if err != nil {
			return fmt.Errorf("%s: %w", path+verify.SidecarSuffix, err)
		}
		l, err := leaf.Parse(p.Extra)
		if err != nil {
			return fmt.Errorf("%s: %w", path+verify.SidecarSuffix, err)
		}
		v.sidecar, v.role = &p, l.Role
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	v.role, err = api.RoleOf(filepath.Base(path), b, v.file.Version)
	if err == nil && v.file.Type != tuf.TypeOf(v.role) {
		err = fmt.Errorf("%s is %s metadata, and named as the role %q", path, v.file.Type, v.role)
	}
	return err
}

// leaf returns the leaf of a single file's proof.
func (v *view) leaf() (leaf.Leaf, bool) {
	if v.sidecar == nil {
		return leaf.Leaf{}, false
	}
	l, err := leaf.Parse(v.sidecar.Extra)
	return l, err == nil
}

// subjectOf finds the one repository that is compared.
func subjectOf(ctx context.Context, histories []*history.History, views []view, named string) (*history.History, error) {
	if named != "" {
		switch len(histories) {
		case 0:
			return nil, fmt.Errorf("the log has no repository %q", named)
		case 1:
			return histories[0], nil
		}
		return nil, fmt.Errorf("--repository %q fits %d repositories: give more of its id", named, len(histories))
	}
	for _, v := range views {
		payload, err := v.known(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.Name, err)
		}
		for _, h := range histories {
			if payload == h.ID() || slices.ContainsFunc(h.Records, func(r history.Record) bool { return r.Leaf.Role == tuf.RoleRoot && r.Leaf.Payload == payload }) {
				return h, nil
			}
		}
	}
	if h := releaserOf(histories, views); h != nil {
		return h, nil
	}
	return nil, errors.New("it cannot be said of which repository this is: no root that is served, and no file, is of one that is logged (name it with --repository)")
}

// releaserOf finds the one repository that has released a single file, nil if there is none
// or if several have.
func releaserOf(histories []*history.History, views []view) *history.History {
	var found *history.History
	for _, v := range views {
		for _, h := range histories {
			if v.file == nil || h == found || !slices.ContainsFunc(h.Records, func(r history.Record) bool { return r.Leaf.Payload == v.file.PayloadDigest }) {
				continue
			}
			if found != nil {
				return nil
			}
			found = h
		}
	}
	return found
}

// known is the payload of a root that a vantage serves, or the repository that a file's
// proof names. It is zero if there is none.
func (v *view) known(ctx context.Context) (tuf.Digest, error) {
	if l, ok := v.leaf(); ok {
		return l.Repository, nil
	}
	var root []byte
	var err error
	switch s := v.Source.(type) {
	case nil:
		if v.file.Root != nil {
			return v.file.PayloadDigest, nil
		}
		return tuf.Digest{}, nil
	case *device.Folder:
		_, root, err = s.LowestRoot()
	default:
		root, err = s.Fetch(ctx, verify.Request{Role: tuf.RoleRoot, Version: 1, Listed: 1, MaxLength: tuf.MaxFileSize})
		if errors.Is(err, os.ErrNotExist) {
			return tuf.Digest{}, nil
		}
	}
	if err != nil || root == nil {
		return tuf.Digest{}, err
	}
	m, err := tuf.ParseJSON(root)
	if err != nil {
		return tuf.Digest{}, fmt.Errorf("its first root: %w", err)
	}
	return m.PayloadDigest, nil
}

// comparison is the result of the command.
type comparison struct {
	Sentence   string                  `json:"sentence"`
	Repository tuf.Digest              `json:"repository"`
	Rows       []compare.Row           `json:"rows"`
	Proofs     []gossip.Result         `json:"proofs,omitempty"` // of the checkpoints of single files' proofs
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
		if l, ok := v.leaf(); ok {
			row.Sentence += "; " + v.proof(cfg.Policy, l, c.History.ID())
			seen = append(seen, gossip.Seen{From: v.Name + verify.SidecarSuffix, Note: v.sidecar.Checkpoint})
		}
		said.Rows = append(said.Rows, row)
	}
	rows, err := subject.Compare(ctx, vantages)
	if err != nil {
		return nil, err
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

// proof says what the proof beside a single file is worth.
func (v *view) proof(policy *proofs.Policy, l leaf.Leaf, repository tuf.Digest) string {
	if l.Repository != repository || l.Payload != v.file.PayloadDigest || l.Version != v.file.Version {
		return "its proof is of another file"
	}
	if _, err := v.sidecar.Verify(policy, v.sidecar.Extra); err != nil {
		return fmt.Sprintf("its proof does not verify: %v", err)
	}
	if l.Kind != leaf.Release {
		return "its proof is of a leaf of evidence"
	}
	return "its proof verifies"
}

// worst are the verdicts, the worst first.
var worst = []compare.Verdict{
	compare.Equivocation, compare.Evidence, compare.OtherPayload, compare.Unlogged, compare.Unsigned, compare.Stale, compare.Missing, compare.Behind,
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
			if count++; first == nil {
				first = &c.Rows[i]
			}
		}
		if first == nil {
			continue
		}
		what := fmt.Sprintf("%s %d", tuf.Clip(first.Role), first.Version)
		if first.Version == 0 {
			what = tuf.Clip(first.Role)
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
			fmt.Fprintf(w, "%s: %s: %s\n", printable.Line(row.Vantage), printable.Line(row.Role), printable.Line(row.Sentence))
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
