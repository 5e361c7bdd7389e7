package page

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/tuf"
)

// What a log is asked for the sake of visitors, all together and of one address half of it.
const (
	// maxAsked is how many requests are under way at once.
	maxAsked = 8
	// askedPerSecond is how many there are a second in the long run, and askedBurst how many
	// after a quiet time: two pages that take all the files that a page may. Each askedBytes of
	// an answer count as one more.
	askedPerSecond = 100
	askedBurst     = 2 * maxReadFiles
	askedBytes     = 64 << 10
	// maxPayWait is how long a request waits for its part of the budget.
	maxPayWait = time.Second
	// maxFetch is how long one request may take.
	maxFetch = 20 * time.Second
	// failedFor is how long it is kept that an answer could not be had, and maxFailed of how
	// many.
	failedFor = 5 * time.Second
	maxFailed = 4096
)

// asking asks a log on behalf of visitors, within a budget. Requests for the same are one. A
// copy on this machine is read first, and costs the log nothing. What is returned is shared
// and must not be changed. It is safe for concurrent use.
type asking struct {
	copy    audit.Source // nil: there is none
	log     audit.Source // nil: there is none
	now     func() time.Time
	turns   *share
	all     *rate.Limiter
	sources *meters
	flight  singleflight.Group
	failed  *cache[string, error]
}

// newAsking returns nil if there is nothing to read.
func newAsking(local, log audit.Source, now func() time.Time) *asking {
	if local == nil && log == nil {
		return nil
	}
	return &asking{
		copy: local, log: log, now: now, turns: newShare(maxAsked, maxAsked/2, nil), all: rate.NewLimiter(askedPerSecond, askedBurst),
		sources: newMeters(askedPerSecond/2, askedBurst/2), failed: newCache[string, error](maxFailed),
	}
}

// Tile reads a tile. What it says is verified where it is used.
func (a *asking) Tile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return a.ask(ctx, fmt.Sprintf("tile %d %d %d", level, index, width), func(ctx context.Context, from audit.Source) ([]byte, error) {
		return from.Tile(ctx, level, index, width)
	})
}

// Blob reads the file that has a hash.
func (a *asking) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	return a.ask(ctx, "file "+sum.String(), func(ctx context.Context, from audit.Source) ([]byte, error) {
		content, err := from.Blob(ctx, sum)
		if err == nil && tuf.Sum(content) != sum {
			err = fmt.Errorf("file %s is served with another hash", sum.Short())
		}
		return content, err
	})
}

// ask reads something, or waits for the answer to who asks for the same.
func (a *asking) ask(ctx context.Context, what string, read func(context.Context, audit.Source) ([]byte, error)) ([]byte, error) {
	if err, ok := a.failed.get(what); ok {
		return nil, err
	}
	content, others, err := a.once(ctx, what, read)
	if errors.Is(err, errBusy) && others {
		// It may have been another address that had no part left.
		content, _, err = a.once(ctx, what, read)
	}
	return content, err
}

// once asks, and reports whether others asked for the same.
func (a *asking) once(ctx context.Context, what string, read func(context.Context, audit.Source) ([]byte, error)) (content []byte, others bool, err error) {
	answer := a.flight.DoChan(what, func() (any, error) {
		// Others may wait for it, too, who have not gone away.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxFetch)
		defer cancel()
		if a.copy != nil {
			if content, err := read(ctx, a.copy); err == nil {
				return content, nil
			} else if a.log == nil {
				return nil, err
			}
		}
		return a.askLog(ctx, what, read)
	})
	select {
	case got := <-answer:
		if got.Err != nil {
			return nil, got.Shared, got.Err
		}
		return got.Val.([]byte), got.Shared, nil
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

func (a *asking) askLog(ctx context.Context, what string, read func(context.Context, audit.Source) ([]byte, error)) ([]byte, error) {
	leave, err := a.turns.enter(ctx)
	if err != nil {
		return nil, errBusy
	}
	defer leave()
	source := sourceOf(ctx)
	if err := a.pay(ctx, source); err != nil {
		return nil, err
	}
	content, err := read(ctx, a.log)
	if err != nil {
		a.failed.putUntil(what, err, time.Now().Add(failedFor))
		return nil, err
	}
	if n := min(len(content)/askedBytes, askedBurst/4); n > 0 { // it was not known before
		a.sources.spend(source, a.now(), n)
		a.all.ReserveN(a.now(), n)
	}
	return content, nil
}

// pay takes one request from the budget of an address and from that of all, for which it may
// wait a little.
func (a *asking) pay(ctx context.Context, source string) error {
	for {
		delay := a.sources.take(source, a.now(), 1)
		if delay == 0 {
			if token := a.all.ReserveN(a.now(), 1); token.DelayFrom(a.now()) > 0 {
				delay = token.DelayFrom(a.now())
				token.CancelAt(a.now())
				a.sources.spend(source, a.now(), -1)
			}
		}
		switch {
		case delay == 0:
			return nil
		case delay > maxPayWait:
			return errBusy
		}
		if err := wait.For(ctx, delay); err != nil {
			return err
		}
	}
}

// passing reports whether an error is of this moment, so that it is not kept.
func passing(err error) bool {
	return errors.Is(err, errBusy) || errors.Is(err, errReplaced) || errors.Is(err, context.Canceled)
}
