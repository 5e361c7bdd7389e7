package pigweed_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
)

// TestParse reads what a vendor's tool could write, and finds everything in it.
func TestParse(t *testing.T) {
	a, b := newSigner(t), newSigner(t)
	root, err := pigweed.Parse(signed(t, msg(rootOf(7, 1, []signer{a}, []signer{b}), num(2, 1)), a))
	if err != nil {
		t.Fatal(err)
	}
	if root.Type != "root" || root.Version != 7 || !root.Root.ConsistentSnapshot || root.Encoding != tuf.Pigweed {
		t.Errorf("read as %+v", root)
	}
	if ids := root.Root.KeySet("targets").IDs(identity(t, root, b)); len(ids) != 1 || ids[0] != fmt.Sprintf("%x", b.id) {
		t.Errorf("the key of targets is under %q", ids)
	}
	for _, role := range []string{"snapshot", "timestamp", "other"} {
		if root.Root.KeySet(role).MetBy(1000) {
			t.Errorf("role %s can be met", role)
		}
	}
	payload := targetsOf(3, target("rtos", []byte("image")), target("app", nil))
	targets, err := pigweed.Parse(signed(t, payload, b))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(targets.Payload, payload) {
		t.Error("the payload is not the bytes that were signed")
	}
	var names []string
	for name, file := range targets.Targets.Files() {
		names = append(names, name)
		if again, ok := targets.Targets.File(name); !ok || again.Length != file.Length {
			t.Errorf("%s is listed, and not found", name)
		}
	}
	if fmt.Sprint(names) != "[app rtos]" || targets.Targets.Len() != 2 {
		t.Errorf("lists %v", names)
	}
	file, _ := targets.Targets.File("rtos")
	if err := file.Matches([]byte("image")); err != nil {
		t.Error(err)
	}
	if err := file.Matches([]byte("imagf")); err == nil {
		t.Error("another file matches")
	}
	if !bytes.Equal(file.Value, target("rtos", []byte("image"))) {
		t.Error("what is said of the target is not as it stands")
	}
	if err := pigweed.VerifyTargets(targets, root, nil); err != nil {
		t.Error(err)
	}
	if targets.Memory() <= len(payload) || root.Memory() <= 512 {
		t.Errorf("takes %d and %d bytes", targets.Memory(), root.Memory())
	}
}

func identity(t *testing.T, root *tuf.Metadata, s signer) tuf.KeyIdentity {
	t.Helper()
	key := root.Root.Keys[fmt.Sprintf("%x", s.id)]
	if key == nil {
		t.Fatalf("no key %x", s.id)
	}
	id, ok := key.Identity()
	if !ok {
		t.Fatalf("key %x cannot be read", s.id)
	}
	return id
}

// TestNoBundle: a file is metadata or a bundle, and not both. Where a device reads a bundle,
// an auditor must not show the metadata of another release, which stands where a bundle has
// its timestamp.
func TestNoBundle(t *testing.T) {
	a := newSigner(t)
	innocent := signed(t, targetsOf(1, target("f", nil)), a)
	for number, field := range map[protowire.Number][]byte{
		3: entry("targets", signed(t, targetsOf(1, target("other", nil)), a)),
		4: entry("other", nil),
		5: signed(t, rootOf(1, 1, []signer{a}, []signer{newSigner(t)}), a),
	} {
		both := msg(innocent, bin(number, field))
		if _, err := pigweed.ParseBundle(both); err != nil {
			t.Errorf("field %d: no bundle: %v", number, err)
		}
		if _, err := pigweed.Parse(both); err == nil || !strings.Contains(err.Error(), "which a bundle has") {
			t.Errorf("field %d: %v", number, err)
		}
	}
}

