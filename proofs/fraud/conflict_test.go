package fraud

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

// forked is a log whose history splits after some entries.
type forked struct {
	log    *proofs.Signer
	common int
}

func (f forked) leaves(branch string, n int) []proofs.Hash {
	leaves := testLeaves(min(n, f.common))
	for i := f.common; i < n; i++ {
		leaves = append(leaves, proofs.LeafHash(fmt.Appendf(nil, "%s %d", branch, i)))
	}
	return leaves
}

// note returns a signed checkpoint of a branch and the branch's tiles.
func (f forked) note(t testing.TB, branch string, n int, signers ...*proofs.Signer) ([]byte, *leafTiles) {
	leaves := f.leaves(branch, n)
	text := proofs.Checkpoint{Origin: f.log.Key().Name(), Tree: refTree(leaves)}.String()
	return signNote(t, text, append([]*proofs.Signer{f.log}, signers...)...), &leafTiles{t: t, leaves: leaves}
}

func newForked(t testing.TB) forked {
	return forked{log: newSigner(t, "example.com/log", proofs.Ed25519), common: 3}
}

func TestConflictOfEverySize(t *testing.T) {
	f := newForked(t)
	key := f.log.Key()
	for m := 0; m <= 12; m++ {
		for n := m; n <= 20; n++ {
			older, _ := f.note(t, "a", m)
			newer, tiles := f.note(t, "b", n)
			c, err := NewConflict(t.Context(), newer, older, tiles)
			if m <= f.common {
				if !errors.Is(err, ErrNoConflict) {
					t.Fatalf("%d and %d: %v, want ErrNoConflict", m, n, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%d and %d: %v", m, n, err)
			}
			got, err := ParseConflict(c.Marshal())
			if err != nil || !bytes.Equal(got.Marshal(), c.Marshal()) {
				t.Fatalf("%d and %d: read %+v, %v", m, n, got, err)
			}
			v, err := got.Check(key)
			if err != nil || v.Origin != key.Name() || !slices.Equal(v.By, []string{key.Name()}) || v.Older.N != int64(m) || v.Newer.N != int64(n) {
				t.Fatalf("%d and %d: %+v, %v", m, n, v, err)
			}
		}
	}
}

// An honest log cannot be accused: whatever proof is put between two of its
// checkpoints, the check fails.
func TestConflictOfHonestLog(t *testing.T) {
	f := newForked(t)
	for m := 1; m <= 9; m++ {
		for n := m; n <= 17; n++ {
			older, _ := f.note(t, "a", m)
			newer, tiles := f.note(t, "a", n)
			if _, err := NewConflict(t.Context(), older, newer, tiles); !errors.Is(err, ErrNoConflict) {
				t.Fatalf("%d and %d: %v", m, n, err)
			}
			proof, err := proofs.ConsistencyProof(t.Context(), int64(m), refTree(f.leaves("a", n)), tiles)
			if err != nil {
				t.Fatal(err)
			}
			// The proof of another tree, and every mangled hash of the true one.
			attempts := []Conflict{{Older: older, Newer: newer, Prefix: proofs.LeafHash(nil), Proof: proof}}
			for i := range proof {
				bad := slices.Clone(proof)
				bad[i][0] ^= 1
				attempts = append(attempts, Conflict{Older: older, Newer: newer, Prefix: proofs.LeafHash(nil), Proof: bad},
					Conflict{Older: older, Newer: newer, Prefix: refTree(f.leaves("b", m)).Hash, Proof: bad})
			}
			for _, c := range attempts {
				if v, err := c.Check(f.log.Key()); err == nil {
					t.Fatalf("%d and %d: an honest log was accused: %+v", m, n, v)
				}
				if _, err := ParseConflict(c.Marshal()); err == nil {
					t.Fatalf("%d and %d: read %q", m, n, c.Marshal())
				}
			}
		}
	}
}

func TestConflictSigners(t *testing.T) {
	f := newForked(t)
	w1, w2 := newSigner(t, "w1.example", proofs.CosignatureV1), newSigner(t, "w2.example", proofs.CosignatureV1)
	stranger := newSigner(t, "stranger.example", proofs.Ed25519)
	older, _ := f.note(t, "a", 5, w1, w2)
	newer, _ := f.note(t, "b", 5, w1)
	c, err := NewConflict(t.Context(), older, newer, nil)
	if err != nil {
		t.Fatal(err)
	}
	check := func(c Conflict, want []string, keys ...proofs.Key) {
		t.Helper()
		v, err := c.Check(keys...)
		if !slices.Equal(v.By, want) || (want == nil) != errors.Is(err, proofs.ErrNoSignature) {
			t.Errorf("signed by %q, %v; want %q", v.By, err, want)
		}
	}
	check(c, []string{"example.com/log"}, f.log.Key())
	// A witness that cosigned both is accused, one that cosigned one is not.
	check(c, []string{"w1.example", "example.com/log"}, w1.Key(), w2.Key(), f.log.Key(), stranger.Key())
	check(c, nil, w2.Key(), stranger.Key())
	check(c, nil)

	// Two keys of one log, one on either side.
	origin := f.log.Key().Name()
	text := proofs.Checkpoint{Origin: origin, Tree: refTree(f.leaves("b", 5))}.String()
	for _, alg := range []proofs.Algorithm{proofs.ECDSA, proofs.MLDSA44} {
		second := newSigner(t, origin, alg)
		mixed, err := NewConflict(t.Context(), older, signNote(t, text, second), nil)
		if err != nil {
			t.Fatal(err)
		}
		check(mixed, nil, f.log.Key())
		check(mixed, []string{origin}, f.log.Key(), second.Key())
	}

	// A false signature accuses nobody, nor does it protect anybody else.
	sig := sign(t, w1, "something else\n1\nOuW/pX/6dp2WNKhvOiYoaqaf1Q6gWF+AYfkCrV8DJ/c=\n", testTime)
	spoilt, err := NewConflict(t.Context(), append(slices.Clone(older), sig.String()...), newer, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(spoilt, []string{"example.com/log"}, f.log.Key(), w1.Key())
}

func TestConflictRefuses(t *testing.T) {
	f := newForked(t)
	older, _ := f.note(t, "a", 5)
	same, _ := f.note(t, "b", 5)
	newer, tiles := f.note(t, "b", 9)
	other := signNote(t, proofs.Checkpoint{Origin: "other.example", Tree: refTree(f.leaves("b", 5))}.String(), f.log)
	if _, err := NewConflict(t.Context(), older, other, nil); !errors.Is(err, ErrNoConflict) {
		t.Errorf("two origins: %v", err)
	}
	if _, err := NewConflict(t.Context(), older, newer, nil); err == nil {
		t.Error("different sizes were compared without tiles")
	}
	if _, err := NewConflict(t.Context(), older, []byte("rubbish"), nil); err == nil {
		t.Error("rubbish was taken for a checkpoint")
	}
	spoilt := &leafTiles{t: t, leaves: tiles.leaves, spoil: func(b []byte) { b[0] ^= 1 }}
	if _, err := NewConflict(t.Context(), older, newer, spoilt); err == nil || errors.Is(err, ErrNoConflict) {
		t.Errorf("tiles of another tree: %v", err)
	}

	equal, err := NewConflict(t.Context(), older, same, nil)
	if err != nil {
		t.Fatal(err)
	}
	apart, err := NewConflict(t.Context(), older, newer, tiles)
	if err != nil {
		t.Fatal(err)
	}
	mangle := func(c Conflict, f func(s string) string) string { return f(string(c.Marshal())) }
	for name, text := range map[string]string{
		"wrong order":        string(Conflict{Older: equal.Newer, Newer: equal.Older}.Marshal()),
		"sizes out of order": string(Conflict{Older: apart.Newer, Newer: apart.Older, Prefix: apart.Prefix, Proof: apart.Proof}.Marshal()),
		"one checkpoint":     string(Conflict{Older: equal.Older, Newer: equal.Older}.Marshal()),
		"needless proof":     string(Conflict{Older: equal.Older, Newer: equal.Newer, Prefix: apart.Prefix, Proof: apart.Proof}.Marshal()),
		"no proof":           string(Conflict{Older: apart.Older, Newer: apart.Newer}.Marshal()),
		"no hashes":          string(Conflict{Older: apart.Older, Newer: apart.Newer, Prefix: apart.Prefix}.Marshal()),
		"two origins":        string(Conflict{Older: older, Newer: other}.Marshal()),
		"header":             mangle(equal, func(s string) string { return strings.Replace(s, "v1", "v2", 1) }),
		"CRLF":               mangle(equal, func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }),
		"cut":                mangle(equal, func(s string) string { return s[:len(s)-1] }),
		"longer":             mangle(equal, func(s string) string { return s + "\n" }),
		"empty line":         mangle(equal, func(s string) string { return strings.Replace(s, "v1\n", "v1\n\n", 1) }),
		"no prefix line":     mangle(apart, func(s string) string { return strings.Replace(s, "prefix ", "", 1) }),
		"lax base64":         mangle(apart, func(s string) string { return strings.Replace(s, "=\n", "\n", 1) }),
		"too many hashes": mangle(apart, func(s string) string {
			return strings.Replace(s, "\n\n", strings.Repeat("\n"+apart.Prefix.String(), maxConsistency)+"\n\n", 1)
		}),
		"too large": mangle(equal, func(s string) string { return s + strings.Repeat("x", MaxConflictSize) }),
		"empty":     "",
	} {
		if _, err := ParseConflict([]byte(text)); err == nil {
			t.Errorf("%s: read %q", name, text)
		}
	}
	// Every byte of the file counts: mangled, it is another file or none, and
	// accuses nobody of anything else.
	want, err := apart.Check(f.log.Key())
	if err != nil {
		t.Fatal(err)
	}
	good := apart.Marshal()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		c, err := ParseConflict(bad)
		if err != nil {
			continue
		}
		if v, err := c.Check(f.log.Key()); err == nil && (v.Origin != want.Origin || v.Older != want.Older || v.Newer != want.Newer) {
			t.Errorf("byte %d mangled: %+v", i, v)
		}
	}
}

func FuzzParseConflict(f *testing.F) {
	fork := newForked(f)
	older, _ := fork.note(f, "a", 5)
	same, _ := fork.note(f, "b", 5)
	newer, tiles := fork.note(f, "b", 9)
	for _, pair := range [][2][]byte{{older, same}, {older, newer}} {
		c, err := NewConflict(f.Context(), pair[0], pair[1], tiles)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c.Marshal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConflict(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Marshal(), b) {
			t.Errorf("%q printed as %q", b, c.Marshal())
		}
	})
}
