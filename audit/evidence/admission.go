package evidence

import (
	"context"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// falseAdmission says why the rules cannot give the accused leaf. The error is an *Unproved
// if that does not follow from the file.
//
// Everything is compared with what an honest log would have signed: an honest log holds
// only entries that the rules gave, so other entries of the same tree may be relied on.
func (r *reader) falseAdmission(ctx context.Context, l leaf.Leaf) (string, error) {
	if why := r.byItself(l); why != "" {
		return why, nil
	}
	if why := r.byItsFiles(ctx, l); why != "" {
		return why, nil
	}
	if why := r.byOthers(ctx, l); why != "" {
		return why, nil
	}
	why, unproved := r.byRoot(ctx, l)
	if why != "" {
		return why, nil
	}
	if why := r.bySpan(ctx, l); why != "" {
		return why, nil
	}
	if unproved == nil {
		unproved = &Unproved{From: 0, To: r.index}
	}
	return "", unproved
}

// byItself looks at the leaf alone.
func (r *reader) byItself(l leaf.Leaf) string {
	targets := tuf.TypeOf(l.Role) == tuf.RoleTargets
	switch {
	case tuf.BadRoleName(l.Role) != "":
		return "it is of a role " + tuf.BadRoleName(l.Role)
	case l.Encoding == tuf.Pigweed && l.Role != tuf.RoleRoot && l.Role != tuf.RoleTargets:
		return "it is of a role that Pigweed does not have"
	case l.Encoding == tuf.Pigweed && !l.Snapshot.IsZero():
		return "it names a snapshot, although its file names its role itself"
	case targets && l.Encoding == tuf.JSON && l.Snapshot.IsZero():
		return "it does not name a snapshot that lists it"
	case !targets && !l.Snapshot.IsZero():
		return "it names a snapshot, although its file names its role itself"
	case l.Kind == leaf.Evidence && l.Contradicts >= r.index:
		return fmt.Sprintf("it says that it contradicts entry %d, which is not before it", l.Contradicts)
	}
	return ""
}

// byItsFiles compares the leaf with the files that it names. What they say by themselves is
// true whatever else the log holds.
func (r *reader) byItsFiles(ctx context.Context, l leaf.Leaf) string {
	file, ok := r.file(ctx, l.Metadata, l.Encoding)
	if ok {
		if why := ofFile(l, file); why != "" {
			return why
		}
	}
	if l.Snapshot.IsZero() {
		return ""
	}
	snapshot, there := r.file(ctx, l.Snapshot, l.Encoding)
	if !there {
		return ""
	}
	return ofSnapshot(l, snapshot, file.m)
}

func ofFile(l leaf.Leaf, file parsed) string {
	if file.err != nil {
		return fmt.Sprintf("its file does not parse: %v", file.err)
	}
	m := file.m
	switch {
	case m.Type != tuf.TypeOf(l.Role):
		return fmt.Sprintf("its file says that it is %s metadata", m.Type)
	case m.Version != l.Version:
		return fmt.Sprintf("its file has version %d", m.Version)
	case m.PayloadDigest != l.Payload:
		return fmt.Sprintf("its file has payload %v", m.PayloadDigest)
	case int64(len(m.File)) != l.Size:
		return fmt.Sprintf("its file has %d bytes, and the leaf says %d", len(m.File), l.Size)
	case len(m.Signatures) == 0:
		return "nobody signed its file"
	}
	if l.Role == tuf.RoleRoot {
		if err := m.Meets(m.Root.KeySet(tuf.RoleRoot)); err != nil {
			return fmt.Sprintf("root %d does not meet its own threshold: %v", m.Version, err)
		}
	}
	return ""
}

// ofSnapshot compares the leaf with its snapshot, and the snapshot with the file, if that
// is not nil.
func ofSnapshot(l leaf.Leaf, snapshot parsed, file *tuf.Metadata) string {
	if snapshot.err != nil {
		return fmt.Sprintf("its snapshot does not parse: %v", snapshot.err)
	}
	m := snapshot.m
	if m.Snapshot == nil {
		return fmt.Sprintf("its snapshot is %s metadata", m.Type)
	}
	listed, ok := m.Snapshot.File(l.Role + ".json")
	switch {
	case !ok:
		return "its snapshot does not list its role"
	case listed.Version != l.Version:
		return fmt.Sprintf("its snapshot lists version %d", listed.Version)
	case (listed.Hashes != nil) != (l.Listed == leaf.ByHash):
		return fmt.Sprintf("its snapshot does not list it by its %s", l.Listed)
	case len(m.Signatures) == 0:
		return "nobody signed its snapshot"
	}
	if file != nil {
		if err := listed.Describes(file); err != nil {
			return fmt.Sprintf("its snapshot lists another file: %v", err)
		}
	}
	return ""
}

// byOthers compares the leaf with single other entries of the log.
func (r *reader) byOthers(ctx context.Context, l leaf.Leaf) (why string) {
	if l.Kind == leaf.Evidence {
		if raw, ok := r.entries[l.Contradicts]; ok {
			o, err := leaf.Parse(raw)
			if err != nil || o.Kind != leaf.Release || o.Repository != l.Repository || o.Role != l.Role || o.Version != l.Version || o.Payload == l.Payload {
				return fmt.Sprintf("it says that it contradicts entry %d, which is not a release of this role and version with another payload", l.Contradicts)
			}
		}
	}
	if l.Role != tuf.RoleRoot || isGenesis(l) {
		return ""
	}
	r.each(l.Repository, func(index int64, o leaf.Leaf) bool {
		if o.Role != tuf.RoleRoot || o.Kind != leaf.Release {
			return true
		}
		switch {
		// Of one version of roots an honest log has one release, and the root that this one
		// has to be signed by is that of the version below.
		case o.Version == l.Version && l.Kind == leaf.Release && o.Payload != l.Payload && index < r.index:
			why = fmt.Sprintf("root %d is released with another payload at entry %d", l.Version, index)
		case l.Encoding == tuf.Pigweed: // which root this one follows a single entry does not say
		case o.Version == l.Version-1 && index > r.index:
			why = fmt.Sprintf("root %d is not before it, but at entry %d", o.Version, index)
		case o.Version == l.Version-1:
			why = r.byRootBelow(ctx, l, index, o)
		}
		return why == ""
	})
	return why
}

// byRootBelow says if the root does not meet the threshold of the one below it, which is o
// at an index.
func (r *reader) byRootBelow(ctx context.Context, l leaf.Leaf, index int64, o leaf.Leaf) string {
	below, file := r.rootOf(ctx, o), r.metadata(ctx, l)
	if below == nil || file == nil {
		return ""
	}
	if err := file.Meets(below.Root.KeySet(tuf.RoleRoot)); err != nil {
		return fmt.Sprintf("root %d does not meet the threshold of root %d, entry %d: %v", l.Version, o.Version, index, err)
	}
	return ""
}

// metadata returns the file of a leaf, nil if it is not there or not what the leaf says.
func (r *reader) metadata(ctx context.Context, l leaf.Leaf) *tuf.Metadata {
	p, ok := r.file(ctx, l.Metadata, l.Encoding)
	if !ok || p.err != nil || ofFile(l, p) != "" {
		return nil
	}
	return p.m
}

func (r *reader) rootOf(ctx context.Context, l leaf.Leaf) *tuf.Metadata {
	if m := r.metadata(ctx, l); m != nil && m.Root != nil {
		return m
	}
	return nil
}

// byRoot says if the leaf's file, or its snapshot, is not signed by enough of the keys that
// the root in force gave to its role. The Unproved names the entries that could hold a later
// root.
//
// The root that is in force for an entry is the released one of the highest version before
// it. An honest log releases roots version by version, and one of each. So it is a certain
// root if the file holds its entry, and either all entries from there to the accused one, or
// the entry of the next root, behind the accused one. Of Pigweed, whose roots may skip
// versions and come later than higher ones, only all entries of the repository say which root
// was in force: see bySpan.
func (r *reader) byRoot(ctx context.Context, l leaf.Leaf) (string, *Unproved) {
	if l.Role == tuf.RoleRoot || l.Encoding == tuf.Pigweed {
		return "", nil
	}
	at, inForce, next := int64(-1), leaf.Leaf{}, int64(-1)
	r.each(l.Repository, func(index int64, o leaf.Leaf) bool {
		switch {
		case o.Role != tuf.RoleRoot || o.Kind != leaf.Release || index == r.index:
		case index < r.index && o.Version > inForce.Version:
			at, inForce = index, o
		case index > r.index && at >= 0 && o.Version == inForce.Version+1:
			next = index
		}
		return true
	})
	if at < 0 {
		return "", nil
	}
	why := r.short(ctx, l, at, inForce)
	if why == "" {
		return "", nil
	}
	if next < 0 && !r.holds(at, r.index) {
		return "", &Unproved{From: at + 1, To: r.index}
	}
	return why, nil
}

// holds reports whether the file has all entries from one index to another.
func (r *reader) holds(from, to int64) bool {
	for _, s := range r.spans {
		if s.First <= from && to < s.End() {
			return true
		}
	}
	return false
}

// short says if the leaf's file or snapshot falls short of the threshold of a root.
func (r *reader) short(ctx context.Context, l leaf.Leaf, at int64, o leaf.Leaf) string {
	root := r.rootOf(ctx, o)
	if root == nil {
		return ""
	}
	force := fmt.Sprintf("root %d, which was in force since entry %d", o.Version, at)
	if tuf.IsTopLevel(l.Role) {
		if m := r.metadata(ctx, l); m != nil {
			if err := m.Meets(root.Root.KeySet(l.Role)); err != nil {
				return fmt.Sprintf("it does not meet the threshold of %s: %v", force, err)
			}
		}
	}
	if l.Snapshot.IsZero() {
		return ""
	}
	if s, ok := r.file(ctx, l.Snapshot, l.Encoding); ok && s.err == nil {
		if err := s.m.Meets(root.Root.KeySet(tuf.RoleSnapshot)); err != nil {
			return fmt.Sprintf("its snapshot does not meet the threshold of %s: %v", force, err)
		}
	}
	return ""
}

// bySpan judges the leaf by the rules, if the file holds all entries from the first of its
// repository on, or from entry 0. An honest log has judged those before it by the same
// rules.
func (r *reader) bySpan(ctx context.Context, l leaf.Leaf) (why string) {
	var repo *admit.Repository
	var broken error
	from := int64(-1)
	r.each(l.Repository, func(index int64, o leaf.Leaf) bool {
		switch {
		case index >= r.index:
			return false
		case repo != nil:
			broken = repo.Apply(index, o)
		case isGenesis(o):
			from = index
			repo, broken = admit.NewRepository(o, index, r)
		}
		return broken == nil
	})
	if repo == nil && broken == nil && !isGenesis(l) && r.holds(0, r.index) {
		return "no root of its repository is logged before it"
	}
	if repo == nil || broken != nil || !r.holds(from, r.index) {
		return ""
	}
	m := r.metadata(ctx, l)
	if m == nil {
		return ""
	}
	var snapshots []*tuf.Metadata
	if !l.Snapshot.IsZero() {
		s, ok := r.file(ctx, l.Snapshot, l.Encoding)
		if !ok || s.err != nil {
			return ""
		}
		snapshots = append(snapshots, s.m)
	}
	decision, err := repo.Judge(ctx, l.Role, m, snapshots)
	var refused *admit.Refused
	switch {
	case errors.As(err, &refused):
		return fmt.Sprintf("the rules refuse it: %v", err)
	case err != nil:
		return ""
	case decision.Logged:
		return fmt.Sprintf("it is already logged at entry %d", decision.Index)
	case decision.Leaf != l:
		return l.Difference(decision.Leaf)
	}
	return ""
}
