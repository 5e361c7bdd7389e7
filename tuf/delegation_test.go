package tuf

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern string
		covers  []string
		not     []string
	}{
		{"a.bin", []string{"a.bin"}, []string{"", "a.bin/", "/a.bin", "A.bin", "a.bin.sig", "axbin"}},
		{"*", []string{"a", "", "a.b*"}, []string{"a/b", "/"}},
		{"a/*", []string{"a/b", "a/"}, []string{"a", "a/b/c", "b/a/b"}},
		{"*/*", []string{"a/b", "/"}, []string{"a", "a/b/c"}},
		{"a/*/c.bin", []string{"a/b/c.bin"}, []string{"a/c.bin", "a/b/b/c.bin"}},
		{"targets/*.tgz", []string{"targets/foo.tgz", "targets/.tgz"}, []string{"targets/foo.txt", "targets/a/foo.tgz"}},
		{"v?.bin", []string{"v1.bin", "vö.bin"}, []string{"v.bin", "v12.bin", "v/.bin"}},
		{"?", []string{"ö", "🍺"}, []string{"", "oe"}},
		{"*a*b", []string{"ab", "aab", "xaybzb"}, []string{"aba", "a", "b"}},
		{"*ö?", []string{"öö", "xöy"}, []string{"ö", "öyx"}},
		{"", []string{""}, []string{"a", "/"}},
		{"a[bc]", []string{"a[bc]"}, []string{"ab", "ac"}},
		{`a\*`, []string{`a\`, `a\b`}, []string{"a*"}},
		{"**", []string{"", "abc"}, []string{"a/b"}},
	} {
		role := DelegatedRole{Paths: []string{"no/such/path", test.pattern}}
		for _, path := range test.covers {
			if !role.Covers(path) {
				t.Errorf("%q does not cover %q", test.pattern, path)
			}
		}
		for _, path := range test.not {
			if role.Covers(path) {
				t.Errorf("%q covers %q", test.pattern, path)
			}
		}
	}
	if (DelegatedRole{}).Covers("") || (DelegatedRole{Paths: []string{}}).Covers("a") {
		t.Error("a role without paths covers one")
	}
}

// TestSlowPattern would not end if the matcher tried every split, or every place.
func TestSlowPattern(t *testing.T) {
	if matchPath(strings.Repeat("*a", 1000)+"b", strings.Repeat("a", 10_000)) {
		t.Error("matches")
	}
	const n = 1 << 17
	name := strings.Repeat("a", n)
	for _, piece := range []string{strings.Repeat("a", n/2) + "b", "?" + strings.Repeat("a", n/64) + "b", strings.Repeat("a", n/64) + "?b"} {
		if matchPath("*"+piece+"*", name) || !matchPath("*"+piece+"*", name+piece+name) {
			t.Errorf("%.8s…", piece)
		}
	}
}

// TestMatchSegment tries every split.
func TestMatchSegment(t *testing.T) {
	var matches func(pattern, name []rune) bool
	matches = func(pattern, name []rune) bool {
		switch {
		case len(pattern) == 0:
			return len(name) == 0
		case pattern[0] == '*':
			return matches(pattern[1:], name) || len(name) > 0 && matches(pattern, name[1:])
		}
		return len(name) > 0 && (pattern[0] == '?' || pattern[0] == name[0]) && matches(pattern[1:], name[1:])
	}
	random := rand.New(rand.NewPCG(5, 6))
	text := func(alphabet string, most int) string {
		letters, b := []rune(alphabet), []rune{}
		for range random.IntN(most + 1) {
			b = append(b, letters[random.IntN(len(letters))])
		}
		return string(b)
	}
	yes := 0
	rounds := 200_000
	if testing.Short() {
		rounds = 20_000
	}
	for range rounds {
		pattern, name := text("aö🍺?**", 8), text("aaö🍺?", 10)
		want := matches([]rune(pattern), []rune(name))
		if got := matchSegment(pattern, name); got != want {
			t.Fatalf("%q and %q: %v, want %v", pattern, name, got, want)
		}
		if want {
			yes++
		}
	}
	if !matchSegment("*?*?*", "\xffa") || matchSegment("*?a?*", "a\xff") {
		t.Error("what is no UTF-8 is as many characters as bytes")
	}
	// A piece that takes more than a word.
	for length := 60; length < 140; length++ {
		piece := strings.Repeat("ab", length/2) + "?" + strings.Repeat("c", length%2)
		for _, pattern := range []string{"*" + piece + "*", "*" + piece, piece + "*"} {
			if name := strings.ReplaceAll(piece, "?", "ö"); !matchSegment(pattern, name) || matchSegment(pattern, name[1:]) || matchSegment(pattern, name[:len(name)-2]) {
				t.Errorf("%q", pattern)
			}
		}
	}
	if yes < rounds/20 {
		t.Errorf("%d of %d match: too few", yes, rounds)
	}
}

// FuzzCovers compares patterns with go-tuf, which knows two things more: classes
// in brackets and backslashes before special characters. The TUF specification
// names only * and ?, and readers disagree about the rest.
func FuzzCovers(f *testing.F) {
	for _, seed := range [][2]string{{"*", "a"}, {"a/*/?.bin", "a/b/c.bin"}, {"*a*b?", "xaybz"}, {"*ö?", "öö"}, {"**x", "x"}, {"", "/"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if strings.ContainsAny(pattern, `[\`) || strings.ToValidUTF8(pattern+path, "") != pattern+path {
			return
		}
		role := metadata.DelegatedRole{Paths: []string{pattern}}
		want, err := role.IsDelegatedPath(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := (DelegatedRole{Paths: []string{pattern}}).Covers(path); got != want {
			t.Errorf("%q covers %q: %v, go-tuf %v", pattern, path, got, want)
		}
	})
}

func TestHashPrefixes(t *testing.T) {
	hash := Sum([]byte("a.bin")).String()
	for _, n := range []int{1, 2, 7, 64} {
		if !(DelegatedRole{PathHashPrefixes: []string{"ffff", hash[:n]}}).Covers("a.bin") {
			t.Errorf("%s does not cover a.bin", hash[:n])
		}
		if (DelegatedRole{PathHashPrefixes: []string{hash[:n-1] + "x"}}).Covers("a.bin") {
			t.Errorf("%sx covers a.bin", hash[:n-1])
		}
	}
}

func TestSuccinct(t *testing.T) {
	for bits := 1; bits <= MaxBitLength; bits++ {
		d := &Delegations{
			Keys:     map[string]*Key{"k": {}},
			Succinct: &Succinct{Role: Role{KeyIDs: []string{"k"}, Threshold: 1}, BitLength: bits, NamePrefix: "bin"},
		}
		oracle := metadata.SuccinctRoles{BitLength: bits, NamePrefix: "bin"}
		names := d.Names()
		if want := oracle.GetRoles(); !slices.Equal(names, want) {
			t.Fatalf("%d bits: names %q… want %q…", bits, names[:2], want[:2])
		}
		for i := range 50 {
			path := fmt.Sprint("file", i)
			want := oracle.GetRolesForTarget(path)[0]
			role, keys, ok := d.Find(want.Name)
			if got := d.For(path); !ok || len(got) != 1 || got[0].Name != want.Name || got[0].Terminating != want.Terminating || !role.Covers(path) {
				t.Errorf("%d bits, %s: got %v, %v; want %v", bits, path, got, role, want)
			}
			if keys.Threshold() != 1 || role.KeyIDs[0] != "k" {
				t.Errorf("keys of a bin: %+v, %+v", role, keys)
			}
		}
		last := names[len(names)-1]
		for _, name := range []string{"", "bin", "bin-", last + "0", "bin-" + strings.Repeat("g", len(last)-4), "bin" + last[4:], "x" + last, strings.ToUpper(last)} {
			if _, _, ok := d.Find(name); ok {
				t.Errorf("%d bits: %q is a bin", bits, name)
			}
		}
		if bits%4 != 0 {
			if _, _, ok := d.Find("bin-" + strings.Repeat("f", len(last)-4)); ok {
				t.Errorf("%d bits: a bin beyond the last", bits)
			}
		}
	}
}

func TestDelegations(t *testing.T) {
	m, err := ParseJSON([]byte(targetsText))
	if err != nil {
		t.Fatal(err)
	}
	d := m.Targets.Delegations
	if got := d.Names(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("names: %v", got)
	}
	role, keys, ok := d.Find("two")
	if !ok || role.Name != "two" || keys.Threshold() != 2 {
		t.Errorf("two: %+v, %+v, %v", role, keys, ok)
	}
	if _, _, ok := d.Find("three"); ok {
		t.Error("three is found")
	}
	n := 0
	for name, keys := range d.All() {
		if n++; keys.Threshold() != n || name != d.Roles[n-1].Name {
			t.Errorf("%s: %+v", name, keys)
		}
	}
	if n != 2 {
		t.Errorf("%d roles", n)
	}
	all := &Delegations{Roles: []DelegatedRole{
		{Name: "no", Paths: []string{"x"}}, {Name: "first", Paths: []string{"*"}},
		{Name: "last", Paths: []string{"a*"}, Terminating: true}, {Name: "never", Paths: []string{"*"}},
	}}
	names := func(roles []DelegatedRole) (s []string) {
		for _, r := range roles {
			s = append(s, r.Name)
		}
		return s
	}
	if got := names(all.For("abc")); !slices.Equal(got, []string{"first", "last"}) {
		t.Errorf("for abc: %v", got)
	}
	if got := names(all.For("b")); !slices.Equal(got, []string{"first", "never"}) {
		t.Errorf("for b: %v", got)
	}
	var none *Delegations
	if _, _, ok := none.Find("x"); ok || none.Names() != nil || none.For("x") != nil {
		t.Error("no delegations delegate")
	}
	for range none.All() {
		t.Error("no delegations delegate")
	}
}

func TestCloneDelegations(t *testing.T) {
	for _, text := range []string{targetsText, succinctText, strings.Replace(targetsText, `"keys":{}`, `"keys":{"k1":{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00"}}}`, 1)} {
		m, err := ParseJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		d := m.Targets.Delegations
		got, size := d.Clone(true)
		if got.keeps = false; !reflect.DeepEqual(got, d) {
			t.Errorf("the copy is %+v, want %+v", got, d)
		}
		if size < 16 {
			t.Errorf("it takes %d bytes", size)
		}
		if d.Keys["k1"] != nil && got.Keys["k1"] == d.Keys["k1"] {
			t.Error("the copy shares a key")
		}
	}
}

// The names of a file's bins may take thousands of times its size. They are kept where
// that was asked for, and counted.
func TestNamesOfBins(t *testing.T) {
	m, err := ParseJSON([]byte(succinctText))
	if err != nil {
		t.Fatal(err)
	}
	d := m.Targets.Delegations
	copied, size := d.Clone(true)
	kept := d.KeepNames()
	bytes := 0
	for _, name := range d.Names() {
		bytes += len(name)
	}
	for _, d := range []*Delegations{d, copied, kept} {
		n := 0
		for range d.Among(func(string) bool { return true }) {
			n++
		}
		if n != 256 {
			t.Errorf("%d bins", n)
		}
	}
	if d.bins != nil || len(copied.bins) != 256 || size < bytes || len(kept.bins) != 256 {
		t.Errorf("%d names are kept with the file, %d in a copy of %d bytes, %d where it was asked for", len(d.bins), len(copied.bins), size, len(kept.bins))
	}
}
