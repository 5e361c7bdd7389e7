package tuf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"
)

// One small valid file of every type; the tests change one thing at a time.
const (
	rootFile = `{"signatures":[{"keyid":"k1","sig":"0a0B"},{"keyid":"k2","sig":""}],
"signed":{"_type":"root","spec_version":"1.0.31","version":3,"expires":"2030-01-02T03:04:05Z","consistent_snapshot":true,
"keys":{"k1":{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00"}},"k2":{"keytype":"new","scheme":"newer","keyval":{}}},
"roles":{"root":{"keyids":["k1"],"threshold":1},"targets":{"keyids":["k1","k2"],"threshold":2},
"snapshot":{"keyids":["k1","k1","k9"],"threshold":1},"timestamp":{"keyids":[],"threshold":1024}}}}`
	targetsText = `{"signatures":[],
"signed":{"_type":"targets","spec_version":"1.0","version":1,"expires":"2021-12-18T13:28:12.99008-06:00",
"targets":{"a.bin":{"length":5,"hashes":{"sha256":"00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF","new":"abcd"},"custom":{"n":null,"m":[null,1]}}},
"delegations":{"keys":{},"roles":[
{"name":"one","keyids":["k1"],"threshold":1,"paths":["*.bin","x/?"],"terminating":true},
{"name":"two","keyids":["k1"],"threshold":2,"path_hash_prefixes":["0","ab12"],"terminating":false}]}}}`
	succinctText = `{"signatures":[],"signed":{"_type":"targets","spec_version":"1.0","version":1,"expires":"2030-01-02T03:04:05Z","targets":{},
"delegations":{"keys":{},"succinct_roles":{"keyids":["k1"],"threshold":1,"bit_length":8,"name_prefix":"bin"}}}}`
	snapshotFile = `{"signatures":[],"signed":{"_type":"snapshot","spec_version":"1.0","version":1,"expires":"2030-01-02T03:04:05Z",
"meta":{"targets.json":{"version":3},"one.json":{"version":2,"length":0,"hashes":{"sha512":"` + zeros128 + `"}}}}}`
	timestampFile = `{"signatures":[],"signed":{"_type":"timestamp","spec_version":"1.0","version":1,"expires":"2030-01-02T03:04:05Z",
"meta":{"snapshot.json":{"version":9}}}}`
	zeros128 = "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
)

