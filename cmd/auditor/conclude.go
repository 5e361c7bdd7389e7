package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/lookup"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// conclusion is what a lookup comes to, in a word and a sentence.
type conclusion struct {
	Word     string   `json:"word"`     // YES, NO, MAYBE or WARNING
	Released bool     `json:"released"` // a release lists the file, and says nothing else of it
	Sentence string   `json:"sentence"`
	Notes    []string `json:"notes"`
}

// basis is what a conclusion rests on.
type basis struct {
	checkpoint *audit.CheckpointReport
	findings   []audit.Finding
	judged     int64 // leaves
	kept       bool  // the checkpoint is the state's: the log could not be read
	index      bool  // it is what a log's index says
	cut        bool  // and that has more leaves than it told
	behind     int64 // so many of the newest leaves are not in it yet
	// outcome is the verdict on the replay: what could not be checked, or what the log did,
	// may be why there is no other answer.
	outcome error
}

// conclude words what was found of a file, or of a path.
func conclude(what string, l *lookup.Lookup, on basis) conclusion {
	var release, evidence, contradiction *lookup.Answer // the best of each
	repositories := map[tuf.Digest]bool{}
	for i := range l.Answers {
		a := &l.Answers[i]
		switch {
		case a.Conflict != "":
			contradiction = a
		case a.Kind == leaf.Evidence:
			evidence = a
		default:
			repositories[a.Repository] = true
			if release == nil || isCurrent(a) || !isCurrent(release) {
				release = a
			}
		}
	}
	c := conclusion{Word: "NO", Notes: []string{}}
	if on.index {
		c.sayIndex(what, l, release, evidence, contradiction, on)
	} else {
		c.say(what, l, release, evidence, contradiction, on)
	}
	c.warn(release, evidence, l, on)
	c.warnOfOthers(release, l, on.index)
	c.openFindings(release, l, on.findings)
	c.doubt(on)
	if on.cut {
		c.Word = "WARNING"
		c.Notes = append(c.Notes, "the index has more leaves that list it than it told: only a replay looks at all")
	}
	if on.behind > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("the index does not have the newest leaves yet: %d", on.behind))
	}
	if l.Elsewhere > 0 {
		c.Notes = append(c.Notes, "other repositories list it, too, which does not count")
	}
	if len(l.Vendors) == 0 && release != nil {
		note := "any repository of this log counted, and anybody who may register can release any file: name your vendor's with --repository"
		if n := len(repositories); n > 1 {
			note = fmt.Sprintf("%d repositories list it, and %s", n, note)
		}
		c.Notes = append(c.Notes, note)
	}
	return c
}

// say words what a replay has found.
func (c *conclusion) say(what string, l *lookup.Lookup, release, evidence, contradiction *lookup.Answer, on basis) {
	switch {
	case release != nil:
		c.Word, c.Released = "YES", true
		by := ""
		if len(l.Vendors) > 0 {
			by = fmt.Sprintf("released by your vendor%s: it is ", quoted(l.Vendors[release.Repository]))
		}
		c.Sentence = fmt.Sprintf("%s is %slisted by release %s of repository %v (entry %d)%s, %s", what, by, named(release), release.Repository, release.Index, whether(release), cosigners(on.checkpoint))
	case evidence != nil:
		c.Word = "WARNING"
		c.Sentence = fmt.Sprintf("%s is listed only by evidence, entry %d: %s of repository %v is signed with two payloads, and this is not the one that was released. Do not install it", what, evidence.Index, named(evidence), evidence.Repository)
	case contradiction != nil:
		c.Word = "WARNING"
		c.Sentence = fmt.Sprintf("no release lists %s: %s of repository %v (entry %d) has a hash of it, but %s. Do not install it", what, named(contradiction), contradiction.Repository, contradiction.Index, contradiction.Conflict)
	default:
		c.Sentence = fmt.Sprintf("no release %s lists %s%s", whose(l), what, upTo(on))
	}
}

