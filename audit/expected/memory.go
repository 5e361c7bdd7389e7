package expected

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/expect"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// memory is what lasts, in the audit state.
type memory struct {
	Next    int64          `json:"next"`           // the first leaf that has not been looked at; -1: it has not begun
	Seen    int64          `json:"seen"`           // when all leaves before that were there, POSIX seconds
	Notes   []string       `json:"notes"`          // the newest expectations, as they were signed, the newest last
	Had     map[string]had `json:"had"`            // by role, what was expected last
	Pending []pending      `json:"pending"`        // leaves that are not decided yet
	Trouble string         `json:"trouble"`        // with reading the expectations; empty: none
	Since   int64          `json:"since"`          // when that began
	Back    string         `json:"back,omitempty"` // the older expectations that are served; empty: none
	First   int64          `json:"first"`          // from when on the first expectations were in force

	id    tuf.Digest
	notes []noted
}

// noted is expectations that were seen.
type noted struct {
	*expect.Expectations
	note []byte
}

// had is the release of a role that was expected last.
type had struct {
	Index   int64 `json:"index"`
	Version int64 `json:"version"`
}

// pending is a leaf that is not decided yet.
type pending struct {
	Index int64 `json:"index"`
	After int64 `json:"after"` // it was not there at this time, POSIX seconds
	By    int64 `json:"by"`    // and at this one it was

	Withheld bool `json:"withheld,omitempty"` // that it cannot be compared is no outage any more
}

// Limits of a memory.
const (
	maxNotes   = 4    // expectations that may count: those in force, and those that come
	maxPending = 4096 // more are not waited for
	maxBlobs   = 64   // metadata files in memory
)

func memoryName(id tuf.Digest) string { return "expectations " + id.String() }

// load reads the memory of a state, if it is another than before.
func (w *Watcher) load(ctx context.Context, db *state.DB, id tuf.Digest) error {
	if w.mem != nil && w.db == db {
		return nil
	}
	text, err := db.Get(ctx, memoryName(id))
	if err != nil {
		return err
	}
	m := &memory{Next: -1}
	if text != "" {
		if err := json.Unmarshal([]byte(text), m); err != nil {
			return &state.Error{Err: fmt.Errorf("%w: what is kept of expectations: %w", state.ErrDamaged, err)}
		}
	}
	m.id = id
	if m.Had == nil {
		m.Had = map[string]had{}
	}
	for _, note := range m.Notes {
		n, err := proofs.ParseNote([]byte(note))
		if err != nil {
			return &state.Error{Err: fmt.Errorf("%w: expectations that are kept: %w", state.ErrDamaged, err)}
		}
		e, err := expect.ParseText(n.Text)
		if err != nil {
			return &state.Error{Err: fmt.Errorf("%w: expectations that are kept: %w", state.ErrDamaged, err)}
		}
		m.notes = append(m.notes, noted{e, []byte(note)})
	}
	if err := w.loadBeside(m); err != nil {
		return err
	}
	w.db, w.mem, w.changed, w.told, w.toldUnseen, w.unseen, w.taken = db, m, false, nil, nil, nil, 0
	w.savedNext, w.savedSeen = m.Next, m.Seen
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Repository = id
	return nil
}

// besideFile is the file with the newest expectations beside the state.
func (w *Watcher) besideFile(id tuf.Digest) string {
	return w.cfg.Beside + id.String() + "." + NoteName
}

// loadBeside adds the expectations that were kept beside the state, if that has none that are
// as new: it was lost, or is a copy of before.
func (w *Watcher) loadBeside(m *memory) error {
	w.beside = nil
	if w.cfg.Beside == "" {
		return nil
	}
	path := w.besideFile(m.id)
	note, err := regular.ReadSome(path, proofs.MaxNoteSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var e *expect.Expectations
	if err == nil {
		var n proofs.Note
		if n, err = proofs.ParseNote(note); err == nil {
			e, err = expect.ParseText(n.Text)
		}
	}
	if err == nil && e.Repository != m.id {
		err = fmt.Errorf("they are about repository %s", e.Repository.Short())
	}
	if err != nil {
		return &state.Error{Err: fmt.Errorf("%w: expectations that are kept in %s: %w", state.ErrDamaged, path, err)}
	}
	w.beside = note
	newest := m.newest()
	if newest == nil {
		m.First = e.From.Unix()
	}
	if newest == nil || newest.Version < e.Version {
		m.add(noted{e, note})
	}
	return nil
}

// saveBeside writes the newest expectations beside the state, before that has them.
func (w *Watcher) saveBeside() error {
	newest := w.mem.newest()
	if w.cfg.Beside == "" || newest == nil || bytes.Equal(newest.note, w.beside) {
		return nil
	}
	if err := durable.WriteFile(w.besideFile(w.mem.id), newest.note, 0o644); err != nil {
		return err
	}
	w.beside = newest.note
	return nil
}

// save writes the memory if it has changed.
func (w *Watcher) save(ctx context.Context, db *state.DB) error {
	// That others' leaves were looked at is written now and then.
	m := w.mem
	if !w.changed && m.Next-w.savedNext < 10_000 && m.Seen-w.savedSeen < 60 {
		return nil
	}
	if err := w.saveBeside(); err != nil {
		return err
	}
	b, err := json.Marshal(w.mem)
	if err != nil {
		return err
	}
	if err := db.Set(ctx, memoryName(w.mem.id), string(b)); err != nil {
		return err
	}
	w.changed, w.savedNext, w.savedSeen = false, w.mem.Next, w.mem.Seen
	return db.Commit(ctx)
}

// newest returns the newest expectations; nil: none have been seen.
func (m *memory) newest() *noted {
	if len(m.notes) == 0 {
		return nil
	}
	return &m.notes[len(m.notes)-1]
}

// add remembers newer expectations.
func (m *memory) add(n noted) {
	m.notes = append(m.notes, n)
	if drop := len(m.notes) - maxNotes; drop > 0 {
		m.notes = slices.Delete(m.notes, 0, drop)
	}
	m.Notes = nil
	for _, n := range m.notes {
		m.Notes = append(m.Notes, string(n.note))
	}
}

// ends returns when the i-th expectations are no longer in force: when they end, or newer
// ones come into force.
func (m *memory) ends(i int) time.Time {
	until := m.notes[i].Until
	for _, n := range m.notes[i+1:] {
		if n.From.Before(until) {
			until = n.From
		}
	}
	return until
}

// inForce returns the expectations that were in force at any moment from one time to another,
// the newest first; late is how much earlier than signed they count.
func (m *memory) inForce(after, by time.Time, late time.Duration) (list []*noted) {
	for i := range slices.Backward(m.notes) {
		n := &m.notes[i]
		if from := n.From.Add(-late); from.Before(m.ends(i)) && !by.Before(from) && after.Before(m.ends(i)) {
			list = append(list, n)
		}
	}
	return list
}
