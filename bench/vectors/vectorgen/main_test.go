package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

const committed = "../../../testdata/vectors"

var generated = sync.OnceValue(generate)

// What is committed is what the program writes, no file more and none less.
func TestCommitted(t *testing.T) {
	want := map[string][]byte{}
	for _, f := range generated() {
		want[f.path] = f.body
	}
	err := filepath.WalkDir(committed, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(committed, path)
		if err != nil {
			return err
		}
		got, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch body, ok := want[filepath.ToSlash(name)]; {
		case !ok:
			t.Errorf("%s is not generated", name)
		case !bytes.Equal(got, body):
			t.Errorf("%s differs from what is generated", name)
		}
		delete(want, filepath.ToSlash(name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
	if t.Failed() {
		t.Log("go run -C bench/vectors ./vectorgen")
	}
}

// Two runs write the same, and the second leaves the files alone.
func TestWrite(t *testing.T) {
	first, second := generated(), generate()
	if len(first) != len(second) {
		t.Fatalf("%d files, then %d", len(first), len(second))
	}
	for i := range first {
		if first[i].path != second[i].path || !bytes.Equal(first[i].body, second[i].body) {
			t.Errorf("%s is different each time", first[i].path)
		}
	}
	dir := t.TempDir()
	stale := filepath.Join(dir, "note", "stale.json")
	if err := os.MkdirAll(filepath.Dir(stale), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stale, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, first); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("a file that is not generated any more is still there: %v", err)
	}
	for _, f := range first {
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.path)))
		if err != nil || !bytes.Equal(got, f.body) {
			t.Errorf("%s: %v", f.path, err)
		}
	}
}

// The example of c2sp.org/merkle-tree, with its own labels: the generator's
// tree is checked against the specification and not against the code under
// test.
func TestTreeOfTheSpecification(t *testing.T) {
	tr := distinct(7)
	var l [7]hash
	for i := range l {
		l[i] = leafHash(tr.entry(uint64(i)))
	}
	h, i, j := nodeHash(l[0], l[1]), nodeHash(l[2], l[3]), nodeHash(l[4], l[5])
	k, m := nodeHash(h, i), nodeHash(j, l[6])
	if tr.root() != nodeHash(k, m) {
		t.Error("root")
	}
	for index, want := range map[uint64][]hash{0: {l[1], i, m}, 3: {l[2], h, m}, 4: {l[5], l[6], k}, 6: {j, k}} {
		checkHashes(t, "inclusion", tr.path(index), want)
	}
	for size, want := range map[uint64][]hash{3: {l[2], l[3], h, m}, 4: {m}, 6: {j, l[6], k}} {
		checkHashes(t, "consistency", tr.proof(size), want)
	}
	checkHashes(t, "edge", tr.edge(), []hash{k, j, l[6]})
	if uniform(0, "", nil).root().String() != "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" {
		t.Error("root of the empty tree")
	}
}

// Trees of equal entries are hashed in another way than trees of different
// ones, and must come out alike.
func TestUniformTree(t *testing.T) {
	for n := range uint64(70) {
		fast, slow := uniform(n, "entry", nil), distinct(n)
		for i := range n {
			slow.entries[i] = "entry"
		}
		if fast.root() != slow.root() {
			t.Errorf("size %d: roots differ", n)
		}
		for m := uint64(1); m <= n; m++ {
			checkHashes(t, "consistency", fast.proof(m), slow.proof(m))
			checkHashes(t, "inclusion", fast.path(m-1), slow.path(m-1))
		}
	}
}

func checkHashes(t *testing.T, what string, got, want []hash) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d hashes, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: hash %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}
