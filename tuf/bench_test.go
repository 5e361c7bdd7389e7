package tuf

import (
	"bytes"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"

	"filippo.io/mldsa"
	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// targetsFile returns indented targets metadata with n targets, as go-tuf and
// python-tuf write it, with signatures that still have to be made.
func targetsFile(n int, signers ...string) []byte {
	var b bytes.Buffer
	b.WriteString("{\n \"signatures\": [")
	for i, id := range signers {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n  {\n   \"keyid\": %q,\n   \"sig\": \"%s\"\n  }", id, unsigned(id))
	}
	b.WriteString("\n ],\n \"signed\": {\n  \"_type\": \"targets\",\n")
	b.WriteString("  \"expires\": \"2030-01-01T00:00:00Z\",\n  \"spec_version\": \"1.0.31\",\n  \"targets\": {")
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		sum := Sum(fmt.Append(nil, i))
		fmt.Fprintf(&b, "\n   \"images/board-%06d.bin\": {\n    \"hashes\": {\n     \"sha256\": \"%v\"\n    },\n    \"length\": %d\n   }", i, sum, i+1)
	}
	b.WriteString("\n  },\n  \"version\": 7\n }\n}\n")
	return b.Bytes()
}

func unsigned(id string) string { return hex.EncodeToString([]byte("unsigned " + id)) }

// benchFile is a file, who may sign it, and the same for go-tuf.
type benchFile struct {
	file []byte
	keys map[string]*Key
	role Role
	root *metadata.Metadata[metadata.RootType]
}

