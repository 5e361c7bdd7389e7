package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/tuflog/tuflog/internal/regular"
)

// ErrTooLarge is wrapped by the error of ReadAtMost where a file is too large.
var ErrTooLarge = errors.New("too large")

// ReadAtMost reads a file that strangers may have sent, of at most so many bytes: what
// is larger, or never ends, must not take the memory.
func ReadAtMost(path string, most int64) ([]byte, error) {
	f, err := regular.OpenNamed(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes, which nothing has that can be checked here: %w", path, most, ErrTooLarge)
	}
	return b, nil
}