// TestMemory: what is counted for metadata is what it takes, whatever somebody lists in it.
// A log makes room for submissions by that.
func TestMemory(t *testing.T) {
	var hashes []byte
	for i := range uint64(tuf.MaxHashes) {
		hashes = append(hashes, bin(3, msg(num(1, i+2), bin(2, "h")))...)
	}
	many := common("targets", 1)
	for i := range 20_000 {
		many = append(many, bin(2, msg(bin(1, fmt.Sprint(i)), hashes))...)
	}
	large := make([]byte, 8<<20)
	id := sha256.Sum256(append([]byte{2, 2}, large...))
	unknown := signer{key: msg(num(1, 2), num(2, 2), bin(3, large)), id: id[:]}
	for name, payload := range map[string][]byte{
		"hashes": many,
		"hash":   append(common("targets", 1), bin(2, msg(bin(1, "f"), bin(3, msg(num(1, 2), bin(2, large)))))...),
		"key":    msg(common("root", 1), bin(3, unknown.mapping()), bin(4, requirement(1, unknown)), bin(7, requirement(1, unknown))),
	} {
		file := bin(1, payload)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m, err := pigweed.Parse(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		live, counted := int(after.HeapAlloc)-int(before.HeapAlloc), m.Memory()-cap(m.Payload) // which is the file's
		if live > counted+1<<20 {
			t.Errorf("%s: %d bytes are live, %d counted", name, live, counted)
		}
		runtime.KeepAlive(m)
		runtime.KeepAlive(file)
	}
}

// TestKept: fields that nobody knows, or looks at, change nothing but the payload's bytes.
func TestKept(t *testing.T) {
	a := newSigner(t)
	unknown := msg(num(300, 1<<63), bin(301, "x"), append(protowire.AppendTag(nil, 302, protowire.Fixed32Type), 1, 2, 3, 4), append(protowire.AppendTag(nil, 303, protowire.Fixed64Type), 1, 2, 3, 4, 5, 6, 7, 8))
	commonMetadata := bin(1, msg(unknown, bin(1, "0.0.1"), bin(3, num(1, 99)), bin(4, "targets"), num(2, 1)))
	file := msg(bin(1, "f"), unknown, bin(3, msg(bin(2, make([]byte, 32)), num(1, 1), unknown)), bin(3, msg(num(1, 9), bin(2, "other"))))
	payload := msg(bin(2, file), unknown, unknown, commonMetadata) // in another order, and twice
	m, err := pigweed.Parse(msg(unknown, signed(t, payload, a), unknown))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Payload, payload) || m.Version != 1 || !m.Expires.IsZero() {
		t.Errorf("read as %+v", m)
	}
	got, ok := m.Targets.File("f")
	if !ok || len(got.Hashes) != 2 || got.Hashes["pigweed-9"] == "" || got.Length != 0 {
		t.Errorf("the target reads %+v, %v", got, ok)
	}
	// A key of a type that Pigweed's verifiers do not know is listed, and signs nothing.
	value := bytes.Repeat([]byte{7}, 32)
	id := sha256.Sum256(append([]byte{2, 2}, value...))
	ed := signer{key: msg(num(1, 2), num(2, 2), bin(3, value)), id: id[:]}
	root, err := pigweed.Parse(signed(t, msg(common("root", 1), bin(3, a.mapping()), bin(3, ed.mapping()), bin(4, requirement(1, a, ed)), bin(7, requirement(1, ed))), a))
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Meets(root.Root.KeySet("root")); err != nil {
		t.Error(err)
	}
	if root.Root.KeySet("targets").Len() != 0 {
		t.Error("an Ed25519 key can sign")
	}
}

// refusal is a file that is refused, and with which words.
type refusal struct {
	name string
	file []byte
	path string // of the error
	why  string
}

func checkRefusals(t *testing.T, parse func([]byte) error, all []refusal) {
	t.Helper()
	for _, r := range all {
		err := parse(r.file)
		var syntax *tuf.SyntaxError
		switch {
		case err == nil:
			t.Errorf("%s: accepted", r.name)
		case !errors.As(err, &syntax) || syntax.Path != r.path || !strings.Contains(syntax.Reason, r.why):
			t.Errorf("%s: %v; want %q at %q", r.name, err, r.why, r.path)
		case syntax.Offset < 0 || syntax.Offset > len(r.file):
			t.Errorf("%s: offset %d of %d", r.name, syntax.Offset, len(r.file))
		}
	}
}

func parseError(file []byte) error { _, err := pigweed.Parse(file); return err }

