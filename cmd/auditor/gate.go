package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tuflog/tuflog/gate"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/rates"
	"github.com/tuflog/tuflog/internal/room"
)

func newGate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gate",
		Short: "Sign the timestamps of what is logged, for clients that know no log",
		Long: `A gate lets TUF clients that know no log refuse what is not logged. A vendor's root names
the vendor's key and those of several gates for the timestamp, and wants more signatures
than the vendor can make. A gate runs a device's workflow over what the vendor is about to
publish, and signs the timestamp only if all of it is logged and witnessed. docs/gate.md
says what that takes, and what it cannot do.`,
		Example: `  auditor gate key --out gate.key
  auditor gate serve --config gate.toml
  auditor gate status http://127.0.0.1:7385`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newGateServe(), newGateKey(), newGateStatus())
	return cmd
}

// gateServeFlags are the flags of gate serve: a configuration file, or one repository.
type gateServeFlags struct {
	config, listen, dir   string
	key, sshAgent, sshKey string
	root, policy, served  string
	fetch, gates          []string
	id                    string
	maxLifetime           time.Duration
	maxRoles              int
	maxJump               int64
	withoutHashes         bool
	addressHeader         string
}

func newGateServe() *cobra.Command {
	var opts gateServeFlags
	cmd := &cobra.Command{
		Use:   "serve {--config FILE | --key FILE --policy FILE --root FILE --served URL --dir DIR}",
		Short: "Sign timestamps until interrupted",
		Long: `Sign the timestamps of the repositories of a configuration file, or of one repository
that flags name. When ready it prints "listening on http://ADDR" on stderr and notifies
systemd. /metrics has what it counts.

It never signs two contents of a timestamp under one version, nor an older version than
the one that it signed last: that is in its directory before it answers. After each start
it looks at the timestamp that is served, and asks the other gates, before it signs.

On SIGHUP it reads the configuration again, with the roots and policies that it names:
repositories may come and go, and all but dir, listen and the key may change. If anything
cannot be used, all stays as it was, and a line on stderr says why.

Exit codes: 0 it was stopped; 1 starting it again may help: the address is in use, a disk
is full, another process has the directory; 2 wrong usage, or a key, a root or a policy
cannot be used.`,
		Example: `  auditor gate serve --config gate.toml
  auditor gate serve --dir /var/lib/tuflog-gate --key gate.key --policy policy.txt --root 1.root.json --served https://updates.acme.example/metadata/ --gate KEY=https://gate.example`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := opts.read(cmd.Flags())
			if err != nil {
				return err
			}
			again := func() (*gate.Config, error) { return opts.read(cmd.Flags()) }
			return cli.Passing(serveGate(cmd.Context(), cfg, again, cmd.ErrOrStderr()))
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.config, "config", "", "configuration `FILE` (docs/gate.md)")
	f.StringVar(&opts.listen, "listen", "", "`ADDR` to listen on; port 0 picks one (default: as configured, or "+gate.DefaultListen+")")
	f.StringVar(&opts.dir, "dir", "", "`DIR` that has all that lasts")
	f.StringVar(&opts.key, "key", "", "`FILE` with the gate's key (auditor gate key makes one)")
	f.StringVar(&opts.sshAgent, "ssh-agent", "", "`SOCKET` of an ssh-agent that has the Ed25519 key")
	f.StringVar(&opts.sshKey, "ssh-key", "", "`FINGERPRINT` of the key in the agent, SHA256:…, if it has several")
	f.StringVar(&opts.root, "root", "", "`FILE` with the root in which trust begins")
	f.StringVar(&opts.policy, "policy", "", "`FILE` with the trust policy (c2sp.org/tlog-policy)")
	f.StringVar(&opts.served, "served", "", "`URL` of the metadata that clients see")
	f.StringVar(&opts.id, "repository", "", "the repository (64 hex digits) (default: the root is its first)")
	f.StringArrayVar(&opts.fetch, "fetch", nil, "beginning of the `URL`s from which staged repositories may be fetched, ending in a slash (repeatable)")
	f.StringArrayVar(&opts.gates, "gate", nil, "another gate of the repository, `KEY=URL`, or KEY alone (repeatable)")
	f.DurationVar(&opts.maxLifetime, "max-lifetime", gate.DefaultMaxLifetime, "how long a timestamp may live")
	f.IntVar(&opts.maxRoles, "max-roles", gate.DefaultMaxRoles, "how many roles of targets are judged")
	f.Int64Var(&opts.maxJump, "max-jump", gate.DefaultMaxJump, "how far a timestamp's version may be above the last one")
	f.BoolVar(&opts.withoutHashes, "without-hashes", false, "accept timestamps and snapshots that list versions without hashes")
	f.StringVar(&opts.addressHeader, "client-address-header", "", "header in which a proxy in front gives the client's address, such as X-Forwarded-For")
	return cmd
}

