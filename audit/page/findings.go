package page

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/internal/regular"
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

// findingOf is a finding of a state.
func findingOf(kept state.Finding) (audit.Finding, error) {
	var f audit.Finding
	if err := json.Unmarshal(kept.Body, &f); err != nil {
		return f, fmt.Errorf("%w: finding %s: %w", state.ErrDamaged, kept.ID(), err)
	}
	f.Lived = &audit.Lived{ID: kept.ID(), Time: kept.First, Last: kept.Last, Gone: max(kept.Gone, 0), Acked: kept.Acked, AckReason: kept.Reason}
	return f, nil
}

// lineOf is a finding of a state in a list.
func (b *book) lineOf(ctx context.Context, kept state.Finding) (foundLine, error) {
	f, err := findingOf(kept)
	line := foundLine{Finding: f, Log: b.Name, State: stateOf(kept)}
	if !f.Repository.IsZero() {
		line.VendorIs = b.name(ctx, f.Repository)
	}
	return line, err
}

func stateOf(f state.Finding) string {
	switch {
	case f.Gone > 0:
		return stateGone
	case f.Acked != 0:
		return stateAcked
	}
	return stateOpen
}

// pageSize is how many rows a list has.
const pageSize = 50

// findingsPage is a list of a log's findings.
type findingsPage struct {
	Log      string        `json:"log"`
	Class    string        `json:"class,omitempty"`
	Kind     string        `json:"kind,omitempty"`
	State    string        `json:"state"`
	Findings []foundLine   `json:"findings"`
	Total    int           `json:"total"` // that were chosen
	From     int           `json:"from"`  // place of the first one here, from 0
	Next     string        `json:"next,omitempty"`
	Back     string        `json:"back,omitempty"`
	Kinds    []string      `json:"kinds"` // that there are
	Classes  []audit.Class `json:"-"`
	States   []string      `json:"-"`
}

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
	if p.From, err = place(q.Get("from")); err != nil {
		return nil, err
	}
	err = b.read(r.Context(), func(db *reader) error { return b.listFindings(r.Context(), db, p) })
	if err != nil && !errors.Is(err, errNothingYet) {
		return nil, err
	}
	p.turn(r)
	return &view{template: "findings", title: "Findings of " + b.Name, section: "logs", log: b.Name, data: p}, nil
}

// place reads where a list is to begin.
func place(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, badRequest("A list begins at a number.")
	}
	return n, nil
}

// turn makes the links to the pages before and after.
func (p *findingsPage) turn(r *http.Request) {
	link := func(from int) string {
		q := r.URL.Query()
		q.Set("from", strconv.Itoa(from))
		if from == 0 {
			q.Del("from")
		}
		return "?" + q.Encode()
	}
	if p.From > 0 {
		p.Back = link(max(p.From-pageSize, 0))
	}
	if p.From+len(p.Findings) < p.Total {
		p.Next = link(p.From + pageSize)
	}
}

// listFindings reads the findings that are chosen, the worst first, and of a class the newest.
func (b *book) listFindings(ctx context.Context, db *reader, p *findingsPage) error {
	kinds := map[string]bool{}
	var chosen []state.Finding
	err := db.Findings(ctx, p.State == stateGone || p.State == stateAll, func(f state.Finding) error {
		kinds[f.Kind] = true
		if (p.Class == "" || f.Class == p.Class) && (p.Kind == "" || f.Kind == p.Kind) && (p.State == stateAll || stateOf(f) == p.State) {
			chosen = append(chosen, f)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(chosen, func(x, y state.Finding) int {
		return cmp.Or(cmp.Compare(classRank(x.Class), classRank(y.Class)), cmp.Compare(y.First, x.First), cmp.Compare(y.Leaf, x.Leaf))
	})
	p.Total = len(chosen)
	for _, f := range chosen[min(p.From, len(chosen)):min(p.From+pageSize, len(chosen))] {
		line, err := b.lineOf(ctx, f)
		if err != nil {
			return err
		}
		p.Findings = append(p.Findings, line)
	}
	for kind := range kinds {
		p.Kinds = append(p.Kinds, kind)
	}
	slices.Sort(p.Kinds)
	return nil
}

func classRank(class string) int { return slices.Index(classes, audit.Class(class)) }

// findingPage is one finding.
type findingPage struct {
	foundLine
	Meaning  string   `json:"class_says"`
	Commands []string `json:"commands"`        // that check it
	Checks   string   `json:"what_they_check"` // in a sentence
	DocsAt   string   `json:"docs"`            // the section of docs/findings.md
	Release  string   `json:"release,omitempty"`
	Vendor   string   `json:"repository_page,omitempty"`
}

// readFinding returns the finding of a log with an id.
func (b *book) readFinding(ctx context.Context, id string) (kept state.Finding, err error) {
	if len(id) != len(state.ShortID([32]byte{})) || strings.Trim(id, "0123456789abcdef") != "" {
		return kept, notFound("A finding is named by 12 digits of hex.")
	}
	found := false
	err = b.read(ctx, func(db *reader) error {
		return enough(db.Findings(ctx, true, func(f state.Finding) error {
			if f.ID() == id {
				kept, found = f, true
				return errEnough
			}
			return nil
		}))
	})
	if err == nil && !found || errors.Is(err, errNothingYet) {
		err = notFound("The log %s has no finding %s.", b.Name, id)
	}
	return kept, err
}

func (s *Server) finding(r *http.Request) (*view, error) {
	b, err := s.book(r)
	if err != nil {
		return nil, err
	}
	kept, err := b.readFinding(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return s.findingView(r.Context(), b, kept)
}

// findingAnywhere is the finding of whichever log has it: alerts link to it.
func (s *Server) findingAnywhere(r *http.Request) (*view, error) {
	for _, b := range s.books {
		kept, err := b.readFinding(r.Context(), r.PathValue("id"))
		if errors.As(err, new(errNotFound)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return s.findingView(r.Context(), b, kept)
	}
	return nil, notFound("No log here has a finding of that name. Findings stay here when they are gone: it may be of another auditor.")
}

func (s *Server) findingView(ctx context.Context, b *book, kept state.Finding) (*view, error) {
	line, err := b.lineOf(ctx, kept)
	if err != nil {
		return nil, err
	}
	p := &findingPage{foundLine: line, Meaning: classWord(line.Class), DocsAt: "docs/findings.md#" + string(line.Kind)}
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
	kept, err := b.readFinding(ctx, id)
	if err != nil {
		return "", nil, err
	}
	f, err := findingOf(kept)
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
		path := filepath.Join(b.StateDir, "evidence", fmt.Sprintf("%s-%s", filepath.Base(kept.Kind), kept.ID()), e.Name)
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
