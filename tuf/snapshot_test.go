package tuf

import (
	"crypto/sha512"
	"encoding/hex"
	"strings"
	"testing"
)

// Of the snapshots beside a file each may list it with other hashes. The file is
// hashed once for all of them.
func TestFileIsHashedOnce(t *testing.T) {
	m, err := ParseJSON([]byte(targetsText))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(m.File)
	right, wrong := hex.EncodeToString(sum[:]), zeros128
	list := func(hashes map[string]string) MetaFile {
		return MetaFile{Version: 1, Length: int64(len(targetsText)), Hashes: hashes}
	}
	both := list(map[string]string{"sha256": m.FileDigest.String(), "sha512": right})
	for _, test := range []struct {
		listed MetaFile
		ok     bool
	}{
		{both, true},
		{list(map[string]string{"sha512": right}), true},
		{list(map[string]string{"sha512": right, "new": "00"}), true},
		{list(map[string]string{"sha512": wrong}), false},
		{list(map[string]string{"sha256": m.FileDigest.String(), "sha512": wrong}), false},
		{list(map[string]string{"sha256": wrong[:64], "sha512": right}), false},
		{list(map[string]string{"new": "00"}), false},
		{list(map[string]string{}), false},
		{list(nil), true},
		{MetaFile{Version: 2, Length: -1}, false},
		{MetaFile{Version: 1, Length: 1, Hashes: both.Hashes}, false},
	} {
		if err := test.listed.Describes(m); (err == nil) != test.ok || (test.listed.Matches(m.File, m.Version) == nil) != test.ok {
			t.Errorf("%v: %v", test.listed, err)
		}
	}
	m.File = []byte(strings.Repeat("x", len(targetsText))) // it would hash to something else
	if err := both.Describes(m); err != nil {
		t.Errorf("hashed again: %v", err)
	}
}
