package cli

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Main runs the program until it ends, and exits. It catches an interrupt and SIGTERM, which
// end the context of the command: one that serves drains by Serve, any other gives up. A
// log drains in log/leader/drain.go, which log/cluster/lead.go runs for the front end that
// leads. A witness stops in cmd/witness/serve.go: its closers end, last, the changes under way
// in witness/sqlite/writer.go.
func Main(program func() *cobra.Command) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends a program that takes its time
	code := run(ctx, program, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// stopTime is how long requests may take to end after everything that they wait for has
// ended.
const stopTime = 5 * time.Second

// Serve serves while work runs, which ends when ctx does, after it has brought to an end
// what must not be lost. Requests are answered meanwhile, and those that wait for the work
// get their answer.
func Serve(ctx context.Context, work func(context.Context) error, server *http.Server, listener net.Listener) error {
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
		// A client that is still reading loses its answer, and nothing else.
		err = errors.Join(err, server.Close())
	}
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
