package proofs

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var keyWord = regexp.MustCompile(`(?m) (LOG|W)([0-9])( |$)`)

// policyText expands the words LOG1, LOG2, W1… to verifier keys.
func policyText(t testing.TB, s string) string {
	t.Helper()
	return keyWord.ReplaceAllStringFunc(s, func(word string) string {
		m := keyWord.FindStringSubmatch(word)
		if m[1] == "LOG" {
			return " " + newSigner(t, "log"+m[2]+".example", Ed25519).Key().String() + m[3]
		}
		return " " + newSigner(t, "w"+m[2]+".example", CosignatureV1).Key().String() + m[3]
	})
}

func TestParsePolicy(t *testing.T) {
	var many strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, "log %v\n", newSigner(t, fmt.Sprintf("log%d.example", i), Ed25519).Key())
		fmt.Fprintf(&many, "witness w%d %v\n", i, newSigner(t, fmt.Sprintf("w%d.example", i), CosignatureV1).Key())
		fmt.Fprintf(&many, "group g%d all w%d\n", i, i)
	}
	many.WriteString("quorum g0\n")
	for name, tt := range map[string]struct {
		in              string
		logs, witnesses int
	}{
		"no witnesses":                 {"log LOG1\nquorum none\n", 1, 0},
		"quorum alone":                 {"quorum none\n", 0, 0},
		"quorum is a witness":          {"witness a W1\nquorum a\n", 0, 1},
		"definitions after the quorum": {"quorum none\nlog LOG1\nwitness a W1\ngroup g any a\n", 1, 1},
		"URLs":                         {"log LOG1 https://log.example/\nwitness a W1 x:y#z\nquorum a\n", 1, 1},
		"tabs, spaces, comments":       {"\t# comment\n \t\n\n  log\t LOG1  \n#quorum x\nquorum\tnone\t\n", 1, 0},
		"numeric threshold":            {"witness a W1\nwitness b W2\ngroup g 2 a b\nquorum g\n", 0, 2},
		"keywords as names":            {"witness all W1\nwitness any W2\nwitness 2 W3\ngroup group 2 all any 2\ngroup quorum all group\nquorum quorum\n", 0, 3},
		"opaque octets as names":       {"witness \xff W1\nwitness \xe2\x84\xaa W2\nwitness K W3\nwitness \u00a0 W4\ngroup \xc0 all \xff \xe2\x84\xaa K \u00a0\nquorum \xc0\n", 0, 4},
		"hash sign within a name":      {"witness a#b W1\nquorum a#b\n", 0, 1},
		"quorum also a member":         {"witness a W1\ngroup g any a\nquorum a\n", 0, 1},
		"one log, two keys":            {"log LOG1\nlog " + rotatedLog(t, "log1.example") + "\nquorum none\n", 2, 0},
		"200 of each":                  {many.String(), 200, 200},
		"largest":                      {"quorum none\n#" + strings.Repeat("x", MaxPolicySize-len("quorum none\n#\n")) + "\n", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParsePolicy([]byte(policyText(t, tt.in)))
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Logs) != tt.logs || len(p.Witnesses) != tt.witnesses {
				t.Errorf("%d logs, %d witnesses, want %d, %d", len(p.Logs), len(p.Witnesses), tt.logs, tt.witnesses)
			}
			if err := p.Satisfied(func(string) bool { return true }); err != nil {
				t.Errorf("all witnesses together: %v", err)
			}
		})
	}
}

