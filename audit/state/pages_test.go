package state_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/tuf"
)

// pages walks through all pages of a list.
func pages[T any](t *testing.T, limit int, list func(p state.Page) ([]T, string, error)) (all []T) {
	t.Helper()
	p := state.Page{Limit: limit}
	for range 10_000 {
		part, next, err := list(p)
		must(t, err)
		if len(part) > limit || next == "" && p.After != "" && len(all) == 0 && len(part) == 0 {
			t.Fatalf("a page of %d items after %q", len(part), p.After)
		}
		all = append(all, part...)
		if next == "" {
			return all
		}
		p.After = next
	}
	t.Fatal("the list has no end")
	return nil
}

// same compares a list in pages with what it should be.
func same[T any](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d items, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("%s: item %d is %+v, want %+v", what, i, got[i], want[i])
			return
		}
	}
}

// Every list has in its pages what there is, once and in order.
func TestPages(t *testing.T) {
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "state")
	leaves := int64(3000)
	if testing.Short() {
		leaves = 1200 // of each repository more than a page all the same
	}
	must(t, audittest.LargeState(ctx, dir, leaves, 40))
	db, err := state.Open(ctx, dir)
	must(t, err)
	if _, err := db.Check(ctx, nil); err != nil {
		t.Fatal(err)
	}
	// What waits for a commit is told, too.
	l := someLeaf(db.Size())
	l.Repository = audittest.LargeRepository(3)
	must(t, db.Append(ctx, l))
	testPages(t, &db.Reader, leaves)
	must(t, db.Rollback(ctx))
	must(t, db.Close())
	v, err := state.OpenView(ctx, dir)
	must(t, err)
	defer v.Close()
	must(t, v.At(ctx, func(r *state.Reader) error {
		testPages(t, r, leaves)
		return nil
	}))
}

