package pack

import (
	"encoding/binary"
	"fmt"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Limits of a pack, in bytes. A reader applies MaxSize before it unpacks anything, to
// what a compressed answer expands to as well.
const (
	MaxFile = 64 << 10 // of one file; a larger one is fetched by itself
	MaxSize = 32 << 20 // of the pack
)

// headSize is how many bytes a record has before its file.
const headSize = len(tuf.Digest{}) + 4

// A Name is a file that a leaf names.
type Name struct {
	Digest tuf.Digest // SHA-256 of the file
	// Size is the length in bytes that the first leaf to name the file as its metadata
	// gives it. It is 0 for a file that is only named as a snapshot.
	Size int64
}

// Named returns the files that the leaves among the entries name, each once, in the
// order of first mention. An entry that is not a leaf names nothing.
func Named(entries [][]byte) []Name {
	names := make([]Name, 0, 2*len(entries))
	at := make(map[tuf.Digest]int, 2*len(entries))
	mention := func(sum tuf.Digest, size int64) {
		i, known := at[sum]
		if !known {
			at[sum] = len(names)
			names = append(names, Name{sum, size})
		} else if names[i].Size == 0 {
			names[i].Size = size
		}
	}
	for _, entry := range entries {
		l, err := leaf.Parse(entry)
		if err != nil {
			continue
		}
		mention(l.Metadata, l.Size)
		if !l.Snapshot.IsZero() {
			mention(l.Snapshot, 0)
		}
	}
	return names
}

// Encode returns the pack of a bundle with these entries. It reads the files by read,
// which returns nothing for one that the log does not hold or withholds, and is not
// asked for one that its leaf says is larger than MaxFile. absent is how many files read
// returned nothing for: once they are there, the pack is another one. An error of read
// is returned as it is; a file that is not the one that was asked for is an error too.
func Encode(entries [][]byte, read func(tuf.Digest) ([]byte, error)) (pack []byte, absent int, err error) {
	for _, name := range Named(entries) {
		if name.Size > MaxFile {
			continue
		}
		file, err := read(name.Digest)
		switch {
		case err != nil:
			return nil, 0, err
		case len(file) == 0:
			absent++
			continue
		case len(file) > MaxFile:
			continue
		case len(pack)+headSize+len(file) > MaxSize:
			return pack, absent, nil
		}
		if got := tuf.Sum(file); got != name.Digest {
			return nil, 0, fmt.Errorf("pack: file %v was read as %d bytes with SHA-256 %v", name.Digest, len(file), got)
		}
		pack = append(pack, name.Digest[:]...)
		pack = binary.BigEndian.AppendUint32(pack, uint32(len(file)))
		pack = append(pack, file...)
	}
	return pack, absent, nil
}
