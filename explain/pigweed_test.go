package explain

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tuflog/tuflog/bench/testpigweed"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
)

// A release of Pigweed's with a new version and nothing else says nothing else; a field that
// nobody knows is a change.
func TestDiffOfPigweedVersions(t *testing.T) {
	key, err := testpigweed.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	targets := func(version uint32, more ...byte) *tuf.Metadata {
		t.Helper()
		file, err := testpigweed.Targets(version, map[string][]byte{"app": []byte("image")}, key)
		if err != nil {
			t.Fatal(err)
		}
		payload, _ := protowire.ConsumeBytes(file[1:])
		file = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), append(payload, more...))
		m, err := pigweed.Parse(file)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 300, protowire.VarintType), 1)
	for _, test := range []struct {
		before, after *tuf.Metadata
		want          int
	}{
		{targets(1), targets(2), 0},
		{targets(127), targets(128), 0}, // one byte more
		{targets(1), targets(2, unknown...), 1},
		{targets(1, unknown...), targets(300, unknown...), 0},
	} {
		c, err := Diff("targets", test.before, test.after)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Changes) != test.want {
			t.Errorf("targets %d and %d: %+v", test.before.Version, test.after.Version, c.Changes)
		}
	}
}
