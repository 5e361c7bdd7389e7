package page

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
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
)

// searchPage is what a search finds.
type searchPage struct {
	Query    string      `json:"query"`
	Read     []string    `json:"read_as"` // what the words can be: a path, a SHA-256, …
	Logs     []searchLog `json:"logs"`
	Found    bool        `json:"found"`
	Sentence string      `json:"sentence"`
	Means    string      `json:"means,omitempty"` // if nothing is found
}

// searchLog is what a search finds in a log.
type searchLog struct {
	Log          string           `json:"log"`
	Judged       int64            `json:"judged"` // entries that were searched
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
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	p := &searchPage{Query: q, Read: []string{}, Logs: []searchLog{}}
	if len(q) > maxQuery {
		return nil, badRequest("Nothing of this length is logged: a path has at most %s bytes.", number(maxQuery))
	}
	if q != "" {
		query := readQuery(q)
		p.Read = query.read
		for _, b := range s.books {
			found := searchLog{Log: b.Name, Files: []fileHit{}, Named: []entryLine{}, Keys: []keyHit{}, Repositories: []repositoryLine{}, Roles: []roleHit{}}
			err := b.read(r.Context(), func(db *reader) error { return b.find(r.Context(), db, query, &found) })
			if err != nil && !errors.Is(err, errNothingYet) {
				return nil, err
			}
			p.Found = p.Found || found.any()
			p.Logs = append(p.Logs, found)
		}
		p.say()
	}
	return &view{template: "search", title: "Search", section: "search", data: p}, nil
}

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
func (b *book) find(ctx context.Context, db *reader, q query, found *searchLog) error {
	found.Judged = db.Size()
	for _, find := range []func(context.Context, *reader, query, *searchLog) error{b.findFiles, b.findEntries, b.findKeys, b.findRepositories, b.findRoles} {
		if err := find(ctx, db, q, found); err != nil {
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
// begins with it, or in a small log has it in it.
func (b *book) findFiles(ctx context.Context, db *reader, q query, found *searchLog) error {
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
	for _, ask := range asks {
		files, next, err := db.SearchFiles(ctx, ask, state.Page{Limit: maxHits})
		if err != nil {
			return err
		}
		for _, f := range files {
			hit := fileHit{Path: f.Path, Length: f.Length, Repository: f.Repository, Name: b.name(ctx, f.Repository), Role: f.Role,
				Since: f.First, Last: f.Last, Newest: f.Open, Evidence: f.Evidence}
			if !f.SHA256.IsZero() {
				hit.SHA256 = f.SHA256.String()
			}
			if f.SHA512 != nil {
				hit.SHA512 = fmt.Sprintf("%x", f.SHA512)
			}
			found.Files = append(found.Files, hit)
		}
		if found.MoreFiles = next != ""; len(files) > 0 {
			found.Part = ask.Path == "" && ask.SHA256.IsZero() && ask.SHA512 == nil
			return nil
		}
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

func (b *book) findKeys(ctx context.Context, db *reader, q query, found *searchLog) error {
	if len(q.text) > tuf.MaxKeyID {
		return nil
	}
	if len(q.text) < minPrefix {
		return nil
	}
	keys, next, err := db.SearchKeys(ctx, state.KeySearch{Prefix: q.text}, state.Page{Limit: maxHits})
	for _, k := range keys {
		found.Keys = append(found.Keys, keyHit{ID: k.ID, Repository: k.Repository, Name: b.name(ctx, k.Repository), Role: k.Role,
			Since: k.First, Last: k.Last, Newest: k.Open, Signs: k.Signs, More: k.More})
	}
	found.MoreKeys = next != ""
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
	found.MoreRoles = !whole && len(list) > 0
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
	for _, l := range p.Logs {
		judged += l.Judged
	}
	what := printable.Line(tuf.Clip(p.Query))
	if p.Found {
		p.Sentence = p.counted()
		for _, l := range p.Logs {
			for _, f := range l.Files {
				if f.Newest && !f.Evidence && !l.Part {
					p.Sentence = "A release in force lists this file. Compare the repository's id with your vendor's: anybody may list any file."
				}
			}
		}
		return
	}
	p.Sentence = fmt.Sprintf("Nothing of %s is in the %s that %s judged.", what, plural(judged, "entry"), map[bool]string{true: "was", false: "were"}[judged == 1])
	p.Means = "No release in these logs lists a file with this path or hash, and no key, role or repository is named so. " +
		"If a vendor who logs its releases gave you such a file, ask the vendor before you use it: a release that is not logged is what these logs exist to show. " +
		"A file that is newer than the newest checkpoint is not found yet."
}
