package expect

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

var (
	repository = tuf.Sum([]byte("repository"))
	from       = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	until      = time.Date(2027, 2, 28, 12, 0, 0, 0, time.UTC)
)

const (
	hash1 = "1111111111111111111111111111111111111111111111111111111111111111"
	hash2 = "2222222222222222222222222222222222222222222222222222222222222222"
)

// whole has every kind of line.
const whole = `tuflog expectations v1
repository ` + hash1 + `
version 7
from 2026-11-30T12:00:00Z
until 2027-02-28T12:00:00Z
base root 3 ` + hash2 + `
base targets 14 ` + hash1 + `
base bin%2A-0 2 ` + hash1 + `
release root 4
keys targets 2 ` + hash1 + `,` + hash2 + `
member consistent_snapshot
release root any
release targets 15
file firm%20ware%2A.bin 123456 sha256:` + hash1 + `
file more.bin 1 blake2b-256:00ff,sha256:` + hash1 + ` custom:` + hash2 + `
file other+1.bin - sha512:` + hash1 + hash2 + ` custom:any
remove old/*
paths nightly/?.bin
delegation nightly 1 ` + hash1 + ` nightly/*,weekly/* terminating
delegation none 1 ` + hash1 + ` -
delegation shards 1 ` + hash1 + ` hash:0,hash:1a
no-delegation gone
release targets 16-18
delegations any
release targets next
release targets 20-
release bin-* any
paths *
release exact 3
payload ` + hash2 + `
release snapshot any
release timestamp any
`

func TestRoundTrip(t *testing.T) {
	e, err := ParseText(whole)
	if err != nil {
		t.Fatal(err)
	}
	if e.Version != 7 || !e.From.Equal(from) || !e.Until.Equal(until) || len(e.Releases) != 10 {
		t.Errorf("read %+v", e)
	}
	if e.InForce(from.Add(-1)) || !e.InForce(from) || !e.InForce(until.Add(-1)) || e.InForce(until) {
		t.Error("in force from the first moment up to the second")
	}
	if got := e.Text(); got != whole {
		t.Errorf("printed\n%s", got)
	}
	draft := strings.Join(strings.SplitAfter(whole, "\n")[headerLines:], "")
	draft = strings.Replace(draft, "release root any\n", "", 1) + "# anything\n\n  release  root any\r\n"
	d, err := ParseDraft(draft)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(d.Releases, e.Releases) || !reflect.DeepEqual(d.Bases, e.Bases) {
		t.Errorf("the draft has %+v", d)
	}
}

