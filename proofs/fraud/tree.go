package fraud

import (
	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/proofs"
)

// ranges computes with the perfect subtrees of RFC 6962.
var ranges = compact.RangeFactory{Hash: func(l, r []byte) []byte {
	h := tlog.NodeHash(proofs.Hash(l), proofs.Hash(r))
	return h[:]
}}

// rootOf returns the root of the tree of that size that consists of these subtrees.
func rootOf(size int64, subtrees []proofs.Hash) (proofs.Hash, error) {
	r, err := ranges.NewRange(0, uint64(size), rawHashes(subtrees))
	if err != nil {
		return proofs.Hash{}, err
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		return proofs.Hash{}, err
	}
	return proofs.Hash(root), nil
}

func rawHashes(hashes []proofs.Hash) [][]byte {
	raw := make([][]byte, len(hashes))
	for i := range hashes {
		raw[i] = hashes[i][:]
	}
	return raw
}

// parseSigned reads a signed checkpoint. It verifies no signature.
func parseSigned(signed []byte) (proofs.Note, proofs.Checkpoint, error) {
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return note, proofs.Checkpoint{}, err
	}
	c, err := proofs.ParseCheckpoint(note.Text)
	return note, c, err
}
