package explain

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

// small is a repository with some roles and no targets.
func small(t testing.TB, roles object) Repository {
	all := object{}
	for i, role := range []string{"root", "targets", "snapshot", "timestamp"} {
		all[role] = modelRole{[]int{i}, 1}.object()
	}
	for role, value := range roles {
		all[role] = value
	}
	return Repository{
		Root:    parse(t, "root", object{"consistent_snapshot": true, "keys": allModelKeys, "roles": all}),
		Targets: parse(t, "targets", object{"targets": object{}}),
	}
}

func TestRadiusRefusesOtherMetadata(t *testing.T) {
	repo := small(t, nil)
	if _, err := Radius(Repository{}, "x"); !errors.Is(err, ErrMetadata) {
		t.Errorf("no root: %v", err)
	}
	repo.Delegated = map[string]*tuf.Metadata{"a": repo.Root}
	if _, err := Radius(repo, "x"); !errors.Is(err, ErrMetadata) || !strings.Contains(err.Error(), "root is given as a") {
		t.Errorf("root as delegated role: %v", err)
	}
	repo.Delegated = map[string]*tuf.Metadata{"targets": repo.Targets}
	if _, err := Radius(repo, "x"); !errors.Is(err, ErrMetadata) {
		t.Errorf("targets as delegated role: %v", err)
	}
	if _, err := RadiusOf(repo, "*"); !errors.Is(err, ErrMetadata) {
		t.Errorf("pattern: %v", err)
	}
	if _, _, err := Unused(repo, nil); !errors.Is(err, ErrMetadata) {
		t.Errorf("unused: %v", err)
	}
}

// Where no role can be signed, nobody can do anything, and that is said.
func TestRadiusOfNobody(t *testing.T) {
	repo := small(t, object{"root": modelRole{[]int{0}, 2}.object(), "snapshot": modelRole{[]int{1}, 2}.object()})
	r := radius(t, repo, "x")
	if len(r.Ways)+len(r.Sets)+r.Smallest != 0 {
		t.Errorf("%+v", r)
	}
	says(t, r.Sentences(), "Nobody can put a file at x: no role has as many readable keys as its threshold.")
	before := radius(t, small(t, nil), "x")
	if v := Compare(before, r); v.Change != Harder || v.Text != "Nobody can put a file at x; before this release it took the root key key-0." {
		t.Errorf("%+v", v)
	}
	if v := Compare(r, before); v.Change != Easier || !strings.HasSuffix(v.Text, "; before this release nobody could.") {
		t.Errorf("%+v", v)
	}
}

// Different keys under one id, or under ids that begin alike, are not shown alike.
func TestKeysLookDifferent(t *testing.T) {
	a := object{"aaaaaaaa1": allModelKeys["key-0"], "aaaaaaaa2": allModelKeys["key-1"]}
	role := func(ids ...string) object { return object{"keyids": ids, "threshold": 1} }
	repo := Repository{Root: parse(t, "root", object{"consistent_snapshot": true, "keys": a, "roles": object{
		"root": role("aaaaaaaa1"), "targets": role("aaaaaaaa2"), "snapshot": role("aaaaaaaa2"), "timestamp": role("aaaaaaaa2")}})}
	other := object{"name": "a", "keyids": []string{"aaaaaaaa1"}, "threshold": 1, "paths": []string{"*"}, "terminating": false}
	repo.Targets = parse(t, "targets", object{"targets": object{}, "delegations": object{
		"keys": object{"aaaaaaaa1": allModelKeys["key-2"]}, "roles": []object{other}}})
	r := radius(t, repo, "x")
	text := strings.Join(r.Sentences(), "\n")
	if len(r.Ways) != 2 || !strings.Contains(text, "key aaaaaaaa1#") || !strings.Contains(text, "key aaaaaaaa2 (targets and snapshot and timestamp)") {
		t.Errorf("ways %v:\n%s", r.Ways, text)
	}
}

// Names in a sentence cannot pass for its words, or for commands of a terminal.
func TestNamesAreQuoted(t *testing.T) {
	for s, want := range map[string]string{
		"a/b.bin": "a/b.bin", "": `""`, "a b": `"a b"`, "x; nobody": `"x; nobody"`, "\x1b[2J": `"\x1b[2J"`, "ö": `"ö"`,
	} {
		if got := tuf.Word(s); got != want {
			t.Errorf("%q is shown as %s, want %s", s, got, want)
		}
	}
}

// Thresholds of 1,024 keys and thousands of roles end in bounded work, which the result says.
func TestRadiusIsBounded(t *testing.T) {
	var roles []object
	for i := range tuf.MaxDelegations {
		roles = append(roles, object{"name": fmt.Sprint("r", i), "keyids": []string{modelKeyID(i % modelKeys)}, "threshold": 1, "paths": []string{"*"}, "terminating": false})
	}
	repo := small(t, nil)
	repo.Targets = parse(t, "targets", object{"targets": object{}, "delegations": object{"keys": allModelKeys, "roles": roles}})
	r := radius(t, repo, "x")
	if len(r.Searched) != MaxSearched || !slices.Contains(r.Limits, "the search ends after 1024 roles") || r.Smallest != 1 {
		t.Errorf("searched %d roles, smallest %d, limits %q", len(r.Searched), r.Smallest, r.Limits)
	}
	if text := strings.Join(r.Sentences(), "\n"); !strings.Contains(text, "Limited: the search ends after 1024 roles.") || len(text) > 4000 {
		t.Errorf("%d characters: %s", len(text), text)
	}

	if testing.Short() {
		return // the rest works as long as the limits allow
	}
	// So many roles for so many paths would take too long: only some paths are answered.
	listed := object{}
	for i := range 200 {
		listed[fmt.Sprint("x", i)] = object{"hashes": object{}}
	}
	repo.Delegated = map[string]*tuf.Metadata{"r9": parse(t, "targets", object{"targets": listed})}
	if most := repo.mostPaths(); most != MaxPaths*20_000/(1+2*tuf.MaxDelegations) {
		t.Errorf("answers for %d paths", most)
	}
	all, err := RadiusOf(repo, "x1?")
	if err != nil || len(all.Paths) != 10 || all.Paths[0].ListedBy != "r9" || len(all.Limits) != 1 {
		t.Errorf("%d paths, limits %q, %v", len(all.Paths), all.Limits, err)
	}

	// The sizes alone are bounded too: all combinations of three large, overlapping clauses.
	half := func(from int) keys {
		k := newKeys(MaxKeys)
		for i := range MaxKeys / 2 {
			k.set((from + i) % MaxKeys)
		}
		return k
	}
	w := []way{{"a", []clause{{nil, 1024, half(0)}, {nil, 1000, half(1000)}, {nil, 900, half(3000)}}}}
	if e := minimal(w, MaxKeys, MaxSets, &work{left: maxWork}); !e.more {
		t.Errorf("%d sets, and no more", len(e.found))
	}
}
