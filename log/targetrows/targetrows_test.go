package targetrows

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/tuf"
)

// list makes targets from words like a1: path a, length 1.
func list(words string) (targets []log.Target) {
	for _, w := range strings.Fields(words) {
		targets = append(targets, log.Target{Path: w[:1], Length: int64(w[1] - '0')})
	}
	return targets
}

func print(targets []log.Target) string {
	var words []string
	for _, t := range targets {
		words = append(words, fmt.Sprint(t.Path, t.Length))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func TestCompare(t *testing.T) {
	var roles Roles[int]
	name := Name{tuf.Sum(nil), "targets"}
	if roles.Get(name) != nil {
		t.Fatal("remembers a role that nobody added")
	}
	r := new(Role[int])
	roles.Add(name, r)
	number := 0
	for _, tt := range []struct{ lists, fresh, past string }{
		{"", "", ""},
		{"a1 b1", "a1 b1", ""},
		{"a1 b1", "", ""},
		{"a2 b1", "a2", "a1"},
		{"a2 c1", "c1", "b1"},
		{"b1", "b1", "a2 c1"},
		{"a1 b2 c1", "a1 b2 c1", "b1"},
		{"", "", "a1 b2 c1"},
	} {
		fresh, rows := r.Compare(list(tt.lists), nil)
		var past []log.Target
		for _, row := range rows {
			if r.Open[row.Path].Key != row.Key {
				t.Errorf("%q: ends row %v", tt.lists, row)
			}
			past = append(past, row.Target)
			roles.End(r, row)
		}
		for _, target := range fresh {
			number++
			roles.Begin(r, target, number)
		}
		if print(fresh) != tt.fresh || print(past) != tt.past {
			t.Errorf("%q: begins %q, ends %q; want %q, %q", tt.lists, print(fresh), print(past), tt.fresh, tt.past)
		}
		if n := len(strings.Fields(tt.lists)); len(r.Open) != n || roles.files != n {
			t.Errorf("%q: %d open, %d counted", tt.lists, len(r.Open), roles.files)
		}
	}
}

func TestTrim(t *testing.T) {
	var roles Roles[int]
	r := new(Role[int])
	roles.Add(Name{}, r)
	for i := range maxFiles {
		roles.Begin(r, log.Target{Path: fmt.Sprint(i)}, i)
	}
	if roles.Trim(); roles.Get(Name{}) != r {
		t.Fatal("forgot a role that fits")
	}
	roles.Begin(r, log.Target{Path: "one more"}, 0)
	if roles.Trim(); roles.Get(Name{}) != nil || roles.files != 0 {
		t.Fatal("remembers more than it should")
	}
}
