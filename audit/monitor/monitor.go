package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/cosign"
	"github.com/tuflog/tuflog/internal/lockfile"
)

// Options are what a process gives a Monitor beside its configuration.
type Options struct {
	// Logger says what happens on the machine; nil means slog.Default().
	Logger *slog.Logger
	// News takes a line of JSON for each News; nil: nobody reads them. That somebody does not
	// read delays nothing.
	News io.Writer
	// Client asks witnesses, vendors' expectations and live repositories; nil means one with a
	// transport of its own. Redirects to other hosts are not followed.
	Client *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Monitor follows logs. It is safe for concurrent use.
type Monitor struct {
	opts Options
	dir  string
	lock *lockfile.Lock
	news *newsWriter
	desk desk

	cosigner *cosign.Cosigner // nil: it does not cosign
	liveHeld atomic.Int64     // bytes of the files of live repositories that are being compared
	// comparing bounds how many of them are.
	comparing *comparing

	mu        sync.Mutex
	cfg       *Config
	followers map[string]*follower
	reloads   chan reload
	reloaded  time.Time // when a configuration was taken over last
	refused   error     // why the last one was not
}

// reload is a configuration to take over.
type reload struct {
	cfg  *Config
	done chan error
}

// New opens what a configuration names. It locks the directory: if another process has it, the
// error wraps lockfile.ErrHeld. That a log's state cannot be used is not an error here: the
// log's status says so, and the others are followed.
func New(ctx context.Context, cfg *Config, opts Options) (*Monitor, error) {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Client == nil {
		opts.Client = newClient()
	}
	if opts.News != nil {
		opts.News = &locked{w: opts.News}
	}
	m := &Monitor{opts: opts, dir: cfg.Dir, cfg: cfg, comparing: newComparing(), followers: map[string]*follower{}, reloads: make(chan reload), reloaded: opts.Now(), news: newNewsWriter(opts.News, opts.Now)}
	followers, err := m.open(cfg)
	if err != nil {
		return nil, errors.Join(err, m.news.close())
	}
	for _, sub := range []string{"logs", "mirror"} {
		if err := os.MkdirAll(filepath.Join(cfg.Dir, sub), 0o755); err != nil {
			return nil, errors.Join(err, m.news.close())
		}
	}
	if m.lock, err = lockfile.AcquireDir(cfg.Dir); err != nil {
		return nil, errors.Join(err, m.news.close())
	}
	for _, f := range followers {
		m.followers[f.log.Name] = f
	}
	if m.desk.now, err = m.openDesk(ctx, cfg); err == nil {
		m.desk.cfg = cfg.Alerts
		m.cosigner, err = openCosigner(ctx, cfg, opts.Now)
	}
	if err == nil {
		err = m.checkOwn(followers)
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Close gives back the directory. Run has ended by then.
func (m *Monitor) Close() error {
	var errs []error
	if m.cosigner != nil {
		errs = append(errs, m.cosigner.Close())
	}
	if m.desk.now != nil {
		errs = append(errs, m.desk.now.Close())
	}
	return errors.Join(append(errs, m.news.close(), m.lock.Release())...)
}

// newClient returns a client for many hosts, each of which is asked now and then.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = 256, 4, 8
	t.ResponseHeaderTimeout = 30 * time.Second
	t.MaxResponseHeaderBytes = 64 << 10
	t.DialContext = dial
	return &http.Client{Transport: t, Timeout: time.Minute}
}

// open makes the followers of a configuration, and starts none. The error is that of the first
// log that cannot be used as it is configured.
func (m *Monitor) open(cfg *Config) ([]*follower, error) {
	var list []*follower
	urls := map[string]string{}
	for i := range cfg.Logs {
		f, err := m.newFollower(cfg.Logs[i])
		if err != nil {
			return nil, fmt.Errorf("log[%d] %s: %w", i, cfg.Logs[i].Name, err)
		}
		for _, origin := range f.origins() {
			if other := urls[origin]; other != "" {
				return nil, fmt.Errorf("log[%d] %s: %s is the log %q, too: name each log once", i, f.log.Name, origin, other)
			}
			urls[origin] = f.log.Name
		}
		list = append(list, f)
	}
	return list, nil
}

// Run follows the logs until the context ends, and returns nil then. Another error means that
// the process has to be started again.
func (m *Monitor) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer m.stopDesk()
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	running.Go(func() { failed <- m.watchCosigner(ctx) })
	if m.cosigner != nil {
		running.Go(func() { m.cosigner.Run(ctx) })
	}
	m.startDesk(ctx)
	running.Go(func() { m.watchMachine(ctx) })
	m.mu.Lock()
	start := func(f *follower) {
		following, stop := context.WithCancel(ctx)
		f.stop, f.ended = stop, make(chan struct{})
		running.Go(func() {
			defer close(f.ended)
			f.run(following)
		})
	}
	for _, f := range m.followers {
		start(f)
	}
	m.mu.Unlock()
	for {
		select {
		case err := <-failed: // or the context ends
			return err
		case r := <-m.reloads:
			r.done <- m.take(ctx, r.cfg, start)
		}
	}
}

// Reload takes over another configuration: logs that are new are started, those that are not
// in it any more are stopped, and those that changed are started again. One that cannot be
// used changes nothing. Run is running.
func (m *Monitor) Reload(ctx context.Context, cfg *Config) error {
	r := reload{cfg, make(chan error, 1)}
	select {
	case m.reloads <- r:
		return <-r.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Refused notes why a configuration was not taken over, which metrics show until one is.
func (m *Monitor) Refused(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = err
}

// take takes over a configuration.
func (m *Monitor) take(ctx context.Context, cfg *Config, start func(*follower)) error {
	if cfg.Dir != m.dir {
		return fmt.Errorf("dir: %s: the directory of a monitor that runs stays %s: start it again for another", cfg.Dir, m.dir)
	}
	if cfg.Listen != m.cfg.Listen {
		return fmt.Errorf("listen: %s: the address of a monitor that runs stays %s: start it again for another", cfg.Listen, m.cfg.Listen)
	}
	if !reflect.DeepEqual(cfg.Cosign, m.cfg.Cosign) {
		return errors.New("cosign: the keys of a monitor that runs stay as they are: start it again for others")
	}
	next, err := m.open(cfg)
	if err == nil {
		err = m.checkOwn(next)
	}
	if err != nil {
		return err
	}
	var desk *alert.Desk // another one; nil: it stays
	if !sameAlerts(&cfg.Alerts, &m.desk.cfg) || !m.desk.now.Current() {
		if desk, err = m.openDesk(ctx, cfg); err != nil {
			return err
		}
	}
	now := map[string]*follower{}
	m.mu.Lock()
	before := m.followers
	m.mu.Unlock()
	var stopped, started []*follower
	for _, f := range next {
		if old := before[f.log.Name]; old != nil && reflect.DeepEqual(old.log, f.log) && slices.Equal(old.policyText, f.policyText) {
			now[f.log.Name] = old
			continue
		}
		now[f.log.Name] = f
		started = append(started, f)
	}
	for name, old := range before {
		if now[name] != old {
			stopped = append(stopped, old)
			old.stop()
		}
	}
	for _, f := range stopped {
		<-f.ended
	}
	// Those that have ended have told all by the names of before.
	if desk != nil {
		m.replaceDesk(ctx, desk, cfg)
	}
	for _, f := range started {
		start(f)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cfg, m.followers, m.reloaded, m.refused = cfg, now, m.opts.Now(), nil
	m.opts.Logger.Info("reloaded", "logs", len(now), "started", len(started), "stopped", len(stopped))
	return nil
}

// Config returns the configuration that is in force.
func (m *Monitor) Config() *Config {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cfg
}

// all returns the followers in the order of the configuration.
func (m *Monitor) all() []*follower {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*follower
	for _, l := range m.cfg.Logs {
		if f := m.followers[l.Name]; f != nil {
			list = append(list, f)
		}
	}
	return list
}

// Statuses returns what is known of each log now, in the order of the configuration.
func (m *Monitor) Statuses() []*Status {
	var list []*Status
	for _, f := range m.all() {
		list = append(list, f.snapshot())
	}
	return list
}

// Once looks once at every log to its end, at all witnesses and at all live repositories, all
// logs at once. It returns the reports by the names of the logs, and errors of those of which
// not everything could be looked at.
func (m *Monitor) Once(ctx context.Context) (map[string]*audit.Report, error) {
	var mu sync.Mutex
	reports := map[string]*audit.Report{}
	var errs []error
	var running sync.WaitGroup
	for _, f := range m.all() {
		running.Go(func() {
			report, err := f.once(ctx)
			mu.Lock()
			defer mu.Unlock()
			if report != nil {
				reports[f.log.Name] = report
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", f.log.Name, err))
			}
		})
	}
	running.Wait()
	if err := m.alert(func(d *alert.Desk) error { return d.Flush(ctx) }); err != nil {
		errs = append(errs, fmt.Errorf("not delivered yet: %w", err))
	}
	return reports, errors.Join(errs...)
}

// Alerting reports whether a finding is open that nobody has acknowledged and that somebody is
// to be told of at once.
func (m *Monitor) Alerting(ctx context.Context) (alerting bool, err error) {
	err = m.alert(func(d *alert.Desk) error {
		alerting, err = d.Alerting(ctx)
		return err
	})
	return alerting, err
}
