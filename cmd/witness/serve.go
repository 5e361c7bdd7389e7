package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/internal/rates"
	"github.com/tuflog/tuflog/internal/room"
	"github.com/tuflog/tuflog/internal/sdnotify"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/ledger"
	"github.com/tuflog/tuflog/witness/sqlite"
)

// minFree is the room, in bytes, below which a file system counts as full.
const minFree = 1 << 20

type serveFlags struct {
	dir, ledger, listen, metrics string
	agent                        string
	lists, peers                 []string
	bastions, urls               []string
	bastionCA                    string
	contact, aboutFile           string
	listEvery, checkEvery, hold  time.Duration
	perLog, perAddress           float64
	limits                       witness.Limits // but for the rates
	addressHeader                string
}

func newServe() *cobra.Command {
	var flags serveFlags
	cmd := &cobra.Command{
		Use:   "serve --dir DIR [--listen ADDR]",
		Short: "Cosign checkpoints over HTTP",
		Long: `Serve answers POST /add-checkpoint with cosignatures, GET /HASH/checkpoint with
the checkpoint cosigned last (HASH is SHA-256 of the log's origin, in hex), GET /
with a page about the witness, GET /healthz and GET /readyz. When ready it prints
"listening on http://ADDR" on stderr and notifies systemd. On an interrupt or SIGTERM
it finishes requests under way and stops. On SIGHUP it fetches the lists of logs
again. Changes by the other commands take effect at once.

Before it cosigns a log for the first time, and then on a schedule, it looks at the
log's published checkpoint and at --peer witnesses for its own cosignatures that its
state has lost. One of the peers should be the witness's own public URL.
With --bastion it needs no open port: it connects to a bastion
(c2sp.org/https-bastion), and logs ask it there. The key by which bastions know it is
in DIR/bastion.key, which is made at the first start; serve prints its hash, which a
bastion's operator needs to know, and the URL.
The private keys are in DIR, in an ssh-agent (--ssh-agent), or in the environment
variables TUFLOG_WITNESS_KEY and TUFLOG_WITNESS_MLDSA_KEY.
While its clock is in doubt it does not cosign: see "witness clock".

Exit code 1 means that starting it again may help: the ledger could not be written,
the address is in use or not there yet, or another process has the state open.
2 means that starting it again would not help.`,
		Example: `  witness serve --dir ./w1 --listen 127.0.0.1:7380
  witness serve --dir ./w1 --bastion bastion.example --contact ops@witness.example
  witness serve --dir ./w1 --log-list https://testing.witness-network.org/log-list.1 --peer https://witness.example`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.Passing(serve(cmd.Context(), flags, cmd.ErrOrStderr(), func(text string) string { return cli.Pasteable(cmd, text) }))
		},
	}
	dirFlag(cmd, &flags.dir)
	f := cmd.Flags()
	f.StringVar(&flags.listen, "listen", "127.0.0.1:7380", "address to listen on; port 0 picks one")
	f.StringVar(&flags.metrics, "metrics-listen", "", "address to serve Prometheus metrics on, at /metrics (default: nowhere)")
	f.StringVar(&flags.ledger, "ledger", "", "directory of the ledger (default DIR.ledger)")
	f.StringVar(&flags.agent, "ssh-agent", "", "socket of the ssh-agent that has the Ed25519 key")
	f.StringArrayVar(&flags.lists, "log-list", nil, "https URL of a list of logs to follow (may be repeated)")
	f.DurationVar(&flags.listEvery, "log-list-every", time.Hour, "how often to fetch lists")
	f.StringArrayVar(&flags.peers, "peer", nil, "monitoring prefix of another witness, or this one's (may be repeated)")
	f.StringSliceVar(&flags.bastions, "bastion", nil, "HOST[:PORT] of a bastion to serve behind as well (may be repeated, or with commas)")
	f.StringVar(&flags.bastionCA, "bastion-ca", "", "file of the certificates, in PEM, that bastions are verified by (default: the system's)")
	f.StringArrayVar(&flags.urls, "url", nil, "submission prefix at which logs reach the witness, for the page (may be repeated; default: at its bastions)")
	f.StringVar(&flags.contact, "contact", "", "how to reach the operator, for the page")
	f.StringVar(&flags.aboutFile, "about", "", "file of plain text that the page shows")
	f.DurationVar(&flags.checkEvery, "check-every", witness.DefaultEvery, "how often to look at published checkpoints and peers")
	f.DurationVar(&flags.hold, "hold", witness.DefaultHold, "how long after the start not to cosign a log whose published checkpoint cannot be fetched; negative: no time")
	d := witness.DefaultLimits
	f.Float64Var(&flags.perLog, "max-per-log", d.PerOrigin.PerSecond, "checkpoints a second of one log, ten times as many at once; 0: no limit")
	f.Float64Var(&flags.perAddress, "max-per-address", d.PerAddress.PerSecond, "requests a second from one address, ten times as many at once; 0: no limit")
	f.IntVar(&flags.limits.Concurrent, "max-concurrent", d.Concurrent, "requests handled at once, up to a quarter of them from one address; 0: no limit")
	f.IntVar(&flags.limits.Unread, "max-unread", d.Unread, "requests at once with an incomplete body; 0: no limit")
	f.IntVar(&flags.limits.UnreadPerAddress, "max-unread-per-address", d.UnreadPerAddress, "such requests of one address; one more ends the slowest; 0: no limit")
	f.IntVar(&flags.limits.Connections, "max-connections", d.Connections, "connections at once; one more closes another, an idle one first, of the address that has the most")
	f.IntVar(&flags.limits.ConnectionsPerAddress, "max-connections-per-address", d.ConnectionsPerAddress, "connections of one address, unless a proxy gives addresses; 0: no limit")
	f.StringVar(&flags.addressHeader, "client-address-header", "", "header in which a proxy in front gives the client's address, such as X-Forwarded-For")
	return cmd
}

