package leaf

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

const releaseText = `tuflog release v1
repository 9ab1000000000000000000000000000000000000000000000000000000000001
role targets
version 14
payload sha256:9ab1000000000000000000000000000000000000000000000000000000000002
metadata sha256:9ab1000000000000000000000000000000000000000000000000000000000003 4942
snapshot sha256:9ab1000000000000000000000000000000000000000000000000000000000004 hash
encoding json
`

var evidenceText = strings.Replace(releaseText, "release", "evidence", 1) + "reason equivocation 7\n"

func TestLeaf(t *testing.T) {
	digest := func(last byte) tuf.Digest { return tuf.Digest{0: 0x9a, 1: 0xb1, 31: last} }
	release := Leaf{
		Kind: Release, Repository: digest(1), Role: "targets", Version: 14, Payload: digest(2),
		Metadata: digest(3), Size: 4942, Snapshot: digest(4), Listed: ByHash, Encoding: tuf.JSON,
	}
	evidence := release
	evidence.Kind, evidence.Contradicts = Evidence, 7
	alone := release
	alone.Snapshot, alone.Listed, alone.Encoding = tuf.Digest{}, "", tuf.Pigweed
	odd := release
	odd.Role = "a/b ö%~_.-Z"
	for _, test := range []struct {
		leaf Leaf
		text string
	}{
		{release, releaseText},
		{evidence, evidenceText},
		{alone, editLeaf(t, editLeaf(t, releaseText, "sha256:9ab1000000000000000000000000000000000000000000000000000000000004 hash", "-"), "json", "pigweed")},
		{odd, editLeaf(t, releaseText, "role targets", "role a%2Fb%20%C3%B6%25~_.-Z")},
	} {
		if got := string(test.leaf.Marshal()); got != test.text {
			t.Errorf("printed\n%swant\n%s", got, test.text)
		}
		got, err := Parse([]byte(test.text))
		if err != nil || got != test.leaf {
			t.Errorf("parsed %+v, %v; want %+v", got, err, test.leaf)
		}
		if test.leaf.Hash() != proofs.LeafHash([]byte(test.text)) {
			t.Errorf("hash is not that of the text")
		}
	}
}

func TestParseLeafRefuses(t *testing.T) {
	for _, test := range []struct{ why, old, new string }{
		{"another kind", "release", "withdrawal"},
		{"another version", "v1", "v2"},
		{"upper case", "9ab1000000000000000000000000000000000000000000000000000000000001", "9AB1000000000000000000000000000000000000000000000000000000000001"},
		{"short digest", "01\nrole", "0\nrole"},
		{"no role", "role targets", "role "},
		{"needless escape", "role targets", "role %74argets"},
		{"lower-case escape", "role targets", "role a%2fb"},
		{"cut escape", "role targets", "role a%2"},
		{"signed escape", "role targets", "role a%+1"},
		{"role without escape", "role targets", "role a b"},
		{"role not UTF-8", "role targets", "role %FF"},
		{"version 0", "version 14", "version 0"},
		{"version below 0", "version 14", "version -1"},
		{"signed version", "version 14", "version +14"},
		{"leading zero", "version 14", "version 014"},
		{"version too large", "version 14", "version 9007199254740992"},
		{"not a version", "version 14", "version x"},
		{"other hash", "payload sha256", "payload sha512"},
		{"no size", " 4942", ""},
		{"empty file", " 4942", " 0"},
		{"too large a file", " 4942", " " + strconv.Itoa(tuf.MaxFileSize+1)},
		{"two spaces", " 4942", "  4942"},
		{"zero digest for none", "9ab1000000000000000000000000000000000000000000000000000000000004", strings.Repeat("0", 64)},
		{"unknown encoding", "json", "yaml"},
		{"CRLF", "14\n", "14\r\n"},
		{"no last line feed", "json\n", "json"},
		{"line missing", "version 14\n", ""},
		{"line repeated", "version 14\n", "version 14\nversion 14\n"},
		{"line added", "json\n", "json\nnote x\n"},
		{"reason on a release", "json\n", "json\nreason equivocation 7\n"},
		{"space at the end", "json\n", "json \n"},
		{"lines swapped", "role targets\nversion 14\n", "version 14\nrole targets\n"},
	} {
		bad := editLeaf(t, releaseText, test.old, test.new)
		if leaf, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%s: accepted as %+v", test.why, leaf)
		}
	}
	for _, test := range []struct{ why, old, new string }{
		{"no reason", "reason equivocation 7\n", ""},
		{"other reason", "equivocation", "dislike"},
		{"below 0", "equivocation 7", "equivocation -7"},
		{"leading zero", "equivocation 7", "equivocation 07"},
		{"too large", "equivocation 7", "equivocation 9223372036854775808"},
	} {
		bad := editLeaf(t, evidenceText, test.old, test.new)
		if leaf, err := Parse([]byte(bad)); err == nil {
			t.Errorf("evidence, %s: accepted as %+v", test.why, leaf)
		}
	}
}

func TestLeafSize(t *testing.T) {
	leaf, err := Parse([]byte(releaseText))
	if err != nil {
		t.Fatal(err)
	}
	leaf.Role += strings.Repeat("x", MaxSize-len(releaseText))
	if back, err := Parse(leaf.Marshal()); err != nil || back != leaf {
		t.Errorf("leaf of %d bytes: %v", len(leaf.Marshal()), err)
	}
	leaf.Role += "x"
	if err := leaf.Check(); err == nil {
		t.Errorf("leaf of %d bytes passes", len(leaf.Marshal()))
	}
	if _, err := Parse(leaf.Marshal()); err == nil {
		t.Errorf("leaf of %d bytes was parsed", len(leaf.Marshal()))
	}
}

// Whatever else a leaf of a role says, it fits if the role's name does.
func TestLeafOfLongName(t *testing.T) {
	leaf := Leaf{
		Kind: Evidence, Repository: tuf.Sum([]byte("r")), Role: strings.Repeat("x", tuf.MaxRoleName), Version: tuf.MaxVersion, Payload: tuf.Sum([]byte("p")),
		Metadata: tuf.Sum([]byte("m")), Size: tuf.MaxFileSize, Snapshot: tuf.Sum([]byte("s")), Listed: ByVersion, Encoding: tuf.Pigweed, Contradicts: math.MaxInt64,
	}
	for _, role := range []string{leaf.Role, strings.Repeat("ä", tuf.MaxRoleName/len("%C3%A4"))} {
		leaf.Role = role
		if why := tuf.BadRoleName(role); why != "" {
			t.Errorf("a role %s", why)
		}
		if back, err := Parse(leaf.Marshal()); err != nil || back != leaf {
			t.Errorf("leaf of %d bytes: %v", len(leaf.Marshal()), err)
		}
		if tuf.BadRoleName(role+"ä") == "" {
			t.Error("a longer name is taken")
		}
	}
}

func FuzzParseLeaf(f *testing.F) {
	f.Add([]byte(releaseText))
	f.Add([]byte(evidenceText))
	f.Add([]byte(strings.Replace(releaseText, "role targets", "role %F0%9F%8D%BA%2F30", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		leaf, err := Parse(b)
		if err != nil {
			return
		}
		if err := leaf.Check(); err != nil {
			t.Errorf("parsed leaf does not pass: %v", err)
		}
		if got := leaf.Marshal(); !bytes.Equal(got, b) {
			t.Errorf("parsed %q, printed %q", b, got)
		}
	})
}

// editLeaf replaces old, which must be there once.
func editLeaf(t testing.TB, text, old, new string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q is not once in %q", old, text)
	}
	return strings.Replace(text, old, new, 1)
}
