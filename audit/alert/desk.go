package alert

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
)

// Desk keeps what is to be told until it has been. It is safe for concurrent use.
type Desk struct {
	Reader
	cfg      Config
	senders  map[string]*destination // by name
	settings map[string]string       // digests of those of each destination, by name

	stuck      stuck
	retryAfter time.Duration // the pause after the outbox could not be used

	mu       sync.Mutex
	origins  map[string]string   // the log of each origin
	followed map[string]followed // by origin
}

// Open opens the outbox at path, and makes it if need be. It reads the secrets of the
// destinations, and asks none of them. Several processes may have it open; one may Run or
// Flush it.
func Open(ctx context.Context, path string, cfg Config) (*Desk, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	d := &Desk{cfg: cfg, senders: map[string]*destination{}, settings: map[string]string{}, origins: map[string]string{}, followed: map[string]followed{}, retryAfter: diskRetry}
	for name, to := range cfg.To {
		// Before they are read for use: what changes meanwhile is seen later.
		settings, settingsErr := settingsOf(to)
		s, err := newSender(name, to, &cfg)
		if err != nil {
			return nil, fmt.Errorf("to.%s.%w", name, err)
		}
		if settingsErr != nil {
			return nil, fmt.Errorf("to.%s: %w", name, settingsErr)
		}
		d.settings[name] = settings
		d.senders[name] = &destination{name: name, to: to, sender: s, wake: make(chan struct{}, 1)}
	}
	r, err := OpenReader(ctx, path)
	if err != nil {
		return nil, err
	}
	d.Reader = *r
	return d, nil
}

// sync takes all findings about a log that are there. What else was open is closed.
func (c *change) sync(ctx context.Context, open []audit.Finding) error {
	before := map[tuf.Digest]bool{}
	err := query(ctx, c.tx, "SELECT sum FROM findings WHERE origin = ? AND open", []any{c.origin}, func(rows *sql.Rows) error {
		var sum []byte
		if err := rows.Scan(&sum); err != nil {
			return err
		}
		before[tuf.Digest(sum)] = true
		return nil
	})
	if err != nil {
		return err
	}
	for i := range open {
		delete(before, open[i].Digest())
		if err := c.open(ctx, &open[i]); err != nil {
			return err
		}
	}
	for _, sum := range slices.SortedFunc(maps.Keys(before), func(a, b tuf.Digest) int { return bytes.Compare(a[:], b[:]) }) {
		if err := c.close(ctx, sum); err != nil {
			return err
		}
	}
	return nil
}

// change makes one transaction, and wakes the destinations that have something to do.
func (d *Desk) change(ctx context.Context, log, origin string, do func(*change) error) error {
	d.mu.Lock()
	other, ok := d.origins[origin]
	if !ok {
		d.origins[origin] = log
	}
	d.mu.Unlock() // a log that waits for the outbox keeps no other one from waiting, too
	if ok && other != log {
		return fmt.Errorf("the logs %q and %q have one origin, %s: their findings are not told apart", other, log, printable.Line(origin))
	}
	return d.write(ctx, func(tx *sql.Tx) error {
		if err := do(&change{desk: d, tx: tx, log: log, origin: origin, now: d.cfg.Now()}); err != nil {
			return err
		}
		return d.trim(ctx, tx)
	})
}

// write makes one transaction, and wakes the destinations.
func (d *Desk) write(ctx context.Context, do func(*sql.Tx) error) error {
	if err := d.inTx(ctx, do); err != nil {
		return err
	}
	d.wake()
	return nil
}

