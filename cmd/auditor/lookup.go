package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/lookup"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// lookupFlags are the flags of lookup.
type lookupFlags struct {
	logFlags
	vendorFlags
	path   string
	key    string
	quick  bool
	proofs string
}

func newLookup() *cobra.Command {
	var opts lookupFlags
	cmd := &cobra.Command{
		Use:   "lookup [FILE|SHA256|SHA512] --policy FILE",
		Short: "Report whether a file is released, with proofs",
		Long: `Report whether a file is released: the first word is YES, NO, MAYBE, or WARNING if
the rest needs to be read. Each answer is proved: the leaf is included under the
verified checkpoint, the metadata is the one that the leaf names, and it lists the
file. No release is left out: the whole log is replayed, from where --state ended. Without
a state, what the log's index says is checked and told on stderr before that; with --quick
it is the answer: MAYBE at best, as it is not complete, and whose keys signed a release
is not checked.

FILE is compared by SHA-256, SHA-512 and length; a hash (64 or 128 hex digits) finds
the releases that list that hash, and --path those that list a path. Anyone who may
register can release any file: name your vendor's repository with --repository, or
your vendors' in a file with --labels (lines of an id, a space and a name). Without a
file the files are listed that they have released; --key finds what a key may sign.

Exit codes:
  0  a release lists the file (of your vendors, if they are named); the key may sign
     today; your vendors list files
  1  no release lists it, only evidence does, or the release that lists it contradicts
     it; the key may not; they list none; whatever --quick says; or the replay has
     findings of class tampering or unexpected
  2  wrong usage, or an outage: not everything could be checked`,
		Example: `  auditor lookup app.bin --log https://log.example.com --policy policy.txt
  auditor lookup app.bin --quick --policy policy.txt --repository "$(cat vendor.id)"
  auditor lookup --path firmware.bin --policy policy.txt --labels vendors.txt`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args) },
	}
	opts.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&opts.repository, "repository", "", "`ID` of your vendor's repository, or its name in --labels: the releases of others do not count")
	flags.StringVar(&opts.labels, "labels", "", "`FILE` with your vendors' repositories and their names: the releases of others do not count")
	flags.StringVar(&opts.path, "path", "", "target `PATH` of the file, or alone: the releases that list it")
	flags.StringVar(&opts.key, "key", "", "`ID` of a key, whole: the roles that it may sign, or once could")
	flags.BoolVar(&opts.quick, "quick", false, "ask the log's index alone, which may leave out what it likes")
	flags.StringVar(&opts.proofs, "proofs", "", "`DIR` to write the proof of each answer to, as INDEX.tlog-proof")
	return cmd
}

func (o *lookupFlags) run(cmd *cobra.Command, args []string) error {
	query, what := lookup.Query{Length: -1, Path: o.path}, o.path
	if len(args) == 1 {
		var err error
		if query, err = readQuery(args[0]); err != nil {
			return err
		}
		query.Path, what = o.path, args[0]
	}
	vendors, err := o.read()
	if err != nil {
		return err
	}
	ofFile := what != ""
	switch {
	case o.key != "" && ofFile:
		return errors.New("want a file, a hash or --path, or else --key")
	case o.key == "" && !ofFile && len(vendors) == 0:
		return errors.New("want a file, a hash, --path, --key, or --repository to list its files")
	case o.quick && !ofFile:
		return errors.New("--quick: the log's index knows files and paths; leave it out")
	}
	cfg, err := o.config()
	if err != nil {
		return err
	}
	if ofFile && (o.quick || !o.remembers()) {
		if done, err := o.askIndex(cmd, what, query, vendors, cfg.Policy); done {
			return err
		}
	}

	l := lookup.New(query)
	l.Vendors = vendors
	a, err := judgeOnce(cmd.Context(), cfg, cmd.ErrOrStderr())
	if a == nil {
		return err
	}
	defer a.Close()
	if ofFile {
		err = firstOf(err, l.Find(cmd.Context(), a.State(), a))
	}
	report, reportErr := a.ReportOn(cmd.Context(), l.Repositories()...)
	err = firstOf(err, reportErr)
	warn(cmd.ErrOrStderr(), report)
	outcome := verdict(report, err, audit.Class.AgainstLookup)
	l.Complete = outcome == nil
	on := basis{checkpoint: report.Checkpoint, findings: report.Findings, judged: report.Judged, outcome: outcome}
	if on.checkpoint == nil {
		kept, err := a.Kept(cmd.Context())
		if err != nil {
			return err
		}
		if kept != nil {
			on.checkpoint, on.kept = audit.ReportOf(kept, kept.Note.Marshal()), true
		}
	}
	if !ofFile {
		return o.answerHeld(cmd, a, l, on)
	}
	return o.answer(cmd, what, l, on, report.Empty)
}