func testPages(t *testing.T, r *state.Reader, size int64) {
	ctx := t.Context()
	var leaves []state.Leaf
	must(t, r.Leaves(ctx, 0, 1<<40, func(l state.Leaf) error {
		leaves = append(leaves, l)
		return nil
	}))
	slices.Reverse(leaves)
	var findings []state.Finding
	must(t, r.Findings(ctx, true, func(f state.Finding) error {
		findings = append(findings, f)
		return nil
	}))
	slices.SortFunc(findings, func(x, y state.Finding) int { return cmp.Compare(y.Number, x.Number) })

	for _, q := range []state.LeafQuery{{}, {Repository: audittest.LargeRepository(0)}, {Repository: audittest.LargeRepository(3)}, {Repository: audittest.LargeRepository(39)},
		{Repository: audittest.LargeRepository(0), Role: "root"}, {Repository: audittest.LargeRepository(1), Role: "delegated"}, {Repository: sum(1)}} {
		var want []state.Leaf
		for _, l := range leaves {
			if (q.Repository.IsZero() || l.Repository == q.Repository) && (q.Role == "" || l.Role == q.Role) {
				want = append(want, l)
			}
		}
		got := pages(t, 7, func(p state.Page) ([]state.Leaf, string, error) { return r.NewestLeaves(ctx, q, p) })
		same(t, fmt.Sprintf("leaves of %+v", q), got, want)
	}

	byID := map[tuf.Digest]*state.Listing{}
	for _, l := range leaves {
		if byID[l.Repository] == nil {
			byID[l.Repository] = &state.Listing{ID: l.Repository, Newest: l.Index}
		}
		if byID[l.Repository].Leaves++; l.Role == "root" && l.Version == 1 {
			byID[l.Repository].Genesis = l.Index
		}
	}
	var listings []state.Listing
	for id, l := range byID {
		for _, f := range findings {
			if f.Repository == id && f.Status() == state.StatusOpen {
				l.Findings++
			}
		}
		listings = append(listings, *l)
	}
	for order, compare := range map[state.Order]func(x, y state.Listing) int{
		state.ByNewest:   func(x, y state.Listing) int { return cmp.Compare(y.Newest, x.Newest) },
		state.ByID:       func(x, y state.Listing) int { return cmp.Compare(x.ID.String(), y.ID.String()) },
		state.ByFindings: func(x, y state.Listing) int { return cmp.Compare(y.Findings, x.Findings) },
	} {
		got := pages(t, 7, func(p state.Page) ([]state.Listing, string, error) {
			return r.ListRepositories(ctx, state.RepositoryQuery{Order: order}, p)
		})
		if !slices.IsSortedFunc(got, compare) {
			t.Errorf("order %d is not kept", order)
		}
		for i, l := range got {
			if want := byID[l.ID]; want == nil || l.Genesis != want.Genesis || l.Newest != want.Newest || l.Leaves != want.Leaves || l.Findings != want.Findings {
				t.Errorf("order %d: repository %d is %+v, want %+v", order, i, l, want)
			}
		}
		if n, err := r.CountRepositories(ctx); err != nil || len(got) != len(listings) || n != int64(len(listings)) {
			t.Errorf("order %d: %d repositories of %d, %d, %v", order, len(got), len(listings), n, err)
		}
	}
	for _, prefix := range []string{"a", "a3", listings[0].ID.String()[:9], listings[0].ID.String()} {
		got := pages(t, 2, func(p state.Page) ([]state.Listing, string, error) {
			return r.ListRepositories(ctx, state.RepositoryQuery{Order: state.ByID, Prefix: prefix}, p)
		})
		n := 0
		for _, l := range listings {
			if strings.HasPrefix(l.ID.String(), prefix) {
				n++
			}
		}
		if len(got) != n || slices.ContainsFunc(got, func(l state.Listing) bool { return !strings.HasPrefix(l.ID.String(), prefix) }) {
			t.Errorf("ids that begin with %s: %+v, want %d", prefix, got, n)
		}
	}

	for _, q := range []state.FindingQuery{{}, {Status: state.StatusOpen}, {Status: state.StatusGone}, {Class: "hygiene"}, {Class: "hygiene", Status: state.StatusAcknowledged}, {Kind: "version-gap"},
		{Kind: "version-gap", Status: state.StatusOpen}, {Repository: audittest.LargeRepository(0)}, {Repository: audittest.LargeRepository(0), Class: "outage", Kind: "blob-missing", Status: state.StatusOpen}} {
		var want []state.Finding
		for _, f := range findings {
			if (q.Class == "" || f.Class == q.Class) && (q.Kind == "" || f.Kind == q.Kind) && (q.Repository.IsZero() || f.Repository == q.Repository) && (q.Status == 0 || f.Status() == q.Status) {
				want = append(want, f)
			}
		}
		same(t, fmt.Sprintf("findings %+v", q), pages(t, 2, func(p state.Page) ([]state.Finding, string, error) { return r.ListFindings(ctx, q, p) }), want)
	}
	for _, id := range []tuf.Digest{{}, audittest.LargeRepository(0)} {
		counts, err := r.FindingCounts(ctx, id)
		must(t, err)
		n := int64(0)
		for _, c := range counts {
			n += c.Open + c.Acknowledged + c.Gone
			want := state.FindingCount{Kind: c.Kind, Class: c.Class}
			for _, f := range findings {
				if f.Kind == c.Kind && (id.IsZero() || f.Repository == id) {
					switch f.Status() {
					case state.StatusOpen:
						want.Open++
					case state.StatusAcknowledged:
						want.Acknowledged++
					default:
						want.Gone++
					}
				}
			}
			if c != want {
				t.Errorf("findings about %v: %+v, want %+v", id, c, want)
			}
		}
		if id.IsZero() && n != int64(len(findings)) {
			t.Errorf("%d findings of %d are counted", n, len(findings))
		}
	}
	testSearch(t, ctx, r)

	var sizes []state.SizeAt
	sizes, err := r.Sizes(ctx, time.Unix(0, 0), time.Unix(1<<40, 0), 1000)
	must(t, err)
	if len(sizes) != 1 || sizes[0].Size != size {
		t.Errorf("of all time: %v", sizes)
	}
	begin := time.Unix(1_700_000_000, 0)
	sizes, err = r.Sizes(ctx, begin, begin.Add(365*24*time.Hour), 4)
	must(t, err)
	if len(sizes) != int(min(4, size/500)) || sizes[len(sizes)-1].Size != size || !slices.IsSortedFunc(sizes, func(x, y state.SizeAt) int { return cmp.Or(cmp.Compare(x.Seen, y.Seen), cmp.Compare(x.Size, y.Size)) }) {
		t.Errorf("of a year: %v", sizes)
	}
}

