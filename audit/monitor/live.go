package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
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

// This file compares live repositories with the log. A comparison is made in a goroutine of the
// live repository's own, as it waits for servers and reads what they like: the log's goroutine
// gives it the history, and keeps what came of it.

// live is a live repository of a log.
type live struct {
	f    *follower
	cfg  RepositoryConfig
	id   tuf.Digest
	url  string
	host chan struct{}   // has one for each comparison with that host that goes on
	due  chan comparison // has what is to be compared

	// Of the log's goroutine.
	next     time.Time          // when it is to be compared
	asked    bool               // it is being compared
	suspects map[string]suspect // what is served and not logged

	held atomic.Int64 // bytes of files

	mu   sync.Mutex
	done *compared // what came of the comparison; nil: nothing yet
}

// comparison is what a live repository is compared with.
type comparison struct {
	a       *audit.Auditor // whose history it is
	history *history.History
	log     *evidence.Log
	readAt  time.Time // when the log was read to its end last
}

// compared is what came of a comparison.
type compared struct {
	comparison
	rows []compare.Row
	err  error
}

// suspect is what is served and not logged.
type suspect struct {
	role string
	seen int64 // when it was seen first, POSIX nanoseconds
}

// Limits of comparisons.
const (
	maxLive        = 256 << 20        // bytes of the files of one
	maxAllLive     = 512 << 20        // and of all that are compared at the time
	liveTimeout    = 10 * time.Minute // for all files
	compareTimeout = 15 * time.Minute // for all of it
	maxComparing   = 64               // at the same time
	maxComparingAt = 4                // of them, of one host
)

// confirmAfter is how long it takes before what is not logged is looked at again: by then the
// log has been read again.
func (f *follower) confirmAfter() time.Duration { return min(2*f.log.Interval, 10*time.Second) }

func newLive(f *follower, cfg RepositoryConfig, at string) (*live, error) {
	id, err := tuf.ParseDigest(cfg.ID)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", cfg.Name, err)
	}
	u, err := url.Parse(at)
	if err != nil {
		return nil, fetch.RedactError(err)
	}
	return &live{f: f, cfg: cfg, id: id, url: at, host: f.m.comparing.at(u.Host), due: make(chan comparison, 1), suspects: map[string]suspect{}}, nil
}

// comparing bounds how many comparisons go on at the same time. Who waits for a host that is slow
// takes no other's place.
type comparing struct {
	all chan struct{}

	mu    sync.Mutex
	hosts map[string]chan struct{}
}

func newComparing() *comparing {
	return &comparing{all: make(chan struct{}, maxComparing), hosts: map[string]chan struct{}{}}
}

// at returns what bounds the comparisons with a host.
func (c *comparing) at(host string) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hosts[host] == nil {
		c.hosts[host] = make(chan struct{}, maxComparingAt)
	}
	return c.hosts[host]
}

// liveWatched is what names of live repositories begin with.
const liveWatched = "live "

// what is the name under which its findings are watched.
func (l *live) what() string { return liveWatched + l.cfg.Name + " " + fetch.Redacted(l.url) }

// run makes the comparisons that are due until the context ends.
func (l *live) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-l.due:
			l.make(ctx, c)
			l.f.wakeUp()
		}
	}
}

// make makes a comparison when there is a place for it, and leaves what came of it for the
// log's goroutine.
func (l *live) make(ctx context.Context, c comparison) {
	for _, places := range []chan struct{}{l.host, l.f.m.comparing.all} {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		case <-ctx.Done():
			return
		}
	}
	limited, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	rows, err := l.rows(limited, &c)
	l.f.m.liveHeld.Add(-l.held.Swap(0))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = &compared{c, rows, err}
}

// rows compares what is served now.
func (l *live) rows(ctx context.Context, c *comparison) ([]compare.Row, error) {
	subject, err := compare.NewSubject(compare.Config{History: c.history, Log: c.log, Now: l.f.m.opts.Now(), Stale: l.cfg.Stale})
	if err != nil {
		return nil, err
	}
	from := &device.Repository{URL: l.url, Client: l.f.m.opts.Client, Timeout: liveTimeout, SameHost: true}
	return subject.Compare(ctx, []compare.Vantage{{Name: fetch.Redacted(l.url), Source: roomy{l, from}}})
}

// roomy is a live repository of which no more is read than there is room for: what is held of
// all has a bound, as a server that was taken over may serve anything.
type roomy struct {
	l    *live
	from *device.Repository
}

// Fetch implements compare.Source.
func (s roomy) Fetch(ctx context.Context, r verify.Request) ([]byte, error) {
	l := s.l
	room := min(maxLive-l.held.Load(), maxAllLive-l.f.m.liveHeld.Load())
	if room <= 0 {
		return nil, errors.New("there is no room for more files of live repositories: the rest was not read")
	}
	r.MaxLength = min(r.MaxLength, room)
	b, err := s.from.Fetch(ctx, r)
	l.held.Add(int64(len(b)))
	l.f.m.liveHeld.Add(int64(len(b)))
	return b, err
}

