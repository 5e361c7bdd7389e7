package state

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// Page says which part of a list is asked for. A list is read from an index, so that a page
// costs the same wherever it is.
type Page struct {
	After string // what the page before gave as the next; empty: the first page
	Limit int    // how many items; 0: 50, at most MaxPage
}

// MaxPage is the most items of a page.
const MaxPage = 1000

// ErrPage is wrapped if Page.After is not what the list has given.
var ErrPage = errors.New("no such page")

func (p Page) limit() int {
	if p.Limit <= 0 {
		return 50
	}
	return min(p.Limit, MaxPage)
}

// numbers reads the numbers of After, exactly n; nil for the first page.
func (p Page) numbers(n int) ([]int64, error) {
	if p.After == "" {
		return nil, nil
	}
	parts := strings.Split(p.After, ".")
	if len(parts) != n {
		return nil, p.wrong()
	}
	numbers := make([]int64, n)
	for i, part := range parts {
		var err error
		if numbers[i], err = strconv.ParseInt(part, 10, 64); err != nil || strconv.FormatInt(numbers[i], 10) != part || numbers[i] < 0 {
			return nil, p.wrong()
		}
	}
	return numbers, nil
}

// text reads a text and the numbers behind it of After, exactly n; false for the first page.
func (p Page) text(n int) (text string, numbers []int64, ok bool, err error) {
	if p.After == "" {
		return "", nil, false, nil
	}
	encoded, rest, _ := strings.Cut(p.After, ".")
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return "", nil, false, p.wrong()
	}
	numbers, err = Page{After: rest}.numbers(n)
	if err != nil || numbers == nil {
		return "", nil, false, p.wrong()
	}
	return string(b), numbers, true, nil
}

func (p Page) wrong() error { return fmt.Errorf("auditor state: %w: after %.100q", ErrPage, p.After) }

func nextOf(numbers ...int64) string {
	var b []byte
	for i, n := range numbers {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(b)
}

func nextAfter(text string, numbers ...int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(text)) + "." + nextOf(numbers...)
}

// cut takes one item too many for the sign that there is a next page, which begins after the
// last one that is left.
func cut[T any](list []T, limit int, next func(last T) string) ([]T, string) {
	if len(list) <= limit {
		return list, ""
	}
	list = list[:limit]
	return list, next(list[limit-1])
}

// LeafQuery says which leaves are listed: those of the log, those of a repository, or those of
// a role of it.
type LeafQuery struct {
	Repository tuf.Digest // zero: all
	Role       string     // empty: all; only with a repository
}

// NewestLeaves returns leaves, whatever their verdict, the newest first, and the next page.
func (r *Reader) NewestLeaves(ctx context.Context, q LeafQuery, p Page) ([]Leaf, string, error) {
	after, err := p.numbers(1)
	if err != nil {
		return nil, "", err
	}
	before := r.size
	if after != nil {
		before = after[0]
	}
	var list []Leaf
	add := func(l Leaf) error {
		list = append(list, l)
		return nil
	}
	switch {
	case q.Repository.IsZero() && q.Role != "":
		return nil, "", errors.New("auditor state: a query for the leaves of a role of no repository")
	case q.Repository.IsZero():
		err = r.leaves(ctx, "WHERE l.leaf < ? ORDER BY l.leaf DESC LIMIT ?", []any{before, p.limit() + 1}, add)
	default:
		number, ok, knownErr := r.knownRepository(ctx, q.Repository)
		if knownErr != nil || !ok {
			return nil, "", knownErr
		}
		if q.Role != "" {
			err = r.leaves(ctx, "WHERE l.role = (SELECT role FROM roles WHERE repository = ? AND name = ?) AND l.leaf < ? ORDER BY l.leaf DESC LIMIT ?",
				[]any{number, q.Role, before, p.limit() + 1}, add)
			break
		}
		first, ok, startErr := r.start(ctx, number, after)
		if startErr != nil || !ok {
			return nil, "", startErr
		}
		err = r.leaves(ctx, `WHERE l.leaf IN (
			WITH RECURSIVE chain (leaf) AS (
				SELECT ?1 UNION ALL SELECT p.previous FROM chain c JOIN leaves p ON p.leaf = c.leaf WHERE p.previous IS NOT NULL LIMIT ?2)
			SELECT leaf FROM chain) ORDER BY l.leaf DESC`, []any{first, p.limit() + 1}, add)
	}
	if err != nil {
		return nil, "", err
	}
	list, next := cut(list, p.limit(), func(l Leaf) string { return nextOf(l.Index) })
	return list, next, nil
}

