package page

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/room"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// reader is what pages ask of a state.
type reader = state.Reader

// book is a log, and what is kept of it between requests.
type book struct {
	Log
	now    func() time.Time
	source *asking // nil: there are no files to read
	files  *files
	told   *cache[toldKey, *told]
	meant  *cache[meantKey, *meaning]
	charts *cache[chartKey, *chart]
	// sightings are times at which entries had been seen.
	sightings *cache[seenKey, int64]
	proved    *cache[provedKey, []byte]
	tiles     *cache[tileKey, []byte]
	heavy     *share // histories that are told at once
	readers   *share // of the state
	origin    string
	text      []byte // of the policy
	view      *state.View

	mu       sync.Mutex
	last     *Status // as it was read last
	lastRead time.Time

	counting  sync.Mutex
	counted   map[state.Verdict]int64
	countedAt time.Time
	countedOf uint64 // the file
}

// maxSightings is of how many entries it is kept when they had been seen.
const maxSightings = 4096

// maxProved is how many proofs are kept, of some KB each, and maxTiles how many tiles of up to
// 8 KiB, so that proofs cost the log little.
const (
	maxProved = 512
	maxTiles  = 512
)

// maxHeavy is how many histories of a log are told at once, one for one address, and
// maxReading how many times its state is read at once, half of them for one address.
const (
	maxHeavy   = 2
	maxReading = 8
)

func newBook(l Log, now func() time.Time, heavy *room.Room) *book {
	source := newAsking(l.Copy, l.Source, now)
	b := &book{
		Log: l, now: now, source: source, files: newFiles(source),
		heavy: newShare(maxHeavy, maxHeavy/2, heavy), readers: newShare(maxReading, maxReading/2, nil),
		told: newCache[toldKey, *told](maxTold), meant: newCache[meantKey, *meaning](maxMeant),
		charts: newCache[chartKey, *chart](1), sightings: newCache[seenKey, int64](maxSightings),
		proved: newCache[provedKey, []byte](maxProved), tiles: newCache[tileKey, []byte](maxTiles),
		origin: l.Policy.Logs[0].Key.Name(), text: l.Policy.Marshal(), view: state.NewView(l.StateDir),
	}
	b.Watched = publicWatched(b.Watched)
	b.URL = publicURL(cmp.Or(b.URL, l.Policy.Logs[0].URL))
	return b
}

// errNothingYet is returned while there is no state.
var errNothingYet = errors.New("nothing of this log has been judged yet")

// errReplaced means that the state was replaced by another one while a page was made of it.
var errReplaced = errors.New("the state was replaced while it was read")

// pinsKey is of the pins in a request's context.
type pinsKey struct{}

// pins are the files that a request has read, so that no page is made of two states.
type pins struct {
	mu    sync.Mutex
	files map[*book]uint64
}

// withPins lets what is read in a context be of one state of each log.
func withPins(ctx context.Context) context.Context {
	return context.WithValue(ctx, pinsKey{}, &pins{files: map[*book]uint64{}})
}

func (p *pins) check(b *book, file uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, ok := p.files[b]; ok && before != file {
		return errReplaced
	}
	p.files[b] = file
	return nil
}

// read calls fn with the state at one moment. It must not wait for anything else. The error is
// errReplaced if that is another state than the one that the request has read before.
func (b *book) read(ctx context.Context, fn func(*reader) error) error {
	leave, err := b.readers.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	err = b.view.At(ctx, func(db *reader) error {
		if p, ok := ctx.Value(pinsKey{}).(*pins); ok {
			if err := p.check(b, db.File()); err != nil {
				return err
			}
		}
		return fn(db)
	})
	switch {
	case errors.Is(err, state.ErrReplaced):
		return errReplaced
	case errors.Is(err, fs.ErrNotExist):
		return errNothingYet
	}
	return err
}

func (b *book) close() error { return b.view.Close() }

// errEnough ends a query of which enough has been read.
var errEnough = errors.New("enough")

// enough is nil for errEnough.
func enough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// errOtherPolicy means that the newest checkpoint that was verified is not accepted any more.
var errOtherPolicy = errors.New("the newest checkpoint that was verified is not accepted by the policy that this page has")

// verified returns the newest checkpoint that was verified, nil if there is none.
func (b *book) verified(ctx context.Context, db *reader) (*proofs.SignedCheckpoint, error) {
	note, err := db.Verified(ctx)
	if err != nil || note == nil {
		return nil, err
	}
	c, err := b.Policy.OpenCheckpoint(note)
	if err != nil {
		return nil, errOtherPolicy
	}
	return c, nil
}

// statusFor is how long what the process that follows the log saw last is kept.
const statusFor = time.Second

// status returns what the process that follows the log saw last, nil if there is none.
func (b *book) status(ctx context.Context) *Status {
	if b.Status == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.now(); b.lastRead.IsZero() || now.Sub(b.lastRead) >= statusFor || now.Before(b.lastRead) {
		b.lastRead = now
		last, err := b.Status(ctx)
		if err != nil {
			last = &Status{Trouble: "what the process that follows the log saw last cannot be read"}
		}
		b.last = b.publicStatus(last)
	}
	return b.last
}

// known returns the repositories that this auditor was told of, as they are seen now.
func (b *book) known(ctx context.Context) []Watched {
	status := b.status(ctx)
	if status == nil || len(status.Watched) == 0 {
		return b.Watched
	}
	list := slices.Clone(status.Watched)
	for _, w := range b.Watched {
		if !slices.ContainsFunc(list, func(other Watched) bool { return other.ID == w.ID }) {
			list = append(list, w)
		}
	}
	return list
}

// watched returns what this auditor was told of a repository.
func (b *book) watched(ctx context.Context, id tuf.Digest) Watched {
	for _, w := range b.known(ctx) {
		if w.ID == id {
			return w
		}
	}
	return Watched{ID: id}
}

// name is the name of a repository here, empty if it has none.
func (b *book) name(ctx context.Context, id tuf.Digest) string { return b.watched(ctx, id).Name }
