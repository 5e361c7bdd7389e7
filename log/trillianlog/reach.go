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
	// probeEvery is how long Trillian may say nothing before it is asked.
	probeEvery = time.Second
	// probeTime is how long it may take to answer that.
	probeTime = 2 * time.Second
	// awayTime is how long nothing must have been heard before Trillian counts
	// as out of reach: longer than its log server takes to be started again.
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

// Reach says why a log cannot be led from here now: Trillian does not give its
// root. It asks over a connection of its own, and takes 2 s at most.
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

// Watch returns an error once nothing has been heard from Trillian for 5 s, or for
// as much longer as it takes not to answer a last question, 2 s at most; and nil
// when ctx ends. It asks only where nothing else has been heard for a second. With
// an error it has closed the connection, so that nobody waits for an answer that may
// never come: close the log. Whoever opens it next finds out what became of the last
// append.
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
