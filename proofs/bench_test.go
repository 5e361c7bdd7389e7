package proofs

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"filippo.io/mldsa"
	merkle "github.com/transparency-dev/merkle/proof"

	"github.com/tuflog/tuflog/bench/floor"
	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// A proofCase is a proof from a tree of a million entries, and the same as
// bare numbers.
type proofCase struct {
	world testWorld
	file  []byte
	entry []byte
	tree  Tree
	path  []Hash
	index int64
}

const millionLeaves = 1_000_000

func newProofCase(tb testing.TB, w testWorld, size int) proofCase {
	tb.Helper()
	tiles := newTestTiles(size)
	c := proofCase{world: w, index: int64(size) * 2 / 3, tree: tiles.tree()}
	c.entry = testEntry(int(c.index))
	var err error
	if c.path, err = InclusionProof(tb.Context(), c.tree, c.index, tiles); err != nil {
		tb.Fatal(err)
	}
	c.file = Proof{Extra: c.entry, Index: c.index, Hashes: c.path, Checkpoint: w.checkpoint(tb, c.tree)}.Marshal()
	return c
}

func (c proofCase) verify(tb testing.TB) {
	p, err := ParseProof(c.file)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := p.Verify(c.world.policy, c.entry); err != nil {
		tb.Fatal(err)
	}
}

// hashPath is the least that inclusion costs: the leaf and one hash per step.
func (c proofCase) hashPath() Hash {
	h := LeafHash(c.entry)
	for _, p := range c.path {
		h = bareNode(h, p)
	}
	return h
}

func bareNode(l, r Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], l[:])
	copy(b[1+sha256.Size:], r[:])
	return sha256.Sum256(b[:])
}

// BenchmarkVerifyProof verifies a proof offline, from the bytes of the file and
// a parsed policy: a log's signature and three cosignatures. The floor is four
// bare verifications and the hashes of the path.
func BenchmarkVerifyProof(b *testing.B) {
	for _, alg := range []Algorithm{Ed25519, MLDSA44} {
		b.Run(map[Algorithm]string{Ed25519: "Ed25519", MLDSA44: "ML-DSA-44"}[alg], func(b *testing.B) {
			w := newWorld(b)
			if alg == MLDSA44 {
				w = newWorldOf(b, MLDSA44, MLDSA44)
			}
			c := newProofCase(b, w, millionLeaves)
			bare := c.bareSignatures(b)
			floor.Beside(b, func() { c.verify(b) }, func() {
				c.hashPath()
				for _, verify := range bare {
					if !verify() {
						b.Fatal("a bare signature does not verify")
					}
				}
			})
		})
	}
}

// bareSignatures returns what verifies each signature of the checkpoint with
// nothing but the cryptography.
func (c proofCase) bareSignatures(b *testing.B) []func() bool {
	text := Checkpoint{Origin: c.world.log.Key().Name(), Tree: c.tree}.String()
	var list []func() bool
	for i, s := range append([]*Signer{c.world.log}, c.world.witnesses...) {
		sig := sign(b, s, text, testTime+int64(i)).Sig
		msg, err := (&signedText{text: text}).message(s.key.alg, s.key.name, testTime+int64(i))
		if err != nil {
			b.Fatal(err)
		}
		switch pub := s.Key().PublicKey(); s.key.alg {
		case Ed25519:
			list = append(list, func() bool { return ed25519.Verify(pub, msg, sig) })
		case CosignatureV1:
			list = append(list, func() bool { return ed25519.Verify(pub, msg, sig[8:]) })
		case MLDSA44:
			key, err := mldsa.NewPublicKey(mldsa.MLDSA44(), pub)
			if err != nil {
				b.Fatal(err)
			}
			list = append(list, func() bool { return mldsa.Verify(key, msg, sig[8:], nil) == nil })
		}
	}
	return list
}

