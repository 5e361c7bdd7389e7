package trillianlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/trillian"

	"github.com/tuflog/tuflog/internal/wait"
)

const (
	// probeEvery is how long Trillian may be silent before it is probed.
	probeEvery = time.Second
	// probeTime is how long it may take to answer a probe.
	probeTime = 2 * time.Second
	// awayTime is the silence after which Trillian counts as out of reach:
	// longer than a restart of its log server takes.
	awayTime = 5 * time.Second
)

// probe asks Trillian for its root, once. A signer that stands still does not keep
// the log server from answering.
func (c *client) probe(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	if _, err := c.rpc.GetLatestSignedLogRoot(asking, &trillian.GetLatestSignedLogRootRequest{LogId: c.tree}); err != nil {
		return failed(ctx, "GetLatestSignedLogRoot", err)
	}
	c.hear()
	return nil
}

// Reach returns an error if a log cannot be led from here now, because Trillian
// does not return its root. It uses its own connection and takes 2 s at most.
func Reach(ctx context.Context, cfg Config) (err error) {
	conn, err := dial(cfg.Target, cfg.TLS, cfg.dialOptions...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	c := newClient(conn, cfg.TreeID)
	if err := c.probe(ctx); err != nil {
		return fmt.Errorf("no answer from Trillian's log server at %s: %w", cfg.Target, err)
	}
	return nil
}

// Watch returns an error after 5 s of silence from Trillian, plus up to 2 s for a
// final probe to time out, and nil when ctx ends. It probes only after a second of
// silence. Before it returns an error it closes the connection, so that no call
// waits for an answer that may never come: close the log. The process that opens it
// next finds out the outcome of the last append.
func (l *Log) Watch(ctx context.Context) error {
	for {
		began := time.Now()
		if l.client.silent() >= probeEvery {
			err := l.client.probe(ctx)
			switch silent := l.client.silent(); {
			case ctx.Err() != nil:
				return nil
			case err != nil && silent >= awayTime:
				l.away.Store(true)
				return errors.Join(l.disconnect(), fmt.Errorf("no answer from Trillian's log server at %s for %v: %w", l.cfg.Target, silent.Round(time.Second), err))
			}
		}
		pause := probeEvery - l.client.silent()
		if pause <= 0 { // it did not answer
			pause = probeEvery - time.Since(began)
		}
		if wait.For(ctx, pause) != nil {
			return nil
		}
	}
}
