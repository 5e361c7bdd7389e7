package pack

import (
	"encoding/binary"
	"fmt"

	"github.com/tuflog/tuflog/tuf"
)

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
