package leader_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/storagetest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// damaged is a storage of which some tiles are not what they were.
type damaged struct {
	*storagetest.Mem
	level int
	index int64
}

func (d *damaged) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	tile, err := d.Mem.ReadTile(ctx, level, index, width)
	if err == nil && level == d.level && index == d.index {
		tile = slices.Clone(tile)
		tile[len(tile)-1] ^= 1
	}
	return tile, err
}

// blobs are log.Blobs without anything but what is put into them.
type mapBlobs map[tuf.Digest][]byte

func (m mapBlobs) Blob(_ context.Context, sum tuf.Digest) ([]byte, error) {
	if b, ok := m[sum]; ok {
		return b, nil
	}
	return nil, strings.NewReader("").UnreadByte() // any error
}

// Fsck of a log of several tiles names the tile that is damaged and no other, and
// what is known of its trees counts at every size.
func TestFsckTiles(t *testing.T) {
	if testing.Short() {
		t.Skip("damages every kind of tile")
	}
	const size = 256*256 + 300
	var mem storagetest.Mem
	var entries [][]byte
	file := []byte("a file")
	leaf := leaf.Leaf{Kind: leaf.Release, Role: "targets", Version: 1, Metadata: tuf.Sum(file), Size: int64(len(file)), Encoding: tuf.JSON}
	var edge proofs.Edge
	trees := map[string]proofs.Tree{}
	for i := range size {
		leaf.Version = int64(i + 1)
		entries = append(entries, leaf.Marshal())
		check(t, edge.Append(leaf.Hash()))
		switch i + 1 {
		case 1, 256, 70000, size:
			trees[strings.Repeat("x", i%7+1)+"-"+leaf.Hash().String()] = edge.Tree()
		}
	}
	if _, err := mem.Append(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	run := func(storage log.Storage, blobs admit.Blobs, trees map[string]proofs.Tree) []string {
		t.Helper()
		checked := 0
		f := maintain.Fsck{Storage: storage, Stored: edge.Tree(), Blobs: blobs, Trees: trees, Progress: func(n int) { checked += n }}
		problems, err := f.Run(t.Context())
		check(t, err)
		if checked != size {
			t.Errorf("checked %d entries", checked)
		}
		return problems
	}
	good := mapBlobs{tuf.Sum(file): file}
	if problems := run(&mem, good, trees); len(problems) > 0 {
		t.Fatalf("nothing is wrong: %v", problems)
	}
	for _, tt := range []struct {
		level int
		index int64
		want  string
	}{
		{0, 3, "tile/0/003"},
		{0, 257, "tile/0/257.p/44"},
		{1, 0, "tile/1/000"},
		{1, 1, "tile/1/001.p/1"},
		{2, 0, "tile/2/000.p/1"},
	} {
		problems := run(&damaged{&mem, tt.level, tt.index}, good, trees)
		if len(problems) != 1 || !strings.HasPrefix(problems[0], tt.want+":") {
			t.Errorf("%s: %q", tt.want, problems)
		}
	}
	trees["the test"] = proofs.Tree{N: 77777777}
	trees["another"] = proofs.Tree{N: 5}
	if problems := run(&mem, good, trees); len(problems) != 2 {
		t.Errorf("two trees that are not the log's: %q", problems)
	}
	if problems := run(&mem, mapBlobs{}, nil); len(problems) != 1001 || !strings.HasPrefix(problems[1000], "and ") {
		t.Errorf("without blobs: %d problems, the last %q", len(problems), problems[len(problems)-1])
	}
}