// TestRefused spells files in the ways that other readers take and Parse does not.
func TestRefused(t *testing.T) {
	a, b := newSigner(t), newSigner(t)
	payload := targetsOf(3, target("f", nil))
	good := signed(t, payload, a)
	sig := a.sign(t, payload)
	const at = "serialized_metadata"
	targets := func(fields ...[]byte) []byte {
		return bin(1, msg(append([][]byte{common("targets", 3)}, fields...)...))
	}
	head := func(fields ...[]byte) []byte { return bin(1, bin(1, msg(fields...))) }
	group := append(protowire.AppendTag(nil, 9, protowire.StartGroupType), protowire.AppendTag(nil, 9, protowire.EndGroupType)...)
	sum := bin(2, make([]byte, 32))
	checkRefusals(t, parseError, []refusal{
		{"empty", nil, "", "serialized_metadata is missing"},
		{"payload empty", bin(1, ""), "", "serialized_metadata is missing"},
		{"cut in a field", good[:len(good)-1], "", "are left"},
		{"cut in a tag", append(bytes.Clone(good), 0x80), "", "tag of a field is cut off"},
		{"cut in a length", append(bytes.Clone(good), 0x12, 0x80), "", "number is cut off"},
		{"cut in a fixed number", append(bytes.Clone(good), 0x4d, 1, 2), "", "field 9 of 4 bytes, 2 are left"},
		{"longer tag", msg(good, []byte{0xca, 0x00, 0x00}), "", "tag of field 9 takes 2 bytes, want 1"},
		{"longer length", msg([]byte{0x12, 0x80 | byte(len(sig)), 0}, sig, bin(1, payload)), "", "takes 2 bytes, want 1"},
		{"longer length of an unknown field", msg(good, []byte{0x4a, 0x81, 0x00, 'x'}), "", "number 1 takes 2 bytes, want 1"},
		{"field 0", msg(good, []byte{0x02, 0x00}), "", "tag of a field is larger than protobuf has them, or 0"},
		{"wire type 7", msg(good, []byte{0x4f, 0x00}), "", "groups are not read"},
		{"protobuf's own number", msg(good, num(19000, 1)), "", "field 19000: the numbers 19000 to 19999 are protobuf's own"},
		{"the last of them", msg(good, bin(19999, "")), "", "field 19999"},
		{"group", msg(good, group), "", "field 9 has wire type 3: groups are not read"},
		{"number above 64 bits", msg(good, []byte{0x48, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2}), "", "number is larger than protobuf has them"},
		{"second payload", msg(good, bin(1, payload)), "", "second serialized_metadata"},
		{"payload as a number", num(1, 4), "", "serialized_metadata (field 1) has wire type 0, want 2"},

		{"signature without a key id", msg(good, bin(2, bin(2, make([]byte, 64)))), "signatures[1]", "key_id is missing"},
		{"signature without bytes", msg(good, bin(2, bin(1, b.id))), "signatures[1]", "sig is missing"},
		{"signature in ASN.1", msg(good, bin(2, msg(bin(1, b.id), bin(2, make([]byte, 70))))), "signatures[1].sig", "signature of 70 bytes, want the 64 of r and s"},
		{"short key id", msg(good, bin(2, msg(bin(1, "id"), bin(2, make([]byte, 64))))), "signatures[1].key_id", "key id of 2 bytes"},
		{"key signed twice", msg(good, bin(2, a.sign(t, payload))), "signatures[1]", "second signature under key id"},
		{"signature's second key id", msg(good, bin(2, msg(bin(1, b.id), bin(1, b.id), bin(2, make([]byte, 64))))), "signatures[1]", "second key_id"},

		{"no common", bin(1, bin(2, target("f", nil))), at, "common_metadata is missing"},
		{"second common", targets(common("root", 3)), at, "second common_metadata"},
		{"no role", head(bin(1, "0.0.1"), num(2, 3)), at + ".common_metadata", "role is missing"},
		{"role snapshot", head(num(2, 3), bin(4, "snapshot")), at + ".common_metadata", "role snapshot, want root or targets"},
		{"second role", head(num(2, 3), bin(4, "targets"), bin(4, "root")), at + ".common_metadata", "second role"},
		{"role as a number", head(num(4, 3)), at + ".common_metadata", "role (field 4) has wire type 0"},
		{"version 0", head(num(2, 0), bin(4, "targets")), at + ".common_metadata", "version 0"},
		{"no version", head(bin(4, "targets")), at + ".common_metadata", "version 0"},
		{"version above 32 bits", head(num(2, 1<<32+1), bin(4, "targets")), at + ".common_metadata.version", "4294967297 is not between 0 and 4294967295"},
		{"longer version", head([]byte{0x10, 0x81, 0x00}, bin(4, "targets")), at + ".common_metadata", "number 1 takes 2 bytes"},
		{"version in 4 bytes", head([]byte{0x15, 1, 0, 0, 0}, bin(4, "targets")), at + ".common_metadata", "version (field 2) has wire type 5"},
		{"spec_version no UTF-8", head(bin(1, "\xff"), num(2, 1), bin(4, "targets")), at + ".common_metadata.spec_version", "invalid UTF-8"},

		{"no name", targets(bin(2, bin(3, msg(num(1, 1), sum)))), at + ".target_files[0]", "file_name is missing"},
		{"empty name", targets(bin(2, target("", nil))), at + ".target_files[0].file_name", "target without a name"},
		{"NUL in a name", targets(bin(2, target("a\x00", nil))), at + ".target_files[0].file_name", "with a NUL"},
		{"long name", targets(bin(2, target(strings.Repeat("a", tuf.MaxTargetPath+1), nil))), at + ".target_files[0].file_name", "the limit is 4096"},
		{"target twice", targets(bin(2, target("f", nil)), bin(2, target("g", nil)), bin(2, target("f", nil))), at + ".target_files[2]", "second target f"},
		{"length above 63 bits", targets(bin(2, msg(target("f", nil), nil)), bin(2, msg(bin(1, "g"), num(2, 1<<63)))), at + ".target_files[1].length", "is not between"},
		{"no hashes", targets(bin(2, bin(1, "f"))), at + ".target_files[0]", "hashes are missing"},
		{"hash twice", targets(bin(2, msg(target("f", nil), bin(3, msg(num(1, 1), sum))))), at + ".target_files[0].hashes[1]", "second sha256"},
		{"hash of another size", targets(bin(2, msg(bin(1, "f"), bin(3, msg(num(1, 1), bin(2, "short")))))), at + ".target_files[0].hashes[0]", "SHA-256 of 5 bytes"},
		{"hash of no function", targets(bin(2, msg(bin(1, "f"), bin(3, sum)))), at + ".target_files[0].hashes[0]", "function is missing"},
		{"hash function 0", targets(bin(2, msg(bin(1, "f"), bin(3, msg(num(1, 0), sum))))), at + ".target_files[0].hashes[0].function", "0 is not between 1"},
		{"hash of no bytes", targets(bin(2, msg(bin(1, "f"), bin(3, num(1, 1))))), at + ".target_files[0].hashes[0]", "hash is missing"},
	})
}

