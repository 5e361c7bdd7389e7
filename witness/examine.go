package witness

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
)

// Judging suspects. A proof that fails proves nothing: whoever sent it may have
// made it up. The log's own tiles decide: read against the root that the log
// signed, they show what the larger tree has at the smaller size.

// KeptSuspect is a suspect in a store, with the state of its judgement.
type KeptSuspect struct {
	ID OriginHash
	Suspect
	// Tries is how often its tiles were looked for, and Next the time of the
	// next look, in POSIX seconds.
	Tries int
	Next  int64
	// Verdict is empty until it is judged.
	Verdict Verdict
}

// Verdict is the result of judging a suspect.
type Verdict string

// The verdicts.
const (
	Undecided  Verdict = ""
	Conflicts  Verdict = "conflict"   // the log signed two histories: there is evidence
	Consistent Verdict = "consistent" // an old checkpoint, or a good one with a bad proof
)

// Suspects is the part of a store that an examiner needs. The suspects of a
// Store that has these methods are judged.
type Suspects interface {
	// Due returns the undecided suspects that are due, at most perLog of each log and
	// limit in all, the first of each log before the second of any.
	Due(ctx context.Context, now int64, perLog, limit int) ([]KeptSuspect, error)
	// Judge records a verdict; with Undecided, when to look next.
	Judge(ctx context.Context, id OriginHash, tree proofs.Tree, v Verdict, next int64) error
}

const (
	examineEvery = time.Minute
	examineBatch = 64
	// What a log can take of a batch: it answers for its tiles as slowly as it likes.
	examinePerLog = 8
	examineTime   = 2 * tileTimeout
	tileTimeout   = 10 * time.Second
	maxTile       = proofs.FullWidth * len(proofs.Hash{}) // bytes
	// How long to wait before tiles are looked for again: minRetry, doubled each
	// time up to maxRetry.
	minRetry, maxRetry = time.Minute, 6 * time.Hour
)

// Examine judges the suspects that are due.
func (w *Witness) Examine(ctx context.Context) error {
	store, ok := w.store.(Suspects)
	if !ok {
		return nil
	}
	due, err := store.Due(ctx, w.now().Unix(), examinePerLog, examineBatch)
	if err != nil {
		return err
	}
	byLog := make(map[OriginHash][]KeptSuspect)
	for _, s := range due {
		byLog[s.ID] = append(byLog[s.ID], s)
	}
	var g errgroup.Group
	g.SetLimit(checkParallel)
	for _, list := range byLog {
		g.Go(func() error { return w.examineLog(ctx, store, list) })
	}
	return g.Wait()
}

// examineLog judges suspects of one log. Those for which its time does not suffice
// are looked at again later, like those whose tiles are not there.
func (w *Witness) examineLog(ctx context.Context, store Suspects, list []KeptSuspect) error {
	limited, cancel := context.WithTimeout(ctx, examineTime)
	defer cancel()
	for _, s := range list {
		v, err := w.judge(limited, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		next := int64(0)
		if err != nil {
			w.log.Debug("suspect not judged", "origin_hash", s.ID.String(), "size", s.Tree.N, "error", err)
			wait := min(minRetry<<min(s.Tries, 16), maxRetry)
			next = w.now().Add(wait).Unix()
		}
		if err := store.Judge(ctx, s.ID, s.Tree, v, next); err != nil {
			return err
		}
	}
	return nil
}

// judge compares a suspect with the latest checkpoint.
func (w *Witness) judge(ctx context.Context, s KeptSuspect) (Verdict, error) {
	log, err := w.store.Log(ctx, s.ID)
	if err != nil {
		return Undecided, err
	}
	if log.Latest == nil {
		return Undecided, errors.New("no checkpoint to compare it with")
	}
	var tiles proofs.TileReader
	if log.Latest.Tree.N != s.Tree.N {
		if log.URL == "" {
			return Undecided, errors.New("the log's URL is unknown")
		}
		tiles = w.tiles(log.URL)
	}
	c, err := fraud.NewConflict(ctx, log.Latest.Note, s.Note, tiles)
	if errors.Is(err, fraud.ErrNoConflict) {
		return Consistent, nil
	} else if err != nil {
		return Undecided, err
	}
	if err := w.accuse(log, c, "tiles at "+fetch.Redacted(log.URL)); err != nil {
		return Undecided, err
	}
	return Conflicts, nil
}

// logTiles reads a log's tiles over HTTP.
type logTiles struct {
	client *http.Client
	url    string
}

func (w *Witness) tiles(url string) proofs.TileReader {
	return logTiles{client: w.watch.HTTP, url: url}
}

// ReadTile implements proofs.TileReader.
func (t logTiles) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return proofs.TileID{Level: level, Index: index, Width: width}.Read(fetch.ErrNotFound, func(id proofs.TileID) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, tileTimeout)
		defer cancel()
		return fetch.Get(ctx, t.client, t.url+"/"+id.Path(), int64(maxTile))
	})
}
