package registry

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// maxLoaded and maxLoadedLeaves bound what the registry keeps in memory:
// repositories, and leaves in all of them (about a kilobyte each).
const (
	maxLoaded       = 2048
	maxLoadedLeaves = 24000

	// tailVersions is how many versions of a role are loaded of a repository. It
	// is cut to as many again when longHistory leaves have been applied since.
	tailVersions = 16
	longHistory  = 64
)

// maxCached is about how many bytes may be kept of the files of all repositories.
const maxCached = 64 << 20

// Registry holds the repositories that are being judged, as they follow from
// the integrated log. One goroutine applies leaves; the repositories it does not
// hold are read from the derived state, which by then has all their leaves.
type Registry struct {
	blobs admit.Blobs
	state log.StateReader
	// applied returns how many leaves the state has.
	applied func() int64
	// judged is how many entries of the log count: those that were signed, which
	// somebody has judged before, and those that this process has taken in. What the
	// state has beyond them proves nothing.
	judged *atomic.Int64
	// keepVersions is tailVersions, and cutAfter longHistory, but in tests.
	keepVersions, cutAfter int

	mu     sync.Mutex
	repos  map[tuf.Digest]*repository
	recent list.List // of *repository, the one used last first
	leaves int       // in repos
	cached int       // bytes of their files
	// histories are whole repositories that are kept, of historyLeaves leaves.
	histories     map[tuf.Digest]*history
	historyLeaves int
	// dropped counts the repositories that made room.
	dropped int
	// roots are the first releases of roots that the state may not have yet, by
	// payload.
	roots map[tuf.Digest]rootAt
}

type rootAt struct {
	Repository tuf.Digest
	Index      int64
}

// repository guards a admit.Repository, which is not safe for concurrent use.
type repository struct {
	id      tuf.Digest
	used    *list.Element // in registry.recent
	applied int           // leaves since it was loaded; guarded by registry.mu
	cutting bool          // somebody is loading it again; guarded by registry.mu
	cached  int           // bytes of its files; guarded by registry.mu

	// floors says from which version on all leaves of a role are in judge,
	// where they are not all.
	floors map[string]int64

	mu    sync.Mutex
	judge *admit.Repository
	// roles are what was current, by the whole repository, when judge had rolesAt
	// leaves: whoever asks for it again does not have it read again.
	roles   []api.RoleCurrent
	rolesAt int
}

// last returns the index of the newest leaf that has been applied. The caller
// holds mu.
func (r *repository) last() int64 {
	records := r.judge.Records()
	return records[len(records)-1].Index
}

func New(blobs admit.Blobs, state log.StateReader, applied func() int64, judged *atomic.Int64) *Registry {
	return &Registry{blobs: blobs, state: state, applied: applied, judged: cmp.Or(judged, new(atomic.Int64)), keepVersions: tailVersions, cutAfter: longHistory, repos: map[tuf.Digest]*repository{}, histories: map[tuf.Digest]*history{}, roots: map[tuf.Digest]rootAt{}}
}

// addRoot must be called with mu held.
func (r *Registry) addRoot(rec admit.Record) {
	if _, ok := r.roots[rec.Leaf.Payload]; !ok {
		r.roots[rec.Leaf.Payload] = rootAt{rec.Leaf.Repository, rec.Index}
	}
	const many = 4096
	if len(r.roots) > many {
		applied := r.applied()
		maps.DeleteFunc(r.roots, func(_ tuf.Digest, at rootAt) bool { return at.Index < applied })
	}
}

// Known reports whether a repository is in the log.
func (r *Registry) Known(ctx context.Context, id tuf.Digest) (bool, error) {
	r.mu.Lock()
	_, ok := r.repos[id]
	r.mu.Unlock()
	if ok {
		return true, nil
	}
	at, ok, err := r.RootAt(ctx, id)
	return ok && at.Repository == id, err
}

