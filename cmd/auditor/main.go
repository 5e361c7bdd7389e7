// Auditor replays a log of update metadata and reports its findings.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/source"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
)

func main() {
	if os.Getenv("GOGC") == "" {
		paceCollections()
	}
	cli.Main(newCommand)
}

const about = `Auditor reads a log of update metadata, trusts none of it, and answers
  lookup          is this file released, and by my vendor?
  show            what has a vendor released?
  diff            what did a release change?
  radius          who could replace a file?
  compare         is what a repository serves logged?
  replay          is the log in order?
  monitor         what comes, of all logs that matter to you?
  gossip          do others see the same log?
  anchor          does a public ledger have what the log does not show?
  evidence check  what does this evidence prove?
  serve           all of it, as web pages
  gate            may clients that know no log install it?

What is said of a log rests on all of it, or with --state on what is new of it: the files
that it serves to everyone. The log's signature and the witnesses' are checked by the
policy, every entry is hashed onto a tree of the auditor's own, every file is checked, and
every leaf is judged again by the rules of admission. Gossip and evidence check replay
nothing, nor do diff and radius of files and folders.

Findings have a class:
  tampering     the log, or a server of its files, misbehaved
  equivocation  a vendor signed two payloads under one version
  unexpected    a leaf that this auditor does not know and cannot judge
  outage        a file could not be fetched or checked now
  hygiene       allowed, but worth a look: expiry, thresholds, key ids, versions`

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "auditor",
		Short: "Replay a log of update metadata and report the findings",
		Long:  about,
		Example: `  auditor lookup --policy policy.txt --repository "$(cat vendor.id)" app.bin
  auditor show --policy policy.txt
  auditor diff 13.targets.json 14.targets.json
  auditor radius firmware.bin --dir metadata
  auditor replay --policy policy.txt --state audit.state
  auditor compare --policy policy.txt https://mirror.example.com/metadata/
  auditor gossip --policy policy.txt phone.note
  auditor evidence check --policy policy.txt fork.conflict`,
		Args: cobra.NoArgs,
	}
	root.AddCommand(newReplay(), newFindings(), newState(), newShow(), newDiff(), newRadius(), newLookup(), newEvidence(), newGossip(), newCompare(), newMirror(), newExport(), newServe(), newMonitor(), newCosign(), newGate(), newAnchor())
	return root
}

// logFlags holds the flags that every command has.
type logFlags struct {
	url    string
	policy string
	state  string
	json   bool
}

// register adds the flags to a command that always reads the log.
func (s *logFlags) register(cmd *cobra.Command) {
	s.flags(cmd)
	cobra.CheckErr(cmd.MarkFlagRequired("policy"))
}

func (s *logFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.url, "log", "", "`URL` of the log, or the folder of a copy that auditor mirror has made (default: the URL that the policy names)")
	flags.StringVar(&s.policy, "policy", "", "`FILE` with the trust policy (c2sp.org/tlog-policy): the log's key, the witnesses and the quorum")
	flags.StringVar(&s.state, "state", "", "`DIR` to keep what was judged and found, from which the next run goes on (default: nothing is kept)")
	flags.BoolVar(&s.json, "json", false, "print JSON")
}

// config reads the policy and returns an auditor's configuration.
func (s *logFlags) config() (audit.Config, error) {
	policy, err := cli.ReadPolicy(s.policy)
	if err != nil {
		return audit.Config{}, err
	}
	src, err := openLog(s.url, policy)
	if err != nil {
		return audit.Config{}, err
	}
	_, folder := folderOf(s.url)
	return audit.Config{Source: src, Policy: policy, StateDir: s.state, Copy: folder}, nil
}

// remembers reports whether there is a state, from which the replay goes on.
func (s *logFlags) remembers() bool {
	if s.state == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(s.state, state.FileName))
	return err == nil
}

// openLog returns the source for --log: a URL, a folder that has a copy, or by default
// what the policy names.
func openLog(flag string, policy *proofs.Policy) (audit.Source, error) {
	if path, ok := folderOf(flag); ok {
		return source.OpenFolder(path)
	}
	url, err := cli.LogURL(flag, policy)
	if err != nil && flag != "" {
		return nil, fmt.Errorf("%w, nor a folder", err)
	}
	if err != nil {
		return nil, err
	}
	src, err := source.NewHTTP(url, nil)
	if err != nil {
		return nil, err
	}
	return src.For(policy), nil
}

