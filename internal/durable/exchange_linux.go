package durable

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// exchange has two files change names at once.
func exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("%w: %w", errNoExchange, err)
	}
	return err
}
