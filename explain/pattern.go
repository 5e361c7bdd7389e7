package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// Replaces is the answer of RadiusOf.
type Replaces struct {
	Paths []*Replace `json:"paths"`
	// New are answers for paths that no role lists, one for the pattern and one for each
	// pattern of a delegation that has room for a new file: examples, with new-file where
	// the pattern has a star. Files of delegations by hashes fall where their hash says.
	New []*Replace `json:"new,omitempty"`
	// Limits says what was left out because there was too much of it.
	Limits []string `json:"limits,omitempty"`
}

// RadiusOf answers Radius for all paths that a pattern matches, as patterns of delegations
// do: those that any role lists, in the order of their bytes, and examples of new ones. The
// empty pattern matches all paths. The errors wrap ErrMetadata.
func RadiusOf(repo Repository, pattern string) (*Replaces, error) {
	s, err := newSession(repo)
	if err != nil {
		return nil, err
	}
	return s.radiusOf(pattern), nil
}

func (s *session) radiusOf(pattern string) *Replaces {
	repo := s.repo
	all := &Replaces{Paths: []*Replace{}}
	matches := tuf.DelegatedRole{Paths: []string{pattern}}.Covers
	several := strings.ContainsAny(pattern, "*?")
	if pattern == "" {
		matches, several = func(string) bool { return true }, true
		pattern = "*" // for the example
	}
	if len(pattern) > tuf.MaxTargetPath {
		matches = func(path string) bool { return path == pattern }
		all.Limits = append(all.Limits, fmt.Sprintf("the pattern has more than %d bytes: it matches nothing", tuf.MaxTargetPath))
	}
	listed, examples := map[string]bool{}, []string{example(pattern)}
	looked, most := 0, repo.mostPaths()
	for _, m := range repo.files() {
		if m.Targets == nil {
			continue
		}
		for path := range m.Targets.Paths() {
			if matches(path) {
				listed[path] = true
			}
			if len(listed) > most {
				break
			}
		}
		if m.Targets.Delegations == nil {
			continue
		}
		for _, role := range m.Targets.Delegations.Roles {
			for _, p := range role.Paths {
				if looked++; looked <= most && len(p) <= tuf.MaxTargetPath {
					examples = append(examples, example(p))
				}
			}
		}
	}
	if looked > most {
		all.Limits = append(all.Limits, fmt.Sprintf("new paths: only the first %d patterns of delegations were tried", most))
	}
	paths := make([]string, 0, len(listed))
	for path := range listed {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	if len(paths) > most {
		paths = paths[:most]
		all.Limits = append(all.Limits, fmt.Sprintf("more than %d listed paths match: this is about %d of them", most, most))
	}
	left := 0 // not enumerated
	for _, path := range paths {
		r := s.radius(path)
		if r == nil {
			left++
			continue
		}
		all.Paths = append(all.Paths, r)
	}
	slices.Sort(examples)
	for _, path := range slices.Compact(examples) {
		if listed[path] || !matches(path) || !several && path != pattern {
			continue
		}
		r := s.radius(path)
		switch {
		case r == nil:
			left++
		case r.ListedBy == "":
			all.New = append(all.New, r)
		}
	}
	all.Limits = leftOut(all.Limits, left)
	return all
}

// mostPaths returns for how many paths RadiusOf answers: fewer than MaxPaths where the
// delegations list more than 20,000 patterns, hash prefixes and key ids.
func (r Repository) mostPaths() int {
	listed := 1
	for _, m := range r.files() {
		if m.Targets != nil && m.Targets.Delegations != nil {
			for _, role := range m.Targets.Delegations.Roles {
				listed += len(role.Paths) + len(role.PathHashPrefixes) + len(role.KeyIDs)
			}
		}
	}
	return min(MaxPaths, max(10, MaxPaths*20_000/listed))
}

// example returns a path that a pattern matches.
func example(pattern string) string {
	return strings.ReplaceAll(strings.ReplaceAll(pattern, "*", "new-file"), "?", "x")
}
