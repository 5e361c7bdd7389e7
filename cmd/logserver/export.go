package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

func newExport() *cobra.Command {
	var at place
	var on shared
	var to string
	cmd := &cobra.Command{
		Use:   "export --dir DIR --to FOLDER",
		Short: "Write what is published as files that any web server can serve",
		Long: `Export writes the published checkpoint, the tiles and entries of its tree, and all files
that its leaves name, at the paths at which serve has them: checkpoint, tile/... and
blob/sha256/... A web server, or a bucket, that serves the folder is enough for devices
and auditors; look-ups and submissions need logserver serve. A folder that has an older
copy is brought up to date, its checkpoint last. One that has another log's checkpoint, or
a later one, is left as it is.

A log in a directory must not be served meanwhile. A log on servers may be.

It exits 1 if the log lacks files that leaves name; the others are written.`,
		Example: `  logserver export --dir ./log --to ./site`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := readKeys(at)
			if err != nil {
				return err
			}
			e := &export{to: to, stderr: cmd.ErrOrStderr(), blobsDone: map[tuf.Digest]bool{}}
			if err := e.run(cmd.Context(), at, on, keys); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d entries and %d files are in %s\n", e.tree.N, e.files, to)
			if e.missing > 0 {
				return cli.Failed(fmt.Errorf("the log lacks %d files that leaves name: logserver fsck lists them", e.missing))
			}
			return nil
		},
	}
	at.flags(cmd)
	at.ledgerFlag(cmd)
	on.sharedFlags(cmd)
	cmd.Flags().StringVar(&to, "to", "", "folder to write to; made if it is not there (required)")
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}

// export is a static copy on its way.
type export struct {
	to             string
	stderr         io.Writer
	storage        log.Storage
	blobs          log.Blobs
	tree           proofs.Tree
	files, missing int
	blobsDone      map[tuf.Digest]bool
}

func (e *export) run(ctx context.Context, at place, on shared, keys []proofs.Key) (err error) {
	k, err := open(ctx, at, on, textLogger(e.stderr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	if e.storage, _, err = k.Storage(ctx); err != nil {
		return err
	}
	signed, err := k.Published(ctx)
	if err != nil {
		return err
	}
	if signed == nil {
		return errors.New("nothing has been published yet")
	}
	cp, _, err := proofs.OpenCheckpoint(signed, keys...)
	if err != nil {
		return fmt.Errorf("the published checkpoint: %w", err)
	}
	e.tree = cp.Tree
	if err := e.checkFolder(keys); err != nil {
		return err
	}
	stored, err := e.storage.Integrated(ctx)
	if err != nil {
		return err
	}
	if stored.N < e.tree.N {
		return fmt.Errorf("the storage has %d entries, and %d are published: logserver status says more", stored.N, e.tree.N)
	}
	if e.blobs, err = k.Blobs(); err != nil {
		return err
	}
	bar := cli.NewProgress(e.stderr, "export", e.tree.N)
	if err := e.entries(ctx, bar); err != nil {
		return err
	}
	bar.Done()
	if err := e.tiles(ctx); err != nil {
		return err
	}
	return e.write("checkpoint", signed)
}

// checkFolder refuses a folder with a checkpoint that the new one does not succeed: the
// copy of another log, which has files of the same names, or of a later state of this one,
// or Tessera's own tree, which could not be opened afterwards.
func (e *export) checkFolder(keys []proofs.Key) error {
	path := filepath.Join(e.to, "checkpoint")
	there, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	cp, _, err := proofs.OpenCheckpoint(there, keys...)
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
func (e *export) write(name string, content []byte) error {
	path := filepath.Join(e.to, filepath.FromSlash(name))
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
func (e *export) entries(ctx context.Context, bar *cli.Progress) error {
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
		bar.Add(int64(len(entries)))
	}
	return nil
}

// blob writes a file that a leaf names.
func (e *export) blob(ctx context.Context, sum tuf.Digest) error {
	if sum.IsZero() || e.blobsDone[sum] {
		return nil
	}
	e.blobsDone[sum] = true
	b, err := e.blobs.Blob(ctx, sum)
	if errors.Is(err, os.ErrNotExist) {
		e.missing++
		return nil
	}
	if err != nil {
		return err
	}
	e.files++
	return e.write("blob/sha256/"+sum.String(), b)
}

// tiles writes the tiles of hashes.
func (e *export) tiles(ctx context.Context) error {
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
