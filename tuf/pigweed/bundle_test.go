package pigweed_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
)

func bundleError(file []byte) error { _, err := pigweed.ParseBundle(file); return err }

func TestBundleRefused(t *testing.T) {
	a := newSigner(t)
	targets := entry("targets", signed(t, targetsOf(1), a))
	root := bin(5, signed(t, rootOf(1, 1, []signer{a}, []signer{newSigner(t)}), a))
	x := entry("x", nil)
	checkRefusals(t, bundleError, []refusal{
		{"second root", msg(root, root), "", "second root_metadata"},
		{"root as a number", num(5, 1), "", "root_metadata (field 5) has wire type 0, want 2"},
		{"second targets", msg(bin(3, targets), bin(3, targets)), "targets_metadata[1]", "second targets"},
		{"delegated", bin(3, entry("other", signed(t, targetsOf(1), a))), "targets_metadata[0]", "key other, want targets"},
		{"payload twice", msg(bin(4, x), bin(4, entry("y", nil)), bin(4, x)), "target_payloads[2]", "second payload x"},
		{"value before the key", bin(4, msg(bin(2, "v"), bin(1, "k"))), "target_payloads[0]", "field 2, want the key, then the value"},
		{"no key", bin(4, bin(2, "v")), "target_payloads[0]", "field 2, want the key"},
		{"no value", bin(4, bin(1, "k")), "target_payloads[0]", "want the key, then the value"},
		{"empty entry", bin(4, ""), "target_payloads[0]", "want the key, then the value"},
		{"two values", bin(4, msg(x, bin(2, "v"))), "target_payloads[0]", "second value"},
		{"more in an entry", bin(4, msg(x, bin(3, "v"))), "target_payloads[0]", "field 3, want the key"},
		{"name without UTF-8", bin(4, entry("\xff", nil)), "target_payloads[0].key", "invalid UTF-8"},
		{"longer length", []byte{0x22, 0x80, 0x00}, "", "takes 2 bytes, want 1"},
		{"bad metadata", bin(5, bin(1, bin(1, num(2, 1)))), "root_metadata.serialized_metadata.common_metadata", "role is missing"},
		{"second timestamp", msg(bin(1, ""), bin(1, "")), "", "second timestamp_metadata"},
		{"too long", make([]byte, pigweed.MaxBundle+1), "", "the limit is 268435456"},
	})
}

// TestOffset: an error in a bundle's metadata says where in the bundle it is.
func TestOffset(t *testing.T) {
	a := newSigner(t)
	bad := bytes.Repeat([]byte{0xee}, 65) // as a version that no reader takes
	file := msg(bin(4, entry("first", make([]byte, 300))), bin(5, signed(t, msg(common("root", 1), bin(3, msg(bin(1, a.id), bin(2, msg(num(1, 3), num(2, 3), bin(3, bad)))))), a)))
	err := bundleError(file)
	syntax, ok := err.(*tuf.SyntaxError)
	if !ok || syntax.Path != "root_metadata.serialized_metadata.keys[0]" {
		t.Fatalf("got %v", err)
	}
	if want := bytes.Index(file, a.id) - 2; syntax.Offset != want {
		t.Errorf("at %d, want %d", syntax.Offset, want)
	}
}

// TestKeepsNothing: metadata of a bundle does not change with the bundle's bytes, nor keep
// them.
func TestKeepsNothing(t *testing.T) {
	a := newSigner(t)
	file := msg(bin(3, entry("targets", signed(t, targetsOf(1), a))), bin(4, entry("x", make([]byte, 1000))))
	m := parseBundle(t, file).Targets
	before := m.PayloadDigest
	clear(file)
	if tuf.Sum(m.Payload) != before || cap(m.File) > 500 {
		t.Errorf("the metadata is the bundle's: %d bytes", cap(m.File))
	}
}

// TestBundleOfManyFields: fields that mean nothing cost a bundle's reader no memory, however
// many there are, and stay where they are.
func TestBundleOfManyFields(t *testing.T) {
	x, y := bin(4, entry("x", nil)), bin(4, entry("y", nil))
	junk := bytes.Repeat(num(6, 0), 1<<20)
	file := msg(junk, x, y, junk, bin(1, "timestamp"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b := parseBundle(t, file)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > uint64(len(file)/4) {
		t.Errorf("a bundle of %d bytes takes %d more", len(file), took)
	}
	if !bytes.Equal(b.Marshal(), file) {
		t.Error("it is printed otherwise")
	}
	checkEmbed(t, b, "y", []byte("p"))
	// Metadata that is refused for its size is not copied first.
	large := bin(5, bytes.Repeat(num(6, 0), tuf.MaxFileSize/2+1))
	runtime.ReadMemStats(&before)
	if err := bundleError(large); err == nil || !strings.Contains(err.Error(), "the limit is 33554432") {
		t.Errorf("large root: %v", err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("a root that is too large takes %d bytes", took)
	}
}

func TestEmbed(t *testing.T) {
	a := newSigner(t)
	targets := bin(3, entry("targets", signed(t, targetsOf(1, target("f", nil)), a)))
	unknown := bin(300, "unknown")
	file := msg(unknown, bin(4, entry("f", nil)), targets, bin(4, entry("tlog_proof", []byte("old"))), bin(1, "timestamp"), num(77, 5))
	b := parseBundle(t, file)
	for _, size := range []int{0, 3, 100, 128, 20_000, 3 << 20} {
		checkEmbed(t, b, "tlog_proof", bytes.Repeat([]byte("p"), size))
		checkEmbed(t, b, "tlog_proof_root", bytes.Repeat([]byte("p"), size))
	}
	if same, err := b.Embed("tlog_proof", []byte("old")); err != nil || !bytes.Equal(same, file) {
		t.Errorf("the same payload changes the bundle, %v", err)
	}
	if names := fmt.Sprint(b.Names()); names != "[f tlog_proof]" {
		t.Errorf("the payloads are %s", names)
	}
	checkEmbed(t, parseBundle(t, nil), "tlog_proof", []byte("p"))
	for name, why := range map[string]string{
		"f": "listed in the targets metadata", "": "without a name", "\xff": "invalid UTF-8", "a\x00": "with a NUL",
		strings.Repeat("a", tuf.MaxTargetPath+1): "the limit is 4096",
	} {
		if _, err := b.Embed(name, nil); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.10q: %v, want %q", name, err, why)
		}
	}
	if _, err := b.Embed("tlog_proof", make([]byte, pigweed.MaxBundle)); err == nil || !strings.Contains(err.Error(), "the limit is") {
		t.Errorf("too long: %v", err)
	}
}
