package alert

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/tuf"
)

// defaultRoutes stand behind those of the settings: a finding that these do not mention is
// not lost. A route to nobody silences.
func (c *Config) defaultRoutes() []Route {
	all := slices.Sorted(maps.Keys(c.To))
	return []Route{
		{Classes: []string{string(audit.Tampering), string(audit.Equivocation), string(audit.Unexpected)}, To: all},
		{Classes: []string{string(audit.Hygiene)}, To: all, Digest: day},
	}
}

// AllRoutes returns the routes of the settings and the default ones behind them.
func (c *Config) AllRoutes() []Route { return append(slices.Clip(c.Routes), c.defaultRoutes()...) }

// Route returns the number of the route that says where a finding about a log goes: those
// of the settings come first, then the default ones; and the route. A finding that no
// route mentions, an outage, has number -1.
func (c *Config) Route(log string, f *audit.Finding) (int, Route) {
	for i, r := range c.AllRoutes() {
		if c.matches(&r, log, f) {
			return i, r
		}
	}
	return -1, Route{}
}

func (c *Config) matches(r *Route, log string, f *audit.Finding) bool {
	return anyOf(r.Classes, string(f.Class)) && anyOf(r.Kinds, string(f.Kind)) && anyOf(r.Logs, log) && anyOf(r.Roles, f.Role) &&
		(len(r.Repositories) == 0 || slices.ContainsFunc(r.Repositories, func(want string) bool { return c.isRepository(log, want, f) }))
}

func anyOf(wanted []string, have string) bool {
	return len(wanted) == 0 || slices.Contains(wanted, have)
}

// isRepository reports whether a finding is about a repository: an id, or the name that it has
// at the log.
func (c *Config) isRepository(log, want string, f *audit.Finding) bool {
	if f.Repository.IsZero() {
		return false
	}
	return want == f.Repository.String() || want == c.repositoryName(log, f)
}

// repositoryName returns the name of the repository that a finding is about; empty: it has
// none.
func (c *Config) repositoryName(log string, f *audit.Finding) string {
	if f.Repository.IsZero() {
		return ""
	}
	id := f.Repository.String()
	for _, l := range c.Logs {
		for _, r := range l.Repositories {
			if l.Name == log && r.ID == id {
				return r.Name
			}
		}
	}
	return ""
}

// isUnnamed reports whether a finding is about a repository that the settings do not name, and
// accuses nobody but those who made it. Whoever may register one can cause as many as they like.
func (c *Config) isUnnamed(log string, f *audit.Finding) bool {
	if f.Repository.IsZero() || f.Class == audit.Tampering || c.repositoryName(log, f) != "" {
		return false
	}
	id := f.Repository.String()
	return !slices.ContainsFunc(c.Routes, func(r Route) bool { return slices.Contains(r.Repositories, id) })
}

// IsBeginning reports whether a word looks like the beginning of a repository's id.
func IsBeginning(s string) bool {
	return len(s) >= 4 && len(s) < 2*len(tuf.Digest{}) && strings.Trim(s, "0123456789abcdef") == ""
}

// BeginningError says that settings name a repository by the beginning of its id. A rule must
// not match by that: whoever likes makes a repository whose id begins the same.
type BeginningError struct{ Beginning string }

func (e *BeginningError) Error() string {
	return fmt.Sprintf("%s is the beginning of an id, and anybody can register a repository whose id begins so: want all 64 digits (auditor show %s prints them), or the name of a [[log.repository]]", e.Beginning, e.Beginning)
}

