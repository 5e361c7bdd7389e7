package publish

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// Report is the results for all files.
type Report struct {
	// Rehearsed reports whether no file was sent. Files that would become new
	// entries have the status that they would get, and no index.
	Rehearsed    bool      `json:"rehearsed,omitempty"`
	Repositories []string  `json:"repositories"` // in the order in which they were met
	Files        []Verdict `json:"files"`        // in the order given
	Notes        []string  `json:"notes,omitempty"`
	Ignored      []Ignored `json:"ignored,omitempty"`
}

// Count counts the files of a role in a repository by result.
type Count struct {
	Repository string         `json:"repository"` // empty: refused without a repository to judge it
	Role       string         `json:"role"`
	Files      int            `json:"files"`
	Released   int            `json:"released"`
	Logged     int            `json:"logged"` // their payload was logged already
	Evidence   int            `json:"evidence"`
	Held       int            `json:"held,omitempty"`
	NotLogged  int            `json:"not_logged,omitempty"` // snapshots and timestamps, where the log does not log them
	Refused    map[string]int `json:"refused,omitempty"`    // by code
}

// add counts a verdict.
func (c *Count) add(v Verdict) {
	c.Files++
	switch {
	case v.Status == api.StatusReleased:
		c.Released++
	case v.Status == api.StatusLogged:
		c.Logged++
	case v.Status == api.StatusEvidence:
		c.Evidence++
	case v.Status == api.StatusHeld:
		c.Held++
	case v.NotLoggedHere():
		c.NotLogged++
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
			cmp.Compare(tuf.Rank(a.Role), tuf.Rank(b.Role)), strings.Compare(a.Role, b.Role))
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
// timestamps that the log does not log, and for files that devices no longer require.
// Files that were refused because of another refusal come last.
func (r *Report) Refused() []Verdict {
	refused := func(v Verdict) bool { return v.Status == api.StatusRefused && !v.NotLoggedHere() && v.Past == "" }
	return append(r.with(func(v Verdict) bool { return refused(v) && v.Because == "" }),
		r.with(func(v Verdict) bool { return refused(v) && v.Because != "" })...)
}

// past returns the verdicts on refused files that devices no longer require:
// everything that can be logged is logged.
func (r *Report) past() []Verdict {
	return r.with(func(v Verdict) bool { return v.Status == api.StatusRefused && v.Past != "" })
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
	t := printable.NewTable(w)
	heading, total := []any{"REPOSITORY", "ROLE", "FILES", "RELEASED", "LOGGED", "EVIDENCE", "REFUSED"}, r.Total()
	if total.NotLogged > 0 {
		heading = append(heading, "NOT LOGGED HERE")
	}
	if total.Held > 0 {
		heading = append(heading, "HELD")
	}
	t.Row(heading...)
	for _, c := range append(r.Counts(), total) {
		repository, role := short(c.Repository), c.Role
		if role == "" {
			repository, role = "total", ""
		}
		cells := []any{repository, printable.Line(role), number(c.Files), number(c.Released), number(c.Logged), number(c.Evidence), refusedText(c.Refused)}
		if total.NotLogged > 0 {
			cells = append(cells, number(c.NotLogged))
		}
		if total.Held > 0 {
			cells = append(cells, number(c.Held))
		}
		t.Row(cells...)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return r.writeReasons(w, "")
}

// WriteFiles prints a line for every file, and then the reasons. The common folder
// of all files is named once.
func (r *Report) WriteFiles(w io.Writer) error {
	for _, id := range r.Repositories {
		would := ""
		if r.Rehearsed {
			would = " (nothing was sent)"
		}
		if _, err := fmt.Fprintf(w, "repository %s%s\n\n", id, would); err != nil {
			return err
		}
	}
	var files []string
	for _, v := range r.Files {
		files = append(files, v.File)
	}
	dir := folderOf(files)
	t := printable.NewTable(w)
	if dir != "" {
		t.Line("in %s\n", printable.Line(dir))
	}
	t.Row("FILE", "ROLE", "VERSION", "STATUS", "INDEX")
	for _, v := range r.Files {
		status, index := string(v.Status), "-"
		switch {
		case v.NotLoggedHere():
			status = "not logged here"
		case v.Past != "":
			status = "past"
		case v.Code != "":
			status += " " + v.Code
		}
		if r.Rehearsed && v.Index < 0 && (v.Status == api.StatusReleased || v.Status == api.StatusEvidence) {
			status = "would be " + status
		}
		if v.Index >= 0 {
			index = fmt.Sprint(v.Index)
		}
		t.Row(printable.Line(below(dir, v.File)), printable.Line(v.Role), fmt.Sprint(v.Version), status, index)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return r.writeReasons(w, dir)
}

// folderOf returns the deepest folder that has all files, with a slash at its end; empty
// if it is the current one or there is none.
func folderOf(files []string) string {
	if len(files) == 0 {
		return ""
	}
	dir := filepath.Dir(files[0])
	for _, file := range files {
		for dir != "." && dir != "/" && !strings.HasPrefix(file, dir+string(filepath.Separator)) {
			dir = filepath.Dir(dir)
		}
	}
	if dir == "." || dir == "/" {
		return ""
	}
	return dir + string(filepath.Separator)
}

// below is the name of a file as it stands below a folder.
func below(dir, file string) string { return strings.TrimPrefix(file, dir) }

func (r *Report) writeReasons(w io.Writer, dir string) error {
	t := printable.NewTable(w)
	for _, list := range []struct {
		title string
		files []Verdict
	}{
		{"evidence", r.Evidence()}, {"held", r.Held()}, {"refused", r.Refused()},
		{"past: these can no longer be logged, and devices do not require them", r.past()},
	} {
		if len(list.files) > 0 {
			t.Line("\n%s:\n", list.title)
		}
		for _, v := range list.files {
			what, detail := v.Code, v.Detail
			switch {
			case v.Status == api.StatusEvidence && v.Index < 0:
				what = "not sent"
			case v.Status == api.StatusEvidence:
				what = fmt.Sprintf("index %d", v.Index)
			case v.Status == api.StatusHeld:
				what = "until " + v.HeldUntil
			case v.Past != "":
				detail = v.Past
			case v.Because != "":
				detail = fmt.Sprintf("because %s is refused: %s", below(dir, v.Because), v.Detail)
			}
			cells := []any{"  " + printable.Line(below(dir, v.File)), short(v.Repository), what}
			if detail != "" {
				cells = append(cells, printable.Line(detail))
			}
			t.Row(cells...)
			if v.Evidence == nil {
				continue
			}
			if err := t.Flush(); err != nil {
				return err
			}
			for _, line := range v.Evidence.lines(v) {
				t.Line("    %s\n", line)
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
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
