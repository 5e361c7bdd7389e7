package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

// targetsFile returns indented targets metadata with n targets, as go-tuf and
// python-tuf write it.
func targetsFile(n int) []byte {
	var b bytes.Buffer
	b.WriteString("{\n \"signatures\": [\n  {\n   \"keyid\": \"k\",\n   \"sig\": \"00\"\n  }\n ],\n \"signed\": {\n  \"_type\": \"targets\",\n")
	b.WriteString("  \"expires\": \"2030-01-01T00:00:00Z\",\n  \"spec_version\": \"1.0.31\",\n  \"targets\": {")
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		sum := Sum(fmt.Append(nil, i))
		fmt.Fprintf(&b, "\n   \"images/board-%06d.bin\": {\n    \"hashes\": {\n     \"sha256\": \"%v\"\n    },\n    \"length\": %d\n   }", i, sum, i)
	}
	b.WriteString("\n  },\n  \"version\": 7\n }\n}\n")
	return b.Bytes()
}

// signedFile returns targets metadata of about 5 KB with one Ed25519 signature,
// and who may sign it.
func signedFile(b *testing.B) ([]byte, KeySet) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	file := targetsFile(25)
	m, err := ParseJSON(file)
	if err != nil {
		b.Fatal(err)
	}
	sig := hex.EncodeToString(ed25519.Sign(private, m.Payload))
	file = bytes.Replace(file, []byte(`"sig": "00"`), []byte(`"sig": "`+sig+`"`), 1)
	key := &Key{ID: "k", Type: "ed25519", Scheme: "ed25519", Public: hex.EncodeToString(public)}
	return file, KeySet{Keys: map[string]*Key{"k": key}, Role: Role{KeyIDs: []string{"k"}, Threshold: 1}}
}

func BenchmarkParse5KB(b *testing.B) {
	file, keys := signedFile(b)
	b.Run("verify", func(b *testing.B) {
		b.SetBytes(int64(len(file)))
		b.ReportAllocs()
		for b.Loop() {
			m, err := ParseJSON(file)
			if err != nil {
				b.Fatal(err)
			}
			if err := m.Meets(keys); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse", func(b *testing.B) { benchmarkParse(b, file) })
	b.Run("oracle", func(b *testing.B) { benchmarkOracle(b, file) })
}

func BenchmarkParse100kTargets(b *testing.B) {
	file := targetsFile(100_000)
	b.Run("parse", func(b *testing.B) { benchmarkParse(b, file) })
	b.Run("oracle", func(b *testing.B) { benchmarkOracle(b, file) })
}

func benchmarkParse(b *testing.B, file []byte) {
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseJSON(file); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkOracle does with the standard library and cjson what ParseJSON does
// in one pass, less the strictness.
func benchmarkOracle(b *testing.B, file []byte) {
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		var f struct {
			Signatures []struct{ KeyID, Sig string }
			Signed     json.RawMessage
		}
		if err := json.Unmarshal(file, &f); err != nil {
			b.Fatal(err)
		}
		var targets struct {
			Targets map[string]struct {
				Length int64
				Hashes map[string]string
			}
		}
		if err := json.Unmarshal(f.Signed, &targets); err != nil {
			b.Fatal(err)
		}
		if _, err := cjson.EncodeCanonical(f.Signed); err != nil {
			b.Fatal(err)
		}
	}
}
