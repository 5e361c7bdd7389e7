// Package witnesstest has what tests of witnesses and of their clients need: a
// log that can fork, a Store in memory, and the tests every Store must pass.
package witnesstest

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// Log is a log in memory, with a key. It is not safe for concurrent use, but
// the values it returns are.
type Log struct {
	t      testing.TB
	Signer *proofs.Signer
	hashes []tlog.Hash // as tlog.StoredHashes orders them
	size   int64
}

// NewLog returns an empty log with a fresh key.
func NewLog(t testing.TB, origin string) *Log {
	t.Helper()
	return &Log{t: t, Signer: NewSigner(t, origin, proofs.Ed25519)}
}

// NewSigner returns a fresh key.
func NewSigner(t testing.TB, name string, alg proofs.Algorithm) *proofs.Signer {
	t.Helper()
	s, err := proofs.GenerateSigner(nil, name, alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Key returns the log's public key.
func (l *Log) Key() proofs.Key { return l.Signer.Key() }

// Size returns the number of entries.
func (l *Log) Size() int64 { return l.size }

// Fork returns a log with the same key and the same entries so far, to which
// others can be appended. An honest log never does this.
func (l *Log) Fork() *Log {
	return &Log{t: l.t, Signer: l.Signer, hashes: slices.Clone(l.hashes), size: l.size}
}

// Grow appends n entries. Two forks grow apart when their branches differ.
func (l *Log) Grow(n int64, branch string) {
	l.t.Helper()
	for range n {
		stored, err := tlog.StoredHashes(l.size, []byte(fmt.Sprintf("%s %d", branch, l.size)), tlog.HashReaderFunc(l.read))
		if err != nil {
			l.t.Fatal(err)
		}
		l.hashes = append(l.hashes, stored...)
		l.size++
	}
}

func (l *Log) read(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(l.hashes)) {
			return nil, fmt.Errorf("no hash %d", x)
		}
		found[i] = l.hashes[x]
	}
	return found, nil
}

// Checkpoint returns the checkpoint at the present size.
func (l *Log) Checkpoint() proofs.Checkpoint {
	l.t.Helper()
	cp := proofs.Checkpoint{Origin: l.Key().Name(), Tree: proofs.EmptyTree}
	if l.size > 0 {
		h, err := tlog.TreeHash(l.size, tlog.HashReaderFunc(l.read))
		if err != nil {
			l.t.Fatal(err)
		}
		cp.Tree = proofs.Tree{N: l.size, Hash: h}
	}
	return cp
}

// Sign returns the checkpoint as a note signed by the log.
func (l *Log) Sign(cp proofs.Checkpoint) []byte {
	l.t.Helper()
	return SignText(l.t, cp.String(), l.Signer)
}

// SignText returns a note signed by the given signers.
func SignText(t testing.TB, text string, signers ...*proofs.Signer) []byte {
	t.Helper()
	note := proofs.Note{Text: text}
	for _, s := range signers {
		sig, err := s.Sign(text, 0)
		if err != nil {
			t.Fatal(err)
		}
		note.Signatures = append(note.Signatures, sig)
	}
	return note.Marshal()
}

// Proof returns the consistency proof from an older size.
func (l *Log) Proof(oldSize int64) ([]proofs.Hash, error) {
	if oldSize == 0 || oldSize == l.size {
		return nil, nil
	}
	return tlog.ProveTree(l.size, oldSize, tlog.HashReaderFunc(l.read))
}

// Tile returns the first tile of hashes, of a log of up to 256 entries.
func (l *Log) Tile() []byte {
	l.t.Helper()
	var data []byte
	for i := range min(l.size, 256) {
		h := l.hashes[tlog.StoredHashIndex(0, i)]
		data = append(data, h[:]...)
	}
	return data
}

// Request returns the add-checkpoint call from an older size to the present.
func (l *Log) Request(oldSize int64) client.Request {
	l.t.Helper()
	proof, err := l.Proof(oldSize)
	if err != nil {
		l.t.Fatal(err)
	}
	return client.Request{OldSize: oldSize, Proof: proof, Checkpoint: l.Sign(l.Checkpoint())}
}
