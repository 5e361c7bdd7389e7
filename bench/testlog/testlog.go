// Package testlog is a log with its witnesses in memory, for tests of what reads
// proofs: [New] makes one, [Log.Add] adds an entry, [Log.Proof] proves it. It promises
// nothing that a log promises.
package testlog

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/proofs"
)

// Log is a log with its witnesses.
type Log struct {
	t         testing.TB
	Key       *proofs.Signer
	Witnesses []*proofs.Signer
	Quorum    string // the number of witnesses a checkpoint needs
	size      int64
	hashes    []tlog.Hash
}

// New returns an empty log with so many witnesses, of which a checkpoint needs quorum.
func New(t testing.TB, origin string, witnesses int, quorum string) *Log {
	l := &Log{t: t, Key: NewSigner(t, origin, proofs.Ed25519), Quorum: quorum}
	for i := range witnesses {
		l.Witnesses = append(l.Witnesses, NewSigner(t, "witness.example/w"+string(rune('1'+i)), proofs.CosignatureV1))
	}
	return l
}

// NewSigner returns a key that nobody else has.
func NewSigner(t testing.TB, name string, alg proofs.Algorithm) *proofs.Signer {
	t.Helper()
	s, err := proofs.GenerateSigner(rand.Reader, name, alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Clone returns a log with the same keys and entries, which goes its own way.
func (l *Log) Clone(t testing.TB) *Log {
	c := *l
	c.t, c.hashes = t, slices.Clone(l.hashes)
	return &c
}

// PolicyText is the text of the trust policy of the log and all its witnesses.
func (l *Log) PolicyText() string {
	var b strings.Builder
	b.WriteString("log " + l.Key.Key().String() + "\n")
	if len(l.Witnesses) == 0 {
		b.WriteString("quorum none\n")
	} else {

		names := ""
		for _, w := range l.Witnesses {
			short := w.Key().Name()[len("witness.example/"):]
			names += " " + short
			b.WriteString("witness " + short + " " + w.Key().String() + "\n")
		}
		b.WriteString("group all-of-them " + l.Quorum + names + "\nquorum all-of-them\n")
	}
	return b.String()
}

// Policy is the same, parsed.
func (l *Log) Policy() *proofs.Policy {
	l.t.Helper()
	p, err := proofs.ParsePolicy([]byte(l.PolicyText()))
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// ReadHashes implements tlog.HashReader.
func (l *Log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = l.hashes[index]
	}
	return hashes, nil
}

// Add adds an entry and returns its index.
func (l *Log) Add(entry []byte) int64 {
	l.t.Helper()
	hashes, err := tlog.StoredHashesForRecordHash(l.size, proofs.LeafHash(entry), l)
	if err != nil {
		l.t.Fatal(err)
	}
	l.hashes = append(l.hashes, hashes...)
	l.size++
	return l.size - 1
}

// Proof returns a proof of the entry at index, under the present tree, which
// witness i cosigns at times[i]; a negative time stands for no cosignature.
func (l *Log) Proof(entry []byte, index int64, times ...int64) []byte {
	l.t.Helper()
	root, err := tlog.TreeHash(l.size, l)
	if err != nil {
		l.t.Fatal(err)
	}
	path, err := tlog.ProveRecord(l.size, index, l)
	if err != nil {
		l.t.Fatal(err)
	}
	c := proofs.Checkpoint{Origin: l.Key.Key().Name(), Tree: proofs.Tree{N: l.size, Hash: root}}
	note := proofs.Note{Text: c.String()}
	sign := func(s *proofs.Signer, unix int64) {
		sig, err := s.Sign(note.Text, unix)
		if err != nil {
			l.t.Fatal(err)
		}
		note.Signatures = append(note.Signatures, sig)
	}
	sign(l.Key, 0)
	for i, unix := range times {
		if unix >= 0 {
			sign(l.Witnesses[i], unix)
		}
	}
	return proofs.Proof{Extra: entry, Index: index, Hashes: path, Checkpoint: note.Marshal()}.Marshal()
}
