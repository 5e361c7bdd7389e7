package state

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

// Search says which files are listed. What is not zero must be the file's. One of all but
// Current is required.
type Search struct {
	Query
	Prefix  string // what the path begins with
	Part    string // what the path contains; upper and lower case differ
	Current bool   // the last release of its role lists it
}

// Of a Search that no index answers by itself a page looks at so many rows, and roles.
const (
	maxScanned      = 20_000
	maxScannedWhole = 4000 // where more than an index is read of each
	maxScannedRoles = 1000
)

// conditions are joined by AND.
type conditions struct {
	sql  []string
	args []any
}

func (c *conditions) add(condition string, args ...any) {
	c.sql, c.args = append(c.sql, condition), append(c.args, args...)
}

func (c *conditions) String() string {
	if len(c.sql) == 0 {
		return "true"
	}
	return strings.Join(c.sql, " AND ")
}

// beginsWith adds that a column begins with a text.
func (c *conditions) beginsWith(column, prefix string) {
	c.add(column+" >= ?", prefix)
	if end := successor(prefix); end != "" {
		c.add(column+" < ?", end)
	}
}

// successor returns the first text that is larger than all that begin with a prefix; empty:
// none is.
func successor(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string(prefix[i]+1)
		}
	}
	return ""
}

// SearchFiles returns files, and the next page: by hash and by path in the order in which the
// roles that list them came into the log, by repository in that order too and of each role the
// newest first, by a prefix or a part of the path in the order of paths.
//
// A page costs what is in it. No index knows which paths contain a part, which of a repository
// begin with a prefix, or which of the files that were found are Current: then a page is what
// was found among the next 20,000 rows or fewer. It may be empty, and have a next page
// nevertheless.
func (r *Reader) SearchFiles(ctx context.Context, q Search, p Page) ([]File, string, error) {
	var in, each conditions // rows of an index, and which of these
	byPath := false
	switch {
	case !q.SHA256.IsZero():
		in.add("t.sha256 = ?", q.SHA256[:])
	case q.SHA512 != nil:
		in.add("t.sha512 = ?", q.SHA512)
	case q.Path != "":
		in.add("t.path = ?", q.Path)
	case !q.Repository.IsZero():
		return r.searchRepository(ctx, q, p)
	case q.Prefix != "" || q.Part != "":
		byPath = true
		in.beginsWith("t.path", q.Prefix)
	default:
		return nil, "", errors.New("auditor state: a search for all files of all repositories")
	}
	if !q.Repository.IsZero() {
		number, ok, err := r.knownRepository(ctx, q.Repository)
		if err != nil || !ok {
			return nil, "", err
		}
		in.add("t.role IN (SELECT role FROM roles WHERE repository = ?)", number)
	}
	q.each(&each)
	key, next := "t.role, t.number", func(f File) string { return nextOf(f.role, f.number) }
	if byPath {
		key, next = "t.path, t.role, t.number", func(f File) string { return nextAfter(f.Path, f.role, f.number) }
		path, numbers, ok, err := p.text(2)
		if err != nil {
			return nil, "", err
		}
		if ok {
			in.add("(t.path, t.role, t.number) > (?, ?, ?)", path, numbers[0], numbers[1])
		}
	} else if numbers, err := p.numbers(2); err != nil {
		return nil, "", err
	} else if numbers != nil {
		in.add("(t.role, t.number) > (?, ?)", numbers[0], numbers[1])
	}
	scanned := maxScanned
	if q.Current || !byPath {
		scanned = maxScannedWhole
	}
	rows := " FROM targets t WHERE " + in.String() + " ORDER BY " + key
	var list []File
	err := r.files(ctx, "FROM (SELECT t.role, t.number"+rows+" LIMIT ?) k CROSS JOIN targets t ON t.role = k.role AND t.number = k.number JOIN roles r ON r.role = t.role JOIN repositories p USING (repository) WHERE "+each.String()+" LIMIT ?",
		slices.Concat(in.args, []any{scanned}, each.args, []any{p.limit() + 1}), func(f File) error {
			list = append(list, f)
			return nil
		})
	if err != nil {
		return nil, "", err
	}
	if len(list) > p.limit() {
		list, after := cut(list, p.limit(), next)
		return list, after, nil
	}
	// Perhaps there are more rows than were looked at.
	var last File
	more, err := r.row(ctx, "SELECT t.path, t.role, t.number"+rows+" LIMIT 1 OFFSET ?", slices.Concat(in.args, []any{scanned - 1}), &last.Path, &last.role, &last.number)
	if err != nil || !more {
		return list, "", err
	}
	return list, next(last), nil
}

// each adds the conditions that rows are looked at for.
func (q *Search) each(c *conditions) {
	if !q.SHA256.IsZero() {
		c.add("t.sha256 = ?", q.SHA256[:])
	}
	if q.SHA512 != nil {
		c.add("t.sha512 = ?", q.SHA512)
	}
	if q.Path != "" {
		c.add("t.path = ?", q.Path)
	}
	if q.Prefix != "" {
		c.beginsWith("t.path", q.Prefix)
	}
	if q.Part != "" {
		c.add("instr(t.path, ?) > 0", q.Part)
	}
	if q.Current {
		c.add("t.last IS NULL")
	}
}