// askIndex tells what the log's index says. With --quick that is the answer, and done.
func (o *lookupFlags) askIndex(cmd *cobra.Command, what string, query lookup.Query, vendors map[tuf.Digest]string, policy *proofs.Policy) (done bool, err error) {
	l := lookup.New(query)
	l.Vendors = vendors
	var on basis
	url, err := askableURL(o.url, policy)
	if err == nil {
		on, err = askIndex(cmd.Context(), url, policy, l)
	}
	switch {
	case o.quick && err != nil:
		return true, fmt.Errorf("the log's index: %w (without --quick the log is replayed)", err)
	case o.quick:
		return true, o.answer(cmd, what, l, on, false)
	case err == nil && !o.json:
		said := conclude(what, l, on)
		fmt.Fprintf(cmd.ErrOrStderr(), "At once, by the log's index, which may leave out what it likes: %s  %s\n", said.Word, printable.Line(said.Sentence))
	}
	return false, nil
}

// answer prints what a lookup of a file comes to. empty says that the log has not published
// anything yet.
func (o *lookupFlags) answer(cmd *cobra.Command, what string, l *lookup.Lookup, on basis, empty bool) error {
	if o.proofs != "" {
		if err := writeProofs(o.proofs, l); err != nil {
			return err
		}
	}
	said := conclude(what, l, on)
	if o.json {
		err := cli.WriteJSON(cmd.OutOrStdout(), struct {
			conclusion
			*lookup.Lookup
			Checkpoint *audit.CheckpointReport `json:"checkpoint"`
		}{said, l, on.checkpoint})
		if err != nil {
			return err
		}
	} else if err := printLookup(cli.Folded(cmd.OutOrStdout()), what, said, l, on, empty); err != nil {
		return err
	}
	if on.outcome == nil && !said.Released {
		return cli.Failed(cli.ErrReported)
	}
	return on.outcome
}

// readQuery takes a file, or the hash of one.
func readQuery(arg string) (lookup.Query, error) {
	f, err := os.Open(arg)
	if err == nil {
		query, err := lookup.QueryFile(f)
		return query, errors.Join(err, f.Close())
	}
	query, parseErr := lookup.ParseQuery(arg)
	if parseErr != nil {
		return query, fmt.Errorf("neither a file nor a hash: %w; %w", err, parseErr)
	}
	return query, nil
}

func writeProofs(dir string, l *lookup.Lookup) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, answer := range l.Answers {
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

// printConclusion prints the word and the sentences, and an empty line.
func printConclusion(w io.Writer, said conclusion) {
	fmt.Fprintf(w, "%-7s  %s\n", said.Word, printable.Line(said.Sentence))
	for _, note := range said.Notes {
		fmt.Fprintf(w, "         %s\n", printable.Line(note))
	}
	fmt.Fprintln(w)
}

func printLookup(w io.Writer, what string, said conclusion, l *lookup.Lookup, on basis, empty bool) error {
	printConclusion(w, said)
	if l.Query.Path != what {
		fmt.Fprintf(w, "file        %s\n", printable.Line(what))
	}
	if l.Query.Path != "" {
		fmt.Fprintf(w, "path        %s\n", printable.Line(l.Query.Path))
	}
	switch {
	case !l.Query.SHA256.IsZero():
		fmt.Fprintf(w, "sha256      %v\n", l.Query.SHA256)
	case l.Query.SHA512 != "":
		fmt.Fprintf(w, "sha512      %v\n", l.Query.SHA512)
	}
	if l.Query.Length >= 0 {
		fmt.Fprintf(w, "length      %d\n", l.Query.Length)
	}
	printCheckpoint(w, on.checkpoint, empty)
	for _, n := range l.Named {
		fmt.Fprintf(w, "it is the %s of leaf %d\n", n.As, n.Index)
	}
	if len(l.Answers) == 0 {
		if l.Complete {
			fmt.Fprintf(w, "\nnot listed by any of the %d leaves\n", on.judged)
		}
		return nil
	}
	fmt.Fprintln(w)
	heads := []any{"SINCE", "INDEX", "KIND", "REPOSITORY", "ROLE", "VERSION", "CURRENT", "PROVED", "PATH"}
	byPath := l.Query.SHA256.IsZero() && l.Query.SHA512 == ""
	if byPath {
		heads = append(heads, "BYTES", "HASH")
	}
	t := printable.NewTable(w, append(heads, "NOTE")...)
	for _, a := range l.Answers {
		current := "?"
		if a.Current != nil {
			current = yesNo(*a.Current)
		}
		cells := []any{a.Since, a.Index, a.Kind, nameOf(l, a.Repository), printable.Line(a.Role), a.Version, current, yesNo(a.Proof != ""), printable.Line(a.Path)}
		if byPath {
			cells = append(cells, bytesOf(a.Length), hashOf(a.Hashes))
		}
		t.Row(append(cells, printable.Line(noteOn(a)))...)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if l.More > 0 {
		fmt.Fprintf(w, "and %d more\n", l.More)
	}
	return nil
}

// nameOf is the name that the asker has for a repository, or the beginning of its id.
func nameOf(l *lookup.Lookup, id tuf.Digest) string {
	if name := l.Vendors[id]; name != "" {
		return printable.Line(name)
	}
	return short(id)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
