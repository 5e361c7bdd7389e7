package registry

import (
	"context"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// lookedUp is a slowState that finds leaves by their payload.
type lookedUp struct{ *slowState }

func (s lookedUp) Lookup(_ context.Context, sum tuf.Digest, _ int) (found []admit.Record, _ []log.Listing, err error) {
	for _, rec := range s.records {
		if rec.Leaf.Payload == sum {
			found = append(found, rec)
		}
	}
	return found, nil, nil
}

// noRoots is a state whose table of roots has lost what it had.
type noRoots struct{ log.StateReader }

func (noRoots) Root(context.Context, tuf.Digest) (admit.Record, bool, error) {
	return admit.Record{}, false, nil
}

// laterRoots is a state to which a root comes after it was asked for it once.
type laterRoots struct {
	log.StateReader
	asked *int
}

func (l laterRoots) Root(ctx context.Context, payload tuf.Digest) (admit.Record, bool, error) {
	if *l.asked++; *l.asked == 1 {
		return admit.Record{}, false, nil
	}
	return l.StateReader.Root(ctx, payload)
}

// leafHashes is a Storage with one level of tiles.
type leafHashes struct {
	log.Storage
	hashes []byte
}

func (l leafHashes) ReadTile(_ context.Context, _ int, index int64, width int) ([]byte, error) {
	return l.hashes[index*256*32:][:width*32], nil
}

func TestDamagedStateIsNotBelieved(t *testing.T) {
	ctx := t.Context()
	root := leaf.Leaf{Kind: leaf.Release, Repository: tuf.Sum([]byte("root")), Role: tuf.RoleRoot, Version: 1, Payload: tuf.Sum([]byte("root")), Metadata: tuf.Sum([]byte("file")), Size: 4, Encoding: tuf.JSON}
	records := []admit.Record{{Index: 0, Leaf: root}}
	for i := range int64(300) {
		l := root
		l.Role, l.Version, l.Payload = tuf.RoleTargets, i+1, tuf.Sum([]byte{byte(i), byte(i >> 8)})
		records = append(records, admit.Record{Index: i + 1, Leaf: l})
	}
	var storage leafHashes
	for _, rec := range records {
		hash := proofs.LeafHash(rec.Leaf.Marshal())
		storage.hashes = append(storage.hashes, hash[:]...)
	}
	state := lookedUp{&slowState{records: records}}
	c := checkedState{state, storage, func() int64 { return int64(len(records)) }}
	if tail, _, err := c.Tail(ctx, root.Repository, 1000); err != nil || len(tail) != 301 {
		t.Fatalf("%d leaves, %v", len(tail), err)
	}
	if rec, ok, err := c.Root(ctx, root.Payload); err != nil || !ok || rec != records[0] {
		t.Fatalf("%v, %v, %v", rec, ok, err)
	}
	if _, ok, err := c.Root(ctx, tuf.Sum([]byte("another"))); err != nil || ok {
		t.Fatalf("a root that is not there: %v, %v", ok, err)
	}
	if _, _, err := (checkedState{noRoots{state}, storage, c.size}).Root(ctx, root.Payload); err == nil || !strings.Contains(err.Error(), "reindex") {
		t.Errorf("a root that is not found where roots are: %v", err)
	}
	if rec, ok, err := (checkedState{laterRoots{state, new(int)}, storage, c.size}).Root(ctx, root.Payload); err != nil || !ok || rec != records[0] {
		t.Errorf("a root that comes meanwhile: %v, %v, %v", rec, ok, err)
	}
	for name, damage := range map[string]func(*admit.Record){
		"payload": func(r *admit.Record) { r.Leaf.Payload[3] ^= 4 },
		"version": func(r *admit.Record) { r.Leaf.Version ^= 1 },
		"kind":    func(r *admit.Record) { r.Leaf.Kind = leaf.Evidence },
		"index":   func(r *admit.Record) { r.Index ^= 1 },
		"beyond":  func(r *admit.Record) { r.Index += 1 << 20 },
		"before":  func(r *admit.Record) { r.Index = -1 },
	} {
		for _, at := range []int{0, 256, 300} {
			before := records[at]
			damage(&records[at])
			if _, _, err := c.Tail(ctx, root.Repository, 1000); err == nil || !strings.Contains(err.Error(), "reindex") {
				t.Errorf("%s of leaf %d: %v", name, at, err)
			}
			records[at] = before
		}
	}
	records[0].Leaf.Size++
	if _, _, err := c.Root(ctx, root.Payload); err == nil || !strings.Contains(err.Error(), "reindex") {
		t.Errorf("a root that is another in the log: %v", err)
	}
}
