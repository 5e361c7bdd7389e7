package verify

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// This file judges what may enter the log. The judgement is a function of the
// log's prefix and its blobs, so that anyone can replay it: the log asks it
// before it appends, an auditor asks it again for every leaf.

// Top-level roles of TUF. Their names cannot be delegated.
const (
	RoleRoot      = "root"
	RoleTargets   = "targets"
	RoleSnapshot  = "snapshot"
	RoleTimestamp = "timestamp"
)

// IsTopLevel reports whether role is one of the four roles that root names.
func IsTopLevel(role string) bool {
	switch role {
	case RoleRoot, RoleTargets, RoleSnapshot, RoleTimestamp:
		return true
	}
	return false
}

// typeOf is the `_type` that metadata of a role carries.
func typeOf(role string) string {
	if IsTopLevel(role) {
		return role
	}
	return RoleTargets
}

// Reasons why a file is not admitted, as stable words.
const (
	RefusedMalformed      = "malformed"       // the file does not parse strictly
	RefusedWrongType      = "wrong-type"      // its _type is not the role's
	RefusedEncoding       = "encoding"        // its encoding is not the repository's
	RefusedThreshold      = "threshold"       // too few keys of the role signed it
	RefusedSuperseded     = "superseded"      // only keys that the role no longer has signed it
	RefusedNoParent       = "no-parent"       // a root for which the root before it is not logged
	RefusedNotDelegated   = "not-delegated"   // nobody delegates to the role
	RefusedSnapshotNeeded = "snapshot-needed" // no valid snapshot beside it lists it
	RefusedOtherRole      = "other-role"      // the payload is logged as another role's
	RefusedRoleName       = "role-name"       // the role's name is empty, not UTF-8, has a NUL or is too long
)

// Refused is why a file is not admitted.
type Refused struct {
	Code   string // one of the Refused… constants
	Detail string // a sentence with the value that was wrong
}

func (r *Refused) Error() string { return r.Code + ": " + r.Detail }

