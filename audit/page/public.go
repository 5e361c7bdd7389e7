package page

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/audit"
)

// This file is about what strangers need not know: passwords and tokens in URLs, addresses
// within the operator's network, places on his machine. Troubles are worded for him.

// publicURL is a URL without a user, a password, a query and a fragment; of a text that is not
// one, nothing.
func publicURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

var (
	anyURL  = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]+`)
	anyHost = regexp.MustCompile(`\b\d{1,3}(?:\.\d{1,3}){3}\b(?::\d+)?|\[[0-9A-Fa-f:.%a-z]*:[0-9A-Fa-f:.%a-z]*\](?::\d+)?`)
	anyName = regexp.MustCompile(`\b(lookup|dial \w+) [^\s:]+(?::\d+)?( on [^\s]+)?:`)
	anyFile = regexp.MustCompile(`(^|[\s"'(=])/[^\s"':;,)]+`)
)

// publicText is a trouble without the places in it, but for URLs that are shown anyway.
func publicText(text string, shown ...string) string {
	var kept []string // in their order; what follows must not look into them
	text = anyURL.ReplaceAllStringFunc(text, func(raw string) string {
		end := len(strings.TrimRight(raw, ".,:;)"))
		u := publicURL(raw[:end])
		if u == "" || !slices.ContainsFunc(shown, func(s string) bool { return s != "" && strings.HasPrefix(u, s) }) {
			return "(an address)" + raw[end:]
		}
		kept = append(kept, u)
		return "\x00" + raw[end:]
	})
	text = anyName.ReplaceAllString(text, "$1 (a name):")
	text = anyHost.ReplaceAllString(text, "(an address)")
	text = anyFile.ReplaceAllString(text, "$1(a file)")
	for _, u := range kept {
		text = strings.Replace(text, "\x00", u, 1)
	}
	return text
}

// publicTrouble is a trouble with a log, or with what is watched beside it.
func (b *book) publicTrouble(text string) string {
	shown := []string{b.URL}
	for _, w := range b.Watched {
		for _, live := range w.Live {
			shown = append(shown, live.URL)
		}
	}
	return publicText(text, shown...)
}

// publicStatus is what the process that follows the log saw, without places.
func (b *book) publicStatus(s *Status) *Status {
	if s == nil {
		return nil
	}
	of := *s
	of.Watched = publicWatched(of.Watched)
	of.Trouble = b.publicTrouble(of.Trouble)
	of.Witnesses = slices.Clone(of.Witnesses)
	for i := range of.Witnesses {
		of.Witnesses[i].Trouble = b.publicTrouble(of.Witnesses[i].Trouble)
	}
	if of.Audited != nil {
		audited := *of.Audited
		audited.Stopped, audited.Waits = b.publicTrouble(audited.Stopped), b.publicTrouble(audited.Waits)
		of.Audited = &audited
	}
	return &of
}

// publicWatched is what is watched, without places.
func publicWatched(list []Watched) []Watched {
	list = slices.Clone(list)
	for i := range list {
		w := &list[i]
		w.Live = slices.Clone(w.Live)
		for j := range w.Live {
			w.Live[j].URL = publicURL(w.Live[j].URL)
			w.Live[j].Sentence = publicText(w.Live[j].Sentence, w.Live[j].URL)
		}
		if w.Expectations != nil {
			e := *w.Expectations
			if e.From = publicURL(e.From); e.From == "" {
				e.From = "a file of this auditor"
			}
			e.Trouble = publicText(e.Trouble, e.From)
			w.Expectations = &e
		}
	}
	return list
}

// publicFinding is a finding without places: an outage says what could not be reached where.
func (b *book) publicFinding(f audit.Finding) audit.Finding {
	if f.Class == audit.Outage {
		f.Sentence = b.publicTrouble(f.Sentence)
	}
	return f
}
