package bundle

import (
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
	"github.com/tuflog/tuflog/device/bundle/index"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Limits of a bundle. They are checked before anything is read of a file in it.
const (
	MaxIndex  = index.MaxSize   // bytes of the index
	MaxFiles  = index.MaxFiles  // files in it
	MaxTarget = index.MaxTarget // bytes of a target
)

// ErrMalformed is wrapped by the errors of a bundle that does not follow the format, such as
// one that was not copied to its end.
var ErrMalformed = index.ErrMalformed

// File is a file in a bundle.
type File = index.File

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
	i, err := index.Read(io.NewSectionReader(r, 0, min(size, MaxIndex)), size)
	if err != nil {
		return nil, err
	}
	return &Bundle{r: r, files: i.Files, at: i.At}, nil
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
			if name, ok := strings.CutPrefix(f.Name, index.TargetsPrefix); ok {
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
	r := b.open(index.MetadataPrefix + name)
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
func targetName(path string) string         { return index.TargetsPrefix + tuf.EscapeRole(path) }
func versioned(v int64, role string) string { return strconv.FormatInt(v, 10) + "." + role + ".json" }

// Fetch is verify.Source's.
func (b *Bundle) Fetch(_ context.Context, r verify.Request) ([]byte, error) {
	name := r.URLName()
	if content := b.open(index.MetadataPrefix + name); content == nil {
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
		digits, ok := strings.CutSuffix(strings.TrimPrefix(f.Name, index.MetadataPrefix), ".root.json")
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
