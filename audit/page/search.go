package page

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/audit/lookup"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
)

const (
	// maxQuery is how many bytes a search has: the longest path that a target may have.
	maxQuery = tuf.MaxTargetPath
	// maxHits is how many answers of a kind a search shows of a log.
	maxHits = 50
	// maxSearches is how many searches are made at once, half of them for one address.
	maxSearches = 4
)

// searchPage is what a search finds.
type searchPage struct {
	Query    string      `json:"query"`
	Read     []string    `json:"read_as"` // what the words can be: a path, a SHA-256, …
	Logs     []searchLog `json:"logs"`
	Found    bool        `json:"found"`
	Whole    bool        `json:"whole"` // all of all logs was looked at: what is not found is not there
	Sentence string      `json:"sentence"`
	Means    string      `json:"means,omitempty"` // if nothing is found
}

// searchLog is what a search finds in a log.
type searchLog struct {
	Log string `json:"log"`
	standing
	Judged       int64            `json:"judged"`                  // entries that were searched
	Trouble      string           `json:"trouble,omitempty"`       // why it could not be searched
	NotSeen      []string         `json:"not_looked_at,omitempty"` // of what there is more than one page looks at
	Next         string           `json:"next,omitempty"`          // where the search for files goes on
	NextKeys     string           `json:"next_keys,omitempty"`
	Files        []fileHit        `json:"files"`
	Part         bool             `json:"part,omitempty"` // the query is a part of the files' paths, their beginning or another
	MoreFiles    bool             `json:"more_files,omitempty"`
	Named        []entryLine      `json:"entries"` // that name what is sought as their metadata or payload, or have the index
	Keys         []keyHit         `json:"keys"`
	MoreKeys     bool             `json:"more_keys,omitempty"`
	Repositories []repositoryLine `json:"repositories"`
	MoreRepos    bool             `json:"more_repositories,omitempty"`
	Roles        []roleHit        `json:"roles"`
	MoreRoles    bool             `json:"more_roles,omitempty"`
	Finding      string           `json:"finding,omitempty"` // the id
}

func (l *searchLog) any() bool {
	return len(l.Files)+len(l.Named)+len(l.Keys)+len(l.Repositories)+len(l.Roles) > 0 || l.Finding != ""
}

// fileHit is a target file in releases.
type fileHit struct {
	Path       string     `json:"path"`
	Length     int64      `json:"length"`
	SHA256     string     `json:"sha256,omitempty"`
	SHA512     string     `json:"sha512,omitempty"`
	Repository tuf.Digest `json:"repository"`
	Name       string     `json:"name,omitempty"`
	Role       string     `json:"role"`
	Since      int64      `json:"since"` // index of the first of the successive releases that list it
	Last       int64      `json:"last"`
	Newest     bool       `json:"newest"` // the newest release of the role lists it
	Force      string     `json:"force"`  // in force, expired, replaced, withdrawn or not known
	Evidence   bool       `json:"evidence,omitempty"`
}

// keyHit is a key in releases.
type keyHit struct {
	ID         string          `json:"id"`
	Repository tuf.Digest      `json:"repository"`
	Name       string          `json:"name,omitempty"`
	Role       string          `json:"role"` // whose releases list it
	Since      int64           `json:"since"`
	Last       int64           `json:"last"`
	Newest     bool            `json:"newest"`
	Signs      []state.KeyRole `json:"signs"`
	More       int64           `json:"more,omitempty"`
}

// roleHit is a repository that has a role of a name.
type roleHit struct {
	Role       string     `json:"role"`
	Repository tuf.Digest `json:"repository"`
	Name       string     `json:"name,omitempty"`
}

