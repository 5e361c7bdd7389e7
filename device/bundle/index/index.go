// Package index reads the index of a bundle of updates: which files it has, and where each
// begins. It needs the beginning of the bundle alone, so that a program without files, such as
// one in a browser, can find its way in a bundle of any size. The format is in docs/formats.md,
// "Bundle"; package bundle reads and writes whole ones.
package index

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Limits of a bundle. They are checked before anything is read of a file in it.
const (
	MaxSize   = 8 << 20 // bytes of the index
	MaxFiles  = 1 << 16 // files in it
	MaxTarget = 1 << 50 // bytes of a target
)

// FirstLine begins a bundle.
const FirstLine = "tuflog bundle v1\n"

// The two kinds of names: those of metadata and proofs come first.
const (
	MetadataPrefix = "metadata/"
	TargetsPrefix  = "targets/"
)

// ErrMalformed is wrapped by the errors of a bundle that does not follow the format, such as
// one that was not copied to its end.
var ErrMalformed = errors.New("not a bundle")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// File is a file in a bundle.
type File struct {
	// Name is "metadata/" and the file's name in a repository, as in a URL, such as
	// "metadata/14.targets.json"; or "targets/" and the path of the target, with all but
	// ALPHA DIGIT - . _ ~ percent-encoded.
	Name string
	Size int64 // bytes
}

// Check returns what is wrong with a name or a size.
func (f File) Check() error {
	most := int64(MaxTarget)
	if name, ok := strings.CutPrefix(f.Name, MetadataPrefix); ok {
		most = tuf.MaxFileSize
		file := name
		for _, suffix := range []string{verify.LatestSuffix, verify.SidecarSuffix} {
			if without, ok := strings.CutSuffix(name, suffix); ok {
				file, most = without, proofs.MaxProofSize
				break
			}
		}
		role, ok := strings.CutSuffix(file, ".json")
		if _, escaped := unescape(role); !ok || !escaped || len(role) > tuf.MaxRoleName+len("9007199254740991.") {
			return malformed("%.200q is not the name of metadata or of a proof", f.Name)
		}
	} else if path, ok := strings.CutPrefix(f.Name, TargetsPrefix); !ok {
		return malformed("%.200q is neither metadata nor a target", f.Name)
	} else if decoded, escaped := unescape(path); !escaped || len(decoded) > tuf.MaxTargetPath {
		return malformed("%.200q is not the name of a target", f.Name)
	}
	if f.Size < 0 || f.Size > most {
		return malformed("%.200q has %d bytes, more than the %d that it may have", f.Name, f.Size, most)
	}
	return nil
}

// unescape decodes a name that is not empty and in the one spelling that EscapeRole gives it.
func unescape(escaped string) (string, bool) {
	name, ok := tuf.UnescapeRole(escaped)
	return name, ok && name != "" && strings.IndexByte(name, 0) < 0 && tuf.EscapeRole(name) == escaped
}

// Index is the index of a bundle.
type Index struct {
	Files []File  // in the order of their names
	At    []int64 // where each begins in the bundle
}

// Read reads the index of a bundle of size bytes from its beginning: the first MaxSize bytes, or
// all. Its errors wrap ErrMalformed, or are those of reading.
func Read(beginning io.Reader, size int64) (*Index, error) {
	b := &Index{}
	lines := bufio.NewReaderSize(io.LimitReader(beginning, min(size, MaxSize)), 16<<10) // more than the longest line
	line, err := lines.ReadSlice('\n')
	if string(line) != FirstLine && (err == nil || !strings.HasPrefix(FirstLine, string(line))) {
		return nil, malformed("it begins with %.40q, want %q", line, FirstLine)
	}
	read := int64(len(line)) // bytes
	whole := int64(0)        // of all files
	for err == nil {
		var raw []byte
		if raw, err = lines.ReadSlice('\n'); err != nil {
			break
		}
		read += int64(len(raw))
		if len(raw) == 1 {
			return b, b.place(read, whole, size)
		}
		if len(b.Files) == MaxFiles {
			return nil, malformed("it has more than %d files", MaxFiles)
		}
		var f File
		if f, err = parseLine(string(raw[:len(raw)-1])); err != nil {
			return nil, err
		}
		if n := len(b.Files); n > 0 && b.Files[n-1].Name >= f.Name {
			return nil, malformed("%.200q comes after %.200q", f.Name, b.Files[n-1].Name)
		}
		b.Files = append(b.Files, f)
		whole += f.Size
		if whole > size {
			return nil, tooShort(whole, size)
		}
	}
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, malformed("a line of its index is longer than any may be")
	case !errors.Is(err, io.EOF):
		return nil, err
	case size > MaxSize:
		return nil, malformed("its index has more than %d bytes", MaxSize)
	}
	return nil, malformed("it ends within its index, after %d bytes: copy it again", size)
}

// parseLine parses a line of the index, in the only spelling that it has.
func parseLine(line string) (File, error) {
	name, digits, ok := strings.Cut(line, " ")
	if !ok {
		return File{}, malformed("the line %.200q of its index is not a name and a length", line)
	}
	size, err := proofs.ParseDecimal(digits)
	if err != nil {
		return File{}, malformed("the length of %.200q: %v", name, err)
	}
	f := File{Name: name, Size: size}
	return f, f.Check()
}

// place says where each file begins, behind an index of so many bytes.
func (b *Index) place(index, whole, size int64) error {
	if size-index < whole {
		return tooShort(index+whole, size)
	}
	if size-index > whole {
		return malformed("it has %d bytes, and its index lists %d", size, index+whole)
	}
	for _, f := range b.Files {
		b.At = append(b.At, index)
		index += f.Size
	}
	return nil
}

func tooShort(want, size int64) error {
	return malformed("it has %d bytes, and its index lists %d or more: copy it again", size, want)
}
