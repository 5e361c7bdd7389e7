package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
)

// Verdict is what is said of a checkpoint.
type Verdict string

// The verdicts on a checkpoint.
const (
	Same      Verdict = "same"      // of one history with what the log publishes: proved by its tiles
	Ahead     Verdict = "ahead"     // larger than what the log publishes: it cannot be compared yet
	Fork      Verdict = "fork"      // it contradicts the log, or another checkpoint: evidence
	WentBack  Verdict = "went-back" // a key signed a smaller tree with a later time than a larger one: evidence
	Undecided Verdict = "undecided" // the log does not serve the tiles that tell
	Unsigned  Verdict = "unsigned"  // no log of the policy signed it, or a signature fails
)

// Seen is a checkpoint, and where it comes from.
type Seen struct {
	From string // such as a file's name and a line
	Note []byte
}

// Result is what is said of a checkpoint.
type Result struct {
	From     string          `json:"from"`
	Origin   string          `json:"origin,omitempty"`
	Size     int64           `json:"size"`
	Root     string          `json:"root,omitempty"`   // base64
	Signed   []string        `json:"signed,omitempty"` // names of the policy's keys that signed it
	Verdict  Verdict         `json:"verdict"`
	Sentence string          `json:"sentence"`
	Evidence []evidence.File `json:"evidence,omitempty"`

	Note []byte `json:"-"`
}

// Source reads a log. An audit.Source is one.
type Source interface {
	Checkpoint(ctx context.Context) ([]byte, error)
	Tile(ctx context.Context, level int, index int64, width int) ([]byte, error)
}

// Log is a log that checkpoints are compared with.
type Log struct {
	Policy *proofs.Policy
	Source Source
	// Shows says in sentences whose checkpoint the Source has; empty: "what the log
	// publishes".
	Shows string

	origin string
	tree   proofs.Tree
	signed []byte
	keys   []proofs.Key
	ahead  []known // checkpoints that are larger than the published one
}

// known is a tree that the log signed.
type known struct {
	from string
	tree proofs.Tree
	note []byte
}

// ReadTile implements proofs.TileReader.
func (l *Log) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return l.Source.Tile(ctx, level, index, width)
}

// Compare compares checkpoints with what the log publishes now, which its own signature
// binds, whoever cosigned it, and with each other. The error means that the log does not
// show a checkpoint that a key of the policy signed.
func (l *Log) Compare(ctx context.Context, seen []Seen) ([]Result, error) {
	signed, err := l.Source.Checkpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("the log's checkpoint: %w", err)
	}
	l.keys = l.Policy.Keys()
	c, _, err := proofs.OpenCheckpoint(signed, l.logKeys()...)
	if err != nil {
		return nil, fmt.Errorf("the log's checkpoint: %w", err)
	}
	l.origin, l.tree, l.signed, l.ahead = c.Origin, c.Tree, signed, nil
	var results []Result
	for _, s := range seen {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		results = append(results, l.compare(ctx, s))
	}
	return results, nil
}

// Published returns the tree that the log publishes, once Compare has read it.
func (l *Log) Published() (origin string, tree proofs.Tree) { return l.origin, l.tree }

// logKeys are the keys of the policy's logs, which stand before those of its witnesses.
func (l *Log) logKeys() []proofs.Key { return l.keys[:len(l.Policy.Logs)] }

func (l *Log) shows() string {
	if l.Shows == "" {
		return "what the log publishes"
	}
	return l.Shows
}

func (l *Log) compare(ctx context.Context, s Seen) Result {
	r := Result{From: s.From, Note: s.Note}
	c, note, err := proofs.OpenCheckpoint(s.Note, l.logKeys()...)
	if err != nil {
		r.Verdict, r.Sentence = Unsigned, fmt.Sprintf("it proves nothing: %v", err)
		return r
	}
	r.Origin, r.Size, r.Root = c.Origin, c.Tree.N, c.Tree.Hash.String()
	for _, k := range l.keys {
		if _, err := note.VerifiedBy(k); err == nil && !slices.Contains(r.Signed, k.Name()) {
			r.Signed = append(r.Signed, k.Name())
		}
	}
	if c.Origin != l.origin {
		r.Verdict, r.Sentence = Undecided, fmt.Sprintf("it is of another log of the policy than %s: name that one with --log", l.origin)
		return r
	}
	l.judge(ctx, &r, known{s.From, c.Tree, s.Note})
	l.wentBack(ctx, &r, c.Tree)
	return r
}

