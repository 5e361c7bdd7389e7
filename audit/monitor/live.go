package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/compare"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/audit/history"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// This file compares live repositories with the log. What they serve is fetched in a goroutine
// of their own, and compared between two steps of the log's, which must not wait for a server:
// the comparison goes as far as the files that are here, and asks for those that it lacks.

// live is a live repository of a log.
type live struct {
	f   *follower
	cfg RepositoryConfig
	url string
	due chan struct{} // something is to be done: what is wanted, or a comparison

	// Of the log's goroutine.
	next     time.Time          // when it is to be compared
	suspects map[string]suspect // what is served and not logged
	rounds   int
	now      bool // it is being compared

	held atomic.Int64 // bytes of files

	mu      sync.Mutex
	files   map[verify.Request]file // that were fetched for this comparison
	wanted  []verify.Request        // to be fetched
	fetched bool                    // all that were wanted have been
}

// suspect is what is served and not logged.
type suspect struct {
	role string
	seen int64 // when it was seen first, POSIX nanoseconds
}

type file struct {
	content []byte
	err     error
}

// Limits of a comparison.
const (
	maxRounds   = 200              // each brings the files that it lacked
	maxLive     = 256 << 20        // bytes of the files of one
	maxAllLive  = 512 << 20        // and of all that are compared at the time
	liveTimeout = 10 * time.Minute // for all files
)

// confirmAfter is how long it takes before what is not logged is looked at again: by then the
// log has been read again.
func (f *follower) confirmAfter() time.Duration { return min(2*f.log.Interval, 10*time.Second) }

func newLive(f *follower, cfg RepositoryConfig, url string) *live {
	return &live{f: f, cfg: cfg, url: url, due: make(chan struct{}, 1), suspects: map[string]suspect{}, fetched: true}
}

// liveWatched is what names of live repositories begin with.
const liveWatched = "live "

// what is the name under which its findings are watched.
func (l *live) what() string { return liveWatched + l.cfg.Name + " " + fetch.Redacted(l.url) }

// errWanted says that a file is to be fetched before the comparison goes on.
var errWanted = errors.New("it is fetched first")

// Fetch implements compare.Source from what is here.
func (l *live) Fetch(_ context.Context, r verify.Request) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := r.MaxLength
	r.MaxLength = 0
	if got, ok := l.files[r]; ok {
		return got.content, got.err
	}
	r.MaxLength = limit
	l.wanted = append(l.wanted, r)
	return nil, errWanted
}

// run fetches what is wanted until the context ends.
func (l *live) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.due:
			l.fetchWanted(ctx)
			l.f.wakeUp()
		}
	}
}

// fetchWanted fetches what is wanted.
func (l *live) fetchWanted(ctx context.Context) {
	l.mu.Lock()
	wanted := l.wanted
	l.wanted = nil
	l.mu.Unlock()
	repository := &device.Repository{URL: l.url, Client: l.f.m.opts.Client, Timeout: liveTimeout, SameHost: true}
	for _, r := range wanted {
		b, err := l.fetchWithin(ctx, repository, r)
		if ctx.Err() != nil {
			return
		}
		r.MaxLength = 0
		l.mu.Lock()
		l.files[r] = file{b, err}
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fetched = true
}

// fetchWithin fetches a file if there is room for it: what is held of all live repositories
// has a bound, as a server that was taken over may serve anything.
func (l *live) fetchWithin(ctx context.Context, from *device.Repository, r verify.Request) ([]byte, error) {
	room := min(maxLive-l.held.Load(), maxAllLive-l.f.m.liveHeld.Load())
	if room <= 0 {
		return nil, errors.New("there is no room for more files of live repositories: the rest was not read")
	}
	r.MaxLength = min(r.MaxLength, room)
	b, err := from.Fetch(ctx, r)
	l.held.Add(int64(len(b)))
	l.f.m.liveHeld.Add(int64(len(b)))
	return b, err
}

// release forgets the files.
func (l *live) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files, l.wanted = nil, nil
	l.f.m.liveHeld.Add(-l.held.Swap(0))
}

