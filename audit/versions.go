package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/verify"
)

// This file is about versions of which several payloads are releases. The second may
// have become one because the first did not stand, or may be another role's. What
// stands changes with each root and each delegation, so it is asked again when one
// comes.

// maxSeveral is of how many versions of a repository it is asked what stands, after
// each leaf that may change it: of the last for which another payload was released.
const maxSeveral = 256

// noteSeveral notes that a version has several payloads.
func (r *repository) noteSeveral(index int64, leaf verify.Leaf) []Finding {
	at := roleVersion{leaf.Role, leaf.Version}
	r.several = append(slices.DeleteFunc(r.several, func(other roleVersion) bool { return other == at }), at)
	if len(r.several) <= maxSeveral {
		return nil
	}
	gone := r.several[0]
	r.several = r.several[1:]
	return []Finding{aboutLeaf(TwoPayloads, index, verify.Leaf{Repository: r.ID(), Role: gone.role, Version: gone.version},
		"%s %d has several payloads, and so have the %d versions for which another payload was released last: which of its payloads stand is not asked any more",
		plain(gone.role), gone.version, maxSeveral)}
}

// lookAtDue asks what stands since the last leaf that was applied.
func (a *Auditor) lookAtDue() error {
	l := a.due
	if l == nil {
		return nil
	}
	err := a.standing(l)
	var bad *badBlob
	if errors.As(err, &bad) {
		f := aboutLeaf(bad.kind, l.index, l.leaf, "which payloads stand since leaf %d (%s %d) cannot be said: %s", l.index, plain(l.leaf.Role), l.leaf.Version, bad.detail)
		if f.Class == Tampering {
			a.record(f)
			a.blindOf(l.leaf.Repository).add(l.index, bad.sum, nil, a.maxPerKind)
		} else {
			a.blindOf(l.leaf.Repository).add(l.index, bad.sum, &f, a.maxPerKind)
		}
		err = nil
	}
	if err == nil {
		a.due = nil
	}
	return err
}

// standing records which versions have several payloads that stand since a leaf was
// applied.
func (a *Auditor) standing(l *loaded) error {
	repo := a.repos[l.leaf.Repository]
	if repo == nil || l.leaf.Kind != verify.Release || len(repo.several) == 0 {
		return nil
	}
	own := roleVersion{l.leaf.Role, l.leaf.Version}
	ask := []roleVersion{}
	for _, at := range repo.several {
		// A root changes the keys of targets, and so whose delegations count;
		// targets metadata changes delegations.
		if l.leaf.Role == verify.RoleRoot || at == own || l.metadata.Targets != nil && !verify.IsTopLevel(at.role) {
			ask = append(ask, at)
		}
	}
	for _, at := range ask {
		together, err := repo.Together(at.role, at.version)
		if err != nil {
			return err
		}
		if err := a.recordTogether(l, repo, at, together, at == own); err != nil {
			return err
		}
	}
	return nil
}

// recordTogether records that several payloads of a version stand, if they do, once
// and once more when there are bound ones. Where they do not, it is a finding of its
// own that the version has come twice, if it has just done so.
func (a *Auditor) recordTogether(l *loaded, repo *repository, at roleVersion, together []verify.Record, own bool) error {
	leaf := verify.Leaf{Repository: repo.ID(), Role: at.role, Version: at.version}
	if len(together) == 0 {
		if own && repo.prior >= 0 {
			a.record(aboutLeaf(VersionReused, l.index, leaf, "%s %d is released with another payload than at index %d, which does not stand any more", plain(at.role), at.version, repo.prior))
		}
		return nil
	}
	bound := slices.DeleteFunc(slices.Clone(together), func(r verify.Record) bool { return !r.Leaf.Bound() })
	known, found := repo.together[at]
	if len(bound) > 1 {
		if !known {
			f, err := a.bothStand(l, repo, leaf, bound)
			if err != nil {
				return err
			}
			a.record(f)
			repo.together[at] = true
		}
		return nil
	}
	if found {
		return nil
	}
	var parts []string
	for _, rec := range together {
		part := fmt.Sprintf("index %d", rec.Index)
		role, err := repo.MayBe(rec)
		switch {
		case err != nil:
			return err
		case rec.Leaf.Bound():
			part += " (listed by its hash)"
		case role != "":
			part += " (it may be " + plain(role) + "'s)"
		}
		if parts = append(parts, part); len(parts) == maxListed {
			break
		}
	}
	list := strings.Join(parts, ", ")
	if more := len(together) - len(parts); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	a.record(aboutLeaf(TwoPayloads, l.index, leaf, "%s %d is released with %d payloads that all stand since leaf %d: %s. They are not all listed by their hashes, so devices may install any of them",
		plain(at.role), at.version, len(together), l.index, list))
	repo.together[at] = false
	return nil
}

// bothStand words the equivocation of two releases that are bound by their hashes and
// stand at one place.
func (a *Auditor) bothStand(l *loaded, repo *repository, leaf verify.Leaf, bound []verify.Record) (Finding, error) {
	first, second := bound[0], bound[1]
	f := aboutLeaf(BothStand, l.index, leaf, "%s %d is signed with two payloads, each listed by its hash: the releases at index %d and %d both stand since leaf %d, and devices may install either",
		plain(leaf.Role), leaf.Version, first.Index, second.Index, l.index)
	root, err := repo.Root()
	if err != nil {
		return Finding{}, err
	}
	for _, rec := range []verify.Record{first, second} {
		f.Evidence = append(f.Evidence, a.leafEvidence(rec.Index, rec.Leaf.Marshal()))
		m, err := a.earlier(rec.Index)
		if err != nil {
			return Finding{}, err
		}
		f.Evidence = append(f.Evidence, evidenceFile(fmt.Sprintf("%d.json", rec.Index), m.File))
		if rec.Leaf.Snapshot.IsZero() {
			continue
		}
		s, err := a.file(a.ctx, "its snapshot", rec.Leaf.Snapshot, rec.Leaf.Encoding)
		if err != nil {
			return Finding{}, err
		}
		f.Evidence = append(f.Evidence, evidenceFile(fmt.Sprintf("%d.snapshot.json", rec.Index), s.File))
	}
	f.Evidence = append(f.Evidence, evidenceFile("root.json", root.File))
	return f, nil
}
