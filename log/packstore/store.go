package packstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Config configures a Store.
type Config struct {
	// Dir is where the packs of full bundles are kept; it need not exist. Empty means
	// that none are kept.
	Dir string
	// Room returns the reason why nothing is to be kept, such as a disk that is nearly
	// full, or nil. A nil Room means that there always is room.
	Room func() error
}

// Store makes and keeps the packs of a log. Its methods may be called from several goroutines.
type Store struct {
	cfg     Config
	storage log.Storage
	blobs   log.Blobs
	logger  *slog.Logger
	coder   coder
	warned  sync.Once
}

// New returns the store of the packs of a log with these entries and files.
func New(cfg Config, storage log.Storage, blobs log.Blobs, logger *slog.Logger) *Store {
	return &Store{cfg: cfg, storage: storage, blobs: blobs, logger: logger}
}

// Coding is how a pack is compressed, as in HTTP's Content-Encoding.
type Coding string

// The codings of a pack.
const (
	Identity Coding = ""
	Gzip     Coding = "gzip"
	Zstd     Coding = "zstd"
)

// Pack is the pack of a bundle, in one coding.
type Pack struct {
	Data []byte
	// Whole reports whether every file was there that the pack has to have. Such a
	// pack never changes.
	Whole bool
}

// batchBlobs may be implemented by blobs that read many files faster together than one
// by one, and count them without reading them. ReadBlobs is as in package index; CountBlobs
// returns how many of the files there are.
type batchBlobs interface {
	ReadBlobs(ctx context.Context, sums []tuf.Digest, each func(sum tuf.Digest, data []byte)) error
	CountBlobs(ctx context.Context, sums []tuf.Digest) (int, error)
}

// Kept returns the pack of a full bundle. The error is fs.ErrNotExist if it is not kept,
// or not any more: one that was kept counts only for the entries that it was made of, and
// as long as the log has all its files, because one of them may be withheld by now.
func (s *Store) Kept(ctx context.Context, index int64, coding Coding) (Pack, error) {
	if s.cfg.Dir == "" {
		return Pack{}, fs.ErrNotExist
	}
	data, madeOf, err := readKept(s.path(index), coding)
	if err != nil {
		// Whatever is in the way of a file, the pack can be made.
		return Pack{}, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	bundle, err := s.storage.ReadEntries(ctx, index, proofs.FullWidth)
	if err != nil {
		return Pack{}, err
	}
	if tuf.Sum(bundle) != madeOf {
		return Pack{}, fs.ErrNotExist
	}
	entries, err := proofs.ParseEntries(bundle)
	if err != nil {
		return Pack{}, err
	}
	sums := small(entries)
	n, err := s.held(ctx, sums)
	if err != nil {
		return Pack{}, err
	}
	if n != len(sums) {
		return Pack{}, fs.ErrNotExist
	}
	if coding == Identity {
		if data, err = s.coder.unpack(data); err != nil {
			return Pack{}, err
		}
	}
	return Pack{data, true}, nil
}

// Make makes the pack of a bundle. It takes about six times pack.MaxSize of memory at most, and
// processor time in proportion, so the caller limits how many are made at once. The pack
// of a full bundle is kept if it is whole.
func (s *Store) Make(ctx context.Context, id proofs.TileID, coding Coding) (Pack, error) {
	bundle, err := s.storage.ReadEntries(ctx, id.Index, id.Width)
	if err != nil {
		return Pack{}, err
	}
	entries, err := proofs.ParseEntries(bundle)
	if err != nil {
		return Pack{}, err
	}
	files, err := s.read(ctx, small(entries))
	if err != nil {
		return Pack{}, err
	}
	plain, absent, err := pack.Encode(entries, func(sum tuf.Digest) ([]byte, error) { return files[sum], nil })
	if err != nil {
		return Pack{}, err
	}
	whole := absent == 0
	if !whole || id.Width != proofs.FullWidth || s.cfg.Dir == "" || !s.room() {
		return Pack{s.coder.as(coding, plain), whole}, nil
	}
	zstd, gzip := s.coder.keep(plain)
	if err := keep(s.path(id.Index), tuf.Sum(bundle), zstd, gzip); err != nil {
		s.warned.Do(func() { s.logger.Warn("a pack cannot be kept, and is made for each that asks", "err", err) })
	}
	data := plain
	switch coding {
	case Zstd:
		data = zstd
	case Gzip:
		data = gzip
	}
	return Pack{data, true}, nil
}

// room reports whether there is room to keep a pack.
func (s *Store) room() bool {
	if s.cfg.Room == nil {
		return true
	}
	err := s.cfg.Room()
	if err != nil {
		s.warned.Do(func() { s.logger.Warn("packs are not kept, and are made for each that asks", "err", err) })
	}
	return err == nil
}

// small returns the names of the files that a pack has if they are not too large, which
// of a snapshot is not known before it is read.
func small(entries [][]byte) []tuf.Digest {
	var sums []tuf.Digest
	for _, name := range pack.Named(entries) {
		if name.Size <= pack.MaxFile {
			sums = append(sums, name.Digest)
		}
	}
	return sums
}

// tooLarge stands for a file that a pack does not have because of its size: its content
// does not matter, so that it is not kept in memory.
var tooLarge = make([]byte, pack.MaxFile+1)

// read returns the files that there are.
func (s *Store) read(ctx context.Context, sums []tuf.Digest) (map[tuf.Digest][]byte, error) {
	files := make(map[tuf.Digest][]byte, len(sums))
	if batch, ok := s.blobs.(batchBlobs); ok {
		err := batch.ReadBlobs(ctx, sums, func(sum tuf.Digest, data []byte) {
			if len(data) > pack.MaxFile {
				files[sum] = tooLarge
			} else {
				files[sum] = append([]byte(nil), data...)
			}
		})
		return files, err
	}
	for _, sum := range sums {
		data, err := s.blobs.Blob(ctx, sum)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case len(data) > pack.MaxFile:
			files[sum] = tooLarge
		default:
			files[sum] = data
		}
	}
	return files, nil
}

// held returns how many of the files there are.
func (s *Store) held(ctx context.Context, sums []tuf.Digest) (int, error) {
	if batch, ok := s.blobs.(batchBlobs); ok {
		return batch.CountBlobs(ctx, sums)
	}
	files, err := s.read(ctx, sums)
	return len(files), err
}

func (s *Store) path(index int64) string {
	id := proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: proofs.FullWidth}
	return fmt.Sprintf("%s/%s", s.cfg.Dir, pack.Path(id)[len("tile/files/"):])
}
