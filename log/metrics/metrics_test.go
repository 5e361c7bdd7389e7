package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/metrics"
	"github.com/tuflog/tuflog/log/storagetest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// witnesses is log.Witnesses.
type witnesses struct{ err error }

func (w *witnesses) Gather(context.Context, []byte, proofs.Checkpoint, func(context.Context, int64) ([]proofs.Hash, error)) ([]byte, error) {
	return nil, w.err
}

func (w *witnesses) Allows(bool) error { return nil }

func (w *witnesses) Newest(context.Context, string) [][]byte { return nil }

func text(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("GET /metrics: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	m := metrics.New()
	var _ log.Observer = m
	m.Verdict(api.StatusReleased, "")
	m.Verdict(api.StatusRefused, api.CodeThreshold)
	m.Published(3 * time.Millisecond)
	m.Request("GET", "/checkpoint", 200, time.Millisecond)
	s := m.Storage(new(storagetest.Mem))
	if _, err := s.Append(t.Context(), [][]byte{{1}, {2}, {3}}); err != nil {
		t.Fatal(err)
	}
	w := new(witnesses)
	gatherer := m.Witnesses(w)
	if _, err := gatherer.Gather(t.Context(), nil, proofs.Checkpoint{Tree: proofs.Tree{N: 3}}, nil); err != nil {
		t.Fatal(err)
	}
	w.err = errors.New("down")
	if _, err := gatherer.Gather(t.Context(), nil, proofs.Checkpoint{Tree: proofs.Tree{N: 4}}, nil); !errors.Is(err, w.err) {
		t.Fatal(err)
	}
	stats := httpd.Stats{Integrated: 5, Signed: 4, Published: 2, Queued: 7, Ready: true, Leading: true}
	m.Watch(func(context.Context) httpd.Stats { return stats }, func() []client.Health {
		return []client.Health{
			{Name: "w1", Size: 4, LastSuccess: time.Unix(1700000000, 0), PerDay: 864, In24h: 17},
			{Name: "w2", Size: 2, LastSuccess: time.Unix(1600000000, 0), Error: "no route", ClockOffset: -90000},
			{Name: "w3"},
		}
	})
	got := text(t, m)
	for _, want := range []string{
		`tuflog_log_files_total{code="",status="released"} 1`,
		`tuflog_log_files_total{code="threshold",status="refused"} 1`,
		`tuflog_log_publish_seconds_count 1`,
		`tuflog_log_publish_seconds_bucket{le="0.005"} 1`,
		`tuflog_log_publish_seconds_bucket{le="0.002"} 0`,
		`tuflog_log_requests_total{method="GET",path="/checkpoint",status="200"} 1`,
		`tuflog_log_batch_entries_sum 3`,
		`tuflog_log_append_seconds_count 1`,
		`tuflog_log_gather_seconds_count{result="quorum"} 1`,
		`tuflog_log_gather_seconds_count{result="none"} 1`,
		`tuflog_log_entries{stage="integrated"} 5`,
		`tuflog_log_entries{stage="signed"} 4`,
		`tuflog_log_entries{stage="witnessed"} 3`,
		`tuflog_log_entries{stage="published"} 2`,
		`tuflog_log_queued_submissions 7`,
		`tuflog_log_ready 1`,
		`tuflog_log_halted 0`,
		`tuflog_log_ended 0`,
		`tuflog_log_leading 1`,
		`tuflog_log_build_info{go="` + runtime.Version() + `",revision="",version="devel"} 1`,
		`tuflog_log_witness_size{witness="w1"} 4`,
		`tuflog_log_witness_up{witness="w1"} 1`,
		`tuflog_log_witness_up{witness="w2"} 0`,
		`tuflog_log_witness_up{witness="w3"} 0`,
		`tuflog_log_witness_last_success_seconds{witness="w1"} 1.7e+09`,
		`tuflog_log_witness_clock_offset_seconds{witness="w1"} 0`,
		`tuflog_log_witness_clock_offset_seconds{witness="w2"} -90000`,
		`tuflog_log_witness_last_success_seconds{witness="w3"} 0`,
		`tuflog_log_witness_requests_24h{witness="w1"} 17`,
		`tuflog_log_witness_declared_per_day{witness="w1"} 864`,
		`tuflog_log_witness_requests_24h{witness="w2"} 0`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
	stats = httpd.Stats{Halted: true, Ended: true}
	if got := text(t, m); !strings.Contains(got, "tuflog_log_halted 1\n") || !strings.Contains(got, "tuflog_log_ended 1\n") || !strings.Contains(got, "tuflog_log_ready 0\n") {
		t.Errorf("a log that has stopped:\n%s", got)
	}
}

// Several front ends tell of each other, and a log on one machine does not.
func TestFrontEndMetrics(t *testing.T) {
	m := metrics.New()
	if got := text(t, m); strings.Contains(got, "lease_epoch") || strings.Contains(got, "yields") {
		t.Errorf("on one machine:\n%s", got)
	}
	m.WatchFrontEnd(func() metrics.FrontEnd {
		return metrics.FrontEnd{Epoch: 7, Able: true, Others: 3, OthersAble: 1, SameURL: true, Kept: true}
	}, "unpublished", "unreachable")
	m.Yielded("unpublished")
	m.Yielded("unpublished")
	got := text(t, m)
	for _, want := range []string{
		`tuflog_log_lease_epoch 7`,
		`tuflog_log_able 1`,
		`tuflog_log_other_front_ends{able="true"} 1`,
		`tuflog_log_other_front_ends{able="false"} 2`,
		`tuflog_log_same_url 1`,
		`tuflog_log_served_kept 1`,
		`tuflog_log_yields_total{reason="unpublished"} 2`,
		`tuflog_log_yields_total{reason="unreachable"} 0`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
}

// What clients send does not become labels.
func TestLabelsAreBounded(t *testing.T) {
	m := metrics.New()
	for i := range 1000 {
		m.Request(fmt.Sprint("METHOD", i), "", 405, 0)
		m.Verdict(api.StatusRefused, fmt.Sprint("code", i))
	}
	lines := 0
	for line := range strings.Lines(text(t, m)) {
		if strings.HasPrefix(line, "tuflog_log_requests_total") || strings.HasPrefix(line, "tuflog_log_files_total") {
			lines++
		}
	}
	if lines != 2 {
		t.Errorf("%d series, want 2", lines)
	}
}
