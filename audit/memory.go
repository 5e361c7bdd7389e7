package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// This file is about what an auditor keeps in its state, from which it goes on, and of
// which it holds only a part in memory.
//
// What was judged is committed between two leaves, when some ten thousand have been judged or
// a second has passed, and at the end of a step: the same pages change with each bundle,
// and writing them once for several bundles takes a quarter of the time. If the state
// fails, the auditor goes back to what it committed last and starts from there, as the
// next process would.

// Limits of what is judged before it is committed.
const (
	maxUncommitted     = 16384 // leaves
	maxUncommittedTime = time.Second
)

// keepLookedEvery is how many seconds pass before it is written that the same tree was verified
// again.
const keepLookedEvery = 60

// Names of values in the state.
const (
	endedName  = "ended"
	looksName  = "looks"
	clocksName = "far-clocks"
)

// looksMemory is what is kept of when trees were verified.
type looksMemory struct {
	Looked int64        `json:"looked"`
	Looks  []lookMemory `json:"looks"`
}

type lookMemory struct {
	Size  int64 `json:"size"`
	After int64 `json:"after"`
	Seen  int64 `json:"seen"`
}

// remember takes over what the state has: at the start, and when the state failed.
func (a *Auditor) remember(ctx context.Context) error {
	a.tree, a.verified, a.signed, a.next = a.db.Tree(), nil, nil, a.db.Size()
	a.growth, a.target, a.more = nil, 0, false
	a.claims, a.smaller, a.tiles, a.bundles = map[int64][]claim{}, nil, nil, nil
	a.repos, a.held, a.due, a.pending = map[tuf.Digest]*repository{}, 0, nil, nil
	a.blind, a.unseen, a.waiting = map[tuf.Digest]*blindness{}, map[tuf.Digest]tuf.Digest{}, map[tuf.Digest][]tuf.Digest{}
	a.rejudging, a.again, a.right = nil, map[tuf.Digest]bool{}, map[Kind]bool{}
	a.committed, a.committedAt = a.next, time.Now()
	a.highest, a.origin, a.oldNotes = claim{}, "", nil
	if err := a.rememberNotes(ctx); err != nil {
		return err
	}
	lost, err := a.db.Lost(ctx)
	if err != nil {
		return err
	}
	a.lost = nil
	for _, t := range lost {
		want := wantedTile{id: t.ID, sum: t.Sum}
		f, found, err := a.db.Finding(ctx, want.mismatch().digest())
		if err != nil {
			return err
		}
		want.wrong = found && f.Gone == 0
		a.lost = append(a.lost, want)
	}
	a.ended = 0
	if err := a.get(ctx, endedName, &a.ended); err != nil {
		return err
	}
	var looks looksMemory
	if err := a.get(ctx, looksName, &looks); err != nil {
		return err
	}
	a.looked, a.lookedKept, a.looks = looks.Looked, looks.Looked, nil
	for _, l := range looks.Looks {
		a.looks = append(a.looks, look{l.Size, l.After, l.Seen})
	}
	a.far = map[string]bool{}
	if err := a.get(ctx, clocksName, &a.far); err != nil {
		return err
	}
	// Of what a missing file hides nothing is kept but whose it is.
	again, err := a.db.Again(ctx)
	for _, id := range again {
		a.again[id] = true
		a.judgeAgain(id)
	}
	return err
}

// get reads a value that the state has; none leaves it as it is.
func (a *Auditor) get(ctx context.Context, name string, into any) error {
	return readValue(ctx, a.db, name, into)
}

func readValue(ctx context.Context, db *state.DB, name string, into any) error {
	text, err := db.Get(ctx, name)
	if err != nil || text == "" {
		return err
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("auditor state: %w: %s is %q: %w", state.ErrDamaged, name, text, err)
	}
	return nil
}

