// Package metrics exports metrics of a log to Prometheus. Every label value is
// from a list that is fixed when the log starts, so that clients cannot create
// series.
//
//	tuflog_log_entries{stage}               integrated, signed, witnessed, published
//	tuflog_log_queued_submissions           waiting to be judged
//	tuflog_log_ready, tuflog_log_halted     what /readyz says; 1 when a person has to act
//	tuflog_log_ended                        1 when the log is at its end
//	tuflog_log_lost_keys                    keys of the log that it does not sign with since its start, because they are missing
//	tuflog_log_leading                      1 while this process writes the log, of several that serve it
//	tuflog_log_lease_epoch                  number of the right to write it, which rises with each change
//	tuflog_log_able                         1 while this process could write and publish it, or does
//	tuflog_log_other_front_ends{able}       others that may write it
//	tuflog_log_yields_total{reason}         how often this process has left the right to another
//	tuflog_log_same_url                     1 while another one is reached at its URL
//	tuflog_log_files_total{status,code}     verdicts on files
//	tuflog_log_publish_seconds              from the arrival of a submission to its publication
//	tuflog_log_batch_entries                entries appended at once
//	tuflog_log_append_seconds               one append
//	tuflog_log_gather_seconds{result}       one attempt to reach the quorum
//	tuflog_log_requests_total{method,path,status}, tuflog_log_request_seconds{path}
//	tuflog_log_build_info{version,revision,go}   1: which build this is
//	tuflog_log_witness_size{witness}        of the tree it cosigned last
//	tuflog_log_witness_up{witness}          1 when its last answer was a cosignature
//	tuflog_log_witness_last_success_seconds{witness}   Unix time of it
//	tuflog_log_witness_clock_offset_seconds{witness}   how far its clock is ahead of the log's
//	tuflog_log_witness_requests_24h{witness}           add-checkpoint requests to it in the last 24 hours
//	tuflog_log_witness_declared_per_day{witness}       how many of them were declared to it; none if nothing was
//
// and, where auditors are asked:
//
//	tuflog_log_audited_entries              below the newest audited checkpoint
//	tuflog_log_audited_cosigned_seconds     Unix time at which an auditor cosigned that last
//	tuflog_log_auditor_size{auditor}        of the newest tree that it shows, if it is the log's
//	tuflog_log_auditor_up{auditor}          1 when the last look went well
//	tuflog_log_auditor_contradicts{auditor} 1 while it shows what the log's key signed and the log does not know
package metrics

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tuflog/tuflog/internal/build"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

const namespace = "tuflog_log"

// Metrics implements log.Observer, and wraps the storage and the witnesses of a
// log.
type Metrics struct {
	registry  *prometheus.Registry
	files     *prometheus.CounterVec
	requests  *prometheus.CounterVec
	answers   *prometheus.HistogramVec
	published prometheus.Histogram
	batches   prometheus.Histogram
	appends   prometheus.Histogram
	gathers   *prometheus.HistogramVec
	yields    *prometheus.CounterVec
	lost      prometheus.Gauge
	witnessed atomic.Int64
}

// seconds are the bounds of what may take from a millisecond to a minute.
var seconds = []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60}

// New returns metrics with a registry of their own.
func New() *Metrics {
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	published := histogram("publish_seconds", "Time from the arrival of a submission to the publication of its files, in seconds.", seconds)
	batches := histogram("batch_entries", "Entries appended at once.", prometheus.ExponentialBuckets(1, 2, 11))
	appends := histogram("append_seconds", "Time of one append to storage, in seconds.", seconds)
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		files:     counter("files_total", "Verdicts on submitted files.", "status", "code"),
		requests:  counter("requests_total", "Answered HTTP requests.", "method", "path", "status"),
		answers:   histogram("request_seconds", "Time to answer an HTTP request, in seconds; submissions wait for their proof.", seconds, "path"),
		published: published.WithLabelValues().(prometheus.Histogram),
		batches:   batches.WithLabelValues().(prometheus.Histogram),
		appends:   appends.WithLabelValues().(prometheus.Histogram),
		yields:    counter("yields_total", "How often this front end has left the writing of the log to another one.", "reason"),
		lost:      prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "lost_keys", Help: "Keys of the log that it does not sign with since its start, because they are missing."}),
		gathers:   histogram("gather_seconds", "Time of one attempt to reach the quorum of witnesses, in seconds.", seconds, "result"),
	}
	b := build.Read()
	info := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info", Help: "1; the labels say which build this is.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "go": b.Go}})
	info.Set(1)
	m.registry.MustRegister(info, m.files, m.requests, m.answers, published, batches, appends, m.gathers, m.lost,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics at /metrics.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}

// LostKeys says how many keys of the log are missing.
func (m *Metrics) LostKeys(n int) { m.lost.Set(float64(n)) }

// methods that a label may name.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions}

// Request implements log.Observer.
func (m *Metrics) Request(method, pattern string, status int, took time.Duration) {
	if !slices.Contains(methods, method) {
		method = "other"
	}
	m.requests.WithLabelValues(method, pattern, strconv.Itoa(status)).Inc()
	m.answers.WithLabelValues(pattern).Observe(took.Seconds())
}

// codes are the reasons for a refusal.
var codes = []string{
	"", api.CodeMalformed, api.CodeThreshold, api.CodeSuperseded, api.CodeNoParent, api.CodeSnapshotNeeded, api.CodeNotDelegated,
	api.CodeNotCovered, api.CodeSecondPayload, api.CodeWrongType, api.CodeEncoding, api.CodeRoleName, api.CodeNotLoggedRole, api.CodeUnknownRepo,
	api.CodeHoldFull, api.CodeHoldDropped, api.CodeEnded,
}

