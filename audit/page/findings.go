package page

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/tuf"
)

// classes are the classes of findings, the worst first.
var classes = []audit.Class{audit.Tampering, audit.Equivocation, audit.Unexpected, audit.Outage, audit.Hygiene}

// States of findings by which they are chosen.
const (
	stateOpen  = "open"         // there, and not acknowledged
	stateAcked = "acknowledged" // there
	stateGone  = "gone"
	stateAll   = "all"
)

// foundLine is a finding in a list.
type foundLine struct {
	audit.Finding
	Log      string `json:"log"`
	State    string `json:"state"`            // open, acknowledged or gone
	VendorIs string `json:"vendor,omitempty"` // the name of its repository here
}

// lineOf is a finding of a state in a list.
func (b *book) lineOf(ctx context.Context, db *reader, kept state.Finding) (foundLine, error) {
	replay, err := db.Replay(ctx)
	if err != nil {
		return foundLine{}, err
	}
	f, err := audit.FindingOf(kept, replay)
	line := foundLine{Finding: b.publicFinding(f), Log: b.Name, State: stateOf(kept)}
	if !f.Repository.IsZero() {
		line.VendorIs = b.name(ctx, f.Repository)
	}
	return line, err
}

func stateOf(f state.Finding) string {
	switch f.Status() {
	case state.StatusGone:
		return stateGone
	case state.StatusAcknowledged:
		return stateAcked
	}
	return stateOpen
}

// pageSize is how many rows a list has.
const pageSize = 50

// findingsPage is a list of a log's findings.
type findingsPage struct {
	standing
	Log        string      `json:"log"`
	Class      string      `json:"class,omitempty"`
	Kind       string      `json:"kind,omitempty"`
	State      string      `json:"state"`
	Repository tuf.Digest  `json:"repository,omitzero"` // zero: of all, and of none
	Findings   []foundLine `json:"findings"`            // the worst first, and of a class the newest
	Total      int64       `json:"total"`               // that were chosen
	After      string      `json:"after,omitempty"`
	turning
	Kinds   []string      `json:"kinds"` // that there are
	Classes []audit.Class `json:"-"`
	States  []string      `json:"-"`
}

// statuses are the words for states in URLs.
var statuses = map[string]state.Status{stateOpen: state.StatusOpen, stateAcked: state.StatusAcknowledged, stateGone: state.StatusGone, stateAll: state.AnyStatus}

