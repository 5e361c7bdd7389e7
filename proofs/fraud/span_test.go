package fraud

import (
	"errors"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

func TestSpans(t *testing.T) {
	for n := 1; n <= 18; n++ {
		entries := testEntries(n)
		tiles := &leafTiles{t: t, leaves: hashesOf(entries)}
		tree := refTree(tiles.leaves)
		for first := range n {
			for end := first + 1; end <= n; end++ {
				s, err := NewSpan(t.Context(), tree, int64(first), entries[first:end], tiles)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Verify(tree); err != nil {
					t.Fatalf("%d to %d of %d: %v", first, end, n, err)
				}
				// At another place, with another entry, of another tree, with other hashes.
				wrong := []Span{{s.First + 1, s.Entries, s.Hashes}, {s.First - 1, s.Entries, s.Hashes}, {s.First, s.Entries[1:], s.Hashes},
					{s.First, append([][]byte{[]byte("x")}, s.Entries[1:]...), s.Hashes},
					{s.First, s.Entries, append([]proofs.Hash{{}}, s.Hashes...)}}
				for i := range s.Hashes {
					hashes := append([]proofs.Hash(nil), s.Hashes...)
					hashes[i][3] ^= 1
					wrong = append(wrong, Span{s.First, s.Entries, hashes}, Span{s.First, s.Entries, s.Hashes[:i]})
				}
				for _, w := range wrong {
					if err := w.Verify(tree); err == nil {
						t.Fatalf("%d to %d of %d: took %+v", first, end, n, w)
					}
				}
				if err := s.Verify(proofs.Tree{N: tree.N}); !errors.Is(err, proofs.ErrInclusion) {
					t.Fatalf("in another tree: %v", err)
				}
			}
		}
	}
	largest := proofs.Tree{N: 1<<63 - 1}
	for _, s := range []Span{{1 << 62, testEntries(3), nil}, {1<<63 - 2, testEntries(3), nil}, {0, nil, nil}, {-1, testEntries(1), nil}} {
		if err := s.Verify(largest); err == nil {
			t.Errorf("took %+v", s)
		}
		if _, err := NewSpan(t.Context(), largest, s.First, s.Entries, nil); err == nil {
			t.Errorf("made %+v", s)
		}
	}
}
