package pack

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
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

// Path returns the path of a bundle's pack below the log's prefix, without a leading
// slash: "tile/files/x001/067.p/5" beside "tile/entries/x001/067.p/5". The level of the
// bundle is not looked at.
func Path(bundle proofs.TileID) string {
	return prefix + strings.TrimPrefix(proofs.EntriesPath(bundle.Index, bundle.Width), entriesPrefix)
}

const (
	prefix        = "tile/files/"
	entriesPrefix = "tile/entries/"
)

// ParsePath reads the path of a pack, in the spelling of Path, and returns the bundle
// that it belongs to.
func ParsePath(path string) (proofs.TileID, error) {
	rest, ok := strings.CutPrefix(path, prefix)
	if !ok {
		return proofs.TileID{}, fmt.Errorf("pack path %q: not of the form %sINDEX", tuf.Clip(path), prefix)
	}
	bundle, err := proofs.ParseTilePath(entriesPrefix + rest)
	if err != nil {
		return proofs.TileID{}, fmt.Errorf("pack path %q: %w", tuf.Clip(path), err)
	}
	return bundle, nil
}

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

// A File is one file of a pack.
type File struct {
	Digest tuf.Digest // SHA-256 of Data
	Data   []byte     // 1 to MaxFile bytes
}

// Parse returns the files of the pack of a bundle with these entries. Every file is one
// that a leaf names, with its hash, at its place in the order of first mention; which
// files are left out is not checked, because it depends on what the log holds. The files
// share the pack's memory.
func Parse(pack []byte, entries [][]byte) ([]File, error) {
	if len(pack) > MaxSize {
		return nil, fmt.Errorf("pack: %d bytes, the limit is %d", len(pack), MaxSize)
	}
	places := placesOf(entries)
	var files []File
	last := -1 // place of the last file
	for rest := pack; len(rest) > 0; {
		sum, data, after, err := record(rest)
		if err != nil {
			return nil, fmt.Errorf("pack: file %d: %w", len(files), err)
		}
		place, named := places[sum]
		switch {
		case !named:
			return nil, fmt.Errorf("pack: file %d, %v, is not named by any leaf of the bundle", len(files), sum)
		case place == last:
			return nil, fmt.Errorf("pack: file %d, %v, is there twice", len(files), sum)
		case place < last:
			return nil, fmt.Errorf("pack: file %d, %v, is there twice, or behind %v, which is named after it", len(files), sum, files[len(files)-1].Digest)
		}
		if got := tuf.Sum(data); got != sum {
			return nil, fmt.Errorf("pack: file %d, %v, is %d bytes with SHA-256 %v", len(files), sum, len(data), got)
		}
		files = append(files, File{sum, data})
		last, rest = place, after
	}
	return files, nil
}

// Cut returns the beginning of a pack that belongs to the bundle's first entries: the
// pack of a partial bundle, of that of a wider one. It does not check anything; Parse
// checks what it returns.
func Cut(pack []byte, first [][]byte) []byte {
	places := placesOf(first)
	for rest := pack; len(rest) > 0; {
		sum, _, after, err := record(rest)
		if err != nil {
			return pack // Parse says what is wrong
		}
		if _, named := places[sum]; !named {
			return pack[:len(pack)-len(rest)]
		}
		rest = after
	}
	return pack
}

// placesOf returns the place of each file that the entries name in the order of first
// mention.
func placesOf(entries [][]byte) map[tuf.Digest]int {
	names := Named(entries)
	places := make(map[tuf.Digest]int, len(names))
	for i, name := range names {
		places[name.Digest] = i
	}
	return places
}

// record returns the first record of a pack and what follows it.
func record(pack []byte) (sum tuf.Digest, data, rest []byte, err error) {
	if len(pack) < headSize {
		return sum, nil, nil, fmt.Errorf("%d bytes where a digest and a length should be", len(pack))
	}
	copy(sum[:], pack)
	size := int64(binary.BigEndian.Uint32(pack[len(sum):]))
	pack = pack[headSize:]
	if size < 1 || size > MaxFile {
		return sum, nil, nil, fmt.Errorf("%v has %d bytes, want 1 to %d", sum, size, MaxFile)
	}
	if int64(len(pack)) < size {
		return sum, nil, nil, fmt.Errorf("%v is cut short: %d of %d bytes", sum, len(pack), size)
	}
	return sum, pack[:size:size], pack[size:], nil
}