// takeLive goes on with what is being compared, and begins what is due. whole says that the
// log has just been read to its end.
func (f *follower) takeLive(ctx context.Context, step audit.StepResult, whole bool) error {
	if len(f.live) == 0 || !whole && !f.reported {
		return nil // what is not logged cannot be told from what has not been read
	}
	now := f.m.opts.Now()
	grown := map[tuf.Digest]bool{}
	if step.To > step.From {
		leaves, err := f.a.Leaves(ctx, step.From, step.To)
		if err != nil {
			return err
		}
		for _, leaf := range leaves {
			if leaf.Fields != nil {
				if id, err := tuf.ParseDigest(leaf.Repository); err == nil {
					grown[id] = true
				}
			}
		}
	}
	for _, l := range f.live {
		for id := range grown {
			if strings.HasPrefix(id.String(), l.cfg.ID) {
				// The vendor publishes what is logged about now.
				l.next = earlier(l.next, now.Add(f.confirmAfter()))
			}
		}
		l.mu.Lock()
		ready := l.fetched
		l.mu.Unlock()
		if !ready || !l.now && now.Before(l.next) {
			continue
		}
		if !l.now {
			l.now, l.rounds = true, 0
			l.mu.Lock()
			l.files = map[verify.Request]file{}
			l.mu.Unlock()
		}
		if err := l.compare(ctx); err != nil {
			return err
		}
	}
	return nil
}

func earlier(x, y time.Time) time.Time {
	if y.Before(x) {
		return y
	}
	return x
}

// liveRound fetches what is wanted by comparisons and reports whether there is one to go on
// with.
func (f *follower) liveRound(ctx context.Context) bool {
	var fetching sync.WaitGroup
	more := false
	for _, l := range f.live {
		if l.now {
			more = true
			fetching.Go(func() { l.fetchWanted(ctx) })
		}
	}
	fetching.Wait()
	return more && ctx.Err() == nil
}

// compare goes on with a comparison. The error is the state's.
func (l *live) compare(ctx context.Context) error {
	rows, h, err := l.rows(ctx)
	if errors.As(err, new(*state.Error)) {
		return err
	}
	l.mu.Lock()
	wanted := len(l.wanted) > 0
	l.mu.Unlock()
	if wanted && err == nil {
		if l.rounds++; l.rounds < maxRounds {
			l.mu.Lock()
			l.fetched = false
			l.mu.Unlock()
			select {
			case l.due <- struct{}{}:
			default:
			}
			return nil
		}
		err = errors.New("it has too many files")
	}
	l.now = false
	l.release()
	l.next = l.f.m.opts.Now().Add(l.cfg.Every)
	return l.conclude(ctx, rows, h, err)
}

// rows compares what is here. What is wanted is known then.
func (l *live) rows(ctx context.Context) ([]compare.Row, *history.History, error) {
	f := l.f
	histories, err := f.a.Histories(ctx, l.cfg.ID)
	switch {
	case err != nil:
		return nil, nil, err
	case len(histories) == 0:
		return nil, nil, fmt.Errorf("the log has no repository %s", l.cfg.ID)
	case len(histories) > 1:
		return nil, nil, fmt.Errorf("%s is the beginning of %d ids in the log: give more of it", l.cfg.ID, len(histories))
	}
	h := histories[0]
	cfg := compare.Config{History: h, Now: f.m.opts.Now(), Stale: l.cfg.Stale}
	if note := f.a.Note(); note != nil {
		cfg.Log = &evidence.Log{Checkpoint: note, Source: f.a.Source()}
		for _, p := range f.policy.Logs {
			cfg.Log.Keys = append(cfg.Log.Keys, p.Key)
		}
	}
	subject, err := compare.NewSubject(cfg)
	if err != nil {
		return nil, h, err
	}
	rows, err := subject.Compare(ctx, []compare.Vantage{{Name: fetch.Redacted(l.url), Source: l}})
	return rows, h, err
}

// kindOf is the kind of the finding that a verdict is; false: none.
func kindOf(v compare.Verdict) (audit.Kind, bool) {
	switch v {
	case compare.Equivocation, compare.Evidence:
		return audit.LiveEquivocation, true
	case compare.OtherPayload:
		return audit.LiveOther, true
	case compare.Unlogged:
		return audit.LiveUnlogged, true
	case compare.Unsigned, compare.Older:
		return audit.LiveUnsigned, true
	case compare.Stale:
		return audit.LiveStale, true
	case compare.Missing:
		return audit.LiveMissing, true
	}
	return "", false
}

// badness is the order of verdicts, the worst first.
var badness = []compare.Verdict{
	compare.Equivocation, compare.Evidence, compare.OtherPayload, compare.Unlogged, compare.Unsigned, compare.Older,
	compare.Stale, compare.Missing, compare.Behind, compare.Untracked, compare.Logged,
}

