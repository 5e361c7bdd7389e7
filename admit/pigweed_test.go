package admit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/bench/testpigweed"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
)

// pigweedVendor signs Pigweed's metadata.
type pigweedVendor struct {
	t    *testing.T
	keys map[string]testpigweed.Key
}

func newPigweedVendor(t *testing.T) *pigweedVendor {
	return &pigweedVendor{t, map[string]testpigweed.Key{}}
}

func (v *pigweedVendor) key(name string) testpigweed.Key {
	k, ok := v.keys[name]
	if !ok {
		var err error
		if k, err = testpigweed.NewKey(); err != nil {
			v.t.Fatal(err)
		}
		v.keys[name] = k
	}
	return k
}

// root signs a root with keys named by names.
func (v *pigweedVendor) root(version uint32, root, targets string, signers ...string) []byte {
	v.t.Helper()
	var by []testpigweed.Key
	for _, s := range signers {
		by = append(by, v.key(s))
	}
	file, err := testpigweed.Root{Version: version, Root: []testpigweed.Key{v.key(root)}, Targets: []testpigweed.Key{v.key(targets)}}.Sign(by...)
	if err != nil {
		v.t.Fatal(err)
	}
	return file
}

func (v *pigweedVendor) targets(version uint32, content, signer string) []byte {
	v.t.Helper()
	file, err := testpigweed.Targets(version, map[string][]byte{"app": []byte(content)}, v.key(signer))
	if err != nil {
		v.t.Fatal(err)
	}
	return file
}

func TestPigweedReleases(t *testing.T) {
	v := newPigweedVendor(t)
	p := newPrefix(t, v.root(1, "r1", "t1", "r1"))
	one := v.targets(1, "one", "t1")
	at := p.mustRelease(tuf.RoleTargets, one)
	d, err := p.submit(tuf.RoleTargets, one)
	if err != nil || !d.Logged || d.Index != at || d.Leaf.Encoding != tuf.Pigweed || !d.Leaf.Snapshot.IsZero() || !d.Leaf.Bound() {
		t.Errorf("logged as %+v, %v", d, err)
	}
	// The file names its role itself: it is bound, and a second payload is evidence, once.
	second := p.mustBeEvidence(at, tuf.RoleTargets, v.targets(1, "another one", "t1"))
	p.mustBeLogged(second, tuf.RoleTargets, v.targets(1, "a third one", "t1"))
	p.mustBeRefused(admit.RefusedThreshold, tuf.RoleTargets, v.targets(2, "two", "t9"))
	p.mustBeRefused(admit.RefusedWrongType, tuf.RoleRoot, one)
	p.mustBeRefused(admit.RefusedWrongType, tuf.RoleSnapshot, one)
	p.mustBeRefused(admit.RefusedNotDelegated, "app", one)
	p.mustRelease(tuf.RoleTargets, v.targets(4294967295, "the last", "t1"))

	// Neither takes the other's files.
	vendor := newVendor(t)
	p.mustBeRefused(admit.RefusedEncoding, tuf.RoleRoot, vendor.file(tuf.RoleRoot))
	newPrefix(t, vendor.file(tuf.RoleRoot)).mustBeRefused(admit.RefusedEncoding, tuf.RoleTargets, one)
}

