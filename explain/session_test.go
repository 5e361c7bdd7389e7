package explain

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

// branching is a repository in which a search for each of some files asks other roles: of the
// roles r0 to r5 those whose bit the file's number has.
func branching(t testing.TB) Repository {
	repo := small(t, nil)
	var roles []object
	for i := range 6 {
		var paths []string
		for f := range 64 {
			if f>>i&1 != 0 {
				paths = append(paths, fmt.Sprintf("%03d", f))
			}
		}
		r := modelRole{[]int{i, i + 1, i + 2}, 1 + i%3}.object()
		r["name"], r["paths"], r["terminating"] = fmt.Sprint("r", i), paths, false
		roles = append(roles, r)
	}
	last := modelRole{[]int{0, 4}, 2}.object()
	last["name"], last["paths"], last["terminating"] = "last", []string{"*"}, false
	repo.Targets = parse(t, "targets", object{"targets": object{}, "delegations": object{"keys": allModelKeys, "roles": append(roles, last)}})
	listed := object{}
	for f := range 64 {
		listed[fmt.Sprintf("%03d", f)] = object{"hashes": object{}}
		listed[fmt.Sprintf("%03dx", f)] = object{"hashes": object{}} // as 000
	}
	repo.Delegated = map[string]*tuf.Metadata{"last": parse(t, "targets", object{"targets": listed})}
	for i := range 6 {
		repo.Delegated[fmt.Sprint("r", i)] = parse(t, "targets", object{"targets": object{}})
	}
	return repo
}

// Paths of one call are answered as each would be alone, whatever they share.
func TestPathsShareAnswers(t *testing.T) {
	repo := branching(t)
	all, err := RadiusOf(repo, "")
	if err != nil || len(all.Paths) != 128 || len(all.Limits) > 0 {
		t.Fatalf("%d paths, limits %q, %v", len(all.Paths), all.Limits, err)
	}
	alike := map[*Replace]int{}
	for _, r := range all.Paths {
		alone := radius(t, repo, r.Path)
		alike[r.same]++
		alone.same = r.same
		if !reflect.DeepEqual(r, alone) {
			t.Fatalf("%s is answered\n%+v, and alone\n%+v", r.Path, r, alone)
		}
	}
	if len(alike) != 64 {
		t.Errorf("%d answers", len(alike))
	}
}

// However many paths there are, and whatever keys and thresholds their roles have, a call takes
// a bounded number of steps. What is left out then is said, and is the same every time.
func TestCallIsBounded(t *testing.T) {
	repo := branching(t)
	after, err := newSession(repo)
	if err != nil {
		t.Fatal(err)
	}
	full := after.radiusOf("")
	used := maxCall - after.work.left
	if used < 64*7*stepsPerKey {
		t.Fatalf("64 searches took %d steps", used)
	}
	var first *Impact
	for range 2 {
		is, err := newSession(repo)
		if err != nil {
			t.Fatal(err)
		}
		was, err := newSession(repo)
		if err != nil {
			t.Fatal(err)
		}
		is.work.left, was.work.left = used/2, used/4
		impact, err := impactOf(was, is, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*session{is, was} {
			if s.work.left > 0 || -s.work.left > used/8 {
				t.Errorf("%d steps are left of %d", s.work.left, used)
			}
		}
		answered := 0
		for _, g := range impact.Groups {
			answered += len(g.Paths)
			for _, path := range g.Paths {
				if !slices.ContainsFunc(full.Paths, func(r *Replace) bool { return r.Path == path && reflect.DeepEqual(r.Ways, g.After.Ways) }) {
					t.Errorf("%s has another answer than without a bound", path)
				}
			}
		}
		// What shares an answer is answered still: half of the paths need none of their own.
		if answered < 64 || answered > 64+32 {
			t.Errorf("%d paths are answered", answered)
		}
		text := strings.Join(impact.Sentences(), "\n")
		if !strings.Contains(text, "more paths is not enumerated: so many keys and thresholds take too much work.") {
			t.Errorf("it is not said: %q", impact.Limits)
		}
		if first == nil {
			first = impact
		} else if !slices.Equal(first.Sentences(), impact.Sentences()) {
			t.Error("the same question has two answers")
		}
	}

	// The first question is always answered, with what the steps allow.
	s, err := newSession(repo)
	if err != nil {
		t.Fatal(err)
	}
	s.work.left = 1
	r := s.radius("063")
	if r == nil || len(r.Ways) == 0 || r.Smallest != 0 || !slices.Contains(r.Limits, "the smallest number of keys is not known: too many thresholds to try") {
		t.Errorf("%+v", r)
	}
	if r := s.radius("062"); r != nil {
		t.Errorf("%+v", r)
	}
}
