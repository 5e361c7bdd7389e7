package anchored

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/proofs"
)

// What one audit reads if a Ledger does not say: so much that an instance of moderate size is read in one,
// and so little that one without end is judged all the same, and delays nothing for long.
const (
	DefaultMost    = 50_000
	DefaultStrange = 50_000
	DefaultScanned = 1 << 20
	DefaultReadFor = 10 * time.Minute
)

// maxSaid is of how many entries it is said why they are not what they have to be.
const maxSaid = 3

// Entries returns what the instance has under the keys of the log, one of each digest, the oldest
// first. Of v1 that is what its index says, which is not proved: entries that it hides are not
// seen, but for those that an earlier look saw. Of v2 it is all that stands in its tree. With an
// error, what was read until then: not everything could be looked at. If it wraps ErrMore, the next
// audit goes on.
func (l *Ledger) Entries(ctx context.Context) ([]Entry, error) {
	m, err := l.remember()
	if err != nil {
		return nil, err
	}
	l.memory = m
	read := l.list
	if l.Instance.Version() == 2 {
		read = l.scan
	}
	err = read(ctx, m)
	m.Entries = oldest(m.Entries)
	trim(m.Entries)
	return oldest(append(m.fitting(), m.Entries...)), errors.Join(err, l.Folder.save(m))
}

// oldest returns one entry of each digest, in order.
func oldest(all []Entry) []Entry {
	byDigest := map[string]Entry{}
	for _, e := range all {
		if other, ok := byDigest[e.Digest]; !ok || e.Time.Before(other.Time) {
			byDigest[e.Digest] = e
		}
	}
	entries := make([]Entry, 0, len(byDigest))
	for _, e := range byDigest {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(x, y Entry) int {
		return cmp.Or(x.Time.Compare(y.Time), cmp.Compare(x.LogIndex, y.LogIndex), cmp.Compare(x.Digest, y.Digest))
	})
	return entries
}

// ErrMore means that an instance has more than one audit reads: the next one goes on.
var ErrMore = errors.New("the rest was not looked at; the next audit goes on from there")

// followed stands in memory.Positions for what was seen of a v1 last, so that one that forks is
// found out.
const followed = ""

// list reads what the index of a v1 lists, of each key on its own.
func (l *Ledger) list(ctx context.Context, m *memory) error {
	followFor, cancel := context.WithTimeout(ctx, cmp.Or(l.ReadFor, DefaultReadFor))
	defer cancel()
	at, err := l.Instance.Follow(followFor, m.Positions[followed])
	if err != nil {
		return err
	}
	m.moved(followed, at)
	defer func() { // an instance may list others each time
		if n := len(m.Read) - rekor.MaxListed*len(l.Log)*len(proofs.Hash{}); n > 0 {
			m.Read = m.Read[n:]
		}
	}()
	return l.eachKey(ctx, m, l.listOne)
}

// eachKey reads under each of the log's keys, so that one under which there are too many entries does not
// keep the others from being read: each has its part of the time, and of the room that is left.
func (l *Ledger) eachKey(ctx context.Context, m *memory, read func(context.Context, *memory, proofs.Key, int) (news int, err error)) error {
	var all []error
	left := min(cmp.Or(l.Most, DefaultMost), cmp.Or(l.Strange, DefaultStrange)-m.Open)
	for i, key := range l.Log {
		if ctx.Err() != nil {
			return errors.Join(append(all, ctx.Err())...)
		}
		most := left / (len(l.Log) - i)
		if most <= 0 {
			all = append(all, fmt.Errorf("%d entries fit no tree of the log so far, and there is no room for more until an audit shows what they are: %w", m.Open, ErrMore))
			continue
		}
		some, cancel := context.WithTimeout(ctx, l.readFor())
		news, err := read(some, m, key, most)
		cancel()
		if whole := ctx.Err(); whole != nil {
			err = whole
		}
		if err != nil {
			all = append(all, err)
		}
		left -= news
		m.Open += news // until they are judged
		trim(m.Entries)
	}
	return errors.Join(all...)
}

// readFor is how long one audit reads under each key.
func (l *Ledger) readFor() time.Duration {
	return cmp.Or(l.ReadFor, DefaultReadFor) / time.Duration(len(l.Log))
}

// trimEach is after how many entries of v1 it is looked whether what the instance gave of them takes too
// much.
const trimEach = 1000

func (l *Ledger) listOne(ctx context.Context, m *memory, key proofs.Key, most int) (news int, err error) {
	var bad passedOver
	more := func(format string, args ...any) error {
		return errors.Join(bad.said(), fmt.Errorf(format+": %w", append(args, ErrMore)...))
	}
	known := m.leaves()
	for found, err := range l.Instance.List(ctx, key, func(leaf proofs.Hash) bool { return known[leaf] }) {
		if ctx.Err() != nil {
			return news, more("it was read for %v, in which it gave %d entries", l.readFor(), news)
		}
		if err != nil {
			bad.add(err) // what follows is read all the same
			continue
		}
		if news == most {
			return news, more("more than %d entries under the log's keys had not been read yet", most)
		}
		if news++; news%trimEach == 0 {
			trim(m.Entries)
		}
		m.Read = append(m.Read, found.Leaf[:]...)
		if found.Anchor != nil {
			m.Entries = append(m.Entries, entryOf(found.Anchor, l.now()))
		}
	}
	return news, bad.said()
}

// passedOver is what was not what it has to be.
type passedOver struct {
	why  []error // of the first
	more int
}

func (p *passedOver) add(err error) {
	if len(p.why) == maxSaid {
		p.more++
		return
	}
	p.why = append(p.why, err)
}

func (p *passedOver) said() error {
	if p.more == 0 {
		return errors.Join(p.why...)
	}
	return errors.Join(errors.Join(p.why...), fmt.Errorf("and %d more", p.more))
}

// scan reads what stands in the tree of a v2, of each key on its own.
func (l *Ledger) scan(ctx context.Context, m *memory) error { return l.eachKey(ctx, m, l.scanOne) }

func (l *Ledger) scanOne(ctx context.Context, m *memory, key proofs.Key, most int) (news int, err error) {
	began := m.Positions[key.String()].Next
	for {
		from := m.Positions[key.String()]
		found, next, err := l.Instance.Scan(ctx, key, from)
		if n := most - news; len(found) > n { // the rest is read again
			next.Next, found = uint64(found[n].LogIndex), found[:n]
		}
		for _, a := range found {
			m.Entries = append(m.Entries, entryOf(a, l.now()))
		}
		trim(m.Entries)
		m.moved(key.String(), next) // with an error, too: what is before it was read
		news += len(found)
		switch scanned := cmp.Or(l.Scanned, DefaultScanned); {
		case err != nil && ctx.Err() == nil:
			return news, err
		case err == nil && (next.Done() || next == from):
			return news, nil
		case ctx.Err() != nil || news >= most || int64(next.Next-began) >= scanned:
			return news, fmt.Errorf("%d of %d entries have been read: %w", next.Next, sizeOf(next), ErrMore)
		}
	}
}

// sizeOf returns the size of the tree of a position.
func sizeOf(at rekor.Position) int64 {
	_, c, err := parseSigned([]byte(at.Checkpoint))
	if err != nil {
		return 0
	}
	return c.Tree.N
}
