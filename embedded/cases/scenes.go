package cases

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Signer returns the key of a name and type whose seed is a hash of both: the same in every run,
// and so not to be used.
func Signer(name string, alg proofs.Algorithm) *proofs.Signer {
	seed := sha256.Sum256(fmt.Appendf(nil, "embedded %s %d", name, alg))
	s, err := proofs.GenerateSigner(bytes.NewReader(seed[:]), name, alg)
	if err != nil {
		panic(err) // names are ours, and the reader has bytes enough for these types
	}
	return s
}

// A World is a log of some leaves with its witnesses, of which two of three are a quorum.
type World struct {
	Policy    *proofs.Policy
	Leaves    []leaf.Leaf
	log       *proofs.Signer
	witnesses []*proofs.Signer
	hashes    []tlog.Hash
}

// NewWorld returns a log of the releases of two repositories: roots, targets, a delegated role
// with a name of several scripts, and evidence.
func NewWorld() (*World, error) {
	w := &World{log: Signer("log.example/ümlaut", proofs.Ed25519)}
	var policy strings.Builder
	fmt.Fprintf(&policy, "log %v\n", w.log.Key())
	for i := range 3 {
		s := Signer(fmt.Sprintf("witness.example/%d", i), proofs.CosignatureV1)
		w.witnesses = append(w.witnesses, s)
		fmt.Fprintf(&policy, "witness w%d %v\n", i, s.Key())
	}
	policy.WriteString("group g 2 w0 w1 w2\nquorum g\n")
	var err error
	if w.Policy, err = proofs.ParsePolicy([]byte(policy.String())); err != nil {
		return nil, err
	}
	a, b := tuf.Sum([]byte("first root of a")), tuf.Sum([]byte("first root of b"))
	snapshot := tuf.Sum([]byte("snapshot"))
	add := func(kind leaf.Kind, repository tuf.Digest, role string, version int64, encoding tuf.Encoding) {
		l := leaf.Leaf{Kind: kind, Repository: repository, Role: role, Version: version, Encoding: encoding,
			Payload: tuf.Sum(fmt.Appendf(nil, "%v %s %d %s", repository, role, version, kind)), Metadata: tuf.Sum([]byte(role)), Size: 1000 + version%100}
		if role != tuf.RoleRoot && encoding == tuf.JSON {
			l.Snapshot, l.Listed = snapshot, leaf.ByHash
			if version%2 == 0 {
				l.Listed = leaf.ByVersion
			}
		}
		if kind == leaf.Evidence {
			l.Contradicts = 3
		}
		w.Leaves = append(w.Leaves, l)
	}
	add(leaf.Release, a, tuf.RoleRoot, 1, tuf.JSON)
	add(leaf.Release, b, tuf.RoleRoot, 1, tuf.JSON)
	add(leaf.Release, a, tuf.RoleTargets, 1, tuf.JSON)
	add(leaf.Release, b, tuf.RoleTargets, 1, tuf.JSON)
	add(leaf.Release, a, tuf.RoleTargets, 2, tuf.JSON)
	add(leaf.Evidence, b, tuf.RoleTargets, 1, tuf.JSON)
	add(leaf.Release, a, "firmware/größe 语言 😀%~._-", tuf.MaxVersion, tuf.JSON)
	add(leaf.Release, a, tuf.RoleTargets, 3, tuf.Pigweed)
	add(leaf.Release, a, strings.Repeat("x", 3000), 7, tuf.JSON)
	for i := range int64(12) {
		add(leaf.Release, b, tuf.RoleTargets, 2+i, tuf.JSON)
	}
	for i, l := range w.Leaves {
		hashes, err := tlog.StoredHashesForRecordHash(int64(i), l.Hash(), w)
		if err != nil {
			return nil, err
		}
		w.hashes = append(w.hashes, hashes...)
	}
	return w, nil
}

// ReadHashes implements tlog.HashReader.
func (w *World) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = w.hashes[index]
	}
	return hashes, nil
}