func TestParseJSON(t *testing.T) {
	root, err := ParseJSON([]byte(rootFile))
	if err != nil {
		t.Fatal(err)
	}
	if root.Type != "root" || root.Version != 3 || root.SpecVersion != "1.0.31" || root.Encoding != JSON ||
		!root.Expires.Equal(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("root: %+v", root)
	}
	if want := []Signature{{"k1", []byte{10, 11}}}; !reflect.DeepEqual(root.Signatures, want) {
		t.Errorf("signatures: %v, want %v", root.Signatures, want)
	}
	if !bytes.Equal(root.File, []byte(rootFile)) || root.FileDigest != Sum(root.File) || root.PayloadDigest != Sum(root.Payload) {
		t.Error("file, payload and digests do not agree")
	}
	const payload = `{"_type":"root","consistent_snapshot":true,"expires":"2030-01-02T03:04:05Z","keys":{"k1":{"keytype":"ed25519","keyval":{"public":"00"},"scheme":"ed25519"},"k2":{"keytype":"new","keyval":{},"scheme":"newer"}},"roles":{"root":{"keyids":["k1"],"threshold":1},"snapshot":{"keyids":["k1","k1","k9"],"threshold":1},"targets":{"keyids":["k1","k2"],"threshold":2},"timestamp":{"keyids":[],"threshold":1024}},"spec_version":"1.0.31","version":3}`
	if string(root.Payload) != payload {
		t.Errorf("payload: %s\nwant %s", root.Payload, payload)
	}
	if root.Targets != nil || root.Snapshot != nil || root.Timestamp != nil || !root.Root.ConsistentSnapshot {
		t.Errorf("root: %+v", root)
	}
	if k := root.Root.Keys["k2"]; len(root.Root.Keys) != 2 || k.ID != "k2" || k.Type != "new" || k.Scheme != "newer" {
		t.Errorf("keys: %+v", root.Root.Keys)
	}
	wantRoles := map[string]Role{
		"root": {[]string{"k1"}, 1}, "targets": {[]string{"k1", "k2"}, 2},
		"snapshot": {[]string{"k1", "k1", "k9"}, 1}, "timestamp": {nil, 1024},
	}
	if !reflect.DeepEqual(root.Root.Roles, wantRoles) {
		t.Errorf("roles: %v", root.Root.Roles)
	}

	targets, err := ParseJSON([]byte(targetsText))
	if err != nil {
		t.Fatal(err)
	}
	wantFiles := map[string]TargetFile{"a.bin": {
		Length: 5,
		Hashes: map[string]string{"sha256": "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "new": "abcd"},
		Custom: []byte(`{"m":[null,1],"n":null}`),
	}}
	file, _ := targets.Targets.File("a.bin")
	if got := maps.Collect(ObjectMembers(file.Value)); !bytes.Equal(got["custom"], file.Custom) || len(got) < 3 {
		t.Errorf("all that it says of a.bin: %s", file.Value)
	}
	want := wantFiles["a.bin"]
	want.Value = file.Value
	wantFiles["a.bin"] = want
	if got := maps.Collect(targets.Targets.Files()); !reflect.DeepEqual(got, wantFiles) || targets.Targets.Len() != len(wantFiles) {
		t.Errorf("targets: %v", got)
	}
	wantDelegated := []DelegatedRole{
		{Name: "one", Role: Role{[]string{"k1"}, 1}, Paths: []string{"*.bin", "x/?"}, Terminating: true},
		{Name: "two", Role: Role{[]string{"k1"}, 2}, PathHashPrefixes: []string{"0", "ab12"}},
	}
	if d := targets.Targets.Delegations; !reflect.DeepEqual(d.Roles, wantDelegated) || d.Keys == nil || d.Succinct != nil {
		t.Errorf("delegations: %+v", d)
	}

	succinct, err := ParseJSON([]byte(succinctText))
	if err != nil {
		t.Fatal(err)
	}
	if d := succinct.Targets.Delegations; d.Roles != nil || !reflect.DeepEqual(d.Succinct, &Succinct{Role{[]string{"k1"}, 1}, 8, "bin"}) {
		t.Errorf("delegations: %+v", d)
	}

	snapshot, err := ParseJSON([]byte(snapshotFile))
	if err != nil {
		t.Fatal(err)
	}
	wantMeta := map[string]MetaFile{
		"targets.json": {Version: 3, Length: -1},
		"one.json":     {Version: 2, Length: 0, Hashes: map[string]string{"sha512": zeros128}},
	}
	if got := maps.Collect(snapshot.Snapshot.Files()); !reflect.DeepEqual(got, wantMeta) || snapshot.Snapshot.Len() != len(wantMeta) {
		t.Errorf("snapshot: %v", got)
	}
	timestamp, err := ParseJSON([]byte(timestampFile))
	if err != nil || timestamp.Timestamp.Snapshot().Version != 9 {
		t.Errorf("timestamp: %+v, %v", timestamp, err)
	}
}

// TestAccepted changes files in ways that must not matter to the reader.
func TestAccepted(t *testing.T) {
	for _, test := range []struct{ file, old, new string }{
		{rootFile, `"sig":""`, `"sig":"","method":"ed25519","Method":[1]`},
		{rootFile, `,{"keyid":"k2","sig":""}`, `,{"keyid":"K1","sig":"00"}`},
		{rootFile, `"sig":""`, `"sig":"0"`},
		{rootFile, `"sig":""`, `"sig":"bm90IGhleA==","bundle":{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`},
		{rootFile, `"version":3`, `"version":9007199254740991`},
		{rootFile, `"consistent_snapshot":true,`, ``},
		{rootFile, `"_type":"root"`, `"x":{"_type":"targets","deep":[[[1]]]},"_type":"root"`},
		{rootFile, `"keyval":{}`, `"keyval":{"identity":"me"},"keyid_hash_algorithms":["sha256"]`},
		{rootFile, `"timestamp":{`, `"mirrors":{"threshold":"none"},"timestamp":{"x-tuf-on-ci-expiry-period":30,`},
		{rootFile, `"signed"`, `  "signed" `},
		{rootFile, `"signed":{"_type":"root"`, `"signed":{"\u005ftype":"ro\u006ft"`},
		{targetsText, `"length":5,`, ``},
		{targetsText, `"length":5`, `"length":9223372036854775807`},
		{targetsText, `{"n":null,"m":[null,1]}`, `"text"`},
		{targetsText, `"spec_version"`, `"meta":{"a":1},"keys":[],"Meta":2,"spec_version"`},
		{targetsText, `"paths":["*.bin","x/?"]`, `"paths":[]`},
		{targetsText, `,"terminating":true`, ``},
		{targetsText, `"name":"one"`, `"name":"../..","title":-5`},
		{succinctText, `"bit_length":8`, `"bit_length":14`},
		{succinctText, `"bit_length":8`, `"bit_length":1`},
		{snapshotFile, `"hashes":{"sha512":"` + zeros128 + `"}`, `"hashes":{}`},
		{timestampFile, `"meta":{"snapshot.json":{"version":9}}}}`, `"meta":{"snapshot.json":{"version":9}}}}` + " \n\r\t"},
	} {
		text := edit(t, test.file, test.old, test.new)
		m, err := ParseJSON([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", test.new, err)
			continue
		}
		if _, err := canonical(string(m.Payload)); err != nil && !strings.Contains(err.Error(), "null") {
			t.Errorf("%s: payload %s: %v", test.new, m.Payload, err)
		}
	}
}

// TestRefused names, for every rule, the place and the reason.
func TestRefused(t *testing.T) {
	for _, test := range []struct{ file, old, new, want string }{
		// the file
		{rootFile, `"signatures":[{"keyid":"k1","sig":"0a0B"},{"keyid":"k2","sig":""}],`, ``, `metadata: "signatures" is missing (byte 0)`},
		{rootFile, `"signed":{`, `"signatures":[],"signed":{`, `metadata: name "signatures" is repeated`},
		{rootFile, `"signed":{`, `"Signed":{`, `metadata: name "Signed" differs only in case from "signed"`},
		{rootFile, `"signed":{`, `"ſigned":{`, `differs only in case from "signed"`},
		{rootFile, `"signed":{`, `"extra":1,"signed":{`, `metadata: extra: a metadata file has`},
		{rootFile, `"sig":""}],`, `"sig":""}],"signed":{"_type":"root"},`, `signed: "spec_version" is missing`},
		{timestampFile, `{"version":9}}}}`, `{"version":9}}}}{}`, `an object after the end`},
		{timestampFile, `{"version":9}}}}`, `{"version":9}}}}` + "\x00", `after the end`},
		// signatures
		{rootFile, `[{"keyid":"k1","sig":"0a0B"},{"keyid":"k2","sig":""}]`, `null`, `signatures: want an array, found null`},
		{rootFile, `"keyid":"k2"`, `"keyid":"k1"`, `signatures[1]: second signature under key id "k1"`},
		{rootFile, `"keyid":"k2"`, `"keyid":"\u006b1"`, `signatures[1]: second signature under key id "k1"`},
		{rootFile, `"keyid":"k2","sig":""`, `"keyid":"k1","sig":"no hex"`, `signatures[1]: second signature under key id "k1"`},
		{rootFile, `"sig":""`, `"sig":00`, `signatures[1].sig: want a string, found a number`},
		{rootFile, `"sig":""`, `"sig":"","Sig":"00"`, `signatures[1]: name "Sig" differs only in case from "sig"`},
		{rootFile, `"sig":""`, `"sig":"","\u212Aeyid":"00"`, `differs only in case from "keyid"`},
		{rootFile, `,"sig":""`, ``, `signatures[1]: "sig" is missing`},
		{rootFile, `"keyid":"k2",`, ``, `signatures[1]: "keyid" is missing`},
		{rootFile, `"sig":""`, `"sig":"","x":null`, `signatures[1].x: null is not allowed`},
		{rootFile, `"sig":""`, `"sig":"","x":1,"x":1`, `signatures[1]: name "x" is repeated`},
		// signed
		{rootFile, `"_type":"root"`, `"_type":"Root"`, `signed._type: "Root", want root`},
		{rootFile, `"_type":"root",`, ``, `signed: "_type" is missing`},
		{rootFile, `"_type":"root"`, `"_type":1`, `signed._type: want a string, found a number`},
		{rootFile, `"_type":"root"`, `"x":1,"_type":"root","_type":"targets"`, `signed: name "_type" is repeated`},
		{rootFile, `"version":3,`, ``, `signed: "version" is missing`},
		{rootFile, `"version":3`, `"version":0`, `signed.version: number 0 is not between 1 and 9007199254740991`},
		{rootFile, `"version":3`, `"version":9007199254740992`, `signed.version: number 9007199254740992 is not between`},
		{rootFile, `"version":3`, `"version":"3"`, `signed.version: want an integer, found a string`},
		{rootFile, `"version":3`, `"version":3.0`, `signed.version: number is not written as an integer`},
		{rootFile, `"version":3`, `"version":3,"Version":4`, `signed: name "Version" differs only in case`},
		{rootFile, `"version":3`, `"x-version":null,"version":3`, `signed["x-version"]: null is not allowed`},
		{rootFile, `"1.0.31"`, `1`, `signed.spec_version: want a string`},
		{rootFile, `"expires":"2030-01-02T03:04:05Z",`, ``, `signed: "expires" is missing`},
		{rootFile, `03:04:05Z`, `03:04:05`, `signed.expires: "2030-01-02T03:04:05" is not a time`},
		// root
		{rootFile, `"consistent_snapshot":true`, `"consistent_snapshot":1`, `signed.consistent_snapshot: want true or false, found a number`},
		{rootFile, `"consistent_snapshot":true`, `"consistent_snapshot":null`, `found null`},
		{rootFile, `"keyval":{}`, `"keyval":{"public":7}`, `signed.keys["k2"].keyval.public: want a string`},
		{rootFile, `"keyval":{}`, `"keyval":{"Public":"7"}`, `signed.keys["k2"].keyval: name "Public" differs`},
		{rootFile, `,"keyval":{}`, ``, `signed.keys["k2"]: "keyval" is missing`},
		{rootFile, `"keytype":"new",`, ``, `signed.keys["k2"]: "keytype" is missing`},
		{rootFile, `"scheme":"newer",`, ``, `signed.keys["k2"]: "scheme" is missing`},
		{rootFile, `"k2":{"keytype"`, `"k1":{"keytype"`, `signed.keys: name "k1" is repeated`},
		{rootFile, `"threshold":2`, `"threshold":0`, `signed.roles["targets"].threshold: number 0`},
		{rootFile, `"threshold":1024`, `"threshold":1025`, `signed.roles["timestamp"].threshold: number 1025`},
		{rootFile, `,"threshold":2`, ``, `signed.roles["targets"]: "threshold" is missing`},
		{rootFile, `"keyids":["k1","k2"],`, ``, `signed.roles["targets"]: "keyids" is missing`},
		{rootFile, `"keyids":["k1","k2"]`, `"KeyIds":[]`, `signed.roles["targets"]: name "KeyIds" differs only in case from "keyids"`},
		{rootFile, `["k1","k2"]`, `["k1",2]`, `signed.roles["targets"].keyids[1]: want a string`},
		{rootFile, `"timestamp":{`, `"Timestamp":{`, `signed.roles: name "Timestamp" differs only in case`},
		{rootFile, `"timestamp":{`, `"mirrors":{`, `signed.roles: "timestamp" is missing`},
		// targets
		{targetsText, `"targets":{"a.bin"`, `"Targets":{"a.bin"`, `signed: name "Targets" differs only in case from "targets"`},
		{succinctText, `"targets":{}`, `"x":{}`, `signed: "targets" is missing`},
		{targetsText, `"length":5`, `"length":-1`, `signed.targets["a.bin"].length: number -1`},
		{targetsText, `"length":5`, `"Length":5`, `signed.targets["a.bin"]: name "Length" differs`},
		{targetsText, `"length":5`, `"x":null`, `signed.targets["a.bin"].x: null is not allowed`},
		{targetsText, `{"n":null,"m":[null,1]}`, `null`, `signed.targets["a.bin"].custom: want a value, found null`},
		{targetsText, `{"n":null,"m":[null,1]}`, `{"n":1,"n":1}`, `signed.targets["a.bin"].custom: name "n" is repeated`},
		{targetsText, `{"n":null,"m":[null,1]}`, `{"n":1.5}`, `signed.targets["a.bin"].custom["n"]: number is not written`},
		{targetsText, `"custom":{"n":null`, `"x":{"n":null`, `signed.targets["a.bin"].x["n"]: null is not allowed`},
		{targetsText, `"hashes":{"sha256"`, `"x":{"sha256"`, `signed.targets["a.bin"]: "hashes" is missing`},
		{targetsText, `"sha256":"00`, `"sha256":"`, `signed.targets["a.bin"].hashes["sha256"]: hash of 62 hex digits, want 64`},
		{targetsText, `"sha256":"00`, `"sha256":"0g`, `hashes["sha256"]: hash is not hexadecimal`},
		{targetsText, `"sha256":"00`, `"sha512":"00`, `hashes["sha512"]: hash of 64 hex digits, want 128`},
		{targetsText, `"sha256":"00`, `"SHA256":"00`, `hashes: name "SHA256" differs only in case`},
		{targetsText, `"new":"abcd"`, `"new":"abc"`, `hashes["new"]: hash is not hexadecimal`},
		{targetsText, `"new":"abcd"`, `"new":""`, `hashes["new"]: hash is not hexadecimal`},
		{targetsText, `"new":"abcd"`, `"new":7`, `hashes["new"]: want a string`},
		// delegations
		{targetsText, `"delegations":{`, `"delegations":null,"x":{`, `signed.delegations: want an object, found null`},
		{targetsText, `"keys":{},`, ``, `signed.delegations: "keys" is missing`},
		{succinctText, `"keys":{},`, `"keys":{},"roles":[],`, `signed.delegations: want either roles or succinct_roles`},
		{succinctText, `"succinct_roles"`, `"x"`, `signed.delegations: want either roles or succinct_roles`},
		{succinctText, `"bit_length":8`, `"bit_length":15`, `signed.delegations.succinct_roles.bit_length: number 15`},
		{succinctText, `"bit_length":8`, `"bit_length":0`, `number 0 is not between 1 and 14`},
		{succinctText, `"bit_length":8,`, ``, `"bit_length" is missing`},
		{succinctText, `,"name_prefix":"bin"`, ``, `"name_prefix" is missing`},
		{targetsText, `"name":"one",`, ``, `signed.delegations.roles[0]: "name" is missing`},
		{targetsText, `"name":"one"`, `"name":""`, `signed.delegations.roles[0]: delegation to a role without a name`},
		{targetsText, `"name":"one"`, `"name":"a\u0000b"`, `signed.delegations.roles[0]: delegation to a role with a NUL in its name`},
		{succinctText, `"bin"`, `"a\u0000b"`, `signed.delegations.succinct_roles: delegation to roles with a NUL in its name`},
		{targetsText, `"a.bin"`, `""`, `signed.targets[""]: target without a path`},
		{targetsText, `"a.bin"`, `"a\u0000"`, `: target path with a NUL: no device could store it`},
		{snapshotFile, `"one.json"`, `"\u0000.json"`, `: metadata of a role with a NUL in its name`},
		{targetsText, `"name":"one"`, `"name":"snapshot"`, `delegation to snapshot, a top-level role`},
		{targetsText, `"name":"one"`, `"name":"two"`, `signed.delegations.roles[1]: second delegation to "two"`},
		{targetsText, `"terminating":true`, `"terminating":"yes"`, `roles[0].terminating: want true or false`},
		{targetsText, `"paths":["*.bin","x/?"]`, `"paths":null,"path_hash_prefixes":["0"]`, `roles[0].paths: want an array, found null: go-tuf before version 2 wrote it beside path_hash_prefixes; a repository with such files must be signed again`},
		{targetsText, `"paths":["*.bin","x/?"]`, `"paths":["a",1]`, `roles[0].paths[1]: want a string`},
		{targetsText, `"paths":["*.bin","x/?"],`, ``, `signed.delegations.roles[0]: want either paths or path_hash_prefixes`},
		{targetsText, `"paths":["*.bin","x/?"]`, `"paths":[],"path_hash_prefixes":[]`, `want either paths or path_hash_prefixes`},
		{targetsText, `["0","ab12"]`, `["0","AB12"]`, `signed.delegations.roles[1].path_hash_prefixes[1]: "AB12" is not 1 to 64`},
		{targetsText, `["0","ab12"]`, `[""]`, `"" is not 1 to 64 lower-case hex digits`},
		{targetsText, `["0","ab12"]`, `["` + zeros128 + `"]`, `is not 1 to 64`},
		// snapshot and timestamp
		{snapshotFile, `"targets.json":{"version":3}`, `"targets.json":{}`, `signed.meta["targets.json"]: "version" is missing`},
		{snapshotFile, `"version":3`, `"version":0`, `signed.meta["targets.json"].version: number 0`},
		{snapshotFile, `"version":3`, `"version":3,"length":null`, `found null`},
		{snapshotFile, `"targets.json"`, `"one.json"`, `signed.meta: name "one.json" is repeated`},
		{snapshotFile, `"meta"`, `"x"`, `signed: "meta" is missing`},
		{timestampFile, `"snapshot.json":{"version":9}`, ``, `signed.meta: "snapshot.json" is missing`},
		{timestampFile, `"snapshot.json"`, `"Snapshot.json"`, `signed.meta: name "Snapshot.json" differs only in case`},
		{timestampFile, `{"version":9}`, `{"version":9},"targets.json":{"version":1}`, `signed.meta["targets.json"]: a timestamp lists snapshot.json, nothing else`},
	} {
		text := edit(t, test.file, test.old, test.new)
		m, err := ParseJSON([]byte(text))
		var syntax *SyntaxError
		if m != nil || !errors.As(err, &syntax) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v; want %s", test.new, err, test.want)
		} else if syntax.Offset < 0 || syntax.Offset > len(text) {
			t.Errorf("%s: offset %d of %d", test.new, syntax.Offset, len(text))
		}
	}
}

// TestOffset checks that an error's offset points at what is wrong.
func TestOffset(t *testing.T) {
	text := edit(t, targetsText, `"length":5`, `"length": 5.5`)
	_, err := ParseJSON([]byte(text))
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || !strings.HasPrefix(text[syntax.Offset:], "5.5") || syntax.Path != `signed.targets["a.bin"].length` {
		t.Errorf("got %#v", syntax)
	}
}

// TestNames puts every name that the specification defines into another case.
func TestNames(t *testing.T) {
	for _, file := range []string{rootFile, targetsText, succinctText, snapshotFile, timestampFile} {
		for _, names := range [][]string{
			fileNames, signatureNames, keyNames, keyvalNames, roleNames, targetNames, hashNames, delegationsNames,
			delegatedNames, succinctNames, metaNames, topLevel, {"_type", "spec_version", "version", "expires", "consistent_snapshot", "targets", "meta"},
		} {
			for _, name := range names {
				text := strings.Replace(file, `"`+name+`":`, `"`+strings.ToUpper(name)+`":`, 1)
				if text == file {
					continue
				}
				if _, err := ParseJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), "only in case") && !strings.Contains(err.Error(), `"_type" is missing`) {
					t.Errorf("%s: got %v", strings.ToUpper(name), err)
				}
			}
		}
	}
}

