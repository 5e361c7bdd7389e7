package admit

import (
	"context"
	"unicode/utf8"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Decision is the result for a file that is not refused.
type Decision struct {
	// Leaf is the leaf to append; if Logged, the leaf that is there already.
	Leaf leaf.Leaf
	// Logged reports whether the log has the statement already, at Index, so
	// that no leaf is to be appended. The leaf there has the file's payload, or
	// is the evidence of an equivocation about this role and version.
	Logged bool
	Index  int64
}

// Blobs returns the files that leaves name.
type Blobs interface {
	// Blob returns the file with this SHA-256. Callers do not change it.
	Blob(ctx context.Context, sum tuf.Digest) ([]byte, error)
}

// JudgeGenesis judges the first root of a repository: it must meet its own
// threshold. The root's payload identifies the repository.
func JudgeGenesis(root *tuf.Metadata) (Decision, error) {
	if root.Root == nil {
		return Decision{}, refused(RefusedWrongType, "a repository begins with a root, not with %q metadata", root.Type)
	}
	if err := root.Meets(root.Root.KeySet(tuf.RoleRoot)); err != nil {
		return Decision{}, refused(RefusedThreshold, "root %d does not meet its own threshold: %v", root.Version, err)
	}
	if why := root.UnsignedFor(root.Root.KeySet(tuf.RoleRoot)); why != "" {
		return Decision{}, refused(RefusedMalformed, "root %d: %s", root.Version, why)
	}
	return Decision{Leaf: leafOf(leaf.Release, root.PayloadDigest, tuf.RoleRoot, root)}, nil
}

func leafOf(kind leaf.Kind, repository tuf.Digest, role string, m *tuf.Metadata) leaf.Leaf {
	return leaf.Leaf{
		Kind:       kind,
		Repository: repository,
		Role:       role,
		Version:    m.Version,
		Payload:    m.PayloadDigest,
		Metadata:   m.FileDigest,
		Size:       int64(len(m.File)),
		Encoding:   m.Encoding,
	}
}

// Judge judges the file m, submitted as role's beside snapshots. It does not
// change r. The error is a *Refused, or means that the repository's own blobs
// could not be read.
func (r *Repository) Judge(ctx context.Context, role string, m *tuf.Metadata, snapshots []*tuf.Metadata) (Decision, error) {
	if m.Encoding != r.encoding {
		return Decision{}, refused(RefusedEncoding, "the file is %s, the repository is %s", m.Encoding, r.encoding)
	}
	if m.Type != tuf.TypeOf(role) {
		return Decision{}, refused(RefusedWrongType, "the file says it is %q, which role %q cannot be", m.Type, role)
	}
	leaf := leafOf(leaf.Release, r.id, role, m)
	if why := tuf.BadRoleName(role); why != "" {
		return Decision{}, refused(RefusedRoleName, "the log takes no metadata of a role %s", why)
	}
	if !utf8.ValidString(role) {
		return Decision{}, refused(RefusedRoleName, "the role's name, %q, is not UTF-8", tuf.Clip(role))
	}
	logged, isLogged := r.byPayload[rolePayload{role, m.PayloadDigest}]
	if role == tuf.RoleRoot {
		if isLogged {
			return r.already(logged), nil
		}
		return r.judgeRoot(ctx, leaf, m)
	}
	j := &judgement{r: r, m: m, leaf: leaf, lists: listingOf(m)}
	decision, err := j.decide(ctx, snapshots)
	// Logged payloads stay logged, even if the keys have changed.
	if isLogged && IsRefused(err) {
		return r.already(j.settled(logged)), nil
	}
	return decision, err
}

func (r *Repository) already(position int) Decision {
	rec := r.records[position]
	return Decision{Leaf: rec.Leaf, Logged: true, Index: rec.Index}
}

// judgeRoot judges a root whose payload is not logged.
func (r *Repository) judgeRoot(ctx context.Context, leaf leaf.Leaf, m *tuf.Metadata) (Decision, error) {
	parent, ok := r.parentOf(m.Version)
	if !ok {
		if r.encoding == tuf.Pigweed {
			return Decision{}, refused(RefusedNoParent, "no root below root %d is logged in this repository (logged: %d to %d)",
				m.Version, r.records[0].Leaf.Version, r.records[r.root].Leaf.Version)
		}
		return Decision{}, refused(RefusedNoParent, "root %d chains to root %d, which is not logged in this repository (logged: %d to %d)",
			m.Version, m.Version-1, r.records[0].Leaf.Version, r.records[r.root].Leaf.Version)
	}
	before, err := r.rootFile(ctx, parent)
	if err != nil {
		return Decision{}, err
	}
	if err := m.Meets(before.Root.KeySet(tuf.RoleRoot)); err != nil {
		return Decision{}, refused(RefusedThreshold, "root %d does not meet the threshold of root %d: %v", m.Version, before.Version, err)
	}
	if err := m.Meets(m.Root.KeySet(tuf.RoleRoot)); err != nil {
		return Decision{}, refused(RefusedThreshold, "root %d does not meet its own threshold: %v", m.Version, err)
	}
	if why := m.UnsignedFor(before.Root.KeySet(tuf.RoleRoot), m.Root.KeySet(tuf.RoleRoot)); why != "" {
		return Decision{}, refused(RefusedMalformed, "root %d: %s", m.Version, why)
	}
	// Roots always stand: a second payload of a version is evidence whatever has
	// happened since.
	if rivals := r.rivals(leaf); len(rivals) > 0 {
		return r.contradiction(leaf, rivals[0]), nil
	}
	return Decision{Leaf: leaf}, nil
}

// parentOf returns the position of the root that root version v must chain to.
// Pigweed does not climb version by version.
func (r *Repository) parentOf(v int64) (int, bool) {
	if r.encoding == tuf.JSON {
		position, ok := r.roots[v-1]
		return position, ok
	}
	best, found := 0, false
	for version, position := range r.roots {
		if version < v && (!found || version > r.records[best].Leaf.Version) {
			best, found = position, true
		}
	}
	return best, found
}

// tooFew words the refusal of a file that falls short of the role's threshold,
// and tells a file signed by superseded keys from one that never had enough.
func (r *Repository) tooFew(ctx context.Context, role string, m *tuf.Metadata, short error) error {
	if tuf.IsTopLevel(role) {
		version, err := r.superseded(ctx, role, m)
		if err != nil {
			return err
		}
		if version != 0 {
			return refused(RefusedSuperseded, "%s %d is signed only by keys that root %d gave the role and root %d no longer does",
				role, m.Version, version, r.records[r.root].Leaf.Version)
		}
	}
	return refused(RefusedThreshold, "%s %d: %v", role, m.Version, short)
}