// CheckKept reads what auditors keep in a state beside the leaves, as a replay would: what is
// known of repositories, and all findings. The error wraps state.ErrDamaged where it cannot be
// read.
func CheckKept(ctx context.Context, db *state.DB) error {
	for name, into := range map[string]any{endedName: new(int64), looksName: new(looksMemory), clocksName: new(map[string]bool)} {
		if err := readValue(ctx, db, name, into); err != nil {
			return err
		}
	}
	var ids []tuf.Digest
	err := db.Repositories(ctx, "", func(known state.Repository) error {
		ids = append(ids, known.ID)
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		known, err := readFacts(ctx, db, id)
		if err == nil {
			err = known.restore(newRepository(nil, 0))
		}
		if err != nil {
			return err
		}
	}
	return db.Findings(ctx, true, func(f state.Finding) error {
		_, err := FindingOf(f, 0)
		return errors.Join(err, ctx.Err())
	})
}

func (a *Auditor) set(ctx context.Context, name string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return a.db.Set(ctx, name, string(b))
}

// judged keeps the verdict on a leaf, and what it lists.
func (a *Auditor) judged(ctx context.Context, l *loaded, verdict Verdict) error {
	if err := a.settle(ctx); err != nil {
		return err
	}
	kept := &state.Leaf{Index: l.index, Verdict: verdict, Raw: l.raw}
	if l.leafErr == nil {
		kept.Leaf = l.leaf
	}
	if l.metadata != nil {
		kept.Expires = l.metadata.Expiry()
	}
	if verdict == Right {
		if err := a.list(ctx, kept, l); err != nil {
			return err
		}
		if l.isGenesis() {
			if err := a.db.SetGenesis(ctx, l.leaf.Repository, l.index); err != nil {
				return err
			}
		}
	}
	if r := a.repos[l.leaf.Repository]; r != nil {
		a.weigh(r)
	}
	if err := a.evict(ctx); err != nil {
		return err
	}
	if l.index < a.db.Size() {
		if verdict != NotJudged {
			a.servedRight(doubtKey{kind: BlobMismatch, repository: l.leaf.Repository, index: l.index})
			if err := a.served(ctx, BlobMismatch, l.leaf.Repository, l.index, l.index+1); err != nil {
				return err
			}
		}
		return a.db.SetVerdict(ctx, l.index, verdict, kept.Expires)
	}
	if err := a.db.Append(ctx, kept); err != nil {
		return err
	}
	a.next++
	whole := a.next%proofs.FullWidth == 0
	if whole && a.next-a.committed >= maxUncommitted {
		return a.commit(ctx)
	}
	// Others have to wait for the commit.
	if time.Since(a.committedAt) >= maxUncommittedTime && (whole || a.db.Awaited()) {
		return a.commit(ctx)
	}
	return nil
}

// list keeps what a right leaf lists. If the file of the release before is at hand, only
// what is new in it is read.
func (a *Auditor) list(ctx context.Context, kept *state.Leaf, l *loaded) error {
	if a.cfg.ReportOnly && l.metadata.Root == nil {
		return nil // findings ask for the keys of roots, and for nothing else that is listed
	}
	repo := a.repos[l.leaf.Repository]
	if repo == nil || !repo.newest || repo.before == 0 || l.metadata.Targets == nil {
		return a.db.List(ctx, kept, l.metadata)
	}
	index := repo.roles[l.leaf.Role].versions[repo.before].index
	before, err := a.logged(ctx, index)
	if err != nil {
		return a.db.List(ctx, kept, l.metadata)
	}
	now := l.parts
	return a.db.ListSince(ctx, kept, l.metadata, state.Since{
		Before:   index,
		SameKeys: bytes.Equal(now.delegations, before.delegations),
		Targets: func(yield func(string, tuf.TargetFile) bool) {
			for t := range newlyListed(now, before) {
				if !yield(t.path, t.is.target()) {
					return
				}
			}
		},
	})
}

// commit makes what was judged and found so far last.
func (a *Auditor) commit(ctx context.Context) error {
	began := time.Now()
	if err := a.settle(ctx); err != nil {
		return err
	}
	for _, r := range a.repos {
		if err := a.keep(ctx, r); err != nil {
			return err
		}
	}
	if a.ended > 0 {
		if err := a.set(ctx, endedName, a.ended); err != nil {
			return err
		}
	}
	looks := looksMemory{Looked: a.looked, Looks: []lookMemory{}}
	for _, l := range a.looks {
		if l.size > a.next {
			looks.Looks = append(looks.Looks, lookMemory{l.size, l.after, l.seen})
		}
	}
	// While nothing comes the time alone changes: that it is late by a minute does no harm.
	if a.next > a.committed || len(looks.Looks) > 0 || looks.Looked < a.lookedKept || looks.Looked-a.lookedKept >= keepLookedEvery {
		if err := a.set(ctx, looksName, looks); err != nil {
			return err
		}
		a.lookedKept = looks.Looked
	}
	if err := a.set(ctx, clocksName, a.far); err != nil {
		return err
	}
	if err := a.keepAgain(ctx); err != nil {
		return err
	}
	if err := a.db.Commit(ctx); err != nil {
		return err
	}
	a.committed, a.committedAt = a.next, time.Now()
	a.commitTook = a.committedAt.Sub(began)
	return nil
}

// keepAgain notes which repositories the next process has to judge again: those of which
// something cannot be seen now, and of which it is not known what stands.
func (a *Auditor) keepAgain(ctx context.Context) error {
	now := map[tuf.Digest]bool{}
	for id := range a.blind {
		now[id] = true
	}
	if a.rejudging != nil {
		for id := range a.rejudging.repos {
			now[id] = true
		}
	}
	if a.due != nil {
		now[a.due.leaf.Repository] = true
	}
	for id := range now {
		if !a.again[id] {
			if err := a.db.SetAgain(ctx, id, true); err != nil {
				return err
			}
		}
	}
	for id := range a.again {
		if !now[id] {
			if err := a.db.SetAgain(ctx, id, false); err != nil {
				return err
			}
		}
	}
	a.again = now
	return nil
}

// place is where a payload is first.
type place struct {
	repo  tuf.Digest
	role  string
	index int64
	file  tuf.Digest
}

// firstRelease returns where a payload is released first before a leaf, of the leaves that
// are right: as a root, or as another role.
func (a *Auditor) firstRelease(ctx context.Context, payload tuf.Digest, root bool, before int64) (place, bool, error) {
	l, ok, err := a.db.FirstWith(ctx, payload, root)
	if err != nil || !ok || l.Index >= before {
		return place{}, false, err
	}
	return place{l.Repository, l.Role, l.Index, l.Metadata}, true, nil
}

// leafAt returns the leaf at an index, if the entry there is one and has been judged.
func (a *Auditor) leafAt(ctx context.Context, index int64) (leaf.Leaf, bool, error) {
	l, ok, err := a.db.Leaf(ctx, index)
	return l.Leaf, ok && l.IsLeaf(), err
}
