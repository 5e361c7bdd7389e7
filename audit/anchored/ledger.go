package anchored

import (
	"cmp"
	"context"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/proofs"
)

// Ledger is one instance of Rekor for one log. It is not for several goroutines.
type Ledger struct {
	Instance *rekor.Instance
	Keys     []crypto.PublicKey // of the instance, that are trusted
	Log      []proofs.Key       // of the log, of type ECDSA
	Folder   *Folder
	Now      func() time.Time // nil: time.Now
	// Most is how many entries of v1 one audit reads that no earlier one has read. Anyone can make
	// some, at a request each. 0: DefaultMost.
	Most int

	memory *memory // as Entries left it, for Judge
}

func (l *Ledger) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}

// ErrNotSigned means that a note is not a checkpoint that one of the log's keys signed which can be
// anchored.
var ErrNotSigned = errors.New("it has no signature of the log of type ECDSA")

// signer returns the key of the log that signed a note.
func (l *Ledger) signer(signed []byte) (proofs.Key, error) {
	var why error
	for _, key := range l.Log {
		if _, _, err := proofs.OpenCheckpoint(signed, key); err == nil {
			return key, nil
		} else if why == nil || !errors.Is(err, proofs.ErrUnknownLog) {
			why = err
		}
	}
	return proofs.Key{}, fmt.Errorf("%w: %w", ErrNotSigned, why)
}

// Submit anchors a checkpoint that the log signed, with whatever cosignatures, and keeps the
// receipt. It returns the receipt's path. Errors of the instance are as of rekor.Instance.Submit.
func (l *Ledger) Submit(ctx context.Context, signed []byte) (string, *rekor.Anchor, error) {
	key, err := l.signer(signed)
	if err != nil {
		return "", nil, err
	}
	receipt, err := l.Instance.Submit(ctx, signed, key)
	if err != nil {
		return "", nil, err
	}
	a, err := receipt.Verify(key, l.Keys)
	if err != nil {
		return "", nil, err
	}
	path, err := l.Folder.Keep(receipt)
	return path, a, err
}

// Verify verifies a receipt with the keys of the log and of the instance alone.
func (l *Ledger) Verify(r *rekor.Receipt) (*rekor.Anchor, error) {
	key, err := l.signer(r.Note)
	if err != nil {
		return nil, err
	}
	return r.Verify(key, l.Keys)
}

// has reports whether there is a receipt of a checkpoint that verifies, and when it was written.
// Anybody's files may lie among the receipts, under any names.
func (l *Ledger) has(note proofs.Note, c proofs.Checkpoint) (written time.Time, ok bool, err error) {
	path := l.Folder.receiptFile(note, c)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	r, err := ReadReceipt(path)
	if err != nil {
		return time.Time{}, false, nil
	}
	if other, _, err := parseSigned(r.Note); err != nil || other.Text != note.Text {
		return time.Time{}, false, nil
	}
	_, err = l.Verify(r)
	return info.ModTime(), err == nil, nil
}

// KeyChanged asks the instance for its public key, and returns it in PEM if it is none of those that
// are trusted. It is never trusted by that. Of v2, which has none to ask for, it is empty.
func (l *Ledger) KeyChanged(ctx context.Context) (string, error) {
	key, err := l.Instance.PublicKey(ctx)
	if errors.Is(err, rekor.ErrNoPublicKey) {
		return "", nil
	}
	if err != nil || slices.ContainsFunc(l.Keys, func(k crypto.PublicKey) bool { return sameKey(k, key) }) {
		return "", err
	}
	return printKey(key)
}

// Entry is an entry of the instance under a key of the log. Of several with one digest it is the
// oldest: anyone can make a second signature of one.
type Entry struct {
	Digest    string          `json:"digest"` // in hex
	Signature []byte          `json:"signature"`
	UUID      string          `json:"uuid"`
	LogIndex  int64           `json:"log_index"`
	Time      time.Time       `json:"time"`               // when v1 took it; of v2, when it was first seen here
	Promised  bool            `json:"promised,omitempty"` // the instance has signed the time
	Entry     json.RawMessage `json:"entry,omitempty"`    // as the instance gave it; nil of one that is remembered because it is consistent
}

