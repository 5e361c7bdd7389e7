package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/history"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

func newShow() *cobra.Command {
	var opts struct {
		logFlags
		role string
	}
	cmd := &cobra.Command{
		Use:   "show [REPOSITORY] --policy FILE",
		Short: "Print a repository's releases over time",
		Long: `Print a repository's releases over time: of each, who signed it, what it changed, and
how it is unlike all releases of its role before; then the files and the keys that are
in force. Without REPOSITORY the repositories are listed.

REPOSITORY is one of
  the beginning of its id in hex, long enough to name one
  a file: its first root, or the .tlog-proof of any logged file of it
  the label that the log's operator gave it: the log is asked, and not checked

"seen" is the time of the first cosignature of a checkpoint with the release: among
those that --state has kept, and that of now.

Exit codes:
  0  the repository's history, from a log that is as it should be
  1  the replay has findings of class tampering or unexpected (see replay)
  2  wrong usage, no such repository, or an outage`,
		Example: `  auditor show --policy policy.txt
  auditor show cd7549b1 --role targets --policy policy.txt --log https://log.example.com
  auditor show 14.targets.json.tlog-proof --policy policy.txt`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if opts.role != "" {
					return fmt.Errorf("--role %q: want a REPOSITORY as well", opts.role)
				}
				return opts.list(cmd)
			}
			if args[0] == "" {
				return errors.New("repository \"\": want the beginning of an id in hex, a file or a label")
			}
			h, outcome, done, err := opts.history(cmd, args[0])
			if err != nil {
				return err
			}
			defer done()
			s, err := shownOf(cmd.Context(), h, opts.role)
			if err != nil {
				return err
			}
			to, say := cli.Folded(cmd.OutOrStdout()), s.print
			if opts.json {
				to, say = cmd.OutOrStdout(), s.printJSON
			}
			out := bufio.NewWriter(to)
			err = say(cmd.Context(), out, h, opts.role)
			return firstOf(err, out.Flush(), outcome)
		},
	}
	opts.register(cmd)
	cmd.Flags().StringVar(&opts.role, "role", "", "`ROLE` whose releases to print (default: those of all)")
	return cmd
}

// list prints the repositories.
func (s *logFlags) list(cmd *cobra.Command) error {
	cfg, err := s.config()
	if err != nil {
		return err
	}
	a, report, outcome, err := replayFor(cmd, cfg)
	if err != nil {
		return err
	}
	defer a.Close()
	return firstOf(printRepositories(cmd.OutOrStdout(), report, s.json), outcome)
}

// history replays the log and returns the one repository that an argument stands for, and
// the verdict on the replay. Afterwards done is to be called.
func (s *logFlags) history(cmd *cobra.Command, arg string) (h *history.History, outcome error, done func() error, err error) {
	policy, err := cli.ReadPolicy(s.policy)
	if err != nil {
		return nil, nil, nil, err
	}
	prefix, err := repositoryOf(cmd.Context(), arg, s.url, policy)
	if err != nil {
		return nil, nil, nil, err
	}
	return s.historyOf(cmd, arg, func(context.Context, *audit.Auditor) (string, error) { return prefix, nil })
}

// historyOf is history for the repository whose id begins as find says after the replay.
func (s *logFlags) historyOf(cmd *cobra.Command, arg string, find func(context.Context, *audit.Auditor) (string, error)) (h *history.History, outcome error, done func() error, err error) {
	cfg, err := s.config()
	if err != nil {
		return nil, nil, nil, err
	}
	ctx := cmd.Context()
	a, judgeErr := judgeOnce(ctx, cfg, cmd.ErrOrStderr())
	if a == nil {
		return nil, nil, nil, judgeErr
	}
	fail := func(err error) (*history.History, error, func() error, error) {
		return nil, nil, nil, firstOf(err, a.Close())
	}
	prefix, err := find(ctx, a)
	if err != nil {
		return fail(firstOf(judgeErr, err))
	}
	all, err := a.Histories(ctx, prefix)
	if err != nil {
		return fail(err)
	}
	var ids []tuf.Digest
	for _, h := range all {
		ids = append(ids, h.ID())
	}
	report, err := a.ReportOn(ctx, ids...)
	warn(cmd.ErrOrStderr(), report)
	outcome = verdict(report, firstOf(judgeErr, err), audit.Class.AgainstLookup)
	switch {
	case len(all) == 1:
		return all[0], outcome, a.Close, nil
	case outcome != nil:
		return fail(outcome)
	}
	return fail(notOne(arg, prefix, all))
}

// day is the date of POSIX seconds.
func day(seconds int64) string { return strings.Split(audit.When(seconds), "T")[0] }