func (f serveFlags) check() error {
	if err := cli.CheckListen("listen", f.listen); err != nil {
		return err
	}
	if f.metrics != "" {
		if err := cli.CheckListen("metrics-listen", f.metrics); err != nil {
			return err
		}
	}
	if f.listEvery < time.Second || f.checkEvery < 100*time.Millisecond {
		return errors.New("--log-list-every and --check-every: want a second or more")
	}
	if f.perLog < 0 || f.perAddress < 0 || min(f.limits.Concurrent, f.limits.Unread, f.limits.UnreadPerAddress, f.limits.ConnectionsPerAddress) < 0 {
		return errors.New("the limits --max-…: want 0 for no limit, or more")
	}
	if f.limits.Connections < 1 {
		return fmt.Errorf("--max-connections: %d connections at once are too few", f.limits.Connections)
	}
	for _, l := range f.lists {
		if err := witness.CheckListURL(l); err != nil {
			return err
		}
	}
	for _, u := range f.urls {
		if _, err := cleanURL(u); err != nil {
			return fmt.Errorf("--url: %w", err)
		}
	}
	if err := f.checkBastions(); err != nil {
		return err
	}
	for _, p := range f.peers {
		if _, err := cleanURL(p); err != nil {
			return fmt.Errorf("--peer: %w", err)
		}
	}
	return nil
}

// limitsWithRates are the limits of all flags.
func (f serveFlags) limitsWithRates() witness.Limits {
	l := f.limits
	l.PerOrigin = witness.Rate{PerSecond: f.perLog, Burst: 10 * f.perLog}
	l.PerAddress = witness.Rate{PerSecond: f.perAddress, Burst: 10 * f.perAddress}
	return l
}

func serve(ctx context.Context, flags serveFlags, stderr io.Writer, paste func(string) string) (err error) {
	// For the rest of the process: a SIGHUP that nobody waits for must not end a witness
	// that is stopping.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	if err := flags.check(); err != nil {
		return err
	}
	var closers closers
	defer func() { err = errors.Join(err, closers.close()) }()
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == "advice" {
			a.Value = slog.StringValue(paste(a.Value.String()))
		}
		return a
	}}))
	store, err := openState(ctx, flags, &closers, logger)
	if err != nil {
		return err
	}
	ledgerDir, err := ledgerPath(flags.dir, flags.ledger)
	if err != nil {
		return err
	}
	signers, err := openSigners(flags.dir, flags.agent, store)
	if err != nil {
		return err
	}
	backends, err := flags.backends()
	if err != nil {
		return err
	}
	about, err := flags.about(backends)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	w, err := witness.New(witness.Config{
		Store: store, Signers: signers, Evidence: evidenceDir(flags.dir), Log: logger, Registry: registry,
		Room:   room.Disk(minFree, flags.dir, ledgerDir),
		Watch:  witness.Watch{Peers: flags.peers, Every: flags.checkEvery, Hold: flags.hold},
		Limits: flags.limitsWithRates(), About: about,
	})
	if err != nil {
		return err
	}
	// Why nothing is cosigned is said at once; what was cosigned is served still.
	if stop := (*witness.Refusal)(nil); errors.As(w.CheckClock(ctx), &stop) {
		fmt.Fprintln(stderr, paste(stop.Error()))
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", flags.listen)
	if err != nil {
		return err
	}
	server := witness.NewServer(w.HandlerBehind(flags.addressHeader))
	flags.limitConnections(server)
	server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	fmt.Fprintf(stderr, "listening on http://%s\n", l.Addr())
	if flags.metrics != "" {
		if err := serveMetrics(ctx, flags.metrics, registry, &closers, stderr); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	if err := serveBastions(ctx, backends, w, registry, logger, &closers, stderr); err != nil {
		return errors.Join(err, l.Close())
	}
	closers.background(ctx, func(ctx context.Context) { w.Run(ctx) })
	closers.background(ctx, func(ctx context.Context) { limitHeap(ctx, store, logger) })
	closers.background(ctx, func(ctx context.Context) { flags.followLists(ctx, w, store, hup, logger) })
	if err := sdnotify.Notify(sdnotify.Ready); err != nil {
		logger.Warn("not told systemd", "error", err)
	}
	work := func(ctx context.Context) (err error) {
		select {
		case <-store.Failed():
			err = cli.Failed(store.Err())
		case <-ctx.Done():
		}
		return errors.Join(err, sdnotify.Notify(sdnotify.Stopping))
	}
	return cli.Serve(ctx, work, server, l)
}

// followLists follows all lists until ctx ends, from the beginning at each SIGHUP.
func (f serveFlags) followLists(ctx context.Context, w *witness.Witness, store *sqlite.Store, hup <-chan os.Signal, logger *slog.Logger) {
	for ctx.Err() == nil {
		following, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		for _, list := range f.lists {
			running.Go(func() { w.FollowList(following, store, list, f.listEvery) })
		}
		select {
		case <-ctx.Done():
		case <-hup:
			logger.Info("the lists of logs are fetched again", "lists", len(f.lists))
		}
		stop()
		running.Wait()
	}
}

// limitConnections bounds connections, in all and by address. A proxy has one address
// for all of its clients.
func (f serveFlags) limitConnections(server *http.Server) {
	perAddress := f.limits.ConnectionsPerAddress
	if f.addressHeader != "" {
		perAddress = 0
	}
	room.LimitConnections(server, room.New(min(f.limits.Connections, room.ForConnections()), perAddress), rates.Connection)
}

// closers end what serve has begun, the last first.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c *closers) close() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i]())
	}
	return errors.Join(errs...)
}

