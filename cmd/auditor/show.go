package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
)

func newShow() *cobra.Command {
	var opts logFlags
	cmd := &cobra.Command{
		Use:   "show [REPOSITORY] --policy FILE",
		Short: "Print a repository's releases over time",
		Long: `Print a repository's releases over time: the signers, the changes of each, and the
evidence against its signers. Without REPOSITORY the repositories are listed.
Of files, keys and delegations, + were added, - removed and ~ changed.

REPOSITORY is one of
  the beginning of its id in hex, long enough to name one
  a file: its first root, or the .tlog-proof of any logged file of it
  the label that the log's operator gave it: the log is asked, and not checked

Exit codes:
  0  the repository's history, from a log that is as it should be
  1  the replay has findings of class tampering or unexpected (see replay)
  2  wrong usage, no such repository, or an outage`,
		Example: `  auditor show --policy policy.txt
  auditor show cd7549b1 --policy policy.txt --log https://log.example.com
  auditor show 14.targets.json.tlog-proof --policy policy.txt`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := opts.config()
			if err != nil {
				return err
			}
			url, err := opts.logURL(cfg.Policy)
			if err != nil {
				return err
			}
			var show *audit.Show
			id := ""
			if len(args) == 1 {
				if id, err = repositoryOf(cmd.Context(), args[0], url); err != nil {
					return err
				}
				show = audit.NewShow(id)
				cfg.Observe = show.Observe
			}
			a, report, err := replayOnce(cmd.Context(), cfg, cmd.ErrOrStderr())
			if report == nil {
				return err
			}
			defer a.Close()
			warn(cmd.ErrOrStderr(), report)
			outcome := verdict(report, err, audit.Class.AgainstLookup)
			if show == nil {
				return firstOf(printRepositories(cmd.OutOrStdout(), report, opts.json), outcome)
			}
			histories := show.Histories()
			if len(histories) != 1 {
				if outcome != nil {
					return outcome
				}
				return notOne(args[0], id, histories)
			}
			return firstOf(printHistory(cmd.OutOrStdout(), histories[0], opts.json), outcome)
		},
	}
	opts.register(cmd)
	return cmd
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
func notOne(arg, prefix string, histories []*audit.History) error {
	if len(histories) == 0 && !strings.EqualFold(arg, prefix) {
		return fmt.Errorf("no repository in the log has the id %s, as %s has it: of roots the first one names it", prefix, arg)
	}
	if len(histories) == 0 {
		return fmt.Errorf("no repository in the log begins with %s: auditor show lists them", prefix)
	}
	var ids []string
	for _, h := range histories {
		ids = append(ids, h.Repository.String()[:16])
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

func printHistory(w io.Writer, h *audit.History, asJSON bool) error {
	if asJSON {
		return cli.WriteJSON(w, h)
	}
	fmt.Fprintf(w, "repository %v\n\n", h.Repository)
	t := printable.NewTable(w, "INDEX", "KIND", "ROLE", "VERSION", "EXPIRES", "SIGNED", "WHAT CHANGED")
	for _, row := range h.Rows {
		t.Row(row.Index, row.Kind, printable.Line(row.Role), row.Version, day(row.Expires),
			signedBy(row), whatChanged(row))
	}
	return t.Flush()
}

// signedBy says who signed, by the beginning of the keys' ids.
func signedBy(row audit.Row) string {
	const most = 4
	ids := []string{}
	for _, id := range row.SignedBy[:min(len(row.SignedBy), most)] {
		ids = append(ids, printable.Line(id[:min(len(id), 8)]))
	}
	if more := len(row.SignedBy) - most; more > 0 {
		ids = append(ids, fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("%s: %d, needs %d", strings.Join(ids, " "), row.Signers, row.Threshold)
}

// whatChanged puts a row's changes into words.
func whatChanged(row audit.Row) string {
	var parts []string
	if row.Contradicts != nil {
		parts = append(parts, fmt.Sprintf("EVIDENCE: another payload than index %d", *row.Contradicts))
	}
	for _, c := range row.Keys {
		words := []string{}
		if n := len(c.Added); n > 0 {
			words = append(words, fmt.Sprintf("+%d", n))
		}
		if n := len(c.Removed); n > 0 {
			words = append(words, fmt.Sprintf("-%d", n))
		}
		if len(words) > 0 {
			words = append(words, "keys")
		}
		if c.Threshold != c.Before {
			if c.Before != 0 {
				words = append(words, fmt.Sprintf("needs %d, was %d", c.Threshold, c.Before))
			} else {
				words = append(words, fmt.Sprintf("needs %d", c.Threshold))
			}
		}
		parts = append(parts, printable.Line(c.Role)+" "+strings.Join(words, " "))
	}
	if row.Files != nil {
		parts = append(parts, counts(*row.Files, "files", row.Against))
	}
	if row.Delegations != nil {
		parts = append(parts, counts(*row.Delegations, "delegations", row.Against))
	}
	if len(parts) == 0 {
		return "same keys"
	}
	return strings.Join(parts, "; ")
}

func counts(c audit.Changes, what string, against *int64) string {
	if c.Total == 1 {
		what = strings.TrimSuffix(what, "s")
	}
	if against == nil {
		return fmt.Sprintf("%d %s", c.Total, what)
	}
	var words []string
	for _, n := range []struct {
		sign string
		n    int
	}{{"+", c.Added}, {"-", c.Removed}, {"~", c.Changed}} {
		if n.n > 0 {
			words = append(words, fmt.Sprintf("%s%d", n.sign, n.n))
		}
	}
	if len(words) == 0 {
		return fmt.Sprintf("same %d %s", c.Total, what)
	}
	said := fmt.Sprintf("%s of %d %s", strings.Join(words, " "), c.Total, what)
	if len(c.Names) > 0 {
		names := make([]string, len(c.Names))
		for i, name := range c.Names {
			names[i] = printable.Line(name)
		}
		said += " (" + strings.Join(names, ", ")
		if more := c.Added + c.Removed + c.Changed - len(names); more > 0 {
			said += fmt.Sprintf(" and %d more", more)
		}
		said += ")"
	}
	return said
}