func TestLimits(t *testing.T) {
	repeat := func(n int, item func(i int) string) string {
		items := make([]string, n)
		for i := range items {
			items[i] = item(i)
		}
		return strings.Join(items, ",")
	}
	signatures := func(n int) string {
		return edit(t, timestampFile, `[]`, "["+repeat(n, func(i int) string { return fmt.Sprintf(`{"keyid":"%d","sig":""}`, i) })+"]")
	}
	inSignature := func(field func(n int) string) func(int) string {
		return func(n int) string {
			return edit(t, timestampFile, `[]`, `[{`+field(n)+`}]`)
		}
	}
	x := func(n int) string { return strings.Repeat("x", n) }
	// file is a timestamp in a file of n bytes, with a number of signatures.
	file := func(signatures int) func(int) string {
		return func(n int) string {
			list := repeat(signatures, func(i int) string { return fmt.Sprintf(`{"keyid":"%d","sig":""}`, i) })
			text := edit(t, timestampFile, `[]`, "["+list+"]")
			return text + strings.Repeat(" ", n-len(text))
		}
	}
	parsed, err := ParseJSON([]byte(timestampFile))
	if err != nil {
		t.Fatal(err)
	}
	payload := len(parsed.Payload)
	listed := func(n int) string {
		half := func(n int) string { return repeat(n, func(i int) string { return fmt.Sprintf(`"%x"`, i) }) }
		return edit(t, succinctText, `"succinct_roles"`, `"roles":[{"name":"a","keyids":["k"],"threshold":1,"paths":[`+half(n/2)+
			`]},{"name":"b","keyids":["k"],"threshold":1,"path_hash_prefixes":[`+half(n-n/2-2)+`]}],"x"`)
	}
	targets := func(n int) string {
		return edit(t, succinctText, `"targets":{}`, `"targets":{`+repeat(n, func(i int) string { return fmt.Sprintf(`"%d":{"hashes":{}}`, i) })+`}`)
	}
	meta := func(n int) string {
		return edit(t, snapshotFile, `"targets.json":{"version":3}`, repeat(n-1, func(i int) string { return fmt.Sprintf(`"%d.json":{"version":1}`, i) }))
	}
	zeros := func(n int) string { return repeat(n, func(i int) string { return fmt.Sprintf(`"%d":0`, i) }) }
	unknown := func(n int) string { return edit(t, timestampFile, `"_type"`, zeros(n-5)+`,"_type"`) }
	custom := func(n int) string { return edit(t, targetsText, `[null,1]`, `1,"x":{`+zeros(n)+`}`) }
	hashes := func(n int) string {
		return edit(t, targetsText, `"new":"abcd"`, repeat(n-1, func(i int) string { return fmt.Sprintf(`"%d":"ab"`, i) }))
	}
	named := func(file, old, new string) func(int) string {
		return func(n int) string { return edit(t, file, old, fmt.Sprintf(new, x(n))) }
	}
	encoded := func(n int) string { return strings.Repeat("ä", n/6) + x(n%6) }
	key := func(i int) string { return fmt.Sprintf(`"%d":{"keytype":"","scheme":"","keyval":{}}`, i) }
	keys := func(n int) string { return edit(t, succinctText, `"keys":{}`, `"keys":{`+repeat(n, key)+`}`) }
	keyIDs := func(n int) string {
		return edit(t, rootFile, `["k1","k2"]`, "["+repeat(n, func(i int) string { return fmt.Sprintf(`"%d"`, i) })+"]")
	}
	delegations := func(n int) string {
		role := func(i int) string { return fmt.Sprintf(`{"name":"%d","keyids":[],"threshold":1,"paths":[]}`, i) }
		return edit(t, succinctText, `"succinct_roles"`, `"roles":[`+repeat(n, role)+`],"x"`)
	}
	deep := func(n int) string {
		return edit(t, timestampFile, `"meta"`, `"x":`+strings.Repeat("[", n-2)+strings.Repeat("]", n-2)+`,"meta"`)
	}
	size := func(n int) string { // white space in the payload is no payload, but unknown text is
		text := edit(t, timestampFile, `"meta"`, `"x":"`+x(n/2)+`","meta"`)
		return text + strings.Repeat(" ", n-len(text))
	}
	for _, test := range []struct {
		what string
		file func(int) string
		most int
	}{
		{"signatures", signatures, MaxSignatures},
		{"keys", keys, MaxKeys},
		{"key ids", keyIDs, MaxKeys},
		{"delegations", delegations, MaxDelegations},
		{"nested deeper", deep, MaxDepth},
		{"file of", size, MaxFileSize},
		{"file of", file(0), PayloadFactor*payload + UnsignedBytes},
		{"file of", file(3), PayloadFactor*payload + UnsignedBytes + 3*BytesPerSignature},
		{"key id of", inSignature(func(n int) string { return `"keyid":"` + x(n) + `","sig":""` }), MaxKeyID},
		{"bytes in a signature", inSignature(func(n int) string { return `"keyid":"","sig":"","method":"` + x(n-2) + `"` }), MaxSignatureField},
		{"bytes in a signature", inSignature(func(n int) string { return `"keyid":"","sig":"","x":[` + strings.Repeat(" ", n-2) + `]` }), MaxSignatureField},
		{"in a signature", inSignature(func(n int) string { return `"keyid":"","sig":"","` + x(n) + `":1` }), MaxSignatureField},
		{"bytes in a signature", inSignature(func(n int) string { return `"keyid":"","sig":"","bundle":{"a":"` + x(n-8) + `"}` }), MaxBundle},
		{"patterns, hash prefixes and key ids", listed, MaxListed},
		{"signed.targets: more than 200000 members", targets, MaxListed},
		{"signed.meta: more than 200000 members", meta, MaxListed},
		{"signed: more than 200000 members", unknown, MaxListed},
		{`custom["x"]: more than 200000 members`, custom, MaxListed},
		{"hashes", hashes, MaxHashes},
		{"target path of", named(targetsText, `"a.bin"`, `"%s"`), MaxTargetPath},
		{"delegation to a role whose name has", named(targetsText, `"name":"one"`, `"name":"%s"`), MaxRoleName},
		{"delegation to a role whose name has", func(n int) string { return edit(t, targetsText, `"name":"one"`, `"name":"`+encoded(n)+`"`) }, MaxRoleName},
		{"delegation to roles whose name has", named(succinctText, `"bin"`, `"%s"`), MaxRoleName - len("-00")},
		{"metadata of a role whose name has", named(snapshotFile, `"one.json"`, `"%s.json"`), MaxRoleName},
	} {
		if _, err := ParseJSON([]byte(test.file(test.most))); err != nil {
			t.Errorf("%d %s: %v", test.most, test.what, err)
		}
		if _, err := ParseJSON([]byte(test.file(test.most + 1))); err == nil || !strings.Contains(err.Error(), test.what) {
			t.Errorf("%d %s: got %v", test.most+1, test.what, err)
		}
	}
}

