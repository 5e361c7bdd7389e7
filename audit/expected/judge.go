package expected

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// begin says which leaf is the first to be looked at.
func (w *Watcher) begin(ctx context.Context, db *state.DB) error {
	m, next := w.mem, int64(-1)
	for _, base := range m.newest().Bases {
		err := db.LeavesOfVersion(ctx, m.id, base.Role, base.Version, func(l state.Leaf) error {
			if l.Payload == base.Payload && l.Verdict == state.Right {
				next = max(next, l.Index+1)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if next < 0 {
		next = db.Size()
	}
	// Nobody knows when what follows was logged: any time since the expectations came into
	// force.
	m.Next, m.Seen, w.changed = next, min(m.newest().From.Unix(), w.cfg.Now().Unix()), true
	return nil
}

// judge judges the leaves that wait, and those that came.
func (w *Watcher) judge(ctx context.Context, a Auditor, blobs Blobs, whole bool) error {
	m, db, now := w.mem, a.State(), w.cfg.Now()
	w.whole, w.unseen = whole, nil
	if db.Size() < m.Next {
		return &state.Error{Err: fmt.Errorf("%w: expectations were compared with %d leaves, and it has %d", state.ErrDamaged, m.Next, db.Size())}
	}
	var ours []state.Leaf
	if db.Size() > m.Next {
		err := db.LeavesOfFrom(ctx, m.id, m.Next, func(l state.Leaf) error {
			ours = append(ours, l)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(m.Pending) > 0 {
		waiting := m.Pending
		m.Pending = nil
		for _, p := range waiting {
			l, ok, err := db.Leaf(ctx, p.Index)
			if err != nil {
				return err
			}
			if latest := max(now.Unix(), m.Seen); p.By > latest {
				p.By = max(latest, min(p.By, m.First)) // the clock was ahead
			}
			if ok {
				err := w.decide(ctx, a, blobs, l, p)
				if errors.Is(err, errFull) {
					m.Pending, err = append(m.Pending, p), nil // it has its place
				}
				if err != nil {
					return err
				}
			}
		}
		w.changed = true
	}
	// A clock that went back makes nothing older than what was seen before.
	after, by := min(m.Seen, now.Unix()), max(m.Seen, now.Unix())
	for _, l := range ours {
		err := w.decide(ctx, a, blobs, l, pending{Index: l.Index, After: after, By: by})
		if errors.Is(err, errFull) {
			m.Next, w.changed = l.Index, true // what follows is judged when there is room
			return nil
		}
		if err != nil {
			return err
		}
		w.changed = true
	}
	m.Next = db.Size()
	if whole {
		m.Seen = now.Unix()
	}
	return nil
}

// errFull says that no more leaves can wait.
var errFull = errors.New("too many releases wait")

// errNotHere says that a metadata file is not at hand.
var errNotHere = errors.New("not at hand")

// decides reports whether a leaf is to be decided on: evidence, and what should not be there,
// are findings of their own.
func (w *Watcher) decides(l state.Leaf) bool {
	return l.Kind == leaf.Release && (l.Verdict == state.Right || l.Verdict == state.NotJudged)
}

// decide decides on a leaf, or lets it wait.
func (w *Watcher) decide(ctx context.Context, a Auditor, blobs Blobs, l state.Leaf, p pending) error {
	m, now := w.mem, w.cfg.Now()
	if !w.decides(l) {
		return nil
	}
	if p.By < m.First {
		return nil // nobody had said anything yet
	}
	if l.Verdict == state.NotJudged {
		return w.waitForFile(l, p, "it cannot be judged, because a file is missing")
	}
	if number, ok := w.wanted[l.Index]; !ok || w.taken < number {
		// Newer expectations may have been signed a moment before the release: they may allow
		// it, and they may no longer do so.
		return w.waitForReading(p)
	}
	why, by, err := w.verdict(ctx, a.State(), blobs, l, p)
	switch {
	case errors.Is(err, errNotHere):
		return w.waitForFile(l, p, "its metadata is not at hand")
	case err != nil:
		return err
	case by != nil:
		delete(w.wanted, l.Index)
		m.accept(l, p)
		return nil
	case w.cfg.Late > 0 && now.Sub(time.Unix(p.By, 0)) < w.cfg.Late && len(m.Pending) < maxPending:
		m.Pending = append(m.Pending, p)
		return nil
	}
	delete(w.wanted, l.Index)
	return w.report(ctx, a, blobs, l, why)
}

// waitForReading lets a leaf wait until expectations have been read that may have been signed
// after those at hand. A process that is started again reads them again.
func (w *Watcher) waitForReading(p pending) error {
	m := w.mem
	if len(m.Pending) >= maxPending {
		return errFull
	}
	m.Pending, w.waits = append(m.Pending, p), true
	if _, ok := w.wanted[p.Index]; !ok {
		w.mu.Lock()
		w.wanted[p.Index] = w.begun + 1
		w.mu.Unlock()
		select {
		case w.hurry <- struct{}{}:
		default:
		}
	}
	return nil
}

// patience is how long a metadata file is waited for in silence.
const patience = time.Minute

// maxUnseen is how many releases are told of that cannot be compared: the first.
const maxUnseen = 64

// waitForFile lets a leaf wait until its file is there. A file that is missing accuses the
// vendor of nothing: what is said of it is taken back when the release has been compared. If the
// log answers all else for long, it is no outage.
func (w *Watcher) waitForFile(l state.Leaf, p pending, why string) error {
	m, age := w.mem, w.cfg.Now().Sub(time.Unix(p.By, 0))
	if len(m.Pending) >= maxPending {
		return errFull
	}
	p.Withheld = p.Withheld || w.whole && age >= w.cfg.Stale
	m.Pending = append(m.Pending, p)
	if age < patience || len(w.unseen) >= maxUnseen {
		return nil
	}
	kind := audit.ReleaseUnseen
	if p.Withheld {
		kind = audit.ReleaseWithheld
	}
	w.unseen = append(w.unseen, audit.NewFinding(kind, l.Index, l.Repository, l.Role, l.Version,
		fmt.Sprintf("%s of %s cannot be compared with what its vendor said would be released: %s", named(l.Role, l.Version), w.cfg.Name, why)).
		About(l.Payload.String()))
	return nil
}

// Names of evidence of a release that was not expected; the metadata files are named as a
// repository names them.
const (
	NoteName = "expectations.note"
	maxName  = 200 // bytes of the name of a metadata file
)

// report keeps a finding, with what it takes to judge again: the expectations, the release
// and what its role had.
func (w *Watcher) report(ctx context.Context, a Auditor, blobs Blobs, l state.Leaf, why string) error {
	newest := w.mem.newest()
	f := audit.NewFinding(audit.UnexpectedRelease, l.Index, l.Repository, l.Role, l.Version,
		fmt.Sprintf("%s of %s is not what its vendor said would be released (expectations %d): %s", named(l.Role, l.Version), w.cfg.Name, newest.Version, why)).
		About(l.Payload.String()).WithContent(NoteName, newest.note)
	meta, err1 := w.metadata(ctx, blobs, l)
	before, err2 := w.before(ctx, a.State(), blobs, newest, l)
	if own := (*state.Error)(nil); errors.As(err2, &own) {
		return err2
	}
	role := tuf.EscapeRole(l.Role)
	if err1 == nil && err2 == nil && len(role) < maxName {
		f = f.WithContent(fmt.Sprintf("%d.%s.json", l.Version, role), meta.File)
		if before != nil && before.Version != l.Version {
			f = f.WithContent(fmt.Sprintf("%d.%s.json", before.Version, role), before.File)
		}
	}
	return a.Keep(ctx, f)
}

// verdict asks the expectations that may have been in force about a leaf: which of them expects
// it, or nil and why the newest of them does not. The error is errNotHere or the state's.
func (w *Watcher) verdict(ctx context.Context, db *state.DB, blobs Blobs, l state.Leaf, p pending) (why string, by *noted, err error) {
	m := w.mem
	after, until := time.Unix(p.After, 0), time.Unix(p.By, 0)
	list := m.inForce(after, until, w.cfg.Late)
	if len(list) == 0 {
		newest := m.newest()
		if until.Before(newest.From) {
			return fmt.Sprintf("no expectations are in force: expectations %d are from %s on", newest.Version, newest.From.Format(timeForm)), nil, nil
		}
		return fmt.Sprintf("no expectations are in force: expectations %d ended at %s", newest.Version, newest.Until.Format(timeForm)), nil, nil
	}
	meta, err := w.metadata(ctx, blobs, l)
	if err != nil {
		return "", nil, err
	}
	for _, n := range list {
		before, err := w.before(ctx, db, blobs, n, l)
		if err != nil {
			return "", nil, err
		}
		said, ok := n.Judge(l.Leaf, meta, before)
		if ok {
			return "", n, nil
		}
		if why == "" {
			why = said
		}
	}
	return why, nil, nil
}

// before returns what the role of a leaf had: the newest release that was expected, or the
// base of the expectations if that is newer; nil: nothing.
func (w *Watcher) before(ctx context.Context, db *state.DB, blobs Blobs, n *noted, of state.Leaf) (*tuf.Metadata, error) {
	m := w.mem
	h, ok := m.Had[of.Role]
	if base, is := n.Base(of.Role); is && (!ok || base.Version > h.Version) {
		found := false
		err := db.LeavesOfVersion(ctx, m.id, base.Role, base.Version, func(l state.Leaf) error {
			if l.Payload == base.Payload && l.Verdict == state.Right {
				h, found = had{l.Index, l.Version}, true
			}
			return nil
		})
		if err != nil || !found {
			return nil, err // Judge says that the base is not there
		}
		ok = true
	}
	if !ok {
		return nil, nil
	}
	l, found, err := db.Leaf(ctx, h.Index)
	if err != nil || !found {
		return nil, err
	}
	return w.metadata(ctx, blobs, l)
}

// metadata returns the metadata of a leaf. The error is errNotHere.
func (w *Watcher) metadata(ctx context.Context, blobs Blobs, l state.Leaf) (*tuf.Metadata, error) {
	if m := w.blobs[l.Metadata]; m != nil {
		return m, nil
	}
	file, err := blobs.Blob(ctx, l.Metadata)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotHere, err)
	}
	if tuf.Sum(file) != l.Metadata {
		return nil, fmt.Errorf("%w: another file is served", errNotHere)
	}
	m, err := codec.ParseKnown(l.Encoding, file, l.Metadata)
	if err != nil || m.PayloadDigest != l.Payload {
		return nil, fmt.Errorf("%w: the file is not the leaf's", errNotHere)
	}
	if len(w.blobs) >= maxBlobs {
		clear(w.blobs)
	}
	w.blobs[l.Metadata] = m
	return m, nil
}
