package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// A bundle is entries with the files that they name.
type bundle struct {
	entries [][]byte
	files   map[tuf.Digest][]byte
}

func newBundle() *bundle { return &bundle{files: map[tuf.Digest][]byte{}} }

// add appends a leaf that names these files; a snapshot of no bytes is none.
func (b *bundle) add(metadata, snapshot []byte) {
	l := leaf.Leaf{
		Kind:       leaf.Release,
		Repository: tuf.Sum([]byte("repository")),
		Role:       "targets",
		Version:    int64(len(b.entries) + 1),
		Payload:    tuf.Sum(metadata),
		Metadata:   tuf.Sum(metadata),
		Size:       int64(len(metadata)),
		Encoding:   tuf.JSON,
	}
	b.files[l.Metadata] = metadata
	if len(snapshot) > 0 {
		l.Snapshot, l.Listed = tuf.Sum(snapshot), leaf.ByHash
		b.files[l.Snapshot] = snapshot
	}
	b.entries = append(b.entries, l.Marshal())
}

func (b *bundle) read(sum tuf.Digest) ([]byte, error) { return b.files[sum], nil }

func (b *bundle) encode(t testing.TB) []byte {
	t.Helper()
	pack, _, err := Encode(b.entries, b.read)
	if err != nil {
		t.Fatal(err)
	}
	return pack
}

// sized returns a file of n bytes, another one for each seed.
func sized(n int, seed int) []byte {
	file := bytes.Repeat([]byte{'x'}, n)
	copy(file, fmt.Sprint(seed))
	return file
}

func TestPath(t *testing.T) {
	for path, want := range map[string]proofs.TileID{
		"tile/files/000":                {Level: proofs.EntriesLevel, Index: 0, Width: 256},
		"tile/files/x001/067.p/5":       {Level: proofs.EntriesLevel, Index: 1067, Width: 5},
		"tile/files/x001/x234/067.p/90": {Level: proofs.EntriesLevel, Index: 1234067, Width: 90},
	} {
		if got, err := ParsePath(path); err != nil || got != want || Path(want) != path {
			t.Errorf("%s is read as %+v, %v, and printed as %s", path, got, err, Path(got))
		}
	}
	for _, path := range []string{"", "tile/files", "tile/files/", "tile/files/0", "tile/files/000.p/256", "tile/files/000.p/0", "tile/files/x000/000", "tile/entries/000", "tile/0/000", "/tile/files/000", "tile/files/../entries/000"} {
		if got, err := ParsePath(path); err == nil {
			t.Errorf("%q is read as %+v", path, got)
		}
	}
}

// A pack has each file once, in the order of first mention, whatever is missing or
// too large.
func TestEncode(t *testing.T) {
	b := newBundle()
	m1, m2, m3, m4 := sized(10, 1), sized(MaxFile, 2), sized(MaxFile+1, 3), sized(20, 4)
	s1, s2, large := sized(30, 11), sized(40, 12), sized(MaxFile+1, 13)
	b.add(m1, s1)
	b.add(m2, s1) // named before
	b.add(m3, large)
	b.add(m1, s2) // metadata that was named before
	b.entries = append(b.entries, []byte(leaf.End))
	b.add(m4, nil)
	b.add(s1, m4) // each as the other
	var asked []tuf.Digest
	pack, absent, err := Encode(b.entries, func(sum tuf.Digest) ([]byte, error) {
		asked = append(asked, sum)
		return b.read(sum)
	})
	if err != nil || absent != 0 {
		t.Fatalf("%d absent, %v", absent, err)
	}
	want := [][]byte{m1, s1, m2, s2, m4}
	check := func(pack []byte, want [][]byte) {
		t.Helper()
		files, err := Parse(pack, b.entries)
		if err != nil || len(files) != len(want) {
			t.Fatalf("%d files, %v, want %d", len(files), err, len(want))
		}
		for i, f := range files {
			if !bytes.Equal(f.Data, want[i]) || f.Digest != tuf.Sum(want[i]) {
				t.Errorf("file %d is %d bytes, %v", i, len(f.Data), f.Digest)
			}
		}
	}
	check(pack, want)
	for _, sum := range asked {
		if sum == tuf.Sum(m3) {
			t.Error("a file is read that its leaf says is too large")
		}
	}

	delete(b.files, tuf.Sum(s1))
	delete(b.files, tuf.Sum(m4))
	pack, absent, err = Encode(b.entries, b.read)
	if err != nil || absent != 2 {
		t.Fatalf("%d absent, %v", absent, err)
	}
	check(pack, [][]byte{m1, m2, s2})

	if empty, _, err := Encode(nil, b.read); err != nil || len(empty) != 0 {
		t.Errorf("%x, %v", empty, err)
	}
	check(nil, nil)
}

func TestEncodeFails(t *testing.T) {
	b := newBundle()
	b.add(sized(10, 1), nil)
	broken := errors.New("broken disk")
	if _, _, err := Encode(b.entries, func(tuf.Digest) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("an error of reading becomes %v", err)
	}
	if pack, _, err := Encode(b.entries, func(tuf.Digest) ([]byte, error) { return []byte("other"), nil }); err == nil {
		t.Errorf("a pack of %d bytes with a file that is another one", len(pack))
	}
}

// The files of a bundle may be larger than a pack: 512 of the largest. It then ends
// before the one that does not fit.
func TestEncodeStopsAtTheLimit(t *testing.T) {
	b := newBundle()
	for i := range proofs.FullWidth {
		b.add(sized(MaxFile, i), sized(MaxFile, 1000+i))
	}
	pack, absent, err := Encode(b.entries, b.read)
	if err != nil || absent != 0 {
		t.Fatalf("%d absent, %v", absent, err)
	}
	if files, err := Parse(pack, b.entries); err != nil || len(files) != 2*proofs.FullWidth-1 {
		t.Errorf("%d files, %v, want %d", len(files), err, 2*proofs.FullWidth-1)
	}
}

