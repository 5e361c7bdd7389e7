package witness

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/internal/build"
)

// Metrics. Labels are from fixed sets, except for the origin, which is that of
// a log in the store: what strangers send is no label.

const namespace = "tuflog_witness"

// outcomes of a request for a cosignature: the reasons, "ok" and "error".
const (
	outcomeOK    = 0
	outcomeError = int(ClockInDoubt) + 1
	outcomeCount = outcomeError + 1
)

func outcomeName(i int) string {
	if i == outcomeError {
		return "error"
	}
	return Reason(i).String()
}

// counts are the answers to one log.
type counts [outcomeCount]atomic.Uint64

// metrics are what is counted where it happens; the rest is read off the store
// when somebody asks.
type metrics struct {
	answers   counts // to requests that no known log signed
	seconds   prometheus.Histogram
	watched   *prometheus.CounterVec
	latched   prometheus.Counter
	suspects  prometheus.Counter
	conflicts prometheus.Counter
	imports   *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, w *Witness) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	m := &metrics{
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "add_checkpoint_seconds", Help: "Time to answer add-checkpoint once its body has come, in seconds.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5},
		}),
		watched:   vec("looks_total", "Checkpoints looked at elsewhere for cosignatures that the state has lost.", "place", "result"),
		latched:   counter("latches_total", "Times that a cosignature was found that the state does not account for."),
		suspects:  counter("suspects_total", "Checkpoints refused although their log signed them, and kept."),
		conflicts: counter("conflicts_total", "Evidence made of two checkpoints that cannot both be true."),
		imports:   vec("list_imports_total", "Times that a list of logs was fetched.", "result"),
	}
	if r == nil {
		return m, nil
	}
	b := build.Read()
	info := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info", Help: "Always 1; the labels identify the build.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "go": b.Go}})
	info.Set(1)
	var errs []error
	for _, c := range []prometheus.Collector{info, m.seconds, m.watched, m.latched, m.suspects, m.conflicts, m.imports, logCollector{w}} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

// count counts the answer to a request; s is nil unless a known log signed it.
func (w *Witness) count(s *submission, err error) {
	c := &w.metrics.answers
	if s != nil {
		c = &w.origin(s.id).counts
	}
	outcome := outcomeOK
	if err != nil {
		outcome = outcomeError
		var r *Refusal
		if errors.As(err, &r) {
			outcome = int(r.Reason)
		}
	}
	c[outcome].Add(1)
}

// logCollector reads what is known of each log when the metrics are collected,
// so that ten thousand logs cost nothing in between.
type logCollector struct{ w *Witness }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

var (
	logsDesc    = desc("logs", "Logs that are cosigned.")
	stoppedDesc = desc("logs_latched", "Logs for which cosigning is stopped until a person acts.")
	clockDesc   = desc("clock_in_doubt", "1 while cosigning is stopped because of the clock.")
	answersDesc = desc("answers_total", "Answers to requests that no known log had signed, by outcome.", "outcome")
	logDesc     = desc("log_answers_total", "Answers to requests that a log signed, by outcome.", "origin", "outcome")
	sizeDesc    = desc("log_size", "Size of the tree that was cosigned last.", "origin")
	timeDesc    = desc("log_cosigned_timestamp_seconds", "Time of the last cosignature.", "origin")
	latchDesc   = desc("log_latched", "1 while cosigning for a log is stopped.", "origin")
)

// Describe implements prometheus.Collector.
func (logCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{logsDesc, stoppedDesc, clockDesc, answersDesc, logDesc, sizeDesc, timeDesc, latchDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c logCollector) Collect(ch chan<- prometheus.Metric) {
	emit := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	answers := func(d *prometheus.Desc, from *counts, labels ...string) {
		for i := range from {
			if n := from[i].Load(); n > 0 {
				emit(d, prometheus.CounterValue, float64(n), append(labels, outcomeName(i))...)
			}
		}
	}
	answers(answersDesc, &c.w.metrics.answers)
	inDoubt := 0.0
	if c.w.clock.doubt() != "" {
		inDoubt = 1
	}
	emit(clockDesc, prometheus.GaugeValue, inDoubt)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	logs, err := c.w.store.Logs(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(logsDesc, err)
		return
	}
	var known, latched int
	for _, l := range logs {
		if l.Removed {
			continue
		}
		known++
		if l.Latched {
			latched++
			emit(latchDesc, prometheus.GaugeValue, 1, l.Origin)
		}
		answers(logDesc, &c.w.origin(HashOrigin(l.Origin)).counts, l.Origin)
		if l.Latest != nil {
			emit(sizeDesc, prometheus.GaugeValue, float64(l.Latest.Tree.N), l.Origin)
			emit(timeDesc, prometheus.GaugeValue, float64(l.Latest.Time), l.Origin)
		}
	}
	emit(logsDesc, prometheus.GaugeValue, float64(known))
	emit(stoppedDesc, prometheus.GaugeValue, float64(latched))
}