// searchRepository returns files that a repository lists.
func (r *Reader) searchRepository(ctx context.Context, q Search, p Page) ([]File, string, error) {
	number, ok, err := r.knownRepository(ctx, q.Repository)
	if err != nil || !ok {
		return nil, "", err
	}
	after, err := p.numbers(2)
	if err != nil {
		return nil, "", err
	}
	at, before := int64(0), int64(0) // the role, and the row that is not looked at any more; 0: none
	if after != nil {
		at, before = after[0], after[1]
	}
	var each conditions
	q.each(&each)
	roles, err := r.rolesFrom(ctx, number, at)
	if err != nil {
		return nil, "", err
	}
	var list []File
	left := int64(maxScannedWhole)
	for i, role := range roles {
		if role != at || after == nil {
			if _, err := r.row(ctx, "SELECT coalesce(max(number), -1) + 1 FROM targets WHERE role = ?", []any{role}, &before); err != nil {
				return nil, "", err
			}
		}
		if left <= 0 || i == maxScannedRoles {
			return list, nextOf(role, before), nil
		}
		from := max(before-left, 0)
		err := r.files(ctx, "FROM targets t JOIN roles r USING (role) JOIN repositories p USING (repository) WHERE t.role = ? AND t.number >= ? AND t.number < ? AND "+each.String()+" ORDER BY t.number DESC LIMIT ?",
			slices.Concat([]any{role, from, before}, each.args, []any{p.limit() + 1 - len(list)}), func(f File) error {
				list = append(list, f)
				return nil
			})
		if err != nil {
			return nil, "", err
		}
		if len(list) > p.limit() {
			list, next := cut(list, p.limit(), func(f File) string { return nextOf(f.role, f.number) })
			return list, next, nil
		}
		if from > 0 {
			return list, nextOf(role, from), nil
		}
		left -= before
	}
	return list, "", nil
}

// rolesFrom returns the roles of a repository from a number on, one more than are looked at.
func (r *Reader) rolesFrom(ctx context.Context, repository, from int64) (roles []int64, err error) {
	err = r.each(ctx, "SELECT role FROM roles WHERE repository = ? AND role >= ? ORDER BY role LIMIT ?", []any{repository, from, maxScannedRoles + 1}, func(scan func(...any) error) error {
		var role int64
		err := scan(&role)
		roles = append(roles, role)
		return err
	})
	return roles, err
}

// KeySearch says which keys are listed: those whose id begins with a prefix, or if that is
// empty those with an identity.
type KeySearch struct {
	Prefix   string
	Identity tuf.KeyIdentity
}

// SearchKeys returns keys where releases list them, and the next page: in the order of ids, and
// of an id in the order in which the roles came into the log.
func (r *Reader) SearchKeys(ctx context.Context, q KeySearch, p Page) ([]KeyUse, string, error) {
	if q.Prefix == "" && q.Identity == (tuf.KeyIdentity{}) {
		return nil, "", errors.New("auditor state: a search for all keys")
	}
	var in conditions
	key, next := "t.role, t.number", func(k KeyUse) string { return nextOf(k.role, k.number) }
	if q.Prefix != "" {
		key, next = "t.id, t.role, t.number", func(k KeyUse) string { return nextAfter(k.ID, k.role, k.number) }
		in.beginsWith("t.id", q.Prefix)
		id, numbers, ok, err := p.text(2)
		if err != nil {
			return nil, "", err
		}
		if ok {
			in.add("(t.id, t.role, t.number) > (?, ?, ?)", id, numbers[0], numbers[1])
		}
	} else {
		in.add("t.identity = ?", q.Identity[:])
		numbers, err := p.numbers(2)
		if err != nil {
			return nil, "", err
		}
		if numbers != nil {
			in.add("(t.role, t.number) > (?, ?)", numbers[0], numbers[1])
		}
	}
	var list []KeyUse
	err := r.keyUses(ctx, "FROM (SELECT t.role, t.number FROM keys t WHERE "+in.String()+" ORDER BY "+key+" LIMIT ?) k CROSS JOIN keys t ON t.role = k.role AND t.number = k.number JOIN roles r ON r.role = t.role JOIN repositories p USING (repository)",
		append(in.args, p.limit()+1), func(k KeyUse) error {
			list = append(list, k)
			return nil
		})
	if err != nil {
		return nil, "", err
	}
	list, after := cut(list, p.limit(), next)
	return list, after, nil
}

// SizeAt is the size of the largest tree whose checkpoint was seen by a time.
type SizeAt struct {
	Seen int64 // POSIX seconds
	Size int64
}

// maxPoints is the most points that Sizes returns.
const maxPoints = 1000

// Sizes returns how the log has grown between two times, in the order of time: of the
// checkpoints that were seen in each of so many equal parts of that time the last one. points
// is at most 1000. Checkpoints that version 3 of the state kept have no time.
func (r *Reader) Sizes(ctx context.Context, from, to time.Time, points int) ([]SizeAt, error) {
	points = min(max(points, 1), maxPoints)
	begin, end := max(from.Unix(), 1), to.Unix()
	var list []SizeAt
	for i := points; i > 0 && end >= begin; i-- {
		var s SizeAt
		ok, err := r.row(ctx, "SELECT seen, size FROM notes WHERE seen >= ? AND seen <= ? ORDER BY seen DESC, size DESC LIMIT 1", []any{begin, end}, &s.Seen, &s.Size)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		list = append(list, s)
		// The part of the time in which that one is ends where this one begins.
		part := max((to.Unix()-begin)/int64(points), 1)
		end = min(s.Seen-1, to.Unix()-part*((to.Unix()-s.Seen)/part+1))
	}
	slices.SortFunc(list, func(x, y SizeAt) int { return cmp.Compare(x.Seen, y.Seen) })
	return list, nil
}
