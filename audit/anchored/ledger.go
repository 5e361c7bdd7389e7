package anchored

import (
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
	// Most is how many entries under the log's keys one audit reads that no earlier one has read.
	// Anyone can make some, at a request each. 0: DefaultMost.
	Most int
	// Strange is how many entries that do not fit are remembered. None that may still turn out to be an orphan
	// is forgotten: an audit reads no more than there is room for. 0: DefaultStrange.
	Strange int
	// Scanned is how many entries of v2 one audit reads of each key, whoever made them. 0: DefaultScanned.
	Scanned int64
	// ReadFor is how long one audit reads. 0: DefaultReadFor.
	ReadFor time.Duration

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
	Digest    string `json:"digest"` // in hex
	Signature []byte `json:"signature"`
	UUID      string `json:"uuid"`
	LogIndex  int64  `json:"log_index"`
	// Time is when it was first seen here, or when v1 took it, if it says an earlier time. It was there
	// by then, whatever a clock says that is ahead.
	Time     time.Time       `json:"time"`
	Promised bool            `json:"promised,omitempty"` // the instance has signed the time
	Entry    json.RawMessage `json:"entry,omitempty"`    // as the instance gave it; nil of one of which that is not remembered
}

func entryOf(a *rekor.Anchor, seen time.Time) Entry {
	e := Entry{
		Digest: hex.EncodeToString(a.Digest[:]), Signature: a.Signature, UUID: a.UUID, LogIndex: a.LogIndex,
		Time: a.Time.UTC(), Promised: true, Entry: a.Entry,
	}
	if a.Time.IsZero() {
		e.Time = seen.UTC().Truncate(time.Second)
		e.Promised = false
	}
	e.notAfter(seen)
	return e
}

// notAfter corrects the time of an entry that is there now.
func (e *Entry) notAfter(now time.Time) {
	if now = now.UTC().Truncate(time.Second); e.Time.After(now) {
		e.Time, e.Promised = now, false
	}
}

func (e *Entry) digest() (d anchor.Digest, err error) {
	b, err := hex.DecodeString(e.Digest)
	if err == nil && len(b) != len(d) {
		err = fmt.Errorf("a digest of %d bytes", len(b))
	}
	copy(d[:], b)
	return d, err
}