// Verdict implements log.Observer.
func (m *Metrics) Verdict(status api.Status, code string) {
	if !slices.Contains(codes, code) {
		code = "other"
	}
	m.files.WithLabelValues(string(status), code).Inc()
}

// Published implements log.Observer.
func (m *Metrics) Published(took time.Duration) { m.published.Observe(took.Seconds()) }

// Storage returns the storage with its appends observed.
func (m *Metrics) Storage(s log.Storage) log.Storage { return &storage{s, m} }

type storage struct {
	log.Storage
	m *Metrics
}

func (s *storage) Append(ctx context.Context, entries [][]byte) ([]int64, error) {
	began := time.Now()
	indices, err := s.Storage.Append(ctx, entries)
	s.m.appends.Observe(time.Since(began).Seconds())
	s.m.batches.Observe(float64(len(entries)))
	return indices, err
}

// Witnesses returns the witnesses with their answers observed.
func (m *Metrics) Witnesses(w log.Witnesses) log.Witnesses { return &witnesses{w, m} }

type witnesses struct {
	log.Witnesses
	m *Metrics
}

func (w *witnesses) Gather(ctx context.Context, signed []byte, cp proofs.Checkpoint, consistency func(ctx context.Context, oldSize int64) ([]proofs.Hash, error)) ([]byte, error) {
	began := time.Now()
	note, err := w.Witnesses.Gather(ctx, signed, cp, consistency)
	result := "quorum"
	if err != nil {
		result = "none"
	} else {
		w.m.witnessed.Store(max(w.m.witnessed.Load(), cp.Tree.N))
	}
	w.m.gathers.WithLabelValues(result).Observe(time.Since(began).Seconds())
	return note, err
}

// Watch has the log's state, and its witnesses' health, read off whenever
// somebody asks for the metrics.
func (m *Metrics) Watch(stats func(context.Context) httpd.Stats, health func() []client.Health) {
	m.registry.MustRegister(&watcher{m: m, stats: stats, health: health})
}

var (
	entries = prometheus.NewDesc(namespace+"_entries", "Entries of the log by how far they are.", []string{"stage"}, nil)
	queued  = prometheus.NewDesc(namespace+"_queued_submissions", "Submissions that wait to be judged.", nil, nil)
	ready   = prometheus.NewDesc(namespace+"_ready", "1 while the log can publish, as /readyz says.", nil, nil)
	halted  = prometheus.NewDesc(namespace+"_halted", "1 when the log has stopped until a person acts.", nil, nil)
	ended   = prometheus.NewDesc(namespace+"_ended", "1 when the log is at its end and takes nothing any more.", nil, nil)
	leading = prometheus.NewDesc(namespace+"_leading", "1 while this process writes the log; of several that serve one log, one does.", nil, nil)
	wsize   = prometheus.NewDesc(namespace+"_witness_size", "Size of the tree that the witness has cosigned last.", []string{"witness"}, nil)
	wup     = prometheus.NewDesc(namespace+"_witness_up", "1 when the witness's last answer was a cosignature.", []string{"witness"}, nil)
	wclock  = prometheus.NewDesc(namespace+"_witness_clock_offset_seconds", "How far the time in the witness's last cosignature was ahead of the log's clock, in seconds; more than a day on either side, and it is not counted.", []string{"witness"}, nil)
	wused   = prometheus.NewDesc(namespace+"_witness_requests_24h", "Add-checkpoint requests to the witness in the last 24 hours, to ten minutes, as far as this process knows.", []string{"witness"}, nil)
	wperday = prometheus.NewDesc(namespace+"_witness_declared_per_day", "How many add-checkpoint requests in 24 hours were declared to the witness, at most.", []string{"witness"}, nil)
	wlast   = prometheus.NewDesc(namespace+"_witness_last_success_seconds", "Unix time of the witness's last cosignature; 0: none since the start.", []string{"witness"}, nil)
)

// collectTime bounds what is asked for a scrape, of which a Collector is not given the
// context.
const collectTime = 10 * time.Second

// watcher is a prometheus.Collector.
type watcher struct {
	m      *Metrics
	stats  func(context.Context) httpd.Stats
	health func() []client.Health
}

func (w *watcher) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{entries, queued, ready, halted, ended, leading, wsize, wup, wclock, wused, wperday, wlast} {
		c <- d
	}
}

func (w *watcher) Collect(c chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTime)
	defer cancel()
	st := w.stats(ctx)
	gauge(entries, float64(st.Integrated), "integrated")
	gauge(entries, float64(st.Signed), "signed")
	gauge(entries, float64(max(st.Published, w.m.witnessed.Load())), "witnessed")
	gauge(entries, float64(st.Published), "published")
	gauge(queued, float64(st.Queued))
	gauge(ready, number(st.Ready))
	gauge(halted, number(st.Halted))
	gauge(ended, number(st.Ended))
	gauge(leading, number(st.Leading))
	seen := map[string]bool{}
	for _, h := range w.health() {
		if seen[h.Name] {
			continue // one name, several keys: the first speaks for it
		}
		seen[h.Name] = true
		gauge(wsize, float64(h.Size), h.Name)
		gauge(wup, number(h.Error == "" && !h.LastSuccess.IsZero()), h.Name)
		last := 0.0
		if !h.LastSuccess.IsZero() {
			last = float64(h.LastSuccess.Unix())
		}
		gauge(wlast, last, h.Name)
		gauge(wclock, float64(h.ClockOffset), h.Name)
		gauge(wused, float64(h.In24h), h.Name)
		if h.PerDay > 0 {
			gauge(wperday, float64(h.PerDay), h.Name)
		}
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