// read returns the configuration that the flags mean.
func (o *gateServeFlags) read(given *pflag.FlagSet) (*gate.Config, error) {
	var cfg *gate.Config
	switch {
	case (o.config == "") == (o.policy == ""):
		return nil, errors.New("want either --config FILE, or --policy FILE and the other flags of one repository")
	case o.config != "":
		var err error
		given.Visit(func(f *pflag.Flag) {
			if f.Name != "config" && f.Name != "listen" && err == nil {
				err = fmt.Errorf("--%s: with --config it stands in the configuration; leave it out", f.Name)
			}
		})
		if err != nil {
			return nil, err
		}
		if cfg, err = gate.Read(o.config); err != nil {
			return nil, err
		}
	default:
		var err error
		given.Visit(func(f *pflag.Flag) {
			switch f.Name {
			case "max-lifetime", "max-roles", "max-jump", "repository":
				if v := f.Value.String(); err == nil && (v == "0" || v == "0s" || v == "") {
					err = fmt.Errorf("--%s: zero, or empty: leave it out if its default value is meant", f.Name)
				}
			}
		})
		if err != nil {
			return nil, err
		}
		cfg = &gate.Config{Dir: o.dir, Key: o.key, SSHAgent: o.sshAgent, SSHKey: o.sshKey, ClientAddressHeader: o.addressHeader}
		r := gate.RepositoryConfig{
			Name: "repository", ID: o.id, Root: o.root, Policy: o.policy, Served: o.served, Fetch: o.fetch,
			MaxLifetime: o.maxLifetime, MaxRoles: o.maxRoles, MaxJump: o.maxJump, WithoutHashes: o.withoutHashes,
		}
		for _, g := range o.gates {
			key, url, _ := strings.Cut(g, "=")
			r.Gates = append(r.Gates, gate.PeerConfig{Key: key, URL: url})
		}
		cfg.Repositories = []gate.RepositoryConfig{r}
		if err := cfg.Check(); err != nil {
			return nil, err
		}
	}
	if o.listen != "" {
		cfg.Listen = o.listen
	}
	return cfg, cli.CheckListen("listen", cfg.Listen)
}

func serveGate(ctx context.Context, cfg *gate.Config, again func() (*gate.Config, error), stderr io.Writer) (err error) {
	// For the rest of the process: a SIGHUP that nobody waits for must not end it.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	g, err := gate.New(ctx, cfg, gate.Options{Logger: logger, Metrics: registry})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	server := gate.NewServer(g.Handler(registry))
	room.LimitConnections(server, room.New(min(maxConnections, room.ForConnections()), maxPerAddress), rates.Connection)
	var reloading sync.WaitGroup
	defer reloading.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reloading.Go(func() { reloadGate(ctx, g, hup, again, logger) })
	return listenAndServe(ctx, server, cfg.Listen, logger, stderr)
}

// reloadGate takes over the configuration at each SIGHUP, until the context ends.
func reloadGate(ctx context.Context, g *gate.Gate, hup <-chan os.Signal, again func() (*gate.Config, error), logger *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		cfg, err := again()
		if err != nil {
			g.Refused()
		} else {
			err = g.Reload(ctx, cfg)
		}
		if err != nil && ctx.Err() == nil {
			logger.Error("not reloaded, what was read before still counts", "error", err)
		}
	}
}
