package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/sdnotify"
)

// listenAndServe answers at an address until the context ends, and says when it is ready, on
// stderr and to systemd.
func listenAndServe(ctx context.Context, server *http.Server, addr string, logger *slog.Logger, stderr io.Writer) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	fmt.Fprintf(stderr, "listening on http://%s\n", l.Addr())
	if err := sdnotify.Notify(sdnotify.Ready); err != nil {
		logger.Warn("not told systemd", "error", err)
	}
	work := func(ctx context.Context) error {
		<-ctx.Done()
		return sdnotify.Notify(sdnotify.Stopping)
	}
	return cli.Serve(ctx, work, server, l)
}
