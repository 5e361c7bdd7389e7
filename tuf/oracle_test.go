package tuf

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// This file holds ParseJSON against two other readers: cjson for the payload,
// go-tuf for what the file says.

// cjsonPayload canonicalises "signed" without looking at what it means.
func cjsonPayload(file []byte) ([]byte, error) {
	var f struct {
		Signed json.RawMessage `json:"signed"`
	}
	if err := json.Unmarshal(file, &f); err != nil {
		return nil, err
	}
	return cjson.EncodeCanonical(f.Signed)
}

// tufFile is what go-tuf reads from a file.
type tufFile struct {
	payload    []byte // what it checks signatures over: its structs, encoded again
	signed     any
	signatures []metadata.Signature
}

func readTUF[T metadata.Roles](file []byte, m *metadata.Metadata[T]) (f tufFile, err error) {
	if m, err = m.FromBytes(file); err != nil {
		return tufFile{}, err
	}
	payload, err := cjson.EncodeCanonical(m.Signed)
	return tufFile{payload, m.Signed, m.Signatures}, err
}

// goTUF reads a file with go-tuf, which panics on some.
func goTUF(file []byte) (f tufFile, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	if f, err = readTUF(file, metadata.Root()); err == nil || !strings.Contains(err.Error(), "expected metadata type") {
		return f, err
	}
	if f, err = readTUF(file, metadata.Targets()); err == nil || !strings.Contains(err.Error(), "expected metadata type") {
		return f, err
	}
	if f, err = readTUF(file, metadata.Snapshot()); err == nil || !strings.Contains(err.Error(), "expected metadata type") {
		return f, err
	}
	return readTUF(file, metadata.Timestamp())
}

// disagreement says where two readings of a file differ, or "". A length that
// is not given is 0 in go-tuf and -1 here; everything else must be equal.
func disagreement(m *Metadata, f tufFile) string {
	diff := func(what string, ours, theirs any) string {
		if reflect.DeepEqual(ours, theirs) {
			return ""
		}
		return fmt.Sprintf("%s: %v here, %v in go-tuf", what, ours, theirs)
	}
	type head struct {
		Type, Spec string
		Version    int64
		Expires    time.Time
	}
	ours := head{m.Type, m.SpecVersion, m.Version, m.Expires.UTC()}
	switch s := f.signed.(type) {
	case metadata.RootType:
		if d := diff("head", ours, head{s.Type, s.SpecVersion, s.Version, s.Expires.UTC()}); d != "" {
			return d
		}
		return diff("root", sayRoot(m.Root), sayTUFRoot(s))
	case metadata.TargetsType:
		if d := diff("head", ours, head{s.Type, s.SpecVersion, s.Version, s.Expires.UTC()}); d != "" {
			return d
		}
		return diff("targets", sayTargets(m.Targets), sayTUFTargets(s))
	case metadata.SnapshotType:
		if d := diff("head", ours, head{s.Type, s.SpecVersion, s.Version, s.Expires.UTC()}); d != "" {
			return d
		}
		return diff("meta", sayMeta(m.Snapshot), sayTUFMeta(s.Meta))
	case metadata.TimestampType:
		if d := diff("head", ours, head{s.Type, s.SpecVersion, s.Version, s.Expires.UTC()}); d != "" {
			return d
		}
		return diff("meta", sayMeta(m.Timestamp), sayTUFMeta(s.Meta))
	}
	return "go-tuf read nothing"
}

// The say functions write down what a reader understood, in words both share;
// fmt prints maps in order.

func sayRole(r Role) string { return fmt.Sprintf("%q %d", r.KeyIDs, r.Threshold) }

func sayKeys(keys map[string]*Key) map[string]string {
	say := map[string]string{}
	for id, k := range keys {
		say[id] = fmt.Sprintf("%q %q %q", k.Type, k.Scheme, k.Public)
	}
	return say
}

func sayTUFKeys(keys map[string]*metadata.Key) map[string]string {
	say := map[string]string{}
	for id, k := range keys {
		say[id] = fmt.Sprintf("%q %q %q", k.Type, k.Scheme, k.Value.PublicKey)
	}
	return say
}

func sayRoot(r *Root) string {
	var b strings.Builder
	fmt.Fprintln(&b, r.ConsistentSnapshot, sayKeys(r.Keys))
	for _, name := range topLevel {
		fmt.Fprintln(&b, name, sayRole(r.Roles[name]))
	}
	return b.String()
}

