package anchored

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
)

// A Folder keeps what was anchored of one log in one instance: DIR/INSTANCE/LOG, where LOG is the
// beginning of the SHA-256 of the log's origin. All files are durable before the method that
// writes them returns:
//
//	origin                    the log's origin
//	receipts/SIZE-DIGEST.json receipts, by the tree and the beginning of the text's digest
//	queue/SIZE-DIGEST.note    checkpoints that wait to be anchored
//	pinned.json               how far the log is anchored, and since when not
//	memory.json               what the instance had when it was read last
//	lock                      of who reads the instance
//
// Who calls Ledger.Entries and Ledger.Judge holds its Lock.
type Folder struct{ path string }

// Lock lets nobody else read an instance into the folder's memory until the lock is released. The
// error wraps lockfile.ErrHeld if somebody does.
func (f *Folder) Lock() (*lockfile.Lock, error) { return lockfile.AcquireDir(f.path) }

// NewFolder returns the folder of an instance and a log in a directory, and makes it if it is
// not there.
func NewFolder(dir, instance, origin string) (*Folder, error) {
	if err := CheckName(instance); err != nil {
		return nil, err
	}
	f := &Folder{folderPath(dir, instance, origin)}
	for _, sub := range []string{"receipts", "queue"} {
		if err := os.MkdirAll(filepath.Join(f.path, sub), 0o755); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(f.path, "origin")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return f, durable.WriteFile(path, []byte(origin+"\n"), 0o644)
	} else if err != nil {
		return nil, err
	}
	return f, nil
}

func folderPath(dir, instance, origin string) string {
	return filepath.Join(dir, instance, LogName(origin))
}

// LogName returns the name of a log's folder: the beginning of the SHA-256 of its origin.
func LogName(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return fmt.Sprintf("%x", sum[:8])
}

// digestOf returns the SHA-256 of the text of a note, in hex, as entries have it.
func digestOf(note proofs.Note) string {
	sum := sha256.Sum256([]byte(note.Text))
	return hex.EncodeToString(sum[:])
}

// fileName is the name of what is about a checkpoint, without its end.
func fileName(note proofs.Note, c proofs.Checkpoint) string {
	sum := sha256.Sum256([]byte(note.Text))
	return fmt.Sprintf("%d-%x", c.Tree.N, sum[:8])
}

// parseSigned reads a note that is a checkpoint, without verifying it.
func parseSigned(signed []byte) (proofs.Note, proofs.Checkpoint, error) {
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return note, proofs.Checkpoint{}, err
	}
	c, err := proofs.ParseCheckpoint(note.Text)
	return note, c, err
}

// receiptFile is where the receipt of a checkpoint is.
func (f *Folder) receiptFile(note proofs.Note, c proofs.Checkpoint) string {
	return filepath.Join(f.path, "receipts", fileName(note, c)+".json")
}

// Keep keeps a receipt, and returns its path.
func (f *Folder) Keep(r *rekor.Receipt) (string, error) {
	note, c, err := parseSigned(r.Note)
	if err != nil {
		return "", err
	}
	path := f.receiptFile(note, c)
	return path, durable.WriteFile(path, r.Marshal(), 0o644)
}

// sized is a file whose name begins with the size of a tree.
type sized struct {
	path string
	size int64
	time time.Time // when it was written
}

// waiting lists the queue, the smallest tree first.
func (f *Folder) waiting() ([]sized, error) {
	entries, err := os.ReadDir(filepath.Join(f.path, "queue"))
	if err != nil {
		return nil, err
	}
	var list []sized
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".note")
		size, _, ok2 := strings.Cut(name, "-")
		n, err := strconv.ParseInt(size, 10, 64)
		if !ok || !ok2 || err != nil {
			continue // half-written
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, sized{filepath.Join(f.path, "queue", e.Name()), n, info.ModTime()})
	}
	slices.SortFunc(list, func(x, y sized) int { return cmp.Or(cmp.Compare(x.size, y.size), strings.Compare(x.path, y.path)) })
	return list, nil
}

// maxReceipt is how many bytes of a receipt are read: more than any has.
const maxReceipt = 4 << 20

// Kept is a receipt in a folder.
type Kept struct {
	Path    string
	Receipt *rekor.Receipt
}

// ErrNoReceipt means that files were passed over that stand among receipts and are none.
var ErrNoReceipt = errors.New("not a receipt of a checkpoint, and passed over")

// Receipts calls fn for each receipt, whatever its file is called, in no order. Nothing is verified, but that
// each is about a checkpoint. Others may have put files there: with those that are no such receipt the
// error wraps ErrNoReceipt, after all others.
func (f *Folder) Receipts(fn func(Kept) error) error {
	dir := filepath.Join(f.path, "receipts")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	bad := passedOver{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // half-written
		}
		path := filepath.Join(dir, e.Name())
		r, err := ReadReceipt(path)
		if err == nil {
			if _, _, err = parseSigned(r.Note); err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
		}
		if err != nil {
			bad.add(err)
			continue
		}
		if err := fn(Kept{path, r}); err != nil {
			return err
		}
	}
	if why := bad.said(); why != nil {
		return fmt.Errorf("%w: %w", ErrNoReceipt, why)
	}
	return nil
}