func entryOf(a *rekor.Anchor, seen time.Time) Entry {
	e := Entry{
		Digest: hex.EncodeToString(a.Digest[:]), Signature: a.Signature, UUID: a.UUID, LogIndex: a.LogIndex,
		Time: a.Time.UTC(), Promised: true, Entry: a.Entry,
	}
	if a.Time.IsZero() {
		e.Time, e.Promised = seen.UTC().Truncate(time.Second), false
	}
	return e
}

func (e *Entry) digest() (d anchor.Digest, err error) {
	b, err := hex.DecodeString(e.Digest)
	if err == nil && len(b) != len(d) {
		err = fmt.Errorf("a digest of %d bytes", len(b))
	}
	copy(d[:], b)
	return d, err
}

// DefaultMost is how many entries one audit reads if Ledger.Most is zero.
const DefaultMost = 50_000

// maxBad is how many entries are passed over that are not what they have to be, and maxSaid of how
// many it is said why.
const (
	maxBad  = 100
	maxSaid = 3
)

// Entries returns what the instance has under the keys of the log, one of each digest, the oldest
// first. Of v1 that is what its index says, which is not proved: entries that it hides are not
// seen, but for those that an earlier look saw. Of v2 it is all that stands in its tree. With an
// error, what was read until then: not everything could be looked at.
func (l *Ledger) Entries(ctx context.Context) ([]Entry, error) {
	var all []Entry
	var err error
	if l.Instance.Version() == 2 {
		all, err = l.scan(ctx)
	} else {
		all, err = l.list(ctx)
	}
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
	return entries, err
}

// ErrMore means that an instance has more entries under the log's keys than one audit reads: the
// next one goes on.
var ErrMore = errors.New("the rest was not looked at; the next audit goes on from there")

var errTooBad = fmt.Errorf("more than %d entries are not what they have to be: the rest was not looked at", maxBad)

// followed stands in memory.Positions for what was seen of a v1 last, so that one that forks is
// found out.
const followed = ""

func (l *Ledger) list(ctx context.Context) ([]Entry, error) {
	m, err := l.Folder.remember()
	if err != nil {
		return nil, err
	}
	l.memory = m
	all := m.Entries // whatever the index says now
	at, err := l.Instance.Follow(ctx, m.Positions[followed])
	if err != nil {
		return all, err
	}
	if at != m.Positions[followed] {
		m.Positions[followed] = at
		if err := l.Folder.save(m); err != nil {
			return all, err
		}
	}
	var bad []error
	news, known := 0, m.leaves()
	for _, key := range l.Log {
		for found, err := range l.Instance.List(ctx, key, func(leaf proofs.Hash) bool { return known[leaf] }) {
			if ctx.Err() != nil {
				return all, ctx.Err()
			}
			if err != nil {
				if bad = append(bad, err); len(bad) > maxBad {
					return all, errors.Join(append(bad[:maxSaid], errTooBad)...)
				}
				continue
			}
			if most := cmp.Or(l.Most, DefaultMost); news == most {
				return all, errors.Join(append(bad[:min(len(bad), maxSaid)],
					fmt.Errorf("more than %d entries under the log's keys had not been read yet: %w", most, ErrMore))...)
			}
			news++
			m.Read = append(m.Read, found.Leaf[:]...) // as soon as Judge has kept what it says
			if found.Anchor != nil {
				all = append(all, entryOf(found.Anchor, l.now()))
			}
		}
	}
	if n := len(bad) - maxSaid; n > 0 {
		bad = append(bad[:maxSaid], fmt.Errorf("and %d more", n))
	}
	return all, errors.Join(bad...)
}

func (l *Ledger) scan(ctx context.Context) ([]Entry, error) {
	m, err := l.Folder.remember()
	if err != nil {
		return nil, err
	}
	l.memory = m
	for _, key := range l.Log {
		for done := false; !done; {
			from := m.Positions[key.String()]
			found, next, err := l.Instance.Scan(ctx, key, from)
			for _, a := range found {
				m.Entries = append(m.Entries, entryOf(a, l.now()))
			}
			if next != from { // above the limit, too: the next audit goes on from there
				m.Positions[key.String()] = next
				if err := l.Folder.save(m); err != nil {
					return m.Entries, err
				}
			}
			if err != nil {
				return m.Entries, err
			}
			done = next.Done() || next == from
			if len(m.Entries) > DefaultMost && !done {
				return m.Entries, fmt.Errorf("it has more than %d entries under the log's keys: %w", DefaultMost, ErrMore)
			}
		}
	}
	return m.Entries, nil
}
