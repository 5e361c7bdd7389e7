package packstore

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/tuf"
)

// A file of a pack that is kept has both codings, and says of which entries it was made:
//
//	32 bytes   SHA-256 of the bundle of entries
//	32 bytes   SHA-256 of the pack in zstd
//	32 bytes   SHA-256 of the pack in gzip
//	 8 bytes   length of the pack in zstd, big-endian
//	           the pack in zstd
//	           the pack in gzip
const (
	digestSize = len(tuf.Digest{})
	headSize   = 3*digestSize + 8
)

// readKept returns a pack from its file, in zstd or in gzip, and the digest of its bundle
// of entries. A damaged file is fs.ErrNotExist: the pack is made again.
func readKept(path string, coding Coding) (data []byte, bundle tuf.Digest, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, bundle, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, bundle, err
	}
	damaged := fmt.Errorf("%s is damaged: %w", path, fs.ErrNotExist)
	var head [headSize]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return nil, bundle, damaged
	}
	all := uint64(info.Size()) - uint64(headSize)
	n := binary.BigEndian.Uint64(head[3*digestSize:])
	if n > all {
		return nil, bundle, damaged
	}
	sum, at, size := head[digestSize:2*digestSize], uint64(headSize), n
	if coding == Gzip {
		sum, at, size = head[2*digestSize:3*digestSize], at+n, all-n
	}
	data = make([]byte, size)
	if _, err := f.ReadAt(data, int64(at)); err != nil && err != io.EOF {
		return nil, bundle, err
	}
	if tuf.Sum(data) != tuf.Digest(sum) {
		return nil, bundle, damaged
	}
	return data, tuf.Digest(head[:digestSize]), nil
}

// keep writes the file of a pack.
func keep(path string, bundle tuf.Digest, zstd, gzip []byte) error {
	b := make([]byte, 0, headSize+len(zstd)+len(gzip))
	for _, sum := range []tuf.Digest{bundle, tuf.Sum(zstd), tuf.Sum(gzip)} {
		b = append(b, sum[:]...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(len(zstd)))
	b = append(append(b, zstd...), gzip...)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return durable.WriteFile(path, b, 0o640)
}