func (s *Server) search(r *http.Request) (*view, error) {
	in := r.URL.Query()
	q := strings.TrimSpace(in.Get("q"))
	p := &searchPage{Query: q, Read: []string{}, Logs: []searchLog{}, Whole: true}
	if len(q) > maxQuery {
		return nil, badRequest("Nothing of this length is logged: a path has at most %s bytes.", number(maxQuery))
	}
	// A search that goes on does so in one log, for one kind.
	from := place{log: in.Get("log"), files: in.Get("files"), keys: in.Get("keys")}
	if from.on() && !slices.ContainsFunc(s.books, func(b *book) bool { return b.Name == from.log }) {
		return nil, badRequest("A search goes on in one of the logs here.")
	}
	if q != "" {
		leave, err := s.searches.enter(r.Context())
		if err != nil {
			return nil, err
		}
		defer leave()
		query := readQuery(q)
		p.Read = query.read
		for _, b := range s.books {
			if from.on() && b.Name != from.log {
				continue
			}
			found, err := s.searchLog(r.Context(), b, query, from)
			if err != nil {
				return nil, err
			}
			p.Found = p.Found || found.any()
			p.Whole = p.Whole && found.Trouble == "" && len(found.NotSeen) == 0
			p.Logs = append(p.Logs, *found)
		}
		p.say()
	}
	return &view{template: "search", title: "Search", section: "search", data: p}, nil
}

// searchLog searches a log. One that cannot be read does not hide what others have.
func (s *Server) searchLog(ctx context.Context, b *book, q query, from place) (*searchLog, error) {
	found := &searchLog{Log: b.Name, Files: []fileHit{}, Named: []entryLine{}, Keys: []keyHit{}, Repositories: []repositoryLine{}, Roles: []roleHit{}}
	err := b.read(ctx, func(db *reader) error { return b.find(ctx, db, q, from, found) })
	if err == nil {
		found.standing, err = b.standing(ctx)
	}
	switch {
	case err == nil:
	case errors.Is(err, errNothingYet):
		found.Trouble = "nothing of this log has been judged yet"
	case errors.As(err, new(errBadRequest)), passing(err), ctx.Err() != nil:
		return nil, err
	default:
		s.cfg.Logger.Error("a log cannot be searched", "log", b.Name, "error", err)
		*found = searchLog{Log: b.Name, Files: []fileHit{}, Named: []entryLine{}, Keys: []keyHit{}, Repositories: []repositoryLine{}, Roles: []roleHit{},
			Trouble: "what this auditor keeps of this log could not be read"}
	}
	if found.Next != "" {
		found.Next = "?" + url.Values{"q": {q.text}, "log": {b.Name}, "files": {found.Next}}.Encode()
	}
	if found.NextKeys != "" {
		found.NextKeys = "?" + url.Values{"q": {q.text}, "log": {b.Name}, "keys": {found.NextKeys}}.Encode()
	}
	return found, nil
}

// place is where a search goes on; the zero value: it begins.
type place struct{ log, files, keys string }

func (p place) on() bool { return p.files != "" || p.keys != "" }

// query is what was sought, as all that it can be.
type query struct {
	text   string
	sha256 tuf.Digest
	sha512 []byte
	prefix string // of a repository's id
	index  int64  // -1: it is none
	read   []string
}

func readQuery(text string) query {
	q := query{text: text, index: -1}
	if sum, err := lookup.ParseQuery(text); err == nil {
		if !sum.SHA256.IsZero() {
			q.sha256, q.prefix = sum.SHA256, sum.SHA256.String()
			q.read = append(q.read, "a SHA-256 of a file, of metadata or of a payload", "a repository's id", "a key's id")
		}
		if sum.SHA512 != "" {
			for i := 0; i+1 < len(sum.SHA512); i += 2 {
				b, _ := strconv.ParseUint(sum.SHA512[i:i+2], 16, 8)
				q.sha512 = append(q.sha512, byte(b))
			}
			q.read = append(q.read, "a SHA-512 of a file", "a key's id")
		}
		return q
	}
	q.read = append(q.read, "a file's path")
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		q.index = n
		q.read = append(q.read, "the index of an entry")
	}
	if lower := strings.ToLower(text); isHex(lower) && len(lower) < 64 {
		q.prefix = lower
		q.read = append(q.read, "the beginning of a repository's id")
		if len(lower) == 12 {
			q.read = append(q.read, "the id of a finding")
		}
	}
	q.read = append(q.read, "a key's id", "a role", "the name of a repository")
	return q
}