func testSearch(t *testing.T, ctx context.Context, r *state.Reader) {
	var files []state.File
	for i := range 40 {
		must(t, r.Files(ctx, state.Query{Repository: audittest.LargeRepository(i)}, func(f state.File) error {
			files = append(files, f)
			return nil
		}))
	}
	one := files[len(files)/2]
	for i, q := range []state.Search{
		{Query: state.Query{SHA256: one.SHA256}},
		{Query: state.Query{SHA256: tuf.Sum(nil)}}, // of all repositories
		{Query: state.Query{SHA256: tuf.Sum(nil), Path: "targets/README"}},
		{Query: state.Query{SHA256: tuf.Sum(nil), Repository: one.Repository}},
		{Query: state.Query{Path: "targets/README"}},
		{Query: state.Query{Path: "targets/README", Repository: one.Repository}, Current: true},
		{Query: state.Query{Repository: audittest.LargeRepository(0)}},
		{Query: state.Query{Repository: audittest.LargeRepository(0)}, Current: true},
		{Query: state.Query{Repository: audittest.LargeRepository(0)}, Part: "-11/"},
		{Prefix: "delegated/product-3"},
		{Prefix: "targets/", Part: "release-77"},
		{Part: "release-8/"},
		{Part: "README", Current: true},
		{Part: "nowhere"},
	} {
		got := pages(t, 5, func(p state.Page) ([]state.File, string, error) { return r.SearchFiles(ctx, q, p) })
		var want []state.File
		for _, f := range files {
			if (q.SHA256.IsZero() || f.SHA256 == q.SHA256) && (q.Path == "" || f.Path == q.Path) && (q.Repository.IsZero() || f.Repository == q.Repository) &&
				strings.HasPrefix(f.Path, q.Prefix) && strings.Contains(f.Path, q.Part) && (!q.Current || f.Open) {
				want = append(want, f)
			}
		}
		key := func(f state.File) string {
			return fmt.Sprint(f.Path, " ", f.Repository, f.Role, f.First, f.Last, f.SHA256)
		}
		if q.Prefix+q.Part != "" && q.Repository.IsZero() && !slices.IsSortedFunc(got, func(x, y state.File) int { return cmp.Compare(x.Path, y.Path) }) {
			t.Errorf("search %d: not in the order of paths", i)
		}
		for _, list := range [][]state.File{got, want} {
			slices.SortFunc(list, func(x, y state.File) int { return cmp.Compare(key(x), key(y)) })
		}
		if i < 13 && len(want) == 0 {
			t.Errorf("search %d finds nothing", i)
		}
		same(t, fmt.Sprint("search ", i), got, want)
	}

	var keys []state.KeyUse
	for i := range 40 {
		must(t, r.KeysOf(ctx, audittest.LargeRepository(i), func(k state.KeyUse) error {
			keys = append(keys, k)
			return nil
		}))
	}
	for _, q := range []state.KeySearch{{Prefix: keys[0].ID}, {Prefix: "a"}, {Prefix: "a3"}, {Prefix: "é"}, {Identity: keys[3].Identity}} {
		var want []state.KeyUse
		for _, k := range keys {
			if q.Prefix != "" && strings.HasPrefix(k.ID, q.Prefix) || k.Identity == q.Identity {
				want = append(want, k)
			}
		}
		got := pages(t, 3, func(p state.Page) ([]state.KeyUse, string, error) { return r.SearchKeys(ctx, q, p) })
		for _, list := range [][]state.KeyUse{got, want} {
			slices.SortFunc(list, func(x, y state.KeyUse) int { return cmp.Or(cmp.Compare(x.ID, y.ID), cmp.Compare(x.First, y.First)) })
		}
		same(t, fmt.Sprintf("keys %+v", q), got, want)
	}
}

