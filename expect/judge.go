package expect

import (
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Judge reports whether a release is expected. Before is what the role had: the metadata of the
// newest release that was expected, or of the base if that is newer; nil: it had nothing. If
// the release is expected, why says by what; if not, it is the first thing that was not
// expected, as words that follow a comma or a colon. Of snapshots and timestamps only the
// version is judged: the files that they list are releases of their own.
//
// Judge does not ask whether e is in force, and not whether the release should be logged: it
// is for releases that are rightly in a log.
func (e *Expectations) Judge(l leaf.Leaf, m, before *tuf.Metadata) (why string, ok bool) {
	switch {
	case l.Repository != e.Repository:
		return fmt.Sprintf("it is of repository %s, and these expectations are about %s", l.Repository.Short(), e.Repository.Short()), false
	case l.Kind != leaf.Release:
		return "it is not a release", false
	case m == nil || m.PayloadDigest != l.Payload:
		return "its metadata is not at hand, so that it cannot be compared", false
	case m.Type != tuf.TypeOf(l.Role):
		return "its metadata is of another type", false
	}
	base, hasBase := e.Base(l.Role)
	if hasBase && base.Payload == l.Payload {
		return fmt.Sprintf("version %d was there when the expectations were signed", base.Version), true
	}
	if before != nil && before.PayloadDigest == l.Payload {
		return "it is what was there before", true
	}
	if before == nil && hasBase && (m.Root != nil || m.Targets != nil) {
		return fmt.Sprintf("it cannot be compared with version %d, which the expectations say was there", base.Version), false
	}
	had := base.Version
	if before != nil {
		had = before.Version
	}
	if l.Version <= had {
		return fmt.Sprintf("its version is not above %d, which was there before", had), false
	}
	var wanted []string
	first := ""
	for i := range e.Releases {
		r := &e.Releases[i]
		if !r.about(l.Role) {
			continue
		}
		if !r.Versions.has(l.Version, had) {
			wanted = append(wanted, r.Versions.words(had))
			continue
		}
		unlike := r.unlike(l.Role, m, before)
		if unlike == "" {
			return fmt.Sprintf("release %s %s", tuf.Word(r.Role), r.Versions), true
		}
		if first == "" {
			first = unlike
		}
	}
	switch {
	case first != "":
		return first, false
	case len(wanted) > 0:
		return fmt.Sprintf("version %d is not expected, %s is", l.Version, strings.Join(wanted, " or ")), false
	}
	return fmt.Sprintf("no release of %s is expected", tuf.Word(l.Role)), false
}

// about reports whether a release line is about a role.
func (r *Release) about(role string) bool {
	if tuf.IsTopLevel(role) || tuf.IsTopLevel(r.Role) {
		return r.Role == role
	}
	return glob(r.Role, role)
}

// glob reports whether a pattern in which a star stands for any characters matches all of s.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, parts[last])
}

func (v Versions) has(version, had int64) bool {
	if v.Next {
		return version == had+1
	}
	return v.First <= version && version <= v.last(had)
}

// MaxJump is how far above what a role had, or above its beginning, the version of a release may
// be by a line without a last version. A thief of the keys who releases the highest version there
// is leaves room for no other.
const MaxJump = 1000

// last is the last version that is expected of a role that had another.
func (v Versions) last(had int64) int64 {
	if v.Last < tuf.MaxVersion {
		return v.Last
	}
	return min(max(v.First, had)+MaxJump, tuf.MaxVersion)
}

// words says which version is expected of a role that had another.
func (v Versions) words(had int64) string {
	if v.Next {
		return fmt.Sprint(had + 1)
	}
	if last := v.last(had); last != v.Last {
		return fmt.Sprintf("%d-%d", max(v.First, had+1), last)
	}
	return v.String()
}
