package pigweed_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
)

// inner says which fields of a message are messages: what is known is read again with them.
type inner map[protowire.Number]inner

var (
	parts = map[string]inner{
		tuf.RoleRoot:    {1: {1: {}}, 2: {}},
		tuf.RoleTargets: {1: {1: {}, 2: {3: {}}}, 2: {}},
	}
)

// reprint reads fields leniently, with the library's readers, and prints them in protobuf's
// shortest spelling. It fails for what is not protobuf.
func reprint(t *testing.T, b []byte, in inner) []byte {
	t.Helper()
	var out []byte
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatalf("accepted, but not protobuf: %v", protowire.ParseError(n))
		}
		b = b[n:]
		out = protowire.AppendTag(out, number, wire)
		n = protowire.ConsumeFieldValue(number, wire, b)
		if n < 0 {
			t.Fatalf("accepted, but not protobuf: %v", protowire.ParseError(n))
		}
		switch wire {
		case protowire.VarintType:
			v, _ := protowire.ConsumeVarint(b)
			out = protowire.AppendVarint(out, v)
		case protowire.BytesType:
			v, _ := protowire.ConsumeBytes(b)
			if sub, ok := in[number]; ok {
				v = reprint(t, v, sub)
			}
			out = protowire.AppendBytes(out, v)
		default:
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return out
}

// checkMetadata checks what is true of every file that Parse accepts.
func checkMetadata(t *testing.T, m *tuf.Metadata) {
	t.Helper()
	if m.Version < 1 || (m.Root == nil) == (m.Targets == nil) || (m.Type == tuf.RoleRoot) != (m.Root != nil) {
		t.Fatalf("read as %q %d", m.Type, m.Version)
	}
	if again := reprint(t, m.File, parts[m.Type]); !bytes.Equal(again, m.File) {
		t.Fatalf("spelt otherwise than protobuf is printed: %x, %x", m.File, again)
	}
	if bytes.Count(m.File, m.Payload) == 0 || m.FileDigest != tuf.Sum(m.File) || m.PayloadDigest != tuf.Sum(m.Payload) {
		t.Fatal("the payload is not a part of the file, or a digest is of something else")
	}
	ids := map[string]bool{}
	for _, sig := range m.Signatures {
		if ids[sig.KeyID] || len(sig.KeyID) != 64 || len(sig.Sig) == 0 {
			t.Fatalf("signature under %q", sig.KeyID)
		}
		ids[sig.KeyID] = true
	}
	if m.Targets != nil {
		n := 0
		for name, file := range m.Targets.Files() {
			if n++; name == "" || !utf8.ValidString(name) || file.Length < 0 || len(file.Hashes) == 0 {
				t.Fatalf("target %q is %+v", name, file)
			}
		}
		if n != m.Targets.Len() {
			t.Fatalf("%d targets of %d", n, m.Targets.Len())
		}
		return
	}
	for id, key := range m.Root.Keys {
		if key.ID != id || len(id) != 64 {
			t.Fatalf("key %q under %q", key.ID, id)
		}
	}
	m.Meets(m.Root.KeySet(tuf.RoleRoot)) // does not panic, whatever the keys are
}

func seeds(t testing.TB) (root, targets, bundle []byte) {
	a, b := newSigner(t), newSigner(t)
	root = signed(t, rootOf(1, 1, []signer{a}, []signer{b}), a)
	targets = signed(t, targetsOf(1, target("f", []byte("content")), target("g", nil)), b)
	bundle = msg(bin(3, entry("targets", targets)), bin(4, entry("f", []byte("content"))), bin(4, entry("g", nil)), bin(5, root), bin(300, "unknown"))
	return root, targets, bundle
}

// FuzzParse reads any bytes: what is accepted has protobuf's one shortest spelling.
func FuzzParse(f *testing.F) {
	root, targets, _ := seeds(f)
	f.Add(root)
	f.Add(targets)
	f.Add(msg(root, num(9, 1<<60)))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := pigweed.Parse(file)
		if err != nil {
			if _, ok := err.(*tuf.SyntaxError); !ok || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		checkMetadata(t, m)
	})
}

// FuzzEmbed reads any bundle, prints it, and embeds a payload.
func FuzzEmbed(f *testing.F) {
	_, _, bundle := seeds(f)
	f.Add(bundle, "tlog_proof", []byte("proof"))
	f.Add(bundle, "f", []byte("content"))
	f.Add(msg(bundle, bin(4, entry("tlog_proof", []byte("old")))), "tlog_proof", []byte("proof"))
	f.Add([]byte(nil), "x", []byte(nil))
	f.Fuzz(func(t *testing.T, file []byte, name string, payload []byte) {
		b, err := pigweed.ParseBundle(file)
		if err != nil {
			return
		}
		if !bytes.Equal(b.Marshal(), file) {
			t.Fatal("printed otherwise than read")
		}
		for _, m := range []*tuf.Metadata{b.Root, b.Targets} {
			if m != nil {
				checkMetadata(t, m)
			}
		}
		b.Verify(pigweed.Trusted{Root: b.Root}) // does not panic
		if _, err := b.Embed(name, payload); err == nil {
			checkEmbed(t, b, name, payload)
		}
	})
}