func sayTUFRoot(r metadata.RootType) string {
	var b strings.Builder
	fmt.Fprintln(&b, r.ConsistentSnapshot, sayTUFKeys(r.Keys))
	for _, name := range topLevel {
		fmt.Fprintln(&b, name, sayRole(Role{r.Roles[name].KeyIDs, r.Roles[name].Threshold}))
	}
	return b.String()
}

func sayTUFHashes(hashes metadata.Hashes) map[string]string {
	say := map[string]string{}
	for algorithm, hash := range hashes {
		say[algorithm] = hex.EncodeToString(hash)
	}
	return say
}

func sayTargets(t *Targets) string {
	var b strings.Builder
	files := map[string]string{}
	for path, f := range t.Files() {
		files[path] = fmt.Sprint(max(0, f.Length), f.Hashes, f.Custom != nil)
	}
	fmt.Fprintln(&b, files)
	if d := t.Delegations; d != nil {
		fmt.Fprintln(&b, sayKeys(d.Keys))
		for _, r := range d.Roles {
			fmt.Fprintf(&b, "%q %s %q %q %v\n", r.Name, sayRole(r.Role), r.Paths, r.PathHashPrefixes, r.Terminating)
		}
		if s := d.Succinct; s != nil {
			fmt.Fprintf(&b, "%s %d %q\n", sayRole(s.Role), s.BitLength, s.NamePrefix)
		}
	}
	return b.String()
}

func sayTUFTargets(t metadata.TargetsType) string {
	var b strings.Builder
	files := map[string]string{}
	for path, f := range t.Targets {
		files[path] = fmt.Sprint(f.Length, sayTUFHashes(f.Hashes), f.Custom != nil)
	}
	fmt.Fprintln(&b, files)
	if d := t.Delegations; d != nil {
		fmt.Fprintln(&b, sayTUFKeys(d.Keys))
		for _, r := range d.Roles {
			fmt.Fprintf(&b, "%q %s %q %q %v\n", r.Name, sayRole(Role{r.KeyIDs, r.Threshold}), r.Paths, r.PathHashPrefixes, r.Terminating)
		}
		if s := d.SuccinctRoles; s != nil {
			fmt.Fprintf(&b, "%s %d %q\n", sayRole(Role{s.KeyIDs, s.Threshold}), s.BitLength, s.NamePrefix)
		}
	}
	return b.String()
}

func sayMeta(m *Meta) map[string]string {
	say := map[string]string{}
	for name, f := range m.Files() {
		say[name] = fmt.Sprint(f.Version, max(0, f.Length), f.Hashes)
	}
	return say
}

func sayTUFMeta(files map[string]*metadata.MetaFiles) map[string]string {
	say := map[string]string{}
	for name, f := range files {
		say[name] = fmt.Sprint(f.Version, f.Length, sayTUFHashes(f.Hashes))
	}
	return say
}

// stricter lists, by what the error says, why ParseJSON refuses files that
// go-tuf accepts.
var stricter = []struct{ refusal, why string }{
	{`is repeated`, "encoding/json merges objects and keeps the last of other values"},
	{`differs only in case`, "encoding/json takes one name for the other"},
	{`null is not allowed|found null`, "go-tuf takes null for absent, or panics later"},
	{`not written as an integer|does not fit|leading zero|number -0`, "go-tuf reads the numbers of unknown names as floats and prints 1.0 as 1"},
	{`is not between`, "go-tuf does not check versions, lengths and thresholds when it reads, nor cap bit_length at 14"},
	{`is missing`, "a missing value is a zero value in go-tuf"},
	{`nested deeper|more than \d+|file of \d+`, "go-tuf has no limits"},
	{`invalid UTF-8|unpaired surrogate`, "encoding/json replaces them with U+FFFD, so two texts have one payload"},
	{`signatures and signed, nothing else`, "unsigned names beside signed could be mistaken for signed ones"},
	{`snapshot.json, nothing else`, "the specification allows only snapshot.json"},
	{`delegation to|either roles or|either paths or`, "go-tuf checks delegations when it uses them, or takes the first"},
	{`lower-case hex digits`, "go-tuf compares hash prefixes with base64"},
	{`hex digits, want|hash is not hexadecimal`, "go-tuf takes a hash of any length"},
	{`not a time as in RFC 3339`, "encoding/json takes hours of one digit"},
	{`want root, targets, snapshot or timestamp`, "of two types, encoding/json keeps the last"},
	{`target without a path|target path of|target path with|delegation to a role|metadata of a role`, "go-tuf does not ask whether a name can be stored"},
	{`in a signature|key id of \d+`, "go-tuf has no limits"},
}