func TestDates(t *testing.T) {
	for _, good := range []string{
		"2030-01-02T03:04:05Z", "2021-12-18T13:28:12.99008-06:00", "2021-12-18T13:28:13-06:00", "2024-02-29T23:59:59.5Z",
		"0001-01-01T00:00:00Z", "9999-12-31T23:59:59+23:59", "2030-01-02T03:04:05.123456789Z", "2030-01-02T03:04:05-00:00",
	} {
		if _, ok := parseDate(good); !ok {
			t.Errorf("%s is refused", good)
		}
	}
	for _, bad := range []string{
		"", "2030-01-02", "2030-01-02T03:04:05", "2030-01-02 03:04:05Z", "2030-01-02t03:04:05Z", "2030-01-02T03:04:05z",
		"2030-1-02T03:04:05Z", "2030-01-02T3:04:05Z", "2030-01-02T03:04:05,5Z", "2030-01-02T03:04:05.Z", "2030-01-02T03:04Z",
		"2030-13-02T03:04:05Z", "2030-02-30T03:04:05Z", "2023-02-29T03:04:05Z", "2030-01-02T24:04:05Z", "2030-01-02T03:60:05Z",
		"2030-01-02T03:04:60Z", "2030-01-02T03:04:05+24:00", "2030-01-02T03:04:05+00:60", "2030-01-02T03:04:05+0600",
		"2030-01-02T03:04:05+06", "2030-01-02T03:04:05 UTC", "2030-01-02T03:04:05Z ", "+2030-01-02T03:04:05Z", "12030-01-02T03:04:05Z",
		"2030-01-02T03:04:05.5", "2030-01-02T03:04:05.5ZZ",
	} {
		if when, ok := parseDate(bad); ok {
			t.Errorf("%q is read as %v", bad, when)
		}
	}
}

