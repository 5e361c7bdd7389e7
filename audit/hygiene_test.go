package audit_test

import (
	"crypto"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

func hygiene(r *audit.Report) string {
	var list []string
	for _, f := range r.Findings {
		if f.Class == audit.Hygiene {
			list = append(list, fmt.Sprintf("%s@%d", f.Kind, f.Index))
		}
	}
	return strings.Join(list, " ")
}

func TestHygieneOfVersions(t *testing.T) {
	h := newHistory(t)
	var files [][2][]byte
	var early *testvendor.Vendor // knows nothing of version 9
	for i := range 5 {
		if i == 4 {
			var err error
			early, err = h.vendor.Clone()
			must(t, err)
		}
		must(t, h.vendor.Put(tuf.RoleTargets, "app.bin", fmt.Append(nil, i)))
		must(t, h.vendor.Release(tuf.RoleTargets))
		files = append(files, [2][]byte{h.file(tuf.RoleTargets), h.file(tuf.RoleSnapshot)})
	}
	for _, i := range []int{1, 4, 3} { // versions 6, 9 and, late, 8
		h.Submit(h.repo, tuf.RoleTargets, files[i][0], files[i][1])
	}
	// After a rotation version 9 no longer stands and is used again.
	h.vendor = early
	must(t, h.vendor.Rotate(tuf.RoleTargets))
	h.submit(tuf.RoleRoot)
	if entry, _ := h.release(tuf.RoleTargets, "app.bin", "nine, again"); entry.Kind != leaf.Release || entry.Version != 9 {
		t.Fatalf("version 9 again: %+v", entry)
	}
	h.Publish(2)
	a := newAuditor(t, h.Log)
	step(t, a)
	r := report(t, a)
	want := fmt.Sprintf("version-late@%d version-reused@%d target-rebound@%d version-gap@-1", historySize+2, historySize+4, historySize+4)
	if got := hygiene(r); got != want {
		t.Fatalf("found %s, want %s", got, want)
	}
	if gap := r.Findings[len(r.Findings)-1].Sentence; !strings.Contains(gap, "versions 5, 7 (the highest is 9)") {
		t.Errorf("gap: %s", gap)
	}
	if !r.Vouches {
		t.Error("hygiene is not the log's fault")
	}
}

// tufRoot signs a root of one key for all roles but targets, which has two keys
// of which threshold must sign.
func tufRoot(t *testing.T, version int64, threshold int, expires time.Time, keys [3]ed25519.PrivateKey, change func(*metadata.Metadata[metadata.RootType])) []byte {
	t.Helper()
	root := metadata.Root(expires)
	root.Signed.Version = version
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		of := keys[:1]
		if role == tuf.RoleTargets {
			of = keys[1:]
			root.Signed.Roles[role].Threshold = threshold
		}
		for _, k := range of {
			key, err := metadata.KeyFromPublicKey(k.Public())
			must(t, err)
			must(t, root.Signed.AddKey(key, role))
		}
	}
	if change != nil {
		change(root)
	}
	signer, err := signature.LoadSigner(keys[0], crypto.Hash(0))
	must(t, err)
	_, err = root.Sign(signer)
	must(t, err)
	b, err := root.ToBytes(false)
	must(t, err)
	return b
}

