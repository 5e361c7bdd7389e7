package fraud

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/proofs"
)

// testTime is what test witnesses put into cosignatures.
const testTime = 1_700_000_000

// newSigner makes the same key for the same name and type every time.
func newSigner(t testing.TB, name string, alg proofs.Algorithm) *proofs.Signer {
	t.Helper()
	seed := sha256.Sum256([]byte(name + alg.String()))
	s, err := proofs.GenerateSigner(strings.NewReader(string(seed[:])), name, alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t testing.TB, s *proofs.Signer, text string, unix int64) proofs.Signature {
	t.Helper()
	sig, err := s.Sign(text, unix)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func signNote(t testing.TB, text string, signers ...*proofs.Signer) []byte {
	t.Helper()
	n := proofs.Note{Text: text}
	for i, s := range signers {
		n.Signatures = append(n.Signatures, sign(t, s, text, testTime+int64(i)))
	}
	return n.Marshal()
}

func testLeaves(n int) []proofs.Hash { return hashesOf(testEntries(n)) }

// rootOfLeaves is the slow, obvious tree: RFC 6962, section 2.1.
func rootOfLeaves(d []proofs.Hash) proofs.Hash {
	switch len(d) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return d[0]
	}
	k := 1
	for 2*k < len(d) {
		k *= 2
	}
	return tlog.NodeHash(rootOfLeaves(d[:k]), rootOfLeaves(d[k:]))
}

func refTree(d []proofs.Hash) proofs.Tree {
	return proofs.Tree{N: int64(len(d)), Hash: rootOfLeaves(d)}
}

// A leafTiles serves the tile of a log of at most 255 entries, and insists on being asked
// for that.
type leafTiles struct {
	t      testing.TB
	leaves []proofs.Hash
	spoil  func(data []byte)
}

func (l *leafTiles) ReadTile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	if level != 0 || index != 0 || width != len(l.leaves) {
		l.t.Errorf("asked for %s of a log of %d entries", proofs.TileID{Level: level, Index: index, Width: width}.Path(), len(l.leaves))
		return nil, errors.New("no such tile")
	}
	var data []byte
	for _, h := range l.leaves {
		data = append(data, h[:]...)
	}
	if l.spoil != nil {
		l.spoil(data)
	}
	return data, nil
}

func testEntries(n int) [][]byte {
	entries := make([][]byte, n)
	for i := range entries {
		entries[i] = fmt.Appendf(nil, "entry %d", i)
	}
	return entries
}

func hashesOf(entries [][]byte) []proofs.Hash {
	hashes := make([]proofs.Hash, len(entries))
	for i, e := range entries {
		hashes[i] = proofs.LeafHash(e)
	}
	return hashes
}
