package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/dirlog"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/serverlog"
)

// opened is an opened log: a *dirlog.Log, which nobody serves meanwhile, or a *serverlog.Log,
// which others may serve until Write or Forward.
type opened interface {
	maintain.Log
	// Write opens it for this process alone to write.
	Write(ctx context.Context, cfg *leader.Config) error
	// Forward opens it for its ledger to be brought forward, or made anew where it is lost.
	Forward(ctx context.Context, lost bool, origin string) (log.Ledger, log.Storage, error)
	Record(ctx context.Context, a maintain.Action) error
}

// open opens a log to be looked at.
func open(ctx context.Context, at place, on shared, logger *slog.Logger) (opened, error) {
	if !on.on() {
		return dirlog.Open(at.log(), logger), nil
	}
	l, err := serverlog.Open(ctx, on.servers(), logger)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// openPresent opens a log like open, but not in a directory from which it was moved.
func openPresent(ctx context.Context, at place, on shared, stderr io.Writer) (opened, error) {
	if !on.on() {
		if err := at.log().Moved(); err != nil {
			return nil, err
		}
	}
	return open(ctx, at, on, textLogger(stderr))
}

// textLogger is the logger of commands.
func textLogger(stderr io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(stderr, nil)) }

// bars draws long work.
func bars(stderr io.Writer) maintain.Watch {
	return func(what string, total int64) (add func(n int), done func()) {
		bar := cli.NewProgress(stderr, what, total)
		return func(n int) { bar.Add(int64(n)) }, bar.Done
	}
}
