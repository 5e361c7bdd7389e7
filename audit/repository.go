package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// repository is what is kept of one repository besides the state that judges.
type repository struct {
	*admit.Repository
	genesis int64
	roles   map[string]*roleState
	keys    map[tuf.Digest]bool       // keys whose ids have been looked at
	handed  map[string]map[string]int // thresholds by delegating role and delegated name

	several     []several              // versions of which several payloads are releases, the last to get one last
	logged      int64                  // bytes of the files of releases
	asked       int64                  // bytes of files of which it was asked whether they stand
	prior       int64                  // the release of the last leaf's version with another payload before it; -1: none
	newest      bool                   // the last leaf is the first release of its role with so high a version
	before      int64                  // the highest version of its role before the last leaf; 0: none
	together    map[roleVersion]bool   // versions of which several payloads were found to stand; true: bound ones
	sharing     map[string][]*keyGroup // who may sign, by delegating role
	says        map[string]tuf.Digest  // what roles say of delegations in their newest releases, as far as these are known to be in force
	redelegates bool                   // other delegations may be in force since the last leaf
	shared      map[tuf.Digest]bool    // sentences on roles that share keys
	snapshot    snapshotAt             // the newest that vouches for a release
	lives       map[string]*lifetime   // by role
	past        past
	rekeyed     int64               // the last root with other keys for snapshots or timestamps than the one before it
	forked      map[tuf.Digest]bool // repositories with a root that devices of this one take, or that take one of this one

	odd    bool             // some release has not a higher version than those of its role before it
	floors map[string]int64 // of roles of which the first releases are only in the state, the lowest version from which all are here; nil: it is whole

	facts   map[string]any // that are to be kept
	touched bool           // it has had a leaf since it was kept
	used    int64          // the number of its last use
	counted int            // bytes, of those that all take
	cut     int            // bytes that it took when it was cut last
}

// snapshotAt is a snapshot that a leaf names.
type snapshotAt struct {
	Sum     tuf.Digest `json:"sum"` // zero: none
	Version int64      `json:"version"`
}

type roleState struct {
	releases, evidence int64
	highest            int64
	versions           map[int64]released // the last release
}

type released struct {
	payload tuf.Digest
	index   int64
	size    int64 // of its file, in bytes
}

// accept applies a leaf that is right and looks at what else can be said of it.
// All that can fail for now is done before anything changes.
func (a *Auditor) accept(ctx context.Context, l *loaded, repo *repository) (entry, error) {
	var found []Finding
	var before *tuf.Metadata // the root in force
	var keys tuf.KeySet
	var err error
	if repo != nil {
		if before, err = repo.Root(ctx); err != nil {
			return a.trouble(ctx, l, err)
		}
	}
	switch {
	case l.leaf.Role == tuf.RoleRoot:
		keys = l.metadata.Root.KeySet(tuf.RoleRoot)
	case tuf.IsTopLevel(l.leaf.Role):
		keys, err = repo.RootKeys(ctx, l.leaf.Role)
	default:
		keys, _, err = repo.KeysFor(ctx, l.leaf.Role, l.metadata)
	}
	if err != nil {
		return a.trouble(ctx, l, err)
	}
	if l.leaf.Kind == leaf.Evidence {
		f, err := a.equivocation(ctx, l, repo, before, keys)
		if err != nil {
			return a.trouble(ctx, l, err)
		}
		found = append(found, f)
	}
	chain, err := a.chainFindings(ctx, l)
	if err != nil {
		return entry{}, err
	}
	shared, err := a.sharedFindings(ctx, l)
	if err != nil {
		return entry{}, err
	}

	if repo, err = a.apply(l, repo); err != nil {
		return entry{}, err
	}
	a.likely.learn(l.leaf.Repository, l.leaf.Role, keys)
	found = append(found, repo.versionFindings(l.index, l.leaf)...)
	repo.noteLife(l, a.lookOf(l.index))
	found = append(found, chain...)
	found = append(found, repo.thresholdFindings(l, before)...)
	found = append(found, shared...)
	found = append(found, repo.keyFindings(l)...)
	repo.noteDelegations(l)
	found = append(found, repo.sharedKeyFindings(l)...)
	repo.noteSnapshot(l)
	for _, f := range found {
		a.record(f)
	}
	return entry{Right}, nil
}

func (a *Auditor) apply(l *loaded, repo *repository) (*repository, error) {
	if repo != nil {
		repo.touched = true
		return repo, repo.Apply(l.index, l.leaf)
	}
	state, err := admit.NewRepository(l.leaf, l.index, stepBlobs{a})
	if err != nil {
		return nil, err
	}
	repo = newRepository(state, l.index)
	repo.touched = true
	a.hold(repo)
	return repo, nil
}

