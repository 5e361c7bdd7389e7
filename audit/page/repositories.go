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
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// repositoriesPage is a list of a log's repositories.
type repositoriesPage struct {
	standing
	Log          string           `json:"log"`
	Query        string           `json:"query,omitempty"`
	Order        string           `json:"order"` // newest, id or findings
	Repositories []repositoryLine `json:"repositories"`
	Total        int64            `json:"total"` // that the log has
	turning
}

// repositoryLine is a repository in a list.
type repositoryLine struct {
	ID       string `json:"id"`
	Name     string `json:"name,omitempty"` // here
	Genesis  int64  `json:"genesis"`        // its first entry; -1: none of its entries is right
	Newest   int64  `json:"newest"`         // its newest entry
	Entries  int64  `json:"entries"`
	Findings int64  `json:"findings"` // that are open
}

func (b *book) lineOfRepository(ctx context.Context, l state.Listing) repositoryLine {
	return repositoryLine{ID: l.ID.String(), Name: b.name(ctx, l.ID), Genesis: l.Genesis, Newest: l.Newest, Entries: l.Leaves, Findings: l.Findings}
}

// orders are the words for orders in URLs.
var orders = map[string]state.Order{"newest": state.ByNewest, "id": state.ByID, "findings": state.ByFindings}

