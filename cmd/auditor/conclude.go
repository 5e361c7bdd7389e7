package main

import (
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// conclusion is what a lookup comes to, in a word and a sentence.
type conclusion struct {
	Word     string   `json:"word"`     // YES, NO or WARNING
	Released bool     `json:"released"` // a release lists the file, and says nothing else of it
	Sentence string   `json:"sentence"`
	Notes    []string `json:"notes"`
}

// conclude words what was found of a file. outcome is the verdict on the replay: what
// could not be checked, or what the log did, may be why there is no other answer.
func conclude(what string, lookup *audit.Lookup, report *audit.Report, outcome error) conclusion {
	var release, evidence, contradiction *audit.Answer // the best of each
	repositories := map[tuf.Digest]bool{}
	for i := range lookup.Answers {
		a := &lookup.Answers[i]
		switch {
		case a.Conflict != "":
			contradiction = a
		case a.Kind == leaf.Evidence:
			evidence = a
		default:
			repositories[a.Repository] = true
			if release == nil || a.Current || !release.Current {
				release = a
			}
		}
	}
	c := conclusion{Word: "NO", Notes: []string{}}
	of := "in the log"
	if !lookup.Pin.IsZero() {
		of = "of repository " + lookup.Pin.String()
	}
	switch {
	case release != nil:
		c.Word, c.Released = "YES", true
		current := "not the current release of its role"
		if release.Current {
			current = "the current one"
		}
		c.Sentence = fmt.Sprintf("%s is listed by release %s of repository %v (entry %d), %s, cosigned by %s", what, named(release), release.Repository, release.Index, current, cosigners(report))
	case evidence != nil:
		c.Word = "WARNING"
		c.Sentence = fmt.Sprintf("%s is listed only by evidence, entry %d: %s of repository %v is signed with two payloads, and this is not the one that was released. Do not install it", what, evidence.Index, named(evidence), evidence.Repository)
	case contradiction != nil:
		c.Word = "WARNING"
		c.Sentence = fmt.Sprintf("no release lists %s: %s of repository %v (entry %d) has a hash of it, but %s. Do not install it", what, named(contradiction), contradiction.Repository, contradiction.Index, contradiction.Conflict)
	default:
		c.Sentence = fmt.Sprintf("no release %s lists %s", of, what)
	}
	c.warn(release, evidence, report)
	c.warnOfOthers(release, lookup)
	if outcome != nil {
		c.Word = "WARNING"
		c.Notes = append(c.Notes, fmt.Sprintf("the log was not in order, or not checked to its end (%d leaves were judged): see stderr", report.Judged))
	}
	if lookup.Elsewhere > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("leaves of other repositories that list it: %d, which do not count", lookup.Elsewhere))
	}
	if lookup.Pin.IsZero() && release != nil {
		note := "any repository of this log counted: name your vendor's with --repository"
		if n := len(repositories); n > 1 {
			note = fmt.Sprintf("%d repositories list it, and %s", n, note)
		}
		c.Notes = append(c.Notes, note)
	}
	return c
}

// warn notes what else is signed in the place of a release, or by the same vendor.
func (c *conclusion) warn(release, evidence *audit.Answer, report *audit.Report) {
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
	if evidence != nil && evidence.Repository == release.Repository {
		c.Word = "WARNING"
		c.Notes = append(c.Notes, fmt.Sprintf("it is listed by evidence, too: entry %d", evidence.Index))
	}
	others := 0
	for _, f := range report.Findings {
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
func (c *conclusion) warnOfOthers(release *audit.Answer, lookup *audit.Lookup) {
	if release == nil {
		return
	}
	warned := map[tuf.Digest]bool{release.Repository: true}
	for i := range lookup.Answers {
		a := &lookup.Answers[i]
		if warned[a.Repository] || a.Conflict != "" || a.Kind != leaf.Evidence && len(a.Rivals) == 0 {
			continue
		}
		warned[a.Repository] = true
		c.Word = "WARNING"
		if a.Kind == leaf.Evidence {
			c.Notes = append(c.Notes, fmt.Sprintf("repository %v has it as evidence, entry %d: %s is signed with two payloads there, and this is not the one that was released", a.Repository, a.Index, named(a)))
			continue
		}
		c.Notes = append(c.Notes, fmt.Sprintf("another payload of %s is signed as well in repository %v: entry %d (%s)", named(a), a.Repository, a.Rivals[0].Index, a.Rivals[0].Kind))
	}
}

func named(a *audit.Answer) string { return fmt.Sprintf("%s %d", a.Role, a.Version) }

func cosigners(report *audit.Report) string {
	if report.Checkpoint == nil || len(report.Checkpoint.Witnesses) == 0 {
		return "nobody"
	}
	var names []string
	for _, w := range report.Checkpoint.Witnesses {
		names = append(names, w.Witness)
	}
	return strings.Join(names, ", ")
}

// noteOn is what a table says of an answer.
func noteOn(a audit.Answer) string {
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
func wrongWith(a audit.Answer) string {
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
