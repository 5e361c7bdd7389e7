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
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/internal/room"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
)

// dir is the directory of a copy. Its files are named as in the log's URL. A path that
// leads out of it, by a link that somebody put there, is an error.
type dir struct {
	path         string
	root         *os.Root
	files, bytes atomic.Int64 // that were written
	temps        atomic.Int64 // names in tmp/ that were used
	leave        uint64       // bytes of the file system that stay free
	most         int64        // bytes that all files may have; 0: any number
	used         atomic.Int64 // bytes that they have; with most alone
}

// name returns the path of a file of the copy, for messages.
func (d *dir) name(path string) string { return filepath.Join(d.path, filepath.FromSlash(path)) }

// The file that shows that a directory is a copy, and the directory of what is about to
// be written, which is removed with all that is in it.
const (
	markName = "mirror"
	markText = "The copy of a log, which auditor mirror brings up to date.\n"
	tempName = "tmp"
)

// open makes the directory, and opens it. The caller closes it.
func (d *dir) open() (err error) {
	if err := os.MkdirAll(d.path, 0o755); err != nil {
		return err
	}
	d.root, err = os.OpenRoot(d.path)
	return err
}

// claim makes an empty directory one of a copy. In a directory of something else nothing
// is written, and nothing removed. isCopy says of a checkpoint that lies there whether it
// is one that a copy could have.
func (d *dir) claim(isCopy func(checkpoint []byte) bool) error {
	if mark, err := d.read(markName, len(markText)); err == nil && string(mark) == markText {
		return d.sweep()
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == lockfile.Name {
			continue
		}
		if note, err := d.read("checkpoint", proofs.MaxNoteSize); err == nil && isCopy(note) {
			break // of a version that put no mark there
		}
		return fmt.Errorf("%s has %s in it, and is not the copy of a log: name a new directory, or an empty one", d.path, e.Name())
	}
	if err := durable.WriteFile(d.name(markName), []byte(markText), 0o644); err != nil {
		return err
	}
	return d.sweep()
}

// sweep removes what a process that was killed was about to write.
func (d *dir) sweep() error {
	if err := errors.Join(d.root.RemoveAll(tempName), durable.Sweep(d.path)); err != nil {
		return err
	}
	return d.root.Mkdir(tempName, 0o700)
}

// read returns a file of at most so many bytes. A larger one is fs.ErrNotExist, as one
// that is not there: it is not one of a copy.
func (d *dir) read(path string, most int) ([]byte, error) {
	f, err := regular.OpenIn(d.root, filepath.FromSlash(path))
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

// bound limits the bytes of all files. used is how many there are; 0: not known.
func (d *dir) bound(most, used int64) error {
	if most <= 0 {
		return nil
	}
	if used <= 0 || used > most {
		// Replaced files were counted twice.
		used = 0
		err := fs.WalkDir(d.root.FS(), ".", func(_ string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			info, err := e.Info()
			if err == nil {
				used += info.Size()
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	d.most = most
	d.used.Store(used)
	return nil
}

// take takes room for a file that is to be written.
func (d *dir) take(size int) error {
	if d.leave > 0 {
		free, _, err := room.Free(d.path)
		if err != nil {
			return err
		}
		if free < d.leave+uint64(size) {
			return fmt.Errorf("%w: %d MiB of its file system are free, and %d of them are left for what was judged and for alerts", ErrFull, free>>20, d.leave>>20)
		}
	}
	if d.most > 0 && d.used.Add(int64(size)) > d.most {
		d.used.Add(-int64(size))
		return fmt.Errorf("%w: %d bytes of %d are taken, and a file has %d", ErrFull, d.used.Load(), d.most, size)
	}
	return nil
}

// put writes a file that was verified, unless it is there with this content. It appears
// under its name whole, also if the process is killed, and is durable after publish.
func (d *dir) put(path string, data []byte) (written bool, err error) {
	if there, err := d.read(path, len(data)); err == nil && bytes.Equal(there, data) {
		return false, nil
	}
	if err := d.take(len(data)); err != nil {
		return false, fmt.Errorf("write %s: %w", d.name(path), err)
	}
	name := filepath.FromSlash(path)
	temp := filepath.Join(tempName, strconv.FormatInt(d.temps.Add(1), 10))
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return false, err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.root.Rename(temp, name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = d.root.MkdirAll(filepath.Dir(name), 0o755); err == nil {
			err = d.root.Rename(temp, name)
		}
	}
	if err != nil {
		return false, errors.Join(fmt.Errorf("write %s: %w", d.name(path), err), d.root.Remove(temp))
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
			err := d.root.RemoveAll(filepath.FromSlash(id.Path()) + ".p")
			if level == proofs.EntriesLevel {
				err = errors.Join(err, d.root.RemoveAll(filepath.FromSlash(pack.Path(id))+".p"))
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
		err := d.root.Remove("missing")
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
