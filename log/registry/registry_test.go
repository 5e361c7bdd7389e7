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
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testTail(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func testTail(t *testing.T, random *rand.Rand) {
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	check(err)
	check(v.Delegate("targets", "lib", "lib/*"))
	check(v.Delegate("lib", "deep", "lib/deep/*"))
	check(v.Release("targets", "lib", "deep"))
	blobs := mapBlobs{}
	var pool []sent
	collect := func(v *testvendor.Vendor) {
		var snapshots []*tuf.Metadata
		for _, role := range []string{"snapshot", "root", "targets", "lib", "deep"} {
			_, file := v.File(role)
			m, err := tuf.ParseJSON(file)
			check(err)
			blobs[m.FileDigest] = file
			if role == "snapshot" {
				snapshots = []*tuf.Metadata{m}
				continue
			}
			pool = append(pool, sent{role, m, snapshots})
		}
	}
	collect(v)
	genesis, err := admit.JudgeGenesis(pool[0].meta)
	check(err)
	whole, err := admit.NewRepository(genesis.Leaf, 0, blobs)
	check(err)
	state := &slowState{records: slices.Clone(whole.Records())}
	r := New(blobs, state, func() int64 {
		if len(state.records) == 0 {
			return 0
		}
		return state.records[len(state.records)-1].Index + 1
	}, nil)
	r.keepVersions = 2
	cutting := random.IntN(2) == 0
	if cutting {
		r.cutAfter = 2
	}
	cut := 0
	index, differed := int64(1), 0
	for step := range 60 {
		role := []string{"targets", "lib", "deep"}[random.IntN(3)]
		switch random.IntN(8) {
		case 0:
			check(v.Rotate([]string{"snapshot", "root"}[random.IntN(2)]))
		case 1:
			check(v.Rotate("targets"))
			if random.IntN(2) == 0 {
				check(v.SignAgain("targets"))
			}
		case 2:
			twin, err := v.Clone()
			check(err)
			check(twin.Put(role, "lib/deep/x", fmt.Appendf(nil, "twin %d", step)))
			check(twin.Release(role))
			collect(twin)
		default:
			check(v.Put(role, "lib/deep/x", fmt.Appendf(nil, "step %d", step)))
			check(v.Release(role))
		}
		collect(v)
		for range 12 {
			s := pool[random.IntN(len(pool))]
			if random.IntN(2) == 0 {
				s = pool[len(pool)-1-random.IntN(4)]
			}
			want, wantErr := whole.Judge(t.Context(), s.role, s.meta, s.snapshots)
			long := r.repos[whole.ID()] != nil && r.repos[whole.ID()].applied > r.cutAfter
			repo, err := r.Get(t.Context(), whole.ID())
			check(err)
			if len(repo.floors) > 0 {
				differed++
			}
			if long && len(repo.judge.Records()) < len(whole.Records()) {
				cut++
			}
			got, gotErr := r.Judge(t.Context(), repo, s.role, s.meta, s.snapshots)
			if got != want || (gotErr == nil) != (wantErr == nil) || gotErr != nil && !admit.IsRefused(gotErr) {
				t.Fatalf("step %d: %s %d: %+v, %v\nwant %+v, %v", step, s.role, s.meta.Version, got, gotErr, want, wantErr)
			}
			roles, err := r.Roles(t.Context(), whole.ID())
			check(err)
			before := state.wholes
			again, err := r.Roles(t.Context(), whole.ID())
			if check(err); !slices.Equal(again, roles) || state.wholes != before {
				t.Fatalf("step %d: what is current is read again: %+v, then %+v", step, roles, again)
			}
			for _, got := range roles {
				if rec, ok, err := whole.Current(t.Context(), got.Role); err != nil || !ok || got != (api.RoleCurrent{Role: got.Role, Version: rec.Leaf.Version, Index: rec.Index}) {
					t.Fatalf("step %d: current %+v; want %+v, %v, %v", step, got, rec, ok, err)
				}
			}
			if wantErr == nil && !want.Logged {
				rec := admit.Record{Index: index, Leaf: want.Leaf}
				index++
				check(whole.Apply(rec.Index, rec.Leaf))
				check(r.apply(t.Context(), rec))
			}
			// The state follows now and then, and memory is cut then; or the
			// state is always behind, and memory cut while it is.
			switch {
			case cutting && index < 8:
				state.records = nil // it has not come to this repository yet
			case cutting:
				behind := random.IntN(3)
				state.records = slices.Clone(whole.Records()[:max(len(state.records), len(whole.Records())-behind)])
			case random.IntN(6) == 0:
				state.records = slices.Clone(whole.Records())
				r.mu.Lock()
				r.drop(r.repos[whole.ID()], r.applied())
				r.mu.Unlock()
			}
		}
	}
	if differed < 300 || index < 30 || cutting && cut < 5 {
		t.Errorf("a part of the repository was judged by %d times, of %d leaves; it was cut %d times", differed, index, cut)
	}
}