func (s *Server) repositories(r *http.Request) (*view, error) {
	b, err := s.book(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	p := &repositoriesPage{Log: b.Name, Query: strings.TrimSpace(q.Get("q")), Order: cmp.Or(q.Get("order"), "newest"), Repositories: []repositoryLine{}}
	if _, ok := orders[p.Order]; !ok {
		return nil, badRequest("Repositories are listed by newest, by id or by findings.")
	}
	next := ""
	err = b.read(r.Context(), func(db *reader) (err error) {
		if p.Total, err = db.CountRepositories(r.Context()); err != nil {
			return err
		}
		p.Repositories, next, err = b.listRepositories(r.Context(), db, p.Query, orders[p.Order], q.Get("after"), pageSize)
		return err
	})
	if err != nil && !errors.Is(err, errNothingYet) {
		return nil, err
	}
	p.turning = turn(r, next)
	if p.standing, err = b.standing(r.Context()); err != nil {
		return nil, err
	}
	return &view{template: "repositories", title: "Repositories of " + b.Name, section: "logs", log: b.Name, data: p}, nil
}

// listRepositories reads those whose id begins with a query, or whose name here has it in it.
func (b *book) listRepositories(ctx context.Context, db *reader, query string, order state.Order, after string, most int) (list []repositoryLine, next string, err error) {
	list = []repositoryLine{}
	query = strings.ToLower(query)
	if query != "" {
		for _, w := range b.known(ctx) {
			if after != "" || len(list) == most || !strings.Contains(strings.ToLower(w.Name), query) {
				continue
			}
			found, _, err := db.ListRepositories(ctx, state.RepositoryQuery{Order: state.ByID, Prefix: w.ID.String()}, state.Page{Limit: 1})
			if err != nil {
				return nil, "", err
			}
			for _, l := range found {
				list = append(list, b.lineOfRepository(ctx, l))
			}
		}
		order = state.ByID
		if !isHex(query) || len(query) > 2*len(tuf.Digest{}) {
			return list, "", nil
		}
	}
	found, next, err := db.ListRepositories(ctx, state.RepositoryQuery{Order: order, Prefix: query}, state.Page{After: after, Limit: most})
	if errors.Is(err, state.ErrPage) {
		return nil, "", badRequest("The list does not go on from there.")
	}
	for _, l := range found {
		if !slices.ContainsFunc(list, func(other repositoryLine) bool { return other.ID == l.ID.String() }) {
			list = append(list, b.lineOfRepository(ctx, l))
		}
	}
	return list, next, err
}

func isHex(text string) bool { return strings.Trim(text, "0123456789abcdef") == "" }

// repositoryPage is one repository: what a stranger can say of its releases.
type repositoryPage struct {
	standing
	Log       string                  `json:"log"`
	ID        tuf.Digest              `json:"id"`
	Genesis   int64                   `json:"genesis"`
	Again     bool                    `json:"again,omitempty"` // it is being judged again
	Watched   Watched                 `json:"watched"`
	Report    *audit.RepositoryReport `json:"report,omitempty"` // nil: it is being made
	Told      *told                   `json:"told"`
	Timeline  []event                 `json:"timeline"` // the newest first
	turning                           // of the timeline
	Findings  []foundLine             `json:"findings"` // that are there, the worst first
	Open      int64                   `json:"findings_open"`
	Acked     int64                   `json:"findings_acknowledged"`
	Gone      int64                   `json:"findings_gone"`
	Serious   int64                   `json:"findings_serious"` // open ones of the worst classes
	Command   string                  `json:"command"`
	Sentences []string                `json:"sentences"`
}

// event is something that happened to a repository.
type event struct {
	Index   int64  `json:"index"` // -1: no entry
	Time    int64  `json:"time,omitempty"`
	Kind    string `json:"kind"` // genesis, rotation, release, evidence or finding
	Text    string `json:"text"`
	Finding string `json:"finding,omitempty"` // its id
	Class   string `json:"class,omitempty"`
}

const (
	// maxEvents is how many entries are read at a time for a part of a timeline, until half as
	// many are no snapshots or timestamps, and maxParts how many times.
	maxEvents = 40
	maxParts  = 10
	// maxAbout is how many findings about a repository its page lists, and maxInTimeline how
	// many it looks at to put them into the timeline.
	maxAbout      = 6
	maxInTimeline = 400
)

func (s *Server) repository(r *http.Request) (*view, error) {
	b, err := s.book(r)
	if err != nil {
		return nil, err
	}
	id, err := tuf.ParseDigest(r.PathValue("id"))
	if err != nil {
		return nil, notFound("A repository is named by 64 digits of hex, in lower case. The list of repositories finds one by the beginning.")
	}
	p := &repositoryPage{Log: b.Name, ID: id, Timeline: []event{}, Findings: []foundLine{}, Watched: b.watched(r.Context(), id)}
	var w *window
	next := ""
	err = b.read(r.Context(), func(db *reader) (err error) {
		if w, err = b.readRepository(r.Context(), db, p); err == nil {
			next, err = b.readTimeline(r.Context(), db, p, r.URL.Query().Get("after"))
		}
		return err
	})
	if errors.Is(err, errNothingYet) {
		err = notFound("Nothing of this log has been judged yet.")
	}
	if err != nil {
		return nil, err
	}
	p.turning = turn(r, next)
	if p.standing, err = b.standing(r.Context()); err != nil {
		return nil, err
	}
	p.Told = &told{Trouble: errLong.Error()}
	if w != nil {
		if p.Told, err = b.tell(r.Context(), w); err != nil {
			return nil, err
		}
		if err := b.read(r.Context(), func(db *reader) error { return b.whenSeen(r.Context(), db, p) }); err != nil {
			return nil, err
		}
	}
	p.Command = b.command("auditor show " + id.String())
	p.Sentences = p.say(b.now().Unix())
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
	p.Genesis, p.Again = known.Genesis, known.Again
	if report, ok := reportOf(known); ok {
		p.Report = &report
	}
	counts, err := db.FindingCounts(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	for _, c := range counts {
		p.Open, p.Acked, p.Gone = p.Open+c.Open, p.Acked+c.Acknowledged, p.Gone+c.Gone
		if slices.Contains(worst, audit.Class(c.Class)) {
			p.Serious += c.Open
		}
	}
	for _, status := range []state.Status{state.StatusOpen, state.StatusAcknowledged} {
		if room := maxAbout - len(p.Findings); room > 0 {
			found, _, err := b.listFindings(ctx, db, state.FindingQuery{Repository: p.ID, Status: status}, "", room)
			if err != nil {
				return nil, err
			}
			p.Findings = append(p.Findings, found...)
		}
	}
	w, err := windowOf(ctx, db, known)
	if errors.Is(err, errLong) {
		return nil, nil //nolint:nilnil // it is said in the comment
	}
	return w, err
}

// whenSeen adds when witnesses had seen the releases that are told.
func (b *book) whenSeen(ctx context.Context, db *reader, p *repositoryPage) (err error) {
	of := *p.Told // it is kept for others
	of.Rows = slices.Clone(of.Rows)
	for i := range of.Rows {
		if of.Rows[i].SeenBy, err = b.seen(ctx, db, of.Rows[i].Index); err != nil {
			return err
		}
	}
	p.Told = &of
	return nil
}

// readTimeline reads a part of the timeline: entries, and the findings about them. The first
// part begins with the findings that are about no entry.
func (b *book) readTimeline(ctx context.Context, db *reader, p *repositoryPage, after string) (next string, err error) {
	first := after == ""
	var leaves []state.Leaf
	told := 0
	for range maxParts {
		part, more, err := db.NewestLeaves(ctx, state.LeafQuery{Repository: p.ID}, state.Page{After: after, Limit: maxEvents})
		if errors.Is(err, state.ErrPage) {
			return "", badRequest("The timeline does not go on from there.")
		}
		if err != nil {
			return "", err
		}
		leaves = append(leaves, part...)
		for _, l := range part {
			if !minor(l.Role) {
				told++
			}
		}
		if next, after = more, more; next == "" || told >= maxEvents/2 {
			break
		}
	}
	about := map[int64][]event{}
	found, _, err := db.ListFindings(ctx, state.FindingQuery{Repository: p.ID}, state.Page{Limit: maxInTimeline})
	if err != nil {
		return "", err
	}
	for _, f := range found {
		line, err := b.lineOf(ctx, db, f)
		if err != nil {
			return "", err
		}
		if line.Index >= 0 || line.State != stateGone && first {
			about[line.Index] = append(about[line.Index], event{Index: line.Index, Time: line.Time, Kind: "finding", Text: line.Sentence, Finding: line.ID, Class: string(line.Class)})
		}
	}
	p.Timeline = append(p.Timeline, about[-1]...)
	for _, l := range leaves {
		p.Timeline = append(p.Timeline, about[l.Index]...)
		if minor(l.Role) && len(about[l.Index]) == 0 {
			continue
		}
		e := eventOf(l, p.Genesis)
		if e.Time, err = b.seen(ctx, db, l.Index); err != nil {
			return "", err
		}
		p.Timeline = append(p.Timeline, e)
	}
	return next, nil
}

// eventOf says what an entry was for its repository.
func eventOf(l state.Leaf, genesis int64) event {
	is := tuf.Word(l.Role) + " " + strconv.FormatInt(l.Version, 10)
	e := event{Index: l.Index, Kind: "release", Text: is + " was released"}
	switch {
	case l.Verdict != state.Right:
		e.Text = is + " was logged, and is not right: " + string(l.Verdict)
	case l.Index == genesis:
		e.Kind, e.Text = "genesis", "the repository began, with "+is
	case l.Kind == leaf.Evidence:
		e.Kind, e.Text = "evidence", "a second payload of "+is+" was shown: its keys signed two"
	case l.Role == tuf.RoleRoot:
		e.Kind, e.Text = "rotation", is+" replaced the one before"
	}
	return e
}

// say words what a stranger can say.
func (p *repositoryPage) say(now int64) []string {
	var says []string
	if p.Report != nil {
		says = append(says, "The log has "+plural(p.Report.Releases, "release")+" of "+plural(len(p.Report.Roles), "role")+" of this repository, since entry "+number(p.Genesis)+".")
		if p.Report.Evidence > 0 {
			says = append(says, "It also has "+plural(p.Report.Evidence, "proof")+" that its keys signed two payloads under one version.")
		}
		var over []string
		for _, role := range p.Report.Roles {
			if (role.Role == tuf.RoleRoot || role.Role == tuf.RoleTargets) && role.Index >= 0 && role.Expires != 0 && role.Expires <= now {
				over = append(over, role.Role)
			}
		}
		if len(over) > 0 {
			says = append(says, "Its "+strings.Join(over, " and its ")+" expired, and nothing newer is logged: a device installs nothing from it today.")
		}
	}
	switch {
	case p.Serious > 0:
		says = append(says, plural(p.Serious, "open finding")+" about it "+isAre(p.Serious)+" serious.")
	case p.Open > 0:
		says = append(says, plural(p.Open, "open finding")+" about it "+isAre(p.Open)+" worth a look, and none is serious.")
	case p.Acked > 0:
		says = append(says, "No finding about it is open; "+plural(p.Acked, "finding")+" "+isAre(p.Acked)+" acknowledged.")
	default:
		says = append(says, "Nothing about it was found that is worth a look.")
	}
	stood := 0
	for _, row := range p.Told.Rows {
		if len(row.Unlike) > 0 {
			stood++
		}
	}
	if n := len(p.Told.Rows); p.Told.Trouble != "" {
		says = append(says, "What its last releases changed cannot be told here now; the timeline names them.")
	} else if n > 1 {
		if stood == 0 {
			says = append(says, "Of its last "+plural(n, "release")+" none stands out from those before.")
		} else {
			says = append(says, "Of its last "+plural(n, "release")+", "+number(stood)+" "+standsOut(stood)+" from those before.")
		}
	}
	if p.Again {
		says = append(says, "It is being judged again now: a file that this takes was missing.")
	}
	if p.accused() {
		says = append(says, "There are findings against the log itself: others may have been shown other releases.")
	}
	return says
}

func standsOut(n int) string {
	if n == 1 {
		return "stands out"
	}
	return "stand out"
}