// RootAt returns where the root with this payload is logged first.
func (r *Registry) RootAt(ctx context.Context, payload tuf.Digest) (rootAt, bool, error) {
	// What is remembered is read before the state is asked: what is forgotten
	// in between, the state has.
	r.mu.Lock()
	at, ok := r.roots[payload]
	r.mu.Unlock()
	rec, logged, err := r.state.Root(ctx, payload)
	if err != nil || !logged {
		return at, ok && err == nil, err
	}
	return rootAt{rec.Leaf.Repository, rec.Index}, true, nil
}

// Get returns a repository, and loads it if it must. It is nil where the log has
// none of this name.
func (r *Registry) Get(ctx context.Context, id tuf.Digest) (*repository, error) {
	r.mu.Lock()
	repo, ok := r.repos[id]
	long := false
	if ok {
		r.recent.MoveToFront(repo.used)
		long = repo.applied > r.cutAfter && !repo.cutting
		repo.cutting = repo.cutting || long
	}
	r.mu.Unlock()
	if long {
		return r.cut(ctx, repo), nil
	}
	if ok {
		return repo, nil
	}
	if known, err := r.Known(ctx, id); err != nil || !known {
		return nil, err
	}
	for {
		r.mu.Lock()
		dropped := r.dropped
		r.mu.Unlock()
		judge, floors, err := r.load(ctx, id, r.keepVersions)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		repo, ok := r.repos[id]
		// Where something was dropped meanwhile it may have been this one,
		// with leaves that the state had not when it was read here.
		current := r.dropped == dropped
		if !ok && current {
			repo = r.keep(judge, floors)
		}
		r.mu.Unlock()
		if repo != nil {
			return repo, nil
		}
	}
}

// cut loads a repository again, with its highest versions alone, and takes over
// from memory what the state does not have yet. A repository that grows all the
// time could never be dropped and loaded again.
func (r *Registry) cut(ctx context.Context, repo *repository) *repository {
	applied := r.applied()
	judge, floors, err := r.load(ctx, repo.id, r.keepVersions)
	r.mu.Lock()
	defer r.mu.Unlock()
	if repo.cutting = false; ctx.Err() == nil {
		repo.applied = 0 // otherwise the next one cuts it
	}
	if now := r.repos[repo.id]; now != repo && now != nil {
		return now
	}
	if err != nil || r.repos[repo.id] == nil {
		// What is in memory is enough, only more than need be. The state may
		// be away, or may not have come to this repository yet.
		return repo
	}
	// Nothing is applied while r.mu is held, so that the repository's own lock
	// is not needed: who holds that one may be judging for long.
	records := repo.judge.Records()
	before := len(records)
	first, _ := slices.BinarySearchFunc(records, applied, byIndex)
	for _, rec := range records[first:] {
		// What has come into the state since it was asked how far it is may
		// be there already, or be left out of the tail.
		if have := judge.Records(); rec.Index <= have[len(have)-1].Index {
			continue
		}
		if err := judge.Apply(rec.Index, rec.Leaf); err != nil {
			return repo
		}
	}
	short := &repository{id: repo.id, judge: judge, floors: floors, used: repo.used}
	short.used.Value = short
	r.repos[repo.id] = short
	r.leaves += len(judge.Records()) - before
	r.cached -= repo.cached
	return short
}

func byIndex(rec admit.Record, index int64) int { return cmp.Compare(rec.Index, index) }

// keep puts a repository into the map. It must be called with mu held.
func (r *Registry) keep(judge *admit.Repository, floors map[string]int64) *repository {
	r.makeRoom()
	repo := &repository{id: judge.ID(), judge: judge, floors: floors}
	repo.used = r.recent.PushFront(repo)
	r.repos[repo.id] = repo
	r.leaves += len(judge.Records())
	return repo
}

