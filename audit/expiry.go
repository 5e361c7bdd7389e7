package audit

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// This file is about releases that are about to expire. Metadata says until when it is
// valid, and not since when: a release runs out when less than runningOutAhead and less
// than a third of its life is left, and its life is known by one of two rules.
//
//   - An auditor that follows the log knows about when a release was logged: after it
//     last looked and did not see it, and before the cosignatures of the checkpoint in
//     which it did. If these times are not further apart than a quarter of what is left
//     at the second of them, that is its life.
//   - Otherwise the life of a snapshot or a timestamp is taken from the habit of its role:
//     the upper quartile of the distances between the expiries of its last releases.
//     Releases that are made in good time expire at distances that are not longer than
//     their lives, so the warning comes rather late than too early. The habit of other
//     roles, which are released when there is something new, says nothing: they run out
//     runningOutAhead before they expire.
const (
	runningOutAhead = 14 * 24 * time.Hour
	keptDistances   = 16
	fewestDistances = 3
)

// lifetime is what is known of how long the last release of a role is valid, and those before
// it. Times are POSIX seconds.
type lifetime struct {
	Version   int64   `json:"version"`
	Expires   int64   `json:"expires"`
	After     int64   `json:"after,omitempty"`     // it was not logged yet; 0: not known
	Seen      int64   `json:"seen,omitempty"`      // it was; 0: not known
	Distances []int64 `json:"distances,omitempty"` // between the expiries of releases, in seconds, the last one last
	Releases  int64   `json:"releases,omitempty"`  // of the role, if those of the repository are in good order (see held.go); 0: not known
	First     int64   `json:"first,omitempty"`     // the lowest version of these
}

// look is a tree that was verified, and what is known of when its entries were logged.
type look struct {
	size        int64
	after, seen int64 // as in lifetime
}

// noteLook notes that a larger tree was verified.
func (a *Auditor) noteLook(size int64) {
	a.looks = slices.DeleteFunc(a.looks, func(l look) bool { return l.size <= a.next })
	seen := a.cfg.Now().Unix()
	if asOf := a.asOf(); !asOf.IsZero() {
		seen = min(seen, asOf.Unix())
	}
	a.looks = append(a.looks, look{size, a.looked, seen})
}

// lookOf returns what is known of when an entry was logged.
func (a *Auditor) lookOf(index int64) look {
	for _, l := range a.looks {
		if index < l.size {
			return l
		}
	}
	return look{}
}

// noteLife notes until when a release is valid.
func (r *repository) noteLife(l *loaded, at look) {
	if l.leaf.Kind != leaf.Release || !r.newest {
		return
	}
	life := r.lives[l.leaf.Role]
	if life == nil {
		life = &lifetime{}
		r.lives[l.leaf.Role] = life
	}
	expires := l.metadata.Expiry()
	if habitual(l.leaf.Role) && life.Version > 0 && expires > life.Expires {
		life.Distances = append(life.Distances, expires-life.Expires)
		life.Distances = life.Distances[max(0, len(life.Distances)-keptDistances):]
	}
	state := r.roles[l.leaf.Role]
	if life.Releases = state.releases; life.First == 0 {
		life.First = slices.Min(slices.Collect(maps.Keys(state.versions)))
	}
	life.Version, life.Expires, life.After, life.Seen = l.leaf.Version, expires, at.after, at.seen
	r.fact(factOf("life", l.leaf.Role), life)
}

// habitual reports whether a role is released because it expires.
func habitual(role string) bool { return role == tuf.RoleSnapshot || role == tuf.RoleTimestamp }

// of returns how long the release is valid, as far as that is known, and how that is
// known; 0: not known.
func (l *lifetime) of(role string) (time.Duration, string) {
	left := l.Expires - l.Seen
	if l.After > 0 && l.Seen > 0 && l.Seen-l.After <= left/4 {
		return time.Duration(left) * time.Second, "its life of " + inWords(left)
	}
	if !habitual(role) || len(l.Distances) < fewestDistances {
		return 0, ""
	}
	sorted := slices.Sorted(slices.Values(l.Distances))
	quartile := sorted[len(sorted)*3/4]
	return time.Duration(quartile) * time.Second, fmt.Sprintf("the %s after which the role is usually renewed", inWords(quartile))
}

// inWords words a number of seconds.
func inWords(seconds int64) string {
	const hour, day = 3600, 24 * 3600
	switch {
	case seconds >= 2*day:
		return fmt.Sprintf("%d days", (seconds+day/2)/day)
	case seconds >= 2*hour:
		return fmt.Sprintf("%d hours", (seconds+hour/2)/hour)
	}
	return fmt.Sprintf("%d minutes", seconds/60)
}

// runsOut returns since when a release is running out, and says what that is compared with.
func (l *lifetime) runsOut(role string) (since time.Time, compared string) {
	ahead, compared := runningOutAhead, "14 days"
	switch life, what := l.of(role); {
	case life > 0 && life/3 < ahead:
		ahead, compared = life/3, "a third of "+what
	case life == 0 && habitual(role):
		return time.Time{}, ""
	}
	return time.Unix(l.Expires, 0).Add(-ahead), compared
}

// runningOut words which of the releases in force are about to expire: those of the first
// roles one by one. Those that have expired by the time of the checkpoint are left out.
func (a *Auditor) runningOut(id tuf.Digest, lives map[string]*lifetime, roles []RoleReport, asOf time.Time) []Finding {
	now := a.cfg.Now()
	var found []Finding
	more, first := 0, time.Time{}
	for _, role := range roles {
		life := lives[role.Role]
		if role.Index < 0 || life == nil || life.Version != role.Current || role.Expires == 0 || !asOf.IsZero() && role.expired(asOf) {
			continue
		}
		since, compared := life.runsOut(role.Role)
		if since.IsZero() || now.Before(since) {
			continue
		}
		if len(found) == maxListed {
			if more++; more == 1 || role.expires().Before(first) {
				first = role.expires()
			}
			continue
		}
		about := leaf.Leaf{Repository: id, Role: role.Role, Version: role.Current}
		f := aboutLeaf(RunningOut, role.Index, about, "%s %d expires at %s, and no newer release is logged: since %s less than %s is left",
			tuf.Word(role.Role), role.Current, role.expires().UTC().Format(time.RFC3339), since.UTC().Format(time.RFC3339), compared)
		found = append(found, f)
	}
	if more > 0 {
		found = append(found, aboutLeaf(RunningOut, -1, leaf.Leaf{Repository: id}, "%s of other roles are about to expire, the first at %s",
			counted(more, "release"), first.UTC().Format(time.RFC3339)))
	}
	return found
}