// wake asks the destinations to look at their queues.
func (d *Desk) wake() {
	for _, s := range d.senders {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// change is what happens to findings about a log in one transaction.
type change struct {
	desk        *Desk
	tx          *sql.Tx
	log, origin string
	now         time.Time
}

// known is a finding as the outbox has it.
type known struct {
	episode, seen     int64
	open, told, acked bool
	sent              []sent
	opening           string // the id of the event about it; empty: none was told
	body              []byte
}

// sent is where an opening went.
type sent struct {
	To        string        `json:"to"`
	Digest    time.Duration `json:"digest,omitempty"`
	Withdrawn bool          `json:"withdrawn,omitempty"` // it was acknowledged before it was delivered
}

func (c *change) known(ctx context.Context, sum tuf.Digest) (k known, err error) {
	var where string
	err = c.tx.QueryRowContext(ctx, "SELECT episode, seen, open, told, acked, sent, opening, body FROM findings WHERE origin = ? AND sum = ?", c.origin, sum[:]).
		Scan(&k.episode, &k.seen, &k.open, &k.told, &k.acked, &where, &k.opening, &k.body)
	if errors.Is(err, sql.ErrNoRows) {
		return known{}, nil
	}
	if err != nil {
		return k, err
	}
	if k.told && k.opening == "" {
		k.opening = openingIDBefore(c.origin, sum, k.episode)
	}
	return k, json.Unmarshal([]byte(where), &k.sent)
}

func (c *change) keep(ctx context.Context, sum tuf.Digest, class audit.Class, k known) error {
	where, err := json.Marshal(k.sent)
	if err != nil {
		return err
	}
	_, err = c.tx.ExecContext(ctx, `INSERT OR REPLACE INTO findings (origin, sum, log, class, episode, seen, open, told, acked, sent, opening, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, c.origin, sum[:], c.log, class, k.episode, k.seen, k.open, k.told, k.acked, string(where), k.opening, k.body)
	return err
}

// open takes a finding that is there.
func (c *change) open(ctx context.Context, f *audit.Finding) error {
	sum := f.Digest()
	k, err := c.known(ctx, sum)
	if err != nil {
		return err
	}
	acked := f.Lived != nil && f.Acked != 0
	if k.open && k.acked == acked && (k.told || acked || f.Class == audit.Outage) {
		return nil
	}
	if !k.open {
		k = known{episode: k.episode, open: true}
	}
	if f.Lived != nil {
		k.seen = f.Episode
	}
	changed := acked != k.acked
	k.acked = acked
	body := brief(f)
	if k.body, err = json.Marshal(body); err != nil {
		return err
	}
	switch {
	case !acked && !k.told:
		err = c.tell(ctx, &k, sum, body)
	case !acked && changed:
		err = c.tellWithdrawn(ctx, &k)
	case changed && k.told:
		err = c.withdraw(ctx, &k)
	}
	if err != nil {
		return err
	}
	return c.keep(ctx, sum, f.Class, k)
}

// tell makes the event about an opening. An outage that no route mentions has none.
func (c *change) tell(ctx context.Context, k *known, sum tuf.Digest, f *audit.Finding) error {
	_, route := c.desk.cfg.Route(c.log, f)
	if f.Class == audit.Outage && len(route.To) == 0 {
		return nil
	}
	k.told, k.sent = true, nil
	k.episode++
	k.opening = openingID(c.origin, sum, k.episode)
	for _, to := range route.To {
		k.sent = append(k.sent, sent{To: to, Digest: route.Digest})
	}
	return c.post(ctx, c.event(Opened, k.opening, f, sum, k.episode), k.sent)
}

// close takes the digest of a finding that is gone.
func (c *change) close(ctx context.Context, sum tuf.Digest) error {
	k, err := c.known(ctx, sum)
	if err != nil || !k.open {
		return err
	}
	if k.episode == 0 {
		_, err := c.tx.ExecContext(ctx, "DELETE FROM findings WHERE origin = ? AND sum = ?", c.origin, sum[:])
		return err
	}
	var f audit.Finding
	if err := json.Unmarshal(k.body, &f); err != nil {
		return fmt.Errorf("finding %s: %w", sum, err)
	}
	if k.told {
		e := c.event(Closed, closingID(k.opening), &f, sum, k.episode)
		e.Opening = k.opening
		if err := c.post(ctx, e, slices.DeleteFunc(k.sent, func(s sent) bool { return s.Withdrawn })); err != nil {
			return err
		}
	}
	return c.keep(ctx, sum, f.Class, known{episode: k.episode, seen: k.seen, body: []byte{}})
}

// event makes an event about a finding.
func (c *change) event(t Type, id string, f *audit.Finding, sum tuf.Digest, episode int64) *Event {
	cfg := &c.desk.cfg
	command, asks := cfg.command(c.log, f)
	return &Event{
		Version: eventVersion, ID: id, Type: t, Time: c.now.UTC().Truncate(time.Millisecond),
		Log: c.log, Origin: c.origin, Finding: f, RepositoryName: cfg.repositoryName(c.log, f), Unnamed: cfg.isUnnamed(c.log, f), Episode: episode,
		Command: command, Asks: asks, Link: cfg.link(c.log, f, sum),
	}
}

// maxWords bounds the words of a finding in an event: bytes.
const maxWords = 4 << 10

// brief is a finding as an event has it: the evidence is on the machine that found it.
func brief(f *audit.Finding) *audit.Finding {
	b := *f
	b.Sentence = tuf.Clip(b.Sentence)
	if len(f.Sentence) <= maxWords {
		b.Sentence = f.Sentence
	}
	b.Evidence = slices.Clone(f.Evidence)
	for i := range b.Evidence {
		b.Evidence[i].Text = ""
	}
	return &b
}
