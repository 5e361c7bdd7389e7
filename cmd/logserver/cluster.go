package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/cluster"
	"github.com/tuflog/tuflog/log/follower"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/metrics"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/serverlog"
	"github.com/tuflog/tuflog/proofs"
)

// shared says where a log is that several front ends serve.
type shared struct{ storageURL, stateURL, url string }

func (s *shared) sharedFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.storageURL, "storage", "", "Trillian's log server, trillian://HOST:PORT/TREE or trillians://HOST:PORT/TREE?ca=FILE (default: DIR)")
	cmd.Flags().StringVar(&s.stateURL, "state", "", "with --storage: the PostgreSQL database for all else, postgres://USER@HOST/DATABASE")
	cmd.MarkFlagsRequiredTogether("storage", "state")
}

// on reports whether the log is on servers, not in a directory.
func (s *shared) on() bool { return s.stateURL != "" || s.storageURL != "" }

// servers returns where the servers are.
func (s *shared) servers() serverlog.Servers {
	return serverlog.Servers{Storage: s.storageURL, State: s.stateURL}
}

// mayLead reports whether this front end has the log's key.
func (f *serveFlags) mayLead() bool {
	if f.agent != "" || os.Getenv(keyVariable) != "" {
		return true
	}
	_, err := os.Stat(f.key())
	return !errors.Is(err, fs.ErrNotExist)
}

// serveShared serves a log on servers: at once as a follower, and as the leader
// whenever it has the lease.
func serveShared(ctx context.Context, flags serveFlags, cfg leader.Config, m *metrics.Metrics, re *reloader, hup <-chan os.Signal, stderr io.Writer) (err error) {
	s, err := serverlog.Open(ctx, flags.servers(), cfg.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.Metrics = m
	re.witnesses.count(flags.declared.budget(&flags.place, s))
	made, err := clusterConfig(ctx, s, flags, cfg, re)
	if err != nil {
		return err
	}
	defer made.Lead.Publisher.Served.Close()
	node, err := cluster.Open(ctx, made)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", flags.listen)
	if err != nil {
		return err
	}
	re.witnesses.late = node.AddCosignatures
	re.reload = node.Reload
	m.Watch(node.Stats, re.witnesses.Health)
	var at string
	if flags.mayLead() {
		if at, err = reachable(flags.url, listener.Addr()); err != nil {
			return errors.Join(err, listener.Close())
		}
		cfg.Logger.Info("front end of a shared log", "url", at)
		m.WatchFrontEnd(func() metrics.FrontEnd { return metrics.FrontEnd(node.Status()) }, cluster.YieldReasons()...)
	} else {
		cfg.Logger.Info("front end of a shared log; without the log's key it only follows")
	}
	stop := node.Start(ctx, at)
	defer stop() // it follows until the last request has ended
	return listen(ctx, flags, m, cfg.Logger, stderr, listener, node, re.beside(hup, node.Board, node.Run))
}

// clusterConfig returns the parts of a front end that serves the log on servers. Its caller
// closes Lead.Publisher.Served.
func clusterConfig(ctx context.Context, s *serverlog.Log, flags serveFlags, cfg leader.Config, re *reloader) (made cluster.Config, err error) {
	if cfg.Sources.FrontEndSecret, err = s.Secret(ctx); err != nil {
		return made, err
	}
	keys, err := publicKeys(ctx, s, flags, cfg.Publisher)
	if err != nil {
		return made, err
	}
	if cfg.Publisher.Served, err = publisher.OpenServed(flags.served(), keys, cfg.Logger); err != nil {
		return made, err
	}
	if err := re.openAudited(ctx, keys, &cfg.Config, s.Metrics); err != nil {
		return made, err
	}
	follow := follower.Config{Config: cfg.Config, Policy: cfg.Publisher.Policy, Keys: keys, Served: cfg.Publisher.Served}
	s.Follow(&follow)
	cfg.Blobs, cfg.Tokens = follow.Blobs, follow.Tokens
	made = cluster.Config{
		Follow:    follow,
		Lead:      cfg,
		Leases:    s,
		FrontEnds: s,
		Reach:     s.Reach,
		Quorum:    re.witnesses.Answers,
		Record: func(ctx context.Context, action, detail string) error {
			return s.Record(ctx, maintain.ActionNow(action, detail))
		},
		Advise:  withWayBack,
		Yielded: s.Metrics.Yielded,
	}
	if agent, ok := cfg.Publisher.Signer.(*agentSigner); ok {
		made.CanSign = agent.try
	}
	return made, nil
}

// publicKeys returns the log's public keys: those it signs with or, on a front end that
// never signs, those of log.vkey and those in keys/ that the policy lists or, without
// log.vkey, those of the policy.
func publicKeys(ctx context.Context, s *serverlog.Log, flags serveFlags, cfg publisher.Config) (keys []proofs.Key, err error) {
	if cfg.Signer != nil {
		keys = signing(cfg)
	} else if keys, err = readKeys(flags.place); errors.Is(err, fs.ErrNotExist) {
		keys, err = nil, nil
		for _, l := range cfg.Policy.Logs {
			keys = append(keys, l.Key)
		}
	} else if err == nil {
		var more []proofs.Key
		more, err = listed(flags.place, keys, cfg.Policy)
		keys = append(keys, more...)
	}
	if err != nil {
		return nil, err
	}
	origin, err := s.Origin(ctx)
	for _, key := range keys {
		if err == nil && key.Name() != origin {
			err = fmt.Errorf("the key is of log %q, the database of %q", key.Name(), origin)
		}
	}
	return keys, err
}

// withWayBack adds to a fault in Trillian's tree, which forgets nothing, how the
// log goes on without it.
func withWayBack(h *log.Halt) *log.Halt {
	switch h.Code {
	case log.HaltRepeatedEntry, log.HaltForeignEntry, log.HaltFilesLost, log.HaltEnded, log.HaltEnding:
		return &log.Halt{Code: h.Code, What: h.What, Do: h.Do + ". logserver tree replace has the log go on in a new tree, with all that was signed and nothing else"}
	}
	return h
}

// reachable returns the URL at which other front ends reach this one.
func reachable(given string, addr net.Addr) (string, error) {
	if given != "" {
		u, err := url.Parse(given)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
			return "", fmt.Errorf("--url %q: want http://HOST:PORT or https://HOST:PORT", fetch.Redacted(given))
		}
		return given, nil
	}
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || tcp.IP.IsUnspecified() {
		return "", fmt.Errorf("listening on %s: give --url, so that the other front ends know where to reach this one", addr)
	}
	return "http://" + addr.String(), nil
}
