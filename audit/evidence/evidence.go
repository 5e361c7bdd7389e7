package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// Kind is the kind of an accusation.
type Kind string

// The kinds of evidence.
const (
	Fork           Kind = "fork"            // two checkpoints contradict each other; a fraud.Conflict
	Rollback       Kind = "rollback"        // a key signed a smaller tree after a larger one
	BadLeaf        Kind = "bad-leaf"        // an entry is not a leaf
	BehindEnd      Kind = "behind-end"      // a log continues behind its end
	Duplicate      Kind = "duplicate"       // a log has one statement twice
	FalseAdmission Kind = "false-admission" // the rules do not give an entry
	Equivocation   Kind = "equivocation"    // a repository's keys signed two payloads of one version
)

// ErrNoProof means that a file of evidence does not prove its point.
var ErrNoProof = errors.New("it does not prove its point")

// Statement is what evidence proves.
type Statement struct {
	Kind     Kind     `json:"kind"`
	Against  []string `json:"against"`  // as fraud.ConflictVerdict names parties; of an equivocation, "repository" and its id
	Sentence string   `json:"sentence"` // what is proved, and against whom

	Log        string     `json:"log,omitempty"`         // the origin of the checkpoints
	Unchecked  string     `json:"unchecked,omitempty"`   // the origin of a log whose key was not at hand: what the file says of it is not proved
	Size       int64      `json:"size,omitempty"`        // entries of the signed tree, or of the larger one
	Entries    []int64    `json:"entries,omitempty"`     // that the statement is about
	Repository tuf.Digest `json:"repository,omitzero"`   // zero: it is not about one
	Role       string     `json:"role,omitempty"`        // of the entry
	Version    int64      `json:"version,omitempty"`     // of the entry
	Payloads   []string   `json:"payloads,omitempty"`    // of an equivocation, SHA-256 in hex
	SignedBoth []string   `json:"signed_both,omitempty"` // of an equivocation, ids of keys
}

// File is evidence that was found, to be kept as a file.
type File struct {
	Name     string `json:"name"`
	Sentence string `json:"sentence"` // of the Statement
	Bytes    []byte `json:"-"`        // as Check reads them
}

// Unproved means that the file is well formed and signed, and that what it says depends on
// entries that it does not hold. It accuses nobody until these have been replayed.
type Unproved struct {
	Sentence string
	From, To int64 // the entries to replay, both included
}

func (u *Unproved) Error() string {
	return fmt.Sprintf("%s: this file alone does not prove that it should not be there, replay entries %d to %d", u.Sentence, u.From, u.To)
}

// Check verifies evidence with public keys of logs and witnesses. The error is an *Unproved
// if entries are missing that could excuse the accused, and else says why the file proves
// nothing against any of the keys. An equivocation is proved by the keys of its repository,
// which the file holds; where it names entries of a log, they are checked, too, if a key of
// the log is there.
func Check(ctx context.Context, b []byte, keys ...proofs.Key) (Statement, error) {
	if !bytes.HasPrefix(b, []byte("tuflog accusation v")) {
		return checkConflict(b, keys)
	}
	a, err := fraud.ParseAccusation(b)
	if err != nil {
		return Statement{}, err
	}
	s, err := check(ctx, a, keys)
	if err != nil {
		return Statement{}, fmt.Errorf("%s: %w", a.Kind, err)
	}
	return s, nil
}

func checkConflict(b []byte, keys []proofs.Key) (Statement, error) {
	c, err := fraud.ParseConflict(b)
	if err != nil {
		return Statement{}, err
	}
	v, err := c.Check(keys...)
	if err != nil {
		return Statement{}, err
	}
	return Statement{
		Kind: Fork, Against: v.By, Log: v.Origin, Size: v.Newer.N,
		Sentence: fmt.Sprintf("%v: size %d with root %v, and size %d with root %v", v, v.Older.N, v.Older.Hash, v.Newer.N, v.Newer.Hash),
	}, nil
}

func check(ctx context.Context, a fraud.Accusation, keys []proofs.Key) (Statement, error) {
	switch Kind(a.Kind) {
	case Rollback:
		return checkRollback(a, keys)
	case Equivocation:
		return checkEquivocation(a, keys)
	}
	r, err := open(a, keys)
	if err != nil {
		return Statement{}, err
	}
	s, err := r.check(ctx)
	if err == nil {
		err = r.allUsed()
	}
	return s, err
}