// versionFindings notes a leaf's version and says what is odd about it.
func (r *repository) versionFindings(index int64, logged leaf.Leaf) []Finding {
	r.prior, r.newest, r.before = -1, false, 0
	state := r.roles[logged.Role]
	if state == nil {
		state = &roleState{versions: map[int64]released{}}
		r.roles[logged.Role] = state
	}
	if logged.Kind == leaf.Evidence {
		state.evidence++
		r.noteOdd()
		return nil
	}
	state.releases++
	before, seen := state.versions[logged.Version]
	state.versions[logged.Version] = released{logged.Payload, index, logged.Size}
	if r.newest, r.before = !seen && logged.Version > state.highest, state.highest; !r.newest {
		r.noteOdd()
	}
	defer func() { state.highest = max(state.highest, logged.Version) }()
	found := r.noteRelease(index, logged, before)
	switch {
	case seen && before.payload != logged.Payload:
		r.prior = before.index // whether it stands is asked when the leaf has been applied
	case !seen && logged.Version < state.highest:
		found = append(found, aboutLeaf(VersionLate, index, logged, "%s %d was logged after version %d", tuf.Word(logged.Role), logged.Version, state.highest))
	}
	return found
}

func (r *repository) noteOdd() {
	if !r.odd {
		r.odd = true
		r.fact(oddName, true)
	}
}

// sharedFindings says if a payload is another role's, too, or another repository's. A snapshot can vouch for both; whoever has stolen its key can so pass
// off one role's file as another's where the roles share a key. Metadata names no
// repository: where two share keys, anybody can log a release of one as the other's.
//
// What lists no target may have the payload of another by chance: empty hash bins are
// alike, and so are the first files of two vendors. Of two repositories that is a finding
// if it is the very same file, signatures and all.
func (a *Auditor) sharedFindings(ctx context.Context, l *loaded) ([]Finding, error) {
	if l.leaf.Role == tuf.RoleRoot || l.leaf.Kind != leaf.Release {
		return nil, nil
	}
	first, ok, err := a.firstRelease(ctx, l.leaf.Payload, false, l.index)
	if err != nil || !ok {
		return nil, err
	}
	t := l.metadata.Targets
	lists := t != nil && (t.Len() > 0 || t.Delegations != nil)
	switch {
	case first.repo != l.leaf.Repository && (lists || first.file == l.leaf.Metadata):
		return []Finding{twinOf(l, first)}, nil
	case first.repo == l.leaf.Repository && first.role != l.leaf.Role && lists:
		return []Finding{aboutLeaf(SharedPayload, l.index, l.leaf, "%s %d has the payload that is released as %s at index %d", tuf.Word(l.leaf.Role), l.leaf.Version, tuf.Word(first.role), first.index)}, nil
	}
	return nil, nil
}

// chainFindings says if a root belongs to two repositories.
func (a *Auditor) chainFindings(ctx context.Context, l *loaded) ([]Finding, error) {
	if l.leaf.Role != tuf.RoleRoot || l.leaf.Kind != leaf.Release {
		return nil, nil
	}
	if twin := l.leaf.Payload; twin != l.leaf.Repository {
		known, ok, err := a.db.Repository(ctx, twin)
		if err != nil {
			return nil, err
		}
		if ok && known.Genesis >= 0 {
			return []Finding{aboutLeaf(Twin, l.index, l.leaf, "root %d of repository %s is the genesis root of repository %s: both are one chain of roots",
				l.leaf.Version, l.leaf.Repository.Short(), twin.Short())}, nil
		}
	}
	first, ok, err := a.firstRelease(ctx, l.leaf.Payload, true, l.index)
	if err != nil || !ok || first.repo == l.leaf.Repository {
		return nil, err
	}
	return []Finding{twinOf(l, first)}, nil
}

// twinOf is the finding that a release is another repository's, too.
func twinOf(l *loaded, first place) Finding {
	return aboutLeaf(Twin, l.index, l.leaf, "%s %d of repository %s is also %s of repository %s, at index %d: they share keys, and metadata does not name its repository",
		tuf.Word(l.leaf.Role), l.leaf.Version, l.leaf.Repository.Short(), tuf.Word(first.role), first.repo.Short(), first.index)
}