// Pigweed does not climb: a root follows the highest one below it.
func TestPigweedRoots(t *testing.T) {
	v := newPigweedVendor(t)
	p := newPrefix(t, v.root(3, "r1", "t1", "r1"))
	p.mustBeRefused(admit.RefusedNoParent, tuf.RoleRoot, v.root(2, "r1", "t1", "r1"))
	p.mustRelease(tuf.RoleTargets, v.targets(1, "one", "t1"))
	seven := p.mustRelease(tuf.RoleRoot, v.root(7, "r2", "t2", "r1", "r2"))
	p.mustBeRefused(admit.RefusedSuperseded, tuf.RoleTargets, v.targets(2, "two", "t1"))
	p.mustRelease(tuf.RoleTargets, v.targets(1, "another first one", "t2")) // what t1 signed does not stand any more
	p.mustBeRefused(admit.RefusedThreshold, tuf.RoleRoot, v.root(9, "r3", "t2", "r1", "r3"))
	p.mustBeRefused(admit.RefusedThreshold, tuf.RoleRoot, v.root(9, "r3", "t2", "r2"))
	p.mustBeEvidence(seven, tuf.RoleRoot, v.root(7, "r2", "t3", "r1", "r2"))
	// A late one follows root 3, and does not change who is in force.
	p.mustRelease(tuf.RoleRoot, v.root(5, "r4", "t4", "r1", "r4"))
	p.mustBeRefused(admit.RefusedThreshold, tuf.RoleTargets, v.targets(3, "three", "t4"))
	p.mustRelease(tuf.RoleTargets, v.targets(3, "three", "t2"))
	// Root 6 now follows root 5.
	p.mustBeRefused(admit.RefusedThreshold, tuf.RoleRoot, v.root(6, "r1", "t1", "r1"))
	p.mustRelease(tuf.RoleRoot, v.root(6, "r1", "t1", "r1", "r4"))
}

func TestPigweedUnsignedBytes(t *testing.T) {
	v := newPigweedVendor(t)
	p := newPrefix(t, v.root(1, "r1", "t1", "r1"))
	// A stranger's signatures make room for the parser, and not for the judge.
	file := v.targets(1, "one", "t1")
	strangers := append([]byte{}, file...)
	for i := range 8 {
		by, err := testpigweed.Targets(1, map[string][]byte{"app": []byte("one")}, v.key(strings.Repeat("x", i+1)))
		if err != nil {
			t.Fatal(err)
		}
		payload := parse(t, by).Payload
		strangers = append(strangers, by[len(by)-(len(by)-2-len(payload)):]...)
	}
	padded := append(strangers, 0x82, 0x96, 0x01, 0x80, 0x80, 0x06) // field 2400, 98304 bytes
	padded = append(padded, make([]byte, 98304)...)
	p.mustBeRefused(admit.RefusedMalformed, tuf.RoleTargets, padded)
	p.mustRelease(tuf.RoleTargets, strangers)
	p.mustBeLogged(1, tuf.RoleTargets, file)
}

// What Pigweed's own tools wrote goes into one log, as far as it is good.
func TestPigweedRealBundles(t *testing.T) {
	dir := realdata.Bundles(t)
	bundle := func(name string) *pigweed.Bundle {
		file, err := os.ReadFile(filepath.Join(dir, name+".pb"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := pigweed.ParseBundle(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return b
	}
	p := newPrefix(t, bundle("release_1").Root.File)
	p.mustRelease(tuf.RoleTargets, bundle("release_1").Targets.File)
	two := p.mustRelease(tuf.RoleTargets, bundle("release_2").Targets.File)
	for _, same := range []string{"release_2_with_extra_payload", "release_2_with_unknown_field", "release_2_bad_payload"} {
		p.mustBeLogged(two, tuf.RoleTargets, bundle(same).Targets.File)
	}
	// What is logged stays logged, whoever signs it.
	p.mustBeLogged(two, tuf.RoleTargets, bundle("release_2_bad_signature").Targets.File)
	evidence := p.mustBeEvidence(two, tuf.RoleTargets, bundle("release_2_equivocation").Targets.File)
	p.mustBeLogged(evidence, tuf.RoleTargets, bundle("release_2_no_root").Targets.File) // another payload of version 2
	p.mustRelease(tuf.RoleRoot, bundle("release_3_targets_key_rotated").Root.File)
	p.mustRelease(tuf.RoleTargets, bundle("release_3_targets_key_rotated").Targets.File)
	p.mustRelease(tuf.RoleRoot, bundle("release_4_root_key_rotated").Root.File)
	p.mustRelease(tuf.RoleTargets, bundle("release_4_root_key_rotated").Targets.File)
	p.mustBeRefused(admit.RefusedThreshold, tuf.RoleTargets, bundle("unsigned").Targets.File)
}
