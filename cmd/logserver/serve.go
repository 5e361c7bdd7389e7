package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/internal/room"
	"github.com/tuflog/tuflog/internal/sdnotify"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/dirlog"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/metrics"
	"github.com/tuflog/tuflog/log/packstore"
	"github.com/tuflog/tuflog/proofs"
)

type serveFlags struct {
	place
	shared
	policy, auditedPolicy string
	listen, metricsListen string
	tokenFile, agent      string
	snapshots, timestamps bool
	open, closed          bool
	contact               string
	proxies               []string
	hold                  time.Duration
	quotas                quotaFlags
	declared              declaredFlags
	logFormat             string
	logLevel              slog.Level
}

func newServe() *cobra.Command {
	var flags serveFlags
	cmd := &cobra.Command{
		Use:   "serve --dir DIR --policy POLICY [--listen ADDR]",
		Short: "Take submissions, publish checkpoints, serve the log",
		Long:  serveHelp,
		Example: `  logserver serve --dir ./log --policy policy.txt --listen 127.0.0.1:7370
  logserver serve --dir ./log --policy policy.txt --listen 10.0.0.1:7370 --storage trillian://10.0.0.9:8090/1234 --state postgres://tuflog@10.0.0.8/tuflog
  logserver serve --config /etc/tuflog/logserver.conf`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limitMemory(flags.memory())
			return passing(serve(cmd, flags, cmd.ErrOrStderr()))
		},
	}
	flags.flags(cmd)
	flags.ledgerFlag(cmd)
	flags.sharedFlags(cmd)
	flags.own(cmd.Flags())
	cmd.MarkFlagsMutuallyExclusive(registration...)
	if err := cmd.MarkFlagRequired("policy"); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}

// serveHelp is what logserver serve --help says.
const serveHelp = `Serve takes submissions, publishes checkpoints and serves the log over HTTP. The
policy (c2sp.org/tlog-policy) says which witnesses make a quorum and where they
are; nothing is published without one. When ready it prints "listening on
http://ADDR" on stderr. An interrupt or SIGTERM stops new submissions, brings the
queued ones into the log and stops it.

It refuses to start, with exit code 2 and the reason, when what the ledger says
was signed is not what storage holds, or its settings cannot be used. Exit code 1 means
that it may go well when it is started again: the address is in use or not there yet, the
disk is full, another process has the log open, a server does not answer.

Registering a repository takes the token in DIR/registration.token (or in another file,
or in the environment variable TUFLOG_REGISTRATION_TOKEN), unless registration is open,
or closed. Submissions to registered repositories are open to all: anyone may log what
is validly signed. How much is limited by source: the holder of the registration token,
or of a repository's own (logserver token), has a quota that nobody else can use up;
everybody else shares one with the network that the address is in. Clients on this host
have none, unless a proxy names its client in X-Forwarded-For. Where a repository has a
token, submissions without it are held for a day (--hold) before they are logged, so
that nobody gets ahead of the vendor with his own files; see logserver hold.

With --storage and --state the log is on servers that several front ends share, each
with a directory that holds the same log.key, registration.token and labels: logserver
init makes the first, copy them for the others. Of the directory nothing else is read,
but each keeps there, in the file served, the newest checkpoint that it has served:
databases of an older date are held against it. One front end leads, all serve and take
submissions, and when the one that leads fails another takes over. A front end without
log.key never leads. What they tell each other goes in plain text unless --url is https
(of a proxy with TLS, say): keep it on a network of your own.

With --audited-policy the log asks the auditors of that policy what they have cosigned, and
serves the newest checkpoint that meets it beside the newest one, without ever making a
publication wait. Auditors are the group "auditors" of that policy or, without it, whom
--policy does not list. An auditor cosigns what is published, so a --policy whose quorum
needs one is refused: serve asks the witnesses at its start whether they are auditors.

The log's key is in DIR/log.key, in an ssh-agent or in the environment variable
TUFLOG_LOG_KEY. Files with secrets may be readable by their group only if nobody else
is in it.

Public witnesses are told how often a log asks them (docs/witness-network.md). With
--checkpoints-per-day or --max-rate the log keeps to that at each witness, over restarts
and whichever front end leads: when there is no request left now the newest checkpoint
waits, and what comes meanwhile is in it. Without them each new checkpoint is sent at
once.

SIGHUP reads the labels, the registration token and the policies again, and asks all
witnesses at once. A file that cannot be used is named, and what was read before counts.

All flags can stand in a file: --config. With Type=notify, systemd is told when the
log is ready and when it stops.`