func rotatedLog(t testing.TB, name string) string {
	t.Helper()
	s, err := GenerateSigner(strings.NewReader(strings.Repeat("r", 32)), name, Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return s.Key().String()
}

func TestParsePolicyFields(t *testing.T) {
	p := mustPolicy(t, policyText(t, "log LOG1 https://log.example/\nwitness a W1\nwitness b W2 https://b.example/\nquorum a\n"))
	want := &Policy{
		Logs: []PolicyLog{{newSigner(t, "log1.example", Ed25519).Key(), "https://log.example/"}},
		Witnesses: []PolicyWitness{
			{"a", newSigner(t, "w1.example", CosignatureV1).Key(), ""},
			{"b", newSigner(t, "w2.example", CosignatureV1).Key(), "https://b.example/"},
		},
		quorum: quorum{quorumMember, member{"a", -1}},
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, want %+v", p, want)
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	logKey := newSigner(t, "log1.example", Ed25519).Key()
	witnessKey := newSigner(t, "w1.example", CosignatureV1).Key()
	for name, tt := range map[string]struct{ in, err string }{
		"nothing":                       {"", "ends after 0 lines, without a quorum line"},
		"no quorum":                     {"log LOG1\n\n", "ends after 2 lines, without a quorum line"},
		"two quorums":                   {"quorum none\nquorum none\n", "line 2: a second quorum line"},
		"no newline at the end":         {"log LOG1\nquorum none", "line 2: no newline"},
		"CRLF":                          {"quorum none\r\n", "line 1: control character 0x0d at column 12"},
		"CR in a comment":               {"# x\ry\nquorum none\n", "line 1: control character 0x0d"},
		"NUL":                           {"# \x00\nquorum none\n", "line 1: control character 0x00"},
		"DEL":                           {"quorum none\n# \x7f\n", "line 2: control character 0x7f"},
		"vertical tab":                  {"quorum\vnone\n", "line 1: control character 0x0b"},
		"byte order mark":               {"\ufeffquorum none\n", "line 1: unknown keyword"},
		"no-break space":                {"quorum\u00a0none\n", "line 1: unknown keyword"},
		"unknown keyword":               {"quorum none\nlogs LOG1\n", `line 2: unknown keyword "logs"`},
		"upper case":                    {"Quorum none\n", "line 1: unknown keyword"},
		"comment behind quorum":         {"quorum none # none\n", "line 1: want: quorum NAME"},
		"comment behind log":            {"log LOG1 #comment\nquorum none\n", "line 1: log: URL \"#comment\": comments"},
		"comment behind log URL":        {"log LOG1 https://x/ #c\nquorum none\n", "line 1: want: log"},
		"comment behind witness":        {"witness a W1 #c\nquorum a\n", "line 1: witness \"a\": URL"},
		"comment behind group":          {"witness a W1\ngroup g any a # c\nquorum g\n", "line 2: group \"g\": member \"#\""},
		"log without key":               {"log\nquorum none\n", "line 1: want: log"},
		"log with bad key":              {"log x\nquorum none\n", "line 1: log: verifier key \"x\""},
		"log with a witness key":        {"log W1\nquorum none\n", "type cosignature/v1 (0x04), want Ed25519 (0x01), ECDSA (0x02) or ML-DSA-44"},
		"witness with a log key":        {"witness a LOG1\nquorum a\n", "type Ed25519 (0x01), want cosignature/v1 (0x04) or ML-DSA-44"},
		"log with an unknown type":      {"log " + newKey("x", 5, make([]byte, 91)).String() + "\nquorum none\n", "line 1: log: verifier key \"x"},
		"witness without key":           {"witness a\nquorum a\n", "line 1: want: witness"},
		"witness with too much":         {"witness a W1 u v\nquorum a\n", "line 1: want: witness"},
		"log twice":                     {"log LOG1\nlog LOG1\nquorum none\n", "line 2: log \"log1.example\" has the public key of log"},
		"log twice, other name":         {"log LOG1\nlog " + newKey("x", Ed25519, logKey.PublicKey()).String() + "\nquorum none\n", "line 2: log \"x\" has the public key of log"},
		"log and witness share its key": {"log LOG1\nwitness a " + newKey("x", CosignatureV1, logKey.PublicKey()).String() + "\nquorum a\n", "line 2: witness \"a\" has the public key of log \"log1.example\""},
		"witness twice":                 {"witness a W1\nwitness b W1\nquorum a\n", "line 2: witness \"b\" has the public key of witness \"a\""},
		"witness twice, other key name": {"witness a W1\nwitness b " + newKey("x", CosignatureV1, witnessKey.PublicKey()).String() + "\nquorum a\n", "line 2: witness \"b\" has the public key"},
		"name twice":                    {"witness a W1\nwitness a W2\nquorum a\n", "line 2: name \"a\" is already defined"},
		"group named as a witness":      {"witness a W1\ngroup a any a\nquorum a\n", "line 2: name \"a\" is already defined"},
		"witness named as a group":      {"witness a W1\ngroup b any a\nwitness b W2\nquorum a\n", "line 3: name \"b\" is already defined"},
		"group twice":                   {"witness a W1\nwitness b W2\ngroup g any a\ngroup g any b\nquorum g\n", "line 4: name \"g\" is already defined"},
		"witness none":                  {"witness none W1\nquorum none\n", `line 1: the name "none" is reserved`},
		"group none":                    {"witness a W1\ngroup none any a\nquorum none\n", `line 2: the name "none" is reserved`},
		"none as a member":              {"witness a W1\ngroup g any none\nquorum g\n", "line 2: group \"g\": member \"none\" is not defined"},
		"quorum undefined":              {"quorum a\n", "line 1: quorum \"a\" is not defined above"},
		"quorum defined below":          {"quorum a\nwitness a W1\n", "line 1: quorum \"a\" is not defined above"},
		"quorum without name":           {"quorum\n", "line 1: want: quorum"},
		"quorum of two":                 {"witness a W1\nwitness b W2\nquorum a b\n", "line 3: want: quorum"},
		"member undefined":              {"witness a W1\ngroup g any a b\nquorum g\n", "line 2: group \"g\": member \"b\" is not defined above"},
		"member defined below":          {"group g any a\nwitness a W1\nquorum g\n", "line 1: group \"g\": member \"a\""},
		"member of itself":              {"witness a W1\ngroup g any a g\nquorum g\n", "line 2: group \"g\": member \"g\""},
		"members of each other":         {"witness a W1\ngroup g any a h\ngroup h any g\nquorum g\n", "line 2: group \"g\": member \"h\""},
		"member twice":                  {"witness a W1\ngroup g any a a\nquorum g\n", "line 2: group \"g\": \"a\" is already a member of group \"g\""},
		"member of two groups":          {"witness a W1\ngroup g any a\ngroup h any a\nquorum g\n", "line 3: group \"h\": \"a\" is already a member of group \"g\""},
		"group in two groups":           {"witness a W1\ngroup g any a\ngroup h any g\ngroup i any g\nquorum i\n", "line 4: group \"i\": \"g\" is already"},
		"no members, all":               {"group g all\nquorum g\n", "line 1: want: group"},
		"no members, any":               {"group g any\nquorum g\n", "line 1: want: group"},
		"no threshold":                  {"witness a W1\ngroup g\nquorum a\n", "line 2: want: group"},
		"threshold 0":                   {"witness a W1\ngroup g 0 a\nquorum g\n", "line 2: group \"g\": threshold 0 of 1"},
		"threshold 2 of 1":              {"witness a W1\ngroup g 2 a\nquorum g\n", "line 2: group \"g\": threshold 2 of 1"},
		"threshold 01":                  {"witness a W1\ngroup g 01 a\nquorum g\n", "line 2: group \"g\": threshold: \"01\""},
		"threshold +1":                  {"witness a W1\ngroup g +1 a\nquorum g\n", "line 2: group \"g\": threshold: \"+1\""},
		"threshold -1":                  {"witness a W1\ngroup g -1 a\nquorum g\n", "line 2: group \"g\": threshold: \"-1\""},
		"threshold 2^64+1":              {"witness a W1\ngroup g 18446744073709551617 a\nquorum g\n", "line 2: group \"g\": threshold"},
		"threshold ALL":                 {"witness a W1\ngroup g ALL a\nquorum g\n", "line 2: group \"g\": threshold"},
		"one byte too many":             {"quorum none\n#" + strings.Repeat("x", MaxPolicySize-len("quorum none\n#\n")+1) + "\n", "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePolicy([]byte(policyText(t, tt.in)))
			wantError(t, err, tt.err)
		})
	}
}

func TestPolicyOpenCheckpoint(t *testing.T) {
	text := "log1.example\n1\n" + someRoot + "\n"
	p := mustPolicy(t, policyText(t, "log LOG1\nlog LOG2\nwitness a W1\nwitness b W2\nwitness c W3\ngroup g 2 a b c\nquorum g\n"))
	log1, log2 := newSigner(t, "log1.example", Ed25519), newSigner(t, "log2.example", Ed25519)
	unknown := newSigner(t, "log3.example", Ed25519)
	var w []*Signer
	for i := range 10 {
		w = append(w, newSigner(t, fmt.Sprintf("w%d.example", i), CosignatureV1))
	}
	type result struct {
		cosigned string // "a b"
		err      error
	}
	for name, tt := range map[string]struct {
		signed []byte
		want   result
	}{
		"all":                          {signNote(t, text, log1, w[1], w[2], w[3]), result{"a b c", nil}},
		"quorum":                       {signNote(t, text, w[3], log1, w[1]), result{"a c", nil}},
		"strangers too":                {signNote(t, text, unknown, w[3], w[9], log1, w[1]), result{"a c", nil}},
		"another known log too":        {signNote(t, text, log2, w[3], log1, w[1]), result{"a c", nil}},
		"one short":                    {signNote(t, text, log1, w[2], w[9]), result{"b", &QuorumError{}}},
		"one witness twice counts one": {signNote(t, text, log1, w[2], w[2]), result{"b", &QuorumError{}}},
		"log alone":                    {signNote(t, text, log1), result{"", &QuorumError{}}},
		"witnesses alone":              {signNote(t, text, w[1], w[2]), result{"", ErrUnknownLog}},
		"unknown log":                  {signNote(t, text, unknown, w[1], w[2]), result{"", ErrUnknownLog}},
		"another known log":            {signNote(t, text, log2, w[1], w[2]), result{"", ErrUnknownLog}},
		"known log, other origin":      {signNote(t, "x"+text, log1, w[1], w[2]), result{"", ErrUnknownLog}},
	} {
		t.Run(name, func(t *testing.T) {
			sc, err := p.OpenCheckpoint(tt.signed)
			checkOpened(t, sc, err, tt.want.cosigned, tt.want.err)
			if sc != nil && (sc.Log != log1.Key() || sc.Origin != "log1.example" || sc.Tree.N != 1) {
				t.Errorf("got %+v", sc)
			}
		})
	}

	// One known signature that fails spoils the note, wherever it stands and
	// however good the rest is.
	good, err := ParseNote(signNote(t, text, log1, w[1], w[2], w[3], log2))
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range good.Signatures {
		s.Sig = bytes.Clone(s.Sig)
		s.Sig[20] ^= 1
		for at := range len(good.Signatures) + 1 {
			n := Note{Text: text}
			n.Signatures = append(n.Signatures, good.Signatures[:at]...)
			n.Signatures = append(n.Signatures, s)
			n.Signatures = append(n.Signatures, good.Signatures[at:]...)
			sc, err := p.OpenCheckpoint(n.Marshal())
			if !errors.Is(err, ErrBadSignature) || sc != nil {
				t.Errorf("bad signature %d inserted at %d: %v", i, at, err)
			}
		}
	}
}

// checkOpened checks what OpenCheckpoint gave. A wantErr of type *QuorumError
// stands for any of that type.
func checkOpened(t *testing.T, sc *SignedCheckpoint, err error, cosigned string, wantErr error) {
	t.Helper()
	var quorumErr *QuorumError
	if errors.As(wantErr, &quorumErr) {
		if !errors.As(err, &quorumErr) {
			t.Fatalf("error %v, want a QuorumError", err)
		}
	} else if !errors.Is(err, wantErr) {
		t.Fatalf("error %v, want %v", err, wantErr)
	} else if wantErr != nil {
		if sc != nil {
			t.Error("a checkpoint is returned beside the error")
		}
		return
	}
	var names []string
	for _, c := range sc.Cosignatures {
		names = append(names, c.Witness)
	}
	if got := strings.Join(names, " "); got != cosigned {
		t.Errorf("cosigned by %q, want %q", got, cosigned)
	}
}

func TestCosignatureTimes(t *testing.T) {
	text := "log1.example\n1\n" + someRoot + "\n"
	p := mustPolicy(t, policyText(t, "log LOG1\nwitness a W1\nwitness b W2\nquorum none\n"))
	a, b := newSigner(t, "w1.example", CosignatureV1), newSigner(t, "w2.example", CosignatureV1)
	n := Note{Text: text, Signatures: []Signature{
		sign(t, b, text, 0), sign(t, a, text, 5), sign(t, a, text, 9), sign(t, a, text, 7),
		sign(t, newSigner(t, "log1.example", Ed25519), text, 0),
	}}
	sc, err := p.OpenCheckpoint(n.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if want := []Cosignature{{"a", a.Key(), 9}, {"b", b.Key(), 0}}; !reflect.DeepEqual(sc.Cosignatures, want) {
		t.Errorf("got %v, want %v", sc.Cosignatures, want)
	}
}

func TestEmptyPolicies(t *testing.T) {
	w := newWorld(t)
	signed := w.checkpoint(t, EmptyTree)
	all := func(string) bool { return true }
	handMade := &Policy{Logs: w.policy.Logs, Witnesses: w.policy.Witnesses}
	var quorumErr *QuorumError
	for name, p := range map[string]*Policy{"nil": nil, "zero": new(Policy), "hand-made": handMade} {
		if err := p.Satisfied(all); !errors.As(err, &quorumErr) {
			t.Errorf("%s: satisfied: %v", name, err)
		}
		if _, err := p.OpenCheckpoint(signed); err == nil {
			t.Errorf("%s: opens a checkpoint", name)
		}
	}
	if _, err := new(Policy).OpenCheckpoint(signed); !errors.Is(err, ErrUnknownLog) {
		t.Errorf("zero policy: %v", err)
	}

	// A policy without logs becomes usable once its user adds one.
	p := mustPolicy(t, "quorum none\n")
	if _, err := p.OpenCheckpoint(signed); !errors.Is(err, ErrUnknownLog) {
		t.Errorf("no logs: %v", err)
	}
	p.Logs = append(p.Logs, PolicyLog{Key: w.log.Key()})
	if _, err := p.OpenCheckpoint(signed); err != nil {
		t.Error(err)
	}
	p.Logs = append(p.Logs, PolicyLog{})
	_, err := p.OpenCheckpoint(signed)
	wantError(t, err, "a log needs Ed25519")
}

func TestMangledCheckpoint(t *testing.T) {
	w := newWorld(t)
	signed := w.checkpoint(t, Tree{N: 5, Hash: LeafHash(nil)})
	if _, err := w.policy.OpenCheckpoint(signed); err != nil {
		t.Fatal(err)
	}
	mutations(signed, func(what string, b []byte) {
		if _, err := w.policy.OpenCheckpoint(b); err == nil {
			t.Errorf("%s: still accepted", what)
		}
	})
}

// A witness whose key would be taken for a log's own is left out of the keys that evidence is
// checked with: a policy may list such a one, and two witnesses of one name.
func TestPolicyKeys(t *testing.T) {
	log := newSigner(t, "log.example", Ed25519).Key()
	second := newSigner(t, "log.example", MLDSA44).Key()
	likeLog := newSigner(t, "log.example", CosignatureV1).Key()
	w1, other := newSigner(t, "w1.example", CosignatureV1).Key(), newSigner(t, "w1.example", MLDSA44).Key()
	for _, tt := range []struct {
		name, policy string
		want         []Key
	}{
		{"a log with two keys", fmt.Sprintf("log %v\nlog %v\nwitness a %v\nwitness b %v\nwitness c %v\nquorum none\n", log, second, w1, other, likeLog), []Key{log, second, w1, other, likeLog}},
		{"a witness like the log", fmt.Sprintf("witness b %v\nlog %v\nwitness a %v\nquorum none\n", second, log, w1), []Key{log, w1}},
	} {
		p, err := ParsePolicy([]byte(tt.policy))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Keys(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
