// Package keyfile keeps private keys in files that only their owner can read.
package keyfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/internal/durable"
)

// Create writes a private key to a new file with mode 0600. It refuses to
// replace a file that exists: a lost key cannot be made again.
func Create(path, key string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("key file %s exists already and is not overwritten", path)
		}
		return err
	}
	_, err = f.WriteString(strings.TrimSuffix(key, "\n") + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write key file %s: %w", path, err), os.Remove(path))
	}
	return durable.SyncDir(filepath.Dir(path))
}

// Read returns the key in a file, without its final newline. It refuses a file
// that others than its owner may read or write, and one that holds more than
// one line.
func Read(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return "", fmt.Errorf("key file %s has mode %04o: others can read or change it; run chmod 600 %s", path, perm, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	key := strings.TrimSuffix(string(b), "\n")
	if key == "" || strings.Contains(key, "\n") {
		return "", fmt.Errorf("key file %s must hold exactly one line", path)
	}
	return key, nil
}