// own adds the flags that serve alone has.
func (f *serveFlags) own(set *pflag.FlagSet) {
	set.StringVar(&f.url, "url", "", "with --state: URL at which the other front ends reach this one (default http://ADDR of --listen, if ADDR has a host)")
	set.StringVar(&f.policy, "policy", "", "trust policy: the witnesses with their URLs, and the quorum (required)")
	set.StringVar(&f.auditedPolicy, "audited-policy", "", "trust policy of devices that need an auditor: the witnesses, and the auditors with their URLs; the newest checkpoint that meets it is served at /checkpoint/audited (default: none)")
	set.StringVar(&f.listen, "listen", "127.0.0.1:7370", "address to listen on; port 0 picks one")
	set.BoolVar(&f.snapshots, "log-snapshots", false, "make snapshots leaves of the log, too")
	set.BoolVar(&f.timestamps, "log-timestamps", false, "make timestamps leaves of the log, too")
	set.BoolVar(&f.open, "open-registration", false, "let anyone register a repository")
	set.StringVar(&f.tokenFile, "token-file", "", "file with the registration token (default DIR/registration.token)")
	set.BoolVar(&f.closed, "closed-registration", false, "take no new repositories")
	set.StringVar(&f.contact, "contact", "", "how to reach you, for the log's page at /: a URL, a mail address, or words")
	set.StringVar(&f.metricsListen, "metrics-listen", "", "address to serve Prometheus metrics on, at /metrics (default: nowhere)")
	set.StringVar(&f.agent, "ssh-agent", "", "socket of an ssh-agent that holds the log's key (default: DIR/log.key holds it)")
	set.StringSliceVar(&f.proxies, "trusted-proxies", nil, "networks of proxies whose X-Forwarded-For is believed, separated by commas (default 127.0.0.0/8,::1)")
	set.DurationVar(&f.hold, "hold", 24*time.Hour, "how long submissions without the repository's token are held before they are logged, where there is a token; 0: not at all")
	f.quotas.flags(set)
	f.declared.flags(set)
	set.StringVar(&f.logFormat, "log-format", "text", "how to write what happens to stderr: text or json")
	set.Var(&levelFlag{&f.logLevel}, "log-level", "what to write: debug (with every request), info, warn or error")
}

// Room, in bytes, below which a file system counts as full. A batch of entries, with its
// files, tiles and rows, may take as much as minFree; the ledger is a few kilobytes.
const (
	minFree       = 16 << 20
	minFreePacks  = 256 << 20 // packs are not what fills it: they can be made again
	minFreeLedger = 1 << 20
)

// passing gives errors that may pass by themselves exit code 1.
func passing(err error) error {
	var halt *log.Halt
	var moved *logdir.MovedError
	switch {
	case errors.As(err, &halt), errors.As(err, &moved): // somebody has to act
		return err
	case errors.Is(err, log.ErrUnavailable):
		return cli.Failed(err)
	}
	return cli.Passing(err)
}

