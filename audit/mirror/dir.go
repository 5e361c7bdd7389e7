package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
)

// dir is the directory of a copy. Its files are named as in the log's URL.
type dir struct {
	path         string
	files, bytes atomic.Int64 // that were written
}

// name returns the path of a file of the copy.
func (d *dir) name(path string) string { return filepath.Join(d.path, filepath.FromSlash(path)) }

func (d *dir) make() error { return os.MkdirAll(d.path, 0o755) }

// sweep removes what a process that was killed was about to write.
func (d *dir) sweep() error {
	if err := os.RemoveAll(d.name("tmp")); err != nil {
		return err
	}
	return os.Mkdir(d.name("tmp"), 0o700)
}

// read returns a file of at most so many bytes. A larger one is fs.ErrNotExist, as one
// that is not there: it is not one of a copy.
func (d *dir) read(path string, most int) ([]byte, error) {
	f, err := regular.Open(d.name(path))
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(b) > most {
		return nil, fmt.Errorf("%s has more than %d bytes: %w", d.name(path), most, fs.ErrNotExist)
	}
	return b, nil
}

// ReadTile implements proofs.TileReader. What is there may be damaged.
func (d *dir) ReadTile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	id := proofs.TileID{Level: level, Index: index, Width: width}
	return id.Read(fs.ErrNotExist, func(id proofs.TileID) ([]byte, error) {
		return d.read(id.Path(), id.Width*len(proofs.Hash{}))
	})
}

// put writes a file that was verified, unless it is there with this content. It appears
// under its name whole, also if the process is killed, and is durable after publish.
func (d *dir) put(path string, data []byte) (written bool, err error) {
	if there, err := d.read(path, len(data)); err == nil && bytes.Equal(there, data) {
		return false, nil
	}
	name := d.name(path)
	f, err := os.CreateTemp(d.name("tmp"), "")
	if err != nil {
		return false, err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(name), 0o755); err == nil {
			err = os.Rename(f.Name(), name)
		}
	}
	if err != nil {
		return false, errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(f.Name()))
	}
	d.files.Add(1)
	d.bytes.Add(int64(len(data)))
	return true, nil
}

// publish makes everything durable, and then replaces the checkpoint.
func (d *dir) publish(note []byte) error {
	if there, err := d.read("checkpoint", len(note)); err == nil && bytes.Equal(there, note) {
		return nil
	}
	if err := durable.SyncAll(d.path); err != nil {
		return fmt.Errorf("sync %s: %w", d.path, err)
	}
	return durable.WriteFile(d.name("checkpoint"), note, 0o644)
}

// accuse keeps the proof of a fork.
func (d *dir) accuse(c fraud.Conflict) (path string, err error) {
	path = d.name("fork.conflict")
	return path, durable.WriteFile(path, c.Marshal(), 0o644)
}

// dropPartial removes the partial tiles, bundles and packs beside those that are full
// since the tree had the size before: a reader cuts them from the full ones.
func (d *dir) dropPartial(before, after int64) error {
	for level := proofs.EntriesLevel; level <= proofs.MaxTileLevel; level++ {
		index := before >> (proofs.TileHeight * (max(level, 0) + 1))
		for ; proofs.TileWidth(after, level, index) == proofs.FullWidth; index++ {
			id := proofs.TileID{Level: level, Index: index, Width: proofs.FullWidth}
			err := os.RemoveAll(d.name(id.Path()) + ".p")
			if level == proofs.EntriesLevel {
				err = errors.Join(err, os.RemoveAll(d.name(pack.Path(id))+".p"))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// maxMissing is how many bytes the list of missing files may have.
const maxMissing = 64 << 20

// readMissing reads the list of files that the log did not serve: lines of a bundle's
// index, a space and the digest of a file.
func (d *dir) readMissing() (list []Missing, err error) {
	b, err := d.read("missing", maxMissing)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		index, digest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		var m Missing
		if m.Bundle, err = proofs.ParseDecimal(index); err == nil {
			m.Digest, err = tuf.ParseDigest(digest)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name("missing"), err)
		}
		list = append(list, m)
	}
	return list, nil
}

func (d *dir) writeMissing(list []Missing) error {
	if len(list) == 0 {
		err := os.Remove(d.name("missing"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	var b []byte
	for _, m := range list {
		b = strconv.AppendInt(b, m.Bundle, 10)
		b = fmt.Appendf(b, " %v\n", m.Digest)
	}
	_, err := d.put("missing", b)
	return err
}
