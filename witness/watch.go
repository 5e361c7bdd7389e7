package witness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
)

// Watch configures where a witness looks for its own cosignatures that its
// state has lost: in the checkpoint that each log publishes, if its URL is
// known, and at other witnesses. Each log is checked before the first
// cosignature after a start, and again on a schedule.
type Watch struct {
	// Peers are monitoring prefixes of other witnesses. Add the witness's own
	// public prefix too: it reveals a copy that answers in its place.
	Peers []string
	// Every is the time between looks; zero is DefaultEvery.
	Every time.Duration
	// Hold is how long after a start a log is not cosigned while its published
	// checkpoint cannot be fetched; zero is DefaultHold, negative means not at
	// all.
	Hold time.Duration
	// HTTP fetches, and follows no redirect; nil is a client with a timeout.
	HTTP *http.Client
}

// Defaults of a Watch.
const (
	DefaultEvery = time.Hour
	DefaultHold  = 10 * time.Minute
)

const (
	checkTimeout  = 5 * time.Second // for one log
	checkRetry    = 2 * time.Second // between first checks that fail
	checkParallel = 8
	// A checkpoint with many cosignatures of the largest kind.
	maxCheckpoint = 256 << 10
)

func (c Watch) withDefaults() Watch {
	if c.Every <= 0 {
		c.Every = DefaultEvery
	}
	if c.Hold == 0 {
		c.Hold = DefaultHold
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{Timeout: 2 * checkTimeout}
	}
	c.HTTP = fetch.Direct(c.HTTP)
	return c
}

// looks says whether there is anything to look at for a log.
func (c Watch) looks(log Log) bool { return log.URL != "" || len(c.Peers) > 0 }

// firstCheck is what is known of the check before the first cosignature.
type firstCheck struct {
	mu    sync.Mutex
	done  bool
	tried time.Time
	err   error
}

// checkFirst makes sure that a log has been looked at since the start. The error
// says why not, while that stops cosigning.
func (w *Witness) checkFirst(ctx context.Context, o *origin, id OriginHash, log Log) error {
	c := &o.check
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return nil
	}
	if !w.watch.looks(log) {
		return nil // but perhaps later: a URL can be added
	}
	if now := w.now(); c.tried.IsZero() || now.Sub(c.tried) >= checkRetry || now.Before(c.tried) {
		c.err = w.Check(context.WithoutCancel(ctx), id)
		c.tried = now
	}
	switch {
	case c.err == nil:
		c.done = true
	case w.watch.Hold < 0 || w.now().Sub(w.started) >= w.watch.Hold:
		w.log.Warn("cosigning although the published checkpoint could not be looked at", "origin", log.Origin, "error", c.err)
		c.done = true
	default:
		return c.err
	}
	// What was found may have latched the log, which cosigning finds out.
	return nil
}

// Check looks at a log's published checkpoint and at the peers'. It returns an
// error if the log's checkpoint could not be looked at. It is not an error if
// the log has not published one, and peers that do not answer are only logged.
func (w *Witness) Check(ctx context.Context, id OriginHash) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	log, err := w.store.Log(ctx, id)
	if err != nil {
		return err
	}
	var g errgroup.Group
	if log.URL != "" {
		g.Go(func() error { return w.checkPublished(ctx, id, log) })
	}
	for _, peer := range w.watch.Peers {
		g.Go(func() error {
			url := fmt.Sprintf("%s/%v/checkpoint", strings.TrimSuffix(peer, "/"), id)
			if _, err := w.look(ctx, id, url); err != nil {
				w.metrics.watched.WithLabelValues("peer", "failed").Inc()
				w.log.Info("peer's checkpoint not checked", "origin", log.Origin, "url", fetch.Redacted(url), "error", err)
				return nil
			}
			w.metrics.watched.WithLabelValues("peer", "ok").Inc()
			return nil
		})
	}
	return g.Wait()
}