// sayIndex words what a log's index says. The log can append a leaf of any repository with
// metadata that lists any file, and it can leave out any: that the repository's keys signed it
// is for a replay to say, which judges all that those keys follow from.
func (c *conclusion) sayIndex(what string, l *lookup.Lookup, release, evidence, contradiction *lookup.Answer, on basis) {
	note := "not complete: it is proved that the log has the entries, not that their keys are the repository's. That, what the index leaves out and what else is signed, a replay shows (without --quick)"
	switch {
	case release != nil:
		c.Word = "MAYBE"
		c.Sentence = fmt.Sprintf("the log's index names release %s of repository %v%s, entry %d, which lists %s, and whose signatures were not checked", named(release), release.Repository, quoted(l.Vendors[release.Repository]), release.Index, what)
	case evidence != nil:
		c.Word = "WARNING"
		c.Sentence = fmt.Sprintf("the log's index names only evidence that lists %s: entry %d, of %s of repository %v, whose signatures were not checked. Do not install it", what, evidence.Index, named(evidence), evidence.Repository)
	case contradiction != nil:
		c.Word = "WARNING"
		c.Sentence = fmt.Sprintf("the log's index names no release that lists %s: %s of repository %v (entry %d), whose signatures were not checked, has a hash of it, but %s. Do not install it", what, named(contradiction), contradiction.Repository, contradiction.Index, contradiction.Conflict)
	default:
		c.Sentence = fmt.Sprintf("the log's index names no release %s that lists %s%s", whose(l), what, upTo(on))
		note = "not complete: what the index leaves out, a replay shows (without --quick)"
	}
	c.Notes = append(c.Notes, note)
}

// doubt notes that the replay was not to the end, or found the log out of order.
func (c *conclusion) doubt(on basis) {
	if on.kept {
		c.Notes = append(c.Notes, fmt.Sprintf("the log could not be read: this is what the state has, up to size %d. What was logged since is not known", on.checkpoint.Size))
	}
	if on.outcome != nil {
		c.Word = "WARNING"
		c.Notes = append(c.Notes, fmt.Sprintf("the log was not in order, or not checked to its end (%d leaves were judged): see stderr", on.judged))
	}
}

func isCurrent(a *lookup.Answer) bool { return a.Current != nil && *a.Current }

// whether says whether a release is in force, where that is known.
func whether(a *lookup.Answer) string {
	switch {
	case a.Current == nil:
		return ""
	case *a.Current:
		return ", the current one"
	}
	return ", not the current release of its role"
}

// quoted is a name that the asker gave, with a space before it; empty if there is none.
func quoted(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" %q", name)
}

// whose says whose releases counted.
func whose(l *lookup.Lookup) string {
	switch len(l.Vendors) {
	case 0:
		return "in the log"
	case 1:
		for id, name := range l.Vendors {
			return fmt.Sprintf("of your vendor%s (repository %v)", quoted(name), id)
		}
	}
	return fmt.Sprintf("of your %d vendors", len(l.Vendors))
}

// upTo says up to which checkpoint there is no release.
func upTo(on basis) string {
	c := on.checkpoint
	if c == nil {
		return ""
	}
	when := int64(0)
	for _, w := range c.Witnesses {
		when = max(when, w.Time)
	}
	text := fmt.Sprintf(", up to the checkpoint of size %d", c.Size)
	if when > 0 {
		text += ", cosigned at " + audit.When(when)
	}
	return text
}

// openFindings notes what is open about the repository of a release, or about a vendor that
// has not released the file, apart from what is said already.
func (c *conclusion) openFindings(release *lookup.Answer, l *lookup.Lookup, findings []audit.Finding) {
	about := map[tuf.Digest]bool{}
	switch {
	case release != nil:
		about[release.Repository] = true
	case len(l.Vendors) == 1:
		for id := range l.Vendors {
			about[id] = true
		}
	}
	count := map[audit.Kind]int{}
	for _, f := range findings {
		if about[f.Repository] && f.Class != audit.Equivocation {
			count[f.Kind]++
		}
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d %s", count[kind], kind))
	}
	if len(parts) > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("open findings about the repository: %s (auditor replay prints them)", strings.Join(parts, ", ")))
	}
}

