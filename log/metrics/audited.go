package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/log/audited"
)

var (
	auditedEntries  = prometheus.NewDesc(namespace+"_audited_entries", "Entries below the newest audited checkpoint.", nil, nil)
	auditedCosigned = prometheus.NewDesc(namespace+"_audited_cosigned_seconds", "Unix time at which an auditor cosigned the newest audited checkpoint last; 0: there is none.", nil, nil)
	asize           = prometheus.NewDesc(namespace+"_auditor_size", "Size of the newest tree that the auditor shows, if it is one of the log's.", []string{"auditor"}, nil)
	aup             = prometheus.NewDesc(namespace+"_auditor_up", "1 when the last look at what the auditor shows went well.", []string{"auditor"}, nil)
	acontradicts    = prometheus.NewDesc(namespace+"_auditor_contradicts", "1 while the auditor shows a checkpoint that the log's key has signed and the log does not know.", []string{"auditor"}, nil)
)

// WatchAudited lets what is known of audited checkpoints be read whenever somebody asks for the
// metrics.
func (m *Metrics) WatchAudited(health func() audited.Health) {
	m.registry.MustRegister(auditedWatcher(health))
}

// auditedWatcher is a prometheus.Collector.
type auditedWatcher func() audited.Health

func (auditedWatcher) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{auditedEntries, auditedCosigned, asize, aup, acontradicts} {
		c <- d
	}
}

func (w auditedWatcher) Collect(c chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	h := w()
	gauge(auditedEntries, float64(h.Size))
	cosigned := 0.0
	if !h.Cosigned.IsZero() {
		cosigned = float64(h.Cosigned.Unix())
	}
	gauge(auditedCosigned, cosigned)
	for _, a := range h.Auditors {
		gauge(asize, float64(a.Size), a.Name)
		gauge(aup, number(a.Error == "" && a.Contradiction == "" && !a.Answered.IsZero()), a.Name)
		gauge(acontradicts, number(a.Contradiction != ""), a.Name)
	}
}