// Sidecar proves an entry in the tree of the first size leaves, cosigned by those witnesses.
func (w *World) Sidecar(entry int, size int64, witnesses ...int) ([]byte, error) {
	root, err := tlog.TreeHash(size, w)
	if err != nil {
		return nil, err
	}
	path, err := tlog.ProveRecord(size, int64(entry), w)
	if err != nil {
		return nil, err
	}
	signers := []*proofs.Signer{w.log, Signer("stranger.example", proofs.CosignatureV1), Signer("log.example/ümlaut", proofs.MLDSA44)}
	for _, i := range witnesses {
		signers = append(signers, w.witnesses[i])
	}
	note, err := sign(proofs.Checkpoint{Origin: w.log.Key().Name(), Tree: proofs.Tree{N: size, Hash: root}}.String(), signers...)
	if err != nil {
		return nil, err
	}
	return proofs.Proof{Extra: w.Leaves[entry].Marshal(), Index: int64(entry), Hashes: path, Checkpoint: note}.Marshal(), nil
}

// sign makes a note.
func sign(text string, signers ...*proofs.Signer) ([]byte, error) {
	note := proofs.Note{Text: text}
	for i, s := range signers {
		sig, err := s.Sign(text, 1767225600+int64(i))
		if err != nil {
			return nil, err
		}
		note.Signatures = append(note.Signatures, sig)
	}
	return note.Marshal(), nil
}

// Claim is that the entry is a release.
func (w *World) Claim(entry int) Claim {
	l := w.Leaves[entry]
	return Claim{Claim: verify.Claim{Repository: l.Repository, Role: l.Role, Version: l.Version, Payload: l.Payload, Encoding: l.Encoding}}
}

// Scenes are cases of releases: good ones, other claims, too few witnesses, and one sidecar cut
// short, in steps of so many bytes.
func Scenes(cuts int) ([]Case, error) {
	w, err := NewWorld()
	if err != nil {
		return nil, err
	}
	var all []Case
	add := func(name string, claim Claim, sidecar []byte, want Code) error {
		c, err := New(name, w.Policy, claim, sidecar)
		if err == nil && c.Code != want {
			err = fmt.Errorf("%s: the Go code says %s, want %s", name, c.Code, want)
		}
		all = append(all, c)
		return err
	}
	var failed []error
	for entry, l := range w.Leaves {
		good := OK
		if l.Kind == leaf.Evidence {
			good = Evidence
		}
		name := fmt.Sprintf("entry %d", entry)
		for _, size := range []int64{int64(entry) + 1, int64(len(w.Leaves))} {
			sidecar, err := w.Sidecar(entry, size, 0, 2)
			failed = append(failed, err, add(fmt.Sprintf("%s in %d", name, size), w.Claim(entry), sidecar, good))
		}
		sidecar, err := w.Sidecar(entry, int64(len(w.Leaves)), 1)
		failed = append(failed, err, add(name+", one witness", w.Claim(entry), sidecar, QuorumShort))
	}
	sidecar, err := w.Sidecar(4, int64(len(w.Leaves)), 0, 1, 2)
	if err != nil {
		return nil, err
	}
	for name, spoil := range map[string]func(*Claim) Code{
		"other repository": func(c *Claim) Code { c.Repository[31]++; return WrongRepository },
		"other role":       func(c *Claim) Code { c.Role = "target"; return BadProof },
		"longer role":      func(c *Claim) Code { c.Role = "targetss"; return BadProof },
		"other version":    func(c *Claim) Code { c.Version++; return BadProof },
		"other payload":    func(c *Claim) Code { c.Payload[0]++; return BadProof },
		"other encoding":   func(c *Claim) Code { c.Encoding = tuf.Pigweed; return BadProof },
		"all of it": func(c *Claim) Code {
			*c = w.Claim(1)
			return WrongRepository
		},
	} {
		claim := w.Claim(4)
		want := spoil(&claim)
		failed = append(failed, add(name, claim, sidecar, want))
	}
	failed = append(failed, add("nothing", w.Claim(4), nil, NotLogged))
	for n := 1; n < len(sidecar); n += cuts {
		c, err := New(fmt.Sprintf("the first %d bytes", n), w.Policy, w.Claim(4), sidecar[:n])
		failed, all = append(failed, err), append(all, c)
	}
	return all, errors.Join(failed...)
}