// conclude keeps what a comparison has found.
func (l *live) conclude(ctx context.Context, rows []compare.Row, h *history.History, err error) error {
	f, now := l.f, l.f.m.opts.Now()
	said := Live{URL: fetch.Redacted(l.url), Compared: now.Unix(), Files: len(rows)}
	var found []audit.Finding
	id := tuf.Digest{}
	if h != nil {
		id = h.ID()
	}
	if err != nil {
		text := fetch.RedactedText(err.Error())
		said.Word, said.Sentence = string(compare.Missing), text
		found = append(found, finding(audit.LiveMissing, id, "", 0, "%s was not compared: %s", said.URL, text).About(said.URL))
	}
	suspects := map[string]suspect{}
	var missing []compare.Row
	looked := map[string]bool{} // the roles that were looked at
	for i := range rows {
		row := &rows[i]
		kind, is := kindOf(row.Verdict)
		if said.Word == "" || slices.Index(badness, row.Verdict) < slices.Index(badness, compare.Verdict(said.Word)) {
			said.Word = string(row.Verdict)
			said.Sentence = fmt.Sprintf("%s: %s", named(row), row.Sentence)
		}
		if kind != audit.LiveMissing {
			looked[row.Role] = true
		}
		if !is {
			continue
		}
		if kind == audit.LiveMissing {
			missing = append(missing, *row)
			continue
		}
		if kind != audit.LiveStale {
			// What is served is perhaps being logged: it has to be there when the log has been
			// read again.
			key := fmt.Sprint(row.Role, row.Version, row.Payload, kind)
			seen, before := l.suspects[key]
			if !before {
				suspects[key] = suspect{row.Role, now.UnixNano()}
				continue
			}
			if suspects[key] = seen; !f.readSince(seen.seen) {
				continue
			}
		}
		x := finding(kind, id, row.Role, row.Version, "%s serves %s: %s", said.URL, named(row), row.Sentence)
		x = x.About(fmt.Sprint(said.URL, row.Payload))
		for _, e := range row.Evidence {
			x = x.WithContent(e.Name, e.Bytes)
		}
		if file := row.File(); file != nil && len(row.Evidence) == 0 {
			x = x.WithContent(servedName(row), bytes.Clone(file.File))
		}
		found = append(found, x)
		if err := l.offerProof(ctx, row); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		more := ""
		if n := len(missing) - 1; n > 0 {
			more = fmt.Sprintf(" (and %d more)", n)
		}
		x := finding(audit.LiveMissing, id, "", 0, "%s: %s: %s%s", said.URL, tuf.Word(missing[0].Role), missing[0].Sentence, more)
		found = append(found, x.About(said.URL))
	}
	// A server that answers no more has taken nothing back.
	partly := err != nil || len(missing) > 0
	for key, x := range l.suspects {
		if partly && !looked[x.role] {
			suspects[key] = x
		}
	}
	if l.suspects = suspects; len(suspects) > 0 && l.unconfirmed() {
		l.next = earlier(l.next, now.Add(f.confirmAfter()))
	}
	f.setLive(l, id, said)
	return f.a.WatchedPart(ctx, l.what(), found, func(x *audit.Finding) bool {
		return partly && x.Kind != audit.LiveMissing && !looked[x.Role]
	})
}

// unconfirmed reports whether something served has been seen once.
func (l *live) unconfirmed() bool {
	for _, seen := range l.suspects {
		if !l.f.readSince(seen.seen) {
			return true
		}
	}
	return false
}

// readSince reports whether the log has been read to its end since a time.
func (f *follower) readSince(nanos int64) bool { return f.readAt.UnixNano() > nanos }

func named(row *compare.Row) string {
	if row.Version == 0 {
		return tuf.Word(row.Role)
	}
	return fmt.Sprintf("%s %d", tuf.Word(row.Role), row.Version)
}

// servedName is the name of the file that was served as evidence: as a repository names it, so
// that it says its role, unless that is too long.
func servedName(row *compare.Row) string {
	if role := tuf.EscapeRole(row.Role); len(role) <= maxServedName {
		return fmt.Sprintf("%d.%s.json", row.Version, role)
	}
	return "served.metadata"
}

const maxServedName = 200 // bytes of a role

// offerProof offers the checkpoint of the proof beside a file that is not logged: a log that
// shows another history to somebody proves it there.
func (l *live) offerProof(ctx context.Context, row *compare.Row) error {
	if row.Proof == nil {
		return nil
	}
	proof, err := proofs.ParseProof(row.Proof)
	if err != nil {
		return nil
	}
	if err := l.f.a.Offer(ctx, proof.Checkpoint); err != nil && !errors.Is(err, audit.ErrNotOffered) {
		return err
	}
	return nil
}

// setLive puts what was seen of a live repository into the status.
func (f *follower) setLive(l *live, id tuf.Digest, said Live) {
	f.set(func(s *Status) {
		for i := range s.Repositories {
			r := &s.Repositories[i]
			if r.Name != l.cfg.Name {
				continue
			}
			if !id.IsZero() {
				r.ID = id
			}
			for j := range r.Live {
				if r.Live[j].URL == said.URL {
					r.Live[j] = said
				}
			}
		}
	})
}