// find searches a log.
func (b *book) find(ctx context.Context, db *reader, q query, from place, found *searchLog) error {
	found.Judged = db.Size()
	switch {
	case from.files != "":
		return b.findFiles(ctx, db, q, from.files, found)
	case from.keys != "":
		return b.findKeys(ctx, db, q, from.keys, found)
	}
	for _, find := range []func() error{
		func() error { return b.findFiles(ctx, db, q, "", found) },
		func() error { return b.findEntries(ctx, db, q, found) },
		func() error { return b.findKeys(ctx, db, q, "", found) },
		func() error { return b.findRepositories(ctx, db, q, found) },
		func() error { return b.findRoles(ctx, db, q, found) },
	} {
		if err := find(); err != nil {
			return err
		}
	}
	kept, ok, err := db.FindingByID(ctx, q.text)
	if ok {
		found.Finding = kept.ID()
	}
	return err
}

// findFiles finds target files by their hash or path; if no path is the query, those whose path
// begins with it, or in a small log has it in it. Those of repositories that have a name here
// come first: others may list whatever they like, and as much.
func (b *book) findFiles(ctx context.Context, db *reader, q query, after string, found *searchLog) error {
	asks := []state.Search{{Query: state.Query{Path: q.text}}, {Prefix: q.text}}
	if db.Size() < smallLog {
		asks[1] = state.Search{Part: q.text}
	}
	switch {
	case !q.sha256.IsZero():
		asks = []state.Search{{Query: state.Query{SHA256: q.sha256}}}
	case q.sha512 != nil:
		asks = []state.Search{{Query: state.Query{SHA512: q.sha512}}}
	case len(q.text) < minPart:
		asks = asks[:1]
	}
	at := 0
	if after != "" {
		which, rest, ok := strings.Cut(after, ".")
		n, err := strconv.Atoi(which)
		if err != nil || !ok || n < 0 || n >= len(asks) {
			return badRequest("The search does not go on from there.")
		}
		at, after = n, rest
	}
	of := b.force(db)
	defer func() { slices.SortStableFunc(found.Files, before) }()
	for ; at < len(asks); at++ {
		found.Part = asks[at].Path == "" && asks[at].SHA256.IsZero() && asks[at].SHA512 == nil
		if after == "" {
			if err := b.findNamedFiles(ctx, db, asks[at], of, found); err != nil {
				return err
			}
		}
		// Where rows are looked at that no index knows, a page may be empty, and more follow.
		files, next, err := db.SearchFiles(ctx, asks[at], state.Page{After: after, Limit: maxHits})
		if errors.Is(err, state.ErrPage) {
			return badRequest("The search does not go on from there.")
		}
		if err == nil {
			err = b.addFiles(ctx, files, of, found)
		}
		if err != nil {
			return err
		}
		if next != "" {
			found.Next, found.MoreFiles = strconv.Itoa(at)+"."+next, true
			if found.Part && len(files) < maxHits {
				found.NotSeen = append(found.NotSeen, "paths of files")
			}
		}
		if len(found.Files) > 0 || next != "" {
			return nil
		}
		after = ""
	}
	return nil
}

