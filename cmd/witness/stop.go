package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/sdnotify"
	"github.com/tuflog/tuflog/witness/sqlite"
)

// stopTime is how long requests may take to end when the process is told to.
const stopTime = 10 * time.Second

// run serves until ctx ends, then lets requests under way finish.
func run(ctx context.Context, server *http.Server, l net.Listener, store *sqlite.Store) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	var failed error
	select {
	case err := <-served:
		return err
	case <-store.Failed():
		failed = cli.Failed(store.Err())
	case <-ctx.Done():
	}
	err := errors.Join(failed, sdnotify.Notify(sdnotify.Stopping))
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if shutdownErr := server.Shutdown(stop); shutdownErr != nil {
		err = errors.Join(err, shutdownErr, server.Close())
	}
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