// thresholdFindings compares a release with what was in force before it: a root
// with the root before, delegations with those of the role's last release.
func (r *repository) thresholdFindings(l *loaded, before *tuf.Metadata) []Finding {
	if l.leaf.Kind != leaf.Release {
		return nil
	}
	var was, is map[string]int
	switch {
	case l.metadata.Root != nil && before != nil && before.Version < l.leaf.Version:
		was, is = map[string]int{}, map[string]int{}
		for role, r := range before.Root.Roles {
			was[role] = r.Threshold
		}
		for role, r := range l.metadata.Root.Roles {
			is[role] = r.Threshold
		}
	case l.metadata.Targets != nil:
		was, is = r.handed[l.leaf.Role], thresholds(l.metadata.Targets.Delegations)
		if was != nil || is != nil {
			if !maps.Equal(was, is) {
				r.fact(factOf("handed", l.leaf.Role), is)
			}
			r.handed[l.leaf.Role] = is
		}
	}
	var found []Finding
	for _, role := range slices.Sorted(maps.Keys(is)) {
		if is[role] < was[role] {
			found = append(found, aboutLeaf(ThresholdLowered, l.index, l.leaf, "%s %d asks for %s on %s where %d were needed before",
				tuf.Word(l.leaf.Role), l.leaf.Version, counted(is[role], "signature"), tuf.Word(role), was[role]))
		}
	}
	return found
}

// counted is a number of things, in words.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

func thresholds(d *tuf.Delegations) map[string]int {
	if d == nil {
		return nil
	}
	byName := make(map[string]int, len(d.Roles))
	for _, role := range d.Roles {
		byName[role.Name] = role.Threshold
	}
	if d.Succinct != nil {
		byName[d.Succinct.NamePrefix+"-*"] = d.Succinct.Threshold
	}
	return byName
}

// equivocation words what a leaf of evidence shows, and who signed both. root is
// the one in force, keys are those of the role.
func (a *Auditor) equivocation(ctx context.Context, l *loaded, repo *repository, root *tuf.Metadata, keys tuf.KeySet) (Finding, error) {
	f := aboutLeaf(SecondPayload, l.index, l.leaf, "%s %d is signed with two payloads: the one released at index %d, and the one at index %d",
		tuf.Word(l.leaf.Role), l.leaf.Version, l.leaf.Contradicts, l.index)
	f.Evidence = []Evidence{a.leafEvidence(ctx, l.index, l.raw), metadataFile(fmt.Sprint(l.index), l.metadata)}
	other, err := a.earlier(ctx, l.leaf.Contradicts)
	if l.leaf.Role == tuf.RoleRoot && err == nil {
		// What both must meet is the root before them, not what they say themselves.
		root, err = a.rootBelow(ctx, repo, l.leaf.Version)
		if err == nil {
			keys = root.Root.KeySet(tuf.RoleRoot)
		}
	}
	var bad *badBlob
	switch {
	case errors.As(err, &bad):
		return f, nil // reported where it was missing first; the leaves speak for themselves
	case err != nil:
		return Finding{}, err
	}
	first, _, err := a.leafAt(ctx, l.leaf.Contradicts)
	if err != nil {
		return Finding{}, err
	}
	if !a.accuseKeys(ctx, &f, repo, l.leaf.Contradicts, l.index, l) {
		f.Evidence = append(f.Evidence,
			a.leafEvidence(ctx, l.leaf.Contradicts, first.Marshal()),
			metadataFile(fmt.Sprint(l.leaf.Contradicts), other),
			metadataFile("root", root))
	}
	if names := signedBoth(keys, l.metadata, other); len(names) > 0 {
		f.Sentence += "; signed both: " + strings.Join(names, ", ")
	}
	if list := otherContent(l.parts, partsOf(other)); list.count > 0 {
		f.Sentence += "; other content: " + list.String()
	}
	return f, nil
}

// earlier reads the metadata of a leaf that was judged before.
func (a *Auditor) earlier(ctx context.Context, index int64) (*tuf.Metadata, error) {
	leaf, ok, err := a.leafAt(ctx, index)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("entry %d is not a leaf", index)
	}
	return a.file(ctx, fmt.Sprintf("the metadata of leaf %d", index), leaf.Metadata, leaf.Encoding)
}

// rootBelow reads the highest root below a version.
func (a *Auditor) rootBelow(ctx context.Context, repo *repository, version int64) (*tuf.Metadata, error) {
	best := admit.Record{Index: repo.genesis, Leaf: repo.Records()[0].Leaf}
	for _, rec := range repo.Records() {
		if rec.Leaf.Role == tuf.RoleRoot && rec.Leaf.Kind == leaf.Release && rec.Leaf.Version < version && rec.Leaf.Version > best.Leaf.Version {
			best = rec
		}
	}
	return a.earlier(ctx, best.Index)
}

// signedBoth returns the ids of the keys that signed both files, shortened.
func signedBoth(keys tuf.KeySet, a, b *tuf.Metadata) []string {
	second := b.Signers(keys)
	var names []string
	for _, signer := range a.Signers(keys) {
		if slices.Contains(second, signer) {
			names = append(names, "key "+tuf.Word(clip(keys.IDs(signer)[0], 12)))
		}
	}
	return names
}

func clip(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}