// start returns the newest leaf of a repository, or the one before that after which a page
// begins; false: there is none.
func (r *Reader) start(ctx context.Context, repository int64, after []int64) (leaf int64, ok bool, err error) {
	if after == nil {
		if err := r.tallied(ctx); err != nil {
			return 0, false, err
		}
		ok, err = r.row(ctx, "SELECT newest FROM activity WHERE repository = ?", []any{repository}, &leaf)
		return leaf, ok, err
	}
	var previous *int64
	ok, err = r.row(ctx, "SELECT previous FROM leaves JOIN roles USING (role) WHERE leaf = ? AND repository = ?", []any{after[0], repository}, &previous)
	switch {
	case err != nil:
		return 0, false, err
	case !ok:
		return 0, false, fmt.Errorf("auditor state: %w: leaf %d is not one of the repository", ErrPage, after[0])
	case previous == nil:
		return 0, false, nil
	}
	return *previous, true, nil
}

// tallied comes before the activity is read.
func (r *Reader) tallied(ctx context.Context) error {
	if r.tally == nil {
		return nil
	}
	return r.tally(ctx)
}

// Order is an order of repositories.
type Order int

// The orders of repositories.
const (
	ByNewest   Order = iota // by their newest leaves, the newest first
	ByID                    // by their ids
	ByFindings              // by how many findings about them are open, the most first
)

// RepositoryQuery says which repositories are listed, and how.
type RepositoryQuery struct {
	Order  Order
	Prefix string // of the id in hex, in lower case; only ByID
}

// Listing is a repository in a list.
type Listing struct {
	ID       tuf.Digest
	Genesis  int64 // its first right leaf; -1: none of its leaves is right
	Newest   int64 // its newest leaf, whatever its verdict
	Leaves   int64 // how many it has, whatever their verdict
	Findings int64 // how many about it are there and not acknowledged

	number int64
}

// ListRepositories returns repositories that have leaves, and the next page.
func (r *Reader) ListRepositories(ctx context.Context, q RepositoryQuery, p Page) ([]Listing, string, error) {
	if q.Prefix != "" && q.Order != ByID {
		return nil, "", errors.New("auditor state: repositories whose ids begin with something are listed by their ids")
	}
	var where string
	var args []any
	next := func(l Listing) string { return nextOf(l.Newest, l.number) }
	switch q.Order {
	case ByNewest:
		after, err := p.numbers(2)
		if err != nil {
			return nil, "", err
		}
		if after != nil {
			where, args = "WHERE (a.newest, a.repository) < (?, ?)", []any{after[0], after[1]}
		}
		where += " ORDER BY a.newest DESC, a.repository DESC"
	case ByFindings:
		after, err := p.numbers(2)
		if err != nil {
			return nil, "", err
		}
		next = func(l Listing) string { return nextOf(l.Findings, l.number) }
		if after != nil {
			where, args = "WHERE (a.findings, a.repository) < (?, ?)", []any{after[0], after[1]}
		}
		where += " ORDER BY a.findings DESC, a.repository DESC"
	case ByID:
		low, high, err := idRange(q.Prefix)
		if err != nil {
			return nil, "", err
		}
		next = func(l Listing) string { return l.ID.String() }
		where, args = "WHERE p.id >= ? AND p.id <= ?", []any{low[:], high[:]}
		if p.After != "" {
			after, err := tuf.ParseDigest(p.After)
			if err != nil {
				return nil, "", p.wrong()
			}
			where, args = where+" AND p.id > ?", append(args, after[:])
		}
		where += " ORDER BY p.id"
	default:
		return nil, "", fmt.Errorf("auditor state: no order of repositories is %d", q.Order)
	}
	if err := r.tallied(ctx); err != nil {
		return nil, "", err
	}
	var list []Listing
	err := r.each(ctx, "SELECT p.id, coalesce(p.genesis, -1), a.newest, a.leaves, a.findings, a.repository FROM activity a JOIN repositories p USING (repository) "+where+" LIMIT ?",
		append(args, p.limit()+1), func(scan func(...any) error) error {
			var l Listing
			var id []byte
			if err := scan(&id, &l.Genesis, &l.Newest, &l.Leaves, &l.Findings, &l.number); err != nil {
				return err
			}
			var err error
			l.ID, err = digest(id)
			list = append(list, l)
			return err
		})
	if err != nil {
		return nil, "", err
	}
	list, after := cut(list, p.limit(), next)
	return list, after, nil
}

