package audit

import (
	"context"
	"errors"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// ErrNotFound is wrapped by a Source when the log answered that it does not
// have the requested file.
var ErrNotFound = fetch.ErrNotFound

// ErrTooLarge is wrapped by a Source when the answer was longer than any
// correct answer.
var ErrTooLarge = fetch.ErrTooLarge

// ErrNothingPublished is wrapped by a Source when the log says that it is new and has
// not published a checkpoint. That statement is not signed.
var ErrNothingPublished = errors.New("the log says that nothing has been published yet")

// Fresh is what a Source may offer besides: to ask for files again without an answer that a
// cache on the way has kept. A file that was served wrong is read from it before anybody is
// accused; of a Source without it, the Source itself is asked again.
type Fresh interface {
	Fresh() Source
}

// freshly is the source for what is read again.
func freshly(source Source) Source {
	if s, ok := source.(Fresh); ok {
		return s.Fresh()
	}
	return source
}

// MaxBundle is how many bytes a bundle of entries may have.
const MaxBundle = proofs.FullWidth * (2 + proofs.MaxEntrySize)

// Source reads the published files of a log; package audit/source has those for logs
// over HTTP. The returned data is not trusted. Errors wrap ErrNotFound or ErrTooLarge
// where they apply; every other error means that the log could not be read now. Its
// methods are called from several goroutines.
type Source interface {
	// Checkpoint returns the newest signed checkpoint, never a cached one. If the
	// log says that it has not published one, the error wraps ErrNothingPublished.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Tile returns width hashes (32 bytes each) of a tile. A partial tile that is
	// gone is cut from the full one.
	Tile(ctx context.Context, level int, index int64, width int) ([]byte, error)
	// Entries returns a bundle of width entries, cut as Tile does, of at most MaxBundle
	// bytes.
	Entries(ctx context.Context, index int64, width int) ([]byte, error)
	// Blob returns the file with this SHA-256, at most tuf.MaxFileSize bytes.
	Blob(ctx context.Context, sum tuf.Digest) ([]byte, error)
}