func (w *Witness) checkPublished(ctx context.Context, id OriginHash, log Log) error {
	url := log.URL + "/checkpoint"
	signed, err := w.look(ctx, id, url)
	if err == nil && signed != nil {
		err = w.compareHistories(ctx, id, signed)
	}
	if err != nil {
		w.metrics.watched.WithLabelValues("log", "failed").Inc()
		w.log.Warn("published checkpoint not checked", "origin", log.Origin, "url", fetch.Redacted(url), "error", err)
		return err
	}
	w.metrics.watched.WithLabelValues("log", "ok").Inc()
	return nil
}

// look fetches a checkpoint and observes it. Without one it returns nil.
func (w *Witness) look(ctx context.Context, id OriginHash, url string) ([]byte, error) {
	signed, err := fetch.Get(ctx, w.watch.HTTP, url, maxCheckpoint)
	if errors.Is(err, fetch.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	source := fetch.Redacted(url)
	if _, err := w.Observe(ctx, id, source, signed); err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	return signed, nil
}

// compareHistories compares a published checkpoint with the latest one where
// their sizes differ. Tiles that are not there, or not the right ones, are no
// failure: they are the log's affair, and prove nothing.
func (w *Witness) compareHistories(ctx context.Context, id OriginHash, signed []byte) error {
	log, err := w.store.Log(ctx, id)
	if err != nil || log.Latest == nil {
		return err
	}
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return err
	}
	cp, err := proofs.ParseCheckpoint(note.Text)
	if err != nil || cp.Tree.N == log.Latest.Tree.N {
		return err
	}
	if note.Signatures, err = signedBy(note, cp, log.Keys); err != nil {
		return err
	}
	c, err := fraud.NewConflict(ctx, log.Latest.Note, note.Marshal(), w.tiles(log.URL))
	if errors.Is(err, fraud.ErrNoConflict) {
		return nil
	} else if err != nil {
		w.log.Info("published checkpoint not compared", "origin", log.Origin, "size", cp.Tree.N, "latest_size", log.Latest.Tree.N, "error", err)
		return nil
	}
	return w.accuse(log, c, fetch.Redacted(log.URL))
}

// Run looks at all logs and judges suspects, on schedule, until ctx ends.
func (w *Witness) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { w.runLooks(ctx) })
	w.runExamine(ctx)
	wg.Wait()
}

func (w *Witness) runLooks(ctx context.Context) {
	look := time.NewTicker(w.watch.Every)
	defer look.Stop()
	for {
		w.checkAll(ctx)
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

func (w *Witness) runExamine(ctx context.Context) {
	examine := time.NewTicker(examineEvery)
	defer examine.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-examine.C:
			if err := w.reread(ctx); err != nil && ctx.Err() == nil {
				w.log.Warn("clock not compared with all logs", "error", err)
			}
		case <-w.nudge:
		}
		// What is wrong is in the log, even while nothing has to be signed.
		if err := w.CheckClock(ctx); err != nil {
			w.log.Debug("clock", "error", err)
		}
		if err := w.Examine(ctx); err != nil && ctx.Err() == nil {
			w.log.Error("suspects not examined", "error", err)
		}
	}
}

// checkAll looks at every log.
func (w *Witness) checkAll(ctx context.Context) {
	logs, err := w.store.Logs(ctx)
	if err != nil {
		if ctx.Err() == nil {
			w.log.Error("logs not checked", "error", err)
		}
		return
	}
	var g errgroup.Group
	g.SetLimit(checkParallel)
	for _, l := range logs {
		if l.Removed || !w.watch.looks(l) || ctx.Err() != nil {
			continue
		}
		id := HashOrigin(l.Origin)
		g.Go(func() error {
			err := w.Check(ctx, id)
			if err == nil && ctx.Err() == nil {
				c := &w.origin(id).check
				c.mu.Lock()
				c.done = true
				c.mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait() // nothing above returns an error
}
