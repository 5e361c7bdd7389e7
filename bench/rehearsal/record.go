// Package rehearsal is what rehearsals of failures have in common: a load of
// releases, taps before the witnesses, a record of all that was seen of a log from
// outside, and its comparison with what the log has.
package rehearsal

import (
	"errors"
	"fmt"
	"sync"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// Record is what the harness has seen of a log from outside. It forgets nothing.
type Record struct {
	sync.Mutex                        // of the maps, which may be read with it held
	Acked      map[int64]Release      // by index
	Index      map[verify.Claim]int64 // of what was acknowledged
	Signed     map[proofs.Tree]bool   // signed by the log and shown to a witness
	Published  map[proofs.Tree]bool   // with a quorum, served or in a sidecar
	newest     map[string]int64       // size last served, by whom
	answers    int64                  // acknowledgements, repeated ones too
	problems   []error
}

// NewRecord returns an empty record.
func NewRecord() *Record {
	return &Record{
		Acked: map[int64]Release{}, Index: map[verify.Claim]int64{},
		Signed: map[proofs.Tree]bool{}, Published: map[proofs.Tree]bool{}, newest: map[string]int64{},
	}
}

// maxProblems are kept; the first ones say what happened.
const maxProblems = 10

func (r *Record) problem(format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, fmt.Errorf(format, args...))
	}
}

// Acknowledge takes down an acknowledgement whose sidecar verified.
func (r *Record) Acknowledge(rel Release, l *verify.Logged) {
	r.Lock()
	defer r.Unlock()
	r.answers++
	r.Published[l.Checkpoint.Tree] = true
	if before, ok := r.Acked[l.Index]; ok && before.Claim != rel.Claim {
		r.problem("index %d was acknowledged for %v and for %v", l.Index, before.Claim, rel.Claim)
	}
	if before, ok := r.Index[rel.Claim]; ok && before != l.Index {
		r.problem("%v was acknowledged at index %d and at %d", rel.Claim, before, l.Index)
	}
	if l.Leaf != rel.Leaf {
		r.problem("the leaf acknowledged at index %d is %+v, not %+v", l.Index, l.Leaf, rel.Leaf)
	}
	r.Acked[l.Index], r.Index[rel.Claim] = rel, l.Index
}

// Serve takes down a checkpoint that a server of the log serves.
func (r *Record) Serve(server string, t proofs.Tree) {
	r.Lock()
	defer r.Unlock()
	r.Published[t] = true
	if newest := r.newest[server]; t.N < newest {
		r.problem("a checkpoint of size %d was served after one of size %d", t.N, newest)
	}
	r.newest[server] = t.N
}

// AllowOlder says that the next checkpoint served may be older than the last.
func (r *Record) AllowOlder() {
	r.Lock()
	defer r.Unlock()
	clear(r.newest)
}

// Sign takes down a checkpoint that the log signed.
func (r *Record) Sign(t proofs.Tree) {
	r.Lock()
	defer r.Unlock()
	r.Signed[t] = true
}

// Fail takes down something else that must not be.
func (r *Record) Fail(format string, args ...any) {
	r.Lock()
	defer r.Unlock()
	r.problem(format, args...)
}

// Err returns what was wrong so far, but for what Compare finds.
func (r *Record) Err() error {
	r.Lock()
	defer r.Unlock()
	return errors.Join(r.problems...)
}

// Count returns how many acknowledgements there were.
func (r *Record) Count() int64 {
	r.Lock()
	defer r.Unlock()
	return r.answers
}

// Largest returns the size of the largest tree that was signed.
func (r *Record) Largest() int64 {
	r.Lock()
	defer r.Unlock()
	var n int64
	for t := range r.Signed {
		n = max(n, t.N)
	}
	return n
}

// History is what a log has: its entries, and the tree of each size.
type History struct {
	Entries [][]byte
	Trees   []proofs.Tree // by size
}

// NewHistory returns that of an empty log.
func NewHistory() *History {
	return &History{Trees: []proofs.Tree{proofs.EmptyTree}}
}

// Grow appends entries.
func (h *History) Grow(edge *proofs.Edge, entries ...[]byte) error {
	for _, e := range entries {
		if err := edge.Append(proofs.LeafHash(e)); err != nil {
			return err
		}
		h.Entries = append(h.Entries, e)
		h.Trees = append(h.Trees, edge.Tree())
	}
	return nil
}

// Size is that of the whole tree.
func (h *History) Size() int64 { return int64(len(h.Entries)) }

// Has reports whether a tree is a prefix.
func (h *History) Has(t proofs.Tree) bool { return t.N <= h.Size() && h.Trees[t.N] == t }

// Compare holds the record against the history of a log.
func (r *Record) Compare(h *History) error {
	r.Lock()
	defer r.Unlock()
	errs := append([]error{}, r.problems...)
	add := func(format string, args ...any) {
		if len(errs) < maxProblems {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	at := make(map[string]int, h.Size())
	for i, e := range h.Entries {
		if before, ok := at[string(e)]; ok {
			add("entries %d and %d are the same leaf", before, i)
		}
		at[string(e)] = i
	}
	for i, rel := range r.Acked {
		if i >= h.Size() {
			add("LOST: index %d was acknowledged, the log has %d entries", i, h.Size())
		} else if string(h.Entries[i]) != string(rel.Leaf.Marshal()) {
			add("LOST: the leaf acknowledged at index %d is not there", i)
		}
	}
	for what, trees := range map[string]map[proofs.Tree]bool{"signed": r.Signed, "published": r.Published} {
		for t := range trees {
			if !h.Has(t) {
				add("FORK: a checkpoint of size %d, root %v, was %s, and the log of size %d is not its continuation", t.N, t.Hash, what, h.Size())
			}
		}
	}
	return errors.Join(errs...)
}
