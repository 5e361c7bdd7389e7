package monitor

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/internal/build"
)

// collector reads the metrics off the statuses when somebody asks. Labels are names of the
// configuration and of its policies: what strangers serve is no label.
type collector struct{ m *Monitor }

const namespace = "tuflog_monitor"

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

var (
	buildDesc      = desc("build_info", "1; the labels say which build this is.", "version", "revision")
	reloadDesc     = desc("config_ok", "1 if the configuration that was read last is in force, 0 if it was refused.")
	reloadedDesc   = desc("config_time_seconds", "When a configuration was taken over last, in POSIX seconds.")
	undeliverDesc  = desc("alerts_undelivered", "1 while this process cannot deliver alerts, or not to each destination, such as for a full disk; how the receivers are is in tuflog_alert_*.")
	sizeDesc       = desc("log_size", "Leaves of the newest verified checkpoint.", "log")
	judgedDesc     = desc("log_judged", "Leaves that have been judged.", "log")
	cosignedDesc   = desc("log_checkpoint_time_seconds", "Latest time that a witness gave with the newest verified checkpoint, in POSIX seconds; 0: none.", "log")
	answeredDesc   = desc("log_read_time_seconds", "When the log was read to its newest verified checkpoint last, in POSIX seconds; 0: not yet.", "log")
	troubleDesc    = desc("log_trouble", "1 while something of the log cannot be read or written: an outage, or the auditor's own disk.", "log")
	untoldDesc     = desc("log_untold", "1 while findings about the log wait because the outbox of alerts cannot be written.", "log")
	vouchesDesc    = desc("log_vouches", "1 if every leaf was judged and is right and every file was there.", "log")
	findingsDesc   = desc("findings", "Findings that are there and are not acknowledged.", "log", "class")
	witnessDesc    = desc("witness_size", "Size of the newest checkpoint that a witness shows of the log.", "log", "witness")
	witnessAtDesc  = desc("witness_answered_time_seconds", "When a witness answered last, in POSIX seconds; 0: never.", "log", "witness")
	liveDesc       = desc("live_compared_time_seconds", "When a live repository was compared with the log last, in POSIX seconds; 0: never.", "log", "repository", "url")
	mirrorDesc     = desc("mirror_size", "Leaves of the copy of the log.", "log")
	auditedDesc    = desc("audited_size", "Leaves of the newest checkpoint that this auditor has cosigned; -1: none.", "log")
	auditedAtDesc  = desc("audited_time_seconds", "When this auditor cosigned it, in POSIX seconds; 0: never.", "log")
	stoppedDesc    = desc("audited_stopped", "1 while this auditor cosigns nothing of the log until a person resumes it.", "log")
	anchorDesc     = desc("anchor_size", "Leaves of the largest checkpoint that is anchored in an instance of Rekor; -1: none.", "log", "rekor")
	anchorAtDesc   = desc("anchor_unanchored_since_seconds", "Since when the log's history is not anchored in an instance of Rekor, in POSIX seconds; 0: it is.", "log", "rekor")
	anchorWaitDesc = desc("anchor_queued", "Checkpoints that wait to be anchored.", "log", "rekor")
	anchorBareDesc = desc("anchor_unsigned", "1 while the newest checkpoint lacks the ECDSA signature that the policy has a key for, so that it cannot be anchored.", "log", "rekor")
	anchorLookDesc = desc("anchor_audited_time_seconds", "When all that an instance of Rekor has under the log's keys was looked at last, in POSIX seconds; 0: never.", "log", "rekor")
	anchorOddDesc  = desc("anchor_entries", "Entries under the log's keys by verdict, when they were looked at last.", "log", "rekor", "verdict")
	mirrorLackDesc = desc("mirror_missing", "Files that the copy lacks because the log did not serve them.", "log")
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	info := build.Read()
	gauge(buildDesc, 1, info.Version, info.Revision)
	c.m.mu.Lock()
	gauge(reloadDesc, truth(c.m.refused == nil))
	gauge(reloadedDesc, float64(c.m.reloaded.Unix()))
	c.m.mu.Unlock()
	_, stuck := c.m.undelivered()
	gauge(undeliverDesc, truth(stuck != nil))
	for _, s := range c.m.Statuses() {
		size := int64(0)
		if s.Checkpoint != nil {
			size = s.Checkpoint.Size
		}
		gauge(sizeDesc, float64(size), s.Log)
		gauge(judgedDesc, float64(s.Judged), s.Log)
		gauge(cosignedDesc, float64(s.Cosigned), s.Log)
		gauge(answeredDesc, float64(s.Answered), s.Log)
		gauge(troubleDesc, truth(s.Trouble != ""), s.Log)
		gauge(untoldDesc, truth(s.Untold != ""), s.Log)
		gauge(vouchesDesc, truth(s.Vouches), s.Log)
		for _, class := range []audit.Class{audit.Tampering, audit.Equivocation, audit.Unexpected, audit.Hygiene, audit.Outage} {
			gauge(findingsDesc, float64(s.Open[class]), s.Log, string(class))
		}
		for _, w := range s.Witnesses {
			gauge(witnessDesc, float64(w.Size), s.Log, w.Name)
			gauge(witnessAtDesc, float64(w.Answered), s.Log, w.Name)
		}
		for _, r := range s.Repositories {
			for _, l := range r.Live {
				gauge(liveDesc, float64(l.Compared), s.Log, r.Name, l.URL)
			}
		}
		if s.Audited != nil {
			gauge(auditedDesc, float64(s.Audited.Size), s.Log)
			gauge(auditedAtDesc, float64(s.Audited.Time), s.Log)
			gauge(stoppedDesc, truth(s.Audited.Stopped != ""), s.Log)
		}
		for _, a := range s.Anchors {
			gauge(anchorDesc, float64(a.Size), s.Log, a.Instance)
			gauge(anchorAtDesc, float64(a.Since), s.Log, a.Instance)
			gauge(anchorWaitDesc, float64(a.Queued), s.Log, a.Instance)
			gauge(anchorBareDesc, truth(a.Unsigned), s.Log, a.Instance)
			gauge(anchorLookDesc, float64(a.Audited), s.Log, a.Instance)
			gauge(anchorOddDesc, float64(max(0, a.Entries-a.Open-a.Orphans)), s.Log, a.Instance, string(anchor.Consistent))
			gauge(anchorOddDesc, float64(a.Open), s.Log, a.Instance, string(anchor.Open))
			gauge(anchorOddDesc, float64(a.Orphans), s.Log, a.Instance, string(anchor.Orphan))
		}
		if s.Mirror != nil {
			gauge(mirrorDesc, float64(s.Mirror.Size), s.Log)
			gauge(mirrorLackDesc, float64(s.Mirror.Missing), s.Log)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
