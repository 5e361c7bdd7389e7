package pigweed_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/bench/testpigweed"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	bundles "github.com/tuflog/tuflog/tuf/pigweed"
	"github.com/tuflog/tuflog/verify"
	"github.com/tuflog/tuflog/verify/pigweed"
)

// world is a log and a vendor whose bundles come with their proofs.
type world struct {
	log  *testlog.Log
	repo tuf.Digest
	key  testpigweed.Key
	next testpigweed.Key
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{log: testlog.New(t, "log.test", 3, "2"), key: newKey(t), next: newKey(t)}
	w.repo = w.parse(t, w.root(t, 1)).PayloadDigest
	return w
}

func newKey(t testing.TB) testpigweed.Key {
	t.Helper()
	k, err := testpigweed.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (w *world) parse(t testing.TB, file []byte) *tuf.Metadata {
	t.Helper()
	m, err := bundles.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// root is root 1, or a later one with another key of targets.
func (w *world) root(t testing.TB, version uint32) []byte {
	t.Helper()
	targets := w.key
	if version > 1 {
		targets = w.next
	}
	file, err := testpigweed.Root{Version: version, Root: []testpigweed.Key{w.key}, Targets: []testpigweed.Key{targets}}.Sign(w.key)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// bundle makes a bundle; root is the version of the root in it, 0: none.
func (w *world) bundle(t testing.TB, root, version uint32, image string) *bundles.Bundle {
	t.Helper()
	signer, rootFile := w.key, []byte(nil)
	if root > 0 {
		rootFile = w.root(t, root)
	}
	if root > 1 {
		signer = w.next
	}
	images := map[string][]byte{"app": []byte(image)}
	targets, err := testpigweed.Targets(version, images, signer)
	if err != nil {
		t.Fatal(err)
	}
	return w.read(t, testpigweed.Bundle(rootFile, targets, images))
}

func (w *world) read(t testing.TB, file []byte) *bundles.Bundle {
	t.Helper()
	b, err := bundles.ParseBundle(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// proved logs metadata of a bundle and puts the proof into it.
func (w *world) proved(t testing.TB, b *bundles.Bundle, payload string, m *tuf.Metadata, change func(*leaf.Leaf)) *bundles.Bundle {
	t.Helper()
	l := leaf.Leaf{Kind: leaf.Release, Repository: w.repo, Role: m.Type, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest, Size: int64(len(m.File)), Encoding: tuf.Pigweed}
	if change != nil {
		change(&l)
	}
	entry := l.Marshal()
	file, err := b.Embed(payload, w.log.Proof(entry, w.log.Add(entry), 1, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	return w.read(t, file)
}

// logged puts both proofs into a bundle.
func (w *world) logged(t testing.TB, b *bundles.Bundle) *bundles.Bundle {
	t.Helper()
	if b.Root != nil {
		b = w.proved(t, b, bundles.RootProof, b.Root, nil)
	}
	return w.proved(t, b, bundles.Proof, b.Targets, nil)
}

func (w *world) device(t testing.TB) pigweed.Device {
	t.Helper()
	return pigweed.Device{Policy: w.log.Policy(), Repository: w.repo, Trusted: bundles.Trusted{Root: w.parse(t, w.root(t, 1))}}
}

func TestVerify(t *testing.T) {
	w := newWorld(t)
	device := w.device(t)
	one := w.logged(t, w.bundle(t, 0, 1, "one"))
	a, err := pigweed.Verify(one.Marshal(), device)
	if err != nil || a.Targets == nil || a.Targets.Version != 1 || a.Root.Version != 1 || a.RootProof != nil || a.Proof == nil {
		t.Fatalf("%+v, %v", a, err)
	}
	device.Trusted.Targets = a.Targets
	refused := func(code verify.Code, b *bundles.Bundle, d pigweed.Device) pigweed.Accepted {
		t.Helper()
		a, err := pigweed.Verify(b.Marshal(), d)
		var r *verify.Refusal
		if !errors.As(err, &r) || r.Code != code || a.Targets != nil {
			t.Errorf("%+v, %v; want %s", a, err, code)
		}
		return a
	}
	refused(verify.CodeSecondPayload, w.logged(t, w.bundle(t, 0, 1, "another one")), device)
	two := w.bundle(t, 0, 2, "two")
	refused(verify.CodeNotLogged, two, device)
	evidence := func(l *leaf.Leaf) { l.Kind, l.Contradicts = leaf.Evidence, 0 }
	refused(verify.CodeEvidence, w.proved(t, two, bundles.Proof, two.Targets, evidence), device)
	refused(verify.CodeBadProof, w.proved(t, two, bundles.Proof, two.Targets, func(l *leaf.Leaf) { l.Encoding = tuf.JSON }), device)
	refused(verify.CodeWrongRepository, w.proved(t, two, bundles.Proof, two.Targets, func(l *leaf.Leaf) { l.Repository = tuf.Digest{1} }), device)
	without := device
	without.Policy = nil
	refused(verify.CodeWrongLog, w.logged(t, two), without)
	refused(verify.CodeDevice, two, pigweed.Device{Policy: device.Policy})

	// A root counts only behind its gate, and then whatever follows it.
	three := w.bundle(t, 3, 3, "three")
	if a := refused(verify.CodeNotLogged, w.proved(t, three, bundles.Proof, three.Targets, nil), device); a.Root != nil {
		t.Error("a root without a proof is accepted")
	}
	if a := refused(verify.CodeNotLogged, w.proved(t, three, bundles.RootProof, three.Root, nil), device); a.Root == nil || a.Root.Version != 3 || a.RootProof == nil {
		t.Error("a root that has passed its gate is not accepted")
	}
	broken := w.logged(t, three).Marshal()
	at := bytes.LastIndex(broken, []byte("three"))
	broken[at] = 'T'
	if a := refused(verify.CodeBadMetadata, w.read(t, broken), device); a.Root == nil {
		t.Error("an image that is altered takes the root back")
	}
	if a, err = pigweed.Verify(w.logged(t, three).Marshal(), device); err != nil {
		t.Fatal(err)
	}
	device.Trusted = bundles.Trusted{Root: a.Root, Targets: a.Targets}
	refused(verify.CodeBadMetadata, one, device) // the key is gone
	four := w.logged(t, w.bundle(t, 3, 4, "four"))
	if a, err = pigweed.Verify(four.Marshal(), device); err != nil {
		t.Fatal(err)
	}
	refused(verify.CodeRollback, w.logged(t, three), pigweed.Device{Policy: device.Policy, Repository: w.repo, Trusted: bundles.Trusted{Root: a.Root, Targets: a.Targets}})
	refused(verify.CodeRollback, w.logged(t, w.bundle(t, 1, 5, "five")), device)
}

// FuzzVerify: whatever a bundle is, it has a code, and what is accepted is what the vendor
// signed and the log has.
func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	device := w.device(f)
	good := w.logged(f, w.bundle(f, 2, 2, "two"))
	f.Add(good.Marshal())
	f.Add(w.logged(f, w.bundle(f, 0, 1, "one")).Marshal())
	f.Add(w.bundle(f, 2, 3, "three").Marshal())
	f.Add([]byte("{}"))
	signed := map[tuf.Digest]bool{}
	for _, m := range []*tuf.Metadata{good.Root, good.Targets, device.Trusted.Root, w.bundle(f, 0, 1, "one").Targets} {
		signed[m.PayloadDigest] = true
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		before := bytes.Clone(file)
		a, err := pigweed.Verify(file, device)
		if err != nil && !errors.As(err, new(*verify.Refusal)) {
			t.Fatalf("no refusal: %v", err)
		}
		if err == nil && (a.Root == nil || a.Targets == nil || a.Proof == nil) || err != nil && a.Targets != nil {
			t.Fatalf("accepted %+v, %v", a, err)
		}
		for _, m := range []*tuf.Metadata{a.Root, a.Targets} {
			if m != nil && !signed[m.PayloadDigest] {
				t.Fatalf("%s %d was never signed, or is not logged", m.Type, m.Version)
			}
		}
		if !bytes.Equal(file, before) {
			t.Fatal("judging changed the bundle")
		}
	})
}
