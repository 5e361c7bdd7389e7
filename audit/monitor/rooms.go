package monitor

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/audit/alert"
)

// This file is about the rooms beside the followers, of which a process has one each: the desk,
// which tells people what was found, and the cosigner.

// Paths of what the rooms keep in a monitor's directory.
const (
	alertsFile = "alerts.sqlite"
	cosignDir  = "cosign"
)

// AlertsFile returns the path of the outbox of alerts in a monitor's directory.
func AlertsFile(dir string) string { return filepath.Join(dir, alertsFile) }

// CosignDir returns the directory of the cosigner in a monitor's directory.
func CosignDir(dir string) string { return filepath.Join(dir, cosignDir) }

// desk is the desk by the configuration of the time, and what delivers.
type desk struct {
	mu   sync.RWMutex // is written when another desk takes over
	now  *alert.Desk
	cfg  alert.Config
	stop context.CancelFunc // ends Run; nil: it does not run
	done chan struct{}      // closed when Run has ended
}

// locked is a writer for several goroutines.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// alertConfig is what the desk is opened with.
func (m *Monitor) alertConfig(cfg *Config) alert.Config {
	a := cfg.Alerts
	a.Now, a.Logger, a.Line = m.opts.Now, m.opts.Logger, m.healthLine
	if m.opts.News != nil {
		a.Stdout = m.opts.News
	}
	return a
}

// openDesk opens the desk by a configuration.
func (m *Monitor) openDesk(ctx context.Context, cfg *Config) (*alert.Desk, error) {
	return alert.Open(ctx, AlertsFile(cfg.Dir), m.alertConfig(cfg))
}

// replaceDesk lets another desk deliver from now on. The one before has nothing in memory.
func (m *Monitor) replaceDesk(ctx context.Context, next *alert.Desk, cfg *Config) {
	m.stopDesk()
	d := &m.desk
	d.mu.Lock()
	if err := d.now.Close(); err != nil {
		m.opts.Logger.Error("the outbox was not closed", "error", err)
	}
	d.now, d.cfg = next, cfg.Alerts
	d.mu.Unlock()
	m.startDesk(ctx)
}

// startDesk lets the desk deliver until the context ends.
func (m *Monitor) startDesk(ctx context.Context) {
	d := &m.desk
	d.mu.Lock()
	defer d.mu.Unlock()
	running, stop := context.WithCancel(ctx)
	next, done := d.now, make(chan struct{})
	d.stop, d.done = stop, done
	go func() {
		defer close(done)
		_ = next.Run(running) // ends with the context alone
	}()
}

// stopDesk ends the delivery.
func (m *Monitor) stopDesk() {
	d := &m.desk
	d.mu.Lock()
	stop, done := d.stop, d.done
	d.stop = nil
	d.mu.Unlock()
	if stop != nil {
		stop()
		<-done // it may ask for a line of the health mail
	}
}

// alert does something with the desk.
func (m *Monitor) alert(do func(*alert.Desk) error) error {
	m.desk.mu.RLock()
	defer m.desk.mu.RUnlock()
	if m.desk.now == nil {
		return nil
	}
	return do(m.desk.now)
}

// undelivered says why alerts are not delivered by this process, though their receivers may be
// well, and since when; nil: they are.
func (m *Monitor) undelivered() (since time.Time, err error) {
	_ = m.alert(func(d *alert.Desk) error {
		since, err = d.Undelivered()
		return nil
	})
	return since, err
}

// sameAlerts reports whether two configurations tell the same people of the same.
func sameAlerts(x, y *alert.Config) bool { return reflect.DeepEqual(x, y) }

// healthLine is what the daily mail says of a log.
func (m *Monitor) healthLine(_ context.Context, log string) string {
	for _, s := range m.Statuses() {
		if s.Log != log {
			continue
		}
		switch {
		case s.Trouble != "":
			return fmt.Sprintf("%d leaves judged; since %s: %s", s.Judged, time.Unix(s.Since, 0).UTC().Format(time.RFC3339), s.Trouble)
		case s.Checkpoint == nil:
			return "nothing has been published, or read"
		}
		line := fmt.Sprintf("%d leaves judged, read at %s", s.Judged, time.Unix(s.Answered, 0).UTC().Format(time.RFC3339))
		if s.Cosigned > 0 {
			line += fmt.Sprintf(", cosigned at %s", time.Unix(s.Cosigned, 0).UTC().Format(time.RFC3339))
		}
		return line
	}
	return ""
}

// Describe implements prometheus.Collector.
func (d *desk) Describe(ch chan<- *prometheus.Desc) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.now != nil {
		d.now.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (d *desk) Collect(ch chan<- prometheus.Metric) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.now != nil {
		d.now.Collect(ch)
	}
}
