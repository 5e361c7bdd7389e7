package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

// delegation is one role of delegations.
func delegation(name string, threshold int, more object, keys ...int) object {
	o := modelRole{keys, threshold}.object()
	o["name"], o["terminating"] = name, false
	for k, v := range more {
		o[k] = v
	}
	return o
}

func delegating(t testing.TB, roles ...object) *tuf.Metadata {
	if roles == nil {
		roles = []object{}
	}
	return parse(t, "targets", object{"targets": object{}, "delegations": object{"keys": allModelKeys, "roles": roles}})
}

func targetFile(hashes object, more object) object {
	o := object{"hashes": hashes}
	for k, v := range more {
		o[k] = v
	}
	return object{"targets": object{"a.bin": o}}
}

// Each kind of change is told apart from the others.
func TestDiffKinds(t *testing.T) {
	a, b := strings.Repeat("aa", 32), strings.Repeat("bb", 32)
	paths := func(p ...string) object { return object{"paths": p} }
	prefixes := func(p ...string) object { return object{"path_hash_prefixes": p} }
	targets := func(o object) *tuf.Metadata { return parse(t, "targets", o) }
	bins := func(bits int) *tuf.Metadata {
		return targets(object{"targets": object{}, "delegations": object{"keys": allModelKeys, "succinct_roles": object{
			"keyids": []string{"key-1"}, "threshold": 1, "bit_length": bits, "name_prefix": "bin"}}})
	}
	digits := []string{"70", "71", "72", "73", "74", "75", "76", "77", "78", "79", "7a", "7b", "7c", "7d", "7e", "7f"}
	for _, test := range []struct {
		what          string
		before, after *tuf.Metadata
		want          string // kinds; those of the version are left out
	}{
		{"nothing", targets(object{"targets": object{}}), targets(object{"targets": object{}}), ""},
		{"an unknown field", targets(object{"targets": object{}, "x": 1}), targets(object{"targets": object{}, "x": 2}), "other"},
		{"content", targets(targetFile(object{"sha256": a}, nil)), targets(targetFile(object{"sha256": b}, nil)), "target-changed"},
		{"length", targets(targetFile(object{"sha256": a}, object{"length": 1})), targets(targetFile(object{"sha256": a}, object{"length": 2})), "target-changed"},
		{"length given", targets(targetFile(object{"sha256": a}, nil)), targets(targetFile(object{"sha256": a}, object{"length": 2})), "target-hashes"},
		{"algorithm added", targets(targetFile(object{"sha256": a}, nil)), targets(targetFile(object{"sha256": a, "sha512": a + a}, nil)), "target-hashes"},
		{"algorithm replaced", targets(targetFile(object{"sha256": a}, nil)), targets(targetFile(object{"sha512": a + a}, nil)), "target-changed"},
		{"custom", targets(targetFile(object{"sha256": a}, nil)), targets(targetFile(object{"sha256": a}, object{"custom": object{"x": nil}})), "target-custom"},
		{"widened", delegating(t, delegation("r", 1, paths("a/*"), 1)), delegating(t, delegation("r", 1, paths("*/*"), 1)), "delegation-widened"},
		{"narrowed", delegating(t, delegation("r", 1, paths("*"), 1)), delegating(t, delegation("r", 1, paths("a?", "b*c"), 1)), "delegation-narrowed"},
		{"as wide, said twice", delegating(t, delegation("r", 1, paths("*"), 1)), delegating(t, delegation("r", 1, paths("x", "*"), 1)), "other"},
		{"not for sure as wide", delegating(t, delegation("r", 1, paths("?"), 1)), delegating(t, delegation("r", 1, paths("*"), 1)), "delegation-widened"},
		{"a star is not one character", delegating(t, delegation("r", 1, paths("x?"), 1)), delegating(t, delegation("r", 1, paths("x*"), 1)), "delegation-widened"},
		{"hash prefixes", delegating(t, delegation("r", 1, prefixes("7"), 1)), delegating(t, delegation("r", 1, prefixes("7a", "8"), 1)), "delegation-widened delegation-narrowed"},
		{"hash prefixes of all digits", delegating(t, delegation("r", 1, prefixes("7"), 1)), delegating(t, delegation("r", 1, prefixes(digits...), 1)), "other"},
		{"paths to prefixes", delegating(t, delegation("r", 1, paths("*"), 1)), delegating(t, delegation("r", 1, prefixes("7"), 1)), "delegation-widened delegation-narrowed"},
		{"order", delegating(t, delegation("r", 1, paths("*"), 1), delegation("s", 1, paths("*"), 1)), delegating(t, delegation("s", 1, paths("*"), 1), delegation("r", 1, paths("*"), 1)), "delegation-order"},
		{"one in front", delegating(t, delegation("r", 1, paths("*"), 1)), delegating(t, delegation("s", 1, paths("*"), 1), delegation("r", 1, paths("*"), 1)), "delegation-added"},
		{"removed", delegating(t, delegation("r", 1, paths("*"), 1)), delegating(t), "delegation-removed"},
		{"no delegations", delegating(t, delegation("r", 1, paths("*"), 1)), targets(object{"targets": object{}}), "delegation-removed"},
		{"terminating", delegating(t, delegation("r", 1, paths("*"), 1)), delegating(t, delegation("r", 1, object{"paths": []string{"*"}, "terminating": true}, 1)), "delegation-terminating"},
		{"key and threshold", delegating(t, delegation("r", 1, paths("*"), 1)), delegating(t, delegation("r", 2, object{"paths": []string{"*"}, "keyids": []string{"key-1", "key-3"}})), "key-added threshold"},
		{"other key", delegating(t, delegation("r", 1, paths("*"), 1)), delegating(t, delegation("r", 1, paths("*"), 3)), "key-added key-removed"},
		{"key under another id", delegating(t, delegation("r", 1, paths("*"), 1)), delegating(t, delegation("r", 1, object{"paths": []string{"*"}, "keyids": []string{"same-key-1"}}, 1)), "key-renamed"},
		{"bins", bins(1), bins(8), "bins"},
		{"roles to bins", delegating(t, delegation("r", 1, paths("*"), 1)), bins(8), "bins delegation-removed"},
		{"expiry", targets(object{"targets": object{}}), targets(object{"targets": object{}, "expires": "2030-01-02T00:00:00Z"}), "expiry"},
		{"specification", targets(object{"targets": object{}}), targets(object{"targets": object{}, "spec_version": "1.0.0"}), "spec-version"},
		{"version", targets(object{"targets": object{}, "version": 2}), targets(object{"targets": object{}}), "version-back"},
	} {
		c, err := Diff("targets", test.before, test.after)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, change := range c.Changes {
			if change.Kind != VersionBack || test.what == "version" {
				kinds = append(kinds, string(change.Kind))
			}
			if !strings.HasSuffix(change.Text, ".") || strings.Contains(change.Text, "%!") {
				t.Errorf("%s: %q is not a sentence", test.what, change.Text)
			}
		}
		if got := strings.Join(kinds, " "); got != test.want {
			t.Errorf("%s: %q, want %q:\n%s", test.what, got, test.want, strings.Join(c.Sentences(), "\n"))
		}
	}
}

