package api

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

func TestRoleOf(t *testing.T) {
	file := []byte(`{"signed":{}}`)
	sum, sum2 := sha256.Sum256(file), sha512.Sum512(file)
	hash256, hash512 := hex.EncodeToString(sum[:]), hex.EncodeToString(sum2[:])
	other := hex.EncodeToString(make([]byte, 32))
	tests := []struct {
		name    string
		version int64
		want    string // "" is an error
	}{
		{"root.json", 3, "root"},
		{"3.root.json", 3, "root"},
		{"4.root.json", 3, ""},
		{"03.root.json", 3, "03.root"}, // no version is spelled so
		{"-3.root.json", -3, "-3.root"},
		{"14.targets.json", 0, "targets"}, // unreadable file
		{"registry.npmjs.org.json", 5, "registry.npmjs.org"},
		{"5.registry.npmjs.org.json", 5, "registry.npmjs.org"},
		{"1.2.json", 1, "2"},
		{"1.2.json", 2, "1.2"},
		{"2.1.2.json", 2, "1.2"},
		{"7.json", 7, "7"},
		{"7.7.json", 7, "7"},
		{"1...json", 1, "."},
		{"1.ö.json", 1, "ö"},
		{"1.%C3%B6.json", 1, "ö"},
		{"1...%2Fa.json", 1, "../a"},
		{"100%.json", 1, ""},
		{hash256 + ".targets.json", 9, "targets"},
		{hash512 + ".targets.json", 9, "targets"},
		{other + ".targets.json", 9, ""},
		{other + ".bin.json", 9, other + ".bin"},
		{hash256 + ".json", 9, hash256},
		{".json", 1, ""},
		{"1..json", 1, "1."},
		{"root", 1, ""},
		{"root.json.tlog-proof", 1, ""},
	}
	for _, tt := range tests {
		got, err := RoleOf(tt.name, file, tt.version)
		if (err != nil) != (tt.want == "") || got != tt.want {
			t.Errorf("RoleOf(%q, version %d) = %q, %v; want %q", tt.name, tt.version, got, err, tt.want)
		}
	}
}

func TestFileNameRoundTrip(t *testing.T) {
	for _, role := range []string{"root", "targets", "registry.npmjs.org", "ö", ".", "..", "../a", "a/b", "100%", "%41", "1", "1.2", "x y\n", other(64)} {
		for _, version := range []int64{1, 2, 41} {
			name := FileName(role, version)
			got, err := RoleOf(name, []byte("x"), version)
			if err != nil || got != role {
				t.Errorf("role %q version %d: name %q, read back as %q, %v", role, version, name, got, err)
			}
		}
	}
}

func other(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a'
	}
	return string(b)
}

func FuzzRoleOf(f *testing.F) {
	for _, name := range []string{"root.json", "3.root.json", "1.2.json", "1.%C3%B6.json", "%.json", "..json", "root.pb", "3.targets.pb", ".pb", "root.json.pb"} {
		f.Add(name, int64(3))
	}
	f.Fuzz(func(t *testing.T, name string, version int64) {
		role, err := RoleOf(name, []byte(name), version)
		if err != nil || role == "" || version < 1 {
			return
		}
		again, err := RoleOf(FileName(role, version), []byte(name), version)
		if err != nil || again != role {
			t.Fatalf("%q is role %q; its own name %q reads as %q, %v", name, role, FileName(role, version), again, err)
		}
	})
}

// Pigweed's files are named like those in JSON, but for the end.
func TestNamesOfPigweed(t *testing.T) {
	for name, want := range map[string]string{"root.pb": "root", "3.targets.pb": "targets", "4.targets.pb": "", ".pb": "", "root.proto": ""} {
		got, err := RoleOf(name, []byte("x"), 3)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]tuf.Encoding{"root.pb": tuf.Pigweed, AnyPigweed: tuf.Pigweed, "root.json": tuf.JSON, "root.pb.json": tuf.JSON, "": tuf.JSON} {
		if got := EncodingOf(name); got != want {
			t.Errorf("%q is %s, want %s", name, got, want)
		}
	}
}
