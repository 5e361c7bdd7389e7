package proofs

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// twoTypes is a proof under a log and three witnesses with a key of each type, and the
// policies that know the keys of one type.
func twoTypes(tb testing.TB) (p Proof, entry []byte, ed, ml *Policy) {
	tb.Helper()
	tiles := newTestTiles(1000)
	p.Index, entry = 667, testEntry(667)
	path, err := InclusionProof(tb.Context(), tiles.tree(), p.Index, tiles)
	if err != nil {
		tb.Fatal(err)
	}
	var signers []*Signer
	policy := func(log, witness Algorithm) *Policy {
		w := newWorldOf(tb, log, witness)
		signers = append(append(signers, w.log), w.witnesses...)
		return w.policy
	}
	ed, ml = policy(Ed25519, CosignatureV1), policy(MLDSA44, MLDSA44)
	text := Checkpoint{Origin: signers[0].Key().Name(), Tree: tiles.tree()}.String()
	p.Extra, p.Hashes, p.Checkpoint = entry, path, signNote(tb, text, signers...)
	return p, entry, ed, ml
}

func TestProofFor(t *testing.T) {
	p, entry, ed, ml := twoTypes(t)
	whole := bytes.Clone(p.Checkpoint)
	for name, policy := range map[string]*Policy{"Ed25519": ed, "ML-DSA-44": ml} {
		before, err := p.Verify(policy, entry)
		if err != nil {
			t.Fatal(err)
		}
		short := p.For(policy)
		back, err := ParseProof(short.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		after, err := back.Verify(policy, entry)
		if err != nil || !reflect.DeepEqual(before.Cosignatures, after.Cosignatures) || before.Checkpoint.String() != after.Checkpoint.String() {
			t.Errorf("%s: %+v, %v, want %+v", name, after, err, before)
		}
		if n := strings.Count(string(back.Checkpoint), "\n— "); n != 4 {
			t.Errorf("%s: %d lines left", name, n)
		}
		if again := short.For(policy); !reflect.DeepEqual(again, short) {
			t.Errorf("%s: trimmed twice it is another", name)
		}
	}
	// One policy's proof is no use under the other, and nothing is left without a line.
	if _, err := p.For(ed).Verify(ml, entry); !errors.Is(err, ErrUnknownLog) {
		t.Errorf("trimmed for the other policy: %v", err)
	}
	none := mustPolicy(t, fmt.Sprintf("log %v\nquorum none\n", newSigner(t, "other.example", Ed25519).Key()))
	for _, policy := range []*Policy{none, nil, {}} {
		if got := p.For(policy); !bytes.Equal(got.Checkpoint, whole) {
			t.Errorf("without a line for the policy the proof changed to %q", got.Checkpoint)
		}
	}
	if got := (Proof{Checkpoint: []byte("rubbish")}).For(ed); string(got.Checkpoint) != "rubbish" {
		t.Errorf("rubbish became %q", got.Checkpoint)
	}
	// A bad signature by a key of the policy is kept, and refused as before.
	bad := p
	lines := strings.SplitAfter(string(p.Checkpoint), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "— w1.example ") && len(l) < 200 {
			lines[i] = l[:len(l)-20] + "AAAAAAAA" + l[len(l)-12:]
		}
	}
	bad.Checkpoint = []byte(strings.Join(lines, ""))
	for _, b := range []Proof{bad, bad.For(ed)} {
		if _, err := b.Verify(ed, entry); !errors.Is(err, ErrBadSignature) {
			t.Errorf("a bad signature: %v", err)
		}
	}
	if !bytes.Equal(p.Checkpoint, whole) {
		t.Error("the proof that was given has changed")
	}
}

// BenchmarkProofFor verifies a proof with the lines of both types of keys under the
// policy of one, as the log serves it and trimmed.
func BenchmarkProofFor(b *testing.B) {
	p, entry, ed, ml := twoTypes(b)
	for _, tt := range []struct {
		name   string
		policy *Policy
	}{{"Ed25519", ed}, {"ML-DSA-44", ml}} {
		for name, file := range map[string][]byte{"whole": p.Marshal(), "trimmed": p.For(tt.policy).Marshal()} {
			b.Run(tt.name+"/"+name, func(b *testing.B) {
				for b.Loop() {
					p, err := ParseProof(file)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := p.Verify(tt.policy, entry); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(file)), "bytes")
			})
		}
	}
}
