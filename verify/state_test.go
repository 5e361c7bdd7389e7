package verify_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func exampleState() verify.State {
	return verify.State{
		Serial:      12,
		Tree:        proofs.Tree{N: 7, Hash: proofs.Hash(tuf.Sum([]byte("tree")))},
		TreeOf:      "log.example/a",
		Repository:  tuf.Sum([]byte("repository")),
		TrustedRoot: tuf.Sum([]byte("root")),
		Root:        verify.Seen{Version: 3, Payload: tuf.Sum([]byte("root 3"))},
		Timestamp: verify.Seen{Version: 9, Payload: tuf.Sum([]byte("timestamp")),
			Signers: []tuf.Digest{tuf.Sum([]byte("key"))}, Listed: map[string]int64{"snapshot.json": 8}},
		Snapshot: verify.Seen{Version: 8, Payload: tuf.Sum([]byte("snapshot")),
			Signers: []tuf.Digest{tuf.Sum([]byte("key"))}, Listed: map[string]int64{"targets.json": 7, "ö/<>.json": 1}},
		Accepted: map[string][]verify.AcceptedRelease{
			"targets": {{Version: 7, Payload: tuf.Sum([]byte("targets")), Signers: []tuf.Digest{tuf.Sum([]byte("key"))}}},
			"ö/<>":    {{Delegator: "targets", Version: 1, Payload: tuf.Sum([]byte("ö")), Signers: []tuf.Digest{tuf.Sum([]byte("key"))}}},
		},
		Log:       "log.example/a",
		Witnesses: map[tuf.Digest]int64{tuf.Sum([]byte("witness")): 1767225600},
		Clock:     1767225601,
		Required: &verify.Requirements{Policy: []byte("quorum none\n"), Install: verify.InstallPolicy{
			Repository: tuf.Sum([]byte("repository")), MinAge: 48 * time.Hour, NextPolicy: "next/é.txt", RootQuarantine: 7 * day,
		}},
		Adopted: &verify.Adopted{Policy: []byte("quorum none\n"), For: tuf.Sum([]byte("configured"))},
		Waiting: []verify.Waiting{
			{Role: "ö/<>", Version: 2, Payload: tuf.Sum([]byte("ö 2")), Code: verify.CodeTooYoung, Since: 1767225602, Under: tuf.Sum([]byte("policies")), Detail: "version 2 is too young", Evidence: "signed", Age: 7, MayWait: 2592000, Until: 604800},
			{Payload: tuf.Sum([]byte("another policy")), Code: verify.CodeDowngrade, Under: tuf.Sum([]byte("policies"))},
		},
		Approved: []verify.Approved{{Role: "targets", Version: 8, Payload: tuf.Sum([]byte("targets 8")), Time: 1767225603}},
		Unlogged: []verify.Approved{{Role: "targets", Version: 7, Payload: tuf.Sum([]byte("targets")), Unlogged: true}},

		GivenTrust: true, GivenInstall: true,
	}
}

func TestStateRoundTrip(t *testing.T) {
	pinned := verify.State{Repository: tuf.Sum([]byte("a")), TrustedRoot: tuf.Sum([]byte("b")), Root: verify.Seen{Version: 1, Payload: tuf.Sum([]byte("b"))}}
	earlier := exampleState() // which accepted releases under a policy that is refused now
	earlier.Required.Install.Require = []string{"root"}
	for _, s := range []verify.State{exampleState(), pinned, earlier} {
		b, err := s.Marshal()
		wantOK(t, err)
		got, err := verify.ParseState(b)
		wantOK(t, err)
		if !reflect.DeepEqual(got, s) {
			t.Errorf("got %+v\nwant %+v", got, s)
		}
	}
}

// sealed puts a state's inner part together with its checksum.
func sealed(state string) []byte {
	return fmt.Appendf(nil, `{"sha256": "%v", "state": %s}`, tuf.Sum([]byte(state)), state)
}

