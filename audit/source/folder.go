package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Folder reads a copy of a log in a folder that has the paths of the log's URLs, as
// package mirror and static servers have it. It is an audit.Source. It reads regular
// files below the folder and nothing else: a link that leads out of it is an error.
type Folder struct {
	root *os.Root
}

// OpenFolder returns a source for the copy in a folder. The caller closes it.
func OpenFolder(path string) (*Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("the copy of a log: %w", err)
	}
	return &Folder{root}, nil
}

// Close releases the folder.
func (f *Folder) Close() error { return f.root.Close() }

// Checkpoint implements audit.Source. A folder without one is audit.ErrNotFound: it is
// not a copy of a log, or not yet.
func (f *Folder) Checkpoint(ctx context.Context) ([]byte, error) {
	return f.read(ctx, "checkpoint", proofs.MaxNoteSize)
}

// Tile implements audit.Source.
func (f *Folder) Tile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	id := proofs.TileID{Level: level, Index: index, Width: width}
	return id.Read(audit.ErrNotFound, func(id proofs.TileID) ([]byte, error) {
		return f.read(ctx, id.Path(), id.Width*len(proofs.Hash{}))
	})
}

// Entries implements audit.Source.
func (f *Folder) Entries(ctx context.Context, index int64, width int) ([]byte, error) {
	id := proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: width}
	return id.Read(audit.ErrNotFound, func(id proofs.TileID) ([]byte, error) {
		return f.read(ctx, id.Path(), audit.MaxBundle)
	})
}

// Pack returns the pack of a bundle of width entries. It is not trusted.
func (f *Folder) Pack(ctx context.Context, index int64, width int) ([]byte, error) {
	id := proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: width}
	return f.read(ctx, pack.Path(id), pack.MaxSize)
}

// Blob implements audit.Source.
func (f *Folder) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	return f.read(ctx, "blob/sha256/"+sum.String(), tuf.MaxFileSize)
}

// read returns a file of at most so many bytes.
func (f *Folder) read(ctx context.Context, path string, most int) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	file, err := regular.OpenIn(f.root, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s in %s: %w", path, f.root.Name(), audit.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.root.Name(), err)
	}
	var b bytes.Buffer
	if info, err := file.Stat(); err == nil {
		b.Grow(int(min(info.Size(), int64(most))) + bytes.MinRead) // so that it does not grow
	}
	_, err = b.ReadFrom(io.LimitReader(file, int64(most)+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", f.root.Name(), err)
	}
	if b.Len() > most {
		return nil, fmt.Errorf("%s in %s has more than %d bytes: %w", path, f.root.Name(), most, audit.ErrTooLarge)
	}
	return b.Bytes(), nil
}