func TestStrict(t *testing.T) {
	for _, tt := range []struct{ was, is, want string }{
		{"expectations v1", "expectations v2", "line 1: \"tuflog expectations v2\" is a version that this program does not know"},
		{"tuflog expectations v1\n", "", "line 1: want tuflog expectations v1"},
		{"repository 1", "repository G", "line 2: repository: "},
		{"version 7", "version 07", "line 3: version: "},
		{"version 7", "version 0", "line 3: version: "},
		{"12:00:00Z\nuntil", "12:00:00+00:00\nuntil", "line 4: from: "},
		{"12:00:00Z\nuntil", "12:00:00.0Z\nuntil", "line 4: from: "},
		{"until 2027-02-28", "until 2027-02-30", "line 5: until: "},
		{"until 2027-02-28", "until 2025-02-28", "line 5: until 2025-02-28T12:00:00Z: it is not after from"},
		{"base targets 14 " + hash1 + "\n", "base targets 14 " + hash1 + "\nbase targets 15 " + hash1 + "\n", "the bases of targets and targets: want each role once"},
		{"base root 3", "base  root 3", "line 6: want base ROLE VERSION PAYLOAD"},
		{"bin%2A-0", "bin*-0", "line 8: bin*-0 is not a name"},
		{"bin%2A-0", "bin%2a-0", "line 8: bin%2a-0 is not a name"},
		{"bin%2A-0", "%62in", "line 8: %62in is not a name"},
		{"release root 4\n", "release root 4\nbase x 1 " + hash1 + "\n", "line 10: bases come before"},
		{"release root 4\n", "file x - sha256:" + hash1 + "\nrelease root 4\n", "line 9: file has to come after the release line"},
		{"release root 4\n", "release root 4-4\n", "line 9: versions 4-4: want them as 4"},
		{"release root 4\n", "release root 4-3\n", "line 9: versions 4-3"},
		{"release root 4\n", "release root 1-\n", "line 9: versions 1-: want them as any"},
		{"release root 4\n", "release root soon\n", "line 9: version soon: want 1 to"},
		{"keys targets 2", "keys targets 3", "release root 4: keys targets: 3 of 2 can never sign"},
		{"keys targets 2", "keys other 2", "release root 4: keys other: root names keys of"},
		{hash1 + "," + hash2 + "\n", hash2 + "," + hash1 + "\n", "line 10: it is not in its place"},
		{hash1 + "," + hash2 + "\n", hash1 + "," + hash1 + "\n", "line 10: it is not in its place"},
		{hash1 + "," + hash2 + "\n", hash1 + ",\n", "line 10: key \"\": want the 64 lower-case hex digits"},
		{"123456 sha256", "0123456 sha256", "line 14: size: "},
		{"123456 sha256", "-1 sha256", "line 14: size: "},
		{"123456 sha256:", "123456 md5:", "want sha256:HEX or sha512:HEX"},
		{"123456 sha256:1", "123456 sha256:A", "want 64 lower-case hex digits"},
		{"sha256:" + hash1 + " custom:", "sha256:" + hash1 + ",sha256:" + hash1 + " custom:", "line 15: two hashes sha256"},
		{"blake2b-256:00ff,sha256:" + hash1, "sha256:" + hash1 + ",blake2b-256:00ff", "line 15: it is not in its place"},
		{"custom:any", "custom:some", "line 16: custom: "},
		{"custom:any", "any", "line 16: any: want custom:any, or custom:HEX"},
		{"remove old/*\npaths nightly/?.bin\n", "paths nightly/?.bin\nremove old/*\n", "line 17: it is not in its place, or not spelled as it has to be; here belongs: remove old/*"},
		{"remove old/*\n", "remove old/*\nremove old/*\n", "line 18: it is not in its place"},
		{"no-delegation gone\n", "no-delegation gone\ndelegations any\n", "release targets 15: delegations any says all of delegations"},
		{"no-delegation gone\n", "no-delegation none\n", "release targets 15: delegation none: it is there twice"},
		{"hash:1a", "hash:1G", "line 21: \"hash:1G\": want at most 64 lower-case hex digits"},
		{"hash:1a", "shards/*", "line 21: it is not in its place"},
		{"delegations any", "delegations some", "line 24: want delegations any, once"},
		{"release targets next\n", "release targets next\nrelease targets next\n", "release targets next: it is there twice"},
		{"release exact 3", "release exact 3-4", "release exact 3-4: a payload has one version"},
		{"payload " + hash2 + "\n", "payload " + hash2 + "\npaths x\n", "release exact 3: a payload says all"},
		{"release snapshot any\n", "release snapshot any\npaths x\n", "release snapshot any: only targets and delegated roles list files"},
		{"release snapshot any\n", "release snapshot any\nmember x\n", "release snapshot any: of snapshot and timestamp only the version is judged"},
		{"release timestamp any\n", "release timestamp any\nexpires never\n", "line 33: expires is not a kind of line"},
		{"release timestamp any\n", "release timestamp any\n\n", "line 33: \"\" is not a kind of line"},
		{"release timestamp any\n", "release timestamp any", "line 32: the text does not end in a line feed"},
		{"release timestamp any\n", strings.Repeat("release timestamp any\n", MaxLines), "4127 lines, the limit is 4096"},
		{"release timestamp any\n", strings.Repeat("release timestamp any\n", MaxSize/20), "the limit is 262144"},
	} {
		text := strings.Replace(whole, tt.was, tt.is, 1)
		if text == whole {
			t.Errorf("%q is not in the text", tt.was)
		}
		e, err := ParseText(text)
		var line *LineError
		if !errors.As(err, &line) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.200q for %q: %v, %v, want %q", tt.is, tt.was, e, err, tt.want)
		}
	}
	// No text that lacks a line of the first five is one, and none with a line twice.
	lines := strings.SplitAfter(whole, "\n")
	for i := range headerLines {
		if _, err := ParseText(strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "")); err == nil {
			t.Errorf("read a text without line %d", i+1)
		}
	}
	for i := range lines {
		if _, err := ParseText(strings.Join(slices.Insert(slices.Clone(lines), i, lines[i]), "")); lines[i] != "" && err == nil {
			t.Errorf("read a text with line %d twice", i+1)
		}
	}
	// A text without a release expects none.
	if _, err := ParseText(strings.Join(lines[:headerLines], "")); err != nil {
		t.Error(err)
	}
}

