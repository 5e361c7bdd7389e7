package alert

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/internal/printable"
)

// The metrics. The one label is the name of a destination, from the configuration.
var (
	waitingDesc = metric("waiting", "Events and messages that could be delivered now.")
	laterDesc   = metric("later", "Events that wait for a digest, or for the end of a storm.")
	oldestDesc  = metric("oldest_seconds", "For how long the oldest of those that could be delivered has waited.")
	failingDesc = metric("failing_seconds", "For how long each attempt has failed; 0: the last one succeeded.")
	offDesc     = metric("off", "1 if the destination is switched off, because it failed for days.")
	sentDesc    = metric("sent_total", "Messages that the destination took.")
	failedDesc  = metric("failed_total", "Attempts that failed.")
	lostDesc    = metric("lost_total", "Events that found no room in the queue.")
)

func metric(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("tuflog_alert_"+name, help, []string{"to"}, nil)
}

// maxRead bounds the reading of metrics.
const maxRead = 5 * time.Second

// Describe implements prometheus.Collector.
func (d *Desk) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{waitingDesc, laterDesc, oldestDesc, failingDesc, offDesc, sentDesc, failedDesc, lostDesc} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (d *Desk) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), maxRead)
	defer cancel()
	now := d.cfg.Now()
	list, err := d.Status(ctx, now)
	if err != nil {
		d.cfg.Logger.Error("the outbox could not be read for its metrics", "error", printable.Line(err.Error()))
		return
	}
	since := func(t time.Time) float64 {
		if t.IsZero() {
			return 0
		}
		return max(now.Sub(t).Seconds(), 0)
	}
	for _, s := range list {
		off := 0.0
		if !s.Off.IsZero() {
			off = 1
		}
		for desc, value := range map[*prometheus.Desc]float64{
			waitingDesc: float64(s.Waiting), laterDesc: float64(s.Later), oldestDesc: since(s.Oldest), failingDesc: since(s.Failing), offDesc: off,
		} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, s.To)
		}
		for desc, n := range map[*prometheus.Desc]int64{sentDesc: s.Sent, failedDesc: s.Failed, lostDesc: s.Lost} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), s.To)
		}
	}
}
