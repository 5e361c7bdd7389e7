package main

import (
	"errors"
	"fmt"
	"sync"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// record is what the harness has seen of a log from outside. It forgets nothing.
type record struct {
	mu        sync.Mutex
	acked     map[int64]release      // by index
	index     map[verify.Claim]int64 // of what was acknowledged
	signed    map[proofs.Tree]bool   // signed by the log and shown to a witness
	published map[proofs.Tree]bool   // with a quorum, served or in a sidecar
	newest    int64                  // size last served
	answers   int64                  // acknowledgements, repeated ones too
	problems  []error
}

func newRecord() *record {
	return &record{
		acked: map[int64]release{}, index: map[verify.Claim]int64{},
		signed: map[proofs.Tree]bool{}, published: map[proofs.Tree]bool{},
	}
}

// maxProblems are kept; the first ones say what happened.
const maxProblems = 10

func (r *record) problem(format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, fmt.Errorf(format, args...))
	}
}

// acknowledge takes down an acknowledgement whose sidecar verified.
func (r *record) acknowledge(rel release, l *verify.Logged) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers++
	r.published[l.Checkpoint.Tree] = true
	if before, ok := r.acked[l.Index]; ok && before.claim != rel.claim {
		r.problem("index %d was acknowledged for %v and for %v", l.Index, before.claim, rel.claim)
	}
	if before, ok := r.index[rel.claim]; ok && before != l.Index {
		r.problem("%v was acknowledged at index %d and at %d", rel.claim, before, l.Index)
	}
	if l.Leaf != rel.leaf {
		r.problem("the leaf acknowledged at index %d is %+v, not %+v", l.Index, l.Leaf, rel.leaf)
	}
	r.acked[l.Index], r.index[rel.claim] = rel, l.Index
}

// serve takes down a checkpoint that the log serves.
func (r *record) serve(t proofs.Tree) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published[t] = true
	if t.N < r.newest {
		r.problem("a checkpoint of size %d was served after one of size %d", t.N, r.newest)
	}
	r.newest = t.N
}

// allowOlder says that the next checkpoint served may be older than the last.
func (r *record) allowOlder() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest = 0
}

func (r *record) sign(t proofs.Tree) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signed[t] = true
}

func (r *record) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem(format, args...)
}

func (r *record) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errLocked()
}

func (r *record) errLocked() error { return errors.Join(r.problems...) }

// count returns how many acknowledgements there were.
func (r *record) count() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answers
}

// largest returns the size of the largest tree that was signed.
func (r *record) largest() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var n int64
	for t := range r.signed {
		n = max(n, t.N)
	}
	return n
}

// history is what a log has: its entries, and the tree of each size.
type history struct {
	entries [][]byte
	trees   []proofs.Tree // by size
}

func newHistory() *history {
	return &history{trees: []proofs.Tree{proofs.EmptyTree}}
}

// grow appends entries.
func (h *history) grow(edge *proofs.Edge, entries ...[]byte) error {
	for _, e := range entries {
		if err := edge.Append(proofs.LeafHash(e)); err != nil {
			return err
		}
		h.entries = append(h.entries, e)
		h.trees = append(h.trees, edge.Tree())
	}
	return nil
}

// size is that of the whole tree.
func (h *history) size() int64 { return int64(len(h.entries)) }

// has reports whether a tree is a prefix.
func (h *history) has(t proofs.Tree) bool { return t.N <= h.size() && h.trees[t.N] == t }

// compare holds the record against the history of a log.
func (r *record) compare(h *history) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := append([]error{}, r.problems...)
	add := func(format string, args ...any) {
		if len(errs) < maxProblems {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	at := make(map[string]int, h.size())
	for i, e := range h.entries {
		if before, ok := at[string(e)]; ok {
			add("entries %d and %d are the same leaf", before, i)
		}
		at[string(e)] = i
	}
	for i, rel := range r.acked {
		if i >= h.size() {
			add("LOST: index %d was acknowledged, the log has %d entries", i, h.size())
		} else if string(h.entries[i]) != string(rel.leaf.Marshal()) {
			add("LOST: the leaf acknowledged at index %d is not there", i)
		}
	}
	for what, trees := range map[string]map[proofs.Tree]bool{"signed": r.signed, "published": r.published} {
		for t := range trees {
			if !h.has(t) {
				add("FORK: a checkpoint of size %d, root %v, was %s, and the log of size %d is not its continuation", t.N, t.Hash, what, h.size())
			}
		}
	}
	return errors.Join(errs...)
}
