package alert

import (
	"encoding/json"

	"github.com/tuflog/tuflog/audit"
)

// maxPlainCauses bounds the lines of a digest without the words of others: a receiver may
// have refused it for its size.
const maxPlainCauses = 100

// leftOut stands for words that a receiver did not take.
const leftOut = "The words about this are left out, since this destination did not take them: see the page or auditor findings."

// plain returns an event, under its id, without a word that others have chosen: no role, no
// sentence, no name of a file, and no error.
func plain(e *Event) outgoing {
	p := &Event{
		Version: e.Version, ID: e.ID, Type: e.Type, Time: e.Time, Log: e.Log, Episode: e.Episode, RepositoryName: e.RepositoryName,
		Opening: e.Opening, Link: e.Link, Counts: e.Counts, Omitted: e.Omitted, Lost: e.Lost,
	}
	if f := e.Finding; f != nil {
		p.Finding = &audit.Finding{Kind: f.Kind, Class: f.Class, Index: f.Index, Repository: f.Repository, Version: f.Version, Sentence: leftOut}
		if f.Lived != nil {
			p.Finding.Lived = &audit.Lived{ID: f.ID}
		}
	}
	for _, c := range e.Causes[:min(len(e.Causes), maxPlainCauses)] {
		c.Sentence, c.Command, c.Asks = leftOut, "", false
		p.Causes = append(p.Causes, c)
	}
	p.Omitted += len(e.Causes) - len(p.Causes)
	if e.Text != "" {
		p.Text = leftOut
	}
	for _, h := range e.Health {
		p.Health = append(p.Health, LogHealth{Log: h.Log, Outages: h.Outages, Open: h.Open})
	}
	// It has nothing that cannot be written.
	body, _ := json.Marshal(p)
	return outgoing{p.ID, p, body}
}
