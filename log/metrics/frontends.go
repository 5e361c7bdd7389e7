package metrics

import "github.com/prometheus/client_golang/prometheus"

// FrontEnd is how one of several front ends is that serve one log.
type FrontEnd struct {
	// Epoch is the number of the lease, which rises with each change of the leader, as
	// far as it is known here.
	Epoch int64
	// Able reports whether this front end could lead and publish now, or does.
	Able bool
	// Others is how many others may lead and live, OthersAble how many of those are able.
	Others, OthersAble int
	// SameURL reports whether another one says that it is reached at this one's URL.
	SameURL bool
	// Kept reports whether its directory has, or gets, the newest checkpoint that it has
	// served.
	Kept bool
}

// WatchFrontEnd registers metrics of this front end and the others, which are read with
// ask at every scrape. reasons are those for which it may yield.
func (m *Metrics) WatchFrontEnd(ask func() FrontEnd, reasons ...string) {
	for _, reason := range reasons {
		m.yields.WithLabelValues(reason) // it is there from the start, for alerts
	}
	m.registry.MustRegister(m.yields, &frontEndWatcher{ask})
}

// Yielded counts one time that this front end has given the lease up, for one of the
// reasons.
func (m *Metrics) Yielded(reason string) { m.yields.WithLabelValues(reason).Inc() }

var (
	epoch   = prometheus.NewDesc(namespace+"_lease_epoch", "Number of the lease; it rises with each change of the front end that writes the log.", nil, nil)
	able    = prometheus.NewDesc(namespace+"_able", "1 while this front end could write and publish the log, or does.", nil, nil)
	fronts  = prometheus.NewDesc(namespace+"_other_front_ends", "Other front ends that may write the log, as this one hears of them.", []string{"able"}, nil)
	kept    = prometheus.NewDesc(namespace+"_served_kept", "1 while this front end's directory has the newest checkpoint that it has served; 0: only its memory has.", nil, nil)
	sameURL = prometheus.NewDesc(namespace+"_same_url", "1 while another front end says that it is reached at this one's URL.", nil, nil)
)

// frontEndWatcher is a prometheus.Collector.
type frontEndWatcher struct{ ask func() FrontEnd }

func (w *frontEndWatcher) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{epoch, able, fronts, sameURL, kept} {
		c <- d
	}
}

func (w *frontEndWatcher) Collect(c chan<- prometheus.Metric) {
	f := w.ask()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(epoch, float64(f.Epoch))
	gauge(able, number(f.Able))
	gauge(fronts, float64(f.OthersAble), "true")
	gauge(fronts, float64(f.Others-f.OthersAble), "false")
	gauge(sameURL, number(f.SameURL))
	gauge(kept, number(f.Kept))
}
