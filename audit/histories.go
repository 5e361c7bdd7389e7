package audit

import (
	"cmp"
	"context"
	"slices"
	"sort"

	"github.com/tuflog/tuflog/audit/history"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Histories returns the histories of the repositories whose id, in lower-case hex, begins
// with a prefix, as far as they have been judged, sorted by id. They are not safe for use
// beside a Step.
func (a *Auditor) Histories(ctx context.Context, prefix string) ([]*history.History, error) {
	seen, err := a.sightings(ctx)
	if err != nil {
		return nil, err
	}
	var found []*history.History
	var ids []tuf.Digest
	err = a.db.Repositories(ctx, prefix, func(known state.Repository) error {
		ids = append(ids, known.ID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		repo, err := a.whole(ctx, id)
		if err != nil {
			return nil, err
		}
		found = append(found, &history.History{Records: repo.Records(), Blobs: stepBlobs{a}, Seen: seen.of})
	}
	slices.SortFunc(found, func(x, y *history.History) int { return cmp.Compare(x.ID().String(), y.ID().String()) })
	return found, nil
}

// sighting is when a quorum of witnesses cosigned a tree.
type sighting struct {
	size int64
	// first is the POSIX second by which a quorum had cosigned it, last the one since which a
	// quorum has: one witness with a wrong clock moves neither, unless it is a quorum.
	first, last int64
}

// sightings are in the order of size. Of each, first is the smallest of itself and of all
// after it, last the largest of itself and of all before it.
type sightings []sighting

// sightings reads the cosignatures of the notes that are kept, and of the verified checkpoint.
func (a *Auditor) sightings(ctx context.Context) (sightings, error) {
	var list sightings
	add := func(c *proofs.SignedCheckpoint) {
		if s, ok := a.sighting(c); ok {
			list = append(list, s)
		}
	}
	err := a.db.AllNotes(ctx, func(note []byte) error {
		if c, _ := a.cfg.Policy.OpenCheckpoint(note); c != nil && a.isOf(c) {
			add(c)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if a.verified != nil {
		add(a.verified)
	}
	slices.SortFunc(list, func(x, y sighting) int { return cmp.Compare(x.size, y.size) })
	for i := 1; i < len(list); i++ {
		list[i].last = max(list[i].last, list[i-1].last)
		j := len(list) - 1 - i
		list[j].first = min(list[j].first, list[j+1].first)
	}
	return list, nil
}

// sighting returns when a quorum cosigned a checkpoint; false: it is not known.
func (a *Auditor) sighting(c *proofs.SignedCheckpoint) (sighting, bool) {
	latest := a.cfg.Now().Add(maxClock).Unix() // what is later has not happened
	cosigs := slices.DeleteFunc(slices.Clone(c.Cosignatures), func(x proofs.Cosignature) bool { return x.Time <= 0 || x.Time > latest })
	slices.SortFunc(cosigs, func(x, y proofs.Cosignature) int { return cmp.Compare(x.Time, y.Time) })
	first, ok := a.quorumTime(cosigs)
	slices.Reverse(cosigs)
	last, _ := a.quorumTime(cosigs)
	return sighting{c.Tree.N, first, last}, ok
}

// quorumTime returns the time of the first cosignature with which those before it are a
// quorum.
func (a *Auditor) quorumTime(cosigs []proofs.Cosignature) (int64, bool) {
	have := map[string]bool{}
	for _, cosig := range cosigs {
		have[cosig.Witness] = true
		if a.cfg.Policy.Satisfied(func(witness string) bool { return have[witness] }) == nil {
			return cosig.Time, true
		}
	}
	return 0, false
}

// of is history.History.Seen.
func (s sightings) of(index int64) (by, notYet int64) {
	at := sort.Search(len(s), func(i int) bool { return s[i].size > index })
	if at < len(s) {
		by = s[at].first
	}
	if at > 0 {
		notYet = s[at-1].last
	}
	return by, notYet
}

// State returns what lasts, to ask it questions.
func (a *Auditor) State() *state.DB { return a.db }

// Current returns the index of the release in force of a role; false: there is none, or the
// repository is being judged again. It is not safe for use beside a Step.
func (a *Auditor) Current(ctx context.Context, id tuf.Digest, role string) (index int64, ok bool, err error) {
	known, ok, err := a.db.Repository(ctx, id)
	if err != nil || !ok || known.Again {
		return 0, false, err
	}
	report, _, err := a.repositoryReport(ctx, id, known.Report)
	for _, r := range report.Roles {
		if r.Role == role && r.Index >= 0 {
			return r.Index, true, err
		}
	}
	return 0, false, err
}

// ReportOn is Report on some repositories alone: nothing is said of others but what was found
// of their leaves, no verdicts are counted, and Vouches is false.
func (a *Auditor) ReportOn(ctx context.Context, ids ...tuf.Digest) (*Report, error) {
	r := a.newReport()
	var firstErr error
	var present []Finding
	for _, id := range ids {
		known, ok, err := a.db.Repository(ctx, id)
		if err != nil {
			return r, err
		}
		if !ok {
			continue
		}
		report, found, err := a.repositoryReport(ctx, id, known.Report)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		r.Repositories = append(r.Repositories, report)
		present = append(present, found...)
	}
	err := a.db.Commit(ctx)
	if err == nil {
		r.Findings, err = a.kept(ctx, false, append(present, a.passing...))
	}
	return r, firstError(err, firstErr)
}
