package rekor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	pb "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
)

// head is a verified checkpoint of a v2 instance.
type head struct {
	signed []byte
	tree   proofs.Tree
	key    proofs.Key // of the instance, that signed it
}

func (i *Instance) open(signed []byte) (*head, error) {
	tree, key, err := openV2(signed, i.cfg.Keys, i.cfg.Origin)
	if err != nil {
		return nil, err
	}
	return &head{signed, tree, key}, nil
}

// headV2 reads the checkpoint that the instance publishes.
func (i *Instance) headV2(ctx context.Context) (*head, error) {
	signed, err := i.get(ctx, "checkpoint", proofs.MaxNoteSize)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", answered(ctx, err))
	}
	h, err := i.open(signed)
	if err != nil {
		return nil, misbehaved(err)
	}
	return h, nil
}

// tiles reads tiles of hashes of a v2 instance, each once. They are not trusted.
type tiles struct {
	instance *Instance
	kept     map[proofs.TileID][]byte
}

func (i *Instance) tiles() *tiles { return &tiles{i, map[proofs.TileID][]byte{}} }

// maxKept is how many tiles are kept, each of at most 8 KiB.
const maxKept = 1024

// ReadTile implements proofs.TileReader.
func (t *tiles) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	id := proofs.TileID{Level: level, Index: index, Width: width}
	if data, ok := t.kept[id]; ok {
		return data, nil
	}
	data, err := t.instance.tile(ctx, id, int64(width*len(proofs.Hash{})))
	if err != nil {
		return nil, err
	}
	if len(t.kept) >= maxKept {
		clear(t.kept)
	}
	t.kept[id] = data
	return data, nil
}

// tile reads a tile or a bundle, if need be from the full one.
func (i *Instance) tile(ctx context.Context, id proofs.TileID, max int64) ([]byte, error) {
	data, err := id.Read(fetch.ErrNotFound, func(id proofs.TileID) ([]byte, error) {
		if id.Level != proofs.EntriesLevel {
			max = int64(id.Width * len(proofs.Hash{}))
		}
		return i.get(ctx, id.Path(), max)
	})
	if err != nil {
		// A tile of a published tree has to be there, so that its absence is not a refusal.
		if errors.Is(err, fetch.ErrNotFound) {
			return nil, fmt.Errorf("%s: %w: %w", id.Path(), ErrUnavailable, err)
		}
		return nil, fmt.Errorf("%s: %w", id.Path(), answered(ctx, err))
	}
	return data, nil
}

// bundle returns the entries of a bundle of a tree, verified.
func (i *Instance) bundle(ctx context.Context, tree proofs.Tree, index int64, hashes *tiles) ([][]byte, error) {
	id := proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: proofs.TileWidth(tree.N, proofs.EntriesLevel, index)}
	data, err := i.tile(ctx, id, maxBundle)
	if err != nil {
		return nil, err
	}
	entries, err := proofs.VerifyEntries(ctx, tree, index, data, hashes)
	if err != nil {
		return nil, misbehaved(err)
	}
	return entries, nil
}

// provedV2 reads the entry at an index, which has to have that leaf, and its proof.
func (i *Instance) provedV2(ctx context.Context, h *head, leaf []byte, index int64) (json.RawMessage, error) {
	hashes := i.tiles()
	entries, err := i.bundle(ctx, h.tree, index/proofs.FullWidth, hashes)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(entries[index%proofs.FullWidth], leaf) {
		return nil, fmt.Errorf("%w: it says that it has the entry at index %d, where there is another", ErrMisbehaved, index)
	}
	return h.prove(ctx, leaf, index, hashes)
}

// prove makes the TransparencyLogEntry of a leaf of the head's tree.
func (h *head) prove(ctx context.Context, leaf []byte, index int64, hashes *tiles) (json.RawMessage, error) {
	path, err := proofs.InclusionProof(ctx, h.tree, index, hashes)
	if err != nil {
		return nil, misbehaved(err)
	}
	p := &pb.InclusionProof{
		LogIndex:   index,
		RootHash:   h.tree.Hash[:],
		TreeSize:   h.tree.N,
		Checkpoint: &pb.Checkpoint{Envelope: string(h.signed)},
	}
	for _, hash := range path {
		p.Hashes = append(p.Hashes, hash[:])
	}
	entry, err := protojson.Marshal(&pb.TransparencyLogEntry{
		LogIndex:          index,
		LogId:             &common.LogId{KeyId: keyID(h.key)},
		KindVersion:       &pb.KindVersion{Kind: kind, Version: versionV2},
		InclusionProof:    p,
		CanonicalizedBody: leaf,
	})
	if err != nil {
		return nil, err
	}
	return compact(entry) // protojson puts spaces at random
}

// compact prints JSON without spaces.
func compact(b []byte) (json.RawMessage, error) {
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		return nil, fmt.Errorf("%w: not JSON: %w", ErrMisbehaved, err)
	}
	return out.Bytes(), nil
}

// keyID returns the whole of the hash of which the id of a note's key is the first four bytes.
func keyID(key proofs.Key) []byte {
	h := sha256.New()
	if key.Algorithm() == proofs.Ed25519 {
		fmt.Fprintf(h, "%s\n%c", key.Name(), rune(key.Algorithm()))
	}
	h.Write(key.PublicKey())
	return h.Sum(nil)
}
