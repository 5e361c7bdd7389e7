package admit_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

// TestVendorsAgainstReference is TestAgainstReference with the vendors of
// bench/testvendor: honest ones and their evil twins, whose files go-tuf
// writes.
func TestVendorsAgainstReference(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	outcomes := map[string]int{}
	for round := range rounds {
		random := rand.New(rand.NewPCG(11, uint64(round)))
		first := newVendor(t)
		p := newPrefix(t, first.file(tuf.RoleRoot))
		ref := &reference{t: t, records: slices.Clone(p.repo.Records()), files: p.blobs}
		crowd := []*crowdVendor{{vendor: first, roles: []string{tuf.RoleTargets}}}
		var all []submission
		for range 25 {
			v := pick(random, crowd)
			if len(crowd) < 3 && random.IntN(6) == 0 {
				v = &crowdVendor{vendor: v.clone(), roles: slices.Clone(v.roles), bins: slices.Clone(v.bins), stale: v.stale}
				crowd = append(crowd, v)
			}
			v.act(random)
			all = append(all, v.submissions()...)
			for range 12 {
				// Mostly what is new, in any order.
				sub := all[len(all)-1-random.IntN(min(len(all), 6))]
				if random.IntN(3) == 0 {
					sub = pick(random, all)
				}
				got := twoJudges(t, p, ref, sub)
				outcomes[outcome(got)]++
				if got.code != "" || got.logged {
					continue
				}
				for _, file := range append(sub.snapshots, sub.file) {
					p.blobs[tuf.Sum(file)] = file
				}
				if err := p.repo.Apply(p.next, got.leaf); err != nil {
					t.Fatal(err)
				}
				ref.records = append(ref.records, admit.Record{Index: p.next, Leaf: got.leaf})
				p.next++
			}
			sameCurrent(t, p, ref)
		}
		replay(t, p, all)
	}
	t.Log(outcomes)
	for _, want := range []string{"release", "evidence", "logged", admit.RefusedThreshold, admit.RefusedNotDelegated, admit.RefusedSnapshotNeeded} {
		if outcomes[want] < rounds {
			t.Errorf("%s came out %d times: this tests little", want, outcomes[want])
		}
	}
}

// crowdVendor is a vendor and the roles it has released.
type crowdVendor struct {
	vendor
	roles []string
	bins  []string // all of one prefix
	stale bool     // targets has a key that has not signed it: go-tuf reads no file that a key signed twice
}

func (v *crowdVendor) act(random *rand.Rand) {
	v.PlainSnapshots = random.IntN(4) == 0
	role := pick(random, v.roles)
	switch n := random.IntN(100); {
	case n < 15:
		rotated := pick(random, []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTargets})
		v.do(v.Rotate(rotated))
		v.stale = v.stale || rotated == tuf.RoleTargets
	case n < 30 && len(v.roles) < 5 && v.bins == nil: // bins and other delegations do not mix
		name := fmt.Sprint("role", len(v.roles))
		if random.IntN(2) == 0 {
			v.do(v.DelegateShared(role, name, pick(random, v.roles), "*"))
		} else {
			v.do(v.Delegate(role, name, "*"))
		}
		v.roles = append(v.roles, name)
		v.do(v.Release(role, name))
		v.stale = v.stale && role != tuf.RoleTargets
	case n < 36 && v.bins == nil && role != tuf.RoleTargets && len(v.roles) > 1:
		bins, err := v.DelegateBins(role, "bin", 2)
		v.do(err)
		v.bins = bins
		v.do(v.Release(append([]string{role}, bins...)...))
		v.roles = append(v.roles, bins...)
	case n < 50 && v.stale:
		v.do(v.SignAgain(tuf.RoleTargets))
		v.stale = false
	case n < 58:
		v.do(v.PassOff(role, pick(random, v.roles)))
	default:
		v.do(v.Put(role, "file", fmt.Append(nil, random.IntN(3))))
		v.do(v.Release(role))
		v.stale = v.stale && role != tuf.RoleTargets
	}
}

// submissions are all present files of the vendor.
func (v *crowdVendor) submissions() []submission {
	snapshot := v.file(tuf.RoleSnapshot)
	list := []submission{{role: tuf.RoleRoot, file: v.file(tuf.RoleRoot)}, {role: tuf.RoleSnapshot, file: snapshot}}
	for _, role := range v.roles {
		if _, file := v.File(role); file != nil {
			list = append(list, submission{role: role, file: file, snapshots: [][]byte{snapshot}})
		}
	}
	return list
}