// judge compares a tree that the log signed with the published one, and with those ahead
// of it.
func (l *Log) judge(ctx context.Context, r *Result, k known) {
	published := known{l.shows(), l.tree, l.signed}
	forked, err := l.forks(ctx, r, k, published)
	switch {
	case forked:
	case k.tree.N <= l.tree.N && err == nil:
		r.Verdict, r.Sentence = Same, fmt.Sprintf("size %d is of one history with %s, size %d", k.tree.N, l.shows(), l.tree.N)
	case k.tree.N <= l.tree.N:
		r.Verdict, r.Sentence = Undecided, fmt.Sprintf("whether size %d is of one history with size %d, the tiles do not tell: %v", k.tree.N, l.tree.N, err)
	case err == nil:
		r.Verdict, r.Sentence = Ahead, fmt.Sprintf("size %d is ahead of %s, size %d, and continues it", k.tree.N, l.shows(), l.tree.N)
	default:
		r.Verdict, r.Sentence = Ahead, fmt.Sprintf("size %d is ahead of %s, size %d: the log signed it and does not show it, so it cannot be compared yet", k.tree.N, l.shows(), l.tree.N)
	}
	if k.tree.N <= l.tree.N {
		return
	}
	for _, other := range l.ahead {
		// Between two sizes the tiles would have to tell, which the log does not serve.
		if other.tree.N == k.tree.N && other.tree != k.tree {
			_, _ = l.forks(ctx, r, k, other)
		}
	}
	l.ahead = append(l.ahead, k)
}

// forks reports whether two trees contradict each other, and adds the evidence. The error
// means that the tiles do not tell.
func (l *Log) forks(ctx context.Context, r *Result, k, other known) (bool, error) {
	conflict, err := fraud.NewConflict(ctx, k.note, other.note, l)
	if errors.Is(err, fraud.ErrNoConflict) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r.Verdict = Fork
	r.Sentence = fmt.Sprintf("the log signed two histories: size %d with root %v here, and size %d with root %v in %s", k.tree.N, k.tree.Hash, other.tree.N, other.tree.Hash, other.from)
	l.accuse(ctx, r, fmt.Sprintf("fork-%d-%d-%x.conflict", min(k.tree.N, other.tree.N), max(k.tree.N, other.tree.N), k.tree.Hash[:4]), conflict.Marshal())
	return true, nil
}

// wentBack adds evidence against the keys that signed the smaller of two trees with the later
// time.
func (l *Log) wentBack(ctx context.Context, r *Result, tree proofs.Tree) {
	larger, smaller := r.Note, l.signed
	if tree.N < l.tree.N {
		larger, smaller = smaller, larger
	}
	b, err := evidence.RolledBack(ctx, larger, smaller, l.keys...)
	if err != nil {
		return
	}
	name := fmt.Sprintf("rollback-%d-%d-%x.accusation", tree.N, l.tree.N, tree.Hash[:4])
	if l.accuse(ctx, r, name, b); r.Verdict != Fork && len(r.Evidence) > 0 {
		r.Verdict, r.Sentence = WentBack, r.Evidence[len(r.Evidence)-1].Sentence
	}
}

// accuse adds a file of evidence, once.
func (l *Log) accuse(ctx context.Context, r *Result, name string, file []byte) {
	s, err := evidence.Check(ctx, file, l.keys...)
	if err != nil || slices.ContainsFunc(r.Evidence, func(f evidence.File) bool { return bytes.Equal(f.Bytes, file) }) {
		return
	}
	r.Evidence = append(r.Evidence, evidence.File{Name: name, Sentence: s.Sentence, Bytes: file})
}