// idRange returns the first and the last id that begin with a prefix in hex.
func idRange(prefix string) (low, high tuf.Digest, err error) {
	const digits = 2 * len(tuf.Digest{})
	if len(prefix) > digits || strings.Trim(prefix, "0123456789abcdef") != "" {
		return low, high, fmt.Errorf("auditor state: no id begins with %.100q: want at most %d hex digits in lower case", prefix, digits)
	}
	low, err1 := tuf.ParseDigest(prefix + strings.Repeat("0", digits-len(prefix)))
	high, err2 := tuf.ParseDigest(prefix + strings.Repeat("f", digits-len(prefix)))
	return low, high, errors.Join(err1, err2)
}

// CountRepositories returns how many repositories have leaves.
func (r *Reader) CountRepositories(ctx context.Context) (n int64, err error) {
	if err := r.tallied(ctx); err != nil {
		return 0, err
	}
	_, err = r.row(ctx, "SELECT count(*) FROM activity", nil, &n)
	return n, err
}

// Status is where a finding is in its life.
type Status int

// The states of a finding.
const (
	AnyStatus          Status = iota
	StatusOpen                // it is there, or in doubt, and nobody acknowledged it
	StatusAcknowledged        // it is there, and somebody acknowledged it
	StatusGone
)

// Status returns where the finding is in its life.
func (f *Finding) Status() Status {
	switch {
	case f.Gone > 0:
		return StatusGone
	case f.Acked != 0:
		return StatusAcknowledged
	}
	return StatusOpen
}

// FindingQuery says which findings are listed. What is not zero must be theirs.
type FindingQuery struct {
	Class, Kind string
	Repository  tuf.Digest
	Status      Status
}

// ListFindings returns findings, the one that was seen first last, and the next page.
func (r *Reader) ListFindings(ctx context.Context, q FindingQuery, p Page) ([]Finding, string, error) {
	after, err := p.numbers(1)
	if err != nil {
		return nil, "", err
	}
	// An index is as good as its first column. That of a kind is better than that of its
	// class, and a repository has few findings of each kind.
	var where []string
	var args []any
	add := func(column string, value any) {
		if len(where) > 0 {
			column = "+" + column // another index is used
		}
		where, args = append(where, column+" = ?"), append(args, value)
	}
	if !q.Repository.IsZero() {
		add("repository", q.Repository[:])
	}
	if q.Kind != "" {
		add("kind", q.Kind)
	}
	if q.Class != "" {
		add("class", q.Class)
	}
	where, args = append(where, "status = ?"), append(args, 0)
	status := len(args) - 1
	if after != nil {
		where, args = append(where, "number < ?"), append(args, after[0])
	}
	statuses := []Status{q.Status}
	if q.Status == AnyStatus {
		statuses = []Status{StatusOpen, StatusAcknowledged, StatusGone}
	}
	var list []Finding
	for _, s := range statuses {
		args[status] = int(s - StatusOpen)
		err := r.findings(ctx, "WHERE "+strings.Join(where, " AND ")+" ORDER BY number DESC LIMIT ?", append(args[:len(args):len(args)], p.limit()+1), func(f Finding) error {
			list = append(list, f)
			return nil
		})
		if err != nil {
			return nil, "", err
		}
	}
	slices.SortFunc(list, func(x, y Finding) int { return cmp.Compare(y.Number, x.Number) })
	list = list[:min(len(list), p.limit()+1)]
	list, next := cut(list, p.limit(), func(f Finding) string { return nextOf(f.Number) })
	return list, next, nil
}

// FindingCount is how many findings of a kind there are.
type FindingCount struct {
	Kind, Class              string
	Open, Acknowledged, Gone int64
}

// FindingCounts returns how many findings of each kind there are about a repository, or if
// that is zero in all, in the order of kinds. Findings that Suppressed counts are not among
// them.
func (r *Reader) FindingCounts(ctx context.Context, repository tuf.Digest) ([]FindingCount, error) {
	query, args := "SELECT kind, class, status, count FROM finding_totals ORDER BY kind", []any(nil)
	if !repository.IsZero() {
		query, args = "SELECT kind, class, status, count FROM finding_counts WHERE repository = ? ORDER BY kind", []any{repository[:]}
	}
	var counts []FindingCount
	err := r.each(ctx, query, args, func(scan func(...any) error) error {
		var c FindingCount
		var status int
		var n int64
		if err := scan(&c.Kind, &c.Class, &status, &n); err != nil || n == 0 {
			return err
		}
		if len(counts) == 0 || counts[len(counts)-1].Kind != c.Kind {
			counts = append(counts, c)
		}
		last := &counts[len(counts)-1]
		switch Status(status) + StatusOpen {
		case StatusOpen:
			last.Open = n
		case StatusAcknowledged:
			last.Acknowledged = n
		default:
			last.Gone = n
		}
		return nil
	})
	return counts, err
}
