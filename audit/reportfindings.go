package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/tuf"
)

// newlyPresent returns what has become true of repositories without a leaf of theirs since
// it was last looked at.
func (a *Auditor) newlyPresent(ctx context.Context) ([]Finding, error) {
	known, err := a.inScope(ctx, state.Present)
	if err != nil {
		return nil, err
	}
	var reports []RepositoryReport
	present, err := a.lookAtPresent(ctx, &reports)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(present, func(f Finding) bool { return known[f.digest()] }), nil
}

// lookAtPresent reports the repositories, and returns the findings that are true of them
// now, after noting which have come and which are gone. The error is the state's, or says
// that not all could be read.
func (a *Auditor) lookAtPresent(ctx context.Context, reports *[]RepositoryReport) ([]Finding, error) {
	var firstErr error
	note := func(err error) {
		if firstErr == nil {
			firstErr = err
		}
	}
	// All that is kept of them together is large: it is read one by one. What has to be made
	// again comes after that.
	var all []RepositoryReport
	var later []int
	found := map[int][]Finding{}
	asOf := a.lastAsOf()
	err := a.db.Repositories(ctx, "", func(known state.Repository) error {
		p, ok := readPresent(known.ID, known.Report)
		if ok {
			if is := a.presentFindings(known.ID, p, asOf); len(is) > 0 {
				found[len(all)] = is
			}
		} else {
			p.Report = RepositoryReport{ID: known.ID}
			later = append(later, len(all))
		}
		all = append(all, p.Report)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, i := range later {
		var err error
		all[i], found[i], err = a.repositoryReport(ctx, all[i].ID, nil)
		if errors.As(err, new(*state.Error)) {
			return nil, err
		}
		note(err)
		if err := a.evict(ctx); err != nil {
			return nil, err
		}
	}
	*reports = append(*reports, all...)
	var present []Finding
	if a.oldNotes != nil {
		present = append(present, *a.oldNotes)
	}
	for _, i := range slices.Sorted(maps.Keys(found)) {
		present = append(present, found[i]...)
	}
	if firstErr == nil {
		// What cannot be seen now is not gone.
		if err := a.reconcile(ctx, state.Present, present); err != nil {
			return nil, err
		}
	}
	if err := a.db.Commit(ctx); err != nil {
		return nil, err
	}
	return present, firstErr
}

// Describe makes again what is kept of repositories that have had leaves since, such as which
// of their releases are in force, without looking at the others. It is done for up to most of
// them, and reports whether there may be more. The error means that of one it could not be made.
func (a *Auditor) Describe(ctx context.Context, most int) (more bool, err error) {
	ids, err := a.db.Unreported(ctx, a.described, most)
	if err != nil {
		return false, err
	}
	a.described = tuf.Digest{}
	if len(ids) == most {
		a.described = ids[most-1]
	}
	var firstErr error
	for _, id := range ids {
		_, _, err := a.repositoryReport(ctx, id, nil)
		if errors.As(err, new(*state.Error)) {
			return false, err
		}
		if err != nil && firstErr == nil {
			firstErr = err
		}
		if err := a.evict(ctx); err != nil {
			return false, err
		}
	}
	if len(ids) == 0 {
		return false, nil
	}
	return len(ids) == most, firstError(a.db.Commit(ctx), firstErr)
}

// kept returns all findings that are there, the worst first: those that last, and then
// those that are true now. partly says that not all of these could be found.
func (a *Auditor) kept(ctx context.Context, partly bool, now []Finding) ([]Finding, error) {
	replay, err := a.db.Replay(ctx)
	if err != nil {
		return nil, err
	}
	is := map[tuf.Digest]bool{}
	for i := range now {
		is[now[i].digest()] = true
	}
	list, lives := []Finding{}, map[tuf.Digest]*Lived{}
	err = a.db.Findings(ctx, false, func(f state.Finding) error {
		found, err := FindingOf(f, replay)
		lives[f.Sum] = found.Lived
		if f.Scope == state.Lasting || f.Scope == state.Outside || partly && !is[f.Sum] && f.Scope == state.Present {
			list = append(list, found)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, f := range slices.Concat(a.unkept, now) {
		sum := f.digest()
		switch f.Lived = lives[sum]; {
		case !is[sum] && f.Lived != nil:
			continue // it was lost with the state, and found again
		case f.Lived == nil:
			f.Lived = &Lived{ID: sum.String(), Time: a.cfg.Now().Unix(), Last: a.cfg.Now().Unix(), New: true}
		}
		list = append(list, f)
	}
	slices.SortStableFunc(list, func(x, y Finding) int { return cmp.Compare(x.Class.rank(), y.Class.rank()) })
	return list, nil
}

// allSuppressed lists what was not kept.
func (a *Auditor) allSuppressed(ctx context.Context) ([]Suppressed, error) {
	_, list := a.unjudgedFindings()
	kept, err := a.db.Suppressed(ctx)
	for _, s := range kept {
		list = append(list, Suppressed{Kind(s.Kind), s.Repository, s.Count})
	}
	if n := len(a.lost) - a.maxPerKind; n > 0 {
		list = append(list, Suppressed{Kind: TileMissing, Count: int64(n)})
	}
	slices.SortFunc(list, func(x, y Suppressed) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), bytes.Compare(x.Repository[:], y.Repository[:]))
	})
	return list, err
}
