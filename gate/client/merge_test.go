package client_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/tuf"
)

// The key id is the one that go-tuf computes.
func TestKeyID(t *testing.T) {
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := metadata.KeyFromPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	id, err := theirs.ID()
	if err != nil {
		t.Fatal(err)
	}
	if ours := client.NewKey(public); ours.KeyID != id || ours.KeyVal.Public != hex.EncodeToString(public) {
		t.Errorf("%+v; go-tuf has %s", ours, id)
	}
}

func timestamp(t testing.TB) []byte {
	t.Helper()
	v, err := testvendor.New(time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	_, file := v.File(tuf.RoleTimestamp)
	return file
}

// Whatever the file is: but for the list of signatures it stays the same, byte for byte.
func FuzzMerge(f *testing.F) {
	plain := timestamp(f)
	f.Add(plain)
	f.Add(bytes.ReplaceAll(bytes.ReplaceAll(plain, []byte(":"), []byte(" : ")), []byte(","), []byte(" ,\n  ")))
	f.Add([]byte(`{"signatures":[],"signed":{}}`))
	add := []client.Signature{{KeyID: "a", Sig: "aa"}, {KeyID: "b", Sig: "bb"}}
	f.Fuzz(func(t *testing.T, file []byte) {
		before, err := tuf.ParseJSON(file)
		if err != nil {
			return
		}
		merged, err := client.Merge(file, add...)
		if err != nil {
			t.Skip(err)
		}
		after, err := tuf.ParseJSON(merged)
		if err != nil || !bytes.Equal(after.Payload, before.Payload) {
			t.Fatalf("%v: %s\nfrom %s", err, merged, file)
		}
		for _, s := range add {
			found := 0
			for _, got := range after.Signatures {
				if got.KeyID == s.KeyID && hex.EncodeToString(got.Sig) == s.Sig {
					found++
				}
			}
			if found != 1 {
				t.Fatalf("signature %s is there %d times: %s", s.KeyID, found, merged)
			}
		}
		again, err := client.Merge(merged, add...)
		if err != nil || !bytes.Equal(again, merged) {
			t.Fatalf("merged again: %v\n%s\n%s", err, merged, again)
		}
	})
}

func TestMergeReplaces(t *testing.T) {
	file := timestamp(t)
	m, err := tuf.ParseJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	vendor := m.Signatures[0].KeyID
	one, err := client.Merge(file, client.Signature{KeyID: "gate", Sig: "aa"})
	if err != nil {
		t.Fatal(err)
	}
	two, err := client.Merge(one, client.Signature{KeyID: "gate", Sig: "bb"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"keyid":"gate","sig":"bb"}]`
	if !bytes.Contains(two, []byte(want)) || bytes.Contains(two, []byte(`"aa"`)) || !bytes.Contains(two, []byte(vendor)) {
		t.Errorf("%s", two)
	}
	if _, err := client.Merge([]byte("{}"), client.Signature{KeyID: "gate", Sig: "aa"}); err == nil {
		t.Error("a file without signatures is merged")
	}
}
