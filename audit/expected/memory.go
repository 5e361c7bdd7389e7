package expected

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
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

	// Accepted are the last leaves that were expected, which newer expectations may show to
	// be judged again.
	Accepted []accepted `json:"accepted,omitempty"`

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

// accepted is a leaf that was expected, and what its role had before.
type accepted struct {
	pending
	Role    string `json:"role"`
	Version int64  `json:"version"`
	Had     *had   `json:"had,omitempty"` // nil: nothing
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
	maxNotes    = 16   // expectations that may count: those in force, and those that come
	maxPending  = 4096 // more are not waited for
	maxAccepted = 1024 // more are not judged again
	maxBlobs    = 64   // metadata files in memory
)

func memoryName(id tuf.Digest) string { return "expectations " + id.String() }

// load reads the memory of a state, if it is another than before.
func (w *Watcher) load(ctx context.Context, db *state.DB) error {
	if w.mem != nil && w.db == db {
		return nil
	}
	id := w.cfg.Repository
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
	if m, err = w.loadNotes(m); err != nil {
		return err
	}
	w.wanted = map[int64]int{}
	w.db, w.mem, w.changed, w.told, w.toldUnseen, w.unseen, w.taken = db, m, false, nil, nil, nil, 0
	w.savedNext, w.savedSeen = m.Next, m.Seen
	w.loadBeside(m)
	return nil
}

// loadNotes reads the expectations of a memory. Those that no key of the configuration signed
// allow nothing: the key was replaced, perhaps because a thief has it. If there are no others,
// all that followed from them is forgotten too, and the next ones are the first.
func (w *Watcher) loadNotes(m *memory) (*memory, error) {
	if m.Had == nil {
		m.Had = map[string]had{}
	}
	for _, note := range m.Notes {
		n, err := proofs.ParseNote([]byte(note))
		if err != nil {
			return nil, &state.Error{Err: fmt.Errorf("%w: expectations that are kept: %w", state.ErrDamaged, err)}
		}
		if _, err := expect.ParseText(n.Text); err != nil {
			return nil, &state.Error{Err: fmt.Errorf("%w: expectations that are kept: %w", state.ErrDamaged, err)}
		}
		if e, err := expect.Parse([]byte(note), w.cfg.Keys...); err == nil {
			m.notes = append(m.notes, noted{e, []byte(note)})
		}
	}
	if len(m.notes) == 0 && len(m.Notes) > 0 {
		return &memory{Next: -1, Had: map[string]had{}, id: m.id}, nil
	}
	m.keepNotes()
	return m, nil
}

// besideFile is the file with the newest expectations beside the state. It is named by what
// it is about, so that it is found when the log has another name in the configuration.
func (w *Watcher) besideFile(id tuf.Digest) string {
	origin := sha256.Sum256([]byte(w.origin))
	return fmt.Sprintf("%s%x.%s.%s", w.cfg.Beside, origin[:8], id, NoteName)
}

// loadBeside adds the expectations that were kept beside the state, if that has none that are
// as new: it was lost, or is a copy of before. A file that cannot be used is trouble of this
// repository alone: the next ones that are read replace it.
func (w *Watcher) loadBeside(m *memory) {
	w.beside, w.besideTrouble = nil, ""
	if w.cfg.Beside == "" {
		return
	}
	path := w.besideFile(m.id)
	note, err := regular.ReadSome(path, proofs.MaxNoteSize)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var e *expect.Expectations
	if err == nil {
		if e, err = expect.Parse(note, w.cfg.Keys...); errors.Is(err, expect.ErrNotSigned) {
			return // the key was replaced
		}
	}
	if err == nil && e.Repository != m.id {
		err = fmt.Errorf("they are about repository %s", e.Repository.Short())
	}
	newest := m.newest()
	switch {
	case err != nil && newest != nil:
		w.changed = true // the state has them, and they are written again
	case err != nil:
		w.besideTrouble = fmt.Sprintf("what was kept of the expectations of %s in %s cannot be used, so that older ones may count now: %v", w.cfg.Name, filepath.Base(path), err)
	default:
		w.beside = note
		if newest == nil || newest.Version < e.Version {
			// Without room those that are known go on, and these are read again.
			_ = m.add(noted{e, note}, w.cfg.Now())
		}
	}
}

