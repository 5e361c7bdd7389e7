package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/cmd/internal/cli"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/tesseralog"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
	"github.com/tuflog/tuflog/witness/client"
)

// stopTime is how long requests may take to end after everything that they wait
// for has ended.
const stopTime = 5 * time.Second

type serveFlags struct {
	place
	policy, listen, tokenFile   string
	snapshots, timestamps, open bool
}

func newServe() *cobra.Command {
	var flags serveFlags
	cmd := &cobra.Command{
		Use:   "serve --dir DIR --policy POLICY [--listen ADDR]",
		Short: "Take submissions, publish checkpoints, serve the log",
		Long: `Serve takes submissions, publishes checkpoints and serves the log over HTTP. The
policy (c2sp.org/tlog-policy) says which witnesses make a quorum and where they
are; nothing is published without one. When ready it prints "listening on
http://ADDR" on stderr. An interrupt or SIGTERM stops new submissions, brings the
queued ones into the log and stops it.

It refuses to start, with exit code 2 and the reason, when what the ledger says
was signed is not what storage holds.

Registering a repository takes the token in DIR/registration.token (or in another
file), unless registration is open. Submissions to registered repositories are
open to all: anyone may log what is validly signed.`,
		Example: `  logserver serve --dir ./log --policy policy.txt --listen 127.0.0.1:7370`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), flags, cmd.ErrOrStderr())
		},
	}
	flags.flags(cmd)
	flags.ledgerFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&flags.policy, "policy", "", "trust policy: the witnesses with their URLs, and the quorum (required)")
	f.StringVar(&flags.listen, "listen", "127.0.0.1:7370", "address to listen on; port 0 picks one")
	f.BoolVar(&flags.snapshots, "log-snapshots", false, "make snapshots leaves of the log, too")
	f.BoolVar(&flags.timestamps, "log-timestamps", false, "make timestamps leaves of the log, too")
	f.BoolVar(&flags.open, "open-registration", false, "let anyone register a repository")
	f.StringVar(&flags.tokenFile, "token-file", "", "file with the registration token (default DIR/registration.token)")
	cmd.MarkFlagsMutuallyExclusive("open-registration", "token-file")
	if err := cmd.MarkFlagRequired("policy"); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}

func serve(ctx context.Context, flags serveFlags, stderr io.Writer) (err error) {
	if err := flags.check(); err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	cfg := log.Config{
		LogSnapshots:  flags.snapshots,
		LogTimestamps: flags.timestamps,
		Logger:        logger,
	}
	cfg.Publisher.CheckpointFile = flags.checkpoint()
	if cfg.Publisher.Signer, err = readSigner(flags.key()); err != nil {
		return err
	}
	if cfg.Token, err = readToken(flags); err != nil {
		return err
	}
	if cfg.Labels, err = readLabels(flags.labels()); err != nil {
		return err
	}
	if cfg.Publisher.Policy, err = cli.ReadPolicy(flags.policy); err != nil {
		return err
	}
	gatherer, err := client.NewGatherer(cfg.Publisher.Policy, nil)
	if err != nil {
		return err
	}
	defer gatherer.Close()
	cfg.Publisher.Witnesses = gatherer

	// What is closed last is opened first: the locks.
	closing := func(c io.Closer) { err = errors.Join(err, c.Close()) }
	storage, err := tesseralog.Open(ctx, tesseralog.Config{Dir: flags.tree()})
	if err != nil {
		return err
	}
	defer closing(storage)
	ledger, err := log.OpenFileLedger(flags.ledgerDir())
	if err != nil {
		return err
	}
	defer closing(ledger)
	blobs, err := sqlite.OpenBlobs(flags.blobs())
	if err != nil {
		return err
	}
	defer closing(blobs)
	state, err := sqlite.OpenState(flags.state())
	if err != nil {
		return fmt.Errorf("%w; logserver reindex makes a new one", err)
	}
	defer closing(state)
	cfg.Publisher.Storage, cfg.Publisher.Ledger, cfg.Blobs, cfg.State = storage, ledger, blobs, state

	l, err := log.Open(ctx, cfg)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", flags.listen)
	if err != nil {
		return err
	}
	server := log.NewHTTPServer(l.Handler())
	server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	fmt.Fprintf(stderr, "listening on http://%s\n", listener.Addr())
	return run(ctx, l, server, listener)
}

// run serves until ctx ends. Reads go on while the log drains, and requests that
// wait for their submission get their answer.
func run(ctx context.Context, l *log.Log, server *http.Server, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		err := server.Serve(listener)
		if !errors.Is(err, http.ErrServerClosed) {
			cancel()
		}
		served <- err
	}()
	err := l.Run(ctx)
	stop, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancelStop()
	if errors.Is(server.Shutdown(stop), context.DeadlineExceeded) {
		// A client that is still reading loses its answer, not its release.
		err = errors.Join(err, server.Close())
	}
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func readSigner(path string) (*proofs.Signer, error) {
	skey, err := keyfile.Read(path)
	if err != nil {
		return nil, err
	}
	signer, err := proofs.ParseSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	if alg := signer.Key().Algorithm(); alg != proofs.Ed25519 {
		return nil, fmt.Errorf("key file %s: the key is of type %v, a log needs %v", path, alg, proofs.Ed25519)
	}
	return signer, nil
}

func readToken(flags serveFlags) (string, error) {
	if flags.open {
		return "", nil
	}
	if flags.tokenFile != "" {
		return keyfile.Read(flags.tokenFile)
	}
	return keyfile.Read(flags.token())
}

// readLabels reads the operator's names for repositories, if there are any.
func readLabels(path string) (map[verify.Digest]string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	labels := map[verify.Digest]string{}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		hex, label, ok := strings.Cut(line, " ")
		id, err := verify.ParseDigest(hex)
		if err != nil || !ok {
			return nil, fmt.Errorf("%s: line %d: want a repository's 64 hex digits, a space and a name", path, n)
		}
		labels[id] = strings.TrimSpace(label)
	}
	return labels, nil
}
