package registry

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// checkedState returns only leaves that the log has at their index. The derived
// state has no checksums, and files are judged by it: a flipped bit there could
// make the log append, and sign, a release a second time, or as evidence against
// its vendor. Comparing with the tile of leaf hashes is cheap.
type checkedState struct {
	log.StateReader
	storage log.Storage
	// size returns how many entries may be read from storage.
	size func() int64
}

// Tail implements StateReader.
func (c checkedState) Tail(ctx context.Context, repository tuf.Digest, keep int) ([]admit.Record, map[string]int64, error) {
	tail, floors, err := c.StateReader.Tail(ctx, repository, keep)
	if err == nil {
		err = c.check(ctx, tail...)
	}
	return tail, floors, err
}

// Root implements StateReader.
func (c checkedState) Root(ctx context.Context, payload tuf.Digest) (admit.Record, bool, error) {
	if rec, ok, err := c.root(ctx, payload); ok || err != nil {
		return rec, ok, err
	}
	// A root that is not in the index of roots must not be found anywhere else.
	found, _, err := c.Lookup(ctx, payload, 1)
	for _, rec := range found {
		if rec.Leaf.Role != tuf.RoleRoot || rec.Leaf.Kind != leaf.Release || rec.Leaf.Payload != payload {
			continue
		}
		// It may have come between the two look-ups.
		if rec, ok, err := c.root(ctx, payload); ok || err != nil {
			return rec, ok, err
		}
		return rec, false, Damaged(rec.Index)
	}
	return admit.Record{}, false, err
}

// root looks up a root in the state's index of roots.
func (c checkedState) root(ctx context.Context, payload tuf.Digest) (admit.Record, bool, error) {
	rec, ok, err := c.StateReader.Root(ctx, payload)
	if err != nil || !ok {
		return rec, false, err
	}
	if err := c.check(ctx, rec); err != nil {
		return rec, false, err
	}
	if rec.Leaf.Payload != payload {
		return rec, false, Damaged(rec.Index)
	}
	return rec, true, nil
}

// check compares leaves, in log order, with the log.
func (c checkedState) check(ctx context.Context, records ...admit.Record) error {
	size := c.size()
	var tile []byte
	read := int64(-1)
	for _, rec := range records {
		index := rec.Index / proofs.FullWidth
		if rec.Index < 0 || rec.Index >= size {
			return Damaged(rec.Index)
		}
		if index != read {
			var err error
			if tile, err = c.storage.ReadTile(ctx, 0, index, proofs.TileWidth(size, 0, index)); err != nil {
				return err
			}
			read = index
		}
		hash := proofs.LeafHash(rec.Leaf.Marshal())
		at := int(rec.Index%proofs.FullWidth) * len(hash)
		if at+len(hash) > len(tile) || !bytes.Equal(tile[at:at+len(hash)], hash[:]) {
			return Damaged(rec.Index)
		}
	}
	return nil
}

// Damaged returns the error for a derived state whose leaf at an index is not the log's.
func Damaged(index int64) error {
	return fmt.Errorf("the derived state is damaged: it does not have the leaf that is in the log at index %d; stop the log and run logserver reindex", index)
}

// cutState returns only leaves below a size of the log: the derived state may
// have entries that are not known to have been judged, or that are not published
// and whose tiles a follower does not vouch for.
type cutState struct {
	log.StateReader
	size func() int64
}

// Tail implements StateReader. Without the newest leaves there are fewer than keep
// versions, and still all from a floor on.
func (c cutState) Tail(ctx context.Context, repository tuf.Digest, keep int) ([]admit.Record, map[string]int64, error) {
	size := c.size()
	tail, floors, err := c.StateReader.Tail(ctx, repository, keep)
	return below(size, tail), floors, err
}

// Same implements StateReader.
func (c cutState) Same(ctx context.Context, repository tuf.Digest, role string, version int64, payload tuf.Digest) ([]int64, error) {
	size := c.size()
	same, err := c.StateReader.Same(ctx, repository, role, version, payload)
	return slices.DeleteFunc(same, func(index int64) bool { return index >= size }), err
}

// Root implements StateReader.
func (c cutState) Root(ctx context.Context, payload tuf.Digest) (admit.Record, bool, error) {
	size := c.size()
	rec, ok, err := c.StateReader.Root(ctx, payload)
	return rec, ok && rec.Index < size, err
}

// Lookup implements StateReader.
func (c cutState) Lookup(ctx context.Context, sum tuf.Digest, limit int) ([]admit.Record, []log.Listing, error) {
	size := c.size()
	leaves, listings, err := c.StateReader.Lookup(ctx, sum, limit)
	return below(size, leaves), listings, err
}

func below(size int64, records []admit.Record) []admit.Record {
	return slices.DeleteFunc(records, func(rec admit.Record) bool { return rec.Index >= size })
}

// Checked returns the part of a state below a size of the log. Every leaf that it
// returns is compared with the log's entries in storage, which can be read up to
// the size that readable returns.
func Checked(state log.StateReader, size func() int64, storage log.Storage, readable func() int64) log.StateReader {
	return checkedState{cutState{state, size}, storage, readable}
}
