package explain

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tuflog/tuflog/tuf"
)

// Verdict compares who can replace a file after a release with who could before.
type Verdict struct {
	Path string `json:"path"`
	// Change is Same, Easier, Harder or Other.
	Change Shift `json:"change"`
	Before int   `json:"before"` // the smallest number of keys; 0: nobody
	After  int   `json:"after"`
	// New are the ways that there were not before, Gone those that there are no longer.
	New  []Way `json:"new,omitempty"`
	Gone []Way `json:"gone,omitempty"`
	// Text is the verdict in one sentence.
	Text string `json:"text"`
}

// Shift says how the number of keys for a file changed.
type Shift string

// The ways in which it can change.
const (
	Same   Shift = "same"   // the same keys
	Easier Shift = "easier" // fewer keys suffice
	Harder Shift = "harder" // more keys are needed
	Other  Shift = "other"  // as many keys, but others
)

// Compare returns the verdict on a release: before and after are answers of Radius for one
// path.
func Compare(before, after *Replace) Verdict {
	v := Verdict{Path: after.Path, Before: before.Smallest, After: after.Smallest}
	v.New, v.Gone = lacking(after.Ways, before.Ways), lacking(before.Ways, after.Ways)
	switch {
	case len(v.New)+len(v.Gone) == 0:
		v.Change = Same
	case len(before.Ways) == 0, len(after.Ways) > 0 && after.Smallest < before.Smallest:
		v.Change = Easier
	case len(after.Ways) == 0, after.Smallest > before.Smallest:
		v.Change = Harder
	default:
		v.Change = Other
	}
	v.Text = v.text(before, after, tuf.Word(after.Path))
	return v
}

// text returns the verdict on a path, or on several of which after is about one.
func (v *Verdict) text(before, after *Replace, what string) string {
	keyName := keyNames(slices.Concat(before.keys(), after.keys()))
	now, then := fewest(after, keyName), fewest(before, keyName)
	can := fmt.Sprintf("%s can %s %s", capital(now), after.verb(), what)
	switch {
	case len(after.Ways) == 0:
		can = fmt.Sprintf("Nobody can %s %s", after.verb(), what)
	case v.Change == Same && after.Smallest > 0:
		return fmt.Sprintf("As before, it takes %s to %s %s.", count(after.Smallest, "key"), after.verb(), what)
	case v.Change == Other && after.Smallest > 0:
		how := "but not the same ones"
		switch {
		case len(v.Gone) == 0:
			how = "and other keys suffice now, too"
		case len(v.New) == 0:
			how = "but some that sufficed no longer do"
		}
		return fmt.Sprintf("It takes %s as before to %s %s, %s.", count(after.Smallest, "key"), after.verb(), what, how)
	}
	switch {
	case v.Change == Same:
		return "As before: " + can + "."
	case len(before.Ways) == 0:
		return can + "; before this release nobody could."
	}
	return fmt.Sprintf("%s; before this release it took %s.", can, then)
}

// fewest returns the ways with the smallest number of keys, in words.
func fewest(r *Replace, keyName func(string) string) string {
	var texts []string
	for _, w := range r.Ways {
		if r.Smallest == 0 || w.Smallest <= r.Smallest {
			texts = append(texts, w.brief(keyName))
		}
	}
	if len(texts) > 3 {
		texts = append(texts[:3], fmt.Sprintf("one of %d other ways", len(texts)-3))
	}
	return strings.Join(texts, ", or ")
}

// lacking returns the ways that other lacks.
func lacking(ways, other []Way) []Way {
	var gone []Way
	for _, w := range ways {
		if !slices.ContainsFunc(other, w.same) {
			gone = append(gone, w)
		}
	}
	return gone
}

func capital(s string) string {
	_, size := utf8.DecodeRuneInString(s)
	return strings.ToUpper(s[:size]) + s[size:]
}
