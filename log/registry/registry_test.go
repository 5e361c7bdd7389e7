package registry

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// slowState is a StateReader of one repository, the obvious way.
type slowState struct {
	log.StateReader
	records []admit.Record
	wholes  int // times it was read whole
}

func (s *slowState) Root(_ context.Context, payload tuf.Digest) (admit.Record, bool, error) {
	for _, rec := range s.records {
		if rec.Leaf.Payload == payload && rec.Leaf.Role == tuf.RoleRoot {
			return rec, true, nil
		}
	}
	return admit.Record{}, false, nil
}

func (s *slowState) Tail(_ context.Context, _ tuf.Digest, keep int) (tail []admit.Record, floors map[string]int64, err error) {
	if keep > 1<<20 {
		s.wholes++
	}
	versions := map[string][]int64{}
	for _, rec := range s.records {
		if rec.Leaf.Kind == leaf.Release && rec.Leaf.Role != tuf.RoleRoot {
			versions[rec.Leaf.Role] = append(versions[rec.Leaf.Role], rec.Leaf.Version)
		}
	}
	floor := map[string]int64{}
	for role, list := range versions {
		slices.Sort(list)
		floor[role] = list[max(0, len(list)-keep)]
	}
	floors = map[string]int64{}
	for _, rec := range s.records {
		if rec.Leaf.Version >= floor[rec.Leaf.Role] {
			tail = append(tail, rec)
		} else {
			floors[rec.Leaf.Role] = floor[rec.Leaf.Role]
		}
	}
	return tail, floors, nil
}

func (s *slowState) Same(_ context.Context, _ tuf.Digest, role string, version int64, payload tuf.Digest) (found []int64, err error) {
	for _, rec := range s.records {
		if rec.Leaf.Payload == payload || rec.Leaf.Role == role && rec.Leaf.Version == version {
			found = append(found, rec.Index)
		}
	}
	return found, nil
}

type mapBlobs map[tuf.Digest][]byte

func (m mapBlobs) Blob(_ context.Context, sum tuf.Digest) ([]byte, error) {
	if b, ok := m[sum]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

// sent is what somebody might submit at any time.
type sent struct {
	role      string
	meta      *tuf.Metadata
	snapshots []*tuf.Metadata
}

// A repository of which only the newest versions are in memory must lead to the
// verdicts that the whole of it leads to: over every file there ever was, after
// rotations, re-signing and equivocation, in any order.
func TestTailJudgesAsTheWhole(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			tail := newTailTest(t, rand.New(rand.NewPCG(seed, 1)))
			for step := range 60 {
				tail.release(step)
				for range 12 {
					tail.compare(step)
				}
			}
			if tail.differed < 300 || tail.index < 30 || tail.cutting && tail.cut < 5 {
				t.Errorf("a part of the repository was judged by %d times, of %d leaves; it was cut %d times", tail.differed, tail.index, tail.cut)
			}
		})
	}
}

// tailTest is a repository, whole and in a registry that keeps the newest versions alone.
type tailTest struct {
	*testing.T
	random *rand.Rand
	vendor *testvendor.Vendor
	blobs  mapBlobs
	pool   []sent // every file that there was

	whole   *admit.Repository
	state   *slowState
	r       *Registry
	cutting bool  // memory is cut while the state is behind
	index   int64 // of the next leaf

	differed, cut int // how often a part was judged by, and was cut before
}