// takeLive keeps what came of comparisons, and begins those that are due. whole says that the
// log has just been read to its end.
func (f *follower) takeLive(ctx context.Context, step audit.StepResult, whole bool) error {
	if len(f.live) == 0 || !whole && !f.reported {
		return nil // what is not logged cannot be told from what has not been read
	}
	now := f.m.opts.Now()
	grown, err := f.grown(ctx, step)
	if err != nil {
		return err
	}
	for _, l := range f.live {
		if grown[l.id] {
			// The vendor publishes what is logged about now.
			l.next = earlier(l.next, now.Add(f.confirmAfter()))
		}
		if err := l.take(ctx, now); err != nil {
			return err
		}
		if l.asked || now.Before(l.next) {
			continue
		}
		if err := l.begin(ctx, now); err != nil {
			return err
		}
	}
	return nil
}

// grown returns the repositories that have leaves in a step.
func (f *follower) grown(ctx context.Context, step audit.StepResult) (map[tuf.Digest]bool, error) {
	grown := map[tuf.Digest]bool{}
	if step.To <= step.From {
		return grown, nil
	}
	leaves, err := f.a.Leaves(ctx, step.From, step.To)
	for _, leaf := range leaves {
		if leaf.Fields != nil {
			if id, err := tuf.ParseDigest(leaf.Repository); err == nil {
				grown[id] = true
			}
		}
	}
	return grown, err
}

func earlier(x, y time.Time) time.Time {
	if y.Before(x) {
		return y
	}
	return x
}

// take keeps what came of a comparison, if one has ended. One with the history of a state that
// was opened before is made again.
func (l *live) take(ctx context.Context, now time.Time) error {
	l.mu.Lock()
	done := l.done
	l.done = nil
	l.mu.Unlock()
	if done == nil {
		return nil
	}
	if l.asked = false; done.a != l.f.a {
		l.next = now
		return nil
	}
	l.next = now.Add(l.cfg.Every)
	return l.conclude(ctx, done)
}

// begin begins a comparison. The error is the state's.
func (l *live) begin(ctx context.Context, now time.Time) error {
	f := l.f
	histories, err := f.a.Histories(ctx, l.id.String())
	if err == nil && len(histories) == 0 {
		err = fmt.Errorf("the log has no repository %v", l.id)
	}
	c := comparison{a: f.a, readAt: f.readAt}
	if err != nil {
		if errors.As(err, new(*state.Error)) {
			return err
		}
		l.next = now.Add(l.cfg.Every)
		return l.conclude(ctx, &compared{c, nil, err})
	}
	c.history = histories[0]
	if note := f.a.Note(); note != nil {
		c.log = &evidence.Log{Checkpoint: note, Source: f.a.Source()}
		for _, p := range f.policy.Logs {
			c.log.Keys = append(c.log.Keys, p.Key)
		}
	}
	l.asked = true
	l.due <- c // it has room: the one before has ended
	return nil
}

// liveRound makes the comparisons that are due, of one that looks once, and reports whether there
// were any.
func (f *follower) liveRound(ctx context.Context) bool {
	var comparing sync.WaitGroup
	more := false
	for _, l := range f.live {
		select {
		case c := <-l.due:
			more = true
			comparing.Go(func() { l.make(ctx, c) })
		default:
		}
	}
	comparing.Wait()
	return more && ctx.Err() == nil
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
func (l *live) conclude(ctx context.Context, c *compared) error {
	f, now, rows, err, id := l.f, l.f.m.opts.Now(), c.rows, c.err, l.id
	said := Live{URL: fetch.Redacted(l.url), Compared: now.Unix(), Files: len(rows)}
	var found []audit.Finding
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
			// What is served is perhaps being logged: it has to be there still in a comparison
			// with what the log had when it had been read again.
			key := fmt.Sprint(row.Role, row.Version, row.Payload, kind)
			seen, before := l.suspects[key]
			if !before {
				suspects[key] = suspect{row.Role, now.UnixNano()}
				continue
			}
			if suspects[key] = seen; !c.readSince(seen) {
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
	if l.suspects = suspects; len(suspects) > 0 && l.unconfirmed(c) {
		l.next = earlier(l.next, now.Add(f.confirmAfter()))
	}
	f.setLive(l, said)
	return f.a.WatchedPart(ctx, l.what(), found, func(x *audit.Finding) bool {
		return partly && x.Kind != audit.LiveMissing && !looked[x.Role]
	})
}

// unconfirmed reports whether something served has been seen once.
func (l *live) unconfirmed(c *compared) bool {
	for _, seen := range l.suspects {
		if !c.readSince(seen) {
			return true
		}
	}
	return false
}

// readSince reports whether the log had been read to its end between the time at which something
// was seen and this comparison.
func (c *compared) readSince(x suspect) bool { return c.readAt.UnixNano() > x.seen }

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
func (f *follower) setLive(l *live, said Live) {
	f.set(func(s *Status) {
		for i := range s.Repositories {
			r := &s.Repositories[i]
			if r.Name != l.cfg.Name {
				continue
			}
			for j := range r.Live {
				if r.Live[j].URL == said.URL {
					r.Live[j] = said
				}
			}
		}
	})
}
