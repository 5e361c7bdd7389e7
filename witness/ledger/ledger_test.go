package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/ledger"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// books is a ledger on disk and what should be in it.
type books struct {
	t    *testing.T
	dir  string
	keys []proofs.Key
	want map[witness.OriginHash]witness.Signed
}

func newBooks(t *testing.T) *books {
	t.Helper()
	b := &books{t: t, dir: filepath.Join(t.TempDir(), "w.ledger"), want: make(map[witness.OriginHash]witness.Signed)}
	for _, alg := range []proofs.Algorithm{proofs.CosignatureV1, proofs.MLDSA44} {
		b.keys = append(b.keys, witnesstest.NewSigner(t, "witness.example", alg).Key())
	}
	if err := ledger.Create(b.dir, b.keys...); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *books) path() string { return filepath.Join(b.dir, "ledger") }

func (b *books) open() *ledger.Ledger {
	b.t.Helper()
	l, err := ledger.Open(b.dir, b.keys...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			b.t.Error(err)
		}
	})
	return l
}

// record makes a record that looks like one.
func record(log int, size int64) witness.Signed {
	origin := fmt.Sprintf("log%d.example", log)
	tree := proofs.Tree{N: size, Hash: proofs.LeafHash(fmt.Appendf(nil, "%s %d", origin, size))}
	text := proofs.Checkpoint{Origin: origin, Tree: tree}.String()
	return witness.Signed{ID: witness.HashOrigin(origin), Latest: witness.Latest{Tree: tree, Note: []byte(text + "\n— " + origin + " AAAAAQI=\n"), Time: 1000 + size}}
}

func (b *books) append(l *ledger.Ledger, records ...witness.Signed) {
	b.t.Helper()
	if err := l.Append(records); err != nil {
		b.t.Fatal(err)
	}
	for _, r := range records {
		b.want[r.ID] = r
	}
}

func (b *books) check(l *ledger.Ledger) {
	b.t.Helper()
	for id, want := range b.want {
		got, ok := l.Last(id)
		note, err := l.Note(id)
		if !ok || got != want.Mark() || err != nil || !bytes.Equal(note, want.Note) {
			b.t.Fatalf("last of %v is %+v, %q, %v; want %+v", id, got, note, err, want)
		}
	}
	stranger := witness.HashOrigin("stranger.example")
	if m, ok := l.Last(stranger); ok {
		b.t.Fatalf("last of a stranger is %+v", m)
	}
	if note, err := l.Note(stranger); note != nil || err != nil {
		b.t.Fatalf("note of a stranger is %q, %v", note, err)
	}
}

func TestAppendAndReopen(t *testing.T) {
	b := newBooks(t)
	l := b.open()
	b.check(l)
	for size := range int64(5) {
		b.append(l)
		b.append(l, record(0, size))
		b.append(l, record(1, size*2), record(2, size), record(3, 7))
		b.append(l, record(4, size), record(4, size+1)) // the last one counts
		b.check(l)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = b.open()
		b.check(l)
		b.append(l, record(0, 100), record(5, 100))
		b.check(l)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]witness.Signed{record(0, 101)}); err == nil {
		t.Fatal("a closed ledger was written to")
	}
}

func TestCreateAndOpenRefuse(t *testing.T) {
	b := newBooks(t)
	if err := ledger.Create(b.dir, b.keys...); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("create over a ledger: %v", err)
	}
	if err := ledger.Create(t.TempDir()); err == nil {
		t.Error("a ledger of no key was created")
	}
	if _, err := ledger.Open(t.TempDir(), b.keys...); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("open of nothing: %v", err)
	}
	for _, keys := range [][]proofs.Key{b.keys[:1], {b.keys[1], b.keys[0]}, {witnesstest.NewSigner(t, "witness.example", proofs.CosignatureV1).Key()}} {
		if _, err := ledger.Open(b.dir, keys...); err == nil || !strings.Contains(err.Error(), "belongs to another witness") {
			t.Errorf("open with other keys: %v", err)
		}
	}
}