// TestRootRefused is TestRefused for the parts of a root.
func TestRootRefused(t *testing.T) {
	a, b := newSigner(t), newSigner(t)
	const at = "serialized_metadata"
	root := func(fields ...[]byte) []byte { return bin(1, msg(append([][]byte{common("root", 1)}, fields...)...)) }
	needs := msg(bin(4, requirement(1, a)), bin(7, requirement(1, b)))
	key := func(mapping ...[]byte) []byte { return root(needs, bin(3, msg(mapping...))) }
	point := bytes.Repeat([]byte{4}, 65)
	short := sha256.Sum256(append([]byte{3, 3}, point[:64]...))
	checkRefusals(t, parseError, []refusal{
		{"no requirement of root", root(bin(7, requirement(1, b))), at, "root_signature_requirement is missing"},
		{"no requirement of targets", root(bin(4, requirement(1, b))), at, "targets_signature_requirement is missing"},
		{"second requirement", root(needs, bin(7, requirement(1, b))), at, "second targets_signature_requirement"},
		{"threshold 0", root(bin(4, requirement(0, a))), at + ".root_signature_requirement.threshold", "0 is not between 1 and 1024"},
		{"threshold above", root(bin(4, requirement(1025, a))), at + ".root_signature_requirement.threshold", "1025 is not between"},
		{"no threshold", root(bin(4, bin(1, a.id))), at + ".root_signature_requirement", "threshold is missing"},
		{"key id twice", root(bin(4, requirement(2, a, a))), at + ".root_signature_requirement.key_ids[1]", "second time key id"},
		{"short key id", root(bin(4, msg(bin(1, "id"), num(2, 1)))), at + ".root_signature_requirement.key_ids[0]", "key id of 2 bytes"},
		{"consistent_snapshot 2", root(num(2, 2)), at + ".consistent_snapshot", "2 is not between 0 and 1"},

		{"id of another key", key(bin(1, a.id), bin(2, b.key)), at + ".keys[0]", "but the SHA-256 of the key is"},
		{"key twice", root(needs, bin(3, a.mapping()), bin(3, a.mapping())), at + ".keys[1]", "second key under key id"},
		{"no key id", key(bin(2, a.key)), at + ".keys[0]", "key_id is missing"},
		{"no key", key(bin(1, a.id)), at + ".keys[0]", "key is missing"},
		{"two keys in one mapping", key(a.mapping(), bin(2, b.key)), at + ".keys[0]", "second key"},
		{"no key type", key(bin(1, a.id), bin(2, msg(num(2, 3), bin(3, point)))), at + ".keys[0].key", "key_type is missing"},
		{"no scheme", key(bin(1, a.id), bin(2, msg(num(1, 3), bin(3, point)))), at + ".keys[0].key", "scheme is missing"},
		{"no keyval", key(bin(1, a.id), bin(2, msg(num(1, 3), num(2, 3)))), at + ".keys[0].key", "keyval is missing"},
		{"key type of two bytes", key(bin(1, a.id), bin(2, msg(num(1, 259), num(2, 3), bin(3, point)))), at + ".keys[0].key.key_type", "259 is not between 1 and 255"},
		{"short point", key(bin(1, short[:]), bin(2, msg(num(1, 3), num(2, 3), bin(3, point[:64])))), at + ".keys[0].key", "keyval of 64 bytes, want the 65 of an uncompressed point"},
	})
}

