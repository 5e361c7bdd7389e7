package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// State is an auditor's record of a log between two runs: the last checkpoint
// whose root it computed itself, and the right edge it computed. The next run
// detects a log that has gone back or shows another history.
type State struct {
	Edge       *proofs.Edge
	Checkpoint []byte // signed note; its tree is the edge's
}

const stateHeader = "tuflog auditor state v1\n"

// maxStateSize is more than any state: a note, and an edge of at most 63 hashes.
const maxStateSize = proofs.MaxNoteSize + 8<<10

// ParseState reads exactly the bytes that Marshal prints. It does not verify
// signatures.
func ParseState(b []byte) (*State, error) {
	if len(b) > maxStateSize {
		return nil, fmt.Errorf("auditor state: %d bytes, more than %d", len(b), maxStateSize)
	}
	rest, ok := bytes.CutPrefix(b, []byte(stateHeader))
	if !ok {
		return nil, fmt.Errorf("auditor state: the first line is not %q", strings.TrimSpace(stateHeader))
	}
	text, signed, ok := bytes.Cut(rest, []byte("\n\n"))
	if !ok {
		return nil, errors.New("auditor state: no empty line between edge and checkpoint")
	}
	edge := new(proofs.Edge)
	if err := edge.UnmarshalText(append(bytes.Clone(text), '\n')); err != nil {
		return nil, fmt.Errorf("auditor state: %w", err)
	}
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return nil, fmt.Errorf("auditor state: %w", err)
	}
	c, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		return nil, fmt.Errorf("auditor state: %w", err)
	}
	if edge.Tree() != c.Tree {
		return nil, fmt.Errorf("auditor state: the edge gives size %d and root %v, the checkpoint says %d and %v",
			edge.Tree().N, edge.Tree().Hash, c.Tree.N, c.Tree.Hash)
	}
	return &State{Edge: edge, Checkpoint: bytes.Clone(signed)}, nil
}

// Marshal prints the state: a first line, the edge, an empty line, the note.
func (s *State) Marshal() ([]byte, error) {
	edge, err := s.Edge.MarshalText()
	if err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{[]byte(stateHeader), edge, []byte("\n"), s.Checkpoint}, nil), nil
}

// store keeps state, notes and evidence in a directory. The zero store keeps
// nothing.
//
//	DIR/lock               of the process that has the directory
//	DIR/state              State
//	DIR/notes/*.note       what known keys have signed of every note that was seen
//	DIR/evidence/*/        a folder for each finding that has evidence
type store struct {
	dir  string
	lock *lockfile.Lock
}

// openStore takes the directory, and makes it if need be: of two auditors the slower
// one would write an older checkpoint over the newer one's.
func openStore(dir string) (store, error) {
	if dir == "" {
		return store{}, nil
	}
	for _, d := range []string{dir, filepath.Join(dir, "notes"), filepath.Join(dir, "evidence")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return store{}, fmt.Errorf("auditor state: %w", err)
		}
	}
	lock, err := lockfile.AcquireDir(dir)
	if err != nil {
		return store{}, fmt.Errorf("auditor state: %w", err)
	}
	for _, d := range []string{dir, filepath.Join(dir, "notes")} {
		_ = durable.Sweep(d) // that it cannot harms nothing but the room
	}
	return store{dir, lock}, nil
}

func (s store) close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Release()
}

// load returns the saved state, or nil if there is none yet.
func (s store) load() (*State, error) {
	if s.dir == "" {
		return nil, nil
	}
	b, err := regular.ReadSome(filepath.Join(s.dir, "state"), maxStateSize+1)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("auditor state: %w", err)
	}
	state, err := ParseState(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (without the file the auditor continues, and still compares the notes beside it with the log)", filepath.Join(s.dir, "state"), err)
	}
	return state, nil
}

func (s store) save(state *State) error {
	if s.dir == "" {
		return nil
	}
	b, err := state.Marshal()
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(s.dir, "state"), b, 0o644)
}

// notes returns the signed notes kept by earlier runs, by their paths.
func (s store) notes() (map[string][]byte, error) {
	if s.dir == "" {
		return nil, nil
	}
	dir := filepath.Join(s.dir, "notes")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("auditor state: %w", err)
	}
	notes := map[string][]byte{}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if filepath.Ext(path) != ".note" {
			continue
		}
		b, err := regular.ReadSome(path, proofs.MaxNoteSize+1)
		if err != nil {
			return nil, fmt.Errorf("auditor state: %w", err)
		}
		notes[path] = b
	}
	return notes, nil
}

// notePath is where a note with this text is kept. Its name begins with the size of
// its tree, so that a listing is in order.
func (s store) notePath(text string) (string, error) {
	c, err := proofs.ParseCheckpoint(text)
	if err != nil {
		return "", err
	}
	return filepath.Join(s.dir, "notes", fmt.Sprintf("%012d-%s.note", c.Tree.N, tuf.Sum([]byte(text)).String()[:16])), nil
}

// note returns the note that is kept with this text.
func (s store) note(text string) (proofs.Note, error) {
	path, err := s.notePath(text)
	if err != nil {
		return proofs.Note{}, err
	}
	b, err := regular.ReadSome(path, proofs.MaxNoteSize+1)
	if err != nil {
		return proofs.Note{}, err
	}
	note, err := proofs.ParseNote(b)
	if err == nil && note.Text != text {
		err = errors.New("another text")
	}
	return note, err
}

// saveNote keeps a note, in the place of one with the same text.
func (s store) saveNote(note proofs.Note) error {
	path, err := s.notePath(note.Text)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, note.Marshal(), 0o644)
}

// largeEvidence returns how many bytes of large files of evidence are kept, as far as it
// can be said.
func (s store) largeEvidence() int64 {
	if s.dir == "" {
		return 0
	}
	sum := int64(0)
	_ = filepath.WalkDir(filepath.Join(s.dir, "evidence"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Size() > largeEvidence {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// saveEvidence writes a finding and its files. key makes the folder's name
// unique, and the same in every run.
func (s store) saveEvidence(f Finding, key tuf.Digest) error {
	if s.dir == "" || len(f.Evidence) == 0 {
		return nil
	}
	dir := filepath.Join(s.dir, "evidence", fmt.Sprintf("%s-%s", f.Kind, key.String()[:12]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("auditor evidence: %w", err)
	}
	_ = durable.Sweep(dir)
	for _, e := range f.Evidence {
		if e.content == nil {
			continue
		}
		if err := durable.WriteFile(filepath.Join(dir, e.Name), e.content, 0o644); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		durable.WriteFile(filepath.Join(dir, "finding.json"), append(b, '\n'), 0o644),
		durable.SyncDir(filepath.Join(s.dir, "evidence")))
}