// TestTornWrite cuts the last write at every length, with and without zeros
// behind it, and with a page of it missing.
func TestTornWrite(t *testing.T) {
	b := newBooks(t)
	l := b.open()
	b.append(l, record(0, 1), record(1, 1))
	b.append(l, record(0, 2))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	before := b.content()
	l = b.open()
	if err := l.Append([]witness.Signed{record(0, 3), record(2, 3)}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	after := b.content()
	for n := len(before); n < len(after); n += 31 {
		torn := slices.Clone(after[:n])
		missing := slices.Clone(after)
		clear(missing[n:min(n+40, len(missing))])
		for _, content := range [][]byte{torn, append(slices.Clone(torn), make([]byte, 5000)...), missing} {
			b.replace(content)
			l := b.open()
			b.check(l)
			// And it can be written to, as if the torn write had not been.
			if err := l.Append([]witness.Signed{record(3, 9)}); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = b.open()
			b.check(l)
			if m, ok := l.Last(record(3, 9).ID); !ok || m != record(3, 9).Mark() {
				t.Fatalf("cut at %d: what was written after is %+v", n, m)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// content returns the file's content without the zeros at its end.
func (b *books) content() []byte {
	b.t.Helper()
	content, err := os.ReadFile(b.path())
	if err != nil {
		b.t.Fatal(err)
	}
	return bytes.TrimRight(content, "\x00")
}

func (b *books) replace(content []byte) {
	b.t.Helper()
	if err := os.WriteFile(b.path(), content, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// TestDamage changes bytes before the last write.
func TestDamage(t *testing.T) {
	b := newBooks(t)
	l := b.open()
	for size := range int64(4) {
		b.append(l, record(0, size), record(1, size))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	good := b.content()
	last := bytes.LastIndex(good[:bytes.LastIndex(good, []byte("\n= "))], []byte("\n= "))
	for i := 0; i < last; i += 13 {
		bad := slices.Clone(good)
		bad[i] ^= 1
		b.replace(bad)
		if l, err := ledger.Open(b.dir, b.keys...); err == nil {
			t.Fatalf("byte %d of %d changed, and the ledger opens: %+v", i, len(bad), l.Close())
		}
	}
	// A write of its own that is left out breaks the chain.
	lines := bytes.SplitAfter(good, []byte("\n"))
	head := len(b.keys) + 2
	b.replace(bytes.Join(append(slices.Clone(lines[:head]), lines[head+3:]...), nil))
	if l, err := ledger.Open(b.dir, b.keys...); err == nil {
		t.Fatalf("a write is missing, and the ledger opens: %v", l.Close())
	}
}

func TestUnsure(t *testing.T) {
	b := newBooks(t)
	l := b.open()
	check := func(log int, want *witness.Mark, wantOK bool) {
		t.Helper()
		got, ok := l.Unsure(record(log, 0).ID)
		if ok != wantOK || !reflect.DeepEqual(got, want) {
			t.Errorf("log %d is unsure: %v, before %+v; want %v, %+v", log, ok, got, wantOK, want)
		}
	}
	reopen := func() {
		t.Helper()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = b.open()
	}
	confirm := func() {
		t.Helper()
		for range 2 {
			if err := l.Confirm(); err != nil {
				t.Fatal(err)
			}
		}
	}
	check(0, nil, false)
	b.append(l, record(0, 1), record(1, 1))
	b.append(l, record(0, 2))
	for range 2 {
		check(0, nil, true)
		check(1, nil, true)
		check(2, nil, false)
		reopen()
	}
	confirm()
	first, second := record(1, 1).Mark(), record(0, 2).Mark()
	for range 2 {
		check(0, nil, false)
		check(1, nil, false)
		b.check(l)
		reopen()
	}
	b.append(l, record(0, 3))
	b.append(l, record(1, 4), record(2, 4))
	b.append(l, record(0, 5))
	for range 2 {
		check(0, &second, true)
		check(1, &first, true)
		check(2, nil, true)
		b.check(l)
		reopen()
	}
	l.SetMinCompact(1)
	for size := range int64(30) {
		b.append(l, record(3, size))
	}
	confirm() // rewrites it
	for range 2 {
		for log := range 4 {
			check(log, nil, false)
		}
		b.check(l)
		reopen()
	}
}

func TestCompact(t *testing.T) {
	b := newBooks(t)
	l := b.open()
	l.SetMinCompact(1000)
	largest, rewrites := 0, 0
	for size := range int64(200) {
		b.append(l, record(int(size%5), size))
		if err := l.Confirm(); err != nil {
			t.Fatal(err)
		}
		n := len(b.content())
		if n < largest {
			rewrites++
		}
		largest = n
		b.check(l)
	}
	if rewrites < 2 {
		t.Fatalf("the ledger was rewritten %d times", rewrites)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(b.content()); n > 20_000 {
		t.Fatalf("the ledger has %d bytes", n)
	}
	b.check(b.open())
	names, err := os.ReadDir(b.dir)
	if err != nil || len(names) != 1 {
		t.Fatalf("left behind: %v, %v", names, err)
	}
}

func FuzzOpen(f *testing.F) {
	key := witnesstest.NewSigner(f, "witness.example", proofs.CosignatureV1).Key()
	dir := filepath.Join(f.TempDir(), "l")
	if err := ledger.Create(dir, key); err != nil {
		f.Fatal(err)
	}
	l, err := ledger.Open(dir, key)
	if err != nil {
		f.Fatal(err)
	}
	head, err := os.ReadFile(filepath.Join(dir, "ledger"))
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(l.Append([]witness.Signed{record(0, 1)}), l.Append([]witness.Signed{record(0, 2), record(1, 2)}), l.Close()); err != nil {
		f.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "ledger"))
	if err != nil {
		f.Fatal(err)
	}
	content = bytes.TrimRight(content, "\x00")
	f.Add(content[len(head):])
	f.Add([]byte("= \n"))
	f.Add([]byte("\x00\x00a"))
	// Whatever follows the header is refused or read, and what was read is read
	// again after a write.
	f.Fuzz(func(t *testing.T, rest []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "ledger"), slices.Concat(head, rest), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := ledger.Open(dir, key)
		if err != nil {
			return
		}
		first, firstOK := l.Last(record(0, 1).ID)
		if err := errors.Join(l.Append([]witness.Signed{record(7, 1)}), l.Close()); err != nil {
			t.Fatal(err)
		}
		if l, err = ledger.Open(dir, key); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		again, againOK := l.Last(record(0, 1).ID)
		if !reflect.DeepEqual(first, again) || firstOK != againOK {
			t.Errorf("read %+v, then %+v", first, again)
		}
	})
}
