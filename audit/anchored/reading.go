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

// list reads what the index of a v1 lists.
func (l *Ledger) list(whole context.Context, m *memory) error {
	readFor := cmp.Or(l.ReadFor, DefaultReadFor)
	ctx, cancel := context.WithTimeout(whole, readFor)
	defer cancel()
	at, err := l.Instance.Follow(ctx, m.Positions[followed])
	if err != nil {
		return err
	}
	m.moved(followed, at)
	var bad passedOver
	more := func(format string, args ...any) error {
		return errors.Join(bad.said(), fmt.Errorf(format+": %w", append(args, ErrMore)...))
	}
	news, known := 0, m.leaves()
	for _, key := range l.Log {
		for found, err := range l.Instance.List(ctx, key, func(leaf proofs.Hash) bool { return known[leaf] }) {
			if whole.Err() != nil {
				return whole.Err()
			}
			if ctx.Err() != nil {
				return more("it was read for %v, in which it gave %d entries", readFor, news)
			}
			if err != nil {
				bad.add(err) // what follows is read all the same
				continue
			}
			if most := cmp.Or(l.Most, DefaultMost); news == most {
				return more("more than %d entries under the log's keys had not been read yet", most)
			}
			news++
			m.Read = append(m.Read, found.Leaf[:]...)
			if found.Anchor != nil {
				m.Entries = append(m.Entries, entryOf(found.Anchor, l.now()))
			}
		}
	}
	return bad.said()
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

// scan reads what stands in the tree of a v2, of each key on its own: one for which it does not end does
// not keep the others from being read.
func (l *Ledger) scan(ctx context.Context, m *memory) error {
	var all []error
	for _, key := range l.Log {
		if err := l.scanOne(ctx, m, key); err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

func (l *Ledger) scanOne(whole context.Context, m *memory, key proofs.Key) error {
	readFor := cmp.Or(l.ReadFor, DefaultReadFor) / time.Duration(len(l.Log))
	ctx, cancel := context.WithTimeout(whole, readFor)
	defer cancel()
	began, news := m.Positions[key.String()].Next, 0
	for {
		from := m.Positions[key.String()]
		found, next, err := l.Instance.Scan(ctx, key, from)
		for _, a := range found {
			m.Entries = append(m.Entries, entryOf(a, l.now()))
		}
		trim(m.Entries)
		m.moved(key.String(), next) // with an error, too: what is before it was read
		news += len(found)
		most, scanned := cmp.Or(l.Most, DefaultMost), cmp.Or(l.Scanned, DefaultScanned)
		switch {
		case whole.Err() != nil:
			return whole.Err()
		case err != nil && ctx.Err() == nil:
			return err
		case err == nil && (next.Done() || next == from):
			return nil
		case ctx.Err() != nil || news >= most || int64(next.Next-began) >= scanned:
			return fmt.Errorf("%d of %d entries have been read: %w", next.Next, sizeOf(next), ErrMore)
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
