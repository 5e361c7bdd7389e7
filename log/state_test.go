package log

import (
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

// What metadata says of a file that cannot be looked up by a digest is kept.
func TestTargetsOf(t *testing.T) {
	sum := tuf.Sum([]byte("x")).String()
	m, err := tuf.ParseJSON([]byte(`{"signatures":[],"signed":{"_type":"targets","version":1,"spec_version":"1.0","expires":"2030-01-01T00:00:00Z","targets":{
		"c":{"length":1,"hashes":{"sha256":"` + sum + `","sha512":"` + sum + sum + `"}},
		"a":{"hashes":{"sha512":"` + sum + sum + `"}},
		"b":{"length":3,"hashes":{"sha3":"` + sum + `"}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := TargetsOf(m)
	if len(got) != 3 || got[0].Path != "a" || got[1].Path != "b" || got[2].Path != "c" {
		t.Fatalf("%v", got)
	}
	for i, want := range []struct {
		length         int64
		sha256, sha512 bool
	}{{-1, false, true}, {3, false, false}, {1, true, true}} {
		if f := got[i]; f.Length != want.length || !f.SHA256.IsZero() != want.sha256 || (f.SHA512.String() == sum+sum) != want.sha512 || (f.SHA512 != SHA512{}) != want.sha512 {
			t.Errorf("%+v", f)
		}
	}
}
