package state_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/tuf"
)

// BenchmarkViews measures what a page asks for, each time of another repository, leaf or page,
// and reports the median and the 95th percentile of the times in milliseconds.
//
//	TUFLOG_BENCH_STATE=/tmp/states go test ./audit/state -run '^$' -bench Views -benchtime 200x
func BenchmarkViews(b *testing.B) {
	dir, leaves, repositories := audittest.BenchState(b)
	v, err := state.OpenView(b.Context(), dir)
	must(b, err)
	defer v.Close()
	repository := func(i int) tuf.Digest { return audittest.LargeRepository(i * 7919 % repositories) }
	file := func(r *state.Reader, i int) (f state.File, err error) {
		page, _, err := r.SearchFiles(b.Context(), state.Search{Query: state.Query{Repository: repository(i)}}, state.Page{Limit: 1})
		if len(page) > 0 {
			f = page[0]
		}
		return f, err
	}
	type ask = func(ctx context.Context, r *state.Reader, i int) error
	for _, q := range []struct {
		name string
		ask  ask
	}{
		{"nothing", func(context.Context, *state.Reader, int) error { return nil }},
		{"newest-leaves", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.NewestLeaves(ctx, state.LeafQuery{}, state.Page{After: fmt.Sprint(leaves - int64(i)*leaves/1000%leaves)})
			return err
		}},
		{"leaves-of-repository", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.NewestLeaves(ctx, state.LeafQuery{Repository: repository(i)}, state.Page{})
			return err
		}},
		{"leaves-of-largest-repository", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.NewestLeaves(ctx, state.LeafQuery{Repository: repository(0)}, state.Page{})
			return err
		}},
		{"leaves-of-role", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.NewestLeaves(ctx, state.LeafQuery{Repository: repository(i), Role: "root"}, state.Page{})
			return err
		}},
		{"leaves-of-version", func(ctx context.Context, r *state.Reader, i int) error {
			return r.LeavesOfVersion(ctx, repository(i%5), "targets", 1000, func(state.Leaf) error { return nil })
		}},
		{"newest-of-repository", func(ctx context.Context, r *state.Reader, i int) error {
			return r.NewestOf(ctx, repository(i), 10, func(state.Leaf) error { return nil })
		}},
		{"repositories-by-newest", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.ListRepositories(ctx, state.RepositoryQuery{}, state.Page{After: fmt.Sprint(leaves-int64(i)*leaves/1000%leaves, ".1")})
			return err
		}},
		{"repositories-by-findings", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.ListRepositories(ctx, state.RepositoryQuery{Order: state.ByFindings}, state.Page{})
			return err
		}},
		{"repositories-by-prefix", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.ListRepositories(ctx, state.RepositoryQuery{Order: state.ByID, Prefix: fmt.Sprintf("%02x", i%256)}, state.Page{})
			return err
		}},
		{"findings-open", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.ListFindings(ctx, state.FindingQuery{Status: state.StatusOpen}, state.Page{After: fmt.Sprint(leaves/100 - int64(i))})
			return err
		}},
		{"findings-of-class", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.ListFindings(ctx, state.FindingQuery{Class: "hygiene"}, state.Page{})
			return err
		}},
		{"findings-of-repository", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.ListFindings(ctx, state.FindingQuery{Repository: repository(i)}, state.Page{})
			return err
		}},
		{"findings-changed", func(ctx context.Context, r *state.Reader, i int) error {
			last, err := r.LastChange(ctx)
			return errors.Join(err, r.FindingsChanged(ctx, last-10, 0, func(state.Finding) error { return nil }))
		}},
		{"finding-counts", func(ctx context.Context, r *state.Reader, i int) error {
			_, err1 := r.FindingCounts(ctx, tuf.Digest{})
			_, err2 := r.FindingCounts(ctx, repository(i))
			return errors.Join(err1, err2)
		}},
		{"file-by-hash", func(ctx context.Context, r *state.Reader, i int) error {
			f, err := file(r, i)
			if err != nil {
				return err
			}
			_, _, err = r.SearchFiles(ctx, state.Search{Query: state.Query{SHA256: f.SHA256}}, state.Page{})
			return err
		}},
		{"file-by-hash-of-all", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.SearchFiles(ctx, state.Search{Query: state.Query{SHA256: tuf.Sum(nil)}, Current: true}, state.Page{})
			return err
		}},
		{"files-by-prefix", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.SearchFiles(ctx, state.Search{Prefix: fmt.Sprintf("targets/product-%d/", i%repositories)}, state.Page{})
			return err
		}},
		{"files-by-part", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.SearchFiles(ctx, state.Search{Part: "not there", Prefix: fmt.Sprintf("targets/product-%d", i%10)}, state.Page{})
			return err
		}},
		{"files-of-repository", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.SearchFiles(ctx, state.Search{Query: state.Query{Repository: repository(i)}, Current: true}, state.Page{})
			return err
		}},
		{"keys-by-prefix", func(ctx context.Context, r *state.Reader, i int) error {
			_, _, err := r.SearchKeys(ctx, state.KeySearch{Prefix: fmt.Sprintf("%03x", i%4096)}, state.Page{})
			return err
		}},
		{"sizes", func(ctx context.Context, r *state.Reader, i int) error {
			from := time.Unix(1_700_000_000, 0)
			_, err := r.Sizes(ctx, from, from.Add(365*24*time.Hour), 100)
			return err
		}},
	} {
		b.Run(q.name, func(b *testing.B) {
			times := make([]time.Duration, 0, b.N)
			for i := 0; b.Loop(); i++ {
				begin := time.Now()
				must(b, v.At(b.Context(), func(r *state.Reader) error { return q.ask(b.Context(), r, i) }))
				times = append(times, time.Since(begin))
			}
			slices.Sort(times)
			at := func(percent int) float64 { return float64(times[(len(times)-1)*percent/100].Microseconds()) / 1000 }
			b.ReportMetric(at(50), "p50-ms")
			b.ReportMetric(at(95), "p95-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