func TestMatches(t *testing.T) {
	file := []byte("hello")
	sha256Sum := Sum(file).String()
	const sha512Sum = "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043"
	for _, test := range []struct {
		why    string
		length int64
		hashes map[string]string
		target bool // what TargetFile.Matches should say
		meta   bool
	}{
		{"everything", 5, map[string]string{"sha256": sha256Sum, "sha512": sha512Sum}, true, true},
		{"no length", -1, map[string]string{"sha512": sha512Sum}, true, true},
		{"known and unknown", -1, map[string]string{"sha256": sha256Sum, "new": "00"}, true, true},
		{"other length", 6, map[string]string{"sha256": sha256Sum}, false, false},
		{"length 0", 0, map[string]string{"sha256": sha256Sum}, false, false},
		{"one hash wrong", 5, map[string]string{"sha256": sha256Sum, "sha512": zeros128}, false, false},
		{"the other wrong", 5, map[string]string{"sha256": zeros128[:64], "sha512": sha512Sum}, false, false},
		{"unknown alone", 5, map[string]string{"new": sha256Sum}, false, false},
		{"empty", 5, map[string]string{}, false, false},
		{"none", 5, nil, false, true},
		{"nothing", -1, nil, false, true},
	} {
		if err := (TargetFile{Length: test.length, Hashes: test.hashes}).Matches(file); (err == nil) != test.target {
			t.Errorf("%s: target: %v", test.why, err)
		}
		meta := MetaFile{Version: 3, Length: test.length, Hashes: test.hashes}
		if err := meta.Matches(file, 3); (err == nil) != test.meta {
			t.Errorf("%s: meta: %v", test.why, err)
		}
		if err := meta.Matches(file, 4); err == nil {
			t.Errorf("%s: meta of another version matches", test.why)
		}
	}
	if (TargetFile{}).Matches(nil) == nil {
		t.Error("the zero TargetFile matches an empty file")
	}
}