func TestHygieneOfRoots(t *testing.T) {
	var keys [3]ed25519.PrivateKey
	for i := range keys {
		var err error
		_, keys[i], err = ed25519.GenerateKey(nil)
		must(t, err)
	}
	l := audittest.New(t)
	soon := time.Unix(l.Time, 0).Add(-time.Hour)
	first := tufRoot(t, 1, 2, soon, keys, nil)
	// The second root's chain reaches what another repository began with, lowers
	// a threshold and has a key under a made-up id.
	second := tufRoot(t, 2, 1, soon, keys, func(root *metadata.Metadata[metadata.RootType]) {
		old := root.Signed.Roles[tuf.RoleTargets].KeyIDs[1]
		root.Signed.Keys["made\nup"] = root.Signed.Keys[old]
		delete(root.Signed.Keys, old)
		root.Signed.Roles[tuf.RoleTargets].KeyIDs[1] = "made\nup"
	})
	twin := l.Register(second)
	repo := l.Register(first)
	l.Submit(repo, tuf.RoleRoot, second)
	l.Publish(2)
	a := newAuditor(t, l)
	step(t, a)
	r := report(t, a)
	if got, want := hygiene(r), "key-id@0 shared-top-level@0 second-chain@1 shared-top-level@1 twin@2 threshold-lowered@2 key-id@2 expired@-1 expired@-1"; got != want {
		t.Fatalf("found %s, want %s\n%+v", got, want, r.Findings)
	}
	for i, says := range map[int]string{
		0: `id "made\nup", which is not`,
		2: "under keys that may also sign the root of repository " + twin.Short(),
		4: "the genesis root of repository " + twin.Short(),
		5: "asks for 1 signature on targets where 2 were",
	} {
		if !strings.Contains(r.Findings[i].Sentence, says) {
			t.Errorf("%s does not say %s", r.Findings[i].Sentence, says)
		}
	}
	if !r.Vouches {
		t.Error("hygiene is not the log's fault")
	}
}

// Two repositories share their keys, and metadata names none: an outsider logs the
// releases of one as the other's. The rules cannot tell, so the log takes them, and
// each is a finding.
func TestTwins(t *testing.T) {
	var keys [3]ed25519.PrivateKey
	for i := range keys {
		var err error
		_, keys[i], err = ed25519.GenerateKey(nil)
		must(t, err)
	}
	l := audittest.New(t)
	later := time.Unix(l.Time, 0).Add(30 * 24 * time.Hour)
	product := func(version int64, day int) []byte {
		return tufRoot(t, version, 1, later.Add(time.Duration(day)*24*time.Hour), keys, nil)
	}
	a, b := l.Register(product(1, 1)), l.Register(product(1, 2))
	root := product(2, 3)
	l.Submit(b, tuf.RoleRoot, root)
	l.Submit(a, tuf.RoleRoot, root) // by an outsider
	own, index := l.Submit(a, tuf.RoleRoot, product(2, 4))
	if own.Kind != leaf.Evidence {
		t.Errorf("the product's own root 2 is %s", own.Kind)
	}
	_, three := l.Submit(a, tuf.RoleRoot, product(3, 5))
	l.Publish(2)
	auditor := newAuditor(t, l)
	step(t, auditor)
	r := report(t, auditor)
	if got, want := hygiene(r), fmt.Sprintf("shared-top-level@0 second-chain@1 shared-top-level@1 twin@%d", index-1); got != want || three != index+1 {
		t.Fatalf("found %s, want %s\n%+v", got, want, r.Findings)
	}
	for _, f := range r.Findings {
		if f.Kind == audit.Twin && !strings.Contains(f.Sentence, "metadata does not name its repository") {
			t.Errorf("the finding says %s", f.Sentence)
		}
	}
}

func TestSharedPayload(t *testing.T) {
	h := newHistory(t)
	must(t, h.vendor.DelegateShared(tuf.RoleTargets, "doi", "plugin", "doi/*"))
	must(t, h.vendor.Release(tuf.RoleTargets))
	h.submit(tuf.RoleTargets)
	must(t, h.vendor.PassOff("plugin", "doi"))
	_, index := h.Submit(h.repo, "doi", h.file("plugin"), h.file(tuf.RoleSnapshot))
	h.Publish(2)
	a := newAuditor(t, h.Log)
	step(t, a)
	if got, want := hygiene(report(t, a)), fmt.Sprintf("shared-keys@%d shared-payload@%d", index-1, index); got != want {
		t.Fatalf("found %s, want %s", got, want)
	}
}