func TestParseStateRefuses(t *testing.T) {
	good, err := exampleState().Marshal()
	wantOK(t, err)
	if bytes.Contains(good, []byte(`\u`)) {
		t.Errorf("names are escaped without need: %s", good)
	}
	for i := range good {
		damaged := bytes.Clone(good)
		damaged[i] ^= 1
		// White space around the parts may become other white space.
		if s, err := verify.ParseState(damaged); err == nil && strings.TrimSpace(string(good[i:i+1])) != "" {
			t.Errorf("byte %d changed: accepted as %+v", i, s)
		}
	}
	text := string(good[bytes.Index(good, []byte(`"state": `))+len(`"state": `) : len(good)-len("}\n")])
	if _, err := verify.ParseState(sealed(text)); err != nil {
		t.Fatal(err)
	}
	edits := map[string]string{
		"cut short":             text[:len(text)/2],
		"empty":                 "",
		"a list":                "[]",
		"null":                  "null",
		"trailing bytes":        text + "x",
		"another version":       strings.Replace(text, `"version":3`, `"version":4`, 1),
		"no version":            strings.Replace(text, `"version":3,`, "", 1),
		"unknown field":         strings.Replace(text, `"version":3,`, `"version":3, "more": 0,`, 1),
		"name in capitals":      strings.Replace(text, `"repository"`, `"Repository"`, 1),
		"field twice":           strings.Replace(text, `"version":3,`, `"version":3, "version":3,`, 1),
		"no root":               strings.Replace(text, `"version":3,`, "", 1),
		"version 0":             strings.Replace(text, `"version":3`, `"version":0`, 1),
		"version null":          strings.Replace(text, `"version":3`, `"version":null`, 1),
		"negative time":         strings.Replace(text, "1767225600", "-1767225600", 1),
		"fraction":              strings.Replace(text, "1767225600", "1767225600.5", 1),
		"short digest":          strings.Replace(text, tuf.Sum([]byte("root")).String(), "abcd", 1),
		"upper-case digest":     strings.Replace(text, tuf.Sum([]byte("root")).String(), strings.ToUpper(tuf.Sum([]byte("root")).String()), 1),
		"zero repository":       strings.Replace(text, tuf.Sum([]byte("repository")).String(), strings.Repeat("0", 64), 1),
		"signers not a list":    strings.Replace(text, `"signers":[`, `"signers":{}, "listed":[`, 1),
		"listed role of 0":      strings.Replace(text, `"targets.json":7`, `"targets.json":0`, 1),
		"listed twice":          strings.Replace(text, `"targets.json":7`, `"targets.json":7,"targets.json":7`, 1),
		"invalid UTF-8":         strings.Replace(text, "targets.json", "targets\xff.json", 1),
		"version of 2^53":       strings.Replace(text, `"targets.json":7`, `"targets.json":9007199254740992`, 1),
		"too long":              text + strings.Repeat(" ", verify.MaxStateSize),
		"witnesses not a table": strings.Replace(text, `"witnesses":{`, `"witnesses":[], "x":{`, 1),
		"a witness by name":     strings.Replace(text, tuf.Sum([]byte("witness")).String(), "witness.example/w1", 1),
		"clock at zero":         strings.Replace(text, `"clock":1767225601`, `"clock":0`, 1),
		"empty log":             strings.Replace(text, `"log":"log.example/a"`, `"log":""`, 1),
		"nothing accepted":      strings.Replace(text, `"targets":[`, `"x":[],"targets":[`, 1),
		"accepted unsigned":     strings.Replace(text, `"signers":["`+tuf.Sum([]byte("key")).String()+`"]}],"`, `"signers":[]}],"`, 1),
		"accepted twice":        strings.Replace(text, `"targets":[`, `"targets":[{"version":7,"payload":"`+tuf.Sum([]byte("targets")).String()+`","signers":["`+tuf.Sum([]byte("key")).String()+`"]},`, 1),
		"waiting of nobody":     strings.Replace(text, `"waiting":[{"role":"ö/<>",`, `"waiting":[{`, 1),
		"waiting without under": strings.Replace(text, `,"under":"`+tuf.Sum([]byte("policies")).String()+`"`, "", 1),
		"waiting for nothing":   strings.Replace(text, `"code":"too-young",`, "", 1),
		"nothing waiting":       text[:strings.Index(text, `"waiting":[`)] + `"waiting":[],` + text[strings.Index(text, `"approved":[`):],
		"approved as 1":         strings.Replace(text, `"unlogged":true`, `"unlogged":1`, 1),
		"given as false":        strings.Replace(text, `"given_install":true`, `"given_install":false`, 1),
		"approved at zero":      strings.Replace(text, `"time":1767225603`, `"time":0`, 1),
		"adopted for nothing":   strings.Replace(text, `,"for":"`+tuf.Sum([]byte("configured")).String()+`"`, "", 1),
		"policy cut short":      strings.Replace(text, `"policy":"`, `"policy":"AAAA`, 1),
		"another install":       strings.Replace(text, `"min_age":"2d"`, `"min_age":2`, 1),
		"no faulty witnesses":   strings.Replace(text, `"faulty_witnesses":0,`, "", 1),
		"an empty delegator":    strings.Replace(text, `"delegator":"targets"`, `"delegator":""`, 1),
	}
	for name, edited := range edits {
		if edited == text {
			t.Errorf("%s: the edit changes nothing", name)
		}
		if s, err := verify.ParseState(sealed(edited)); err == nil {
			t.Errorf("%s: accepted as %+v", name, s)
		}
	}
}