// firstOf returns the first error.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// notOne says that what arg stands for, which is prefix, does not name one repository.
func notOne(arg, prefix string, histories []*history.History) error {
	if len(histories) == 0 && !strings.EqualFold(arg, prefix) {
		return fmt.Errorf("no repository in the log has the id %s, as %s has it: of roots the first one names it", prefix, arg)
	}
	if len(histories) == 0 {
		return fmt.Errorf("no repository in the log begins with %s: auditor show lists them", prefix)
	}
	var ids []string
	for _, h := range histories {
		ids = append(ids, h.ID().String()[:16])
	}
	return fmt.Errorf("%d repositories begin with %s: %s", len(ids), prefix, strings.Join(ids, ", "))
}

func printRepositories(w io.Writer, report *audit.Report, asJSON bool) error {
	if asJSON {
		return cli.WriteJSON(w, report.Repositories)
	}
	t := printable.NewTable(w, "REPOSITORY", "ENCODING", "SINCE INDEX", "ROLES", "RELEASES", "EVIDENCE")
	for _, r := range report.Repositories {
		t.Row(r.ID, r.Encoding, r.Index, len(r.Roles), r.Releases, r.Evidence)
	}
	return t.Flush()
}

// shown is what show prints of a repository.
type shown struct {
	Repository tuf.Digest    `json:"repository"`
	Rows       []history.Row `json:"rows"`
	Files      []shownFile   `json:"files"` // that the releases in force list
	Keys       []shownKey    `json:"keys"`  // that may sign
}

// shownFile is a target file that is in force.
type shownFile struct {
	Path    string            `json:"path"`
	Length  int64             `json:"length"` // bytes; -1: not listed
	Hashes  map[string]string `json:"hashes"`
	Role    string            `json:"role"`
	Version int64             `json:"version"`
	Index   int64             `json:"index"`
}

// shownKey is a key that may sign.
type shownKey struct {
	ID   string   `json:"id"`
	Type string   `json:"type"`
	Of   []string `json:"of"` // "targets 2 of 5": how many of how many the role takes
}

// shownOf collects what show prints, of one role if role is not empty.
func shownOf(ctx context.Context, h *history.History, role string) (*shown, error) {
	s := &shown{Repository: h.ID(), Files: []shownFile{}, Keys: []shownKey{}}
	if !slices.ContainsFunc(h.Records, func(r history.Record) bool { return role == "" || r.Leaf.Role == role }) {
		return nil, fmt.Errorf("repository %v has no release of role %q", s.Repository, role)
	}
	force, err := h.InForce(ctx, h.Records[len(h.Records)-1].Index+1)
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	add := func(of string, keys map[string]*tuf.Key, ks tuf.KeySet) {
		if role != "" && of != role {
			return
		}
		for _, identity := range ks.Identities() {
			id := ks.IDs(identity)[0]
			if _, ok := at[id]; !ok {
				at[id] = len(s.Keys)
				s.Keys = append(s.Keys, shownKey{ID: id, Type: keys[id].Type})
			}
			k := &s.Keys[at[id]]
			k.Of = append(k.Of, fmt.Sprintf("%s %d of %d", of, ks.Threshold(), len(ks.Identities())))
		}
	}
	for _, of := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
		add(of, force.Root.Root.Keys, force.Root.Root.KeySet(of))
	}
	delegating := maps.Clone(force.Delegated)
	if force.Targets != nil {
		delegating[tuf.RoleTargets] = force.Targets
	}
	for _, name := range slices.SortedFunc(maps.Keys(delegating), byRank) {
		m, r := delegating[name], force.Releases[name]
		if role == "" || name == role {
			for path, file := range m.Targets.Files() {
				s.Files = append(s.Files, shownFile{path, file.Length, file.Hashes, name, r.Leaf.Version, r.Index})
			}
		}
		if d := m.Targets.Delegations; d != nil {
			for _, delegated := range d.Roles {
				add(delegated.Name, d.Keys, tuf.NewKeySet(d.Keys, delegated.Role))
			}
			if d.Succinct != nil {
				add(d.Succinct.NamePrefix+"-*", d.Keys, tuf.NewKeySet(d.Keys, d.Succinct.Role))
			}
		}
	}
	return s, nil
}

func byRank(a, b string) int {
	if n := tuf.Rank(a) - tuf.Rank(b); n != 0 {
		return n
	}
	return strings.Compare(a, b)
}

