package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

func TestGaps(t *testing.T) {
	tests := []struct {
		versions []int64
		want     string
	}{
		{nil, ""},
		{[]int64{7}, ""},
		{[]int64{1, 2, 3}, ""},
		{[]int64{1, 3}, "version 2 (the highest is 3)"},
		{[]int64{5, 9, 11}, "versions 6-8, 10 (the highest is 11)"},
		{[]int64{1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 1 << 52}, "versions 2, 4, 6, 8, 10, 12, 14, 16 and others, 4503599627370485 in all (the highest is 4503599627370496)"},
	}
	for _, tt := range tests {
		versions := map[int64]tuf.Digest{}
		for _, v := range tt.versions {
			versions[v] = tuf.Digest{}
		}
		if got := gaps(versions, slices.Max(append(tt.versions, 0))); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.versions, got, tt.want)
		}
	}
}

// TestKeyIDsOfRealRoots: of all keys of Sigstore's roots one has an id that is
// not its hash, since root 11.
func TestKeyIDsOfRealRoots(t *testing.T) {
	var odd []string
	for _, repo := range []string{"sigstore_root_signing", "docker_tuf", "jku_tuf_demo"} {
		paths, err := filepath.Glob(filepath.Join(realdata.Histories(t), repo, "root", "*.root.json"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no roots: %v", err)
		}
		r := &repository{keys: map[tuf.Digest]bool{}}
		listed := 0
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			m, err := tuf.ParseJSON(b)
			if err != nil {
				t.Fatal(err)
			}
			found := r.keyFindings(&loaded{item: item{leaf: leaf.Leaf{Role: tuf.RoleRoot, Version: m.Version, Encoding: tuf.JSON}}, metadata: m})
			for _, f := range found {
				odd = append(odd, repo+": "+f.Sentence)
			}
			keys, ok := member(string(m.Payload), "keys")
			n := 0
			for range members(keys) {
				n++
			}
			if !ok || n != len(m.Root.Keys) {
				t.Errorf("%s: %d keys found, the parser has %d", path, n, len(m.Root.Keys))
			}
			listed += n
		}
		t.Logf("%s: %d keys listed, %d different", repo, listed, len(r.keys))
	}
	for _, s := range odd {
		t.Log(s)
	}
	if len(odd) == 0 || !strings.HasPrefix(odd[0], "sigstore_root_signing: root 11 ") {
		t.Errorf("odd ids: %q", odd)
	}
}

func FuzzMembers(f *testing.F) {
	f.Add(`{"a":1,"b":{"c":["x,y","}"]},"d":"\"q\\"}`)
	f.Add(`{"keys":{"id":{"keytype":"ed25519","keyval":{"public":"00"},"scheme":"ed25519"}}}`)
	f.Add(`{"a"`)
	f.Add(`{"a":1,}`)
	f.Fuzz(func(t *testing.T, s string) {
		total := 0
		for name, value := range members(s) {
			if value == "" || !strings.Contains(s, `"`+name+`":`+value) {
				t.Fatalf("%q has no member %q of value %q", s, name, value)
			}
			total += len(name) + len(value)
			isKeyID(name, value)
		}
		if total > len(s) {
			t.Fatalf("%d bytes of members in %d", total, len(s))
		}
	})
}

func testState(t testing.TB, leaves int) []byte {
	t.Helper()
	edge := new(proofs.Edge)
	for i := range leaves {
		if err := edge.Append(proofs.LeafHash([]byte{byte(i)})); err != nil {
			t.Fatal(err)
		}
	}
	signer, err := proofs.GenerateSigner(bytes.NewReader(make([]byte, 64)), "log.test", proofs.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	note := proofs.Note{Text: proofs.Checkpoint{Origin: "log.test", Tree: edge.Tree()}.String()}
	sig, err := signer.Sign(note.Text, 0)
	if err != nil {
		t.Fatal(err)
	}
	note.Signatures = append(note.Signatures, sig)
	b, err := (&State{Edge: edge, Checkpoint: note.Marshal()}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestState(t *testing.T) {
	for _, leaves := range []int{0, 1, 3, 8, 255} {
		b := testState(t, leaves)
		state, err := ParseState(b)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := state.Marshal(); err != nil || !bytes.Equal(again, b) || state.Edge.Tree().N != int64(leaves) {
			t.Fatalf("%d leaves: %q, %v", leaves, again, err)
		}
	}
	// An edge that does not fit the checkpoint is no state.
	b := testState(t, 3)
	other := bytes.Replace(testState(t, 5), []byte("\n5\n"), []byte("\n3\n"), 1)
	for _, bad := range [][]byte{nil, b[:len(b)-1], append(bytes.Clone(b), '\n'), other, bytes.Replace(b, []byte("state v1"), []byte("state v2"), 1), bytes.Replace(b, []byte("\n\n"), []byte("\n"), 1)} {
		if _, err := ParseState(bad); err == nil {
			t.Errorf("parsed %q", bad)
		}
	}
	for i := range b {
		spoilt := bytes.Clone(b)
		spoilt[i] ^= 1
		if state, err := ParseState(spoilt); err == nil {
			// The origin and the signatures are not this parser's business.
			if again, err := state.Marshal(); err != nil || !bytes.Equal(again, spoilt) || i < bytes.Index(b, []byte("\n\n")) {
				t.Errorf("a bit at %d goes unseen", i)
			}
		}
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte{})
	f.Add(testState(f, 0))
	f.Add(testState(f, 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		state, err := ParseState(b)
		if err != nil {
			return
		}
		again, err := state.Marshal()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q is printed as %q, %v", b, again, err)
		}
	})
}
