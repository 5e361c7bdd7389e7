package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/audit/page"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/internal/rates"
	"github.com/tuflog/tuflog/internal/room"
	"github.com/tuflog/tuflog/internal/sdnotify"
)

type monitorRunFlags struct {
	config string
	listen string
	once   bool
}

func newMonitorRun() *cobra.Command {
	var opts monitorRunFlags
	cmd := &cobra.Command{
		Use:   "run [--config FILE]",
		Short: "Follow logs and live repositories until interrupted",
		Long: `Follow the logs and live repositories of a configuration file. What happens is a line of
JSON each on stdout: leaves that were judged, findings that have come or gone, trouble.
All findings are in the state of each log (auditor findings --state DIR/logs/NAME).

It looks back: a log that is new to it is judged from entry 0. It never stops at what it
cannot judge, which is a finding. Trouble with one log does not delay the others.

When ready it prints "listening on http://ADDR" on stderr and notifies systemd. On an
interrupt or SIGTERM it stops. On SIGHUP it reads the file again: logs that are new are
started, those that are not in it any more are stopped. A file that cannot be used is
refused, and what was read before still counts.

With --once it looks once at everything, prints what replay prints of each log, and ends:
for cron.

Exit codes:
  0  it was stopped; with --once, nothing that somebody is to be told of at once
  1  starting it again may help: the address is in use, a disk is full, another process
     has the directory. With --once: findings of class tampering, equivocation or
     unexpected, or with a route that collects no digest, that nobody has acknowledged;
     those of a route to nobody do not count
  2  wrong usage, the configuration cannot be used; with --once, an outage`,
		Example: `  auditor monitor run --config monitor.toml
  auditor monitor run --config monitor.toml --once`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.once {
				return opts.lookOnce(cmd)
			}
			return cli.Passing(opts.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()))
		},
	}
	configFlag(cmd, &opts.config)
	cmd.Flags().StringVar(&opts.listen, "listen", "", "`ADDR` to listen on; port 0 picks one; none: nothing is served (default: as configured)")
	cmd.Flags().BoolVar(&opts.once, "once", false, "look once at everything, and end")
	return cmd
}

// read reads the configuration.
func (o *monitorRunFlags) read(ctx context.Context) (*monitor.Config, error) {
	cfg, err := monitor.Read(ctx, o.config)
	if err != nil {
		return nil, err
	}
	if o.listen != "" {
		if o.listen != "none" {
			if err := cli.CheckListen("listen", o.listen); err != nil {
				return nil, err
			}
		}
		cfg.Listen = o.listen
	}
	return cfg, nil
}

func (o *monitorRunFlags) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	// For the rest of the process: a SIGHUP that nobody waits for must not end it.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	cfg, err := o.read(ctx)
	if err != nil {
		return err
	}
	// Nothing waits for those who read what is logged.
	log := monitor.NewLines(stderr, func(n int) []byte {
		return fmt.Appendf(nil, "time=%s level=WARN msg=\"lines were left out here: nobody read them\" lines=%d\n", time.Now().Format(time.RFC3339), n)
	})
	defer log.Close()
	logger := slog.New(slog.NewTextHandler(log, nil))
	m, err := monitor.New(ctx, cfg, monitor.Options{Logger: logger, News: stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	reloaded := func(*monitor.Config) error { return nil }
	work := func(ctx context.Context) error {
		if err := sdnotify.Notify(sdnotify.Ready); err != nil {
			logger.Warn("not told systemd", "error", err)
		}
		var reloading sync.WaitGroup
		defer reloading.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		reloading.Go(func() { o.reload(ctx, m, hup, reloaded, logger) })
		err := m.Run(ctx)
		return errors.Join(err, sdnotify.Notify(sdnotify.Stopping))
	}
	if cfg.Listen == "none" {
		return work(ctx)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var pages pages
	if err := pages.show(m, cfg, logger); err != nil {
		return err
	}
	defer pages.close()
	reloaded = func(cfg *monitor.Config) error { return pages.show(m, cfg, logger) }
	handler, err := m.Handler(registry, pages.limited, &pages)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return err
	}
	server := monitor.NewServer(handler)
	server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	room.LimitConnections(server, room.New(min(maxConnections, room.ForConnections()), maxPerAddress), rates.Connection)
	fmt.Fprintf(stderr, "listening on http://%s\n", l.Addr())
	return cli.Serve(ctx, work, server, l)
}

// Connections at once, in all and of one address. Behind a proxy all have one address, so
// that this is many.
const (
	maxConnections = 4096
	maxPerAddress  = 1024
)

// reload takes over the configuration at each SIGHUP, until the context ends.
func (o *monitorRunFlags) reload(ctx context.Context, m *monitor.Monitor, hup <-chan os.Signal, reloaded func(*monitor.Config) error, logger *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		cfg, err := o.read(ctx)
		if err == nil {
			err = m.Reload(ctx, cfg)
		}
		if err == nil {
			err = reloaded(cfg)
		}
		if err != nil && ctx.Err() == nil {
			m.Refused(err)
			logger.Error("not reloaded, what was read before still counts", "error", err)
		}
	}
}

