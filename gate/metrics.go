package gate

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/internal/build"
	"github.com/tuflog/tuflog/verify"
)

const namespace = "tuflog_gate"

// metrics are counted where it happens, or read off the repositories when somebody asks.
// Labels are names of the configuration and codes: what strangers send is no label.
type metrics struct {
	answers *prometheus.CounterVec
	seconds prometheus.Histogram
}

const (
	outcomeSigned = "signed"
	outcomeAgain  = "signed-again"
)

func newMetrics(r prometheus.Registerer, g *Gate) (*metrics, error) {
	m := &metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "answers_total", Help: "Answers to requests to sign, by repository (empty: unknown) and outcome: signed, signed-again or a code."}, []string{"repository", "outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "sign_seconds", Help: "Time to answer a request to sign, in seconds.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60},
		}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.answers), r.Register(m.seconds), r.Register(collector{g}))
}

// count counts an answer.
func (m *metrics) count(repository, outcome string, began time.Time) {
	m.answers.WithLabelValues(repository, outcome).Inc()
	m.seconds.Observe(time.Since(began).Seconds())
}

func outcomeOf(code verify.Code) string { return string(code) }

type collector struct{ g *Gate }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

var (
	buildDesc   = desc("build_info", "1; the labels say which build this is.", "version", "revision")
	versionDesc = desc("timestamp_version", "Version of the timestamp that was signed last; 0: none.", "repository")
	expiresDesc = desc("timestamp_expires_seconds", "When the timestamp that was signed last expires, in POSIX seconds; 0: none was signed.", "repository")
	rootDesc    = desc("root_version", "Version of the root that is trusted.", "repository")
	inRoleDesc  = desc("in_role", "1 if that root names this gate's key for the timestamp.", "repository")
	refusedDesc = desc("reload_refused", "1 if the configuration that was read last, at a SIGHUP, could not be used.")
	certainDesc = desc("certain", "0 from the start until it is known what was signed last.", "repository")
)

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{buildDesc, versionDesc, expiresDesc, rootDesc, inRoleDesc, certainDesc, refusedDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	truth := map[bool]float64{true: 1}
	info := build.Read()
	gauge(buildDesc, 1, info.Version, info.Revision)
	gauge(refusedDesc, truth[c.g.refused.Load()])
	for _, s := range c.g.Statuses() {
		expires := 0.
		if s.Expires != nil {
			expires = float64(s.Expires.Unix())
		}
		gauge(versionDesc, float64(s.Version), s.Name)
		gauge(expiresDesc, expires, s.Name)
		gauge(rootDesc, float64(s.Root), s.Name)
		gauge(inRoleDesc, truth[s.InRole], s.Name)
		gauge(certainDesc, truth[s.Certain], s.Name)
	}
}
