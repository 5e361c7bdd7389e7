package anchor

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"

	"github.com/tuflog/tuflog/proofs"
)

// Digest is the SHA-256 of the text of a note.
type Digest = [sha256.Size]byte

// Search looks for digests among the note texts of a growing tree: those of its checkpoints without
// extension lines, of every size. It is not for several goroutines.
type Search struct {
	origin string
	wanted map[Digest]bool
	sizes  map[Digest]int64
	edge   proofs.Edge
	text   []byte
}

// NewSearch begins a search at the empty tree of a log. Appending n leaves takes time
// proportional to n log n, whatever is wanted.
func NewSearch(origin string, wanted []Digest) *Search {
	s := &Search{origin: origin, wanted: make(map[Digest]bool, len(wanted)), sizes: map[Digest]int64{}}
	for _, d := range wanted {
		s.wanted[d] = true
	}
	s.look(proofs.EmptyTree)
	return s
}

// Append adds the hash of the next leaf, and looks at the tree that ends with it. It fails only
// for a tree that cannot grow.
func (s *Search) Append(leaf proofs.Hash) error {
	if err := s.edge.Append(leaf); err != nil {
		return err
	}
	s.look(s.edge.Tree())
	return nil
}

func (s *Search) look(tree proofs.Tree) {
	s.text = append(append(s.text[:0], s.origin...), '\n')
	s.text = append(strconv.AppendInt(s.text, tree.N, 10), '\n')
	s.text = append(base64.StdEncoding.AppendEncode(s.text, tree.Hash[:]), '\n')
	if d := sha256.Sum256(s.text); s.wanted[d] {
		s.sizes[d] = tree.N
	}
}

// Tree returns the tree of the leaves so far.
func (s *Search) Tree() proofs.Tree { return s.edge.Tree() }

// Size returns the size of the tree whose note text has a digest; false: none so far.
func (s *Search) Size(d Digest) (int64, bool) {
	size, ok := s.sizes[d]
	return size, ok
}

// ResumeSearch continues a search at the edge of a tree of which none of the digests was found.
// The edge is not verified: the root that Tree gives in the end shows whether it was the right
// one.
func ResumeSearch(origin string, wanted []Digest, edge *proofs.Edge) *Search {
	s := NewSearch(origin, wanted)
	s.edge = *edge.Clone()
	return s
}

// Edge returns a copy of the edge of the leaves so far, for ResumeSearch.
func (s *Search) Edge() *proofs.Edge { return s.edge.Clone() }
