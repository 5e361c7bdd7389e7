package page_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/page"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/proofs"
)

// BenchmarkPages asks for pages over audittest.BenchState, other ones each time, and so not
// from what is kept of those before. p95-ms and max-ms are the times of single pages in
// milliseconds, first-ms that of the first page of a process that has just begun. The state has no files, so that it does not measure what explanations take.
//
//	TUFLOG_BENCH_STATE=/tmp/states go test ./audit/page -run '^$' -bench Pages -benchtime 200x
func BenchmarkPages(b *testing.B) {
	dir, leaves, repositories := audittest.BenchState(b)
	signer, err := proofs.GenerateSigner(bytes.NewReader(make([]byte, 64)), audittest.Origin, proofs.Ed25519)
	must(b, err)
	policy, err := proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nquorum none\n", signer.Key()))
	must(b, err)
	serve := func() *page.Server {
		s, err := page.New(page.Config{Logs: []page.Log{{Name: "large", StateDir: dir, Policy: policy}}, Limits: page.Limits{PerSecond: -1}})
		must(b, err)
		return s
	}
	ask := func(s *page.Server, path string) time.Duration {
		start := time.Now()
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		took := time.Since(start)
		if rec.Code != http.StatusOK {
			b.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
		}
		return took
	}
	s := serve()
	defer s.Close()

	var paths, sums, keys, findings []string
	view := state.NewView(dir)
	must(b, view.At(b.Context(), func(r *state.Reader) error {
		for i := range 20 {
			files, _, err := r.SearchFiles(b.Context(), state.Search{Query: state.Query{Repository: audittest.LargeRepository(i)}}, state.Page{Limit: 10})
			if err != nil {
				return err
			}
			for _, f := range files {
				paths, sums = append(paths, f.Path), append(sums, f.SHA256.String())
			}
			if err := r.KeysOf(b.Context(), audittest.LargeRepository(i), func(k state.KeyUse) error {
				keys = append(keys, k.ID)
				return nil
			}); err != nil {
				return err
			}
		}
		list, _, err := r.ListFindings(b.Context(), state.FindingQuery{}, state.Page{Limit: 500})
		for _, f := range list {
			findings = append(findings, f.ID())
		}
		return err
	}))
	must(b, view.Close())
	rnd := rand.New(rand.NewPCG(3, 4))
	pick := func(list []string) string { return list[rnd.IntN(len(list))] }
	repository := func() string { return audittest.LargeRepository(rnd.IntN(repositories)).String() }
	kinds := map[string]func() string{
		"home":         func() string { return "/" },
		"log":          func() string { return "/logs/large/" },
		"repositories": func() string { return "/logs/large/repositories?order=" + pick([]string{"newest", "id", "findings"}) },
		"prefix":       func() string { return "/logs/large/repositories?q=" + repository()[:3] },
		"repository":   func() string { return "/logs/large/repositories/" + repository() },
		"busiest":      func() string { return "/logs/large/repositories/" + audittest.LargeRepository(rnd.IntN(20)).String() },
		"release":      func() string { return fmt.Sprintf("/logs/large/releases/%d", rnd.Int64N(leaves)) },
		"findings": func() string {
			return "/logs/large/findings?state=" + pick([]string{"open", "acknowledged", "gone", "all"})
		},
		"finding":        func() string { return "/findings/" + pick(findings) },
		"search-path":    func() string { return "/search?q=" + url.QueryEscape(pick(paths)) },
		"search-part":    func() string { return "/search?q=" + url.QueryEscape(pick(paths)[1:]) },
		"search-hash":    func() string { return "/search?q=" + pick(sums) },
		"search-key":     func() string { return "/search?q=" + pick(keys) },
		"search-nothing": func() string { return fmt.Sprintf("/search?q=nothing-%d", rnd.Int64()) },
	}
	for _, kind := range slices.Sorted(func(yield func(string) bool) {
		for k := range kinds {
			if !yield(k) {
				return
			}
		}
	}) {
		b.Run(kind, func(b *testing.B) {
			var took []time.Duration
			fresh := serve()
			first := ask(fresh, kinds[kind]())
			must(b, fresh.Close())
			for b.Loop() {
				took = append(took, ask(s, kinds[kind]()))
			}
			b.ReportMetric(float64(first.Microseconds())/1000, "first-ms")
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
			b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
		})
	}
}