func refused(code, format string, args ...any) error {
	return &Refused{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Decision is what becomes of a file that is not refused.
type Decision struct {
	// Leaf is what to append; when Logged, the leaf that is there already.
	Leaf Leaf
	// Logged: nothing is to be appended, the log says it already at Index. The
	// leaf there has the file's payload, or is the evidence that this role and
	// version has been equivocated about.
	Logged bool
	Index  int64
}

// Blobs gives back the files that leaves name.
type Blobs interface {
	// Blob returns the file with this SHA-256. Callers do not change it.
	Blob(sum Digest) ([]byte, error)
}

// JudgeGenesis judges the first root of a repository: it must meet its own
// threshold. The repository is named by the root's payload.
func JudgeGenesis(root *Metadata) (Decision, error) {
	if root.Root == nil {
		return Decision{}, refused(RefusedWrongType, "a repository begins with a root, not with %q metadata", root.Type)
	}
	if err := root.Meets(root.Root.KeySet(RoleRoot)); err != nil {
		return Decision{}, refused(RefusedThreshold, "root %d does not meet its own threshold: %v", root.Version, err)
	}
	return Decision{Leaf: leafOf(Release, root.PayloadDigest, RoleRoot, root)}, nil
}

func leafOf(kind LeafKind, repository Digest, role string, m *Metadata) Leaf {
	return Leaf{
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

// Judge says what becomes of the file m, submitted as role's beside snapshots.
// It changes nothing. The error is a *Refused, or says that the repository's own
// blobs could not be read.
func (r *Repository) Judge(role string, m *Metadata, snapshots []*Metadata) (Decision, error) {
	if m.Encoding != r.encoding {
		return Decision{}, refused(RefusedEncoding, "the file is %s, the repository is %s", m.Encoding, r.encoding)
	}
	if m.Type != typeOf(role) {
		return Decision{}, refused(RefusedWrongType, "the file says it is %q, which role %q cannot be", m.Type, role)
	}
	leaf := leafOf(Release, r.id, role, m)
	if why := badRoleName(role); why != "" {
		return Decision{}, refused(RefusedRoleName, "the log takes no metadata of a role %s", why)
	}
	if !utf8.ValidString(role) {
		return Decision{}, refused(RefusedRoleName, "the role's name, %q, is not UTF-8", clip(role))
	}
	logged, isLogged := r.byPayload[rolePayload{role, m.PayloadDigest}]
	if role == RoleRoot {
		if isLogged {
			return r.already(logged), nil
		}
		return r.judgeRoot(leaf, m)
	}

	keys, err := r.KeysOf(role)
	if err != nil && !IsRefused(err) {
		return Decision{}, err
	}
	if isLogged {
		if err != nil { // the role has no keys: nobody can have signed again
			return r.already(logged), nil
		}
		again, err := r.signedAgain(logged, m, keys)
		if err != nil {
			return Decision{}, err
		}
		if !again {
			return r.already(logged), nil
		}
	}
	if err != nil {
		return Decision{}, err
	}
	if short := m.Meets(keys); short != nil {
		return Decision{}, r.tooFew(role, m, short)
	}
	if m.Type == RoleTargets && m.Encoding == JSON {
		leaf.Snapshot, err = r.vouching(role, m, snapshots)
	} else if other, ok := r.otherRole(role, m.PayloadDigest); ok {
		err = refused(RefusedOtherRole, "this payload is logged as role %q at index %d", other.Leaf.Role, other.Index)
	}
	if err != nil {
		return Decision{}, err
	}
	asked := ask(keys)
	r.signed.judged(m, asked)
	return r.releaseOrEvidence(leaf, asked)
}

func (r *Repository) already(position int) Decision {
	rec := r.records[position]
	return Decision{Leaf: rec.Leaf, Logged: true, Index: rec.Index}
}

// judgeRoot judges a root whose payload is not logged. Roots always stand, so a
// second payload for a version is evidence whatever has happened since.
func (r *Repository) judgeRoot(leaf Leaf, m *Metadata) (Decision, error) {
	parent, ok := r.parentOf(m.Version)
	if !ok {
		return Decision{}, refused(RefusedNoParent, "root %d chains to root %d, which is not logged in this repository (logged: %d to %d)",
			m.Version, m.Version-1, r.records[0].Leaf.Version, r.records[r.root].Leaf.Version)
	}
	before, err := r.rootFile(parent)
	if err != nil {
		return Decision{}, err
	}
	if err := m.Meets(before.Root.KeySet(RoleRoot)); err != nil {
		return Decision{}, refused(RefusedThreshold, "root %d does not meet the threshold of root %d: %v", m.Version, before.Version, err)
	}
	if err := m.Meets(m.Root.KeySet(RoleRoot)); err != nil {
		return Decision{}, refused(RefusedThreshold, "root %d does not meet its own threshold: %v", m.Version, err)
	}
	return r.releaseOrEvidence(leaf, question{})
}

// parentOf returns the position of the root that root version v must chain to.
// Pigweed does not climb version by version.
func (r *Repository) parentOf(v int64) (int, bool) {
	if r.encoding == JSON {
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

// signedAgain reports whether m is to be released although its payload is logged,
// in the files of which the last is given: a key that the role has now signed it
// and none of them, because the role's keys were rotated and the release signed
// again; or it meets the role's threshold, and none of them does any more. That is
// so where m has the signatures of several of them.
func (r *Repository) signedAgain(logged int, m *Metadata, keys KeySet) (bool, error) {
	signers := map[KeyIdentity]bool{}
	for _, id := range m.Signers(keys) {
		signers[id] = true
	}
	stands := keys.Role.Threshold < 1 || len(signers) < keys.Role.Threshold // or could not
	for position := logged; position != none && !(stands && len(signers) == 0); position = r.links[position].payload {
		if r.records[position].Leaf.Metadata == m.FileDigest {
			return false, nil // the very same file
		}
		earlier, err := r.read(position)
		if err != nil {
			return false, err
		}
		ids := earlier.Signers(keys)
		stands = stands || len(ids) >= keys.Role.Threshold
		for _, id := range ids {
			delete(signers, id)
		}
	}
	return !stands || len(signers) > 0, nil
}

// tooFew words the refusal of a file that falls short of the role's threshold,
// and tells a file signed by superseded keys from one that never had enough.
func (r *Repository) tooFew(role string, m *Metadata, short error) error {
	if IsTopLevel(role) {
		version, err := r.superseded(role, m)
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

// vouching returns the digest of the snapshot that says m is role's file: JSON
// targets metadata does not name its own role, so without this a public file
// could be passed off as another role's. A snapshot that lists a version and no
// hash does not tell two roles' files apart, so a payload that is logged as
// another role's needs one that lists its hash. (Hash bins that are empty share
// their payload.)
func (r *Repository) vouching(role string, m *Metadata, snapshots []*Metadata) (Digest, error) {
	root, err := r.Root()
	if err != nil {
		return Digest{}, err
	}
	keys := ask(root.Root.KeySet(RoleSnapshot))
	other, elsewhere := r.otherRole(role, m.PayloadDigest)
	why := "none was submitted with it"
	for _, s := range snapshots {
		if s.Snapshot == nil || s.Encoding != r.encoding {
			why = fmt.Sprintf("%q metadata is not one", s.Type)
			continue
		}
		listed, ok := s.Snapshot.Files[role+".json"]
		if !ok {
			why = fmt.Sprintf("snapshot %d does not list %s.json", s.Version, role)
			continue
		}
		if elsewhere && listed.Hashes == nil {
			why = fmt.Sprintf("snapshot %d lists %s.json without a hash, which would tell them apart", s.Version, role)
			continue
		}
		if listed.Version != m.Version {
			why = fmt.Sprintf("snapshot %d lists version %d", s.Version, listed.Version)
			continue
		}
		// Signatures come before hashes: who cannot sign a snapshot cannot have
		// a large file hashed once for every snapshot beside it.
		if !r.meets(s, keys) {
			why = fmt.Sprintf("too few keys of the role have signed snapshot %d", s.Version)
			continue
		}
		if err := listed.describes(m); err != nil {
			why = fmt.Sprintf("snapshot %d lists another file: %v", s.Version, err)
			continue
		}
		return s.FileDigest, nil
	}
	if elsewhere {
		return Digest{}, refused(RefusedOtherRole, "this payload is logged as role %q at index %d, and no snapshot beside it lists its hash as %s.json: %s",
			other.Leaf.Role, other.Index, role, why)
	}
	return Digest{}, refused(RefusedSnapshotNeeded, "%s %d counts only beside a snapshot that is validly signed and lists it: %s", role, m.Version, why)
}

// releaseOrEvidence decides between the two kinds of leaf: where another payload
// of the version stands, the file is evidence, once per role and version.
func (r *Repository) releaseOrEvidence(leaf Leaf, keys question) (Decision, error) {
	version := roleVersion{leaf.Role, leaf.Version}
	contradicted := none // the first release that stands
	for position := lastOf(r.byVersion, version); position != none; position = r.links[position].version {
		other := r.records[position].Leaf
		if other.Kind != Release || other.Payload == leaf.Payload {
			continue
		}
		stands, err := r.stands(position, keys)
		if err != nil {
			return Decision{}, err
		}
		if stands {
			contradicted = position
		}
	}
	if contradicted == none {
		return Decision{Leaf: leaf}, nil
	}
	if evidence, ok := r.evidence[version]; ok {
		return r.already(evidence), nil
	}
	leaf.Kind, leaf.Contradicts = Evidence, r.records[contradicted].Index
	return Decision{Leaf: leaf}, nil
}

// IsRefused reports whether err is a verdict on the file rather than trouble
// with the repository's own state.
func IsRefused(err error) bool {
	var r *Refused
	return errors.As(err, &r)
}
