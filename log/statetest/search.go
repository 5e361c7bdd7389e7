package statetest

import (
	"cmp"
	"crypto/sha512"
	"fmt"
	"slices"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/tuf"
)

func sum512(s string) log.SHA512 { return sha512.Sum512([]byte(s)) }

// testSearch adds releases whose files differ in every way from those before, and
// asks every question. The answers must be those of the fixture read from end to
// end.
func testSearch(t *testing.T, state log.State, f *fixture, reopen func() log.State) log.State {
	first, file := len(f.leaves), log.Target{Path: "app", SHA256: sum("app 2"), SHA512: sum512("app 2"), Length: 5}
	f.addSearched(file)
	apply(t, state, f, first, first+7)
	state = reopen()
	apply(t, state, f, first+7, len(f.leaves))
	state = reopen()
	for _, limit := range []int{1000, 3, 1} {
		f.askListings(t, state, file, limit)
		f.askFiles(t, state, limit)
	}
	f.askVersions(t, state)
	return state
}

// addSearched adds releases with a file and with files that differ from it.
func (f *fixture) addSearched(file log.Target) {
	first := len(f.leaves)
	without256, without512, neither, other512, unknownLength := file, file, file, file, file
	without256.SHA256 = tuf.Digest{}
	without512.SHA512 = log.SHA512{}
	neither.SHA256, neither.SHA512 = tuf.Digest{}, log.SHA512{}
	other512.SHA512[63] ^= 1 // its first bytes are those of the other
	unknownLength.Length = -1
	beside := log.Target{Path: "dir/ä b?#%.bin", SHA512: sum512("app 2"), Length: 1 << 40}
	version := int64(100)
	for _, targets := range [][]log.Target{
		{file}, {file, beside}, {beside}, {}, {file, beside}, {without256, beside}, {file}, {without512}, {neither}, {neither},
		{other512}, {unknownLength, beside}, {file}, {file},
	} {
		for _, repository := range []string{"A", "B"} {
			f.add(leafOf(repository, "targets", version), targets...)
			f.add(leafOf(repository, "team/ö", version), beside)
		}
		version++
	}
	evidence := leafOf("B", "targets", version-1)
	evidence.Kind, evidence.Contradicts = leaf.Evidence, int64(first)
	f.add(evidence, other512)
}

// askListings asks for every digest, path and length that there is, and for some that there are not.
func (f *fixture) askListings(t *testing.T, state log.State, file log.Target, limit int) {
	t.Helper()
	digests, paths := map[log.SHA512]bool{sum512("none"): true}, map[string]bool{"none": true, "": true, "APP": true, "ap_": true}
	lengths := map[int64]bool{0: true}
	for _, l := range f.leaves {
		for _, t := range l.Targets {
			paths[t.Path], lengths[t.Length] = true, true
			if t.SHA512 != (log.SHA512{}) {
				digests[t.SHA512] = true
			}
		}
	}
	for digest := range digests {
		got, err := state.ListSHA512(t.Context(), digest, limit)
		f.listed(t, "SHA-512 "+digest.String(), got, err, limit, func(t log.Target) bool { return t.SHA512 == digest })
	}
	for path := range paths {
		got, err := state.ListPath(t.Context(), path, limit)
		f.listed(t, "path "+path, got, err, limit, func(t log.Target) bool { return t.Path == path })
	}
	for length := range lengths {
		got, err := state.ListLength(t.Context(), length, limit)
		f.listed(t, fmt.Sprintf("length %d", length), got, err, limit, func(t log.Target) bool { return t.Length == length })
	}
	_, got, err := state.Lookup(t.Context(), file.SHA256, limit)
	f.listed(t, "SHA-256", got, err, limit, func(t log.Target) bool { return t.SHA256 == file.SHA256 })
}

// askFiles asks for the files of every leaf.
func (f *fixture) askFiles(t *testing.T, state log.State, limit int) {
	t.Helper()
	for i, l := range f.leaves {
		want := byPath(l.Targets)
		want = want[:min(len(want), limit)]
		rec, got, ok, err := state.Files(t.Context(), int64(i), limit)
		if err != nil || !ok || rec != l.Record || !slices.Equal(got, want) {
			t.Errorf("files of leaf %d: %v, %v, %v, %v; want %v", i, rec, got, ok, err, want)
		}
	}
	for _, index := range []int64{-1, int64(len(f.leaves))} {
		if rec, files, ok, err := state.Files(t.Context(), index, 9); ok || err != nil {
			t.Errorf("files of leaf %d: %v, %v, %v", index, rec, files, err)
		}
	}
}

// askVersions asks for the versions of roles.
func (f *fixture) askVersions(t *testing.T, state log.State) {
	t.Helper()
	for _, repository := range []string{"A", "B", "none"} {
		for _, role := range []string{"root", "targets", "team/ö", "none"} {
			var want []admit.Record
			for _, l := range f.leaves {
				if l.Leaf.Repository == sum(repository+"root1") && l.Leaf.Role == role {
					want = append(want, l.Record)
				}
			}
			got, err := state.Versions(t.Context(), sum(repository+"root1"), role)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("versions of %s in %s: %v, %v; want %v", role, repository, got, err, want)
			}
		}
	}
}

// listed compares listings with those in the fixture for which match holds.
func (f *fixture) listed(t *testing.T, what string, got []log.Listing, err error, limit int, match func(log.Target) bool) {
	t.Helper()
	var want []log.Listing
	for _, l := range f.leaves {
		for _, t := range byPath(l.Targets) {
			if match(t) && len(want) < limit {
				want = append(want, log.Listing{Record: l.Record, Target: t})
			}
		}
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s, at most %d: %v, %v\nwant %v", what, limit, got, err, want)
	}
}

func byPath(targets []log.Target) []log.Target {
	return slices.SortedFunc(slices.Values(targets), func(a, b log.Target) int { return cmp.Compare(a.Path, b.Path) })
}
