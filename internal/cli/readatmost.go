package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/tuflog/tuflog/internal/regular"
)

// ErrTooLarge is wrapped by the error of ReadAtMost if a file is too large.
var ErrTooLarge = errors.New("too large")

// ReadAtMost reads an untrusted file of at most that many bytes, so that a large or
// endless one cannot exhaust the memory.
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
		return nil, fmt.Errorf("%s has more than %d bytes, the most that can be checked here: %w", path, most, ErrTooLarge)
	}
	return b, nil
}