// newBenchFile has keys of one kind sign n targets; all of them must.
func newBenchFile(b testing.TB, n int, keys ...testKey) benchFile {
	b.Helper()
	f := benchFile{keys: map[string]*Key{}, role: Role{Threshold: len(keys)}}
	for i, k := range keys {
		id := fmt.Sprint("key ", i)
		f.keys[id] = k.key
		f.role.KeyIDs = append(f.role.KeyIDs, id)
	}
	f.file = targetsFile(n, f.role.KeyIDs...)
	m, err := ParseJSON(f.file)
	if err != nil {
		b.Fatal(err)
	}
	for i, k := range keys {
		id := f.role.KeyIDs[i]
		f.file = bytes.Replace(f.file, []byte(unsigned(id)), []byte(hex.EncodeToString(k.sign(m.Payload))), 1)
	}
	f.root = metadata.Root(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	role := &metadata.Role{KeyIDs: f.role.KeyIDs, Threshold: len(keys)}
	for id, k := range f.keys {
		f.root.Signed.Keys[id] = &metadata.Key{Type: k.Type, Scheme: k.Scheme, Value: metadata.KeyVal{PublicKey: k.Public}}
	}
	f.root.Signed.Roles[RoleTargets] = role
	return f
}

func (f benchFile) verify(b testing.TB) {
	b.Helper()
	m, err := ParseJSON(f.file)
	if err == nil {
		err = m.Meets(NewKeySet(f.keys, f.role))
	}
	if err != nil {
		b.Fatal(err)
	}
}

func (f benchFile) goTUF(b testing.TB) {
	m, err := metadata.Targets().FromBytes(f.file)
	if err == nil {
		err = f.root.VerifyDelegate(RoleTargets, m)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// jsonAndCJSON does with the standard library and cjson what ParseJSON does in
// one pass, less the strictness and the signatures.
func (f benchFile) jsonAndCJSON(b testing.TB) {
	var file struct {
		Signatures []struct{ KeyID, Sig string }
		Signed     json.RawMessage
	}
	var targets struct {
		Targets map[string]struct {
			Length int64
			Hashes map[string]string
		}
	}
	err := json.Unmarshal(f.file, &file)
	if err == nil {
		err = json.Unmarshal(file.Signed, &targets)
	}
	if err == nil {
		_, err = cjson.EncodeCanonical(file.Signed)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkReader reads a file and checks its signatures.
func BenchmarkReader(b *testing.B) {
	ed25519 := []testKey{ed25519TestKey(b), ed25519TestKey(b), ed25519TestKey(b), ed25519TestKey(b), ed25519TestKey(b)}
	_, p256 := ecdsaTestKey(b, elliptic.P256())
	_, mldsa44 := mldsaTestKey(b, mldsa.MLDSA44(), "ml-dsa-44/1")
	for _, size := range []struct {
		name    string
		targets int
	}{{"5KB", 29}, {"14MB", 100_000}} {
		for _, by := range []struct {
			name string
			keys []testKey
		}{{"Ed25519", ed25519[:1]}, {"5xEd25519", ed25519}, {"P-256", []testKey{p256}}, {"ML-DSA-44", []testKey{mldsa44}}} {
			b.Run(size.name+"/"+by.name, func(b *testing.B) {
				f := newBenchFile(b, size.targets, by.keys...)
				b.SetBytes(int64(len(f.file)))
				b.ReportAllocs()
				for b.Loop() {
					f.verify(b)
				}
			})
		}
	}
}

// BenchmarkBesideOthers runs this package and others by turns on the same file,
// so that a busy machine is busy for all of them, and reports how many times as
// long the others take. The time per operation is that of one round of all.
func BenchmarkBesideOthers(b *testing.B) {
	keys := []testKey{ed25519TestKey(b), ed25519TestKey(b), ed25519TestKey(b), ed25519TestKey(b), ed25519TestKey(b)}
	for _, size := range []struct {
		name    string
		targets int
	}{{"5KB", 29}, {"14MB", 100_000}} {
		b.Run(size.name, func(b *testing.B) {
			one, five := newBenchFile(b, size.targets, keys[0]), newBenchFile(b, size.targets, keys...)
			var spent [5]time.Duration
			runs := []func(testing.TB){one.verify, one.goTUF, five.verify, five.goTUF, one.jsonAndCJSON}
			for b.Loop() {
				for i, run := range runs {
					start := time.Now()
					run(b)
					spent[i] += time.Since(start)
				}
			}
			b.ReportMetric(float64(spent[0].Microseconds())/float64(b.N), "µs-here/file")
			b.ReportMetric(float64(spent[1])/float64(spent[0]), "x-gotuf-1key")
			b.ReportMetric(float64(spent[3])/float64(spent[2]), "x-gotuf-5keys")
			b.ReportMetric(float64(spent[4])/float64(spent[0]), "x-json+cjson")
		})
	}
}

// BenchmarkParse leaves the signatures out.
func BenchmarkParse(b *testing.B) {
	for name, n := range map[string]int{"5KB": 29, "14MB": 100_000} {
		b.Run(name, func(b *testing.B) {
			file := targetsFile(n, "key 0")
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseJSON(file); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBesideHash reads a file of 14 MB and checks its signature, by turns with
// the bare SHA-256 of the file, which is the least that anybody has to do with it.
func BenchmarkBesideHash(b *testing.B) {
	f := newBenchFile(b, 100_000, ed25519TestKey(b))
	var bare, read time.Duration
	b.SetBytes(int64(len(f.file)))
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		Sum(f.file)
		bare += time.Since(start)
		start = time.Now()
		f.verify(b)
		read += time.Since(start)
	}
	b.ReportMetric(float64(read.Microseconds())/1000/float64(b.N), "ms-read")
	b.ReportMetric(float64(bare.Microseconds())/1000/float64(b.N), "ms-hash")
	b.ReportMetric(float64(read)/float64(bare), "x-hash")
}

// BenchmarkUnsigned reads files of 32 MiB that nobody has signed, each of them made
// to take as much as it can when it is read, and reports what is live afterwards
// besides the file.
func BenchmarkUnsigned(b *testing.B) {
	for name, make := range greedyFiles() {
		file := make()
		b.Run(name, func(b *testing.B) {
			var before, after runtime.MemStats
			b.ReportAllocs()
			live := uint64(0)
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				m, err := ParseJSON(file)
				if err != nil {
					b.Fatal(err)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				live = max(live, after.HeapAlloc-min(after.HeapAlloc, before.HeapAlloc))
				runtime.KeepAlive(m)
			}
			b.ReportMetric(float64(live)/(1<<20), "MiB-live")
		})
	}
}

// greedyFiles are files of the largest size that the limits allow.
func greedyFiles() map[string]func() []byte {
	head := func(typ string) string {
		return `{"signatures":[],"signed":{"_type":"` + typ + `","spec_version":"1.0","version":1,"expires":"2099-01-01T00:00:00Z",`
	}
	fill := func(typ, begin, end string, limit int, item func(i int) string, more string) func() []byte {
		return func() []byte { return filled(head(typ)+begin, end, limit, item, more) }
	}
	hashed := func(i int) string { return fmt.Sprintf(`"%x":{"hashes":{"":"00"}}`, i) }
	listed := func(i int) string { return fmt.Sprintf(`"%x":{"hashes":{"":"00"},"version":1}`, i) }
	role := func(i int) string {
		return fmt.Sprintf(`{"keyids":[],"name":"%x","paths":["","","","","","","","","","","",""],"threshold":1}`, i)
	}
	return map[string]func() []byte{
		"targets":     fill("targets", `"targets":{`, `}`, MaxListed, hashed, ""),
		"snapshot":    fill("snapshot", `"meta":{`, `}`, MaxListed, listed, ""),
		"delegations": fill("targets", `"delegations":{"keys":{},"roles":[`, `]}`, MaxDelegations, role, `,"targets":{}`),
		"members":     fill("targets", `"y":[{`, `}]`, MaxFileSize, func(i int) string { return memberOf(i, i) }, `,"targets":{}`),
		"backwards":   fill("targets", `"y":[{`, `}]`, MaxFileSize, func(i int) string { return memberOf(i, 1<<23-i) }, `,"targets":{}`),
		"white space": fill("targets", `"y":[`, `]`, MaxFileSize, func(int) string { return "1     " }, `,"targets":{}`),
		"unknown":     fill("targets", ``, ``, MaxListed-10, func(i int) string { return fmt.Sprintf(`"%x":0`, 1<<23-i) }, `,"targets":{}`),
	}
}

// memberOf is a member of an object, number i of a list of objects that have as many
// as they may.
func memberOf(i, name int) string {
	if i%(MaxListed-1) == MaxListed-2 {
		return fmt.Sprintf(`"%x":0},{"a":0`, name)
	}
	return fmt.Sprintf(`"%x":0`, name)
}

func filled(begin, end string, limit int, item func(i int) string, more string) []byte {
	const size = MaxFileSize - 4096
	b := bytes.NewBuffer(make([]byte, 0, MaxFileSize))
	b.WriteString(begin)
	for i := 0; i < limit && b.Len() < size; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(item(i))
	}
	b.WriteString(end)
	if missing := size - b.Len() - len(more) - 8; missing > 0 {
		fmt.Fprintf(b, `,"x":"%s"`, bytes.Repeat([]byte("x"), missing))
	}
	b.WriteString(more + "}}")
	return b.Bytes()
}