// ReadReceipt reads a receipt from a file. Nothing is verified.
func ReadReceipt(path string) (*rekor.Receipt, error) {
	b, err := regular.ReadSome(path, maxReceipt+1)
	if err != nil {
		return nil, err
	}
	if len(b) > maxReceipt {
		return nil, fmt.Errorf("%s: more than %d bytes", path, maxReceipt)
	}
	r, err := rekor.ParseReceipt(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// MaxQueue is how many checkpoints wait while an instance is away. The oldest give way: a newer
// one pins all that they did, where the log is honest, and what it hides is not here.
const MaxQueue = 64

// enqueue notes that a checkpoint is to be anchored. It calls gone for each that gives way, before
// that is done.
func (f *Folder) enqueue(signed []byte, gone func(sized) error) error {
	note, c, err := parseSigned(signed)
	if err != nil {
		return err
	}
	path := filepath.Join(f.path, "queue", fileName(note, c)+".note")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	waiting, err := f.waiting()
	if err != nil {
		return err
	}
	for len(waiting) >= MaxQueue {
		if err := gone(waiting[0]); err != nil {
			return err
		}
		if err := os.Remove(waiting[0].path); err != nil {
			return err
		}
		waiting = waiting[1:]
	}
	return durable.WriteFile(path, signed, 0o644)
}

// instanceFile is what is kept of an instance that a person named.
type instanceFile struct {
	URL     string   `json:"url"`
	Tiles   string   `json:"tiles,omitempty"`
	Version int      `json:"version"`
	Origin  string   `json:"origin,omitempty"`
	Keys    []string `json:"keys"` // in PEM, the current one first
}

// maxInstance is how many bytes of such a file are read.
const maxInstance = 1 << 20

// KnownInstance returns an instance as it is kept in a directory, with its keys: as far as a
// person gave them, and never as the instance said. Its error wraps fs.ErrNotExist if there is
// none.
func KnownInstance(dir, name string) (*Config, []crypto.PublicKey, error) {
	if err := CheckName(name); err != nil {
		return nil, nil, err
	}
	path := filepath.Join(dir, name, "instance.json")
	b, err := regular.ReadSome(path, maxInstance)
	if err != nil {
		return nil, nil, err
	}
	var file instanceFile
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	keys, err := parseKeys([]byte(strings.Join(file.Keys, "")))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Config{Name: name, URL: file.URL, Tiles: file.Tiles, Version: file.Version, Origin: file.Origin}, keys, nil
}

// KeepInstance keeps an instance in a directory. Its keys are put before those that were kept,
// which stay: receipts of their time are verified with them.
func KeepInstance(dir string, c Config, keys []crypto.PublicKey) ([]crypto.PublicKey, error) {
	_, before, err := KnownInstance(dir, c.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	keys = slices.Clone(keys)
	for _, old := range before {
		if !slices.ContainsFunc(keys, func(k crypto.PublicKey) bool { return sameKey(k, old) }) {
			keys = append(keys, old)
		}
	}
	if len(keys) > MaxKeys {
		return nil, fmt.Errorf("%d keys of %s, more than %d", len(keys), c.Name, MaxKeys)
	}
	return keys, WriteInstance(dir, c, keys)
}

// WriteInstance keeps an instance in a directory, with these keys and no others. It writes nothing
// if that is what is there.
func WriteInstance(dir string, c Config, keys []crypto.PublicKey) error {
	file := instanceFile{URL: c.URL, Tiles: c.Tiles, Version: max(1, c.Version), Origin: c.Origin}
	for _, k := range keys {
		text, err := printKey(k)
		if err != nil {
			return err
		}
		file.Keys = append(file.Keys, text)
	}
	b, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	path := filepath.Join(dir, c.Name, "instance.json")
	if before, err := regular.ReadSome(path, maxInstance); err == nil && bytes.Equal(before, b) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(path, b, 0o644)
}

// OpenInstance returns an instance for a configuration and keys.
func OpenInstance(c *Config, keys []crypto.PublicKey) (*rekor.Instance, error) {
	return open(c, keys, nil)
}

// Instances returns the names of the instances that are kept in a directory, in order.
func Instances(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(dir, e.Name(), "instance.json")); err == nil && CheckName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Folders returns the folders of an instance in a directory, one for each log, without making
// any. Its error wraps fs.ErrNotExist if there is none.
func Folders(dir, instance string) ([]*Folder, error) {
	if err := CheckName(instance); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(dir, instance))
	if err != nil {
		return nil, err
	}
	var list []*Folder
	for _, e := range entries {
		path := filepath.Join(dir, instance, e.Name())
		if _, err := os.Stat(filepath.Join(path, "receipts")); err == nil {
			list = append(list, &Folder{path})
		}
	}
	return list, nil
}