// load reads a repository from the derived state: the highest versions of each
// role, keep of them.
func (r *Registry) load(ctx context.Context, id tuf.Digest, keep int) (*admit.Repository, map[string]int64, error) {
	records, floors, err := r.state.Tail(ctx, id, keep)
	if err != nil {
		return nil, nil, err
	}
	if len(records) == 0 {
		return nil, nil, fmt.Errorf("the derived state has no leaf of repository %v, which the log has", id)
	}
	judge, err := admit.NewRepository(records[0].Leaf, records[0].Index, r.blobs)
	if err != nil {
		return nil, nil, err
	}
	for _, rec := range records[1:] {
		if err := judge.Apply(rec.Index, rec.Leaf); err != nil {
			return nil, nil, err
		}
	}
	return judge, floors, nil
}

// Judge judges a file. The verdict is that of the whole repository, of which
// memory may have only the highest versions:
//
//   - which keys a top-level role has follows from the roots, which are all there.
//     Those of any other follow from what is current of the roles on the way to
//     it, which is the highest version that stands. So if each role has a current
//     release among the versions that are all there, it is the current one
//   - all else that counts are leaves with the file's payload, or of its role and
//     version, and where another payload of them gives way, what that one is
//     released as besides, and what the file itself delegates. Where the state
//     knows one that is not in memory, and where the first condition is not met,
//     the whole repository is read.
//
// Reading it is dear, so it is read only for a file that present keys have signed or
// whose payload is logged; every other is refused by what is in memory.
func (r *Registry) Judge(ctx context.Context, repo *repository, role string, m *tuf.Metadata, snapshots []*tuf.Metadata) (admit.Decision, error) {
	repo.mu.Lock()
	defer repo.mu.Unlock()
	needs, err := r.needsHistory(ctx, repo, role, m)
	if err != nil {
		return admit.Decision{}, err
	}
	if needs {
		h, err := r.historyOf(ctx, repo)
		if err != nil {
			return admit.Decision{}, err
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.judge.Judge(ctx, role, m, snapshots)
	}
	decision, err := repo.judge.Judge(ctx, role, m, snapshots)
	r.account(repo)
	return decision, err
}

// account keeps count of what is kept of files, and has the repositories forget them
// that were used longest ago where it is too much. The caller holds repo.mu.
func (r *Registry) account(repo *repository) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.repos[repo.id] != repo {
		return
	}
	r.cached -= repo.cached
	repo.cached = repo.judge.Cached()
	r.cached += repo.cached
	for e := r.recent.Back(); e != nil && r.cached > maxCached; e = e.Prev() {
		other := e.Value.(*repository)
		if other == repo || other.cached == 0 || !other.mu.TryLock() {
			continue
		}
		other.judge.Forget()
		other.mu.Unlock()
		r.cached -= other.cached
		other.cached = 0
	}
}

// inMemory reports whether all leaves that have a payload of this role and
// version, or are of this role and version, are in memory. A payload has one
// version and one type, whichever role it is logged for.
func inMemory(floors map[string]int64, role string, version int64) bool {
	for name, floor := range floors {
		if typeOf(name) == typeOf(role) && version < floor {
			return false
		}
	}
	return true
}

// typeOf returns the type of a role's metadata.
func typeOf(role string) string {
	if tuf.IsTopLevel(role) {
		return role
	}
	return tuf.RoleTargets
}

