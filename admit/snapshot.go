package admit

import (
	"context"
	"fmt"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// vouched finds the snapshot that says the file is the role's: JSON targets
// metadata does not name its own role, so without this a public file could be
// passed off as another role's. Of several one that lists its hash is taken: a
// version does not tell the files of roles that share keys apart.
func (j *judgement) vouched(ctx context.Context, snapshots []*tuf.Metadata) error {
	root, err := j.r.Root(ctx)
	if err != nil {
		return err
	}
	keys, role := j.r.keysOf(root, tuf.RoleSnapshot), j.leaf.Role
	why := "none was submitted with it"
	for _, s := range snapshots {
		listed, reason := j.r.lists(s, keys, role, j.m)
		if reason != "" {
			why = reason
			continue
		}
		if j.leaf.Listed == "" || listed == leaf.ByHash {
			j.leaf.Snapshot, j.leaf.Listed = s.FileDigest, listed
		}
		if listed == leaf.ByHash {
			break
		}
	}
	if j.leaf.Listed == "" {
		return refused(RefusedSnapshotNeeded, "%s %d counts only beside a snapshot that is validly signed and lists it: %s", role, j.m.Version, why)
	}
	return nil
}

// lists says how a snapshot lists the role's file m, or why it does not count.
func (r *Repository) lists(s *tuf.Metadata, keys tuf.KeySet, role string, m *tuf.Metadata) (leaf.Listing, string) {
	if s.Snapshot == nil || s.Encoding != r.encoding {
		return "", fmt.Sprintf("%q metadata is not one", s.Type)
	}
	listed, ok := s.Snapshot.File(role + ".json")
	switch {
	case !ok:
		return "", fmt.Sprintf("snapshot %d does not list %s.json", s.Version, role)
	case listed.Version != m.Version:
		return "", fmt.Sprintf("snapshot %d lists version %d", s.Version, listed.Version)
	// Signatures come before hashes: whoever cannot sign a snapshot cannot make
	// the log hash a large file once for every snapshot beside it.
	case !r.meets(s, keys):
		return "", fmt.Sprintf("too few keys of the role have signed snapshot %d", s.Version)
	}
	if err := listed.Describes(m); err != nil {
		return "", fmt.Sprintf("snapshot %d lists another file: %v", s.Version, err)
	}
	// It is kept beside the file.
	if why := s.UnsignedFor(keys); why != "" {
		return "", fmt.Sprintf("snapshot %d: %s", s.Version, why)
	}
	if listed.Hashes == nil {
		return leaf.ByVersion, ""
	}
	return leaf.ByHash, ""
}

// NeedsSnapshot reports whether a file of a role counts only beside a snapshot that lists
// it: targets metadata in JSON, of the top-level role or a delegated one.
func NeedsSnapshot(role string, m *tuf.Metadata) bool {
	return m.Targets != nil && m.Encoding == tuf.JSON && tuf.TypeOf(role) == tuf.RoleTargets
}
