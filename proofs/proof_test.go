package proofs

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestProof(t *testing.T) {
	w := newWorld(t)
	leaves := testLeaves(9)
	for n := 1; n <= len(leaves); n++ {
		signed := w.checkpoint(t, refTree(leaves[:n]))
		for i := range n {
			p := Proof{Index: int64(i), Hashes: refPath(i, leaves[:n]), Checkpoint: signed}
			if i%2 == 1 {
				p.Extra = []byte("\x00extra\xff\n")
			}
			back, err := ParseProof(p.Marshal())
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, p) {
				t.Errorf("got %+v, want %+v", back, p)
			}
			sc, err := back.Verify(w.policy, testEntry(i))
			if err != nil {
				t.Fatal(err)
			}
			if sc.Tree != refTree(leaves[:n]) || len(sc.Cosignatures) != 3 {
				t.Errorf("got %+v", sc)
			}
			if sc, err := back.Verify(w.policy, testEntry(i+1)); !errors.Is(err, ErrInclusion) || sc != nil {
				t.Errorf("another entry: %v", err)
			}
			back.Index++
			if sc, err := back.Verify(w.policy, testEntry(i)); !errors.Is(err, ErrInclusion) || sc != nil {
				t.Errorf("another index: %v", err)
			}
		}
	}
}

func TestProofVerifyErrors(t *testing.T) {
	w := newWorld(t)
	leaves := testLeaves(2)
	tree := refTree(leaves)
	text := Checkpoint{Origin: w.log.Key().Name(), Tree: tree}.String()
	proof := Proof{Index: 0, Hashes: refPath(0, leaves), Checkpoint: w.checkpoint(t, tree)}
	short := proof
	short.Checkpoint = signNote(t, text, w.log, w.witnesses[0])
	var quorumErr *QuorumError

	// Short of the quorum: what is known is reported, if it is in the log.
	sc, err := short.Verify(w.policy, testEntry(0))
	if !errors.As(err, &quorumErr) || sc == nil || len(sc.Cosignatures) != 1 {
		t.Errorf("short: %v, %v", sc, err)
	}
	sc, err = short.Verify(w.policy, testEntry(1))
	if !errors.Is(err, ErrInclusion) || sc != nil {
		t.Errorf("short and another entry: %v, %v", sc, err)
	}

	unknown := proof
	unknown.Checkpoint = signNote(t, text, newSigner(t, "x", Ed25519))
	for name, tt := range map[string]struct {
		proof  Proof
		policy *Policy
		err    error
	}{
		"nil policy":  {proof, nil, ErrUnknownLog},
		"zero policy": {proof, new(Policy), ErrUnknownLog},
		"unknown log": {unknown, w.policy, ErrUnknownLog},
		"too deep":    {Proof{Hashes: append(slices.Clone(proof.Hashes), tree.Hash), Checkpoint: proof.Checkpoint}, w.policy, ErrInclusion},
	} {
		if sc, err := tt.proof.Verify(tt.policy, testEntry(0)); !errors.Is(err, tt.err) || sc != nil {
			t.Errorf("%s: %v, %v", name, sc, err)
		}
	}
	if _, err := new(Proof).Verify(w.policy, nil); err == nil {
		t.Error("zero proof verifies")
	}
}

