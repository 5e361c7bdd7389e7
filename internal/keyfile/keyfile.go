// Package keyfile keeps secrets, private keys and tokens, in files that other users
// cannot read, or takes them from the environment.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/internal/regular"
)

// Create writes a private key to a new file with mode 0600. It refuses to replace
// an existing file: a lost key cannot be made again. If root makes it in another
// user's directory, that user owns it, since that user's program has to read it.
func Create(path, key string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("key file %s exists already and is not overwritten", path)
		}
		return err
	}
	_, err = f.WriteString(strings.TrimSuffix(key, "\n") + "\n")
	if err = errors.Join(err, GiveTo(path), f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write key file %s: %w", path, err), os.Remove(path))
	}
	return durable.SyncDir(filepath.Dir(path))
}

// Read returns the secret in a file, without the end of its line. It refuses a file
// that others than the process's own user and group may read or write, and one that
// holds more than one line. A group is the process's own if the process is its only
// member according to /etc/passwd and /etc/group: volumes of Kubernetes are given to
// such a group (fsGroup).
func Read(path string) (string, error) {
	if path == "-" {
		return "", errors.New("key file -: a secret is not read from stdin here: name a file, or /dev/stdin")
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", explain(path, err)
	}
	if info.IsDir() {
		return "", fmt.Errorf("key file %s is a directory: name the file in it", path)
	}
	perm := info.Mode().Perm()
	if perm&0o007 != 0 {
		return "", fmt.Errorf("key file %s has mode %04o: others can read or change it; run chmod 600 %s", path, perm, printable.ShellWord(path))
	}
	if perm&0o070 != 0 {
		if why := sharedGroup(info); why != "" {
			return "", fmt.Errorf("key file %s has mode %04o: its group can read or change it, and %s; run chmod 600 %s", path, perm, why, printable.ShellWord(path))
		}
	}
	f, err := regular.OpenNamed(path)
	if err != nil {
		return "", explain(path, err)
	}
	defer f.Close()
	return ReadFrom(f, "key file "+path)
}

// FromEnv returns the secret in an environment variable, and whether the variable is
// set and not empty.
func FromEnv(name string) (key string, ok bool, err error) {
	text := os.Getenv(name)
	if text == "" {
		return "", false, nil
	}
	if key, err = line(text); err != nil {
		return "", true, fmt.Errorf("the environment variable %s %w", name, err)
	}
	return key, true, nil
}

// ReadFrom returns the secret that is all of r, such as stdin; name is for errors.
func ReadFrom(r io.Reader, name string) (string, error) {
	const most = 64 << 10 // bytes
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if len(b) > most {
		return "", fmt.Errorf("%s has more than %d bytes, too large for a secret", name, most)
	}
	key, err := line(string(b))
	if err != nil {
		return "", fmt.Errorf("%s %w", name, err)
	}
	return key, nil
}

// line returns the one line of a text, and says what else the text is.
func line(text string) (string, error) {
	switch {
	case strings.HasPrefix(text, "\xef\xbb\xbf"):
		return "", errors.New("begins with a byte order mark (EF BB BF): save it as UTF-8 without one")
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"):
		return "", errors.New("is in UTF-16: save it as UTF-8 without a byte order mark")
	case strings.Contains(text, "\r"):
		return "", errors.New("ends its line with CR LF, as Windows does: save it with LF alone")
	}
	text = strings.TrimSuffix(text, "\n")
	if strings.ContainsFunc(strings.ReplaceAll(text, "\n", ""), unicode.IsControl) {
		return "", errors.New("holds control characters: it must hold one line of text")
	}
	if text == "" || strings.Contains(text, "\n") {
		return "", errors.New("must hold exactly one line")
	}
	return text, nil
}

// explain says of a file that may not be read whose it is.
func explain(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		if owner := ownerOf(path); owner != "" {
			return fmt.Errorf("%w: %s", err, owner)
		}
	}
	return err
}