// saveBeside writes the newest expectations beside the state, before that has them.
func (w *Watcher) saveBeside() {
	newest := w.mem.newest()
	if w.cfg.Beside == "" || newest == nil || bytes.Equal(newest.note, w.beside) {
		return
	}
	path := w.besideFile(w.mem.id)
	if err := durable.WriteFile(path, newest.note, 0o644); err != nil {
		w.besideTrouble = fmt.Sprintf("expectations %d of %s cannot be written to %s, so that older ones may count if the state is lost", newest.Version, w.cfg.Name, filepath.Base(path))
		return
	}
	w.beside, w.besideTrouble = newest.note, ""
}

// save writes the memory if it has changed.
func (w *Watcher) save(ctx context.Context, db *state.DB) error {
	// That others' leaves were looked at is written now and then.
	m := w.mem
	if !w.changed && m.Next-w.savedNext < 10_000 && m.Seen-w.savedSeen < 60 {
		return nil
	}
	w.saveBeside()
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

// errNoRoom says that all expectations that are remembered are still to count.
var errNoRoom = fmt.Errorf("%d expectations are signed ahead, and there is no room for more", maxNotes-1)

// add remembers newer expectations. It drops the oldest of those that cannot count any more, if
// there is no room: not those that are in force, or will be.
func (m *memory) add(n noted, now time.Time) error {
	m.notes = append(m.notes, n)
	for len(m.notes) > maxNotes {
		i := 0
		for ; i < len(m.notes)-1; i++ {
			if ends := m.ends(i); !ends.After(now) || !ends.After(m.notes[i].From) {
				break
			}
		}
		if i == len(m.notes)-1 {
			m.notes = m.notes[:i]
			return errNoRoom
		}
		// Without them nobody can judge again what they expected.
		ends := m.ends(i).Unix()
		m.Accepted = slices.DeleteFunc(m.Accepted, func(l accepted) bool { return l.After < ends })
		m.notes = slices.Delete(m.notes, i, i+1)
	}
	m.keepNotes()
	m.rewind(n)
	return nil
}

// keepNotes brings what follows from the notes into line with them.
func (m *memory) keepNotes() {
	m.Notes = nil
	for i, n := range m.notes {
		m.Notes = append(m.Notes, string(n.note))
		if from := n.From.Unix(); m.First == 0 && i == 0 || from < m.First {
			m.First = from
		}
	}
}

// accept remembers that a leaf was expected.
func (m *memory) accept(l state.Leaf, p pending) {
	one := accepted{pending: p, Role: l.Role, Version: l.Version}
	h, ok := m.Had[l.Role]
	if ok {
		one.Had = &h
	}
	if m.Accepted = append(m.Accepted, one); len(m.Accepted) > maxAccepted {
		m.Accepted = slices.Delete(m.Accepted, 0, len(m.Accepted)-maxAccepted)
	}
	if !ok || l.Version > h.Version {
		m.Had[l.Role] = had{l.Index, l.Version}
	}
}

// rewind lets the leaves be judged again that were accepted, and there since a time: newer
// expectations were in force then, and somebody kept them from the monitor, or it had not
// read them yet. Those that follow one of them in its role were compared with it. What
// was there when they were signed, their vendor has seen.
func (m *memory) rewind(newer noted) {
	from, since := newer.From.Unix(), map[string]int{}
	for i, l := range m.Accepted {
		base, _ := newer.Base(l.Role)
		if _, is := since[l.Role]; !is && l.By >= from && l.Version > base.Version {
			since[l.Role] = i
		}
	}
	var keep []accepted
	for i, l := range m.Accepted {
		switch first, is := since[l.Role]; {
		case !is || i < first:
			keep = append(keep, l)
			continue
		case i > first:
		case l.Had == nil:
			delete(m.Had, l.Role)
		default:
			m.Had[l.Role] = *l.Had
		}
		m.Pending = append(m.Pending, l.pending)
	}
	m.Accepted = keep
	slices.SortFunc(m.Pending, func(x, y pending) int { return cmp.Compare(x.Index, y.Index) })
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
