package publish

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/tuflog/tuflog/log/api"
)

// Report says what became of all files.
type Report struct {
	Repositories []string  `json:"repositories"` // in the order in which they were met
	Files        []Verdict `json:"files"`        // in the order given
	Notes        []string  `json:"notes,omitempty"`
	Ignored      []Ignored `json:"ignored,omitempty"`
}

// Count is how many files of a role in a repository came to what.
type Count struct {
	Repository string         `json:"repository"` // empty: refused with no repository to judge it
	Role       string         `json:"role"`
	Files      int            `json:"files"`
	Released   int            `json:"released"`
	Logged     int            `json:"logged"` // their payload was logged already
	Evidence   int            `json:"evidence"`
	Held       int            `json:"held,omitempty"`
	Refused    map[string]int `json:"refused,omitempty"` // by code
}

// add counts a verdict.
func (c *Count) add(v Verdict) {
	c.Files++
	switch v.Status {
	case api.StatusReleased:
		c.Released++
	case api.StatusLogged:
		c.Logged++
	case api.StatusEvidence:
		c.Evidence++
	case api.StatusHeld:
		c.Held++
	default:
		if c.Refused == nil {
			c.Refused = map[string]int{}
		}
		c.Refused[v.Code]++
	}
}

// Counts counts the files by repository (in the order of Repositories) and role
// (root, targets, the delegated ones, snapshot, timestamp).
func (r *Report) Counts() []Count {
	type key struct{ repository, role string }
	counts := map[key]*Count{}
	for _, v := range r.Files {
		k := key{v.Repository, v.Role}
		if counts[k] == nil {
			counts[k] = &Count{Repository: v.Repository, Role: v.Role}
		}
		counts[k].add(v)
	}
	return slices.SortedFunc(values(counts), func(a, b Count) int {
		return cmp.Or(cmp.Compare(r.order(a.Repository), r.order(b.Repository)),
			cmp.Compare(rankOf(a.Role), rankOf(b.Role)), strings.Compare(a.Role, b.Role))
	})
}

func values[K comparable](m map[K]*Count) iter.Seq[Count] {
	return func(yield func(Count) bool) {
		for v := range maps.Values(m) {
			if !yield(*v) {
				return
			}
		}
	}
}

func (r *Report) order(repository string) int {
	if i := slices.Index(r.Repositories, repository); i >= 0 {
		return i
	}
	return len(r.Repositories)
}

// Total counts all files.
func (r *Report) Total() Count {
	var c Count
	for _, v := range r.Files {
		c.add(v)
	}
	return c
}

// Evidence returns the verdicts on files that became, or are, evidence.
func (r *Report) Evidence() []Verdict {
	return r.with(func(v Verdict) bool { return v.Status == api.StatusEvidence })
}

// Held returns the verdicts on files that are held, and so not logged yet.
func (r *Report) Held() []Verdict {
	return r.with(func(v Verdict) bool { return v.Status == api.StatusHeld })
}

// Refused returns the verdicts on files that were refused, but for snapshots and
// timestamps that the log does not log.
func (r *Report) Refused() []Verdict {
	return r.with(func(v Verdict) bool { return v.Status == api.StatusRefused && !v.NotLoggedHere() })
}

func (r *Report) with(keep func(Verdict) bool) []Verdict {
	found := []Verdict{}
	for _, v := range r.Files {
		if keep(v) {
			found = append(found, v)
		}
	}
	return found
}

// WriteCounts prints the table of Counts for people, and then every file that
// became evidence, is held or was refused, with the reason.
func (r *Report) WriteCounts(w io.Writer) error {
	t := &table{tabwriter: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	heading, total := []string{"REPOSITORY", "ROLE", "FILES", "RELEASED", "LOGGED", "EVIDENCE", "REFUSED"}, r.Total()
	if total.Held > 0 {
		heading = append(heading, "HELD")
	}
	t.row(heading...)
	for _, c := range append(r.Counts(), total) {
		repository, role := short(c.Repository), c.Role
		if role == "" {
			repository, role = "total", ""
		}
		cells := []string{repository, printable(role), number(c.Files), number(c.Released), number(c.Logged), number(c.Evidence), refusedText(c.Refused)}
		if total.Held > 0 {
			cells = append(cells, number(c.Held))
		}
		t.row(cells...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	return r.writeReasons(w)
}

// WriteFiles prints a line for every file, and then the reasons.
func (r *Report) WriteFiles(w io.Writer) error {
	t := &table{tabwriter: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("FILE", "ROLE", "VERSION", "STATUS", "INDEX")
	for _, v := range r.Files {
		status, index := string(v.Status), "-"
		switch {
		case v.NotLoggedHere():
			status = "not logged here"
		case v.Code != "":
			status += " " + v.Code
		}
		if v.Index >= 0 {
			index = fmt.Sprint(v.Index)
		}
		t.row(printable(v.File), printable(v.Role), fmt.Sprint(v.Version), status, index)
	}
	if err := t.flush(); err != nil {
		return err
	}
	return r.writeReasons(w)
}

func (r *Report) writeReasons(w io.Writer) error {
	t := &table{tabwriter: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	for _, list := range []struct {
		title string
		files []Verdict
	}{{"evidence", r.Evidence()}, {"held", r.Held()}, {"refused", r.Refused()}} {
		if len(list.files) > 0 {
			t.line("\n%s:\n", list.title)
		}
		for _, v := range list.files {
			what := v.Code
			switch v.Status {
			case api.StatusEvidence:
				what = fmt.Sprintf("index %d", v.Index)
			case api.StatusHeld:
				what = "until " + v.HeldUntil
			}
			t.row("  "+printable(v.File), short(v.Repository), what, printable(v.Detail))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return nil
}

// table writes aligned columns and keeps the first error.
type table struct {
	tabwriter *tabwriter.Writer
	err       error
}

func (t *table) line(format string, args ...any) {
	if _, err := fmt.Fprintf(t.tabwriter, format, args...); t.err == nil {
		t.err = err
	}
}

func (t *table) row(cells ...string) {
	t.line("%s\n", strings.TrimRight(strings.Join(cells, "\t"), "\t"))
}

func (t *table) flush() error {
	return cmp.Or(t.err, t.tabwriter.Flush())
}

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func short(repository string) string {
	if repository == "" {
		return "(none)"
	}
	return repository[:min(len(repository), 12)]
}

func refusedText(codes map[string]int) string {
	if len(codes) == 0 {
		return "-"
	}
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		parts = append(parts, fmt.Sprintf("%d %s", codes[code], code))
	}
	return strings.Join(parts, ", ")
}

// printable makes text from outside safe for a terminal and one line.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	return strconv.Quote(s)
}