// background runs f until the closers are called.
func (c *closers) background(ctx context.Context, f func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { f(ctx) })
	c.add(func() error {
		cancel()
		wg.Wait()
		return nil
	})
}

// openState opens the state and the ledger for this process alone, and latches
// the logs of which the ledger knows more.
func openState(ctx context.Context, flags serveFlags, closers *closers, logger *slog.Logger) (*sqlite.Store, error) {
	store, err := sqlite.Open(flags.dir)
	if err != nil {
		return nil, err
	}
	// Closed before the ledger, to which it may still write.
	closeStore := sync.OnceValue(store.Close)
	closers.add(closeStore)
	ledgerDir, err := ledgerPath(flags.dir, flags.ledger)
	if err != nil {
		return nil, err
	}
	lock, err := lockfile.AcquireDir(flags.dir)
	if err != nil {
		return nil, err
	}
	closers.add(lock.Release)
	l, err := ledger.Open(ledgerDir, store.Signers()...)
	if errors.Is(err, os.ErrNotExist) {
		l, err = replaceLedger(ctx, store, ledgerDir, logger)
	}
	if err != nil {
		return nil, err
	}
	closers.add(l.Close)
	closers.add(closeStore)
	if lock, err = lockfile.AcquireDir(ledgerDir); err != nil {
		return nil, err
	}
	closers.add(lock.Release)
	// It may fail for want of room, as what ended the process before.
	latches, err := store.UseLedger(ctx, l, time.Now().Unix())
	err = cli.Failed(err)
	for origin, latch := range latches {
		logger.Error("cosigning is stopped: the state has lost a cosigned checkpoint", "origin", origin, "why", latch.Why, "source", latch.Source, "advice", "witness latch list")
	}
	return store, err
}

// replaceLedger makes a new ledger where there is none. Init made one, so the
// state may have been moved, or restored on another machine, and be old: every
// log is latched, before there is a ledger that could be taken for the first.
func replaceLedger(ctx context.Context, store *sqlite.Store, dir string, logger *slog.Logger) (*ledger.Ledger, error) {
	logger.Error("the ledger is missing: cosigning is stopped for all known logs", "ledger", dir, "advice", "witness latch list")
	err := store.LatchAll(ctx, witness.Latch{
		Since: time.Now().Unix(), Source: dir,
		Why: "the ledger was missing, so the state may not be the latest one",
	})
	if err != nil {
		return nil, err
	}
	if err := ledger.Create(dir, store.Signers()...); err != nil {
		return nil, err
	}
	return ledger.Open(dir, store.Signers()...)
}

// serveMetrics serves /metrics on an address of its own.
func serveMetrics(ctx context.Context, addr string, registry *prometheus.Registry, closers *closers, stderr io.Writer) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := witness.NewServer(mux)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	closers.add(func() error {
		err := server.Close()
		<-served
		return err
	})
	fmt.Fprintf(stderr, "metrics on http://%s/metrics\n", l.Addr())
	return nil
}
