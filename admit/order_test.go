package admit_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
)

func TestOrder(t *testing.T) {
	first, second := topLevel{"r1", "t1", "s1", "x1"}, topLevel{"r1", "t2", "s1", "x1"}
	root1, root2 := forge(t, forgedRoot(1, first), "r1"), forge(t, forgedRoot(2, second), "r1")
	targets1 := forge(t, forgedTargets(1, "a", delegation{name: "z", who: "z1"}), "t1")
	targets2 := forge(t, forgedTargets(2, "b", delegation{name: "z", who: "z2"}), "t2")
	z1 := forge(t, forgedTargets(1, "z", delegation{name: "a", who: "a1"}), "z1")
	z1again := forge(t, forgedTargets(1, "z", delegation{name: "a", who: "a1"}), "z1", "z2")
	a1 := forge(t, forgedTargets(1, "below z"), "a1")
	list := func(version int64, targets []byte, signer string) []byte {
		return forge(t, forgedSnapshot(version, map[string]map[string]any{"targets": hashed(targets, version), "z": plain(1), "a": hashed(a1, 1)}), signer)
	}
	snapshot1, snapshot2, draft := list(1, targets1, "s1"), list(2, targets2, "s1"), list(2, targets2, "nobody")
	type in struct {
		name  string // role and more
		since int
		data  []byte
	}
	for what, tt := range map[string]struct {
		files []in
		want  string
	}{
		// The delegator of a is z, which comes after it by name.
		"one release": {[]in{{"a", 0, a1}, {"z", 0, z1}, {"snapshot", 0, snapshot1}, {"targets", 0, targets1}, {"root", 0, root1}},
			"root targets z a snapshot"},
		// A directory that holds two states, of which each is good under its own root.
		"two states": {[]in{{"targets 2", 0, targets2}, {"targets 1", 0, targets1}, {"z", 0, z1}, {"snapshot 2", 0, snapshot2}, {"snapshot 1", 0, snapshot1}, {"root 2", 0, root2}, {"root 1", 0, root1}},
			"root 1, targets 1, z, snapshot 1 | root 2, targets 2, snapshot 2"},
		// Each waits for the step in which what it needs appears: the next root for the one
		// before, targets for the snapshot that is signed, a signature for its key.
		"steps": {[]in{{"root 2", 0, root2}, {"z", 1, z1}, {"targets 1", 2, targets1}, {"snapshot 1", 3, snapshot1}, {"root 1", 4, root1},
			{"z again", 5, z1again}, {"targets 2", 6, targets2}, {"snapshot draft", 7, draft}, {"snapshot 2", 8, snapshot2}},
			"root 1, targets 1, z, snapshot 1 | root 2 | snapshot draft | targets 2, z again, snapshot 2"},
		// What never appears is not waited for.
		"alone": {[]in{{"a", 3, a1}, {"z", 1, z1}, {"targets 2", 2, targets2}}, "z | targets 2 | a"},
	} {
		for range 4 {
			files := make([]admit.Submitted, len(tt.files))
			for i, f := range tt.files {
				role, _, _ := strings.Cut(f.name, " ")
				files[i] = admit.Submitted{Role: role, File: parse(t, f.data), Since: f.since}
			}
			var got []string
			for _, stage := range admit.Order(files) {
				var names []string
				for _, i := range stage {
					names = append(names, tt.files[i].name)
				}
				got = append(got, strings.Join(names, ", "))
			}
			want := tt.want
			if !strings.ContainsAny(want, ",|") {
				want = strings.ReplaceAll(want, " ", ", ")
			}
			if s := strings.Join(got, " | "); s != want {
				t.Errorf("%s:\n%s\nwant\n%s", what, s, want)
			}
			rand.Shuffle(len(tt.files), func(a, b int) { tt.files[a], tt.files[b] = tt.files[b], tt.files[a] })
		}
	}
}

// Every file is in one stage, whatever delegates to what.
func TestOrderOfCircles(t *testing.T) {
	var files []admit.Submitted
	for i := range 6 {
		next, last := fmt.Sprint("role", (i+1)%6), fmt.Sprint("role", (i+5)%6)
		data := forge(t, forgedTargets(1, fmt.Sprint(i), delegation{name: next, who: "k"}, delegation{name: last, who: "k"}), "k")
		files = append(files, admit.Submitted{Role: fmt.Sprint("role", i), File: parse(t, data), Since: 5 - i})
	}
	indexes := slices.Sorted(slices.Values(slices.Concat(admit.Order(files)...)))
	if !slices.Equal(indexes, []int{0, 1, 2, 3, 4, 5}) {
		t.Errorf("the stages hold %v", indexes)
	}
	if stages := admit.Order(nil); len(stages) != 0 {
		t.Errorf("of nothing: %v", stages)
	}
}
