package alert

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/tuf"
)

// eventVersion is the version of the JSON of an Event. Fields may be added to a version.
const eventVersion = 1

// Type is the type of an event.
type Type string

// The types of events.
const (
	Opened Type = "finding.opened" // a finding is there that was not
	Closed Type = "finding.closed" // it is gone
	Digest Type = "digest"         // several events, a line for each cause
	Health Type = "health"         // how the logs and the destinations are
	Test   Type = "test"           // somebody has asked for it
)

// Event is what is delivered, in JSON: docs/monitor.md has a table of the fields. An event
// comes at least once to each destination, always under the same id.
type Event struct {
	Version int       `json:"version"`
	ID      string    `json:"id"` // hex digits
	Type    Type      `json:"type"`
	Time    time.Time `json:"timestamp"`
	Log     string    `json:"log,omitempty"`    // its name in the configuration
	Origin  string    `json:"origin,omitempty"` // of the log

	Finding        *audit.Finding `json:"finding,omitempty"`         // without the text of its evidence
	RepositoryName string         `json:"repository_name,omitempty"` // in the configuration
	Unnamed        bool           `json:"unnamed,omitempty"`         // it is about a repository that the configuration does not name: those are told together
	Episode        int64          `json:"episode,omitempty"`         // how often the finding has opened
	Opening        string         `json:"opening,omitempty"`         // of one that closed: the id of its opening
	Command        string         `json:"command,omitempty"`         // for a shell on the auditor's machine: checks it
	Asks           bool           `json:"asks,omitempty"`            // Command asks again for what was not there, which nothing offline proves
	Link           string         `json:"link,omitempty"`            // to the page about it

	// Of an event that stands for others of the same cause, which follow as no message of
	// their own at this destination: how many opened and closed, itself included, the ids of
	// the first of the others, and the sentences of the newest of them that opened.
	Counts *Counts  `json:"counts,omitempty"`
	Others []string `json:"others,omitempty"`
	Also   []string `json:"also,omitempty"`

	Causes  []Cause `json:"causes,omitempty"`  // of a digest
	Omitted int     `json:"omitted,omitempty"` // causes that found no room; they count in Counts
	Lost    int64   `json:"lost,omitempty"`    // messages to this destination that found no room since the last one

	Text   string      `json:"text,omitempty"`   // of health and test: a sentence
	Health []LogHealth `json:"health,omitempty"` // a line for each log
}

// Counts is how many findings opened and closed.
type Counts struct {
	Opened int `json:"opened"`
	Closed int `json:"closed"`
}

// Cause is what a digest says of the events of one cause: a kind of finding, a log and a
// repository.
type Cause struct {
	Class          audit.Class `json:"class"`
	Kind           audit.Kind  `json:"kind"`
	Log            string      `json:"log"`
	Repository     tuf.Digest  `json:"repository,omitzero"`
	RepositoryName string      `json:"repository_name,omitempty"`
	Unnamed        bool        `json:"unnamed,omitempty"` // as of the event
	Counts
	Sentence string `json:"sentence"` // of the first finding
	First    string `json:"first"`    // the id of the event about it
	Command  string `json:"command,omitempty"`
	Asks     bool   `json:"asks,omitempty"`
	Link     string `json:"link,omitempty"`
}

// LogHealth is the line of a log in the health mail.
type LogHealth struct {
	Log     string `json:"log"`
	Line    string `json:"line,omitempty"` // from Config.Line
	Outages int    `json:"outages"`        // open now
	Outage  string `json:"outage,omitempty"`
	Open    int    `json:"open"` // findings of other classes that nobody has acknowledged
}

// openingID returns the id of the event about an opening of a finding. It is drawn, because what
// the outbox counts is counted again if an older copy of it is restored, or none: a receiver that
// keeps ids would take another opening for one that it knows. The id is committed with the event
// before anybody is told, so that an event has one, whenever the process ends.
func openingID(origin string, sum tuf.Digest, episode int64) string {
	return newID(string(Opened), origin, sum, episode, rand.Text())
}

// closingID returns the id of the event about the end of what an event opened.
func closingID(opening string) string { return newID(string(Closed), opening) }

// openingIDBefore returns the id of an opening that an outbox of version 1 has told.
func openingIDBefore(origin string, sum tuf.Digest, episode int64) string {
	return newID(string(Opened), origin, sum, episode)
}

// newID returns an id that follows from words: 160 bits, so that nobody makes two findings
// whose events have one id.
func newID(t string, words ...any) string {
	text := fmt.Appendf(nil, "tuflog event 1\n%s\n", t)
	for _, w := range words {
		text = fmt.Appendf(text, "%q\n", fmt.Sprint(w))
	}
	return tuf.Sum(text).String()[:40]
}