// What no list has given is refused.
func TestNoSuchPage(t *testing.T) {
	ctx := t.Context()
	db := open(t, t.TempDir())
	fill(t, db, 10)
	for _, after := range []string{"x", "1.2.3.4", "-1", "01", "+1", " 1", "1.", "AA.1", "A.1.2", "QQ\n.1.2", strings.Repeat("9", 30), strings.Repeat("g", 64)} {
		p := state.Page{After: after}
		for what, ask := range map[string]func() error{
			"leaves":       func() error { _, _, err := db.NewestLeaves(ctx, state.LeafQuery{}, p); return err },
			"leaves of":    func() error { _, _, err := db.NewestLeaves(ctx, state.LeafQuery{Repository: sum(0)}, p); return err },
			"repositories": func() error { _, _, err := db.ListRepositories(ctx, state.RepositoryQuery{}, p); return err },
			"repositories by id": func() error {
				_, _, err := db.ListRepositories(ctx, state.RepositoryQuery{Order: state.ByID}, p)
				return err
			},
			"findings": func() error { _, _, err := db.ListFindings(ctx, state.FindingQuery{}, p); return err },
			"files": func() error {
				_, _, err := db.SearchFiles(ctx, state.Search{Query: state.Query{Path: "a"}}, p)
				return err
			},
			"files of": func() error {
				_, _, err := db.SearchFiles(ctx, state.Search{Query: state.Query{Repository: sum(0)}}, p)
				return err
			},
			"files that begin so": func() error { _, _, err := db.SearchFiles(ctx, state.Search{Prefix: "a"}, p); return err },
			"keys": func() error {
				_, _, err := db.SearchKeys(ctx, state.KeySearch{Identity: tuf.KeyIdentity{1}}, p)
				return err
			},
			"keys that begin so": func() error { _, _, err := db.SearchKeys(ctx, state.KeySearch{Prefix: "a"}, p); return err },
		} {
			if err := ask(); !errors.Is(err, state.ErrPage) {
				t.Errorf("%s after %q: %v", what, after, err)
			}
		}
	}
	// The leaf of another repository.
	if _, _, err := db.NewestLeaves(ctx, state.LeafQuery{Repository: sum(0)}, state.Page{After: "1"}); !errors.Is(err, state.ErrPage) {
		t.Errorf("a leaf of another repository: %v", err)
	}
	for what, err := range map[string]error{
		"all files": func() error { _, _, err := db.SearchFiles(ctx, state.Search{Current: true}, state.Page{}); return err }(),
		"all keys":  func() error { _, _, err := db.SearchKeys(ctx, state.KeySearch{}, state.Page{}); return err }(),
		"a role of none": func() error {
			_, _, err := db.NewestLeaves(ctx, state.LeafQuery{Role: "root"}, state.Page{})
			return err
		}(),
		"ids not in hex": func() error {
			_, _, err := db.ListRepositories(ctx, state.RepositoryQuery{Order: state.ByID, Prefix: "G"}, state.Page{})
			return err
		}(),
		"a prefix unasked": func() error {
			_, _, err := db.ListRepositories(ctx, state.RepositoryQuery{Prefix: "a"}, state.Page{})
			return err
		}(),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