func serve(cmd *cobra.Command, flags serveFlags, stderr io.Writer) (err error) {
	ctx := cmd.Context()
	hup := reloads()
	if err := errors.Join(cli.CheckListen("listen", flags.listen), checkMetricsListen(flags.metricsListen)); err != nil {
		return err
	}
	if err := flags.log().Check(); err != nil {
		return err
	}
	if flags.url != "" && !flags.on() {
		return errors.New("--url is for logs on servers: see --storage and --state")
	}
	if err := flags.declared.check(); err != nil {
		return err
	}
	logger, err := newLogger(stderr, flags.logFormat, flags.logLevel, func(text string) string { return cli.Pasteable(cmd, text) })
	if err != nil {
		return err
	}
	slog.SetDefault(logger) // what libraries say has the same form
	cfg, err := logConfig(flags, logger)
	if err != nil {
		return err
	}
	gatherer, err := newWitnesses(cfg.Publisher.Policy, flags.witnesses(), logger)
	if err != nil {
		return err
	}
	defer gatherer.Close()
	re := &reloader{flags: flags, logger: logger, witnesses: gatherer, now: httpd.Settings{Labels: cfg.Labels, Token: cfg.Token, Policy: cfg.Publisher.Policy}}
	m := metrics.New()
	if cfg.Publisher.Signer != nil {
		lost, err := warnOfLost(flags.place, cfg.Publisher, logger)
		if err != nil {
			return err
		}
		m.LostKeys(lost)
	}
	cfg.Observer, cfg.Publisher.Witnesses = m, m.Witnesses(gatherer)
	cfg.Requests = gatherer.requests
	gatherer.count(flags.declared.budget(&flags.place, nil))
	if flags.on() {
		return serveShared(ctx, flags, cfg, m, re, hup, stderr)
	}

	keys, err := cfg.Publisher.Keys()
	if err != nil {
		return err
	}
	if err := re.openAudited(ctx, keys, &cfg.Config, m); err != nil {
		return err
	}
	w := dirlog.Open(flags.log(), logger)
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := w.Write(ctx, &cfg); err != nil {
		return err
	}
	cfg.Publisher.Storage = m.Storage(cfg.Publisher.Storage)
	logs, ledger := room.Disk(minFree, w.Tree(), flags.dir), room.Disk(minFreeLedger, flags.ledgerDir())
	cfg.Room = func() error { return cmp.Or(logs(), ledger()) }
	l, err := leader.Open(ctx, cfg)
	if err != nil {
		return err
	}
	gatherer.late = l.Publisher().AddCosignatures
	re.reload = l.Reload
	m.Watch(l.Stats, gatherer.Health)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", flags.listen)
	if err != nil {
		return err
	}
	return listen(ctx, flags, m, logger, stderr, listener, l.Handler(), re.beside(hup, l.Board, l.Run))
}

// listen serves handler, and the metrics, while work runs.
func listen(ctx context.Context, flags serveFlags, m *metrics.Metrics, logger *slog.Logger, stderr io.Writer, listener net.Listener, handler http.Handler, work func(context.Context) error) error {
	if flags.metricsListen != "" {
		stop, err := serveMetrics(ctx, flags.metricsListen, m, logger)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		defer stop()
	}
	listener = limitConnections(listener)
	server := httpd.NewHTTPServer(handler)
	server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	// Idle connections are closed before the listener runs out of room.
	httpd.LimitConnections(server, min(int(flags.quotas.connections), room.ForConnections()-1))
	defer flags.noteServing(listener.Addr())()
	fmt.Fprintf(stderr, "listening on http://%s\n", listener.Addr())
	notify(logger, sdnotify.Ready)
	defer context.AfterFunc(ctx, func() {
		logger.Info("stopping; submissions that wait are published first, if that can be done soon")
		notify(logger, sdnotify.Stopping)
	})()
	return cli.Serve(ctx, work, server, listener)
}

// logConfig reads the parts of the log beside its data.
func logConfig(flags serveFlags, logger *slog.Logger) (cfg leader.Config, err error) {
	if flags.quotas.connections < 1 {
		return cfg, fmt.Errorf("%d connections at once are too few", flags.quotas.connections)
	}
	if flags.hold < 0 {
		return cfg, fmt.Errorf("--hold %v is less than no time", flags.hold)
	}
	cfg.LogSnapshots, cfg.LogTimestamps = flags.snapshots, flags.timestamps
	cfg.Limits, cfg.Hold, cfg.Logger = flags.quotas.limits(), flags.hold, logger
	cfg.Packs = packstore.Config{Dir: flags.packs(), Room: room.Disk(minFreePacks, flags.dir)}
	if !flags.on() || flags.mayLead() {
		if err := openKeys(flags, &cfg); err != nil {
			return cfg, err
		}
	}
	if cfg.Labels, err = readLabels(flags.labels()); err != nil {
		return cfg, err
	}
	if err := refuseTokensFile(flags.place); err != nil {
		return cfg, err
	}
	cfg.RegistrationClosed, cfg.Contact = flags.closed, flags.contact
	if err := httpd.CheckContact(cfg.Contact); err != nil {
		return cfg, fmt.Errorf("--%w", err)
	}
	if cfg.Sources.TrustedProxies, err = parseProxies(flags.proxies); err != nil {
		return cfg, err
	}
	if cfg.Publisher.Policy, err = cli.ReadPolicy(flags.policy); err != nil {
		return cfg, err
	}
	return cfg, checkWitnesses(cfg.Publisher.Policy, logger)
}