// lookOnce looks once at everything.
func (o *monitorRunFlags) lookOnce(cmd *cobra.Command) (err error) {
	cfg, err := o.read(cmd.Context())
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError}))
	m, err := monitor.New(cmd.Context(), cfg, monitor.Options{Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	reports, lookErr := m.Once(cmd.Context())
	out := bufio.NewWriter(cli.Folded(cmd.OutOrStdout()))
	all := &audit.Report{}
	for i, name := range slices.Sorted(maps.Keys(reports)) {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "%s\n", printable.Line(name))
		printReport(out, reports[name], nil, false)
		all.Findings = append(all.Findings, reports[name].Findings...)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	alerting, err := m.Alerting(cmd.Context())
	if alerting {
		return cli.Failed(cli.ErrReported)
	}
	return verdict(all, errors.Join(lookErr, err), func(audit.Class) bool { return false })
}

// pages are the web pages of the configuration of the time. Nothing is waited for: the pages of
// an earlier configuration are closed with the last of their answers, which its reader may
// take for minutes.
type pages struct {
	mu  sync.Mutex
	now *pagesOfOne
}

// pagesOfOne are the pages of one configuration.
type pagesOfOne struct {
	*page.Server
	answers int  // that are under way
	old     bool // others are shown
}

// show shows the pages of another configuration from now on.
func (p *pages) show(m *monitor.Monitor, cfg *monitor.Config, logger *slog.Logger) error {
	c, err := pagesOf(cfg)
	if err != nil {
		return err
	}
	c.Contact, c.ClientAddressHeader, c.Logger, c.Feeds = cfg.Contact, cfg.ClientAddressHeader, logger, m.Feeds()
	c.Cosigns = m.Keys()
	next, err := page.New(c)
	if err != nil {
		return err
	}
	return p.replace(next)
}

// replace shows other pages from now on; nil: none.
func (p *pages) replace(next *page.Server) error {
	p.mu.Lock()
	before := p.now
	if p.now = nil; next != nil {
		p.now = &pagesOfOne{Server: next}
	}
	idle := before != nil && before.answers == 0
	if before != nil {
		before.old = true
	}
	p.mu.Unlock()
	if idle {
		return before.Close()
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.answer(w, r, func(s *page.Server) http.Handler { return s })
}

// limited is monitor.Limit: what is served beside the pages shares their limits.
func (p *pages) limited(h http.Handler, files bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.answer(w, r, func(s *page.Server) http.Handler { return s.Limited(h, files) })
	})
}

// answer answers with a handler of the pages of now, which stay open until it has.
func (p *pages) answer(w http.ResponseWriter, r *http.Request, with func(*page.Server) http.Handler) {
	p.mu.Lock()
	s := p.now
	if s != nil {
		s.answers++
	}
	p.mu.Unlock()
	if s == nil {
		http.Error(w, "this auditor is stopping", http.StatusServiceUnavailable)
		return
	}
	defer func() {
		p.mu.Lock()
		s.answers--
		last := s.old && s.answers == 0
		p.mu.Unlock()
		if last {
			_ = s.Close()
		}
	}()
	with(s.Server).ServeHTTP(w, r)
}

func (p *pages) close() { _ = p.replace(nil) }
