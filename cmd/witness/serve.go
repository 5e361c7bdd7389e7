package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sqlite"
)

// stopTime is how long requests may take to end when the process is told to.
const stopTime = 10 * time.Second

func newServe() *cobra.Command {
	var flags struct{ dir, listen string }
	cmd := &cobra.Command{
		Use:   "serve --dir DIR [--listen ADDR]",
		Short: "Cosign checkpoints over HTTP",
		Long: `Serve answers POST /add-checkpoint with cosignatures, GET /HASH/checkpoint with
the checkpoint cosigned last (HASH is SHA-256 of the log's origin, in hex) and
GET /healthz. When ready it prints "listening on http://ADDR" on stderr. An
interrupt or SIGTERM lets requests under way end and stops it.`,
		Example: `  witness serve --dir ./w1 --listen 127.0.0.1:7380`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), flags.dir, flags.listen, cmd.ErrOrStderr())
		},
	}
	dirFlag(cmd, &flags.dir)
	cmd.Flags().StringVar(&flags.listen, "listen", "127.0.0.1:7380", "address to listen on; port 0 picks one")
	return cmd
}

func serve(ctx context.Context, dir, listen string, stderr io.Writer) (err error) {
	store, err := sqlite.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	unlock, err := sqlite.Lock(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	signer, err := readSigner(dir, store)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	w, err := witness.New(witness.Config{Store: store, Signers: []witness.Signer{signer}, Log: logger})
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	server := witness.NewServer(w.Handler())
	server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	fmt.Fprintf(stderr, "listening on http://%s\n", l.Addr())
	return run(ctx, server, l)
}

// readSigner reads the key and makes sure that it is the one whose past is in
// the state.
func readSigner(dir string, store *sqlite.Store) (*proofs.Signer, error) {
	skey, err := keyfile.Read(keyPath(dir))
	if err != nil {
		return nil, err
	}
	signer, err := proofs.ParseSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", keyPath(dir), err)
	}
	if !slices.Contains(store.Signers(), signer.Key()) {
		return nil, fmt.Errorf("the state in %s belongs to another key than %s", dir, signer.Key())
	}
	return signer, nil
}

// run serves until ctx ends, then lets requests under way finish.
func run(ctx context.Context, server *http.Server, l net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err := server.Shutdown(stop)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