func TestDiffOfTwoRoles(t *testing.T) {
	targets := delegating(t)
	root := small(t, nil).Root
	for role, m := range map[string]*tuf.Metadata{"targets": root, "root": targets, "snapshot": nil} {
		if _, err := Diff(role, targets, m); !errors.Is(err, ErrMetadata) {
			t.Errorf("%s: %v", role, err)
		}
	}
}

// The names of the fields are the schema.
func TestSchema(t *testing.T) {
	for _, test := range []struct {
		value any
		want  string
	}{
		{Change{Kind: KeyAdded, Name: "n", Role: "r", Before: "b", After: "a", Text: "t"}, `{"kind":"key-added","name":"n","role":"r","before":"b","after":"a","text":"t"}`},
		{&Changes{Role: "r", From: 1, To: 2, Changes: []Change{}, Omitted: 3, Limits: []string{"l"}}, `{"role":"r","from":1,"to":2,"changes":[],"omitted":3,"limits":["l"]}`},
		{Discontinuity{NewSigner, "n", "t"}, `{"kind":"new-signer","name":"n","text":"t"}`},
		{Power{"r", "k", []string{"s"}}, `{"role":"r","key":"k","elsewhere":["s"]}`},
		{radius(t, small(t, nil), "x"), `{"path":"x","searched":["targets"],"ways":[{"roles":["root"],"needs":[{"roles":["root"],"count":1,"keys":["key-0"]}],"smallest":1},` +
			`{"roles":["targets"],"needs":[{"roles":["targets"],"count":1,"keys":["key-1"]},{"roles":["snapshot"],"count":1,"keys":["key-2"]},{"roles":["timestamp"],"count":1,"keys":["key-3"]}],"smallest":3}],` +
			`"sets":[["key-0"],["key-1","key-2","key-3"]],"smallest":1,"also":{"key-2":["same-key-2"]}}`},
		{Compare(radius(t, small(t, nil), "x"), radius(t, small(t, nil), "x")), `{"path":"x","change":"same","before":1,"after":1,"text":"As before, it takes 1 key to put a file at x."}`},
	} {
		b, err := json.Marshal(test.value)
		if err != nil || string(b) != test.want {
			t.Errorf("%s, %v; want %s", b, err, test.want)
		}
	}
}

func TestDiffRepositories(t *testing.T) {
	before := small(t, nil)
	before.Delegated = map[string]*tuf.Metadata{"gone": before.Targets, "same": before.Targets}
	after := before
	after.Targets = parse(t, "targets", object{"version": 2, "targets": object{}, "expires": "2030-03-01T00:00:00Z"})
	after.Delegated = map[string]*tuf.Metadata{"new": delegating(t), "same": before.Targets}
	all, err := DiffRepositories(before, after)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range all {
		lines = append(lines, c.Sentences()...)
	}
	exactly(t, lines,
		"targets 2 against 1: 1 change.",
		"  It expires at 2030-03-01T00:00:00Z, 59 days later than before (2030-01-01T00:00:00Z).",
		"gone:",
		"  There is no metadata of gone any more; version 1 was the last.",
		"new:",
		"  There is metadata of new for the first time: version 1 with 0 targets and 0 delegations.")
	if _, err := DiffRepositories(before, Repository{}); !errors.Is(err, ErrMetadata) {
		t.Error(err)
	}
}