// before is the order of what is shown: of repositories that have a name here first, and there
// what is in force.
func before(x, y fileHit) int {
	named := func(h fileHit) int { return min(len(h.Name), 1) }
	stands := func(h fileHit) int {
		switch {
		case h.Evidence:
			return 3
		case h.Force == inForce:
			return 0
		case h.Force == expired, h.Force == notKnown && h.Newest:
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(named(y), named(x)), cmp.Compare(stands(x), stands(y)), cmp.Compare(y.Last, x.Last))
}

// maxNamed is how many repositories that have a name here are looked at before others.
const maxNamed = 32

func (b *book) findNamedFiles(ctx context.Context, db *reader, ask state.Search, of *force, found *searchLog) error {
	for i, w := range b.known(ctx) {
		if i == maxNamed || len(found.Files) >= maxHits {
			break
		}
		ask.Repository = w.ID
		files, _, err := db.SearchFiles(ctx, ask, state.Page{Limit: maxHits})
		if err == nil {
			err = b.addFiles(ctx, files, of, found)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *book) addFiles(ctx context.Context, files []state.File, of *force, found *searchLog) (err error) {
	for _, f := range files {
		hit := fileHit{Path: f.Path, Length: f.Length, Repository: f.Repository, Name: b.name(ctx, f.Repository), Role: f.Role,
			Since: f.First, Last: f.Last, Newest: f.Open, Evidence: f.Evidence}
		if slices.ContainsFunc(found.Files, func(other fileHit) bool {
			return other.Repository == hit.Repository && other.Role == hit.Role && other.Since == hit.Since && other.Path == hit.Path && other.Evidence == hit.Evidence
		}) {
			continue
		}
		if hit.Force = replaced; !f.Evidence {
			if hit.Force, err = of.of(ctx, f.Repository, f.Role, f.First, f.Last); err != nil {
				return err
			}
		}
		if !f.SHA256.IsZero() {
			hit.SHA256 = f.SHA256.String()
		}
		if f.SHA512 != nil {
			hit.SHA512 = fmt.Sprintf("%x", f.SHA512)
		}
		found.Files = append(found.Files, hit)
	}
	return nil
}

// smallLog is how many leaves a log has at most in which parts of paths are looked for: no
// index has them.
const smallLog = 20_000

// minPart is how many bytes of a path a search takes.
const minPart = 3

func (b *book) findEntries(ctx context.Context, db *reader, q query, found *searchLog) error {
	add := func(l state.Leaf) error {
		if len(found.Named) == maxHits {
			return errEnough
		}
		found.Named = append(found.Named, b.entryOf(ctx, l))
		return nil
	}
	if !q.sha256.IsZero() {
		return enough(db.Naming(ctx, q.sha256, add))
	}
	if q.index >= 0 {
		l, ok, err := db.Leaf(ctx, q.index)
		if err == nil && ok {
			err = add(l)
		}
		return err
	}
	return nil
}

func (b *book) findKeys(ctx context.Context, db *reader, q query, after string, found *searchLog) error {
	if len(q.text) > tuf.MaxKeyID {
		return nil
	}
	if len(q.text) < minPrefix {
		return nil
	}
	keys, next, err := db.SearchKeys(ctx, state.KeySearch{Prefix: q.text}, state.Page{After: after, Limit: maxHits})
	if errors.Is(err, state.ErrPage) {
		return badRequest("The search does not go on from there.")
	}
	for _, k := range keys {
		found.Keys = append(found.Keys, keyHit{ID: k.ID, Repository: k.Repository, Name: b.name(ctx, k.Repository), Role: k.Role,
			Since: k.First, Last: k.Last, Newest: k.Open, Signs: k.Signs, More: k.More})
	}
	found.MoreKeys, found.NextKeys = next != "", next
	return err
}

func (b *book) findRepositories(ctx context.Context, db *reader, q query, found *searchLog) error {
	sought := cmp.Or(q.prefix, q.text)
	list, next, err := b.listRepositories(ctx, db, sought, state.ByID, "", maxHits)
	if q.prefix != "" && len(q.prefix) < minPrefix {
		// All too many ids begin so.
		list, next = slices.DeleteFunc(list, func(l repositoryLine) bool { return l.Name == "" }), ""
	}
	found.Repositories, found.MoreRepos = list, next != ""
	return err
}

// minPrefix is how many digits of an id a search takes.
const minPrefix = 4

// findRoles finds the repositories that have a role of a name: first those that have a name
// here.
func (b *book) findRoles(ctx context.Context, db *reader, q query, found *searchLog) error {
	list, whole, err := db.RolesNamed(ctx, q.text, maxHits)
	for _, r := range list {
		found.Roles = append(found.Roles, roleHit{r.Role, r.Repository, b.name(ctx, r.Repository)})
	}
	slices.SortStableFunc(found.Roles, func(x, y roleHit) int { return cmp.Compare(len(y.Name), len(x.Name)) })
	if found.MoreRoles = !whole && len(list) > 0; !whole && len(list) == 0 {
		found.NotSeen = append(found.NotSeen, "names of roles")
	}
	return err
}

// counted says how much of what was found.
func (p *searchPage) counted() string {
	counts := map[string]int{}
	more := false
	for _, l := range p.Logs {
		counts["listing of a target file"] += len(l.Files)
		counts["entry"] += len(l.Named)
		counts["listing of a key"] += len(l.Keys)
		counts["repository"] += len(l.Repositories)
		counts["role"] += len(l.Roles)
		if l.Finding != "" {
			counts["finding"]++
		}
		more = more || l.MoreFiles || l.MoreKeys || l.MoreRepos || l.MoreRoles
	}
	var parts []string
	for _, noun := range [][2]string{{"listing of a target file", "listings of target files"}, {"entry", "entries"}, {"listing of a key", "listings of keys"}, {"repository", "repositories"}, {"role", "roles"}, {"finding", "findings"}} {
		switch n := counts[noun[0]]; {
		case n == 1:
			parts = append(parts, "1 "+noun[0])
		case n > 1:
			parts = append(parts, number(n)+" "+noun[1])
		}
	}
	said := "Found: " + strings.Join(parts, ", ") + "."
	if more {
		said += " There are more than are shown."
	}
	return said
}

// say words what was found.
func (p *searchPage) say() {
	judged := int64(0)
	var accused, unread []string
	for _, l := range p.Logs {
		judged += l.Judged
		if l.accused() {
			accused = append(accused, l.Log)
		}
		if l.Trouble != "" {
			unread = append(unread, l.Log+": "+l.Trouble)
		}
	}
	what := printable.Line(tuf.Clip(p.Query))
	switch {
	case p.Found:
		p.Sentence = cmp.Or(p.saysOfFile(), p.counted())
	case !p.Whole:
		p.Sentence = fmt.Sprintf("Of what was looked at nothing is %s, and not all was: that it is not logged is not said here.", what)
		p.Means = "Go on with the search below, or ask auditor lookup, which looks at everything. The whole hash of a file, or its whole path, is always found at once."
	default:
		p.Sentence = fmt.Sprintf("Nothing of %s is in the %s that %s judged.", what, plural(judged, "entry"), map[bool]string{true: "was", false: "were"}[judged == 1])
		p.Means = "No release in these logs lists a file with this path or hash, and no key, role or repository is named so. " +
			"If a vendor who logs its releases gave you such a file, ask the vendor before you use it: a release that is not logged is what these logs exist to show. " +
			"A file that is newer than the newest checkpoint is not found yet."
	}
	if len(accused) > 0 {
		p.Sentence += fmt.Sprintf(" There are findings against %s: others may have been shown something else.", strings.Join(accused, ", "))
	}
	if len(unread) > 0 {
		p.Sentence += fmt.Sprintf(" Not searched: %s.", strings.Join(unread, "; "))
	}
}

// saysOfFile says how the releases stand that list a file whose hash or whole path was sought:
// that which stands best. It is empty if there is none.
func (p *searchPage) saysOfFile() string {
	const compare = " Compare the repository's id with your vendor's: anybody may list any file."
	best := map[string]bool{}
	for _, l := range p.Logs {
		for _, f := range l.Files {
			if !f.Evidence && !l.Part {
				best[f.Force] = true
				best["newest"] = best["newest"] || f.Force == notKnown && f.Newest
			}
		}
	}
	switch {
	case best[inForce]:
		return "A release in force lists this file." + compare
	case best[expired]:
		return "The release that lists this file has expired, and nothing newer is logged: a device installs nothing from it today." + compare
	case best["newest"]:
		return "The newest release of its role lists this file; whether that is in force is not known here now." + compare
	case len(best) > 0:
		return "A release lists this file, and is not in force any more: a device does not install it by what is logged now." + compare
	}
	return ""
}