// The pack of the first entries is the beginning of that of all.
func TestCut(t *testing.T) {
	b := newBundle()
	for i := range 40 {
		b.add(sized(10+i, i), sized(50, 100+i/7))
	}
	b.add(sized(10, 3), sized(MaxFile+1, 999))
	pack := b.encode(t)
	for n := range len(b.entries) + 1 {
		want, _, err := Encode(b.entries[:n], b.read)
		if err != nil {
			t.Fatal(err)
		}
		if got := Cut(pack, b.entries[:n]); !bytes.Equal(got, want) {
			t.Errorf("of %d entries: %d bytes, want %d", n, len(got), len(want))
		}
	}
	short := pack[:len(pack)-1]
	if _, err := Parse(Cut(short, b.entries), b.entries); err == nil {
		t.Error("cutting mends what is cut short")
	}
}

func TestParseRefuses(t *testing.T) {
	b := newBundle()
	b.add([]byte("metadata 1"), []byte("snapshot"))
	b.add([]byte("metadata 2"), []byte("snapshot"))
	pack := b.encode(t)
	record := func(file string) []byte {
		sum := tuf.Sum([]byte(file))
		r := binary.BigEndian.AppendUint32(bytes.Clone(sum[:]), uint32(len(file)))
		return append(r, file...)
	}
	m1, s, m2 := record("metadata 1"), record("snapshot"), record("metadata 2")
	if !bytes.Equal(pack, bytes.Join([][]byte{m1, s, m2}, nil)) {
		t.Fatalf("the pack is %x", pack)
	}
	other := bytes.Clone(m1)
	other[len(other)-1]++
	none := bytes.Clone(m1[:headSize])
	none[headSize-1] = 0
	huge := bytes.Clone(m1)
	binary.BigEndian.PutUint32(huge[len(tuf.Digest{}):], MaxFile+1)
	for name, c := range map[string]struct {
		pack []byte
		want string
	}{
		"too large":         {make([]byte, MaxSize+1), "pack: 33554433 bytes, the limit is 33554432"},
		"head cut short":    {m1[:35], "pack: file 0: 35 bytes where a digest and a length should be"},
		"file cut short":    {append(bytes.Clone(m1), s[:len(s)-1]...), "is cut short: 7 of 8 bytes"},
		"empty file":        {none, "has 0 bytes, want 1 to 65536"},
		"large file":        {huge, "has 65537 bytes, want 1 to 65536"},
		"another file":      {other, "is 10 bytes with SHA-256 "},
		"not named":         {record("metadata 3"), "is not named by any leaf of the bundle"},
		"twice":             {append(bytes.Clone(m1), m1...), "pack: file 1, " + tuf.Sum([]byte("metadata 1")).String() + ", is there twice"},
		"out of order":      {append(bytes.Clone(s), m1...), "is there twice, or behind " + tuf.Sum([]byte("snapshot")).String()},
		"twice, but apart":  {bytes.Join([][]byte{m1, s, m1}, nil), "pack: file 2, "},
		"bytes at the end":  {append(bytes.Clone(pack), 0), "pack: file 3: 1 bytes where"},
		"named by the next": {bytes.Join([][]byte{m1, s, m2, record("metadata 3")}, nil), "pack: file 3, "},
	} {
		if _, err := Parse(c.pack, b.entries); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for i := range pack {
		changed := bytes.Clone(pack)
		changed[i] ^= 1
		if _, err := Parse(changed, b.entries); err == nil {
			t.Errorf("accepted although byte %d is changed", i)
		}
	}
}

// What is accepted is the pack that the entries and its own files make, and so is what
// is cut from it.
func FuzzParse(f *testing.F) {
	b := newBundle()
	b.add([]byte("m"), []byte("snapshot"))
	b.add([]byte("metadata 2"), []byte("snapshot"))
	b.add(sized(300, 3), []byte("m"))
	var entries []byte
	for _, e := range b.entries {
		entries, _ = proofs.AppendEntry(entries, e)
	}
	pack := b.encode(f)
	f.Add(pack, entries, uint8(3))
	f.Add(pack[headSize+1:], entries, uint8(1))
	f.Add(pack[:len(pack)-1], entries, uint8(2))
	f.Add([]byte{}, []byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, pack, bundle []byte, first uint8) {
		entries, err := proofs.ParseEntries(bundle)
		if err != nil {
			return
		}
		files, err := Parse(pack, entries)
		if err != nil {
			return
		}
		held := map[tuf.Digest][]byte{}
		for _, file := range files {
			held[file.Digest] = file.Data
		}
		read := func(sum tuf.Digest) ([]byte, error) { return held[sum], nil }
		again, _, err := Encode(entries, read)
		// A leaf of a lying log may say that a small file is large. An honest log, whose
		// leaves say the truth, does not read such a file.
		for _, name := range Named(entries) {
			if name.Size > MaxFile && held[name.Digest] != nil {
				return
			}
		}
		if err != nil || !bytes.Equal(again, pack) {
			t.Fatalf("%x is read, and written as %x, %v", pack, again, err)
		}
		n := min(int(first), len(entries))
		want, _, err := Encode(entries[:n], read)
		if got := Cut(pack, entries[:n]); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("cut to %d entries: %x, want %x, %v", n, got, want, err)
		}
	})
}