// checkRoute refuses a route that can match nothing, or leads nowhere.
func (c *Config) checkRoute(i int) error {
	r := &c.Routes[i]
	var classes []string
	for _, class := range r.Classes {
		if !slices.Contains(allClasses, audit.Class(class)) {
			return fmt.Errorf("classes: %w: %q, want of %v", errConfig, clip(class), allClasses)
		}
	}
	for _, kind := range r.Kinds {
		class := audit.Kind(kind).Class()
		if class == "" {
			return fmt.Errorf("kinds: %w: there is no kind %q of findings", errConfig, clip(kind))
		}
		classes = append(classes, string(class))
	}
	if len(r.Kinds) > 0 && !slices.ContainsFunc(classes, func(class string) bool { return anyOf(r.Classes, class) }) {
		return fmt.Errorf("kinds: %w: none of %v is of class %s: it matches nothing", errConfig, r.Kinds, strings.Join(r.Classes, ", "))
	}
	for _, name := range r.To {
		if _, ok := c.To[name]; !ok {
			return fmt.Errorf("to: %w: there is no destination %q", errConfig, clip(name))
		}
	}
	if r.Digest < 0 || r.Digest > 0 && r.Digest < time.Minute {
		return fmt.Errorf("digest: %w: %v, want a minute or more", errConfig, r.Digest)
	}
	if err := c.checkNames(r); err != nil {
		return err
	}
	if r.byRolesAlone() {
		return fmt.Errorf("roles: %w: anybody may name a role of their repository so, and what is found there would not be told: want repositories, too, or classes of hygiene and outage alone", errConfig)
	}
	for j, earlier := range c.Routes[:i] {
		if covers(earlier.Classes, r.Classes) && covers(earlier.Kinds, r.Kinds) && covers(earlier.Logs, r.Logs) &&
			covers(earlier.Repositories, r.Repositories) && covers(earlier.Roles, r.Roles) {
			return fmt.Errorf("%w: it matches nothing: route %d takes all of it", errConfig, j+1)
		}
	}
	return nil
}

// byRolesAlone reports whether a route keeps back what should be told at once, by nothing but
// the names of roles, which those choose whom it is about.
func (r *Route) byRolesAlone() bool {
	if len(r.Roles) == 0 || len(r.Repositories) > 0 || len(r.To) > 0 && r.Digest == 0 {
		return false
	}
	return slices.ContainsFunc(allClasses, func(class audit.Class) bool {
		return class.Fails() && anyOf(r.Classes, string(class)) &&
			(len(r.Kinds) == 0 || slices.ContainsFunc(r.Kinds, func(kind string) bool { return audit.Kind(kind).Class() == class }))
	})
}

// checkNames refuses names that the process does not know. Without Config.Logs nothing is
// known.
func (c *Config) checkNames(r *Route) error {
	names := map[string]bool{}
	for _, l := range c.Logs {
		if anyOf(r.Logs, l.Name) {
			for _, repository := range l.Repositories {
				names[repository.Name] = true
			}
		}
	}
	for _, name := range r.Logs {
		if c.Logs != nil && !slices.ContainsFunc(c.Logs, func(l Log) bool { return l.Name == name }) {
			return fmt.Errorf("logs: %w: there is no log %q", errConfig, clip(name))
		}
	}
	for _, want := range r.Repositories {
		_, err := tuf.ParseRepository(want)
		switch {
		case c.Logs == nil || err == nil || names[want]:
		case IsBeginning(want):
			return fmt.Errorf("repositories: %w: %w", errConfig, &BeginningError{want})
		default:
			return fmt.Errorf("repositories: %w: %q is neither the name of a repository of these logs nor an id of 64 hex digits", errConfig, clip(want))
		}
	}
	return nil
}

// covers reports whether everything that a list matches, an earlier one does too.
func covers(earlier, list []string) bool {
	if len(earlier) == 0 {
		return true
	}
	return len(list) > 0 && !slices.ContainsFunc(list, func(s string) bool { return !slices.Contains(earlier, s) })
}

var allClasses = []audit.Class{audit.Tampering, audit.Equivocation, audit.Unexpected, audit.Hygiene, audit.Outage}

// longestDigest is for how long an event is collected at most.
func (c *Config) longestDigest() time.Duration {
	longest := day
	for i := range c.Routes {
		longest = max(longest, c.Routes[i].Digest)
	}
	return longest
}