func checkRollback(a fraud.Accusation, keys []proofs.Key) (Statement, error) {
	if a.Subject != "" || len(a.Notes) != 2 || len(a.Files)+len(a.Spans) > 0 {
		return Statement{}, fmt.Errorf("want two checkpoints and nothing else: %w", ErrNoProof)
	}
	v, err := fraud.Rollback{Larger: a.Notes[0], Smaller: a.Notes[1]}.Check(keys...)
	if err != nil {
		return Statement{}, err
	}
	s := Statement{Kind: Rollback, Log: v.Origin, Size: v.Larger.N, Sentence: v.String()}
	for _, p := range v.By {
		s.Against = append(s.Against, p.Name)
	}
	return s, nil
}

// reader is an accusation against a log, with all that it holds by its names.
type reader struct {
	kind    Kind
	index   int64 // the accused entry
	origin  string
	tree    proofs.Tree
	spans   []fraud.Span
	entries map[int64][]byte

	files map[tuf.Digest][]byte
	read  map[encoded]parsed
	used  []tuf.Digest // in the order of their first use
	// fetch gets a file that is not in files, while an accusation is made; nil: there
	// are no others.
	fetch func(ctx context.Context, sum tuf.Digest) ([]byte, error)
}

type parsed struct {
	m   *tuf.Metadata
	err error
}

// open verifies the checkpoint of an accusation against a log and the proofs of its
// entries.
func open(a fraud.Accusation, keys []proofs.Key) (*reader, error) {
	if len(a.Notes) != 1 {
		return nil, fmt.Errorf("%d checkpoints, want one: %w", len(a.Notes), ErrNoProof)
	}
	keys = slices.DeleteFunc(slices.Clone(keys), func(k proofs.Key) bool { return !k.Algorithm().ForLogs() })
	c, _, err := proofs.OpenCheckpoint(a.Notes[0], keys...)
	if err != nil {
		return nil, err
	}
	r := &reader{
		kind: Kind(a.Kind), origin: c.Origin, tree: c.Tree, spans: a.Spans,
		entries: map[int64][]byte{}, files: map[tuf.Digest][]byte{}, read: map[encoded]parsed{},
	}
	for _, s := range a.Spans {
		if err := s.Verify(c.Tree); err != nil {
			return nil, err
		}
		for i, e := range s.Entries {
			r.entries[s.First+int64(i)] = e
		}
	}
	for _, f := range a.Files {
		sum := tuf.Sum(f)
		if r.files[sum] != nil {
			return nil, fmt.Errorf("it holds file %v twice: %w", sum, ErrNoProof)
		}
		r.files[sum] = f
	}
	if Kind(a.Kind) == Equivocation {
		return r, nil
	}
	if r.index, err = proofs.ParseDecimal(a.Subject); err != nil {
		return nil, fmt.Errorf("the accused entry: %w", err)
	}
	if _, ok := r.entries[r.index]; !ok {
		return nil, fmt.Errorf("it does not hold entry %d, which it accuses: %w", r.index, ErrNoProof)
	}
	return r, nil
}

// allUsed refuses files that the proof does not need: they would seem to be proved.
func (r *reader) allUsed() error {
	for sum := range r.files {
		if !slices.Contains(r.used, sum) {
			return fmt.Errorf("it holds file %v, which proves nothing: %w", sum, ErrNoProof)
		}
	}
	return nil
}

// Blob implements admit.Blobs over the files of the accusation.
func (r *reader) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	b, ok := r.files[sum]
	if !ok && r.fetch != nil {
		var err error
		if b, err = r.fetch(ctx, sum); err != nil {
			return nil, err
		}
		if ok = tuf.Sum(b) == sum; ok {
			r.files[sum] = b
		}
	}
	if !ok {
		return nil, fmt.Errorf("it does not hold file %v: %w", sum, ErrNoProof)
	}
	if !slices.Contains(r.used, sum) {
		r.used = append(r.used, sum)
	}
	return b, nil
}

// encoded is a file, read in an encoding that a leaf says it has.
type encoded struct {
	sum      tuf.Digest
	encoding tuf.Encoding
}

// file parses a file. ok means that it is there, whether or not it parses.
func (r *reader) file(ctx context.Context, sum tuf.Digest, encoding tuf.Encoding) (p parsed, ok bool) {
	key := encoded{sum, encoding}
	if p, ok := r.read[key]; ok {
		return p, true
	}
	b, err := r.Blob(ctx, sum)
	if err != nil {
		return parsed{}, false
	}
	p.m, p.err = codec.Parse(encoding, b)
	r.read[key] = p
	return p, true
}
