package verify_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// fakeLog is a log with its witnesses, in memory.
type fakeLog struct {
	t         testing.TB
	key       *proofs.Signer
	witnesses []*proofs.Signer
	quorum    string // the number of witnesses a checkpoint needs
	size      int64
	hashes    []tlog.Hash
}

func newFakeLog(t testing.TB, origin string, witnesses int, quorum string) *fakeLog {
	l := &fakeLog{t: t, key: newSigner(t, origin, proofs.Ed25519), quorum: quorum}
	for i := range witnesses {
		l.witnesses = append(l.witnesses, newSigner(t, "witness.example/w"+string(rune('1'+i)), proofs.CosignatureV1))
	}
	return l
}

func newSigner(t testing.TB, name string, alg proofs.Algorithm) *proofs.Signer {
	t.Helper()
	s, err := proofs.GenerateSigner(rand.Reader, name, alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// policy is the trust policy of the log and all its witnesses.
func (l *fakeLog) policy() *proofs.Policy {
	l.t.Helper()
	var b strings.Builder
	b.WriteString("log " + l.key.Key().String() + "\n")
	if len(l.witnesses) == 0 {
		b.WriteString("quorum none\n")
	} else {
		b.WriteString("")
		names := ""
		for _, w := range l.witnesses {
			short := w.Key().Name()[len("witness.example/"):]
			names += " " + short
			b.WriteString("witness " + short + " " + w.Key().String() + "\n")
		}
		b.WriteString("group all-of-them " + l.quorum + names + "\nquorum all-of-them\n")
	}
	p, err := proofs.ParsePolicy([]byte(b.String()))
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

func (l *fakeLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = l.hashes[index]
	}
	return hashes, nil
}

func (l *fakeLog) add(leaf verify.Leaf) int64 {
	l.t.Helper()
	if err := leaf.Check(); err != nil {
		l.t.Fatal(err)
	}
	hashes, err := tlog.StoredHashesForRecordHash(l.size, leaf.Hash(), l)
	if err != nil {
		l.t.Fatal(err)
	}
	l.hashes = append(l.hashes, hashes...)
	l.size++
	return l.size - 1
}

// proof returns a sidecar for the leaf at index, under the present tree, which
// witness i cosigns at times[i]; a negative time stands for no cosignature.
func (l *fakeLog) proof(leaf verify.Leaf, index int64, times ...int64) []byte {
	l.t.Helper()
	root, err := tlog.TreeHash(l.size, l)
	if err != nil {
		l.t.Fatal(err)
	}
	path, err := tlog.ProveRecord(l.size, index, l)
	if err != nil {
		l.t.Fatal(err)
	}
	c := proofs.Checkpoint{Origin: l.key.Key().Name(), Tree: proofs.Tree{N: l.size, Hash: root}}
	note := proofs.Note{Text: c.String()}
	sign := func(s *proofs.Signer, unix int64) {
		sig, err := s.Sign(note.Text, unix)
		if err != nil {
			l.t.Fatal(err)
		}
		note.Signatures = append(note.Signatures, sig)
	}
	sign(l.key, 0)
	for i, unix := range times {
		if unix >= 0 {
			sign(l.witnesses[i], unix)
		}
	}
	return proofs.Proof{Extra: leaf.Marshal(), Index: index, Hashes: path, Checkpoint: note.Marshal()}.Marshal()
}
