package lookup

import (
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// errOther is wrapped by the error for a leaf that is not what a log's index said: it does
// not list the file, or the file of metadata is not the one that it names.
var errOther = errors.New("the entry is another than the index says")

// Entry returns the entry that a proof proves, and the checkpoint, under a policy. Nothing
// that a log says by itself counts: the proof must hold.
func Entry(policy *proofs.Policy, proof []byte) (int64, leaf.Leaf, *proofs.SignedCheckpoint, error) {
	p, err := proofs.ParseProof(proof)
	if err != nil {
		return 0, leaf.Leaf{}, nil, err
	}
	c, err := p.Verify(policy, p.Extra)
	if err != nil {
		return 0, leaf.Leaf{}, nil, err
	}
	entry, err := leaf.Parse(p.Extra)
	return p.Index, entry, c, err
}

// Add adds the answers of one leaf that a log's index names: proof is a c2sp.org/tlog-proof
// of it with the leaf as extra data, and file the metadata that the leaf names. Both are
// checked, and that the metadata lists the file. The leaf is not judged: that the log admitted
// it by its rules, and that there is no other, takes a replay.
func (l *Lookup) Add(policy *proofs.Policy, proof, file []byte) (*proofs.SignedCheckpoint, error) {
	index, entry, c, err := Entry(policy, proof)
	if err != nil {
		return nil, err
	}
	if sum := tuf.Sum(file); sum != entry.Metadata {
		return nil, fmt.Errorf("entry %d: %w: it names metadata %v, and this is %v", index, errOther, entry.Metadata, sum)
	}
	m, err := codec.Parse(entry.Encoding, file)
	switch {
	case err != nil:
		return nil, fmt.Errorf("entry %d: %w: %w", index, errOther, err)
	case m.PayloadDigest != entry.Payload || m.Version != entry.Version || m.Type != tuf.TypeOf(entry.Role):
		return nil, fmt.Errorf("entry %d: %w: it says %s %d with payload %v, and its metadata is %s %d with payload %v", index, errOther,
			tuf.Word(entry.Role), entry.Version, entry.Payload, m.Type, m.Version, m.PayloadDigest)
	}
	before := len(l.Answers)
	if !l.look(index, entry, nil, m) {
		return nil, fmt.Errorf("entry %d: %w: %s %d does not list the file", index, errOther, tuf.Word(entry.Role), entry.Version)
	}
	for i := range l.Answers[before:] {
		l.Answers[before+i].Proof = string(proof)
	}
	return c, nil
}