// whole reads all leaves of a repository: those of the state, and those that it
// does not have yet, which are among the records in memory.
func (r *Registry) whole(ctx context.Context, id tuf.Digest, inMemory []admit.Record) (*admit.Repository, error) {
	judge, _, err := r.load(ctx, id, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	last := judge.Records()[len(judge.Records())-1].Index
	for _, rec := range inMemory {
		if rec.Index > last {
			if err := judge.Apply(rec.Index, rec.Leaf); err != nil {
				return nil, err
			}
		}
	}
	return judge, nil
}

// makeRoom drops repositories that the state can give back whole, the one used
// longest ago first. Who has one in hand may go on reading it: leaves are applied
// only to what the map holds. It must be called with mu held.
func (r *Registry) makeRoom() {
	applied := r.applied()
	for e := r.recent.Back(); e != nil && (len(r.repos) >= maxLoaded || r.leaves >= maxLoadedLeaves); {
		before := e.Prev()
		r.drop(e.Value.(*repository), applied)
		e = before
	}
}

// drop forgets a repository if the state, which has applied leaves, can give it
// back. It must be called with mu held.
func (r *Registry) drop(repo *repository, applied int64) {
	if !repo.mu.TryLock() {
		return
	}
	records := repo.judge.Records()
	repo.mu.Unlock()
	if records[len(records)-1].Index < applied {
		r.recent.Remove(repo.used)
		delete(r.repos, repo.id)
		r.leaves -= len(records)
		r.cached -= repo.cached
		r.dropped++
	}
}

// admit judges a leaf that is in storage and that is not known to have been judged.
// What the state says of it proves nothing: it may have been made anew from a storage
// to which somebody else has appended. The error is a *Halt when the log would not
// have appended the leaf, or cannot know.
func (r *Registry) admit(ctx context.Context, rec admit.Record) error {
	if rec.Index < r.judged.Load() {
		return nil // an attempt to take it in was broken off
	}
	repo, err := r.Get(ctx, rec.Leaf.Repository)
	if err != nil {
		return err
	}
	if repo != nil {
		if err := r.notRepeated(ctx, repo, rec); err != nil {
			return err
		}
	}
	m, err := r.parse(ctx, rec, rec.Leaf.Metadata)
	if err != nil {
		return err
	}
	var decision admit.Decision
	switch {
	case repo == nil:
		at, ok, err2 := r.RootAt(ctx, rec.Leaf.Payload)
		if err2 != nil {
			return err2
		}
		if ok {
			return foreign(rec.Index, fmt.Errorf("this root is in repository %v already, at index %d", at.Repository, at.Index))
		}
		decision, err = admit.JudgeGenesis(m)
	default:
		var snapshots []*tuf.Metadata
		if !rec.Leaf.Snapshot.IsZero() {
			s, err := r.parse(ctx, rec, rec.Leaf.Snapshot)
			if err != nil {
				return err
			}
			snapshots = append(snapshots, s)
		}
		decision, err = r.Judge(ctx, repo, rec.Leaf.Role, m, snapshots)
	}
	switch {
	case admit.IsRefused(err):
		return foreign(rec.Index, err)
	case err != nil:
		return err
	case decision.Logged || decision.Leaf != rec.Leaf:
		return foreign(rec.Index, fmt.Errorf("its file leads to another leaf: %+v", decision.Leaf))
	}
	return nil
}

// ReadBack takes in an entry that was read back, and judges it unless that was done. The
// error is a *Halt when the log would not have appended it.
func (r *Registry) ReadBack(ctx context.Context, e log.Entry, judged bool) error {
	leaf, err := leaf.Parse(e.Data)
	if err != nil {
		return foreign(e.Index, err)
	}
	rec := admit.Record{Index: e.Index, Leaf: leaf}
	if !judged {
		if err := r.admit(ctx, rec); err != nil {
			return err
		}
	}
	return r.apply(ctx, rec)
}

// notRepeated is a *Halt where the log has this very leaf before. Two that append at the
// same time leave such an entry, and it is nobody's fault but theirs: no file is wrong.
func (r *Registry) notRepeated(ctx context.Context, repo *repository, rec admit.Record) error {
	repo.mu.Lock()
	defer repo.mu.Unlock()
	records := repo.judge.Records()
	if !inMemory(repo.floors, rec.Leaf.Role, rec.Leaf.Version) {
		h, err := r.historyOf(ctx, repo)
		if err != nil {
			return err
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		records = h.judge.Records()
	}
	for _, before := range records {
		if before.Leaf == rec.Leaf && before.Index < rec.Index {
			return repeated(rec.Index, before.Index)
		}
	}
	return nil
}

// parse reads a file of a leaf. The error is a *Halt where there is none, or one that
// the log would not have taken; any other may pass.
func (r *Registry) parse(ctx context.Context, rec admit.Record, sum tuf.Digest) (*tuf.Metadata, error) {
	file, err := r.blobs.Blob(ctx, sum)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &log.Halt{
			Code: log.HaltFilesLost,
			What: fmt.Sprintf("storage has an entry at index %d that was not signed yet, and its file with SHA-256 %v is not there: it cannot be judged. The files were restored from an older copy than the entries, or something else has appended the entry", rec.Index, sum),
			Do:   "Nothing from that index on is signed. Give the file back from wherever it was kept (logserver blob add) and start again; if nobody has it, find out what else writes to the storage",
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the file of entry %d: %w", rec.Index, err)
	}
	m, err := tuf.Parse(rec.Leaf.Encoding, file)
	if err != nil {
		return nil, foreign(rec.Index, err)
	}
	return m, nil
}

// apply adds an integrated leaf that was judged. Leaves come in log order.
func (r *Registry) apply(ctx context.Context, rec admit.Record) error {
	err := r.takeIn(ctx, rec)
	if err == nil {
		r.judged.Store(max(r.judged.Load(), rec.Index+1))
	}
	return err
}

func (r *Registry) takeIn(ctx context.Context, rec admit.Record) error {
	repo, err := r.Get(ctx, rec.Leaf.Repository)
	if err != nil {
		return err
	}
	if repo == nil {
		judge, err := admit.NewRepository(rec.Leaf, rec.Index, r.blobs)
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.keep(judge, nil)
		r.addRoot(rec)
		return nil
	}
	// The repository's lock comes first, because it may be held for long. With
	// both held nobody drops the repository, which from then on has a leaf that
	// the state has not.
	repo.mu.Lock()
	defer repo.mu.Unlock()
	if err := r.applyTo(repo, rec); err != nil {
		return err
	}
	h := r.keptHistory(repo.id)
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.catchUp(repo.judge.Records())
}

// applyTo adds a leaf to a repository. The caller holds repo.mu.
func (r *Registry) applyTo(repo *repository, rec admit.Record) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.repos[repo.id] != repo {
		return fmt.Errorf("repository %v was dropped while leaf %d was applied", repo.id, rec.Index)
	}
	// A repository loaded a moment ago may have the leaf from the state.
	if repo.last() < rec.Index {
		err = repo.judge.Apply(rec.Index, rec.Leaf)
		repo.applied++
		r.leaves++
	}
	if err == nil && rec.Leaf.Role == tuf.RoleRoot && rec.Leaf.Kind == leaf.Release {
		r.addRoot(rec)
	}
	return err
}

// Forget drops repositories; nil means all. It is for a registry that applies
// nothing: no more is in memory of each than there was when it was loaded.
func (r *Registry) Forget(which map[tuf.Digest]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped++ // one that is being loaded is loaded again
	if which == nil {
		clear(r.repos)
		r.recent.Init()
		r.leaves, r.cached = 0, 0
		return
	}
	for id := range which {
		if repo, ok := r.repos[id]; ok {
			r.recent.Remove(repo.used)
			delete(r.repos, id)
			r.leaves -= len(repo.judge.Records())
			r.cached -= repo.cached
		}
	}
}

// Loaded returns how many repositories are in memory.
func (r *Registry) Loaded() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.repos)
}

// Histories returns of how many repositories in memory the whole history is.
func (r *Registry) Histories() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.histories)
}

// Keep sets how many versions of a role are in memory of repositories that are loaded from
// now on.
func (r *Registry) Keep(versions int) { r.keepVersions = versions }

// repeated is the halt over an entry that the log has before.
func repeated(index, before int64) *log.Halt {
	return &log.Halt{
		Code: log.HaltRepeatedEntry,
		What: fmt.Sprintf("storage has the entry at index %d once more at index %d: two processes have appended to it at one time", before, index),
		Do:   "Find out what else writes to the storage. Nothing from that index on is signed, and all that was signed is whole",
	}
}

// foreign is the halt over an entry that this log would not have appended.
func foreign(index int64, err error) *log.Halt {
	return &log.Halt{
		Code: log.HaltForeignEntry,
		What: fmt.Sprintf("storage has an entry at index %d that this log would not have admitted: %v", index, err),
		Do:   "Find out what else writes to the storage; nothing that it has written is signed",
	}
}