// edit replaces old, which must be there once.
func edit(t testing.TB, text, old, new string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q is not once in %q", old, text)
	}
	return strings.Replace(text, old, new, 1)
}

// A member is the same whether it was noted while the file was read or is looked for in
// the payload.
func TestMember(t *testing.T) {
	for _, file := range []string{rootFile, targetsText, succinctText, snapshotFile, timestampFile,
		`{"signatures":[],"signed":{"_type":"targets","a\"":1,"delegations":{"keys":{},"roles":[]},"expires":"2030-01-02T03:04:05Z","spec_version":"1.0","targets":{},"version":1,"x":[{"targets":2}]}}`} {
		m, err := ParseJSON([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		checkMembers(t, m)
	}
	if (&Metadata{Payload: []byte("\x0a\x01"), Encoding: Pigweed}).Member("targets") != nil {
		t.Error("a member of a payload that is not JSON")
	}
}

func checkMembers(t *testing.T, m *Metadata) {
	t.Helper()
	found := &Metadata{Payload: m.Payload, Encoding: m.Encoding}
	var payload map[string]json.RawMessage
	err := json.Unmarshal(m.Payload, &payload) // canonical JSON has control characters in strings
	for _, name := range []string{"_type", "version", "expires", "keys", "roles", "targets", "delegations", "meta", "none"} {
		noted, looked := m.Member(name), found.Member(name)
		if (noted == nil) != (looked == nil) || !bytes.Equal(noted, looked) || err == nil && !bytes.Equal(noted, payload[name]) {
			t.Errorf("%s: noted %q, looked for %q, is %q", name, noted, looked, payload[name])
		}
	}
	n := 0
	for name, value := range m.Members() {
		if n++; !bytes.Equal(value, found.Member(name)) {
			t.Errorf("%s: %q and %q", name, value, found.Member(name))
		}
	}
	if err == nil && n != len(payload) {
		t.Errorf("%d members, %d in the payload", n, len(payload))
	}
}
