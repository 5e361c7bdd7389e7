package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// ReadBack applies an entry that was read back, and judges it first unless judged is
// set. The error is a *Halt if the log would not have appended it.
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

// admit judges a stored leaf that this process has no record of judging. The state
// proves nothing about it: it may have been rebuilt from a storage to which another
// process has appended. The error is a *Halt if the log would not have appended the
// leaf, or cannot know.
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

// notRepeated returns a *Halt if the log has the same leaf at a lower index. Two
// processes that append at the same time leave such an entry; its file is not at fault.
func (r *Registry) notRepeated(ctx context.Context, repo *Repository, rec admit.Record) error {
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

// parse reads a file of a leaf. The error is a *Halt if the file is missing or the
// log would not have accepted it; any other error may be temporary.
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
	m, err := codec.Parse(rec.Leaf.Encoding, file)
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
func (r *Registry) applyTo(repo *Repository, rec admit.Record) (err error) {
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

// repeated returns the halt for an entry that is also at a lower index.
func repeated(index, before int64) *log.Halt {
	return &log.Halt{
		Code: log.HaltRepeatedEntry,
		What: fmt.Sprintf("storage has the entry at index %d once more at index %d: two processes have appended to it at one time", before, index),
		Do:   "Find out what else writes to the storage. Nothing from that index on is signed, and all that was signed is whole",
	}
}

// foreign returns the halt for an entry that this log would not have appended.
func foreign(index int64, err error) *log.Halt {
	return &log.Halt{
		Code: log.HaltForeignEntry,
		What: fmt.Sprintf("storage has an entry at index %d that this log would not have admitted: %v", index, err),
		Do:   "Find out what else writes to the storage; nothing that it has written is signed",
	}
}
