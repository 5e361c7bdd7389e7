package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
)

// stateV1 is what version 1 of the state was: the last checkpoint that was verified with the
// edge of its tree, in the file DIR/state, and the notes in DIR/notes.
type stateV1 struct {
	Edge       *proofs.Edge
	Checkpoint []byte   // signed note; its tree is the edge's
	Notes      [][]byte // signed notes
}

const headerV1 = "tuflog auditor state v1\n"

// maxV1 is more than any such file: a note, and an edge of at most 63 hashes.
const maxV1 = proofs.MaxNoteSize + 8<<10

// parseV1 reads exactly what version 1 wrote into DIR/state: a first line, the edge as
// package proofs prints it, an empty line, the signed note. It does not verify
// signatures.
func parseV1(b []byte) (*stateV1, error) {
	if len(b) > maxV1 {
		return nil, fmt.Errorf("%d bytes, more than %d", len(b), maxV1)
	}
	rest, ok := bytes.CutPrefix(b, []byte(headerV1))
	if !ok {
		return nil, fmt.Errorf("the first line is not %q", strings.TrimSpace(headerV1))
	}
	text, signed, ok := bytes.Cut(rest, []byte("\n\n"))
	if !ok {
		return nil, errors.New("no empty line between edge and checkpoint")
	}
	edge := new(proofs.Edge)
	if err := edge.UnmarshalText(append(bytes.Clone(text), '\n')); err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	c, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	if edge.Tree() != c.Tree {
		return nil, fmt.Errorf("the edge gives size %d and root %v, the checkpoint says %d and %v",
			edge.Tree().N, edge.Tree().Hash, c.Tree.N, c.Tree.Hash)
	}
	return &stateV1{Edge: edge, Checkpoint: bytes.Clone(signed)}, nil
}

func pathsV1(dir string) (file, notes string) {
	return filepath.Join(dir, "state"), filepath.Join(dir, "notes")
}

// readV1 reads what version 1 left in a directory, nil if it left nothing.
func readV1(dir string) (*stateV1, error) {
	file, notes := pathsV1(dir)
	v := &stateV1{}
	b, err := regular.ReadSome(file, maxV1+1)
	switch {
	case err == nil:
		if v, err = parseV1(b); err != nil {
			return nil, fmt.Errorf("%s: %w: %w (without the file the auditor continues, and still compares the notes beside it with the log)", file, ErrDamaged, err)
		}
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	entries, err := os.ReadDir(notes)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(notes, e.Name())
		if filepath.Ext(path) != ".note" {
			continue
		}
		b, err := regular.ReadSome(path, proofs.MaxNoteSize+1)
		if err != nil {
			return nil, err
		}
		if _, _, err := parseNote(b); err != nil {
			return nil, fmt.Errorf("%s: %w (without the file the auditor continues, but does not compare its checkpoint with the log)", path, err)
		}
		v.Notes = append(v.Notes, b)
	}
	if v.Checkpoint == nil && v.Notes == nil {
		return nil, nil
	}
	return v, nil
}

// takeOver writes what version 1 left into the database, and then removes it there: the
// notes are to be compared with the log once more, and no leaf has been judged.
func (db *DB) takeOver(ctx context.Context) error {
	v := db.previous
	if v == nil {
		return nil
	}
	for _, b := range v.Notes {
		note, _, err := parseNote(b)
		if err != nil {
			return err
		}
		if err := db.PutNote(ctx, note, true, time.Time{}); err != nil {
			return err
		}
	}
	if have, err := db.Get(ctx, verifiedName); err != nil {
		return err
	} else if v.Checkpoint != nil && have == "" {
		if err := db.SetVerified(ctx, v.Checkpoint); err != nil {
			return err
		}
	}
	if err := db.Commit(ctx); err != nil {
		return err
	}
	file, notes := pathsV1(db.dir)
	db.previous = nil
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.RemoveAll(notes)
}
