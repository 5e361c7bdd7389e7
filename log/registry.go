package log

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/verify"
)

// maxLoaded is how many repositories the registry keeps in memory.
const maxLoaded = 512

// registry holds the repositories that are being judged, as they follow from
// the integrated log. One goroutine applies leaves; the repositories it does not
// hold are read from the derived state, which by then has all their leaves.
type registry struct {
	blobs verify.Blobs
	state StateReader
	// applied returns how many leaves the state has.
	applied func() int64

	mu    sync.Mutex
	repos map[verify.Digest]*repository
	// roots maps the payload of every released root to the first repository
	// that has it.
	roots map[verify.Digest]rootAt
}

type rootAt struct {
	repository verify.Digest
	index      int64
}

// repository guards a verify.Repository, which is not safe for concurrent use.
type repository struct {
	mu    sync.Mutex
	judge *verify.Repository
}

// has reports whether the leaf at index has been applied.
func (r *repository) has(index int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	records := r.judge.Records()
	return records[len(records)-1].Index >= index
}

func newRegistry(ctx context.Context, blobs verify.Blobs, state StateReader, applied func() int64) (*registry, error) {
	r := &registry{blobs: blobs, state: state, applied: applied, repos: map[verify.Digest]*repository{}, roots: map[verify.Digest]rootAt{}}
	err := state.Roots(ctx, func(rec verify.Record) { r.addRoot(rec) })
	return r, err
}

func (r *registry) addRoot(rec verify.Record) {
	if _, ok := r.roots[rec.Leaf.Payload]; !ok {
		r.roots[rec.Leaf.Payload] = rootAt{rec.Leaf.Repository, rec.Index}
	}
}

// known reports whether a repository is in the log.
func (r *registry) known(id verify.Digest) bool {
	at, ok := r.rootAt(id)
	return ok && at.repository == id
}

// rootAt returns where the root with this payload is logged first.
func (r *registry) rootAt(payload verify.Digest) (rootAt, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.roots[payload]
	return at, ok
}

// get returns a repository, and loads it if it must. It is nil where the log has
// none of this name.
func (r *registry) get(ctx context.Context, id verify.Digest) (*repository, error) {
	r.mu.Lock()
	repo, ok := r.repos[id]
	r.mu.Unlock()
	if ok {
		return repo, nil
	}
	if !r.known(id) {
		return nil, nil
	}
	judge, err := r.load(ctx, id)
	if err != nil {
		return nil, err
	}
	repo = &repository{judge: judge}
	r.mu.Lock()
	defer r.mu.Unlock()
	if other, ok := r.repos[id]; ok {
		return other, nil
	}
	r.makeRoom()
	r.repos[id] = repo
	return repo, nil
}

// load reads a repository from the derived state.
func (r *registry) load(ctx context.Context, id verify.Digest) (*verify.Repository, error) {
	records, err := r.state.Records(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("the derived state has no leaf of repository %v, which the log has", id)
	}
	judge, err := verify.NewRepository(records[0].Leaf, records[0].Index, r.blobs)
	if err != nil {
		return nil, err
	}
	for _, rec := range records[1:] {
		if err := judge.Apply(rec.Index, rec.Leaf); err != nil {
			return nil, err
		}
	}
	return judge, nil
}

// makeRoom drops a repository that the state can give back whole. Who has it in
// hand may go on reading it: leaves are applied only to what the map holds.
func (r *registry) makeRoom() {
	if len(r.repos) < maxLoaded {
		return
	}
	applied := r.applied()
	for id, repo := range r.repos {
		if !repo.mu.TryLock() {
			continue
		}
		records := repo.judge.Records()
		idle := records[len(records)-1].Index < applied
		repo.mu.Unlock()
		if idle {
			delete(r.repos, id)
			return
		}
	}
}

// admit judges a leaf that is in storage and that nobody remembers to have
// judged. The error is a *Halt when the log would not have appended it.
func (r *registry) admit(ctx context.Context, rec verify.Record) error {
	if rec.Index < r.applied() {
		return nil // the state has it: a process judged it, and died before it was signed
	}
	m, err := r.parse(rec.Leaf.Encoding, rec.Leaf.Metadata)
	if err != nil {
		return foreign(rec.Index, err)
	}
	var decision verify.Decision
	repo, err := r.get(ctx, rec.Leaf.Repository)
	switch {
	case err != nil:
		return err
	case repo == nil:
		if at, ok := r.rootAt(rec.Leaf.Payload); ok {
			return foreign(rec.Index, fmt.Errorf("this root is in repository %v already, at index %d", at.repository, at.index))
		}
		decision, err = verify.JudgeGenesis(m)
	case repo.has(rec.Index):
		return nil // an attempt to take it in was broken off
	default:
		var snapshots []*verify.Metadata
		if !rec.Leaf.Snapshot.IsZero() {
			s, err := r.parse(rec.Leaf.Encoding, rec.Leaf.Snapshot)
			if err != nil {
				return foreign(rec.Index, err)
			}
			snapshots = append(snapshots, s)
		}
		repo.mu.Lock()
		decision, err = repo.judge.Judge(rec.Leaf.Role, m, snapshots)
		repo.mu.Unlock()
	}
	switch {
	case verify.IsRefused(err):
		return foreign(rec.Index, err)
	case err != nil:
		return err
	case decision.Logged || decision.Leaf != rec.Leaf:
		return foreign(rec.Index, fmt.Errorf("its file leads to another leaf: %+v", decision.Leaf))
	}
	return nil
}

func (r *registry) parse(encoding verify.Encoding, sum verify.Digest) (*verify.Metadata, error) {
	file, err := r.blobs.Blob(sum)
	if err != nil {
		return nil, err
	}
	return verify.Parse(encoding, file)
}

// apply adds an integrated leaf. Leaves come in log order.
func (r *registry) apply(ctx context.Context, rec verify.Record) error {
	repo, err := r.get(ctx, rec.Leaf.Repository)
	if err != nil {
		return err
	}
	if repo == nil {
		judge, err := verify.NewRepository(rec.Leaf, rec.Index, r.blobs)
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.makeRoom()
		r.repos[rec.Leaf.Repository] = &repository{judge: judge}
		r.addRoot(rec)
		return nil
	}
	// A repository loaded a moment ago may have the leaf from the state.
	if !repo.has(rec.Index) {
		repo.mu.Lock()
		err = repo.judge.Apply(rec.Index, rec.Leaf)
		repo.mu.Unlock()
	}
	if err == nil && rec.Leaf.Role == verify.RoleRoot && rec.Leaf.Kind == verify.Release {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.addRoot(rec)
	}
	return err
}

// roles returns the current release of each role, sorted by role.
func (r *registry) roles(ctx context.Context, id verify.Digest) ([]api.RoleCurrent, error) {
	repo, err := r.get(ctx, id)
	if err != nil || repo == nil {
		return []api.RoleCurrent{}, err
	}
	repo.mu.Lock()
	defer repo.mu.Unlock()
	names := map[string]bool{}
	for _, rec := range repo.judge.Records() {
		names[rec.Leaf.Role] = true
	}
	roles := make([]api.RoleCurrent, 0, len(names))
	for name := range names {
		rec, ok, err := repo.judge.Current(name)
		if err != nil {
			return nil, err
		}
		if ok {
			roles = append(roles, api.RoleCurrent{Role: name, Version: rec.Leaf.Version, Index: rec.Index})
		}
	}
	slices.SortFunc(roles, func(a, b api.RoleCurrent) int { return strings.Compare(a.Role, b.Role) })
	return roles, nil
}