// checkWitnesses says at the start what would otherwise show with the first release.
func checkWitnesses(policy *proofs.Policy, logger *slog.Logger) error {
	if len(policy.Witnesses) == 0 {
		logger.Warn("the policy has no witness: nobody but this log vouches for what it publishes")
	}
	return checkURLs("policy", policy)
}

// openKeys opens the keys and the token, which only a process that writes the log needs.
func openKeys(flags serveFlags, cfg *leader.Config) (err error) {
	if cfg.Publisher.Signer, err = openSigner(flags.place, flags.agent); err != nil {
		return err
	}
	if cfg.Publisher.More, err = openMoreKeys(flags.place); err != nil {
		return err
	}
	cfg.Token, err = readToken(flags)
	return err
}

func checkMetricsListen(addr string) error {
	if addr == "" {
		return nil
	}
	return cli.CheckListen("metrics-listen", addr)
}

// notify tells systemd, if it waits.
func notify(logger *slog.Logger, state string) {
	if err := sdnotify.Notify(state); err != nil {
		logger.Warn("systemd was not told", "state", state, "err", err)
	}
}

// levelFlag says which levels there are.
type levelFlag struct{ *slog.Level }

// Set implements pflag.Value.
func (l *levelFlag) Set(s string) error {
	if err := l.UnmarshalText([]byte(s)); err != nil {
		return fmt.Errorf("%q is none of debug, info, warn and error", s)
	}
	return nil
}

// Type implements pflag.Value.
func (l *levelFlag) Type() string { return "level" }

// newLogger returns a logger whose texts paste makes advice that can be pasted.
func newLogger(w io.Writer, format string, level slog.Level, paste func(string) string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch v := a.Value.Any().(type) {
		case string:
			a.Value = slog.StringValue(paste(v))
		case error:
			a.Value = slog.StringValue(paste(v.Error()))
		}
		return a
	}}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("log format %q is neither text nor json", format)
}

// serveMetrics serves the metrics until stop is called.
func serveMetrics(ctx context.Context, addr string, m *metrics.Metrics, logger *slog.Logger) (stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	server := &http.Server{Handler: m.Handler(), ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
	server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("metrics are not served any more", "err", err)
		}
	}()
	logger.Info("metrics are served", "url", fmt.Sprintf("http://%s/metrics", listener.Addr()))
	return func() {
		// A scraper that is reading metrics now comes again.
		_ = server.Close()
		<-served
	}, nil
}

func readToken(flags serveFlags) (string, error) {
	if flags.open || flags.closed {
		return "", nil
	}
	token, from, err := findToken(flags)
	if err == nil && !api.CheckToken(token) {
		// It could be guessed or not be sent, or is half of one that is being written.
		return "", fmt.Errorf("the registration token in %s: want 22 to 128 letters, digits and -._~+/=, such as openssl rand -hex 16 makes", from)
	}
	return token, err
}

// findToken returns the registration token and where it comes from.
func findToken(flags serveFlags) (token, from string, err error) {
	from = flags.tokenFile
	if from == "" {
		if token, ok, err := keyfile.FromEnv(tokenVariable); ok || err != nil {
			return token, tokenVariable, err
		}
		from = flags.token()
	}
	token, err = keyfile.Read(from)
	return token, from, err
}