func (t *tailTest) check(err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newTailTest(in *testing.T, random *rand.Rand) *tailTest {
	t := &tailTest{T: in, random: random, blobs: mapBlobs{}, cutting: random.IntN(2) == 0, index: 1}
	var err error
	t.vendor, err = testvendor.New(time.Now().Add(24 * time.Hour))
	t.check(err)
	t.check(t.vendor.Delegate("targets", "lib", "lib/*"))
	t.check(t.vendor.Delegate("lib", "deep", "lib/deep/*"))
	t.check(t.vendor.Release("targets", "lib", "deep"))
	t.collect(t.vendor)
	genesis, err := admit.JudgeGenesis(t.pool[0].meta)
	t.check(err)
	t.whole, err = admit.NewRepository(genesis.Leaf, 0, t.blobs)
	t.check(err)
	t.state = &slowState{records: slices.Clone(t.whole.Records())}
	t.r = New(t.blobs, t.state, func() int64 {
		if len(t.state.records) == 0 {
			return 0
		}
		return t.state.records[len(t.state.records)-1].Index + 1
	}, nil)
	t.r.keepVersions = 2
	if t.cutting {
		t.r.cutAfter = 2
	}
	return t
}

// collect takes a vendor's present files.
func (t *tailTest) collect(v *testvendor.Vendor) {
	var snapshots []*tuf.Metadata
	for _, role := range []string{"snapshot", "root", "targets", "lib", "deep"} {
		_, file := v.File(role)
		m, err := tuf.ParseJSON(file)
		t.check(err)
		t.blobs[m.FileDigest] = file
		if role == "snapshot" {
			snapshots = []*tuf.Metadata{m}
			continue
		}
		t.pool = append(t.pool, sent{role, m, snapshots})
	}
}

// release makes another release, rotates keys, or signs a second payload.
func (t *tailTest) release(step int) {
	role := []string{"targets", "lib", "deep"}[t.random.IntN(3)]
	switch t.random.IntN(8) {
	case 0:
		t.check(t.vendor.Rotate([]string{"snapshot", "root"}[t.random.IntN(2)]))
	case 1:
		t.check(t.vendor.Rotate("targets"))
		if t.random.IntN(2) == 0 {
			t.check(t.vendor.SignAgain("targets"))
		}
	case 2:
		twin, err := t.vendor.Clone()
		t.check(err)
		t.check(twin.Put(role, "lib/deep/x", fmt.Appendf(nil, "twin %d", step)))
		t.check(twin.Release(role))
		t.collect(twin)
	default:
		t.check(t.vendor.Put(role, "lib/deep/x", fmt.Appendf(nil, "step %d", step)))
		t.check(t.vendor.Release(role))
	}
	t.collect(t.vendor)
}

// compare judges a file by both, and adds it if it is to be logged.
func (t *tailTest) compare(step int) {
	s := t.pool[t.random.IntN(len(t.pool))]
	if t.random.IntN(2) == 0 {
		s = t.pool[len(t.pool)-1-t.random.IntN(4)]
	}
	want, wantErr := t.whole.Judge(t.Context(), s.role, s.meta, s.snapshots)
	held := t.r.repos[t.whole.ID()]
	long := held != nil && held.applied > t.r.cutAfter
	repo, err := t.r.Get(t.Context(), t.whole.ID())
	t.check(err)
	if len(repo.floors) > 0 {
		t.differed++
	}
	if long && len(repo.judge.Records()) < len(t.whole.Records()) {
		t.cut++
	}
	got, gotErr := t.r.Judge(t.Context(), repo, s.role, s.meta, s.snapshots)
	if got != want || (gotErr == nil) != (wantErr == nil) || gotErr != nil && !admit.IsRefused(gotErr) {
		t.Fatalf("step %d: %s %d: %+v, %v\nwant %+v, %v", step, s.role, s.meta.Version, got, gotErr, want, wantErr)
	}
	t.compareCurrent(step)
	if wantErr == nil && !want.Logged {
		rec := admit.Record{Index: t.index, Leaf: want.Leaf}
		t.index++
		t.check(t.whole.Apply(rec.Index, rec.Leaf))
		t.check(t.r.apply(t.Context(), rec))
	}
	t.follow()
}

// compareCurrent compares what is current of each role.
func (t *tailTest) compareCurrent(step int) {
	roles, err := t.r.Roles(t.Context(), t.whole.ID())
	t.check(err)
	before := t.state.wholes
	again, err := t.r.Roles(t.Context(), t.whole.ID())
	if t.check(err); !slices.Equal(again, roles) || t.state.wholes != before {
		t.Fatalf("step %d: what is current is read again: %+v, then %+v", step, roles, again)
	}
	for _, got := range roles {
		if rec, ok, err := t.whole.Current(t.Context(), got.Role); err != nil || !ok || got != (api.RoleCurrent{Role: got.Role, Version: rec.Leaf.Version, Index: rec.Index}) {
			t.Fatalf("step %d: current %+v; want %+v, %v, %v", step, got, rec, ok, err)
		}
	}
}

// follow lets the state follow now and then, and cuts memory then; or the state is always
// behind, and memory is cut while it is.
func (t *tailTest) follow() {
	switch {
	case t.cutting && t.index < 8:
		t.state.records = nil // it has not come to this repository yet
	case t.cutting:
		behind := t.random.IntN(3)
		t.state.records = slices.Clone(t.whole.Records()[:max(len(t.state.records), len(t.whole.Records())-behind)])
	case t.random.IntN(6) == 0:
		t.state.records = slices.Clone(t.whole.Records())
		t.r.mu.Lock()
		t.r.drop(t.r.repos[t.whole.ID()], t.r.applied())
		t.r.mu.Unlock()
	}
}