func signer(t testing.TB, name string, alg proofs.Algorithm) *proofs.Signer {
	t.Helper()
	s, err := proofs.GenerateSigner(nil, name, alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSign(t *testing.T) {
	e, err := ParseText(whole)
	if err != nil {
		t.Fatal(err)
	}
	ed, ml, other := signer(t, "acme-expect", proofs.Ed25519), signer(t, "acme-expect", proofs.MLDSA44), signer(t, "acme-expect", proofs.Ed25519)
	note, err := Sign(e, from.Unix(), ed, ml)
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]proofs.Key{{ed.Key()}, {ml.Key()}, {other.Key(), ml.Key()}} {
		got, err := Parse(note, keys...)
		if err != nil || got.Text() != whole {
			t.Errorf("%v: %v, %v", keys, got, err)
		}
	}
	if _, err := Parse(note, other.Key()); !errors.Is(err, ErrNotSigned) {
		t.Errorf("another key: %v", err)
	}
	if _, err := Parse(note); !errors.Is(err, ErrNotSigned) {
		t.Errorf("no key: %v", err)
	}
	// No byte of the text can be another, with either key.
	end := len(whole)
	for i := 0; i < end; i += 7 {
		wrong := slices.Clone(note)
		wrong[i] ^= 1
		for _, key := range []proofs.Key{ed.Key(), ml.Key()} {
			if _, err := Parse(wrong, key); err == nil {
				t.Errorf("read a note with another byte %d by %v", i, key.Algorithm())
			}
		}
	}
	if _, err := Sign(e, 0, signer(t, "w", proofs.CosignatureV1)); err == nil || !strings.Contains(err.Error(), "want ") {
		t.Errorf("signed by a witness's key: %v", err)
	}
	e.Releases[0].Keys[0].Threshold = 9
	if _, err := Sign(e, 0, ed); err == nil {
		t.Error("signed what cannot be read")
	}
	// A key for expectations cannot be made to sign a note by signing a checkpoint of a log.
	checkpoint := proofs.Checkpoint{Origin: "log.example", Tree: proofs.EmptyTree}.String()
	s, err := ml.Sign(checkpoint, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(proofs.Note{Text: whole, Signatures: []proofs.Signature{s}}.Marshal(), ml.Key()); !errors.Is(err, proofs.ErrBadSignature) {
		t.Errorf("a checkpoint's signature: %v", err)
	}
}

func FuzzParseText(f *testing.F) {
	f.Add(whole)
	for _, line := range strings.SplitAfter(whole, "\n")[headerLines:] {
		f.Add(strings.Join(strings.SplitAfter(whole, "\n")[:headerLines], "") + "release targets any\n" + line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseText(text)
		if err != nil {
			var line *LineError
			if !errors.As(err, &line) {
				t.Fatalf("error %T", err)
			}
		} else if e.Text() != text {
			t.Fatalf("two spellings of one note:\n%s", e.Text())
		}
		if d, err := ParseDraft(text); err == nil {
			d.Repository, d.Version, d.From, d.Until = repository, 1, from, until
			if _, err := ParseText(d.Text()); err != nil {
				t.Fatalf("a draft that cannot be signed: %v", err)
			}
		}
	})
}

// metadata returns a file with what is in "signed" beside the header.
func metadata(t testing.TB, kind string, version int64, members string) *tuf.Metadata {
	t.Helper()
	m, err := tuf.ParseJSON(fmt.Appendf(nil, `{"signatures":[],"signed":{"_type":%q,"spec_version":"1.0.31","version":%d,"expires":"2030-01-%02dT00:00:00Z",%s}}`, kind, version, version%28+1, members))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// targetFiles returns targets metadata that lists files with contents.
func targetFiles(t testing.TB, version int64, files map[string]string, more ...string) *tuf.Metadata {
	t.Helper()
	var list []string
	for _, path := range slices.Sorted(maps.Keys(files)) {
		list = append(list, fmt.Sprintf(`%q:{"length":%d,"hashes":{"sha256":%q}}`, path, len(files[path]), tuf.Sum([]byte(files[path]))))
	}
	return metadata(t, "targets", version, strings.Join(append([]string{`"targets":{` + strings.Join(list, ",") + `}`}, more...), ","))
}

func leafOf(role string, m *tuf.Metadata) leaf.Leaf {
	return leaf.Leaf{Kind: leaf.Release, Repository: repository, Role: role, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest, Encoding: m.Encoding}
}

// noted returns expectations with these lines.
func noted(t testing.TB, lines string) *Expectations {
	t.Helper()
	e, err := ParseDraft(lines)
	if err != nil {
		t.Fatal(err)
	}
	e.Repository, e.Version, e.From, e.Until = repository, 1, from, until
	if _, err := ParseText(e.Text()); err != nil {
		t.Fatal(err)
	}
	return e
}

func fileLine(path, content string) string {
	return fmt.Sprintf("file %s %d sha256:%s\n", path, len(content), tuf.Sum([]byte(content)))
}

func TestJudgeTargets(t *testing.T) {
	had := map[string]string{"firmware.bin": "1", "old/a": "a", "nightly/x": "x"}
	with := func(changes ...string) map[string]string {
		files := maps.Clone(had)
		for i := 0; i < len(changes); i += 2 {
			if files[changes[i]] = changes[i+1]; changes[i+1] == "" {
				delete(files, changes[i])
			}
		}
		return files
	}
	next := "release targets 15\n" + fileLine("firmware.bin", "2")
	both := strings.TrimSpace(next) + ",sha512:" + hash1 + hash2
	// entry lists firmware.bin as expected, with more hashes and more members.
	entry := func(hashes, members string) *tuf.Metadata {
		was := fmt.Sprintf(`{"sha256":%q}}`, tuf.Sum([]byte("2")))
		is := strings.TrimSuffix(was, "}}") + "," + hashes + "}" + members + "}"
		m, err := tuf.ParseJSON([]byte(strings.Replace(string(targetFiles(t, 15, with("firmware.bin", "2")).File), was, strings.Replace(is, ",}", "}", 1), 1)))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	targetWithout, err := tuf.ParseJSON([]byte(strings.Replace(string(targetFiles(t, 15, with("firmware.bin", "2")).File), fmt.Sprintf(`"sha256":%q`, tuf.Sum([]byte("2"))), "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	custom, err := tuf.ParseJSON([]byte(strings.Replace(string(targetFiles(t, 15, had).File), `"length":1,`, `"length":1,"custom":{"x":1},`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, lines string
		m           *tuf.Metadata
		want        string // empty: it is expected
	}{
		{"as said", next, targetFiles(t, 15, with("firmware.bin", "2")), ""},
		{"signed again", "release targets next", targetFiles(t, 15, had), ""},
		{"signed again, any version", "release targets any", targetFiles(t, 40, had), ""},
		{"signed again, far above", "release targets any", targetFiles(t, 1014, had), ""},
		{"signed again, too far above", "release targets any", targetFiles(t, 1015, had), "version 1015 is not expected, 15-1014 is"},
		{"the highest version", "release targets 7-", targetFiles(t, tuf.MaxVersion, had), "version 9007199254740991 is not expected, 15-1014 is"},
		{"a date as the first version", "release targets 20261130-", targetFiles(t, 20261201, had), ""},
		{"the highest version, and it is said", "release targets 7-9007199254740990", targetFiles(t, tuf.MaxVersion-1, had), ""},
		{"nothing is expected", "", targetFiles(t, 15, had), "no release of targets is expected"},
		{"of another role", "release other any", targetFiles(t, 15, had), "no release of targets is expected"},
		{"a star is for delegated roles", "release * any", targetFiles(t, 15, had), "no release of targets is expected"},
		{"another version", next, targetFiles(t, 16, with("firmware.bin", "2")), "version 16 is not expected, 15 is"},
		{"one of two versions", next + "release targets 17-18", targetFiles(t, 16, had), "version 16 is not expected, 15 or 17-18 is"},
		{"a version is left out", "release targets next", targetFiles(t, 16, had), "version 16 is not expected, 15 is"},
		{"an old version", "release targets any", targetFiles(t, 13, had), "its version is not above 14, which was there before"},
		{"one more file", next, targetFiles(t, 15, with("firmware.bin", "2", "evil.bin", "evil")), "it lists evil.bin (4 bytes, sha256 b5c1fb2efc6d6b46)"},
		{"one more file alone", next + "release targets any", targetFiles(t, 15, with("evil.bin", "evil")), "it lists evil.bin (4 bytes, sha256 b5c1fb2efc6d6b46)"},
		{"another file", next, targetFiles(t, 15, with("firmware.bin", "3")), "firmware.bin is another file (1 bytes, sha256 4e07408562bedb8b) than expected, which has sha256 d4735e3a265e16ee"},
		{"the old file", next, targetFiles(t, 15, had), "firmware.bin is another file"},
		{"without it", next, targetFiles(t, 15, with("firmware.bin", "")), "it does not list firmware.bin"},
		{"another is gone", next, targetFiles(t, 15, with("firmware.bin", "2", "old/a", "")), "it no longer lists old/a"},
		{"may be gone", next + "remove old/*", targetFiles(t, 15, with("firmware.bin", "2", "old/a", "")), ""},
		{"may be gone, not another", next + "remove old/*", targetFiles(t, 15, with("firmware.bin", "2", "old/a", "b")), "old/a is another file"},
		{"a nightly", "release targets next\npaths nightly/*", targetFiles(t, 15, with("nightly/x", "", "nightly/y", "y", "nightly/z", "z")), ""},
		{"a nightly elsewhere", "release targets next\npaths nightly/*", targetFiles(t, 15, with("nightly/y/z", "y")), "it lists nightly/y/z (1 bytes"},
		{"a nightly and the firmware", "release targets next\npaths nightly/*", targetFiles(t, 15, with("nightly/y", "y", "firmware.bin", "2")), "firmware.bin is another file (1 bytes, sha256 d4735e3a265e16ee), before 1 bytes, sha256 6b86b273ff34fce1"},
		{"exactly", "release targets 15\npayload " + targetFiles(t, 15, with("evil.bin", "evil")).PayloadDigest.String(), targetFiles(t, 15, with("evil.bin", "evil")), ""},
		{"not exactly", "release targets 15\npayload " + hash1, targetFiles(t, 15, had), "its payload is not the one expected: sha256 "},
		{"a member", "release targets any", targetFiles(t, 15, had, `"x-urgent":true`), "it has a member x-urgent, which was not there before"},
		{"a member that may change", "release targets any\nmember x-urgent", targetFiles(t, 15, had, `"x-urgent":true`), ""},
		{"another hash, too", next, entry(`"sha512":"`+hash1+hash2+`"`, ""), "firmware.bin has a sha512, which is not expected: sha512:1111"},
		{"both hashes, as said", both, entry(`"sha512":"`+hash1+hash2+`"`, ""), ""},
		{"one hash of two that were said", both, targetFiles(t, 15, with("firmware.bin", "2")), ""},
		{"another of two hashes", both, entry(`"sha512":"`+hash2+hash2+`"`, ""), "firmware.bin is another file (1 bytes, sha256 d4735e3a265e16ee) than expected, which has sha512 1111"},
		{"no hash that counts", next + "paths x", targetWithout, "it lists firmware.bin without a sha256 or sha512"},
		{"custom data", next, entry("", `,"custom":{"image":"evil"}`), "before none, and no line expects custom:" + tuf.Sum([]byte(`{"image":"evil"}`)).String()},
		{"custom data as said", strings.TrimSpace(next) + " custom:" + tuf.Sum([]byte(`{"image":"good"}`)).String(), entry("", `,"custom":{"image":"good"}`), ""},
		{"other custom data than said", strings.TrimSpace(next) + " custom:" + tuf.Sum([]byte(`{"image":"good"}`)).String(), entry("", `,"custom":{"image":"evil"}`), "which is not the data expected: custom:" + tuf.Sum([]byte(`{"image":"evil"}`)).String()},
		{"without custom data that was said", strings.TrimSpace(next) + " custom:" + hash1, entry("", ""), "it lists firmware.bin without its custom data"},
		{"any custom data", strings.TrimSpace(next) + " custom:any", entry("", `,"custom":{"image":"evil"}`), ""},
		{"a member of a target", strings.TrimSpace(next) + " custom:any", entry("", `,"url":"https://evil.example/"`), "the entry of firmware.bin has a member url, which was not there before"},
		{"custom data of another", "release targets next", custom, `the custom data of firmware.bin is "{\"x\":1}", before none`},
		{"a member of delegations", "release targets any\nno-delegation x", targetFiles(t, 15, had, `"delegations":{"keys":{},"roles":[],"x":1}`), "delegations has a member x"},
		{"a delegation", "release targets any", targetFiles(t, 15, had, delegations(1, "evil", "*")), "it delegates * to evil"},
		{"any delegation", "release targets any\ndelegations any", targetFiles(t, 15, had, delegations(1, "evil", "*")), ""},
		{"the base", "base targets 14 " + targetFiles(t, 14, had).PayloadDigest.String(), targetFiles(t, 14, had), ""},
	} {
		e := noted(t, tt.lines)
		why, ok := e.Judge(leafOf("targets", tt.m), tt.m, targetFiles(t, 14, had))
		if ok != (tt.want == "") || !strings.Contains(why, tt.want) {
			t.Errorf("%s: %v, %s", tt.name, ok, why)
		}
	}
	e := noted(t, "base targets 14 "+hash1+"\nrelease targets any\npaths *\npaths */*")
	first := targetFiles(t, 15, had)
	if why, ok := e.Judge(leafOf("targets", first), first, nil); ok || !strings.Contains(why, "it cannot be compared with version 14") {
		t.Errorf("without its base: %s", why)
	}
	e.Bases = nil
	if why, ok := e.Judge(leafOf("targets", first), first, nil); !ok {
		t.Errorf("the first of all: %s", why)
	}
	if why, ok := e.Judge(leafOf("targets", first), nil, nil); ok || !strings.Contains(why, "not at hand") {
		t.Errorf("without metadata: %s", why)
	}
	l := leafOf("targets", first)
	l.Repository = tuf.Sum(nil)
	if why, ok := e.Judge(l, first, nil); ok {
		t.Errorf("of another repository: %s", why)
	}
	l = leafOf("targets", first)
	l.Kind = leaf.Evidence
	if why, ok := e.Judge(l, first, nil); ok {
		t.Errorf("evidence: %s", why)
	}
}

// publicKey returns the n-th key for tests, as metadata lists it under any id.
func publicKey(n int) string {
	seeds := []string{"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"}
	return fmt.Sprintf(`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":%q}}`, seeds[n-1])
}

// delegations delegates a pattern to a role, with the n-th key, always listed as k.
func delegations(n int, role, pattern string) string {
	return fmt.Sprintf(`"delegations":{"keys":{"k":%s},"roles":[{"name":%q,"keyids":["k"],"threshold":1,"paths":[%q],"terminating":false}]}`, publicKey(n), role, pattern)
}

func identityOf(t testing.TB, n int) string {
	t.Helper()
	m := targetFiles(t, 1, nil, delegations(n, "r", "*"))
	_, keys, _ := m.Targets.Delegations.Find("r")
	return keys.Identities()[0].String()
}

func TestJudgeDelegations(t *testing.T) {
	one := identityOf(t, 1)
	before := targetFiles(t, 14, nil, delegations(1, "nightly", "nightly/*"))
	for _, tt := range []struct {
		name, lines, now string
		want             string
	}{
		{"the same", "", delegations(1, "nightly", "nightly/*"), ""},
		{"another key under the same id", "", delegations(2, "nightly", "nightly/*"), "key " + identityOf(t, 2)[:16] + " (listed as k) may sign nightly"},
		{"wider", "", delegations(1, "nightly", "*"), "nightly is trusted for *"},
		{"as said", "delegation nightly 1 " + one + " *", delegations(1, "nightly", "*"), ""},
		{"not as said", "delegation nightly 1 " + one + " *", delegations(1, "nightly", "nightly/*"), "nightly is trusted for nightly/*"},
		{"another role", "", delegations(1, "evil", "*"), "it delegates * to evil"},
		{"gone", "", `"x":1`, "it no longer delegates to nightly"},
		{"may be gone", "no-delegation nightly", `"_":1`, "it has a member _"},
		{"another instead", "no-delegation nightly\ndelegation evil 1 " + one + " x", delegations(1, "evil", "x"), ""},
		{"terminating", "", strings.Replace(delegations(1, "nightly", "nightly/*"), "false", "true", 1), "the delegation to nightly is terminating"},
		{"a member of a role", "", strings.Replace(delegations(1, "nightly", "nightly/*"), `"threshold"`, `"x-any":1,"threshold"`, 1), "the delegation to nightly has a member x-any, which was not there before"},
		{"a member of a role, as said", "member x-any", strings.Replace(delegations(1, "nightly", "nightly/*"), `"threshold"`, `"x-any":1,"threshold"`, 1), ""},
		{"a key that others can read", "", strings.NewReplacer(`"keys":{`, `"keys":{"p":{"keytype":"post-quantum","scheme":"x","keyval":{"public":"1"}},`, `["k"]`, `["k","p"]`).Replace(delegations(1, "nightly", "nightly/*")), `may sign nightly`},
		{"bins", "", `"delegations":{"keys":{"k":` + publicKey(1) + `},"succinct_roles":{"keyids":["k"],"threshold":1,"bit_length":3,"name_prefix":"bin"}}`, "it delegates to 8 hash bins bin-*"},
	} {
		m, err := tuf.ParseJSON(targetFiles(t, 15, nil, tt.now).File)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		why, ok := noted(t, "release targets next\n"+tt.lines).Judge(leafOf("targets", m), m, before)
		if ok != (tt.want == "") || !strings.Contains(why, tt.want) {
			t.Errorf("%s: %v, %s", tt.name, ok, why)
		}
	}
	// The order in which roles are asked decides which file a device gets.
	two := func(version int64, first, second string) *tuf.Metadata {
		role := `{"name":%q,"keyids":["k"],"threshold":1,"paths":["*"],"terminating":false}`
		return targetFiles(t, version, nil, fmt.Sprintf(`"delegations":{"keys":{"k":`+publicKey(1)+`},"roles":[`+role+`,`+role+`]}`, first, second))
	}
	m := two(15, "b", "a")
	if why, ok := noted(t, "release targets next").Judge(leafOf("targets", m), m, two(14, "a", "b")); ok || why != "a search asks b before a" {
		t.Errorf("another order: %v, %s", ok, why)
	}
	if !glob("bin-*-*", "bin-0-1") || glob("bin-*-*", "bin-0") || !glob("*", "x") || glob("a*a", "a") || !glob("a*b*c", "abbc") || glob("a", "b") {
		t.Error("a star stands for any characters")
	}
}

// root returns root metadata in which the n-th key, always listed as k, signs all.
func root(t testing.TB, version int64, n, m int, more string) *tuf.Metadata {
	t.Helper()
	role := `{"keyids":["%s"],"threshold":1}`
	k, l := fmt.Sprintf(role, "k"), fmt.Sprintf(role, "l")
	return metadata(t, "root", version, fmt.Sprintf(`"keys":{"k":%s,"l":%s},"roles":{"root":%s,"targets":%s,"snapshot":%s,"timestamp":%s}%s`, publicKey(n), publicKey(m), k, l, l, l, more))
}

func TestJudgeRoot(t *testing.T) {
	before := root(t, 3, 1, 2, "")
	// changed is the next root with the first of each pair replaced.
	changed := func(pairs ...string) *tuf.Metadata {
		text := string(root(t, 4, 1, 2, "").File)
		for i := 0; i < len(pairs); i += 2 {
			text = strings.Replace(text, pairs[i], pairs[i+1], 1)
		}
		m, err := tuf.ParseJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, tt := range []struct {
		name, lines string
		m           *tuf.Metadata
		want        string
	}{
		{"none", "release targets any", root(t, 4, 1, 2, ""), "no release of root is expected"},
		{"signed again", "release root next", root(t, 4, 1, 2, ""), ""},
		{"another key under the same id", "release root next", root(t, 4, 1, 3, ""), "key " + identityOf(t, 3)[:16] + " (listed as l) may sign targets"},
		{"a key as said", "release root 4\nkeys targets 1 " + identityOf(t, 3) + "\nkeys snapshot 1 " + identityOf(t, 3) + "\nkeys timestamp 1 " + identityOf(t, 3), root(t, 4, 1, 3, ""), ""},
		{"a key that was said is not there", "release root 4\nkeys targets 1 " + identityOf(t, 3), root(t, 4, 1, 2, ""), "key " + identityOf(t, 2)[:16] + " (listed as l) may sign targets"},
		{"consistent snapshots", "release root next", root(t, 4, 1, 2, `,"consistent_snapshot":true`), "it has a member consistent_snapshot"},
		{"another role", "release root next", changed(`"roles":{`, `"roles":{"mirrors":{"keyids":[],"threshold":1},`), "roles has a member mirrors, which was not there before"},
		{"another role as said", "release root next\nmember mirrors", changed(`"roles":{`, `"roles":{"mirrors":{"keyids":[],"threshold":1},`), ""},
		{"a member of a role", "release root next", changed(`"threshold":1`, `"threshold":1,"x-expiry":1`), "the role root has a member x-expiry, which was not there before"},
		{"a key that others can read", "release root next", changed(`"keys":{"k"`, `"keys":{"p\"":{"keytype":"post-quantum","scheme":"x","keyval":{}},"k"`, `"keyids":["l"]`, `"keyids":["l","p\""]`), "a key that cannot be read, "},
		{"consistent snapshots as said", "release root next\nmember consistent_snapshot", root(t, 4, 1, 2, `,"consistent_snapshot":true`), ""},
	} {
		why, ok := noted(t, tt.lines).Judge(leafOf("root", tt.m), tt.m, before)
		if ok != (tt.want == "") || !strings.Contains(why, tt.want) {
			t.Errorf("%s: %v, %s", tt.name, ok, why)
		}
	}
	snapshot := metadata(t, "snapshot", 9, `"meta":{"targets.json":{"version":3}}`)
	if why, ok := noted(t, "release snapshot any").Judge(leafOf("snapshot", snapshot), snapshot, nil); !ok {
		t.Errorf("a snapshot: %s", why)
	}
	if why, ok := noted(t, "base snapshot 7 "+hash1+"\nrelease snapshot next").Judge(leafOf("snapshot", snapshot), snapshot, nil); ok || why != "version 9 is not expected, 8 is" {
		t.Errorf("a snapshot after its base: %v, %s", ok, why)
	}
}