// TestLimits refuses what is more than the limits allow, and reads what they just allow.
func TestLimits(t *testing.T) {
	a := newSigner(t)
	many := func(n int, one func(i int) []byte) []byte {
		var b []byte
		for i := range n {
			b = append(b, one(i)...)
		}
		return b
	}
	id := func(i int) []byte { sum := sha256.Sum256(fmt.Append(nil, i)); return sum[:] }
	sig := func(i int) []byte { return bin(2, msg(bin(1, id(i)), bin(2, make([]byte, 64)))) }
	keyID := func(i int) []byte { return bin(1, id(i)) }
	hash := func(i int) []byte { return bin(3, msg(num(1, uint64(i+1)), bin(2, make([]byte, 32)))) }
	tgt := func(i int) []byte {
		return bin(2, msg(bin(1, fmt.Sprint(i)), bin(3, msg(num(1, 2), bin(2, "h")))))
	}
	key := func(i int) []byte {
		value := id(i)
		sum := sha256.Sum256(append([]byte{2, 2}, value...))
		return bin(3, msg(bin(1, sum[:]), bin(2, msg(num(1, 2), num(2, 2), bin(3, value)))))
	}
	targets := func(b ...[]byte) []byte { return bin(1, msg(append([][]byte{common("targets", 1)}, b...)...)) }
	needs := msg(bin(4, requirement(1, a)), bin(7, requirement(1, a)))
	for _, test := range []struct {
		name string
		most int
		file func(n int) []byte
		why  string
	}{
		{"signatures", tuf.MaxSignatures, func(n int) []byte { return msg(targets(), many(n, sig)) }, "more than 1024 signatures"},
		{"keys", tuf.MaxKeys, func(n int) []byte { return bin(1, msg(common("root", 1), needs, many(n, key))) }, "more than 1024 keys"},
		{"key ids", tuf.MaxKeys, func(n int) []byte {
			return bin(1, msg(common("root", 1), bin(4, msg(many(n, keyID), num(2, 1))), bin(7, requirement(1, a))))
		}, "more than 1024 key ids"},
		{"hashes", tuf.MaxHashes, func(n int) []byte { return targets(bin(2, msg(bin(1, "f"), many(n, hash)))) }, "more than 16 hashes"},
		{"targets", tuf.MaxListed, func(n int) []byte { return targets(many(n, tgt)) }, "more than 200000 targets"},
		{"unsigned bytes", 0, func(n int) []byte {
			payload := targets()
			room := tuf.PayloadFactor*(len(payload)-2) + tuf.UnsignedBytes - len(payload)
			return msg(payload, bin(9, make([]byte, room-4+n))) // tag, and a length of 3 bytes
		}, "signatures cover only the payload"},
		{"file", 0, func(n int) []byte { return targets(bin(9, make([]byte, tuf.MaxFileSize-len(targets())-8+n))) }, "the limit is 33554432"},
	} {
		if test.name == "file" {
			file := test.file(0)
			test.most = tuf.MaxFileSize - len(file)
		}
		if err := parseError(test.file(test.most)); err != nil {
			t.Errorf("%s: %d are refused: %v", test.name, test.most, err)
		}
		err := parseError(test.file(test.most + 1))
		if err == nil || !strings.Contains(err.Error(), test.why) {
			t.Errorf("%s: %d: %v; want %q", test.name, test.most+1, err, test.why)
		}
	}
}
