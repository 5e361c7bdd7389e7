package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
)

// short is how tables and sentences show a repository.
func short(id tuf.Digest) string {
	if id.IsZero() {
		return "-"
	}
	return id.Short()
}

// shortOrNone names what findings are about.
func shortOrNone(id tuf.Digest) string {
	if id.IsZero() {
		return "the log"
	}
	return "repository " + short(id)
}

func printCheckpoint(w io.Writer, c *audit.CheckpointReport, empty bool) {
	switch {
	case c == nil && empty:
		fmt.Fprintln(w, "checkpoint  none yet: the log says that it is new and has not published one")
		return
	case c == nil:
		fmt.Fprintln(w, "checkpoint  none verified")
		return
	}
	fmt.Fprintf(w, "checkpoint  %s, size %d, root %s\n", printable.Line(c.Origin), c.Size, c.Root)
	var names []string
	for _, witness := range c.Witnesses {
		names = append(names, fmt.Sprintf("%s (%s)", printable.Line(witness.Witness), audit.When(witness.Time)))
	}
	if len(names) == 0 {
		names = []string{"nobody"}
	}
	fmt.Fprintf(w, "cosigned    by %s\n", strings.Join(names, ", "))
}

const (
	maxRoles   = 20 // delegated roles of a repository that the table lists
	maxHygiene = 20 // findings of class hygiene of a repository that the table lists
)

// printReport prints what replay found. known are the findings that are there and left out,
// because they were told before. The repositories are listed if that is wanted.
func printReport(w io.Writer, report *audit.Report, known []audit.Finding, list bool) {
	printCheckpoint(w, report.Checkpoint, report.Empty)
	verdicts := report.Verdicts
	fmt.Fprintf(w, "judged      %d leaves: %d right, %d wrong, %d not judged, %d of unknown kind\n",
		report.Judged-verdicts[audit.TheEnd], verdicts[audit.Right], verdicts[audit.Wrong], verdicts[audit.NotJudged], verdicts[audit.UnknownToUs])
	if report.Ended {
		fmt.Fprintln(w, "ended       the log has ended: an entry says so, and none may follow it")
	}
	fmt.Fprintln(w)

	if list && len(report.Repositories) > 0 {
		t := printable.NewTable(w, "REPOSITORY", "ENCODING", "ROLE", "RELEASES", "EVIDENCE", "HIGHEST", "CURRENT")
		for _, r := range report.Repositories {
			printRoles(t, r)
		}
		t.Flush()
		fmt.Fprintln(w)
	}
	printFindings(w, report, known)
	found := map[audit.Class]bool{}
	for _, f := range slices.Concat(report.Findings, known) {
		found[f.Class] = true
	}
	bad := found[audit.Tampering] || found[audit.Unexpected]
	switch {
	case report.Vouches:
		fmt.Fprintln(w, "The log is as it should be: every leaf follows from the rules, and every file is there.")
	case report.Empty && !bad && !found[audit.Outage]:
		fmt.Fprintln(w, "There is nothing to check yet.")
	case found[audit.Outage] && !bad && report.Judged == 0:
		fmt.Fprintln(w, "Nothing could be checked: see the findings.")
	case found[audit.Outage] && !bad:
		fmt.Fprintln(w, "Not everything could be checked, so an auditor would not vouch for this log: see the findings. The checked parts are as they should be.")
	case bad:
		fmt.Fprintln(w, "An auditor would not vouch for this log: see the findings.")
	default:
		fmt.Fprintln(w, "The log was not checked to its end.")
	}
	if found[audit.Equivocation] {
		fmt.Fprintln(w, "A vendor's keys signed two payloads under one version: see the findings.")
	}
}

func printRoles(t printable.Table, r audit.RepositoryReport) {
	id, encoding := short(r.ID), string(r.Encoding)
	hidden, releases, evidence := 0, int64(0), int64(0)
	for i, role := range r.Roles {
		if i >= maxRoles && len(r.Roles) > maxRoles+1 {
			hidden++
			releases += role.Releases
			evidence += role.Evidence
			continue
		}
		current := "none"
		if role.Current > 0 {
			current = fmt.Sprint(role.Current)
		}
		t.Row(id, encoding, printable.Line(role.Role), role.Releases, role.Evidence, role.Highest, current)
		id, encoding = "", ""
	}
	if hidden > 0 {
		t.Row("", "", fmt.Sprintf("%d other roles", hidden), releases, evidence, "", "")
	}
}

func printFindings(w io.Writer, report *audit.Report, known []audit.Finding) {
	switch {
	case len(report.Findings) == 0 && len(known) == 0:
		fmt.Fprint(w, "Nothing was found.\n\n")
		return
	case len(report.Findings) == 0:
		fmt.Fprint(w, "Nothing new was found. ")
		printKnown(w, known)
		fmt.Fprintln(w)
		return
	}
	t := printable.NewTable(w, "FINDING", "KIND", "INDEX", "REPOSITORY", "WHAT")
	hygiene := map[tuf.Digest]int{} // by repository: none takes the room of another's
	for _, f := range report.Findings {
		if f.Class == audit.Hygiene {
			if hygiene[f.Repository]++; hygiene[f.Repository] > maxHygiene {
				continue
			}
		}
		index := "-"
		if f.Index >= 0 {
			index = fmt.Sprint(f.Index)
		}
		t.Row(f.Class, f.Kind, index, short(f.Repository), printable.Line(f.Sentence))
	}
	t.Flush()
	for _, f := range report.Findings {
		if more := hygiene[f.Repository] - maxHygiene; more > 0 {
			fmt.Fprintf(w, "and %d more of class hygiene about %s: --json prints all\n", more, shortOrNone(f.Repository))
			delete(hygiene, f.Repository)
		}
	}
	for _, more := range report.Suppressed {
		fmt.Fprintf(w, "and %d more of kind %s about %s, which were not kept\n", more.Count, more.Kind, shortOrNone(more.Repository))
	}
	fmt.Fprintln(w)
	if len(known) > 0 {
		printKnown(w, known)
		fmt.Fprintln(w)
	}
}

// printNothingNew says in a line that a replay has nothing to tell.
func printNothingNew(w io.Writer, size int64, known []audit.Finding) {
	if len(known) == 0 {
		fmt.Fprintf(w, "Nothing was found up to size %d.\n", size)
		return
	}
	fmt.Fprintf(w, "Nothing new was found up to size %d. ", size)
	printKnown(w, known)
}

// printKnown says of how many findings nothing else is said.
func printKnown(w io.Writer, known []audit.Finding) {
	against := 0
	for _, f := range known {
		if f.Class.Fails() {
			against++
		}
	}
	fmt.Fprintf(w, "Known, and still there: %d, of which %d of class tampering, equivocation or unexpected (auditor findings lists them).\n", len(known), against)
}
