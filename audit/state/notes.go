package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// A note is kept by the SHA-256 of its text, with the signatures that came with it.

// parseNote reads a note that was kept, and the size of its tree.
func parseNote(b []byte) (proofs.Note, int64, error) {
	note, err := proofs.ParseNote(b)
	if err != nil {
		return note, 0, damaged("a note: %v", err)
	}
	c, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		return note, 0, damaged("a note: %v", err)
	}
	return note, c.Tree.N, nil
}

// Note returns the note that is kept with a text; false: none is.
func (r *Reader) Note(ctx context.Context, text string) (proofs.Note, bool, error) {
	sum := tuf.Sum([]byte(text))
	var b []byte
	ok, err := r.row(ctx, "SELECT note FROM notes WHERE text = ?", []any{sum[:]}, &b)
	if err != nil || !ok {
		return proofs.Note{}, false, err
	}
	note, _, err := parseNote(b)
	if err == nil && note.Text != text {
		err = damaged("a note has another text than its key says")
	}
	return note, err == nil, err
}

// PutNote keeps a note, in the place of one with the same text. open says that it has yet
// to be compared with the tree. seen is when it was seen first; zero: that is not known.
func (db *DB) PutNote(ctx context.Context, note proofs.Note, open bool, seen time.Time) error {
	c, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		return err
	}
	sum := tuf.Sum([]byte(note.Text))
	_, err = db.write(ctx, "INSERT INTO notes (text, size, note, open, seen) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET note = ?3, open = max(open, ?4)", sum[:], c.Tree.N, note.Marshal(), open, max(seen.Unix(), 0))
	return err
}

// Notes calls fn for the notes that have not been compared with the tree of the leaves
// that were judged: larger ones, and those that are open. An error of fn ends that.
func (r *Reader) Notes(ctx context.Context, fn func(note []byte) error) error {
	return r.notes(ctx, "WHERE size > ?1 UNION SELECT note FROM notes WHERE open", []any{r.size}, fn)
}

// AllNotes calls fn for all notes that are kept, in the order of the sizes of their trees. An
// error of fn ends that.
func (r *Reader) AllNotes(ctx context.Context, fn func(note []byte) error) error {
	return r.notes(ctx, "ORDER BY size", nil, fn)
}

// maxNewest is how many notes NotesUpTo looks at: of one tree there may be several, that
// too few signed.
const maxNewest = 64

// NotesUpTo calls fn for the newest notes of trees up to a size, the largest first. An error
// of fn ends that.
func (r *Reader) NotesUpTo(ctx context.Context, size int64, fn func(note []byte) error) error {
	return r.notes(ctx, "WHERE size <= ? ORDER BY size DESC LIMIT ?", []any{size, maxNewest}, fn)
}

func (r *Reader) notes(ctx context.Context, rest string, args []any, fn func(note []byte) error) error {
	return r.each(ctx, "SELECT note FROM notes "+rest, args, func(scan func(...any) error) error {
		var b []byte
		if err := scan(&b); err != nil {
			return err
		}
		if _, _, err := parseNote(b); err != nil {
			return err
		}
		return fn(b)
	})
}

// CloseNotes notes that the notes of trees up to a size have been compared with the tree,
// but for those with the texts.
func (db *DB) CloseNotes(ctx context.Context, size int64, but ...string) error {
	var n int64
	if _, err := db.row(ctx, "SELECT count(*) FROM (SELECT 1 FROM notes WHERE open AND size <= ? LIMIT 1)", []any{size}, &n); err != nil || n == 0 {
		return err
	}
	if _, err := db.write(ctx, "UPDATE notes SET open = 0 WHERE open AND size <= ?", size); err != nil {
		return err
	}
	for _, text := range but {
		sum := tuf.Sum([]byte(text))
		if _, err := db.write(ctx, "UPDATE notes SET open = 1 WHERE text = ?", sum[:]); err != nil {
			return err
		}
	}
	return nil
}

const verifiedName = "verified"

// Verified returns the note of the newest checkpoint that was verified, nil if none was.
// It may be newer than the leaves that were judged.
func (r *Reader) Verified(ctx context.Context) ([]byte, error) {
	s, err := r.Get(ctx, verifiedName)
	if err != nil || s == "" {
		return nil, err
	}
	if _, _, err := parseNote([]byte(s)); err != nil {
		return nil, err
	}
	return []byte(s), nil
}

// Newest returns the note that is kept beside the directory, nil if there is none, which is
// newer than the verified one where the directory is an older copy of itself.
func (db *DB) Newest() []byte { return db.newest }

// newestFile returns the path of the file in which the newest note is kept beside a directory
// that is there and has a clean name: the same however the directory is called, as ".", "../dir" or by a link.
func newestFile(dir string) (string, error) {
	if !filepath.IsAbs(dir) {
		wd, err := os.Getwd()
		if err != nil {
			return "", err
		}
		// It is not cleaned: the working directory may be a link.
		dir = wd + string(filepath.Separator) + dir
	}
	dir, err := filepath.EvalSymlinks(dir)
	return dir + ".newest", err
}

// NewestFile returns the path of the file in which the newest note is kept beside the
// directory; empty for a temporary state.
func (db *DB) NewestFile() string { return db.newestAt }

// SetVerified keeps the note of a checkpoint that was verified and is not smaller than
// any before, in the database and beside the directory.
func (db *DB) SetVerified(ctx context.Context, note []byte) error {
	if err := db.Set(ctx, verifiedName, string(note)); err != nil {
		return err
	}
	if db.dir == "" || string(db.newest) == string(note) {
		return nil
	}
	if err := durable.WriteFile(db.newestAt, note, 0o644); err != nil {
		return explained(err)
	}
	db.newest = note
	return nil
}

func (db *DB) readNewest() error {
	path := db.newestAt
	b, err := regular.ReadSome(path, proofs.MaxNoteSize+1)
	if errors.Is(err, os.ErrNotExist) {
		// Versions before named it as the directory was called.
		path = db.dir + ".newest"
		b, err = regular.ReadSome(path, proofs.MaxNoteSize+1)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, _, err := parseNote(b); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	db.newest = b
	return nil
}
