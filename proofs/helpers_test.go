package proofs

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// testTime is what test witnesses put into cosignatures.
const testTime = 1_700_000_000

// newSigner makes the same key for the same name and type every time.
func newSigner(t testing.TB, name string, alg Algorithm) *Signer {
	t.Helper()
	seed := sha256.Sum256([]byte(name + alg.String()))
	s, err := GenerateSigner(strings.NewReader(string(seed[:])), name, alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t testing.TB, s *Signer, text string, unix int64) Signature {
	t.Helper()
	sig, err := s.Sign(text, unix)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func signNote(t testing.TB, text string, signers ...*Signer) []byte {
	t.Helper()
	n := Note{Text: text}
	for i, s := range signers {
		n.Signatures = append(n.Signatures, sign(t, s, text, testTime+int64(i)))
	}
	return n.Marshal()
}

// testWorld is a log, three witnesses and a policy that wants all of them.
type testWorld struct {
	log        *Signer
	witnesses  []*Signer
	policyText string
	policy     *Policy
}

func newWorld(t testing.TB) testWorld {
	t.Helper()
	return newWorldOf(t, Ed25519, CosignatureV1)
}

// newWorldOf makes a world whose log and witnesses sign with these types.
func newWorldOf(t testing.TB, log, witness Algorithm) testWorld {
	t.Helper()
	w := testWorld{log: newSigner(t, "example.com/log", log)}
	lines := []string{"log " + w.log.Key().String()}
	for i := 1; i <= 3; i++ {
		s := newSigner(t, fmt.Sprintf("w%d.example", i), witness)
		w.witnesses = append(w.witnesses, s)
		lines = append(lines, fmt.Sprintf("witness w%d %v", i, s.Key()))
	}
	lines = append(lines, "group all-of-them all w1 w2 w3", "quorum all-of-them", "")
	w.policyText = strings.Join(lines, "\n")
	w.policy = mustPolicy(t, w.policyText)
	return w
}

func (w testWorld) checkpoint(t testing.TB, tree Tree) []byte {
	text := Checkpoint{Origin: w.log.Key().Name(), Tree: tree}.String()
	return signNote(t, text, append([]*Signer{w.log}, w.witnesses...)...)
}

func mustPolicy(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wantError(t *testing.T, err error, sub string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), sub) {
		t.Errorf("error %v, want one with %q", err, sub)
	}
}

func testEntry(i int) []byte { return fmt.Appendf(nil, "entry %d", i) }

func testLeaves(n int) []Hash {
	leaves := make([]Hash, n)
	for i := range leaves {
		leaves[i] = LeafHash(testEntry(i))
	}
	return leaves
}

// The slow, obvious tree: RFC 6962, section 2.1, word by word.

func refNode(l, r Hash) Hash {
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

func refSplit(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

func refRoot(d []Hash) Hash {
	switch len(d) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return d[0]
	}
	k := refSplit(len(d))
	return refNode(refRoot(d[:k]), refRoot(d[k:]))
}

func refTree(d []Hash) Tree { return Tree{N: int64(len(d)), Hash: refRoot(d)} }

func refPath(m int, d []Hash) []Hash {
	if len(d) == 1 {
		return nil
	}
	k := refSplit(len(d))
	if m < k {
		return append(refPath(m, d[:k]), refRoot(d[k:]))
	}
	return append(refPath(m-k, d[k:]), refRoot(d[:k]))
}

func refProof(m int, d []Hash) []Hash { return refSubproof(m, d, true) }

func refSubproof(m int, d []Hash, complete bool) []Hash {
	if m == len(d) {
		if complete {
			return nil
		}
		return []Hash{refRoot(d)}
	}
	k := refSplit(len(d))
	if m <= k {
		return append(refSubproof(m, d[:k], complete), refRoot(d[k:]))
	}
	return append(refSubproof(m-k, d[k:], false), refRoot(d[:k]))
}

// mutations calls f with copies of b that differ a little: every bit flipped,
// every byte replaced by telling ones, left out, doubled, and cut off there.
func mutations(b []byte, f func(what string, mutated []byte)) {
	for i, old := range b {
		var values []byte
		for bit := range 8 {
			values = append(values, old^1<<bit)
		}
		values = append(values, "\n\r\t 0A=+/"...)
		for _, v := range values {
			if v == old {
				continue
			}
			c := append([]byte{}, b...)
			c[i] = v
			f(fmt.Sprintf("byte %d %q made %q", i, old, v), c)
		}
		f(fmt.Sprintf("byte %d %q left out", i, old), append(append([]byte{}, b[:i]...), b[i+1:]...))
		f(fmt.Sprintf("byte %d %q doubled", i, old), append(append([]byte{}, b[:i+1]...), b[i:]...))
		f(fmt.Sprintf("cut at byte %d", i), append([]byte{}, b[:i]...))
	}
}

func newRand(t testing.TB) *rand.Rand {
	seed := uint64(20240607)
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}