func FuzzParseState(f *testing.F) {
	b, err := exampleState().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b[bytes.Index(b, []byte(`"state": `))+len(`"state": `) : len(b)-2]))
	f.Add(`{"version":1,"repository":"x","witnesses":{"w":1}}`)
	f.Fuzz(func(t *testing.T, state string) {
		s, err := verify.ParseState(sealed(state))
		if err != nil {
			return
		}
		out, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := verify.ParseState(out)
		if err != nil {
			t.Fatalf("printed %s: %v", out, err)
		}
		out2, err := again.Marshal()
		if err != nil || !bytes.Equal(out, out2) {
			t.Fatalf("%s and %s, %v", out, out2, err)
		}
	})
}

// A device that was made by the version before goes on: of what it remembers only the
// times of witnesses, which it had by name, are forgotten.
func TestParseStateOfVersion1(t *testing.T) {
	s := exampleState()
	text := fmt.Sprintf(`{"version": 1, "repository": "%v", "trusted_root": "%v", "root": {"version": 3, "payload": "%v"}, "witnesses": {"witness.example/w1": 1767225600}}`,
		s.Repository, s.TrustedRoot, s.Root.Payload)
	got, err := verify.ParseState(sealed(text))
	wantOK(t, err)
	if want := (verify.State{Repository: s.Repository, TrustedRoot: s.TrustedRoot, Root: s.Root}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// Version 2 had nothing of what waits and what was required.
func TestParseStateOfVersion2(t *testing.T) {
	s := exampleState()
	s.Required, s.Adopted, s.Waiting, s.Approved, s.Unlogged = nil, nil, nil, nil, nil
	b, err := s.Marshal()
	wantOK(t, err)
	text := string(b[bytes.Index(b, []byte(`"state": `))+len(`"state": `) : len(b)-len("}\n")])
	got, err := verify.ParseState(sealed(strings.Replace(text, `"version":3`, `"version":2`, 1)))
	wantOK(t, err)
	if !reflect.DeepEqual(got, s) {
		t.Errorf("got %+v\nwant %+v", got, s)
	}
}

// What cannot be read again is not printed.
func TestMarshalRefuses(t *testing.T) {
	large := exampleState()
	for i := range verify.MaxStateSize/100_000 + 1 {
		large.Snapshot.Listed[fmt.Sprint(i, strings.Repeat("x", 100_000))] = 1
	}
	wrong := exampleState()
	wrong.Timestamp.Payload = tuf.Digest{}
	for name, s := range map[string]verify.State{"too large": large, "no payload": wrong, "empty": {}} {
		if b, err := s.Marshal(); err == nil {
			t.Errorf("%s: printed %d bytes", name, len(b))
		}
	}
}
