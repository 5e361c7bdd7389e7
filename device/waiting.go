package device

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// waitingSuffix marks the file of a release that the device was offered and has not taken,
// so that its owner can be shown what it would change. It is not trusted.
const waitingSuffix = ".waiting"

// Waiting returns the file of what waits, as the device was offered it last, and the file
// of its role that the device has; either may be nil.
func (s Store) Waiting(w verify.Waiting) (offered, own *tuf.Metadata, err error) {
	read := func(name string) (*tuf.Metadata, error) {
		b, err := regular.ReadSome(s.path(name), tuf.MaxFileSize+1)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		m, err := tuf.ParseJSON(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.path(name), err)
		}
		return m, nil
	}
	if offered, err = read(fileName(w.Role) + waitingSuffix); err != nil {
		return nil, nil, err
	}
	if offered != nil && offered.PayloadDigest != w.Payload {
		offered = nil
	}
	own, err = read(fileName(w.Role))
	return offered, own, err
}

// keepWaiting keeps the files of what waits now, and removes others.
func (s Store) keepWaiting(c *verify.Client) error {
	keep := map[string]bool{}
	for _, w := range c.State().Waiting {
		if w.Role == "" {
			continue
		}
		name := fileName(w.Role) + waitingSuffix
		keep[name] = true
		if m := c.Offered(w); m != nil {
			if b, err := regular.ReadSome(s.path(name), tuf.MaxFileSize+1); err == nil && bytes.Equal(b, m.File) {
				continue
			}
			if err := durable.WriteFile(s.path(name), m.File, 0o644); err != nil {
				return err
			}
		}
	}
	old, err := filepath.Glob(filepath.Join(globEscape(s.Dir), "*"+waitingSuffix))
	if err != nil {
		return err
	}
	for _, path := range old {
		if name := filepath.Base(path); !keep[name] && strings.HasSuffix(name, ".json"+waitingSuffix) {
			if err := s.remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}
