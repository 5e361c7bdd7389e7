package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/audit/page"
	"github.com/tuflog/tuflog/internal/cli"
)

// serveFlags are the flags of serve.
type serveFlags struct {
	config        string
	state         string
	policy        string
	url           string
	listen        string
	site          string
	contact       string
	addressHeader string
	limits        page.Limits
}

func newServe() *cobra.Command {
	var flags serveFlags
	cmd := &cobra.Command{
		Use:   "serve {--config FILE | --state DIR --policy FILE} [--listen ADDR]",
		Short: "Show what was found as web pages",
		Long: `Serve shows what an auditor knows as web pages: the logs and their health, repositories and
what each release changed, findings with their evidence, and a search by path, hash, key and
role. Every page is JSON, too: Accept: application/json, or ?format=json.

It reads beside the process that follows the logs, and writes nothing. With --config it shows
all logs of a monitor's configuration, from its directory; with --state one log, as replay
--state or a monitor keeps it. Files and proofs come from the monitor's copy of the log, or
else from the log (--log: its URL, or the folder of a copy).

Anybody may ask: what a request may cost is bounded, and requests are counted by address. With
a proxy in front, name the header in which it gives the client's address. When ready it prints
"listening on http://ADDR" on stderr and notifies systemd.

Exit codes:
  0  it was asked to end
  1  starting it again may help: the address is in use or not there yet
  2  wrong usage: starting it again would not help`,
		Example: `  auditor serve --state audit.state --policy policy.txt --listen 127.0.0.1:7391
  auditor serve --config /etc/tuflog/monitor.toml --client-address-header X-Forwarded-For`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.Passing(flags.serve(cmd.Context(), cmd.ErrOrStderr()))
		},
	}
	set := cmd.Flags()
	set.StringVar(&flags.config, "config", "", "configuration `FILE` of a monitor, whose logs are shown")
	set.StringVar(&flags.state, "state", "", "`DIR` that replay --state keeps, of the log that --policy names")
	set.StringVar(&flags.policy, "policy", "", "`FILE` with the trust policy of that log")
	set.StringVar(&flags.url, "log", "", "`URL` of that log, or the folder of a copy (default: the URL that the policy names)")
	set.StringVar(&flags.listen, "listen", "127.0.0.1:7391", "address to listen on; port 0 picks one")
	set.StringVar(&flags.site, "site", "", "`NAME` of the site (default \"tuflog auditor\")")
	set.StringVar(&flags.contact, "contact", "", "how the operator is reached, in words")
	set.StringVar(&flags.addressHeader, "client-address-header", "", "header in which a proxy in front gives the client's address, such as X-Forwarded-For")
	set.Float64Var(&flags.limits.PerSecond, "max-per-address", page.DefaultLimits.PerSecond, "requests a second from one address, ten times as many at once; negative: no limit")
	set.IntVar(&flags.limits.Concurrent, "max-concurrent", page.DefaultLimits.Concurrent, "requests answered at once, up to a quarter of them from one address")
	return cmd
}

func (f *serveFlags) serve(ctx context.Context, stderr io.Writer) (err error) {
	if err := cli.CheckListen("listen", f.listen); err != nil {
		return err
	}
	if f.limits.PerSecond == 0 || f.limits.Concurrent < 1 {
		return errors.New("--max-per-address and --max-concurrent: want 1 or more")
	}
	cfg, err := f.pages(ctx)
	if err != nil {
		return err
	}
	f.limits.Burst = max(int(10*f.limits.PerSecond), 1)
	cfg.Name, cfg.Contact, cfg.ClientAddressHeader, cfg.Limits = f.site, f.contact, f.addressHeader, f.limits
	cfg.Logger = slog.New(slog.NewTextHandler(stderr, nil))
	s, err := page.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	server := page.NewHTTPServer(s, f.addressHeader != "")
	return listenAndServe(ctx, server, f.listen, cfg.Logger, stderr)
}

// pages returns what is to be shown.
func (f *serveFlags) pages(ctx context.Context) (page.Config, error) {
	switch {
	case (f.config == "") == (f.state == ""):
		return page.Config{}, errors.New("want either --config FILE of a monitor, or --state DIR and --policy FILE of one log")
	case f.config != "" && (f.policy != "" || f.url != ""):
		return page.Config{}, errors.New("--config: the configuration names the policy and the log; leave out --policy and --log")
	case f.config != "":
		cfg, err := monitor.Read(ctx, f.config)
		if err != nil {
			return page.Config{}, err
		}
		return pagesOf(cfg)
	case f.policy == "":
		return page.Config{}, errors.New("--state: want --policy FILE, too")
	}
	l, err := pageLog(f.policy)
	if err != nil {
		return page.Config{}, err
	}
	l.StateDir, l.Name = f.state, nameOfLog(l.Policy)
	if l.Source, err = openLog(f.url, l.Policy); err != nil && f.url != "" {
		return page.Config{}, err
	}
	if _, folder := folderOf(f.url); folder {
		l.Copy, l.Source = l.Source, nil
	} else {
		l.URL = f.url
	}
	return page.Config{Logs: []page.Log{l}}, nil
}
