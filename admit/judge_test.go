package admit_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// prefix is a log's prefix as admission sees it: leaves in order and the files
// they name.
type prefix struct {
	t     testing.TB
	repo  *admit.Repository
	blobs map[tuf.Digest][]byte
	next  int64
	reads int // of blobs
}

func (p *prefix) Blob(_ context.Context, sum tuf.Digest) ([]byte, error) {
	p.reads++
	b, ok := p.blobs[sum]
	if !ok {
		return nil, fmt.Errorf("no blob %v", sum)
	}
	return b, nil
}

func newPrefix(t testing.TB, genesis []byte) *prefix {
	t.Helper()
	p := &prefix{t: t, blobs: map[tuf.Digest][]byte{}}
	m := parse(t, genesis)
	d, err := admit.JudgeGenesis(m)
	if err != nil {
		t.Fatal(err)
	}
	p.blobs[m.FileDigest] = m.File
	if p.repo, err = admit.NewRepository(d.Leaf, 0, p); err != nil {
		t.Fatal(err)
	}
	p.next = 1
	return p
}

func parse(t testing.TB, file []byte) *tuf.Metadata {
	t.Helper()
	m, err := codec.ParseAny(file)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (p *prefix) judge(role string, file []byte, snapshots ...[]byte) (admit.Decision, error) {
	p.t.Helper()
	var parsed []*tuf.Metadata
	for _, s := range snapshots {
		parsed = append(parsed, parse(p.t, s))
	}
	return p.repo.Judge(p.t.Context(), role, parse(p.t, file), parsed)
}

// submit judges a file and, when it is to be logged, logs it.
func (p *prefix) submit(role string, file []byte, snapshots ...[]byte) (admit.Decision, error) {
	p.t.Helper()
	d, err := p.judge(role, file, snapshots...)
	if err != nil || d.Logged {
		return d, err
	}
	p.blobs[tuf.Sum(file)] = file
	d.Index = p.next
	p.next++
	if err := p.repo.Apply(d.Index, d.Leaf); err != nil {
		p.t.Fatal(err)
	}
	return d, nil
}

func (p *prefix) mustRelease(role string, file []byte, snapshots ...[]byte) int64 {
	p.t.Helper()
	d, err := p.submit(role, file, snapshots...)
	if err != nil || d.Logged || d.Leaf.Kind != leaf.Release {
		p.t.Fatalf("%s: %+v, %v; want a release", role, d, err)
	}
	return d.Index
}

func (p *prefix) mustBeLogged(at int64, role string, file []byte, snapshots ...[]byte) {
	p.t.Helper()
	d, err := p.submit(role, file, snapshots...)
	if err != nil || !d.Logged || d.Index != at {
		p.t.Fatalf("%s: %+v, %v; want it logged already at %d", role, d, err, at)
	}
}

func (p *prefix) mustBeEvidence(against int64, role string, file []byte, snapshots ...[]byte) int64 {
	p.t.Helper()
	d, err := p.submit(role, file, snapshots...)
	if err != nil || d.Logged || d.Leaf.Kind != leaf.Evidence || d.Leaf.Contradicts != against {
		p.t.Fatalf("%s: %+v, %v; want evidence against %d", role, d, err, against)
	}
	return d.Index
}

func (p *prefix) mustBeRefused(code, role string, file []byte, snapshots ...[]byte) {
	p.t.Helper()
	d, err := p.submit(role, file, snapshots...)
	var r *admit.Refused
	if !errors.As(err, &r) || r.Code != code {
		p.t.Fatalf("%s: %+v, %v; want it refused as %s", role, d, err, code)
	}
}

// vendor is a testvendor whose methods fail the test.
type vendor struct {
	*testvendor.Vendor
	t *testing.T
}

func newVendor(t *testing.T) vendor {
	t.Helper()
	v, err := testvendor.New(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return vendor{v, t}
}

func (v vendor) do(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v vendor) clone() vendor {
	v.t.Helper()
	c, err := v.Clone()
	v.do(err)
	return vendor{c, v.t}
}

func (v vendor) file(role string) []byte {
	v.t.Helper()
	name, b := v.File(role)
	if b == nil {
		v.t.Fatalf("no file %s", name)
	}
	return b
}

func (v vendor) release(role, path, content string) ([]byte, []byte) {
	v.t.Helper()
	v.do(v.Put(role, path, []byte(content)))
	v.do(v.Release(role))
	return v.file(role), v.file(tuf.RoleSnapshot)
}

func TestGenesis(t *testing.T) {
	v := newVendor(t)
	root := parse(t, v.file(tuf.RoleRoot))
	d, err := admit.JudgeGenesis(root)
	if err != nil || d.Leaf.Repository != root.PayloadDigest || d.Leaf.Role != tuf.RoleRoot || d.Leaf.Kind != leaf.Release {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := admit.JudgeGenesis(parse(t, v.file(tuf.RoleTargets))); err == nil || !strings.Contains(err.Error(), "wrong-type") {
		t.Fatalf("targets as genesis: %v", err)
	}
	unsigned := mangleSignatures(v.file(tuf.RoleRoot))
	if _, err := admit.JudgeGenesis(parse(t, unsigned)); err == nil || !strings.Contains(err.Error(), "threshold") {
		t.Fatalf("a root that nobody signed: %v", err)
	}
}

// mangleSignatures changes every signature of a file and leaves its payload.
func mangleSignatures(file []byte) []byte {
	return []byte(strings.ReplaceAll(string(file), `"sig":"`, `"sig":"ff`))
}

func TestReleasesAndVersions(t *testing.T) {
	v := newVendor(t)
	p := newPrefix(t, v.file(tuf.RoleRoot))
	first, snap := v.file(tuf.RoleTargets), v.file(tuf.RoleSnapshot)
	at := p.mustRelease(tuf.RoleTargets, first, snap)
	p.mustBeLogged(at, tuf.RoleTargets, first, snap)
	p.mustBeLogged(at, tuf.RoleTargets, first) // known payloads need no snapshot

	second, snap2 := v.release(tuf.RoleTargets, "app", "2")
	third, snap3 := v.release(tuf.RoleTargets, "app", "3")
	p.mustRelease(tuf.RoleTargets, third, snap3) // a gap is for auditors to report
	p.mustRelease(tuf.RoleTargets, second, snap2)
	rec, ok, err := p.repo.Current(t.Context(), tuf.RoleTargets)
	if err != nil || !ok || rec.Leaf.Version != 3 {
		t.Fatalf("current targets: %+v, %v, %v; want version 3", rec, ok, err)
	}
}

func TestJudgingChangesNothing(t *testing.T) {
	v := newVendor(t)
	p := newPrefix(t, v.file(tuf.RoleRoot))
	before := len(p.repo.Records())
	for range 2 {
		d, err := p.judge(tuf.RoleTargets, v.file(tuf.RoleTargets), v.file(tuf.RoleSnapshot))
		if err != nil || d.Logged {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if len(p.repo.Records()) != before {
		t.Fatal("Judge logged something")
	}
}

func TestSecondPayloadIsEvidenceOnce(t *testing.T) {
	v := newVendor(t)
	p := newPrefix(t, v.file(tuf.RoleRoot))
	p.mustRelease(tuf.RoleTargets, v.file(tuf.RoleTargets), v.file(tuf.RoleSnapshot))
	twin, third := v.clone(), v.clone()
	a, snapA := v.release(tuf.RoleTargets, "app", "for everybody")
	b, snapB := twin.release(tuf.RoleTargets, "app", "for one victim")
	c, snapC := third.release(tuf.RoleTargets, "app", "for another")
	at := p.mustRelease(tuf.RoleTargets, a, snapA)
	p.mustBeRefused(admit.RefusedSnapshotNeeded, tuf.RoleTargets, b, snapA)
	ev := p.mustBeEvidence(at, tuf.RoleTargets, b, snapB)
	p.mustBeLogged(ev, tuf.RoleTargets, b, snapB)
	p.mustBeLogged(ev, tuf.RoleTargets, c, snapC) // once per role and version
	// The evidence is not a release: what is current does not change.
	if rec, ok, err := p.repo.Current(t.Context(), tuf.RoleTargets); err != nil || !ok || rec.Index != at {
		t.Fatalf("current: %+v, %v, %v", rec, ok, err)
	}
}

func TestRootChain(t *testing.T) {
	v := newVendor(t)
	p := newPrefix(t, v.file(tuf.RoleRoot))
	thief := v.clone()
	v.do(v.Rotate(tuf.RoleRoot))
	root2 := v.file(tuf.RoleRoot)
	v.do(v.Rotate(tuf.RoleTargets))
	root3 := v.file(tuf.RoleRoot)

	p.mustBeRefused(admit.RefusedNoParent, tuf.RoleRoot, root3)
	at := p.mustRelease(tuf.RoleRoot, root2)
	p.mustBeLogged(at, tuf.RoleRoot, root2)
	p.mustRelease(tuf.RoleRoot, root3)

	// Root 1's key was stolen: a second root 2 that root 1 signs is evidence,
	// though root 3 stands; its own root 3 chains to nothing that is logged.
	thief.do(thief.Rotate(tuf.RoleRoot))
	p.mustBeEvidence(at, tuf.RoleRoot, thief.file(tuf.RoleRoot))
	thief.do(thief.Rotate(tuf.RoleRoot))
	p.mustBeRefused(admit.RefusedThreshold, tuf.RoleRoot, thief.file(tuf.RoleRoot))

	// A stranger's root of the genesis' version chains to nothing here.
	p.mustBeRefused(admit.RefusedNoParent, tuf.RoleRoot, newVendor(t).file(tuf.RoleRoot))
	p.mustBeRefused(admit.RefusedThreshold, tuf.RoleRoot, mangleSignatures(rotated(t).file(tuf.RoleRoot)))
}

// rotated is another vendor's root 2.
func rotated(t *testing.T) vendor {
	v := newVendor(t)
	v.do(v.Rotate(tuf.RoleSnapshot))
	return v
}

func TestRotationAndSigningAgain(t *testing.T) {
	v := newVendor(t)
	p := newPrefix(t, v.file(tuf.RoleRoot))
	old, oldSnap := v.release(tuf.RoleTargets, "app", "2")
	thief := v.clone()
	at := p.mustRelease(tuf.RoleTargets, old, oldSnap)

	v.do(v.Rotate(tuf.RoleTargets))
	p.mustRelease(tuf.RoleRoot, v.file(tuf.RoleRoot))
	// What only the old key signed stands no longer, and nothing new may come of it.
	if _, ok, err := p.repo.Current(t.Context(), tuf.RoleTargets); err != nil || ok {
		t.Fatalf("a superseded key's release is current: %v, %v", ok, err)
	}
	p.mustBeLogged(at, tuf.RoleTargets, old, oldSnap)
	stolen, stolenSnap := thief.release(tuf.RoleTargets, "app", "stolen")
	p.mustBeRefused(admit.RefusedSuperseded, tuf.RoleTargets, stolen, stolenSnap)

	// The same payload with the new key's signature is a release again, once.
	v.do(v.SignAgain(tuf.RoleTargets))
	again := v.file(tuf.RoleTargets)
	if parse(t, again).PayloadDigest != parse(t, old).PayloadDigest {
		t.Fatal("signing again changed the payload")
	}
	p.mustBeLogged(at, tuf.RoleTargets, again, oldSnap)
	second := p.mustRelease(tuf.RoleTargets, again, v.file(tuf.RoleSnapshot))
	p.mustBeLogged(second, tuf.RoleTargets, again, v.file(tuf.RoleSnapshot))
	p.mustBeLogged(second, tuf.RoleTargets, old)
	if rec, ok, err := p.repo.Current(t.Context(), tuf.RoleTargets); err != nil || !ok || rec.Index != second {
		t.Fatalf("current: %+v, %v, %v", rec, ok, err)
	}
}

func TestVersionUsedAgainAfterRotation(t *testing.T) {
	v := newVendor(t)
	p := newPrefix(t, v.file(tuf.RoleRoot))
	fork := v.clone()
	a, snapA := v.release(tuf.RoleTargets, "app", "first use of version 2")
	p.mustRelease(tuf.RoleTargets, a, snapA)
	fork.do(fork.Rotate(tuf.RoleTargets))
	p.mustRelease(tuf.RoleRoot, fork.file(tuf.RoleRoot))
	b, snapB := fork.release(tuf.RoleTargets, "app", "second use of version 2")
	p.mustRelease(tuf.RoleTargets, b, snapB) // the first no longer stands
}

func TestDelegations(t *testing.T) {
	v := newVendor(t)
	p := newPrefix(t, v.file(tuf.RoleRoot))
	v.do(v.Delegate(tuf.RoleTargets, "apps", "apps/*"))
	v.do(v.Delegate("apps", "games", "apps/games/*"))
	v.do(v.Release(tuf.RoleTargets, "apps", "games"))
	snap := v.file(tuf.RoleSnapshot)

	// A dependent does not land before its parent.
	p.mustBeRefused(admit.RefusedNotDelegated, "apps", v.file("apps"), snap)
	p.mustRelease(tuf.RoleTargets, v.file(tuf.RoleTargets), snap)
	p.mustBeRefused(admit.RefusedNotDelegated, "games", v.file("games"), snap)
	apps := p.mustRelease("apps", v.file("apps"), snap)
	p.mustRelease("games", v.file("games"), snap)

	// Passing off: the snapshot does not list the file as another role's, and a
	// logged payload keeps its role.
	p.mustBeRefused(admit.RefusedThreshold, tuf.RoleTargets, v.file("apps"), snap)
	next, nextSnap := v.release("apps", "apps/a", "1")
	p.mustBeRefused(admit.RefusedThreshold, "games", next, nextSnap)
	p.mustBeRefused(admit.RefusedNotDelegated, "nobody", next, nextSnap)
	p.mustBeRefused(admit.RefusedSnapshotNeeded, "apps", next, snap)
	p.mustBeLogged(apps, "apps", mustFile(t, v, "1.apps.json"))
	p.mustRelease("apps", next, nextSnap)
}

func mustFile(t *testing.T, v vendor, name string) []byte {
	t.Helper()
	b, ok := v.Files()[name]
	if !ok {
		t.Fatalf("no %s among %v", name, slices.Sorted(maps.Keys(v.Files())))
	}
	return b
}

// Two roles with the same key: only the snapshot tells their files apart.
func TestSharedKeyDoesNotShareFiles(t *testing.T) {
	v := newVendor(t)
	p := newPrefix(t, v.file(tuf.RoleRoot))
	other := newVendor(t)
	snap := v.file(tuf.RoleSnapshot)
	p.mustBeRefused(admit.RefusedSnapshotNeeded, tuf.RoleTargets, v.file(tuf.RoleTargets))
	p.mustBeRefused(admit.RefusedSnapshotNeeded, tuf.RoleTargets, v.file(tuf.RoleTargets), other.file(tuf.RoleSnapshot))
	p.mustBeRefused(admit.RefusedSnapshotNeeded, tuf.RoleTargets, v.file(tuf.RoleTargets), mangleSignatures(snap))
	p.mustBeRefused(admit.RefusedSnapshotNeeded, tuf.RoleTargets, v.file(tuf.RoleTargets), v.file(tuf.RoleTimestamp))
	p.mustRelease(tuf.RoleTargets, v.file(tuf.RoleTargets), other.file(tuf.RoleSnapshot), snap)
}

// Empty hash bins that are released together have one payload between them,
// whether the snapshot lists hashes or versions only.
func TestBinsShareTheirPayload(t *testing.T) {
	for _, plain := range []bool{false, true} {
		v := newVendor(t)
		v.PlainSnapshots = plain
		p := newPrefix(t, v.file(tuf.RoleRoot))
		bins, err := v.DelegateBins(tuf.RoleTargets, "bin", 2)
		v.do(err)
		v.do(v.Release(append([]string{tuf.RoleTargets}, bins...)...))
		snap := v.file(tuf.RoleSnapshot)
		p.mustRelease(tuf.RoleTargets, v.file(tuf.RoleTargets), snap)
		first := p.mustRelease(bins[0], v.file(bins[0]), snap)
		if parse(t, v.file(bins[1])).PayloadDigest != parse(t, v.file(bins[0])).PayloadDigest {
			t.Fatal("the bins differ: this tests nothing")
		}
		p.mustBeRefused(admit.RefusedSnapshotNeeded, bins[1], v.file(bins[1]))
		second := p.mustRelease(bins[1], v.file(bins[1]), snap)
		p.mustBeLogged(first, bins[0], v.file(bins[0]), snap)
		p.mustBeLogged(second, bins[1], v.file(bins[1]), snap)
	}
}

func TestCrossRepository(t *testing.T) {
	v, other := newVendor(t), newVendor(t)
	p := newPrefix(t, v.file(tuf.RoleRoot))
	p.mustBeRefused(admit.RefusedThreshold, tuf.RoleTargets, other.file(tuf.RoleTargets), other.file(tuf.RoleSnapshot))
	other.do(other.Rotate(tuf.RoleRoot))
	p.mustBeRefused(admit.RefusedThreshold, tuf.RoleRoot, other.file(tuf.RoleRoot))
}

func TestRefusals(t *testing.T) {
	v := newVendor(t)
	p := newPrefix(t, v.file(tuf.RoleRoot))
	snap := v.file(tuf.RoleSnapshot)
	p.mustBeRefused(admit.RefusedWrongType, tuf.RoleRoot, v.file(tuf.RoleTargets))
	p.mustBeRefused(admit.RefusedWrongType, tuf.RoleTargets, snap)
	p.mustBeRefused(admit.RefusedWrongType, tuf.RoleSnapshot, v.file(tuf.RoleTimestamp))
	p.mustBeRefused(admit.RefusedWrongType, "apps", v.file(tuf.RoleRoot))
	p.mustBeRefused(admit.RefusedRoleName, strings.Repeat("é", 1000), v.file(tuf.RoleTargets), snap)
	p.mustBeRefused(admit.RefusedRoleName, "", v.file(tuf.RoleTargets), snap)
	p.mustBeRefused(admit.RefusedThreshold, tuf.RoleTargets, mangleSignatures(v.file(tuf.RoleTargets)), snap)
}

func TestSnapshotsAndTimestampsAsLeaves(t *testing.T) {
	v := newVendor(t)
	p := newPrefix(t, v.file(tuf.RoleRoot))
	at := p.mustRelease(tuf.RoleSnapshot, v.file(tuf.RoleSnapshot))
	p.mustRelease(tuf.RoleTimestamp, v.file(tuf.RoleTimestamp))
	p.mustBeLogged(at, tuf.RoleSnapshot, v.file(tuf.RoleSnapshot))
	a, b := v.clone(), v.clone()
	a.release(tuf.RoleTargets, "app", "a")
	b.release(tuf.RoleTargets, "app", "b")
	at = p.mustRelease(tuf.RoleSnapshot, a.file(tuf.RoleSnapshot))
	p.mustBeEvidence(at, tuf.RoleSnapshot, b.file(tuf.RoleSnapshot))
}

func TestApplyRefusesWhatCannotBe(t *testing.T) {
	v, other := newVendor(t), newVendor(t)
	p := newPrefix(t, v.file(tuf.RoleRoot))
	d, err := p.judge(tuf.RoleTargets, v.file(tuf.RoleTargets), v.file(tuf.RoleSnapshot))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.repo.Apply(0, d.Leaf); err == nil {
		t.Error("two leaves at one index")
	}
	stranger, err := admit.JudgeGenesis(parse(t, other.file(tuf.RoleRoot)))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.repo.Apply(7, stranger.Leaf); err == nil {
		t.Error("a leaf of another repository")
	}
	if _, err := admit.NewRepository(d.Leaf, 0, p); err == nil {
		t.Error("a repository that begins with targets")
	}
}