// warn notes what else is signed in the place of a release, or by the same vendor.
func (c *conclusion) warn(release, evidence *lookup.Answer, l *lookup.Lookup, on basis) {
	if release == nil {
		return
	}
	if release.Proof == "" {
		c.Word = "WARNING"
		c.Notes = append(c.Notes, "the release could not be proved")
	}
	const most = 4
	var rivals []string
	for _, r := range release.Rivals {
		rivals = append(rivals, fmt.Sprintf("entry %d (%s)", r.Index, r.Kind))
	}
	if n := len(rivals) - most; n > 0 {
		rivals = append(rivals[:most], fmt.Sprintf("%d more", n))
	}
	if len(rivals) > 0 {
		c.Word = "WARNING"
		c.Notes = append(c.Notes, fmt.Sprintf("another payload of %s is signed as well: %s", named(release), strings.Join(rivals, ", ")))
	}
	if evidence != nil && evidence.Repository == release.Repository && l.Query.Path == "" {
		c.Word = "WARNING"
		c.Notes = append(c.Notes, fmt.Sprintf("it is listed by evidence, too: entry %d", evidence.Index))
	}
	others := 0
	for _, f := range on.findings {
		if f.Class == audit.Equivocation && f.Repository == release.Repository && (f.Role != release.Role || f.Version != release.Version) {
			others++
		}
	}
	if others > 0 { // its word stays: it is about another release
		c.Notes = append(c.Notes, fmt.Sprintf("the repository's keys signed two payloads under other versions, too: auditor replay has %d of class equivocation", others))
	}
}

// warnOfOthers notes what is wrong with the file in other repositories than that of the
// release. Whoever may register can release a file that another's keys signed as a second
// payload: that must not silence the warning.
//
// Where the log's index says so, it is not said that those keys did: it was not checked.
func (c *conclusion) warnOfOthers(release *lookup.Answer, l *lookup.Lookup, index bool) {
	if release == nil || l.Query.Path != "" {
		return
	}
	warned := map[tuf.Digest]bool{release.Repository: true}
	for i := range l.Answers {
		a := &l.Answers[i]
		if warned[a.Repository] || a.Conflict != "" || a.Kind != leaf.Evidence && len(a.Rivals) == 0 {
			continue
		}
		warned[a.Repository] = true
		c.Word = "WARNING"
		if a.Kind == leaf.Evidence {
			if index {
				c.Notes = append(c.Notes, fmt.Sprintf("the index names evidence of repository %v that lists it, too: entry %d, of %s", a.Repository, a.Index, named(a)))
				continue
			}
			c.Notes = append(c.Notes, fmt.Sprintf("repository %v has it as evidence, entry %d: %s is signed with two payloads there, and this is not the one that was released", a.Repository, a.Index, named(a)))
			continue
		}
		c.Notes = append(c.Notes, fmt.Sprintf("another payload of %s is signed as well in repository %v: entry %d (%s)", named(a), a.Repository, a.Rivals[0].Index, a.Rivals[0].Kind))
	}
}

func named(a *lookup.Answer) string { return fmt.Sprintf("%s %d", tuf.Word(a.Role), a.Version) }

// cosigners says who cosigned the checkpoint over a release.
func cosigners(c *audit.CheckpointReport) string {
	switch {
	case c == nil:
		return "not proved now: no checkpoint of the log could be verified"
	case len(c.Witnesses) == 0:
		return "cosigned by nobody"
	}
	var names []string
	for _, w := range c.Witnesses {
		names = append(names, w.Witness)
	}
	return "cosigned by " + strings.Join(names, ", ")
}

// noteOn is what a table says of an answer.
func noteOn(a lookup.Answer) string {
	note := wrongWith(a)
	if a.More > 0 {
		if note != "" {
			note += "; "
		}
		note += fmt.Sprintf("and under %d more paths", a.More)
	}
	return note
}

// wrongWith says what else there is to an answer, empty if nothing is.
func wrongWith(a lookup.Answer) string {
	switch {
	case a.Conflict != "":
		return a.Conflict
	case a.Kind == leaf.Evidence:
		return "a second payload: do not install"
	case len(a.Rivals) > 0:
		return fmt.Sprintf("another payload at %d", a.Rivals[0].Index)
	}
	return ""
}
