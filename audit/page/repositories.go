package page

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/tuf"
)

// repositoriesPage is a list of a log's repositories.
type repositoriesPage struct {
	Log          string           `json:"log"`
	Query        string           `json:"query,omitempty"`
	Repositories []repositoryLine `json:"repositories"`
	From         int              `json:"from"`
	More         bool             `json:"more,omitempty"`
	Next         string           `json:"next,omitempty"`
	Back         string           `json:"back,omitempty"`
}

// repositoryLine is a repository in a list.
type repositoryLine struct {
	ID       string `json:"id"`
	Name     string `json:"name,omitempty"` // here
	Genesis  int64  `json:"genesis"`        // its first entry
	Releases int64  `json:"releases"`       // -1: it is being counted
	Evidence int64  `json:"evidence"`
	Roles    int    `json:"roles"`
	Expired  bool   `json:"expired,omitempty"` // a release in force has
	Again    bool   `json:"again,omitempty"`   // it is being judged again
}

func (b *book) lineOfRepository(ctx context.Context, known state.Repository) repositoryLine {
	line := repositoryLine{ID: known.ID.String(), Name: b.name(ctx, known.ID), Genesis: known.Genesis, Releases: -1, Again: known.Again}
	if report, ok := reportOf(known); ok {
		line.Releases, line.Evidence, line.Roles = report.Releases, report.Evidence, len(report.Roles)
		now := b.now().Unix()
		line.Expired = slices.ContainsFunc(report.Roles, func(r audit.RoleReport) bool { return r.Index >= 0 && r.Expires < now })
	}
	return line
}

