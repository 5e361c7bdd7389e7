package audit_test

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Whichever keys an auditor takes for likely while it reads ahead, the audit is the same:
// what was checked under other keys is no answer under the right ones.
func TestLikelyKeysDecideNothing(t *testing.T) {
	h := newHistory(t)
	// A thief's release, which the rules do not give.
	thief := newVendor(t)
	must(t, thief.Put(tuf.RoleTargets, "app.bin", []byte("a thief's")))
	must(t, thief.Release(tuf.RoleTargets))
	_, targets := thief.File(tuf.RoleTargets)
	_, snapshot := thief.File(tuf.RoleSnapshot)
	m := audittest.Parse(t, targets)
	l := leaf.Leaf{
		Kind: leaf.Release, Repository: h.repo, Role: tuf.RoleTargets, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest,
		Size: int64(len(targets)), Snapshot: tuf.Sum(snapshot), Listed: leaf.ByHash, Encoding: tuf.JSON,
	}
	h.Append(l.Marshal(), targets, snapshot)
	h.Publish(2)
	want := newAuditor(t, h.Log, at(h.Time))
	step(t, want)

	var roots []*tuf.Root // whose keys are taken for likely
	for _, v := range []map[string][]byte{h.vendor.Files(), thief.Files()} {
		for name, file := range v {
			if name == "1.root.json" || name == "2.root.json" {
				roots = append(roots, audittest.Parse(t, file).Root)
			}
		}
	}
	roles := []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot}
	random := rand.New(rand.NewPCG(2, 7))
	for range 20 {
		var a *audit.Auditor
		a = newAuditor(t, h.Log, at(h.Time), func(c *audit.Config) {
			c.Progress = func(int64, int64) { // after each leaf others are likely
				for _, role := range append(roles, "plugin") {
					a.Mislead(h.repo, role, roots[random.IntN(len(roots))].KeySet(roles[random.IntN(len(roles))]))
				}
			}
		})
		step(t, a)
		if got, want := report(t, a), report(t, want); !reflect.DeepEqual(got, want) {
			t.Fatalf("misled: %s\nwant: %s", kinds(got.Findings), kinds(want.Findings))
		}
	}
}