// BenchmarkParsePolicy parses a policy of one log and 32 witnesses. The floor
// decodes their keys and computes the ids.
func BenchmarkParsePolicy(b *testing.B) {
	for _, alg := range []Algorithm{CosignatureV1, MLDSA44} {
		b.Run(map[Algorithm]string{CosignatureV1: "Ed25519", MLDSA44: "ML-DSA-44"}[alg], func(b *testing.B) {
			var keys []Key
			var text strings.Builder
			log := newSigner(b, "example.com/log", Ed25519).Key()
			fmt.Fprintf(&text, "log %v\n", log)
			keys = append(keys, log)
			members := ""
			for i := range 32 {
				k := newSigner(b, fmt.Sprintf("w%d.example", i), alg).Key()
				keys = append(keys, k)
				fmt.Fprintf(&text, "witness w%d %v https://w%d.example/\n", i, k, i)
				members += fmt.Sprintf(" w%d", i)
			}
			fmt.Fprintf(&text, "group operators 17%s\nquorum operators\n", members)
			type bareKey struct{ prefix, encoded []byte }
			var bare []bareKey
			for _, k := range keys {
				bare = append(bare, bareKey{[]byte(k.name + "\n"), []byte(strict.EncodeBase64(append([]byte{byte(k.alg)}, k.pub...)))})
			}
			file, buf := []byte(text.String()), make([]byte, 2048)
			floor.Beside(b, func() {
				if _, err := ParsePolicy(file); err != nil {
					b.Fatal(err)
				}
			}, func() {
				for _, k := range bare {
					n, err := base64.StdEncoding.Decode(buf[copy(buf, k.prefix):], k.encoded)
					if err != nil {
						b.Fatal(err)
					}
					sha256.Sum256(buf[:len(k.prefix)+n])
				}
			})
		})
	}
}

// BenchmarkVerifyConsistency verifies that a tree of a million leaves begins
// with one of two thirds of that. The floor is the hashes.
func BenchmarkVerifyConsistency(b *testing.B) {
	tiles := newTestTiles(millionLeaves)
	older := newTestTiles(millionLeaves * 2 / 3).tree()
	proof, err := ConsistencyProof(b.Context(), older.N, tiles.tree(), tiles)
	if err != nil {
		b.Fatal(err)
	}
	newer := tiles.tree()
	var hasher countingHasher
	if err := merkle.VerifyConsistency(&hasher, uint64(older.N), uint64(newer.N), rawHashes(proof), older.Hash[:], newer.Hash[:]); err != nil {
		b.Fatal(err)
	}
	floor.Beside(b, func() {
		if err := VerifyConsistency(older, newer, proof); err != nil {
			b.Fatal(err)
		}
	}, func() {
		h := proof[0]
		for range hasher.nodes {
			h = bareNode(h, proof[0])
		}
	})
}

type countingHasher struct {
	nodeHasher
	nodes int
}

func (h *countingHasher) HashChildren(l, r []byte) []byte {
	h.nodes++
	return h.nodeHasher.HashChildren(l, r)
}

// BenchmarkInclusionProof builds an inclusion proof from the tiles of a tree of
// a million leaves. The floor authenticates the tiles it needs, two of the
// lowest level and two of the next (one of them full) and the top one: one hash
// per node below their roots.
func BenchmarkInclusionProof(b *testing.B) {
	tiles := newTestTiles(millionLeaves)
	tree := tiles.tree()
	index := int64(millionLeaves * 2 / 3)
	if _, err := InclusionProof(b.Context(), tree, index, tiles); err != nil {
		b.Fatal(err)
	}
	nodes := 0
	for id := range tiles.reads {
		nodes += id.Width - 1
	}
	h := LeafHash(nil)
	floor.Beside(b, func() {
		if _, err := InclusionProof(b.Context(), tree, index, tiles); err != nil {
			b.Fatal(err)
		}
	}, func() {
		for range nodes {
			h = bareNode(h, h)
		}
	})
}
