package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/proofs"
)

// prefixText prints what a larger tree had at a smaller size, and the proof of
// it.
func prefixText(prefix proofs.Tree, proof []proofs.Hash) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n%v\n", prefix.N, prefix.Hash)
	for _, h := range proof {
		fmt.Fprintf(&b, "%v\n", h)
	}
	return []byte(b.String())
}

// parsePrefix reads what prefixText prints.
func parsePrefix(text []byte) (proofs.Tree, []proofs.Hash, error) {
	size, rest, _ := strings.Cut(string(text), "\n")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return proofs.Tree{}, nil, fmt.Errorf("prefix: size: %w", err)
	}
	var hashes []proofs.Hash
	for line := range strings.Lines(rest) {
		b, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(line, "\n"))
		if err != nil || len(b) != len(proofs.Hash{}) {
			return proofs.Tree{}, nil, fmt.Errorf("prefix: %q is no hash", line)
		}
		hashes = append(hashes, proofs.Hash(b))
	}
	if len(hashes) == 0 {
		return proofs.Tree{}, nil, errors.New("prefix: no root")
	}
	tree := proofs.Tree{N: n, Hash: hashes[0]}
	if string(prefixText(tree, hashes[1:])) != string(text) {
		return proofs.Tree{}, nil, errors.New("prefix: not spelled as it would be printed")
	}
	return tree, hashes[1:], nil
}

// CheckFork checks the evidence of a fork and needs nothing else: two notes that
// a log of the policy signed, with or without cosignatures, over two trees of
// which the larger does not begin with the smaller. For trees of one size prefix
// is empty; otherwise it is what prefix.txt holds. It returns nil if this proves
// a fork.
func CheckFork(policy *proofs.Policy, older, newer, prefix []byte) error {
	a, err := policy.OpenCheckpoint(older)
	if a == nil {
		return fmt.Errorf("the first note: %w", err)
	}
	b, err := policy.OpenCheckpoint(newer)
	if b == nil {
		return fmt.Errorf("the second note: %w", err)
	}
	switch {
	case a.Log != b.Log:
		return errors.New("the notes are of different logs")
	case a.Tree.N == b.Tree.N && a.Tree != b.Tree:
		return nil
	case a.Tree.N >= b.Tree.N:
		return errors.New("the notes do not contradict each other")
	}
	was, proof, err := parsePrefix(prefix)
	if err != nil {
		return err
	}
	if was.N != a.Tree.N || was.Hash == a.Tree.Hash {
		return errors.New("the prefix does not contradict the first note")
	}
	return proofs.VerifyConsistency(was, b.Tree, proof)
}
