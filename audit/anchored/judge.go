package anchored

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/proofs"
)

// Log is what was verified of the log. Its leaves are those of the checkpoint's tree.
type Log struct {
	Policy     *proofs.Policy
	Checkpoint *proofs.SignedCheckpoint
	// Leaves calls each for the hashes of leaves from an index up to another, in order. It may
	// be called for some and again for others.
	Leaves   func(ctx context.Context, from, to int64, each func(proofs.Hash) error) error
	Progress func(done, total int64) // nil: nobody is told
	Margin   time.Duration           // 0: anchor.DefaultMargin
}

// Judged is an entry with what was found.
type Judged struct {
	Entry
	Verdict anchor.Verdict `json:"verdict"`
	Size    int64          `json:"size"` // of the tree whose note text it is; -1: none
}

// leavesAtATime is how many leaves are read at a time, after which others may read and write.
const leavesAtATime = 4096

// Judge says how entries, and the texts of kept receipts, fit a log. strange are the notes of
// receipts that are the text of no tree of the log, though not of a larger one: the log signed
// them, and each is to be compared with its history (audit.Auditor.Offer), which proves a fork.
// The error is that of the leaves, or of the folder; if it wraps ErrNoReceipt, all else was judged.
func (l *Ledger) Judge(ctx context.Context, log *Log, entries []Entry) (judged []Judged, strange [][]byte, err error) {
	m := l.memory // not what another process has written since: entries would be without these
	if l.memory = nil; m == nil {
		if m, err = l.Folder.remember(); err != nil {
			return nil, nil, err
		}
	}
	notes := map[anchor.Digest][]byte{}
	partly := l.Folder.Receipts(func(k Kept) error {
		note, c, err := parseSigned(k.Receipt.Note)
		if err == nil && c.Tree.N <= log.Checkpoint.Tree.N {
			notes[sha256.Sum256([]byte(note.Text))] = k.Receipt.Note
		}
		return err
	})
	if partly != nil && !errors.Is(partly, ErrNoReceipt) {
		return nil, nil, partly
	}
	var wanted []anchor.Digest
	for i := range entries {
		d, err := entries[i].digest()
		if err != nil {
			return nil, nil, err
		}
		wanted = append(wanted, d)
	}
	for d := range notes {
		wanted = append(wanted, d)
	}
	if len(wanted) > 0 {
		if err := l.search(ctx, log, m, wanted); err != nil {
			return nil, nil, err
		}
	}
	for d, note := range notes {
		if _, ok := m.Sizes[hex.EncodeToString(d[:])]; !ok {
			strange = append(strange, note)
		}
	}
	for _, e := range entries {
		size, ok := m.Sizes[e.Digest]
		j := Judged{Entry: e, Size: size, Verdict: anchor.Judge(ok, e.Time, log.Policy, log.Checkpoint, cmp.Or(log.Margin, anchor.DefaultMargin))}
		if !ok {
			j.Size = -1
		}
		judged = append(judged, j)
	}
	m.note(judged)
	if err := l.Folder.save(m); err != nil {
		return nil, nil, err
	}
	return judged, strange, partly
}

var errOtherTree = errors.New("the leaves are not those of the verified checkpoint")

// search looks for digests to the end of the log's tree. What is remembered counts only once the
// leaves have shown that this tree continues the one that it is of: a log may have rewritten its
// history since, and a state may be another one.
func (l *Ledger) search(ctx context.Context, log *Log, m *memory, wanted []anchor.Digest) error {
	tree := log.Checkpoint.Tree
	if s := m.resume(log.Checkpoint.Origin, wanted, tree.N); s != nil {
		err := walk(ctx, log, s)
		if err == nil {
			return m.learn(s, wanted)
		}
		if !errors.Is(err, errOtherTree) {
			return err
		}
	}
	s := anchor.NewSearch(log.Checkpoint.Origin, wanted)
	if err := walk(ctx, log, s); err != nil {
		return err
	}
	clear(m.Sizes)
	return m.learn(s, wanted)
}

// walk appends the leaves that a search lacks.
func walk(ctx context.Context, log *Log, s *anchor.Search) error {
	tree := log.Checkpoint.Tree
	for at := s.Tree().N; at < tree.N; {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(at+leavesAtATime, tree.N)
		n := at
		err := log.Leaves(ctx, at, to, func(leaf proofs.Hash) error {
			n++
			return s.Append(leaf)
		})
		if err == nil && n != to {
			err = fmt.Errorf("%d leaves from %d on, want %d", n-at, at, to-at)
		}
		if err != nil {
			return err
		}
		if at = to; log.Progress != nil {
			log.Progress(at, tree.N)
		}
	}
	if s.Tree() != tree {
		return errOtherTree
	}
	return nil
}

// MaxOrphans is how many orphans are a finding each. Anyone can make them, so the rest is one.
const MaxOrphans = 20

// Findings words the orphans as findings, for audit.Auditor.Watched under WatchedName: the newest
// MaxOrphans, the newest first, and one for all others, if there are any. That one is another finding when
// others are among them: whoever acknowledged it has not seen those.
func Findings(instance string, log *Log, judged []Judged) []audit.Finding {
	var found []audit.Finding
	more, of := 0, sha256.New()
	for _, j := range slices.Backward(judged) {
		if j.Verdict != anchor.Orphan {
			continue
		}
		if len(found) == MaxOrphans {
			more++
			fmt.Fprintln(of, j.Digest)
			continue
		}
		found = append(found, orphan(instance, log, &j))
	}
	if more > 0 {
		found = append(found, audit.NewFinding(audit.OrphanAnchor, -1, [32]byte{}, "", 0, fmt.Sprintf(
			"Rekor %s has %d more entries under the log's key, older ones, whose texts are the checkpoint of no tree of the log (auditor anchor audit lists them)", instance, more)).
			About(fmt.Sprintf("anchors %s %x", instance, of.Sum(nil))))
	}
	return found
}

func orphan(instance string, log *Log, j *Judged) audit.Finding {
	since := "took"
	if !j.Promised {
		since = "had"
	}
	f := audit.NewFinding(audit.OrphanAnchor, -1, [32]byte{}, "", 0, fmt.Sprintf(
		"Rekor %s %s an entry under the log's key by %s whose text, with SHA-256 %s, is the checkpoint of no tree up to the verified one of %d entries, which witnesses cosigned later: the log signed what it does not show, or somebody forged the entry, which needs no key; who has the text can tell",
		instance, since, j.Time.Format(time.RFC3339), j.Digest, log.Checkpoint.Tree.N)).
		About("anchor "+instance+" "+j.Digest).
		WithContent("checkpoint.note", log.Checkpoint.Note.Marshal())
	if j.Entry.Entry != nil { // it once fitted, and was not kept
		f = f.WithContent("anchor.json", j.Entry.Entry)
	}
	return f
}

// watchedName is what the names begin with under which findings are watched.
const watchedName = "anchors "

// WatchedName returns the name under which the findings of an instance are watched.
func WatchedName(instance string) string { return watchedName + instance }