// Files with as many patterns and targets as the reader takes are compared in bounded work,
// and the result says what was left out.
func TestDiffIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("reads files of megabytes")
	}
	many := func(prefix string) *tuf.Metadata {
		var patterns []string
		targets := object{}
		for i := range 100_000 {
			patterns = append(patterns, fmt.Sprintf("%s%d/*?*", prefix, i))
			targets[fmt.Sprintf("%s%d", prefix, i)] = object{"hashes": object{"sha256": strings.Repeat("ab", 32)}}
		}
		return parse(t, "targets", object{"targets": targets, "delegations": object{"keys": allModelKeys,
			"roles": []object{delegation("r", 1, object{"paths": patterns}, 1)}}})
	}
	c, err := Diff("targets", many("a"), many("b"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Changes) != MaxChanges || c.Omitted < 199_000 || len(c.Limits) != 1 {
		t.Errorf("%d changes, %d omitted, limits %q", len(c.Changes), c.Omitted, c.Limits)
	}
	i := slices.IndexFunc(c.Changes, func(change Change) bool { return change.Kind == DelegationWidened })
	if i < 0 || len(c.Changes[i].After) > maxValue+len("…") || len(c.Changes[i].Text) > 1000 {
		t.Errorf("widened: %d", i)
	}
}

// No number of new delegations or targets hides what matters more: it comes first, and each
// kind of change keeps a share of the list.
func TestNothingIsHiddenBehindNoise(t *testing.T) {
	file := func(version, noise int, expires string, listed object, key int) *tuf.Metadata {
		var roles []object
		for i := range noise {
			roles = append(roles, delegation(fmt.Sprint("aa", i), 1, object{"paths": []string{"x/*"}}, 0))
		}
		zz := delegation("zz", 1, object{"paths": []string{"*"}}, key)
		return parse(t, "targets", object{"version": version, "expires": expires, "targets": listed,
			"delegations": object{"keys": allModelKeys, "roles": append(roles, zz)}})
	}
	many := object{}
	for i := range 1200 {
		many[fmt.Sprint("f", i)] = object{"length": 1, "hashes": object{}}
	}
	evil := object{"zz/evil": object{"length": 1, "hashes": object{}}}
	before := file(5, 0, "2027-01-01T00:00:00Z", object{}, 0)
	for _, tt := range []struct {
		name    string
		after   *tuf.Metadata
		want    []Kind // the first ones
		omitted string
		has     Kind
	}{
		{"targets", file(5, 0, "2029-01-01T00:00:00Z", many, 1), []Kind{KeyAdded, KeyRemoved, ExpiryChanged, VersionBack, TargetAdded},
			"  And 204 more changes that are not listed: 204 of kind target-added.", TargetAdded},
		{"delegations", file(6, 1100, "2029-01-01T00:00:00Z", evil, 1), []Kind{KeyAdded, KeyRemoved, ExpiryChanged, DelegationAdded},
			"  And 104 more changes that are not listed: 104 of kind delegation-added.", TargetAdded},
		{"both", file(6, 1100, "2029-01-01T00:00:00Z", many, 0), []Kind{ExpiryChanged, DelegationAdded},
			"  And 1301 more changes that are not listed: 133 of kind delegation-added, 1168 of kind target-added.", TargetAdded},
	} {
		c, err := Diff("targets", before, tt.after)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []Kind
		for _, change := range c.Changes {
			kinds = append(kinds, change.Kind)
		}
		if len(kinds) != MaxChanges || !slices.Equal(kinds[:len(tt.want)], tt.want) || !slices.Contains(kinds, tt.has) {
			t.Errorf("%s: %d changes, first %q", tt.name, len(kinds), kinds[:5])
		}
		says(t, c.Sentences(), tt.omitted)
	}
	first, err := First("targets", file(1, 1100, "2029-01-01T00:00:00Z", many, 0))
	if err != nil || len(first.Changes) != MaxChanges || first.Omitted != 1301 || first.OmittedKinds[TargetAdded] != 1168 {
		t.Errorf("%d changes, %d omitted %v, %v", len(first.Changes), first.Omitted, first.OmittedKinds, err)
	}
}

// Every kind is listed somewhere, once.
func TestEveryKindIsListed(t *testing.T) {
	source, err := os.ReadFile("changes.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []Kind
	for _, m := range regexp.MustCompile(`\w+ +Kind = "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1) {
		want = append(want, Kind(m[1]))
	}
	got := slices.Concat(listOrder...)
	slices.Sort(want)
	slices.Sort(got)
	if len(want) < 20 || !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
}