// laxer lists, by go-tuf's error, why ParseJSON accepts files that go-tuf
// refuses.
var laxer = []struct{ refusal, why string }{
	{`hashes must not be empty`, "such a target matches no file; no reason to refuse the others"},
	{`cannot unmarshal .* into Go struct field .*oles`, "go-tuf reads roles of root that TUF does not name, such as mirrors"},
	{`invalid JSON hex bytes|encoding/hex|invalid byte|parsing time|RFC 3339`, "go-tuf does not undo escapes such as \\u0061 in hex and times, and takes a signature that is not hexadecimal for a mistake of the file"},
	{`failed to marshal|Can't canonicalize floating`, "go-tuf prints large numbers of unknown names as floats, which have no canonical form"},
}

func known(list []struct{ refusal, why string }, err error) bool {
	for _, k := range list {
		if regexp.MustCompile(k.refusal).MatchString(err.Error()) {
			return true
		}
	}
	return false
}

// ambiguous says whether an object of a file has two names that encoding/json
// takes for one. ParseJSON refuses such a file for the first thing that it meets,
// which may stand in the half that go-tuf forgets when it meets the other.
func ambiguous(file []byte) bool {
	d := json.NewDecoder(bytes.NewReader(file))
	d.UseNumber()
	var names []map[string]bool // of the objects that are open; nil for an array
	var isName []bool
	ended := func() { // a value ended
		if n := len(isName); n > 0 {
			isName[n-1] = names[n-1] != nil
		}
	}
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		switch n := len(names); token {
		case json.Delim('{'):
			names, isName = append(names, map[string]bool{}), append(isName, true)
		case json.Delim('['):
			names, isName = append(names, nil), append(isName, false)
		case json.Delim('}'), json.Delim(']'):
			names, isName = names[:n-1], isName[:n-1]
			ended()
		default:
			if n == 0 || !isName[n-1] {
				ended()
				continue
			}
			// encoding/json folds as EqualFold does: k and the Kelvin sign are one.
			for name := range names[n-1] {
				if strings.EqualFold(name, token.(string)) {
					return true
				}
			}
			names[n-1][token.(string)] = true
			isName[n-1] = false
		}
	}
}

// compare holds one file against both oracles.
func compare(t *testing.T, file []byte) (m *Metadata, samePayload bool) {
	t.Helper()
	m, err := ParseJSON(file)
	theirs, theirErr := goTUF(file)
	if err != nil {
		if theirErr == nil && !known(stricter, err) && !ambiguous(file) {
			t.Errorf("go-tuf accepts %q\nwe say %v", file, err)
		}
		return nil, false
	}
	if want, err := cjsonPayload(file); err != nil || !bytes.Equal(m.Payload, want) {
		t.Errorf("%q\npayload %q\ncjson   %q, %v", file, m.Payload, want, err)
	}
	if theirErr != nil {
		if !known(laxer, theirErr) {
			t.Errorf("we accept %q\ngo-tuf says %v", file, theirErr)
		}
		return m, false
	}
	if d := disagreement(m, theirs); d != "" {
		t.Errorf("%q\n%s", file, d)
	}
	return m, bytes.Equal(m.Payload, theirs.payload)
}

// TestGoTUFPayload lists changes to files that ParseJSON and go-tuf both read,
// after which go-tuf prints another payload than was signed: it refuses the
// signatures. The last ones change nothing for either.
func TestGoTUFPayload(t *testing.T) {
	for _, test := range []struct{ file, old, new, why string }{
		{targetsText, `"length":5,`, ``, "prints a missing length as 0, as in Sigstore's revocation 1"},
		{targetsText, `,"terminating":true`, ``, "prints a missing terminating as false"},
		{targetsText, `AABBCCDDEEFF`, `AABBCCDDEEFf`, "prints hashes in lower case"},
		{rootFile, `"consistent_snapshot":true,`, ``, "prints a missing consistent_snapshot as false"},
		{rootFile, `03:04:05Z`, `03:04:05.50Z`, "prints times in its own way"},
		{rootFile, `03:04:05Z`, `03:04:05-00:00`, "prints times in its own way"},
		{rootFile, `"keyval":{}`, `"keyval":{"x":1}`, "prints a missing public as an empty string"},
		{rootFile, `"version":3`, `"x":9007199254740993,"version":3`, "reads numbers of unknown names as floats"},
		{snapshotFile, `"hashes":{"sha512":"` + zeros128 + `"}`, `"hashes":{}`, "leaves out empty hashes"},
		{snapshotFile, `"length":0`, `"length":0`, "leaves out a length of 0"},
	} {
		text := edit(t, test.file, test.old, test.new)
		m, same := compare(t, []byte(text))
		if m == nil || same {
			t.Errorf("%s: the payload is the same: go-tuf no longer %s", test.new, test.why)
		}
	}
	plainRoot := edit(t, rootFile, `"keyval":{}`, `"keyval":{"public":""}`)
	plainTargets := edit(t, targetsText, "AABBCCDDEEFF", "aabbccddeeff")
	for _, text := range []string{plainRoot, plainTargets, succinctText, timestampFile} {
		if m, same := compare(t, []byte(text)); m == nil || !same {
			t.Errorf("go-tuf prints another payload for %s", text)
		}
	}
}

