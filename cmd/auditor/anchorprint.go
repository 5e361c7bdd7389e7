package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/internal/printable"
)

// printAudits prints what is said of each log.
func printAudits(w io.Writer, all []*anchorAudit) error {
	for i, said := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := said.print(w); err != nil {
			return err
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
		n += one.Consistent + one.Open + one.Orphans
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
	case s.Incomplete:
		fmt.Fprintf(w, "INCOMPLETE: of what could be looked at nothing speaks against log %s, at size %d.\n", printable.Line(s.Log), s.Tree.Size)
	default:
		fmt.Fprintf(w, "Nothing speaks against log %s, at size %d.\n", printable.Line(s.Log), s.Tree.Size)
	}
	t := printable.NewTable(w, "INSTANCE", "VERSION", "CONSISTENT", "OPEN", "ORPHANS", "ACKNOWLEDGED", "LOOKED AT")
	for _, one := range s.Instances {
		looked := "all"
		if one.Trouble != "" {
			looked = "NOT ALL"
		}
		t.Row(printable.Line(one.Instance), one.Version, one.Consistent, one.Open, one.Orphans, one.Settled, looked)
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
	if s.State != "" {
		fmt.Fprintf(w, "findings: auditor findings --state %s\n", shellword(s.State))
	}
	return nil
}

// printEntries prints those that are not consistent: orphans first, and the newest first, since anyone can
// make any number of older ones.
func (s *anchorAudit) printEntries(w io.Writer) error {
	type row struct {
		instance string
		anchored.Judged
	}
	var rows []row
	for _, one := range s.Instances {
		for _, j := range one.Entries {
			if j.Verdict != anchor.Consistent {
				rows = append(rows, row{one.Instance, j})
			}
		}
	}
	if len(rows) == 0 {
		return nil
	}
	slices.SortStableFunc(rows, func(x, y row) int {
		return cmp.Or(strings.Compare(string(y.Verdict), string(x.Verdict)), y.Time.Compare(x.Time))
	})
	fmt.Fprintln(w)
	t := printable.NewTable(w, "INSTANCE", "ENTRY", "SINCE", "VERDICT", "SHA-256 OF THE TEXT")
	for _, r := range rows[:min(len(rows), maxPrinted)] {
		t.Row(printable.Line(r.instance), r.LogIndex, r.Time.Format(time.RFC3339), r.Verdict, r.Digest)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if n := len(rows) - maxPrinted; n > 0 {
		fmt.Fprintf(w, "and %d more (--json prints all)\n", n)
	}
	return nil
}
