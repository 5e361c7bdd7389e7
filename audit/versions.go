package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// This file is about versions of which several payloads are releases. The second may
// have become one because the first did not stand, or may be another role's. What
// stands changes with each root and each delegation, so it is asked again when one
// comes.

// maxSeveral is of how many versions of a repository it is asked what stands, after
// each leaf that may change it: of the last for which another payload was released.
const maxSeveral = 256

// What asking may cost in a repository: as many bytes of files as allowed, and so many
// for each byte that was logged. A vendor's key can be made such that each file has to
// be read again for each root.
const (
	standingAllowed = 64 << 20
	standingPerByte = 16
)

// several is a version of which several payloads are releases.
type several struct {
	roleVersion
	size int64 // bytes of the files of its releases
}

// noteRelease notes the size of a release. before is the last one of its version; size
// 0: there is none.
func (r *repository) noteRelease(index int64, leaf leaf.Leaf, before released) []Finding {
	r.logged += leaf.Size
	at := roleVersion{leaf.Role, leaf.Version}
	known := slices.IndexFunc(r.several, func(s several) bool { return s.roleVersion == at })
	switch {
	case known < 0 && (before.size == 0 || before.payload == leaf.Payload):
		return nil
	case known < 0:
		r.several = append(r.several, several{at, before.size + leaf.Size})
	default:
		s := r.several[known]
		s.size += leaf.Size
		r.several = append(slices.Delete(r.several, known, known+1), s)
	}
	if len(r.several) <= maxSeveral {
		return nil
	}
	r.several = slices.Delete(r.several, 0, 1)
	return []Finding{r.notAsked(index, leaf)}
}

// notAsked says that it is not asked of all versions what stands.
func (r *repository) notAsked(index int64, logged leaf.Leaf) Finding {
	return aboutLeaf(TwoPayloads, index, leaf.Leaf{Repository: r.ID(), Role: logged.Role, Version: logged.Version},
		"too many versions have several payloads, or change their standing payload too often: it is no longer checked for all of them which payloads stand")
}

// lookAtDue asks what stands since the last leaf that was applied.
func (a *Auditor) lookAtDue(ctx context.Context) error {
	l := a.due
	if l == nil {
		return nil
	}
	err := a.standing(ctx, l)
	if err == nil {
		err = a.lookAtChanges(ctx, l)
	}
	var bad *badBlob
	if errors.As(err, &bad) {
		f := aboutLeaf(bad.kind, l.index, l.leaf, "what changed with leaf %d (%s %d) cannot be determined: %s", l.index, tuf.Word(l.leaf.Role), l.leaf.Version, bad.detail)
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
func (a *Auditor) standing(ctx context.Context, l *loaded) error {
	repo, err := a.repository(ctx, l.leaf.Repository)
	if err != nil {
		return err
	}
	if repo == nil || l.leaf.Kind != leaf.Release || len(repo.several) == 0 {
		return nil
	}
	own := roleVersion{l.leaf.Role, l.leaf.Version}
	redelegates := l.metadata.Targets != nil && repo.redelegates
	for _, at := range slices.Backward(repo.several) { // the last first, which may be the leaf's
		// A root changes the keys of targets, and so whose delegations count.
		if l.leaf.Role != tuf.RoleRoot && at.roleVersion != own && (!redelegates || tuf.IsTopLevel(at.role)) {
			continue
		}
		if repo.asked+at.size > a.standingAllowed+a.standingPerByte*repo.logged {
			a.record(repo.notAsked(-1, leaf.Leaf{}))
			return nil
		}
		repo.asked += at.size
		repo.fact("asked", repo.asked)
		together, err := repo.Together(ctx, at.role, at.version)
		if err != nil {
			return err
		}
		if err := a.recordTogether(ctx, l, repo, at.roleVersion, together, at.roleVersion == own); err != nil {
			return err
		}
	}
	return nil
}

// recordTogether records that several payloads of a version stand, if they do, once
// and once more when there are bound ones. Where they do not, it is a finding of its
// own that the version has come twice, if it has just done so.
func (a *Auditor) recordTogether(ctx context.Context, l *loaded, repo *repository, at roleVersion, together []admit.Record, own bool) error {
	leaf := leaf.Leaf{Repository: repo.ID(), Role: at.role, Version: at.version}
	if len(together) == 0 {
		if own && repo.prior >= 0 {
			a.record(aboutLeaf(VersionReused, l.index, leaf, "%s %d is released with another payload than at index %d, which no longer stands", tuf.Word(at.role), at.version, repo.prior))
		}
		return nil
	}
	bound := slices.DeleteFunc(slices.Clone(together), func(r admit.Record) bool { return !r.Leaf.Bound() })
	known, found := repo.together[at]
	if len(bound) > 1 {
		if !known {
			f, err := a.bothStand(ctx, l, repo, leaf, bound)
			if err != nil {
				return err
			}
			a.record(f)
			repo.stand(at, true)
		}
		return nil
	}
	if found {
		return nil
	}
	var parts []string
	for _, rec := range together {
		part := fmt.Sprintf("index %d", rec.Index)
		role, err := repo.MayBe(ctx, rec)
		switch {
		case err != nil:
			return err
		case rec.Leaf.Bound():
			part += " (listed by its hash)"
		case role != "":
			part += " (it may be " + tuf.Word(role) + "'s)"
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
		tuf.Word(at.role), at.version, len(together), l.index, list))
	repo.stand(at, false)
	return nil
}

// stand notes that several payloads of a version stand; bound: that those do which are
// listed by their hashes.
func (r *repository) stand(at roleVersion, bound bool) {
	r.together[at] = bound
	r.fact(factOf(fmt.Sprintf("together/%d", at.version), at.role), bound)
}

// bothStand words the equivocation of two releases that are bound by their hashes and
// stand at one place.
func (a *Auditor) bothStand(ctx context.Context, l *loaded, repo *repository, leaf leaf.Leaf, bound []admit.Record) (Finding, error) {
	first, second := bound[0], bound[1]
	f := aboutLeaf(BothStand, l.index, leaf, "%s %d is signed with two payloads, each listed by its hash: the releases at index %d and %d both stand since leaf %d, and devices may install either",
		tuf.Word(leaf.Role), leaf.Version, first.Index, second.Index, l.index)
	root, err := repo.Root(ctx)
	if err != nil {
		return Finding{}, err
	}
	if a.accuseKeys(ctx, &f, repo, first.Index, second.Index, l) {
		return f, nil
	}
	for _, rec := range []admit.Record{first, second} {
		f.Evidence = append(f.Evidence, a.leafEvidence(ctx, rec.Index, rec.Leaf.Marshal()))
		m, err := a.earlier(ctx, rec.Index)
		if err != nil {
			return Finding{}, err
		}
		f.Evidence = append(f.Evidence, metadataFile(fmt.Sprint(rec.Index), m))
		if rec.Leaf.Snapshot.IsZero() {
			continue
		}
		s, err := a.file(ctx, "its snapshot", rec.Leaf.Snapshot, rec.Leaf.Encoding)
		if err != nil {
			return Finding{}, err
		}
		f.Evidence = append(f.Evidence, evidenceFile(fmt.Sprintf("%d.snapshot.json", rec.Index), s.File))
	}
	f.Evidence = append(f.Evidence, metadataFile("root", root))
	return f, nil
}