// TestOraclesDiffer has a case for every known difference.
func TestOraclesDiffer(t *testing.T) {
	for i, test := range []struct{ file, old, new string }{
		{targetsText, `"length":5`, `"length":5,"length":5`},
		{targetsText, `"length":5`, `"Length":5`},
		{targetsText, `"delegations":{`, `"delegations":null,"x":{`},
		{targetsText, `"length":5`, `"x":1.0`},
		{rootFile, `"threshold":2`, `"threshold":0`},
		{rootFile, `"version":3,`, ``},
		{targetsText, `"length":5`, `"x":` + strings.Repeat("[", 65) + strings.Repeat("]", 65)},
		{targetsText, `"a.bin"`, `"\ud800"`},
		{rootFile, `"signed":{`, `"extra":1,"signed":{`},
		{timestampFile, `{"version":9}`, `{"version":9},"targets.json":{"version":1}`},
		{targetsText, `"name":"one"`, `"name":"two"`},
		{targetsText, `["0","ab12"]`, `["AB12"]`},
		{targetsText, `"new":"abcd"`, `"sha512":"abcd"`},
		{rootFile, `T03:04:05Z`, `T3:04:05Z`},
		{rootFile, `"_type":"root"`, `"_type":"Root","_type":"root"`},
	} {
		text := []byte(edit(t, test.file, test.old, test.new))
		_, err := ParseJSON(text)
		if _, theirs := goTUF(text); err == nil || theirs != nil || !regexp.MustCompile(stricter[i].refusal).MatchString(err.Error()) {
			t.Errorf("%s: we say %v, go-tuf says %v; want a refusal here alone: %s", test.new, err, theirs, stricter[i].why)
		}
	}
	for i, test := range []struct{ file, old, new string }{
		{targetsText, `"custom":`, `"x":{}},"b.bin":{"hashes":{},"custom":`},
		{rootFile, `"timestamp":{`, `"mirrors":7,"timestamp":{`},
		{rootFile, `"sig":"0a0B"`, `"sig":"\u00300"`},
		{rootFile, `"version":3`, `"x":9223372036854775807,"version":3`},
	} {
		text := []byte(edit(t, test.file, test.old, test.new))
		_, err := ParseJSON(text)
		if _, theirs := goTUF(text); err != nil || theirs == nil || !regexp.MustCompile(laxer[i].refusal).MatchString(theirs.Error()) {
			t.Errorf("%s: we say %v, go-tuf says %v; want a refusal there alone: %s", test.new, err, theirs, laxer[i].why)
		}
	}
}

