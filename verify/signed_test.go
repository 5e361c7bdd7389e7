package verify

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// counting is a public key that counts what it is asked, and made no signature.
type counting struct{ asked int }

func (c *counting) raw() (string, []byte)        { return "counting", nil }
func (c *counting) verify(*message, []byte) bool { c.asked++; return false }

// Beside a thousand files may come as many snapshots that nobody signed. Each is
// looked at once, and not once for each file.
func TestSnapshotsAreCheckedOnce(t *testing.T) {
	const snapshots = 1024
	key := &counting{}
	k := &Key{ID: "k"}
	k.once.Do(func() { k.verifier = key })
	keys := NewKeySet(map[string]*Key{"k": k}, Role{KeyIDs: []string{"k"}, Threshold: 1})
	var beside []*Metadata
	for i := range snapshots {
		text := strings.Replace(snapshotFile, `"version":1`, fmt.Sprint(`"version":`, i+1), 1)
		m, err := ParseJSON([]byte(strings.Replace(text, `"signatures":[]`, `"signatures":[{"keyid":"k","sig":"00"}]`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		beside = append(beside, m)
	}
	r := &Repository{}
	for range 20 {
		for _, s := range beside {
			if r.meets(s, keys) {
				t.Fatal("a snapshot that nobody signed counts")
			}
		}
	}
	if key.asked != snapshots {
		t.Errorf("%d signatures are looked at, want %d", key.asked, snapshots)
	}
}

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
