package proofs

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/proofs/internal/strict"
)

var ranges = compact.RangeFactory{Hash: func(l, r []byte) []byte {
	h := tlog.NodeHash(Hash(l), Hash(r))
	return h[:]
}}

// An Edge is the right edge of a growing tree: enough to append leaves and to
// know the root after each. The zero Edge is the empty tree. An Edge must not
// be copied (see Clone), nor used by two goroutines at once.
type Edge struct {
	r *compact.Range // nil is empty
}

// Append adds the hash of the next leaf. It fails only for a tree that cannot
// grow, and then changes nothing.
func (e *Edge) Append(leaf Hash) error { return e.append(leaf, nil) }

// append tells visit of the leaf and of every node that it completes.
func (e *Edge) append(leaf Hash, visit compact.VisitFn) error {
	if e.r == nil {
		e.r = ranges.NewEmptyRange(0)
	}
	if e.r.End() == math.MaxInt64 {
		return fmt.Errorf("tree of size %d is full", e.r.End())
	}
	return e.r.Append(slices.Clone(leaf[:]), visit)
}

func (e *Edge) size() int64 {
	if e.r == nil {
		return 0
	}
	return int64(e.r.End())
}

// Tree returns the size and the root.
func (e *Edge) Tree() Tree {
	if e.size() == 0 {
		return EmptyTree
	}
	root, err := e.r.GetRootHash(nil)
	if err != nil {
		panic("proofs: edge does not begin at 0: " + err.Error())
	}
	return Tree{N: e.size(), Hash: Hash(root)}
}

// Clone returns a copy that grows on its own.
func (e *Edge) Clone() *Edge {
	if e.r == nil {
		return &Edge{}
	}
	r, err := ranges.NewRange(0, e.r.End(), slices.Clone(e.r.Hashes()))
	if err != nil {
		panic("proofs: edge without all its hashes: " + err.Error())
	}
	return &Edge{r: r}
}

// MarshalText prints the edge: a line with the size and a line with the base64
// of each hash, largest subtree first.
func (e *Edge) MarshalText() ([]byte, error) {
	if e.r == nil {
		return []byte("0\n"), nil
	}
	text := strconv.AppendUint(nil, e.r.End(), 10)
	text = append(text, '\n')
	for _, h := range e.r.Hashes() {
		text = append(text, strict.EncodeBase64(h)+"\n"...)
	}
	return text, nil
}

// UnmarshalText reads what MarshalText prints, and errors name the line. Only
// the form is checked: whether the edge is the right one shows in the root that
// Tree gives.
func (e *Edge) UnmarshalText(text []byte) error {
	r, err := parseEdge(string(text))
	if err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	e.r = r
	return nil
}

func parseEdge(text string) (*compact.Range, error) {
	if err := checkEnd(text, 1); err != nil {
		return nil, err
	}
	first, rest, _ := strings.Cut(text, "\n")
	n, err := ParseDecimal(first)
	if err != nil {
		return nil, fmt.Errorf("line 1: size: %w", err)
	}
	lines := strings.Count(rest, "\n")
	if want := bits.OnesCount64(uint64(n)); lines != want {
		return nil, fmt.Errorf("ends at line %d: %d hashes for size %d, want %d", lines+1, lines, n, want)
	}
	hashes := make([][]byte, lines)
	for i := range hashes {
		line, after, _ := strings.Cut(rest, "\n")
		h, err := ParseHash(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+2, err)
		}
		hashes[i], rest = h[:], after
	}
	return ranges.NewRange(0, uint64(n), hashes)
}
