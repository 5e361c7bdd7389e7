package expected

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/expect"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/tuf"
)

// take takes over what was read since the step before.
func (w *Watcher) take(ctx context.Context, a Auditor) error {
	w.mu.Lock()
	r := w.reading
	w.mu.Unlock()
	if r.number == 0 || r.number == w.taken {
		return nil
	}
	w.taken = r.number
	m := w.mem
	trouble, back := "", ""
	e, err := w.parse(r)
	newest := m.newest()
	switch {
	case err != nil:
		trouble = fetch.RedactedText(err.Error())
		back = m.Back
	case newest == nil || e.Version > newest.Version:
		if err := m.add(noted{e, r.note}, w.cfg.Now()); err != nil {
			trouble = fmt.Sprintf("expectations %d: %v", e.Version, err)
			break
		}
		w.changed = true
	case e.Version < newest.Version:
		back = fmt.Sprintf("%s has expectations %d of %s, and expectations %d were there before: these still count", w.Source(), e.Version, w.cfg.Name, newest.Version)
	case e.Text() != newest.Text():
		f := audit.NewFinding(audit.ExpectationsRolledBack, -1, m.id, "", 0,
			fmt.Sprintf("two different expectations %d of %s are signed: those that were seen first still count", e.Version, w.cfg.Name)).
			About("two "+e.Text()).
			WithContent("expectations-first.note", newest.note).WithContent("expectations-second.note", r.note)
		if err := a.Keep(ctx, f); err != nil {
			return err
		}
	}
	if trouble != m.Trouble || back != m.Back {
		if (trouble == "") != (m.Trouble == "") {
			m.Since = r.begun.Unix()
		}
		m.Trouble, m.Back, w.changed = trouble, back, true
	}
	return nil
}

// parse reads what was read.
func (w *Watcher) parse(r reading) (*expect.Expectations, error) {
	if r.err != nil {
		return nil, r.err
	}
	e, err := expect.Parse(r.note, w.cfg.Keys...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.Source(), err)
	}
	if e.Repository != w.mem.id {
		return nil, fmt.Errorf("%s has expectations of repository %s, not of %s", w.Source(), e.Repository.Short(), w.mem.id.Short())
	}
	return e, nil
}

// WatchedName is the name under which findings about the expectations of the repository that
// has a name are watched.
func WatchedName(name string) string { return "expectations " + name }

// UnseenName is the name under which findings about releases that cannot be compared are
// watched.
func UnseenName(name string) string { return "unseen releases " + name }

// tell says what is wrong with the expectations now.
func (w *Watcher) tell(ctx context.Context, a Auditor) error {
	m, now := w.mem, w.cfg.Now()
	newest := m.newest()
	ended := newest != nil && !now.Before(newest.Until)
	var found []audit.Finding
	stale := func(since int64, about, sentence string) {
		kind := audit.ExpectationsMissing
		if now.Unix()-since >= int64(w.cfg.Stale.Seconds()) {
			kind = audit.ExpectationsStale
		}
		found = append(found, w.withNote(audit.NewFinding(kind, -1, m.id, "", 0, sentence).About(w.cfg.Name+" "+about)))
	}
	trouble := m.Trouble
	switch {
	case ended:
		trouble = fmt.Sprintf("expectations %d of %s have ended at %s, and there are no newer ones: no release is expected", newest.Version, w.cfg.Name, newest.Until.Format(timeForm))
		stale(newest.Until.Unix(), "ended", trouble)
	case m.Trouble != "" && newest == nil:
		stale(m.Since, "unread", fmt.Sprintf("the expectations of %s cannot be read, so that no release is judged: %s", w.cfg.Name, m.Trouble))
	case m.Trouble != "":
		stale(m.Since, "unread", fmt.Sprintf("the expectations of %s cannot be read: %s; expectations %d still count, until %s", w.cfg.Name, m.Trouble, newest.Version, newest.Until.Format(timeForm)))
	}
	inForce := len(m.inForce(now, now, 0)) > 0
	if newest != nil && !inForce && now.Before(newest.From) {
		what := "expected"
		if now.Unix() < m.First {
			what = "judged"
		}
		trouble = fmt.Sprintf("expectations %d of %s are in force from %s on, and none are before: until then no release is %s", newest.Version, w.cfg.Name, newest.From.Format(timeForm), what)
		found = append(found, w.withNote(audit.NewFinding(audit.ExpectationsMissing, -1, m.id, "", 0, trouble).About(w.cfg.Name+" ahead")))
	}
	if w.besideTrouble != "" {
		trouble = w.besideTrouble
		found = append(found, w.withNote(audit.NewFinding(audit.ExpectationsMissing, -1, m.id, "", 0, trouble).About(w.cfg.Name+" beside")))
	}
	if m.Back != "" {
		found = append(found, w.withNote(audit.NewFinding(audit.ExpectationsRolledBack, -1, m.id, "", 0, m.Back).About(w.cfg.Name)))
		trouble = m.Back
	}
	w.mu.Lock()
	w.status.Trouble, w.status.InForce = trouble, inForce
	if newest != nil {
		w.status.Version, w.status.From, w.status.Until = newest.Version, newest.From, newest.Until
	}
	w.mu.Unlock()
	return errors.Join(w.watched(ctx, a, WatchedName(w.cfg.Name), found, &w.told), w.watched(ctx, a, UnseenName(w.cfg.Name), w.unseen, &w.toldUnseen))
}

// watched says which findings there are of what is watched under a name, if they are others than
// those that were told last.
func (w *Watcher) watched(ctx context.Context, a Auditor, name string, found []audit.Finding, last *[]string) error {
	told := []string{}
	for _, f := range found {
		told = append(told, fmt.Sprint(f.Kind, " ", f.Index, " ", f.Sentence))
	}
	if *last != nil && slices.Equal(told, *last) {
		return nil
	}
	*last = told
	return a.Watched(ctx, name, found)
}

// withNote adds the newest expectations to a finding, if there are any.
func (w *Watcher) withNote(f audit.Finding) audit.Finding {
	if n := w.mem.newest(); n != nil {
		return f.WithContent(NoteName, n.note)
	}
	return f
}

// timeForm is how sentences show times.
const timeForm = "2006-01-02T15:04:05Z"

func named(role string, version int64) string { return fmt.Sprintf("%s %d", tuf.Word(role), version) }
