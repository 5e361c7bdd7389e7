package proofs

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

const (
	emptyRoot = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	someRoot  = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
)

func TestParseCheckpoint(t *testing.T) {
	root, err := ParseHash(someRoot)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]Checkpoint{
		"example.com/log\n20852163\n" + someRoot + "\n":             {"example.com/log", Tree{N: 20852163, Hash: root}, nil},
		"example.com/log\n0\n" + emptyRoot + "\n":                   {"example.com/log", EmptyTree, nil},
		"go.sum database tree\n1\n" + someRoot + "\n":               {"go.sum database tree", Tree{N: 1, Hash: root}, nil},
		" +\n9223372036854775807\n" + someRoot + "\n":               {" +", Tree{N: math.MaxInt64, Hash: root}, nil},
		"a\n10\n" + someRoot + "\nextension 1\n— like a sig AAAA\n": {"a", Tree{N: 10, Hash: root}, []string{"extension 1", "— like a sig AAAA"}},
	} {
		c, err := ParseCheckpoint(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if !reflect.DeepEqual(c, want) {
			t.Errorf("%q: got %+v", text, c)
		}
		if c.String() != text {
			t.Errorf("%q: printed as %q", text, c.String())
		}
	}
}

func TestParseCheckpointRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ in, err string }{
		"nothing":            {"", "newline"},
		"two lines":          {"a\n1\n", "2 lines"},
		"not ended":          {"a\n1\n" + someRoot, "newline"},
		"empty origin":       {"\n1\n" + someRoot + "\n", "line 1 is empty"},
		"empty extension":    {"a\n1\n" + someRoot + "\n\n", "line 4 is empty"},
		"empty line between": {"a\n1\n" + someRoot + "\n\nx\n", "line 4 is empty"},
		"no size":            {"a\n\n" + someRoot + "\n", "line 2 is empty"},
		"leading zero":       {"a\n01\n" + someRoot + "\n", "plain decimal"},
		"two zeros":          {"a\n00\n" + emptyRoot + "\n", "plain decimal"},
		"plus":               {"a\n+1\n" + someRoot + "\n", "plain decimal"},
		"minus":              {"a\n-1\n" + someRoot + "\n", "plain decimal"},
		"underscore":         {"a\n1_0\n" + someRoot + "\n", "plain decimal"},
		"hex":                {"a\n0x1\n" + someRoot + "\n", "plain decimal"},
		"space":              {"a\n1 \n" + someRoot + "\n", "plain decimal"},
		"other digits":       {"a\n١\n" + someRoot + "\n", "plain decimal"},
		"2^63":               {"a\n9223372036854775808\n" + someRoot + "\n", "larger than"},
		"2^64+1":             {"a\n18446744073709551617\n" + someRoot + "\n", "larger than"},
		"short hash":         {"a\n1\nAAAA\n", "3 bytes"},
		"hash not padded":    {"a\n1\n" + strings.TrimSuffix(someRoot, "=") + "\n", "base64"},
		"stray bits":         {"a\n1\n" + strings.Replace(someRoot, "2I=", "2J=", 1) + "\n", "base64"},
		"wrong empty root":   {"a\n0\n" + someRoot + "\n", "empty tree"},
		"CR":                 {"a\r\n1\n" + someRoot + "\n", "control character"},
		"NUL":                {"a\x00\n1\n" + someRoot + "\n", "control character"},
		"not UTF-8":          {"a\xc0\n1\n" + someRoot + "\n", "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCheckpoint(tt.in)
			wantError(t, err, tt.err)
		})
	}
}

func TestOpenCheckpoint(t *testing.T) {
	const origin = "example.com/log"
	text := origin + "\n1\n" + someRoot + "\n"
	log, witness := newSigner(t, origin, Ed25519), newSigner(t, origin, CosignatureV1)
	rotated, err := GenerateSigner(strings.NewReader(strings.Repeat("r", 32)), origin, Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	other := newSigner(t, "example.com/other", Ed25519)
	spoil := func(b []byte, name string) []byte {
		// The line's key id stays, its signature changes.
		i := strings.LastIndex(string(b), "— "+name+" ") + len("— "+name+" ") + 20
		if b[i] == 'A' {
			b[i]++
		} else {
			b[i] = 'A'
		}
		return b
	}
	for name, tt := range map[string]struct {
		signed []byte
		keys   []Key
		err    error
	}{
		"one key":                {signNote(t, text, log), []Key{log.Key()}, nil},
		"among others":           {signNote(t, text, other, witness, log), []Key{rotated.Key(), log.Key()}, nil},
		"both of a rotation":     {signNote(t, text, log, rotated), []Key{rotated.Key(), log.Key()}, nil},
		"signed twice":           {signNote(t, text, log, log), []Key{log.Key()}, nil},
		"no keys":                {signNote(t, text, log), nil, ErrUnknownLog},
		"other key":              {signNote(t, text, log), []Key{rotated.Key()}, ErrUnknownLog},
		"signed by another log":  {signNote(t, text, other), []Key{other.Key()}, ErrUnknownLog},
		"another log and ours":   {signNote(t, text, other, log), []Key{other.Key(), log.Key()}, nil},
		"bad":                    {spoil(signNote(t, text, log), origin), []Key{log.Key()}, ErrBadSignature},
		"bad beside good":        {spoil(signNote(t, text, log, log), origin), []Key{log.Key()}, ErrBadSignature},
		"other known log bad":    {spoil(signNote(t, text, other, log), "example.com/other"), []Key{log.Key(), other.Key()}, ErrBadSignature},
		"unknown bad":            {spoil(signNote(t, text, other, log), "example.com/other"), []Key{log.Key()}, nil},
		"rotated key's bad":      {spoil(signNote(t, text, log, rotated), origin), []Key{log.Key(), rotated.Key()}, ErrBadSignature},
		"text of another origin": {signNote(t, "example.com/other\n1\n"+someRoot+"\n", log), []Key{log.Key()}, ErrUnknownLog},
	} {
		t.Run(name, func(t *testing.T) {
			c, n, err := OpenCheckpoint(tt.signed, tt.keys...)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				if !reflect.DeepEqual(c, Checkpoint{}) || !reflect.DeepEqual(n, Note{}) {
					t.Error("something is returned beside the error")
				}
				return
			}
			if c.Origin != origin || c.Tree.N != 1 || n.Text != text {
				t.Errorf("got %+v, %+v", c, n)
			}
		})
	}
	_, _, err = OpenCheckpoint(signNote(t, text, witness), witness.Key())
	wantError(t, err, "a log needs Ed25519 (0x01), ECDSA (0x02) or ML-DSA-44")
	_, _, err = OpenCheckpoint(signNote(t, text, log), Key{})
	wantError(t, err, "a log needs Ed25519 (0x01), ECDSA (0x02) or ML-DSA-44")
	_, _, err = OpenCheckpoint(signNote(t, "not a checkpoint\n", log), log.Key())
	wantError(t, err, "checkpoint: ends at line 1: 1 lines")
	_, _, err = OpenCheckpoint([]byte(text), log.Key())
	wantError(t, err, "note:")
}
