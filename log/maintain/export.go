package maintain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Export writes what is published into a folder, as files at the paths at which a log serves
// them, so that any web server can serve it. An older copy is brought up to date, its checkpoint
// last.
type Export struct {
	Log Log
	// Keys are the log's public keys.
	Keys []proofs.Key
	// To is the folder, which is made if it is not there.
	To    string
	Watch Watch

	// Size is how many entries Run has written, Files how many files that leaves name, and
	// Missing how many of those the log lacks.
	Size           int64
	Files, Missing int

	storage log.Storage
	blobs   log.Blobs
	tree    proofs.Tree
	done    map[tuf.Digest]bool
}

// Run writes the copy. A folder that has the checkpoint of another log, or a later one, is left
// as it is.
func (e *Export) Run(ctx context.Context) (err error) {
	if e.storage, _, err = e.Log.Storage(ctx); err != nil {
		return err
	}
	signed, err := e.Log.Published(ctx)
	if err != nil {
		return err
	}
	if signed == nil {
		return errors.New("nothing has been published yet")
	}
	cp, _, err := proofs.OpenCheckpoint(signed, e.Keys...)
	if err != nil {
		return fmt.Errorf("the published checkpoint: %w", err)
	}
	e.tree, e.Size, e.done = cp.Tree, cp.Tree.N, map[tuf.Digest]bool{}
	if err := e.checkFolder(); err != nil {
		return err
	}
	stored, err := e.storage.Integrated(ctx)
	if err != nil {
		return err
	}
	if stored.N < e.tree.N {
		return fmt.Errorf("the storage has %d entries, and %d are published: logserver status says more", stored.N, e.tree.N)
	}
	if e.blobs, err = e.Log.Blobs(); err != nil {
		return err
	}
	add, done := e.Watch.Begin("export", e.tree.N)
	if err := e.entries(ctx, add); err != nil {
		return err
	}
	done()
	if err := e.tiles(ctx); err != nil {
		return err
	}
	return e.write("checkpoint", signed)
}

// checkFolder refuses a folder with a checkpoint that the new one does not succeed: the
// copy of another log, which has files of the same names, or of a later state of this one,
// or Tessera's own tree, which could not be opened afterwards.
func (e *Export) checkFolder() error {
	path := filepath.Join(e.To, "checkpoint")
	there, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	cp, _, err := proofs.OpenCheckpoint(there, e.Keys...)
	switch {
	case err != nil:
		return fmt.Errorf("%s is not a checkpoint that this log's keys have signed, and nothing was changed (after the log's key was replaced, remove it): %w", path, err)
	case cp.Tree.N > e.tree.N:
		return fmt.Errorf("%s has size %d, and size %d is published, and nothing was changed: was the log restored from an old copy?", path, cp.Tree.N, e.tree.N)
	case cp.Tree.N == e.tree.N && cp.Tree != e.tree:
		return fmt.Errorf("%s has another tree of size %d than the one that is published, and nothing was changed: the log has shown two histories", path, cp.Tree.N)
	}
	return nil
}

// write writes a file of the copy. A file that is there from a copy before may be cut short, or
// spoilt: it is compared.
func (e *Export) write(name string, content []byte) error {
	path := filepath.Join(e.To, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	there, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(there, content):
		return nil
	case errors.Is(err, os.ErrNotExist) && name != "checkpoint":
		return os.WriteFile(path, content, 0o644)
	}
	return durable.WriteFile(path, content, 0o644) // it may be served meanwhile
}

// entries writes the bundles of entries and the files that they name.
func (e *Export) entries(ctx context.Context, add func(n int)) error {
	for index := int64(0); index*proofs.FullWidth < e.tree.N; index++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		id := proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: proofs.TileWidth(e.tree.N, proofs.EntriesLevel, index)}
		bundle, err := e.storage.ReadEntries(ctx, index, id.Width)
		if err != nil {
			return err
		}
		entries, err := proofs.ParseEntries(bundle)
		if err != nil {
			return fmt.Errorf("%s: %w", id.Path(), err)
		}
		for i, entry := range entries {
			if leaf.IsEnd(entry) {
				continue
			}
			leaf, err := leaf.Parse(entry)
			if err != nil {
				return fmt.Errorf("entry %d: %w", index*proofs.FullWidth+int64(i), err)
			}
			for _, sum := range []tuf.Digest{leaf.Metadata, leaf.Snapshot} {
				if err := e.blob(ctx, sum); err != nil {
					return err
				}
			}
		}
		if err := e.write(id.Path(), bundle); err != nil {
			return err
		}
		add(len(entries))
	}
	return nil
}

// blob writes a file that a leaf names.
func (e *Export) blob(ctx context.Context, sum tuf.Digest) error {
	if sum.IsZero() || e.done[sum] {
		return nil
	}
	e.done[sum] = true
	b, err := e.blobs.Blob(ctx, sum)
	if errors.Is(err, os.ErrNotExist) {
		e.Missing++
		return nil
	}
	if err != nil {
		return err
	}
	e.Files++
	return e.write("blob/sha256/"+sum.String(), b)
}

// tiles writes the tiles of hashes.
func (e *Export) tiles(ctx context.Context) error {
	for level := 0; e.tree.N>>(proofs.TileHeight*level) > 0; level++ {
		for index := int64(0); ; index++ {
			id := proofs.TileID{Level: level, Index: index, Width: proofs.TileWidth(e.tree.N, level, index)}
			if id.Width == 0 {
				break
			}
			tile, err := e.storage.ReadTile(ctx, level, index, id.Width)
			if err != nil {
				return err
			}
			if err := e.write(id.Path(), tile); err != nil {
				return err
			}
		}
	}
	return nil
}
