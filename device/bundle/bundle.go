package bundle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Limits of a bundle. They are checked before anything is read of a file in it.
const (
	MaxIndex  = 8 << 20 // bytes of the index
	MaxFiles  = 1 << 16 // files in it
	MaxTarget = 1 << 50 // bytes of a target
)

// firstLine begins a bundle.
const firstLine = "tuflog bundle v1\n"

// The two kinds of names.
const (
	metadataPrefix = "metadata/"
	targetsPrefix  = "targets/"
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

// check returns what is wrong with a name or a size.
func (f File) check() error {
	most := int64(MaxTarget)
	if name, ok := strings.CutPrefix(f.Name, metadataPrefix); ok {
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
	} else if path, ok := strings.CutPrefix(f.Name, targetsPrefix); !ok {
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

// Bundle is a bundle that can be read. It is a device.Origin.
type Bundle struct {
	r     io.ReaderAt
	files []File
	at    []int64 // where each begins
	close func() error
}

// Open opens the bundle at path and reads its index. The caller closes it.
func Open(path string) (*Bundle, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := openFile(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return b, nil
}

func openFile(f *os.File) (*Bundle, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b, err := New(f, info.Size())
	if err == nil {
		b.close = f.Close
	}
	return b, err
}

// New reads the index of a bundle of size bytes.
func New(r io.ReaderAt, size int64) (*Bundle, error) {
	b := &Bundle{r: r}
	lines := bufio.NewReaderSize(io.NewSectionReader(r, 0, min(size, MaxIndex)), 16<<10) // more than the longest line
	line, err := lines.ReadSlice('\n')
	if string(line) != firstLine && (err == nil || !strings.HasPrefix(firstLine, string(line))) {
		return nil, malformed("it begins with %.40q, want %q", line, firstLine)
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
		if len(b.files) == MaxFiles {
			return nil, malformed("it has more than %d files", MaxFiles)
		}
		var f File
		if f, err = parseLine(string(raw[:len(raw)-1])); err != nil {
			return nil, err
		}
		if n := len(b.files); n > 0 && b.files[n-1].Name >= f.Name {
			return nil, malformed("%.200q comes after %.200q", f.Name, b.files[n-1].Name)
		}
		b.files = append(b.files, f)
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
	case size > MaxIndex:
		return nil, malformed("its index has more than %d bytes", MaxIndex)
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
	return f, f.check()
}

// place says where each file begins, behind an index of so many bytes.
func (b *Bundle) place(index, whole, size int64) error {
	if size-index < whole {
		return tooShort(index+whole, size)
	}
	if size-index > whole {
		return malformed("it has %d bytes, and its index lists %d", size, index+whole)
	}
	for _, f := range b.files {
		b.at = append(b.at, index)
		index += f.Size
	}
	return nil
}

func tooShort(want, size int64) error {
	return malformed("it has %d bytes, and its index lists %d or more: copy it again", size, want)
}

// Close closes the file of a bundle that Open has opened.
func (b *Bundle) Close() error {
	if b.close == nil {
		return nil
	}
	return b.close()
}

// Files returns the files of the bundle, in their order.
func (b *Bundle) Files() []File { return slices.Clone(b.files) }

// Targets returns the paths of the targets in the bundle.
func (b *Bundle) Targets() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, f := range b.files {
			if name, ok := strings.CutPrefix(f.Name, targetsPrefix); ok {
				if path, _ := tuf.UnescapeRole(name); !yield(path) {
					return
				}
			}
		}
	}
}

// open returns the content of a file, nil if it is not there.
func (b *Bundle) open(name string) *io.SectionReader {
	i, ok := slices.BinarySearchFunc(b.files, name, func(f File, name string) int { return strings.Compare(f.Name, name) })
	if !ok {
		return nil
	}
	return io.NewSectionReader(b.r, b.at[i], b.files[i].Size)
}

// read returns a file of metadata, or a proof; nil if it is not there.
func (b *Bundle) read(name string) ([]byte, error) {
	r := b.open(metadataPrefix + name)
	if r == nil {
		return nil, nil
	}
	content := make([]byte, r.Size())
	_, err := io.ReadFull(r, content)
	return content, err
}

// missing is the error of a file of this name that is not there.
type missing string

func (name missing) Error() string          { return "the bundle has no " + string(name) }
func (missing) Is(target error) bool        { return target == fs.ErrNotExist }
func targetName(path string) string         { return targetsPrefix + tuf.EscapeRole(path) }
func versioned(v int64, role string) string { return strconv.FormatInt(v, 10) + "." + role + ".json" }

// Fetch is verify.Source's.
func (b *Bundle) Fetch(_ context.Context, r verify.Request) ([]byte, error) {
	name := r.URLName()
	if content := b.open(metadataPrefix + name); content == nil {
		return nil, missing(name)
	} else if content.Size() > r.MaxLength {
		err := fmt.Errorf("it has %d bytes, more than %d", content.Size(), r.MaxLength)
		return nil, &verify.Refusal{Code: verify.CodeBadMetadata, Role: r.Role, Detail: name, Err: &device.TooLongError{Request: r, Err: err}}
	}
	return b.read(name)
}

// CopyTarget is device.Origin's.
func (b *Bundle) CopyTarget(ctx context.Context, w io.Writer, path string, found verify.Lookup, from int64) error {
	content := b.open(targetName(path))
	if content == nil {
		return missing(fmt.Sprintf("target %q", path))
	}
	return device.CopyFile(ctx, w, content, from, found.Target.Length)
}

// LowestRoot returns the root of the lowest version. The name is empty if there is none.
func (b *Bundle) LowestRoot() (name string, file []byte, err error) {
	lowest := int64(0)
	for _, f := range b.files {
		digits, ok := strings.CutSuffix(strings.TrimPrefix(f.Name, metadataPrefix), ".root.json")
		if v, err := proofs.ParseDecimal(digits); ok && err == nil && (lowest == 0 || v < lowest) {
			lowest = v
		}
	}
	if lowest == 0 {
		return "", nil, nil
	}
	name = versioned(lowest, tuf.RoleRoot)
	file, err = b.read(name)
	return name, file, err
}