func TestParseProofForms(t *testing.T) {
	w := newWorld(t)
	cp := string(w.checkpoint(t, Tree{N: 7, Hash: LeafHash(nil)}))
	h := LeafHash(nil).String() + "\n"
	const head = "c2sp.org/tlog-proof@v1\n"
	for name, in := range map[string]string{
		"no hashes":         head + "index 0\n\n" + cp,
		"extra":             head + "extra AA==\nindex 0\n\n" + cp,
		"large extra":       head + "extra " + strings.Repeat("AAAA", 20_000) + "\nindex 0\n\n" + cp,
		"largest index":     head + "index 9223372036854775807\n" + h + "\n" + cp,
		"longest path":      head + "index 1\n" + strings.Repeat(h, 63) + "\n" + cp,
		"extension in text": head + "index 1\n\n" + string(signNote(t, "a\n1\n"+someRoot+"\next\n", w.log)),
	} {
		p, err := ParseProof([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := string(p.Marshal()); got != in {
			t.Errorf("%s: printed as %q", name, got)
		}
	}
	for name, tt := range map[string]struct{ in, err string }{
		"nothing":               {"", "line 1: the first line is not"},
		"other version":         {strings.Replace(head, "v1", "v2", 1) + "index 0\n\n" + cp, "line 1: the first line is not"},
		"header alone":          {head, "no empty line"},
		"empty line at once":    {head + "\n\n" + cp, "where the index line"},
		"extra alone":           {head + "extra AA==\n\n" + cp, "no index line"},
		"extra without data":    {head + "extra \nindex 0\n\n" + cp, "extra line without data"},
		"extra without space":   {head + "extra\nindex 0\n\n" + cp, "where the index line"},
		"extra twice":           {head + "extra AA==\nextra AA==\nindex 0\n\n" + cp, "where the index line"},
		"extra after index":     {head + "index 0\nextra AA==\n\n" + cp, "hash"},
		"extra with stray bits": {head + "extra AB==\nindex 0\n\n" + cp, "extra: illegal base64"},
		"extra with CR":         {head + "extra AA==\r\nindex 0\n\n" + cp, "extra: line break"},
		"index 00":              {head + "index 00\n\n" + cp, "index: \"00\""},
		"index 007":             {head + "index 007\n\n" + cp, "index: \"007\""},
		"index +0":              {head + "index +0\n\n" + cp, "index: \"+0\""},
		"index -1":              {head + "index -1\n\n" + cp, "index: \"-1\""},
		"index 2^63":            {head + "index 9223372036854775808\n\n" + cp, "larger than"},
		"index with two spaces": {head + "index  0\n\n" + cp, "index: \" 0\""},
		"index with CR":         {head + "index 0\r\n\n" + cp, "index: \"0\\r\""},
		"index in capitals":     {head + "Index 0\n\n" + cp, "where the index line"},
		"no index":              {head + h + "\n" + cp, "where the index line"},
		"short hash":            {head + "index 0\nAAAA\n\n" + cp, "3 bytes"},
		"hash with CR":          {head + "index 0\n" + h[:44] + "\r\n\n" + cp, "line break"},
		"hash with a space":     {head + "index 0\n " + h + "\n" + cp, "base64"},
		"path too long":         {head + "index 0\n" + strings.Repeat(h, 64) + "\n" + cp, "64 hashes"},
		"no empty line":         {head + "index 0\n" + h + strings.ReplaceAll(cp, "\n\n", "\n"), "no empty line"},
		"hash where text is":    {head + "index 0\n" + h + cp, "hash"},
		"two empty lines":       {head + "index 0\n\n\n" + cp, "line 4 is empty"},
		"no checkpoint":         {head + "index 0\n\n", "note:"},
		"not a checkpoint":      {head + "index 0\n\n" + string(signNote(t, "a\n", w.log)), "checkpoint: ends at line 4: 1 lines"},
		"unsigned checkpoint":   {head + "index 0\n\na\n1\n" + someRoot + "\n", "note:"},
		"something behind":      {head + "index 0\n\n" + cp + "\n", "no signatures"},
		"CRLF":                  {strings.ReplaceAll(head+"index 0\n\n"+cp, "\n", "\r\n"), "line 1: the first line is not"},
		"too large":             {head + "extra " + strings.Repeat("AAAA", MaxProofSize/4) + "\nindex 0\n\n" + cp, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseProof([]byte(tt.in))
			wantError(t, err, tt.err)
		})
	}
}

// A change anywhere in a proof makes it fail, except in the extra data, which
// nothing authenticates.
func TestMangledProof(t *testing.T) {
	w := newWorld(t)
	leaves := testLeaves(6)
	signed := w.checkpoint(t, refTree(leaves))
	good := Proof{Extra: []byte("extra"), Index: 4, Hashes: refPath(4, leaves), Checkpoint: signed}
	if _, err := good.Verify(w.policy, testEntry(4)); err != nil {
		t.Fatal(err)
	}
	mutations(good.Marshal(), func(what string, b []byte) {
		p, err := ParseProof(b)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Marshal(), b) {
			t.Errorf("%s: prints differently", what)
		}
		if _, err := p.Verify(w.policy, testEntry(4)); err != nil {
			return
		}
		p.Extra = good.Extra
		if !reflect.DeepEqual(p, good) {
			t.Errorf("%s: still accepted", what)
		}
	})
}

func TestParseDecimal(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "1": 1, "10": 10, "9223372036854775807": math.MaxInt64} {
		if n, err := ParseDecimal(s); err != nil || n != want {
			t.Errorf("%q: %d, %v", s, n, err)
		}
	}
	for _, s := range []string{"", "-0", "00", "01", "1e3", "1.0", "٣", "0x0", "9223372036854775808", strings.Repeat("9", 1000)} {
		if n, err := ParseDecimal(s); err == nil {
			t.Errorf("%q: %d", s, n)
		}
	}
}