func (s *Server) findings(r *http.Request) (*view, error) {
	b, err := s.book(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	p := &findingsPage{Log: b.Name, Class: q.Get("class"), Kind: q.Get("kind"), State: cmp.Or(q.Get("state"), stateOpen),
		Findings: []foundLine{}, Kinds: []string{}, Classes: classes, States: []string{stateOpen, stateAcked, stateGone, stateAll}}
	if p.Class != "" && !slices.Contains(classes, audit.Class(p.Class)) {
		return nil, badRequest("There is no class %s of findings.", printable.Line(p.Class))
	}
	if p.Kind != "" && audit.Kind(p.Kind).Class() == "" {
		return nil, badRequest("There is no kind %s of findings.", printable.Line(p.Kind))
	}
	if !slices.Contains(p.States, p.State) {
		return nil, badRequest("A finding is open, acknowledged or gone.")
	}
	if of := q.Get("repository"); of != "" {
		if p.Repository, err = tuf.ParseRepository(of); err != nil {
			return nil, badRequest("A repository is named by 64 digits of hex, in lower case.")
		}
	}
	next := ""
	err = b.read(r.Context(), func(db *reader) (err error) {
		if err := p.count(r.Context(), db); err != nil {
			return err
		}
		p.Findings, next, err = b.listFindings(r.Context(), db, state.FindingQuery{Class: p.Class, Kind: p.Kind, Repository: p.Repository, Status: statuses[p.State]}, q.Get("after"), pageSize)
		return err
	})
	if err != nil && !errors.Is(err, errNothingYet) {
		return nil, err
	}
	p.turning = turn(r, next)
	if p.standing, err = b.standing(r.Context()); err != nil {
		return nil, err
	}
	return &view{template: "findings", title: "Findings of " + b.Name, section: "logs", log: b.Name, data: p}, nil
}

// turning are the links from a part of a list to others; empty: there is none.
type turning struct {
	Next  string `json:"next,omitempty"`
	First string `json:"first,omitempty"`
}

// turn returns the links of a list that goes on after next.
func turn(r *http.Request, next string) (t turning) {
	q := r.URL.Query()
	if q.Has("after") {
		q.Del("after")
		t.First = "?" + q.Encode()
	}
	if next != "" {
		q.Set("after", next)
		t.Next = "?" + q.Encode()
	}
	return t
}

// count counts the findings that are chosen, and lists the kinds that there are.
func (p *findingsPage) count(ctx context.Context, db *reader) error {
	counts, err := db.FindingCounts(ctx, p.Repository)
	for _, c := range counts {
		p.Kinds = append(p.Kinds, c.Kind)
		if p.Class != "" && c.Class != p.Class || p.Kind != "" && c.Kind != p.Kind {
			continue
		}
		p.Total += map[string]int64{stateOpen: c.Open, stateAcked: c.Acknowledged, stateGone: c.Gone, stateAll: c.Open + c.Acknowledged + c.Gone}[p.State]
	}
	return err
}

// listFindings reads findings, the worst first, and of a class the newest. Where a list goes
// on is the class and the place in it.
func (b *book) listFindings(ctx context.Context, db *reader, q state.FindingQuery, after string, most int) (list []foundLine, next string, err error) {
	list = []foundLine{}
	of := classes
	if q.Class != "" {
		of = []audit.Class{audit.Class(q.Class)}
	} else if q.Kind != "" {
		of = []audit.Class{audit.Kind(q.Kind).Class()}
	}
	if class, rest, ok := strings.Cut(after, "."); after != "" {
		at := slices.Index(of, audit.Class(class))
		if !ok || at < 0 {
			return nil, "", badRequest("The list does not go on from there.")
		}
		of, after = of[at:], rest
	}
	for i, class := range of {
		q.Class = string(class)
		found, more, err := db.ListFindings(ctx, q, state.Page{After: after, Limit: most - len(list)})
		if errors.Is(err, state.ErrPage) {
			return nil, "", badRequest("The list does not go on from there.")
		}
		if err != nil {
			return nil, "", err
		}
		after = ""
		for _, f := range found {
			line, err := b.lineOf(ctx, db, f)
			if err != nil {
				return nil, "", err
			}
			list = append(list, line)
		}
		if more != "" {
			return list, string(class) + "." + more, nil
		}
		if len(list) == most && i+1 < len(of) {
			return list, string(of[i+1]) + ".", nil
		}
	}
	return list, "", nil
}

// findingPage is one finding.
type findingPage struct {
	foundLine
	standing
	Meaning  string   `json:"class_says"`
	Commands []string `json:"commands"`        // that check it
	Checks   string   `json:"what_they_check"` // in a sentence
	DocsAt   string   `json:"docs"`            // the section of docs/findings.md
	Release  string   `json:"release,omitempty"`
	Vendor   string   `json:"repository_page,omitempty"`
}

// readFinding returns the finding of a log with an id.
func (b *book) readFinding(ctx context.Context, id string) (line foundLine, err error) {
	found := false
	err = b.read(ctx, func(db *reader) error {
		kept, ok, err := db.FindingByID(ctx, id)
		if err != nil || !ok {
			return err
		}
		found = true
		line, err = b.lineOf(ctx, db, kept)
		return err
	})
	if err == nil && !found || errors.Is(err, errNothingYet) {
		err = notFound("The log %s has no finding %s, or several: one is named by 64 digits of hex, or by the first 12 if no other begins with them.", b.Name, printable.Line(tuf.Clip(id)))
	}
	return line, err
}

func (s *Server) finding(r *http.Request) (*view, error) {
	b, err := s.book(r)
	if err != nil {
		return nil, err
	}
	line, err := b.readFinding(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return b.findingView(r.Context(), line)
}

// findingAnywhere is the finding of the log that has it: for a link that does not name one.
func (s *Server) findingAnywhere(r *http.Request) (*view, error) {
	var trouble error
	for _, b := range s.books {
		line, err := b.readFinding(r.Context(), r.PathValue("id"))
		if err == nil {
			return b.findingView(r.Context(), line)
		}
		if !errors.As(err, new(errNotFound)) && trouble == nil {
			trouble = fmt.Errorf("log %s: %w", b.Name, err) // another may have it
		}
	}
	if trouble != nil {
		return nil, trouble
	}
	return nil, notFound("No log here has a finding of that name. Findings stay here when they are gone: it may be of another auditor.")
}

func (b *book) findingView(ctx context.Context, line foundLine) (*view, error) {
	says, err := b.standing(ctx)
	if err != nil {
		return nil, err
	}
	p := &findingPage{standing: says, foundLine: line, Meaning: classWord(line.Class), DocsAt: "docs/findings.md#" + string(line.Kind)}
	p.Commands, p.Checks = b.checks(line.Finding)
	if line.Index >= 0 {
		p.Release = pathOf("logs", b.Name, "releases", line.Index)
	}
	if !line.Repository.IsZero() {
		p.Vendor = pathOf("logs", b.Name, "repositories", line.Repository)
	}
	return &view{template: "finding", title: string(line.Kind), section: "logs", log: b.Name, data: p}, nil
}

// checks returns the commands with which a reader checks a finding.
func (b *book) checks(f audit.Finding) (commands []string, says string) {
	for _, e := range f.Evidence {
		if strings.HasSuffix(e.Name, ".accusation") || strings.HasSuffix(e.Name, ".conflict") {
			commands = append(commands, "auditor evidence check --policy policy.txt "+fileName(e.Name))
		}
	}
	if len(commands) > 0 {
		return commands, "It checks the downloaded evidence offline, with the public keys of the policy alone. What it proves holds even if this auditor, or the log, is gone."
	}
	at := ""
	if b.URL != "" {
		at = " --log " + printable.ShellWord(b.URL)
	}
	if !f.Repository.IsZero() {
		return []string{"auditor show " + f.Repository.String() + " --policy policy.txt" + at}, "It replays the log and tells the repository's releases, with what was found."
	}
	return []string{"auditor replay --policy policy.txt" + at}, "It replays the log and says what it finds. What a party served and did not sign cannot be proved to others: only seen again."
}

// maxEvidence is how many bytes of a file of evidence are served.
const maxEvidence = 64 << 20

// evidenceFile answers with a file of a finding's evidence.
func (s *Server) evidenceFile(w http.ResponseWriter, r *http.Request) {
	b, err := s.book(r)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	name, content, err := b.evidence(r.Context(), r.PathValue("id"), r.PathValue("evidence"))
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	s.attach(w, r, name, content)
}

// evidence reads a file of evidence. Its name is compared with those that the finding has.
func (b *book) evidence(ctx context.Context, id, name string) (string, []byte, error) {
	f, err := b.readFinding(ctx, id)
	if err != nil {
		return "", nil, err
	}
	for _, e := range f.Evidence {
		if e.Name != name || e.Name != filepath.Base(e.Name) || e.Name == ".." || e.Name == "." {
			continue
		}
		if e.Text != "" {
			return e.Name, []byte(e.Text), nil
		}
		path := filepath.Join(f.EvidenceDir(b.StateDir), e.Name)
		content, err := regular.ReadSome(path, maxEvidence+1)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return "", nil, notFound("This file of evidence is not kept here: there was no room for it. Its SHA-256 is %s.", e.SHA256)
		case err != nil:
			return "", nil, err
		case len(content) > maxEvidence:
			return "", nil, notFound("This file of evidence is too large for this page. Ask the operator for the file with SHA-256 %s.", e.SHA256)
		}
		return e.Name, content, nil
	}
	return "", nil, notFound("The finding %s has no evidence of that name.", id)
}