// printJSON prints the whole, a row at a time.
func (s *shown) printJSON(ctx context.Context, w io.Writer, h *history.History, role string) error {
	value := func(v any, indent string) error {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetIndent(indent, "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			return err
		}
		_, err := w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
		return err
	}
	fmt.Fprintf(w, "{\n  \"repository\": \"%v\",\n  \"rows\": [", s.Repository)
	before := "\n    "
	err := h.Rows(ctx, role, func(row history.Row) error {
		fmt.Fprint(w, before)
		before = ",\n    "
		return value(row, "    ")
	})
	fmt.Fprint(w, "\n  ],\n  \"files\": ")
	err = firstOf(err, value(s.Files, "  "))
	fmt.Fprint(w, ",\n  \"keys\": ")
	err = firstOf(err, value(s.Keys, "  "))
	fmt.Fprint(w, "\n}\n")
	return err
}

func (s *shown) print(ctx context.Context, w io.Writer, h *history.History, role string) error {
	releases, evidence := 0, 0
	roles := map[string]bool{}
	for _, r := range h.Records {
		if role != "" && r.Leaf.Role != role {
			continue
		}
		roles[r.Leaf.Role] = true
		if r.Leaf.Kind == leaf.Evidence {
			evidence++
		} else {
			releases++
		}
	}
	fmt.Fprintf(w, "Repository %v has %s of %s in the log", s.Repository, plural(releases, "release"), plural(len(roles), "role"))
	if evidence > 0 {
		fmt.Fprintf(w, ", and %s that its keys signed a second payload", plural(evidence, "proof"))
	}
	are := "are"
	if len(s.Files) == 1 {
		are = "is"
	}
	fmt.Fprintf(w, ". %s %s in force.\n", plural(len(s.Files), "file"), are)
	err := h.Rows(ctx, role, func(row history.Row) error {
		printRow(w, row)
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(w)
	if len(s.Files) > 0 {
		t := printable.NewTable(w, "FILE IN FORCE", "BYTES", "HASH", "BY", "ENTRY")
		for _, f := range s.Files {
			t.Row(f.Path, bytesOf(f.Length), hashOf(f.Hashes), fmt.Sprintf("%s %d", tuf.Word(f.Role), f.Version), f.Index)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	t := printable.NewTable(w, "KEY IN FORCE", "TYPE", "MAY SIGN, AND HOW MANY IT TAKES")
	for _, k := range s.Keys {
		t.Row(k.ID, k.Type, strings.Join(k.Of, ", "))
	}
	return t.Flush()
}

// bytesOf is a length as metadata says it.
func bytesOf(length int64) string {
	if length < 0 {
		return "not said"
	}
	return fmt.Sprint(length)
}

// hashOf is the first of the hashes that metadata says.
func hashOf(hashes map[string]string) string {
	for _, algorithm := range slices.Sorted(maps.Keys(hashes)) {
		return algorithm + ":" + hashes[algorithm]
	}
	return "none"
}

// printRow prints a leaf: who signed it, what it changed, how it is unlike all before.
func printRow(w io.Writer, row history.Row) {
	seen := ""
	if row.SeenBy > 0 {
		seen = fmt.Sprintf("seen %s, ", audit.When(row.SeenBy))
	}
	expires := "never expires"
	if row.Expires != 0 {
		expires = "expires " + day(row.Expires)
	}
	head := fmt.Sprintf("%s %d, %s%s, signed by %s", tuf.Word(row.Role), row.Version, seen, expires, signedBy(row))
	fmt.Fprintf(w, "\nentry %d: %s\n", row.Index, printable.Line(head))
	if row.Contradicts != nil {
		fmt.Fprintf(w, "  EVIDENCE: this is another payload than that at entry %d. The keys signed two for one version.\n", *row.Contradicts)
	}
	lines := row.Changes.Sentences()
	if row.Against != nil && *row.Against != row.Index {
		lines[0] = strings.TrimSuffix(lines[0], ".") + fmt.Sprintf(" (entry %d).", *row.Against)
	}
	for _, line := range lines {
		fmt.Fprintf(w, "  %s\n", printable.Line(line))
	}
	if len(row.Unlike) > 0 {
		fmt.Fprintln(w, "  Unlike all before:")
	}
	for _, u := range row.Unlike {
		fmt.Fprintf(w, "    %s\n", printable.Line(u.Text))
	}
}

// signedBy says who signed, by the beginning of the keys' ids.
func signedBy(row history.Row) string {
	const most = 8
	ids := []string{}
	for _, id := range row.SignedBy[:min(len(row.SignedBy), most)] {
		ids = append(ids, printable.Line(id[:min(len(id), 8)]))
	}
	if more := len(row.SignedBy) - most; more > 0 {
		ids = append(ids, fmt.Sprintf("%d more", more))
	}
	if len(ids) == 0 {
		ids = []string{"no key of the role"}
	}
	return fmt.Sprintf("%s (it takes %d of %d keys)", strings.Join(ids, ", "), row.Threshold, row.Keys)
}

// plural is a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