// sayAudited says which checkpoint was read, if the policy needs one that was audited.
func sayAudited(stderr io.Writer, cfg audit.Config) {
	src, ok := cfg.Source.(*source.HTTP)
	if !ok {
		return
	}
	switch at, own := src.Audited(); {
	case at == "":
	case own:
		fmt.Fprintf(stderr, "The quorum of the policy needs an auditor: what was read is the log's newest audited checkpoint, %s, and not what it has published since.\n", printable.Line(at))
	default:
		fmt.Fprintf(stderr, "The quorum of the policy needs an auditor, and there is no /checkpoint/audited: what was read is %s, which a copy of an audited log has in its place.\n", printable.Line(at))
	}
}

// askableURL returns the URL of a log that can be asked: a copy in a folder has neither
// labels of repositories nor an index.
func askableURL(flag string, policy *proofs.Policy) (string, error) {
	if path, ok := folderOf(flag); ok {
		return "", fmt.Errorf("the copy in %s has neither the log's labels nor its index", path)
	}
	return cli.LogURL(flag, policy)
}

// folderOf returns the folder that --log names: by a file URL, or by its path, if there
// is one. A typing error in a URL is not one.
func folderOf(flag string) (path string, ok bool) {
	if u, err := url.Parse(flag); err == nil && u.Scheme == "file" {
		return u.Path, u.Host == "" && filepath.IsAbs(u.Path)
	}
	info, err := os.Stat(flag)
	return flag, flag != "" && err == nil && info.IsDir()
}

// replayFor replays the whole log for a command whose answer is about something else than
// what was found: that is told on stderr. outcome is the verdict on the replay. The auditor
// is to be closed.
func replayFor(cmd *cobra.Command, cfg audit.Config) (a *audit.Auditor, report *audit.Report, outcome, err error) {
	a, judgeErr := judgeOnce(cmd.Context(), cfg, cmd.ErrOrStderr())
	if a == nil {
		return nil, nil, nil, judgeErr
	}
	report, err = a.Report(cmd.Context())
	warn(cmd.ErrOrStderr(), report)
	return a, report, verdict(report, firstOf(judgeErr, err), audit.Class.AgainstLookup), nil
}

// judgeOnce replays the whole log with a progress bar. The auditor is to be closed; without
// one there is an error. A report is not made: it takes its time for a large log.
func judgeOnce(ctx context.Context, cfg audit.Config, stderr io.Writer) (*audit.Auditor, error) {
	bar := progress{stderr: stderr, label: "replay"}
	cfg.Progress = bar.to
	a, err := audit.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	_, err = a.Step(ctx)
	bar.done()
	sayAudited(stderr, cfg)
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), a.Close())
	}
	return a, err
}

// progress is a bar that appears with the first leaf.
type progress struct {
	stderr io.Writer
	label  string
	bar    *cli.Progress
	at     int64
}

func (p *progress) to(done, total int64) {
	if p.bar == nil {
		p.at = max(done-1, 0) // what a state had counts for nothing
		p.bar = cli.NewProgress(p.stderr, p.label, total-p.at)
	}
	p.bar.Add(done - p.at)
	p.at = done
}

func (p *progress) done() {
	if p.bar != nil {
		p.bar.Done()
	}
}

// verdict turns a report into the command's error: what was found comes before
// what could not be checked. fails says which classes make it fail.
func verdict(report *audit.Report, err error, fails func(audit.Class) bool) error {
	outage := false
	for _, f := range report.Findings {
		if fails(f.Class) {
			return cli.Failed(cli.ErrReported)
		}
		outage = outage || f.Class == audit.Outage
	}
	switch {
	case err != nil:
		return err
	case outage:
		return errors.New("not everything could be checked")
	}
	return nil
}

// warn prints, for commands whose answer is about something else, the findings
// that put the answer in doubt.
func warn(stderr io.Writer, report *audit.Report) {
	for _, f := range report.Findings {
		if f.Class == audit.Tampering || f.Class == audit.Unexpected || f.Class == audit.Outage {
			fmt.Fprintf(stderr, "%s: %s: %s\n", f.Class, f.Kind, printable.Line(f.Sentence))
		}
	}
}
