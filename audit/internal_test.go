package audit

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

func TestGaps(t *testing.T) {
	tests := []struct {
		versions []int64
		want     string
	}{
		{nil, ""},
		{[]int64{7}, ""},
		{[]int64{1, 2, 3}, ""},
		{[]int64{1, 3}, "version 2 (the highest is 3)"},
		{[]int64{5, 9, 11}, "versions 6-8, 10 (the highest is 11)"},
		{[]int64{1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 1 << 52}, "versions 2, 4, 6, 8, 10, 12, 14, 16 and others, 4503599627370485 in all (the highest is 4503599627370496)"},
	}
	for _, tt := range tests {
		versions := map[int64]tuf.Digest{}
		for _, v := range tt.versions {
			versions[v] = tuf.Digest{}
		}
		if got := gaps(versions, slices.Max(append(tt.versions, 0))); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.versions, got, tt.want)
		}
	}
}

// TestKeyIDsOfRealRoots: of all keys of Sigstore's roots one has an id that is
// not its hash, since root 11.
func TestKeyIDsOfRealRoots(t *testing.T) {
	var odd []string
	for _, repo := range []string{"sigstore_root_signing", "docker_tuf", "jku_tuf_demo"} {
		paths, err := filepath.Glob(filepath.Join(realdata.Histories(t), repo, "root", "*.root.json"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no roots: %v", err)
		}
		r := &repository{keys: map[tuf.Digest]bool{}}
		listed := 0
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			m, err := tuf.ParseJSON(b)
			if err != nil {
				t.Fatal(err)
			}
			found := r.keyFindings(&loaded{item: item{leaf: leaf.Leaf{Role: tuf.RoleRoot, Version: m.Version, Encoding: tuf.JSON}}, metadata: m})
			for _, f := range found {
				odd = append(odd, repo+": "+f.Sentence)
			}
			keys, ok := member(m.Payload, "keys")
			n := 0
			for range members(keys) {
				n++
			}
			if !ok || n != len(m.Root.Keys) {
				t.Errorf("%s: %d keys found, the parser has %d", path, n, len(m.Root.Keys))
			}
			listed += n
		}
		t.Logf("%s: %d keys listed, %d different", repo, listed, len(r.keys))
	}
	for _, s := range odd {
		t.Log(s)
	}
	if len(odd) == 0 || !strings.HasPrefix(odd[0], "sigstore_root_signing: root 11 ") {
		t.Errorf("odd ids: %q", odd)
	}
}

func FuzzMembers(f *testing.F) {
	f.Add(`{"a":1,"b":{"c":["x,y","}"]},"d":"\"q\\"}`)
	f.Add(`{"keys":{"id":{"keytype":"ed25519","keyval":{"public":"00"},"scheme":"ed25519"}}}`)
	f.Add(`{"a"`)
	f.Add(`{"a":1,}`)
	f.Fuzz(func(t *testing.T, s string) {
		total := 0
		for name, value := range members([]byte(s)) {
			if len(value) == 0 || !strings.Contains(s, `"`+string(name)+`":`+string(value)) {
				t.Fatalf("%q has no member %q of value %q", s, name, value)
			}
			total += len(name) + len(value)
			isKeyID(string(name), string(value))
		}
		if total > len(s) {
			t.Fatalf("%d bytes of members in %d", total, len(s))
		}
	})
}

// What is remembered of a repository is read as it was kept, or not at all.
func FuzzFacts(f *testing.F) {
	sum := tuf.Sum(nil).String()
	for name, value := range map[string]string{
		"key/" + sum: "true", "shared/" + sum: "true", "together/7/targets": "true", "handed/a%2Fb": `{"x":2}`,
		"sharing/targets": `[{"keys":["` + sum + `"],"threshold":1,"roles":["a"],"count":3}]`, "says/targets": `"` + sum + `"`,
		"life/timestamp": `{"version":3,"expires":5,"distances":[1]}`, "snapshot": `{"sum":"` + sum + `","version":4}`, "asked": "7", oddName: "true",
	} {
		f.Add(name, []byte(value))
	}
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		r := newRepository(nil, 0)
		if err := (&facts{names: []string{name}, values: [][]byte{value}}).restore(r); err != nil {
			if !errors.Is(err, state.ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		for _, groups := range r.sharing {
			for _, g := range groups {
				b, err := json.Marshal(g)
				var again *keyGroup
				if err != nil || json.Unmarshal(b, &again) != nil {
					t.Fatalf("%s is printed as %s, %v", value, b, err)
				}
			}
		}
	})
}
