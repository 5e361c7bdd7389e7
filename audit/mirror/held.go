package mirror

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tuflog/tuflog/proofs"
)

// Holding is what a copy has.
type Holding struct {
	Tree    proofs.Tree // of its checkpoint
	Missing int         // files that the log did not serve
}

// Held returns what the copy in a directory has, as the last Update left it: everything
// that its checkpoint covers, but for the files that are missing. It reads no file again.
func Held(path string) (h Holding, err error) {
	d, err := openCopy(path)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, d.root.Close()) }()
	note, err := d.read("checkpoint", proofs.MaxNoteSize)
	if err != nil {
		return h, err
	}
	signed, err := proofs.ParseNote(note)
	if err != nil {
		return h, fmt.Errorf("%s: %w", d.name("checkpoint"), err)
	}
	cp, err := proofs.ParseCheckpoint(signed.Text)
	if err != nil {
		return h, fmt.Errorf("%s: %w", d.name("checkpoint"), err)
	}
	missing, err := d.readMissing()
	return Holding{cp.Tree, len(missing)}, err
}

// Note returns the checkpoint of a size as it was copied; fs.ErrNotExist: none was.
func Note(path string, size int64) (note []byte, err error) {
	d, err := openCopy(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.root.Close()) }()
	return d.read(fmt.Sprintf("notes/%d", size), proofs.MaxNoteSize)
}

// openCopy opens the directory of a copy that is there.
func openCopy(path string) (*dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("the copy of a log: %w", err)
	}
	return &dir{path: path, root: root}, nil
}

// TileFolder reads the tiles of a copy. It implements proofs.TileReader.
type TileFolder struct{ dir *dir }

// Tiles opens the tiles of the copy in a directory. The caller closes it.
func Tiles(path string) (*TileFolder, error) {
	d, err := openCopy(path)
	return &TileFolder{d}, err
}

// ReadTile implements proofs.TileReader. What is there may be damaged.
func (t *TileFolder) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return t.dir.ReadTile(ctx, level, index, width)
}

// Close releases the directory.
func (t *TileFolder) Close() error { return t.dir.root.Close() }