// TestMangled holds files against both oracles in which single tokens were
// replaced, repeated or swapped: nearer to the rules than what a fuzzer finds in
// a short time. The seed is fixed, so a failure comes again.
func TestMangled(t *testing.T) {
	if testing.Short() {
		t.Skip("changes every byte of many files")
	}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	token := regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?[0-9]+|true|false|null|[][{},:]`)
	values := []string{
		`null`, `true`, `0`, `-1`, `1`, `-0`, `1.0`, `9007199254740993`, `""`, `"x"`, `"00"`, `"AB"`, `{}`, `[]`, `[null]`, `{"a":1,"a":1}`,
		`{"a":1,"A":1}`, `"targets"`, `"root"`, `"\u0041\u212a"`, `"\ud800"`, `"2030-01-02T03:04:05+01:00"`, `{"n":[{"m":null}]}`, `["a","b"]`,
	}
	names := []string{`"_type"`, `"x"`, `"Version"`, `"roleſ"`, `"hashes"`, `"custom"`, `"keyids"`, `"paths"`, `"\u0078"`, `""`}
	accepted := 0
	rounds := 20_000
	if testing.Short() {
		rounds = 4000
	}
	for range rounds {
		text := pick([]string{rootFile, targetsText, succinctText, snapshotFile, timestampFile})
		tokens := token.FindAllString(text, -1)
		for range 1 + random.IntN(2) {
			i := random.IntN(len(tokens))
			switch c := tokens[i]; {
			case c == "," || c == ":" || strings.ContainsAny(c[:1], "[]{}"):
				// Repeat the rest of an object or array, or add to it.
				if c == "{" {
					tokens[i] = "{" + pick(names) + ":" + pick(values) + ","
				} else if c == "}" {
					tokens[i] = "," + pick(names) + ":" + pick(values) + "}"
				}
			case i+1 < len(tokens) && tokens[i+1] == ":":
				tokens[i] = pick(append(names, strings.ToUpper(c), c+":"+pick(values)+","+c))
			default:
				tokens[i] = pick(values)
			}
		}
		if m, _ := compare(t, []byte(strings.Join(tokens, ""))); m != nil {
			accepted++
		}
		if t.Failed() {
			return
		}
	}
	if accepted < rounds/20 || accepted > rounds*19/20 {
		t.Errorf("%d of %d files are accepted: too few of one kind", accepted, rounds)
	}
	t.Logf("%d of %d files are accepted", accepted, rounds)
}

// FuzzParseJSON compares with both oracles, and checks that a payload read
// again is the same payload.
func FuzzParseJSON(f *testing.F) {
	for _, file := range []string{rootFile, targetsText, succinctText, snapshotFile, timestampFile} {
		f.Add([]byte(file))
	}
	f.Add([]byte(strings.Replace(targetsText, `"a.bin"`, `"a\u0001\n.bin"`, 1)))
	f.Add([]byte(strings.Replace(targetsText, `"targets":{`, `"targets":{"b.bin":{"hashes":{}},`, 1)))
	for _, file := range []string{snapshotFile, timestampFile} {
		// Two files in one, the other way round.
		f.Add([]byte(strings.TrimSuffix(targetsText, "}") + "," + strings.TrimPrefix(file, "{")))
	}
	// What is wrong stands in a half that go-tuf forgets.
	f.Add([]byte(`{"signatures":[],"signed":{"_type":"targets","targets":{"0":[]}},"signed":{"_type":"timestamp"}}`))
	f.Add([]byte(strings.Replace(targetsText, `"a.bin"`, `"\u0061\ud83c\udf7a\\\""`, 1)))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, _ := compare(t, file)
		if m == nil {
			return
		}
		// Canonical JSON has control characters as they are, and a file has not.
		text := []byte(`{"signatures":[],"signed":`)
		for _, c := range m.Payload {
			if c < 0x20 {
				text = fmt.Appendf(text, `\u%04x`, c)
			} else {
				text = append(text, c)
			}
		}
		again, err := ParseJSON(append(text, '}'))
		if err != nil || !bytes.Equal(again.Payload, m.Payload) {
			t.Fatalf("payload %q of %q: read again: %v", m.Payload, file, err)
		}
		if !reflect.DeepEqual(contents(t, again), contents(t, m)) || !again.Expires.Equal(m.Expires) {
			t.Errorf("%q says something else than its payload", file)
		}
		checkMembers(t, m)
	})
}

// contents is all that a file lists, as it is found in its payload, in any order
// and one by one.
func contents(t *testing.T, m *Metadata) any {
	t.Helper()
	switch {
	case m.Targets != nil:
		files, last, n := maps.Collect(m.Targets.Files()), "", 0
		for path := range m.Targets.Paths() {
			if file, ok := m.Targets.File(path); !ok || !reflect.DeepEqual(file, files[path]) || n > 0 && path <= last {
				t.Errorf("%q after %q is %v, %v when it is looked for, and %v among all", path, last, file, ok, files[path])
			}
			last = path
			n++
		}
		if _, ok := m.Targets.File(last + "\x00"); ok || n != m.Targets.Len() || n != len(files) {
			t.Errorf("%d of %d targets, and one more: %v", n, m.Targets.Len(), ok)
		}
		return []any{files, m.Targets.Delegations}
	case m.Snapshot != nil, m.Timestamp != nil:
		meta := cmp.Or(m.Snapshot, m.Timestamp)
		files := maps.Collect(meta.Files())
		for name, want := range files {
			if file, ok := meta.File(name); !ok || !reflect.DeepEqual(file, want) {
				t.Errorf("%q is %v, %v when it is looked for, and %v among all", name, file, ok, want)
			}
		}
		if len(files) != meta.Len() {
			t.Errorf("%d of %d files", len(files), meta.Len())
		}
		return files
	}
	return m.Root
}
