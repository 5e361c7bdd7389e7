package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// stopTime is how long requests may take to end after everything that they wait
// for has ended.
const stopTime = 5 * time.Second

// run serves until ctx ends, and work with it. Reads go on while the log drains, and
// requests that wait for their submission get their answer.
func run(ctx context.Context, work func(context.Context) error, server *http.Server, listener net.Listener) error {
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
	err := work(ctx)
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
