package audit

import (
	"context"
	"maps"
	"slices"

	"github.com/tuflog/tuflog/tuf"
)

// SetMaxPerKind changes how many findings of a kind are kept of a repository.
func (a *Auditor) SetMaxPerKind(n int) { a.maxPerKind = n }

// SetStanding changes what asking which payloads stand may cost in a repository.
func (a *Auditor) SetStanding(allowed, perByte int64) {
	a.standingAllowed, a.standingPerByte = allowed, perByte
}

// SetLargeEvidence changes how many bytes of large evidence are kept.
func (a *Auditor) SetLargeEvidence(n int64) { a.largeAllowed = n }

// Mislead lets the auditor take keys for those that are likely to have signed a role.
func (a *Auditor) Mislead(repository tuf.Digest, role string, keys tuf.KeySet) {
	a.likely.learn(repository, role, keys)
}

// Notes returns the notes that are kept.
func (a *Auditor) Notes(ctx context.Context) (notes [][]byte, err error) {
	err = a.db.AllNotes(ctx, func(note []byte) error {
		notes = append(notes, note)
		return nil
	})
	return notes, err
}

// Kinds returns all kinds of findings, in the order of their names.
func Kinds() []Kind { return slices.Sorted(maps.Keys(classes)) }

// SetMaxInMemory changes how many bytes the repositories in memory take, and how many releases
// of a role are read of one.
func (a *Auditor) SetMaxInMemory(bytes, releases int) {
	a.maxInMemory, a.lastReleases = bytes, releases
}

// SetParts changes how many bundles make a part of a tree that grows, and how many there may be
// without a proof of one.
func (a *Auditor) SetParts(bundles int, unproved int64) {
	a.partBundles, a.maxUnproved = bundles, unproved
}

// InPart returns how many of the repositories in memory are not there as a whole.
func (a *Auditor) InPart() (n int) {
	for _, r := range a.repos {
		if r.floors != nil {
			n++
		}
	}
	return n
}