func (s *Server) repositories(r *http.Request) (*view, error) {
	b, err := s.book(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	p := &repositoriesPage{Log: b.Name, Query: strings.TrimSpace(q.Get("q")), Repositories: []repositoryLine{}}
	if p.From, err = place(q.Get("from")); err != nil {
		return nil, err
	}
	err = b.read(r.Context(), func(db *reader) error { return b.listRepositories(r.Context(), db, p) })
	if err != nil && !errors.Is(err, errNothingYet) {
		return nil, err
	}
	link := func(from int) string {
		v := r.URL.Query()
		v.Set("from", strconv.Itoa(from))
		if from == 0 {
			v.Del("from")
		}
		return "?" + v.Encode()
	}
	if p.From > 0 {
		p.Back = link(max(p.From-pageSize, 0))
	}
	if p.More {
		p.Next = link(p.From + pageSize)
	}
	return &view{template: "repositories", title: "Repositories of " + b.Name, section: "logs", log: b.Name, data: p}, nil
}

// listRepositories reads those whose id begins with the query, or whose name here has it in
// it; those with a name first.
func (b *book) listRepositories(ctx context.Context, db *reader, p *repositoriesPage) error {
	query := strings.ToLower(p.Query)
	if query != "" && !isHex(query) {
		for _, w := range b.known(ctx) {
			if !strings.Contains(strings.ToLower(w.Name), query) {
				continue
			}
			known, ok, err := db.Repository(ctx, w.ID)
			if err != nil {
				return err
			}
			if ok {
				p.Repositories = append(p.Repositories, b.lineOfRepository(ctx, known))
			}
		}
		slices.SortFunc(p.Repositories, func(x, y repositoryLine) int { return cmp.Compare(x.Genesis, y.Genesis) })
		return nil
	}
	at := 0
	return enough(db.Repositories(ctx, query, func(known state.Repository) error {
		if at++; at <= p.From {
			return nil
		}
		if len(p.Repositories) == pageSize {
			p.More = true
			return errEnough
		}
		p.Repositories = append(p.Repositories, b.lineOfRepository(ctx, known))
		return nil
	}))
}

func isHex(text string) bool { return strings.Trim(text, "0123456789abcdef") == "" }

// repositoryPage is one repository: what a stranger can say of its releases.
type repositoryPage struct {
	Log       string                  `json:"log"`
	ID        tuf.Digest              `json:"id"`
	Line      repositoryLine          `json:"summary"`
	Watched   Watched                 `json:"watched"`
	Report    *audit.RepositoryReport `json:"report,omitempty"` // nil: it is being made
	Told      *told                   `json:"told"`
	Timeline  []event                 `json:"timeline"`                 // the newest first
	Older     int                     `json:"timeline_older,omitempty"` // events beyond those
	Findings  []foundLine             `json:"findings"`                 // that are there
	Gone      int                     `json:"findings_gone"`
	Command   string                  `json:"command"`
	Sentences []string                `json:"sentences"`
}

// event is something that happened to a repository.
type event struct {
	Index    int64  `json:"index"` // -1: no entry
	Time     int64  `json:"time,omitempty"`
	Kind     string `json:"kind"` // genesis, rotation, release, evidence or finding
	Text     string `json:"text"`
	Finding  string `json:"finding,omitempty"` // its id
	Class    string `json:"class,omitempty"`
	sequence int64
}

// maxEvents is how many events a timeline has.
const maxEvents = 40

func (s *Server) repository(r *http.Request) (*view, error) {
	b, err := s.book(r)
	if err != nil {
		return nil, err
	}
	id, err := tuf.ParseDigest(r.PathValue("id"))
	if err != nil {
		return nil, notFound("A repository is named by 64 digits of hex, in lower case. The list of repositories finds one by the beginning.")
	}
	p := &repositoryPage{Log: b.Name, ID: id, Timeline: []event{}, Findings: []foundLine{}}
	p.Watched = b.watched(r.Context(), id)
	var w *window
	err = b.read(r.Context(), func(db *reader) (err error) {
		w, err = b.readRepository(r.Context(), db, p)
		return err
	})
	if errors.Is(err, errNothingYet) {
		err = notFound("Nothing of this log has been judged yet.")
	}
	if err != nil {
		return nil, err
	}
	if w != nil {
		if p.Told, err = b.tell(r.Context(), w); err != nil {
			return nil, err
		}
	} else {
		p.Told = &told{Trouble: errLong.Error()}
	}
	p.Command = b.command("auditor show " + id.String())
	p.Sentences = p.say()
	title := p.Watched.Name
	if title == "" {
		title = "Repository " + id.Short()
	}
	return &view{template: "repository", title: title, section: "logs", log: b.Name, data: p}, nil
}

// readRepository reads what the state says of a repository. The window is nil if it has too
// many leaves.
func (b *book) readRepository(ctx context.Context, db *reader, p *repositoryPage) (*window, error) {
	known, ok, err := db.Repository(ctx, p.ID)
	if err == nil && (!ok || known.Genesis < 0) {
		return nil, notFound("The log %s has no repository with this id, in its first %s.", b.Name, plural(db.Size(), "entry"))
	}
	if err != nil {
		return nil, err
	}
	p.Line = b.lineOfRepository(ctx, known)
	if report, ok := reportOf(known); ok {
		p.Report = &report
	}
	w, err := windowOf(ctx, db, known)
	if err != nil && !errors.Is(err, errLong) {
		return nil, err
	}
	if err := b.findingsAbout(ctx, db, p); err != nil {
		return nil, err
	}
	if w != nil {
		p.addReleases(w)
	}
	slices.SortStableFunc(p.Timeline, func(x, y event) int {
		return cmp.Or(cmp.Compare(y.sequence, x.sequence), cmp.Compare(x.Kind, y.Kind))
	})
	if p.Older = len(p.Timeline) - maxEvents; p.Older > 0 {
		p.Timeline = p.Timeline[:maxEvents]
	}
	p.Older = max(p.Older, 0)
	return w, nil
}

// findingsAbout reads the findings about a repository.
func (b *book) findingsAbout(ctx context.Context, db *reader, p *repositoryPage) error {
	last := db.Size()
	err := db.Findings(ctx, true, func(f state.Finding) error {
		if f.Repository != p.ID {
			return nil
		}
		line, err := b.lineOf(ctx, f)
		if err != nil {
			return err
		}
		if line.State == stateGone {
			p.Gone++
		} else if len(p.Findings) < pageSize {
			p.Findings = append(p.Findings, line)
		}
		e := event{Index: line.Index, Time: line.Time, Kind: "finding", Text: line.Sentence, Finding: line.ID, Class: string(line.Class), sequence: line.Index}
		if e.Index < 0 {
			e.sequence = last // it is true of the present
		}
		if line.State != stateGone || e.Index >= 0 {
			p.Timeline = append(p.Timeline, e)
		}
		return nil
	})
	slices.SortStableFunc(p.Findings, func(x, y foundLine) int { return cmp.Compare(classRank(string(x.Class)), classRank(string(y.Class))) })
	return err
}

// addReleases adds a repository's releases to its timeline.
func (p *repositoryPage) addReleases(w *window) {
	for i, r := range w.records {
		if minor(r.Leaf.Role) {
			continue
		}
		e := event{Index: r.Index, Kind: "release", Text: tuf.Word(r.Leaf.Role) + " " + strconv.FormatInt(r.Leaf.Version, 10) + " was released", sequence: r.Index}
		switch {
		case i == 0:
			e.Kind, e.Text = "genesis", "the repository began, with root "+strconv.FormatInt(r.Leaf.Version, 10)
		case r.Leaf.Contradicts != 0 || r.Leaf.Kind == "evidence":
			e.Kind, e.Text = "evidence", "a second payload of "+tuf.Word(r.Leaf.Role)+" "+strconv.FormatInt(r.Leaf.Version, 10)+" was shown: its keys signed two"
		case r.Leaf.Role == tuf.RoleRoot:
			e.Kind, e.Text = "rotation", "root "+strconv.FormatInt(r.Leaf.Version, 10)+" replaced the one before"
		}
		p.Timeline = append(p.Timeline, e)
	}
}

// say words what a stranger can say.
func (p *repositoryPage) say() []string {
	var says []string
	if p.Report != nil {
		says = append(says, "The log has "+plural(p.Report.Releases, "release")+" of "+plural(len(p.Report.Roles), "role")+" of this repository, since entry "+number(p.Line.Genesis)+".")
		if p.Report.Evidence > 0 {
			says = append(says, "It also has "+plural(p.Report.Evidence, "proof")+" that its keys signed two payloads under one version.")
		}
	}
	switch n := len(p.Findings); {
	case n == 0:
		says = append(says, "Nothing about it was found that is worth a look.")
	default:
		bad := 0
		for _, f := range p.Findings {
			if slices.Contains(worst, f.Class) {
				bad++
			}
		}
		if bad > 0 {
			says = append(says, plural(bad, "finding")+" about it "+isAre(int64(bad))+" serious.")
		} else {
			says = append(says, plural(n, "finding")+" about it "+isAre(int64(n))+" worth a look, and none is serious.")
		}
	}
	stood := 0
	for _, row := range p.Told.Rows {
		if len(row.Unlike) > 0 {
			stood++
		}
	}
	if n := len(p.Told.Rows); n > 1 {
		if stood == 0 {
			says = append(says, "Of its last "+plural(n, "release")+" none stands out from those before.")
		} else {
			says = append(says, "Of its last "+plural(n, "release")+", "+number(stood)+" "+standsOut(stood)+" from those before.")
		}
	}
	if p.Line.Again {
		says = append(says, "It is being judged again now: a file that this takes was missing.")
	}
	return says
}

func standsOut(n int) string {
	if n == 1 {
		return "stands out"
	}
	return "stand out"
}
