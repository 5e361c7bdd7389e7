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

// Matched is how entries and kept receipts fit a log.
type Matched struct {
	Entries []Judged
	// Counted is how many entries fitted in earlier audits of which only that is remembered.
	Counted int
	// Strange are the notes of receipts that are the text of no tree of the log, though not of a larger
	// one: the log signed them, and each is to be compared with its history (audit.Auditor.Offer), which
	// proves a fork.
	Strange [][]byte

	own *ownReceipt // of the largest tree of the log of which there is a receipt that verifies; nil: there is none
}

// ownReceipt is a receipt of a tree of the log.
type ownReceipt struct {
	size    int64
	digest  string
	written time.Time
}

// Judge says how entries, and the texts of kept receipts, fit a log. The error is that of the leaves,
// or of the folder. With a Matched it says what could not be judged, as files among the receipts that are
// none (ErrNoReceipt), or not be remembered: all else was.
func (l *Ledger) Judge(ctx context.Context, log *Log, entries []Entry) (*Matched, error) {
	m := l.memory // not what another process has written since: entries would be without these
	if l.memory = nil; m == nil {
		var err error
		if m, err = l.remember(); err != nil {
			return nil, err
		}
	}
	kept, partly := l.receipts(log.Checkpoint.Tree.N)
	if partly != nil && !errors.Is(partly, ErrNoReceipt) {
		return nil, partly
	}
	var wanted []anchor.Digest
	for i := range entries {
		d, err := entries[i].digest()
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, d)
	}
	for _, k := range kept {
		wanted = append(wanted, k.sum)
	}
	if len(wanted) > 0 || m.Dropped > 0 {
		again, err := l.search(ctx, log, m, wanted)
		if err != nil {
			return nil, err
		}
		partly = errors.Join(partly, again)
	}
	found := &Matched{Counted: m.Dropped}
	var receipts []string
	for _, k := range kept {
		if x, ok := m.fits[k.digest]; !ok {
			found.Strange = append(found.Strange, k.note)
		} else {
			receipts = append(receipts, k.digest)
			if found.own == nil { // the largest first
				if written, ok, err := l.has(k.parsed, k.checkpoint); err == nil && ok {
					found.own = &ownReceipt{x.size, k.digest, written}
				}
			}
		}
	}
	for _, e := range entries {
		x, ok := m.fits[e.Digest]
		j := Judged{Entry: e, Size: x.size, Verdict: anchor.Judge(ok, e.Time, log.Policy, log.Checkpoint, cmp.Or(log.Margin, anchor.DefaultMargin))}
		if !ok {
			j.Size = -1
		}
		found.Entries = append(found.Entries, j)
	}
	most := cmp.Or(l.Strange, DefaultStrange)
	if n := m.note(found.Entries, receipts, most); n > 0 {
		partly = errors.Join(partly, fmt.Errorf("more than %d entries do not fit the log: %d of them, orphans and the oldest first, are not remembered", most, n))
	}
	// What cannot be remembered, as when the disk is full, is judged all the same.
	return found, errors.Join(partly, l.Folder.save(m))
}

// keptNote is the note of a receipt.
type keptNote struct {
	note       []byte
	parsed     proofs.Note
	checkpoint proofs.Checkpoint
	digest     string
	sum        anchor.Digest
}

// receipts returns the notes of the receipts of trees up to a size, the largest first, one of each text.
func (l *Ledger) receipts(size int64) (list []keptNote, err error) {
	seen := map[anchor.Digest]bool{}
	err = l.Folder.Receipts(func(k Kept) error {
		note, c, err := parseSigned(k.Receipt.Note)
		if err != nil || c.Tree.N > size {
			return err
		}
		sum := sha256.Sum256([]byte(note.Text))
		if !seen[sum] {
			seen[sum] = true
			list = append(list, keptNote{k.Receipt.Note, note, c, hex.EncodeToString(sum[:]), sum})
		}
		return nil
	})
	slices.SortFunc(list, func(x, y keptNote) int {
		return cmp.Or(cmp.Compare(y.checkpoint.Tree.N, x.checkpoint.Tree.N), cmp.Compare(x.digest, y.digest))
	})
	return list, err
}

var errOtherTree = errors.New("the leaves are not those of the verified checkpoint")

// errAnotherHistory means that the log does not show that it continues the tree of an audit before.
var errAnotherHistory = errors.New("the log does not continue the tree of the last audit, of which not every entry is remembered: the next audit reads all again")

// search looks for digests to the end of the log's tree. What is remembered counts only once the
// leaves have shown that this tree continues the one that it is of: a log may have rewritten its
// history since, and a state may be another one. In that case again is errAnotherHistory if there were
// entries that are only counted.
func (l *Ledger) search(ctx context.Context, log *Log, m *memory, wanted []anchor.Digest) (again, err error) {
	tree := log.Checkpoint.Tree
	if s := m.resume(log.Checkpoint.Origin, wanted, tree.N); s != nil {
		err := walk(ctx, log, s, tree)
		if err == nil {
			return nil, m.learn(s, wanted)
		}
		if !errors.Is(err, errOtherTree) {
			return nil, err
		}
	}
	s := anchor.NewSearch(log.Checkpoint.Origin, wanted)
	if edge, ok := m.edge(); m.Dropped > 0 {
		err := errOtherTree
		if ok && edge.Tree().N <= tree.N {
			err = walk(ctx, log, s, edge.Tree())
		}
		if errors.Is(err, errOtherTree) {
			m.readAgain()
			again, s = errAnotherHistory, anchor.NewSearch(log.Checkpoint.Origin, wanted)
		} else if err != nil {
			return nil, err
		}
	}
	if err := walk(ctx, log, s, tree); err != nil {
		return nil, err
	}
	clear(m.fits)
	return again, m.learn(s, wanted)
}

// walk appends the leaves that a search lacks up to a tree.
func walk(ctx context.Context, log *Log, s *anchor.Search, tree proofs.Tree) error {
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
			log.Progress(at, log.Checkpoint.Tree.N)
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
