package gate_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/gate"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func TestGateSignsWhatIsLogged(t *testing.T) {
	w := newWorld(t, 4, 2)
	w.release("one")
	unlogged := w.stage(w.vendor)
	w.wantRefused(w.gates[0], unlogged, verify.CodeNotLogged, tuf.RoleRoot)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot)
	w.wantRefused(w.gates[0], w.stage(w.vendor), verify.CodeNotLogged, tuf.RoleTargets)

	// It was refused for its proof: with one it is signed, under the same version.
	w.logged(w.vendor, leaf.Release, tuf.RoleTargets)
	one := w.stage(w.vendor)
	first := w.wantSigned(w.gates[0], one)
	if again := w.wantSigned(w.gates[0], one); *again != *first {
		t.Errorf("the same content again: %+v, first %+v", again, first)
	}
	w.wantSigned(w.gates[1], one)

	// Another content of the version, an older one, evidence.
	twin, err := w.vendor.Clone()
	must(t, err)
	w.release("two")
	must(t, twin.Put(tuf.RoleTargets, "firmware.bin", []byte("evil")), twin.Release(tuf.RoleTargets))
	w.logged(w.vendor, leaf.Release, tuf.RoleTargets)
	w.logged(twin, leaf.Evidence, tuf.RoleTargets)
	two, evil := w.stage(w.vendor), w.stage(twin)
	w.wantRefused(w.gates[0], evil, verify.CodeEvidence, tuf.RoleTargets)
	w.wantSigned(w.gates[0], two)
	w.wantRefused(w.gates[0], evil, verify.CodeSecondPayload, tuf.RoleTimestamp)
	w.wantRefused(w.gates[0], one, verify.CodeRollback, tuf.RoleTimestamp)

	// A gate that starts again knows it.
	w.gates[0].stop()
	w.gates[0].start()
	w.wantSigned(w.gates[0], two)
	w.wantRefused(w.gates[0], one, verify.CodeRollback, tuf.RoleTimestamp)
}

func TestGateJudgesDelegatedRoles(t *testing.T) {
	w := newWorld(t, 2, 1)
	must(t, w.vendor.Delegate(tuf.RoleTargets, "apps", "apps/*"), w.vendor.Delegate("apps", "apps-one", "apps/one/*"))
	must(t, w.vendor.Release(tuf.RoleTargets, "apps", "apps-one"))
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets, "apps")
	w.wantRefused(w.gates[0], w.stage(w.vendor), verify.CodeNotLogged, "apps-one")
	w.logged(w.vendor, leaf.Release, "apps-one")
	dir := w.stage(w.vendor)
	w.wantSigned(w.gates[0], dir)

	few := w.gates[1]
	few.stop()
	few.cfg = func(c *gate.Config) { c.Repositories[0].MaxRoles = 2 }
	few.start()
	w.wantRefused(few, dir, client.CodeTooManyRoles, "apps-one")
}

func TestGateTakesUnchangedRolesFromItsCache(t *testing.T) {
	w := newWorld(t, 1, 1)
	must(t, w.vendor.Delegate(tuf.RoleTargets, "apps", "apps/*"), w.vendor.Release(tuf.RoleTargets, "apps"))
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets, "apps")
	w.wantSigned(w.gates[0], w.stage(w.vendor))
	w.release("next")
	w.logged(w.vendor, leaf.Release, tuf.RoleTargets)
	dir := w.stage(w.vendor)
	must(t, os.Remove(filepath.Join(dir, "1.apps.json")))
	w.wantSigned(w.gates[0], dir)
}

func TestGateLimitsWhatATimestampSays(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	w.vendor.TimestampExpires = time.Now().Add(15 * 24 * time.Hour)
	must(t, w.vendor.Release())
	w.wantRefused(w.gates[0], w.stage(w.vendor), client.CodeLifetime, tuf.RoleTimestamp)
	w.vendor.TimestampExpires = time.Now().Add(24 * time.Hour)
	must(t, w.vendor.Release())
	w.wantSigned(w.gates[0], w.stage(w.vendor))
	for range gate.DefaultMaxJump + 1 {
		must(t, w.vendor.Release())
	}
	w.wantRefused(w.gates[0], w.stage(w.vendor), client.CodeVersionJump, tuf.RoleTimestamp)
	w.vendor.TimestampExpires = time.Now().Add(-time.Hour)
	w.gates[0].stop()
	w.gates[0].cfg = func(c *gate.Config) { c.Repositories[0].MaxJump = 1000 }
	w.gates[0].start()
	must(t, w.vendor.Release())
	w.wantRefused(w.gates[0], w.stage(w.vendor), verify.CodeExpired, tuf.RoleTimestamp)
}

func TestGateWantsHashes(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.vendor.PlainSnapshots = true
	w.release("one")
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	dir := w.stage(w.vendor)
	w.wantRefused(w.gates[0], dir, verify.CodeUnbound, tuf.RoleTargets)
	lax := w.gates[1]
	lax.stop()
	lax.cfg = func(c *gate.Config) { c.Repositories[0].WithoutHashes = true }
	lax.start()
	w.wantSigned(lax, dir)
}

func TestGateThatIsNotInTheRole(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	g := w.newGate()
	w.gates = append(w.gates, g)
	g.start()
	w.wantRefused(g, w.stage(w.vendor), client.CodeNotInRole, tuf.RoleTimestamp)
	_, err := g.client().Sign(t.Context(), tuf.Sum([]byte("another")), nil)
	wantCode(t, err, client.CodeUnknown, "")
}

// A gate whose directory is gone, or was restored from an older copy, learns from the served
// timestamp and from other gates what was signed.
func TestGateThatHasForgotten(t *testing.T) {
	w := newWorld(t, 3, 2) // of 3 gates 2 sign: a quorum of others is both
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	one := w.stage(w.vendor)
	w.allSign(one)
	twin, err := w.vendor.Clone()
	must(t, err)
	w.release("two")
	must(t, twin.Put(tuf.RoleTargets, "firmware.bin", []byte("other")), twin.Release(tuf.RoleTargets))
	w.logged(w.vendor, leaf.Release, tuf.RoleTargets)
	w.logged(twin, leaf.Release, tuf.RoleTargets) // as if it had not been seen
	two, other := w.stage(w.vendor), w.stage(twin)
	forgotten := w.gates[0]
	restore := forgotten.backup()
	w.wantSigned(forgotten, two)
	w.wantSigned(w.gates[1], two)

	// Another gate has signed two.
	restore()
	w.wantRefused(forgotten, other, verify.CodeSecondPayload, tuf.RoleTimestamp)
	w.wantRefused(forgotten, one, verify.CodeRollback, tuf.RoleTimestamp)
	w.wantSigned(forgotten, two)

	// Nobody is there to say.
	restore()
	w.gates[1].stop()
	w.gates[2].stop()
	w.site.Close()
	w.wantRefused(forgotten, other, client.CodeInDoubt, "")
	w.gates[2].start() // it has signed one alone: it cannot know
	w.wantRefused(forgotten, other, client.CodeInDoubt, "")
	w.gates[1].start()
	w.wantRefused(forgotten, other, verify.CodeSecondPayload, tuf.RoleTimestamp)
	w.wantSigned(forgotten, two)
}

// What is served counts, as far as the vendor has signed it.
func TestGateLooksAtWhatIsServed(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	one := w.stage(w.vendor)
	must(t, w.vendor.Release())
	two := w.stage(w.vendor)
	w.served = http.FileServer(http.Dir(two))
	w.wantRefused(w.gates[0], one, verify.CodeRollback, tuf.RoleTimestamp)
	w.wantSigned(w.gates[0], two)

	// A stranger's timestamp at the served place says nothing, and is no answer.
	strange := newWorld(t, 1, 1)
	w.served = http.FileServer(http.Dir(strange.stage(strange.vendor)))
	w.gates[0].stop()
	w.gates[0].start()
	must(t, w.vendor.Release())
	three := w.stage(w.vendor)
	w.wantRefused(w.gates[0], three, client.CodeInDoubt, "")
	w.wantSigned(w.gates[0], two) // again: that makes nothing certain
	w.wantRefused(w.gates[0], three, client.CodeInDoubt, "")

	// Nothing, or less than this gate has signed, is no answer either: a wrong path after a
	// move, a stale cache, a thief who has the site.
	w.served = nil
	w.wantRefused(w.gates[0], three, client.CodeInDoubt, "")
	w.served = http.FileServer(http.Dir(one))
	w.wantRefused(w.gates[0], three, client.CodeInDoubt, "")
	w.served = http.FileServer(http.Dir(two))
	w.wantSigned(w.gates[0], three)
}

// A gate that was restored from an older copy does not take a site that shows nothing for one
// at which nothing was published.
func TestGateThatHasForgottenAndAnEmptySite(t *testing.T) {
	w := newWorld(t, 3, 2)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	one := w.stage(w.vendor)
	w.allSign(one)
	twin, err := w.vendor.Clone()
	must(t, err)
	w.release("two")
	must(t, twin.Put(tuf.RoleTargets, "firmware.bin", []byte("other")), twin.Release(tuf.RoleTargets))
	w.logged(w.vendor, leaf.Release, tuf.RoleTargets)
	w.logged(twin, leaf.Release, tuf.RoleTargets)
	two, other := w.stage(w.vendor), w.stage(twin)
	g := w.gates[0]
	restore := g.backup()
	w.wantSigned(g, two)
	w.wantSigned(w.gates[1], two)
	w.gates[1].stop()
	w.gates[2].stop()
	restore()
	w.wantRefused(g, other, client.CodeInDoubt, "")
	w.served = http.FileServer(http.Dir(two))
	w.wantRefused(g, other, verify.CodeSecondPayload, tuf.RoleTimestamp)
	w.wantSigned(g, two)
}

// A policy that requires less is refused, as on a device; the way out does not forget what was
// signed.
func TestGateWithALaxerPolicy(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	one := w.stage(w.vendor)
	must(t, w.vendor.Release())
	two := w.stage(w.vendor)
	w.wantSigned(w.gates[0], two)
	g := w.gates[0]
	g.stop()
	must(t, os.WriteFile(w.path("policy"), []byte(strings.Replace(w.log.PolicyText(), "all-of-them 2 ", "all-of-them 1 ", 1)), 0o600))
	g.start()
	must(t, w.vendor.Release())
	three := w.stage(w.vendor)
	w.served = http.FileServer(http.Dir(two))
	w.wantRefused(g, three, verify.CodeDowngrade, "")
	g.stop()
	must(t, os.RemoveAll(filepath.Join(g.dir, "state", w.id.String(), "device")))
	g.start()
	w.wantRefused(g, one, verify.CodeRollback, tuf.RoleTimestamp)
	w.wantSigned(g, three)
}

func TestGateFetches(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	staged := http.NewServeMux()
	staged.Handle("/build/1/", http.StripPrefix("/build/1/", http.FileServer(http.Dir(w.stage(w.vendor)))))
	w.served = staged
	g := w.gates[0]
	g.stop()
	g.cfg = func(c *gate.Config) {
		c.Repositories[0].Fetch = []string{w.site.URL + "/build/"}
		c.Repositories[0].Served = w.site.URL + "/nothing/"
	}
	g.start()
	for _, url := range []string{w.site.URL + "/elsewhere/", w.site.URL + "/build/../", w.site.URL + "/build/1/?x", "http://127.0.0.1:1/build/1/", w.site.URL + "/build/%2e%2e/"} {
		_, err := g.client().SignURL(t.Context(), w.id, url)
		wantCode(t, err, client.CodeNotAllowed, "")
	}
	_, err := g.client().SignURL(t.Context(), w.id, w.site.URL+"/build/2/")
	wantCode(t, err, verify.CodeNetwork, tuf.RoleTimestamp)
	a, err := g.client().SignURL(t.Context(), w.id, w.site.URL+"/build/1/")
	must(t, err)
	for i := range 40 {
		must(t, w.vendor.Put(tuf.RoleTargets, fmt.Sprint(strings.Repeat("a", 2<<10), i), []byte("x")))
	}
	must(t, w.vendor.Release(tuf.RoleTargets))
	w.logged(w.vendor, leaf.Release, tuf.RoleTargets)
	staged.Handle("/build/3/", http.StripPrefix("/build/3/", http.FileServer(http.Dir(w.stage(w.vendor)))))
	g.stop()
	few := g.cfg
	g.cfg = func(c *gate.Config) { few(c); c.MaxBody = 64 << 10 }
	g.start()
	_, err = g.client().SignURL(t.Context(), w.id, w.site.URL+"/build/3/")
	wantCode(t, err, client.CodeTooLarge, "")
	if a.Version != w.vendor.Version(tuf.RoleTimestamp)-1 {
		t.Errorf("version %d is signed", a.Version)
	}
}

func TestCollect(t *testing.T) {
	w := newWorld(t, 4, 2)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	dir := w.stage(w.vendor)
	w.gates[1].stop()
	w.gates[2].stop()
	collect := func() ([]client.Result, error) {
		s, err := client.ReadStaged(dir)
		must(t, err)
		c := client.Collection{Repository: s.Repository, Staged: s}
		for _, g := range w.gates {
			c.Gates = append(c.Gates, g.client())
		}
		return client.Collect(context.Background(), c)
	}
	results, err := collect()
	must(t, err)
	s, err := client.ReadStaged(dir)
	must(t, err)
	var signatures []client.Signature
	for _, r := range results {
		if r.Signature != nil {
			signatures = append(signatures, *r.Signature)
		}
	}
	merged, err := client.Merge(s.Timestamp.File, signatures...)
	must(t, err, os.WriteFile(filepath.Join(dir, "timestamp.json"), merged, 0o600))
	if s, err = client.ReadStaged(dir); err != nil || s.Lacks() != 0 {
		t.Fatalf("%d signatures are lacking, %v", s.Lacks(), err)
	}
	if results, err = collect(); err != nil || results[0].Err != client.ErrNotNeeded {
		t.Errorf("again: %v, %+v", err, results)
	}
	w.gates[3].stop()
	must(t, w.vendor.Release())
	dir = w.stage(w.vendor)
	if results, err = collect(); err == nil {
		t.Fatalf("one gate is enough: %+v", results)
	}
}

// The vendor's timestamp key was stolen and replaced. What the thief signed with it, a far
// version, does not stop a gate that has started, wherever it is shown.
func TestGateForgetsAKeyThatWasReplaced(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	one := w.stage(w.vendor)
	w.allSign(one)
	thief, err := w.vendor.Clone()
	must(t, err)
	for range 50 {
		must(t, thief.Release())
	}
	stolen := w.stage(thief)
	g := w.gates[0]
	g.stop()
	g.start()
	w.served = http.FileServer(http.Dir(stolen))
	must(t, w.vendor.Release())
	w.wantRefused(g, w.stage(w.vendor), verify.CodeRollback, tuf.RoleTimestamp) // the key counts still
	must(t, w.vendor.Rotate(tuf.RoleTimestamp))
	var keys []ed25519.PublicKey
	for _, other := range w.gates {
		public, err := hex.DecodeString(other.key.String())
		must(t, err)
		keys = append(keys, public)
	}
	must(t, w.vendor.Gate(2, keys...), w.vendor.Release())
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot)
	w.wantSigned(g, w.stage(w.vendor))
}

// A gate that was away for more versions than it would jump over goes on from what is
// published, if that is complete.
func TestGateThatWasAwayCatchesUp(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	one := w.stage(w.vendor)
	w.allSign(one)
	var dir string
	var a *client.Answer
	for range gate.DefaultMaxJump + 1 {
		must(t, w.vendor.Release())
		dir = w.stage(w.vendor)
		a = w.wantSigned(w.gates[0], dir)
	}
	w.gates[0].stop()
	must(t, w.vendor.Release())
	next := w.stage(w.vendor)
	w.served = http.FileServer(http.Dir(dir)) // the vendor's key alone
	w.wantRefused(w.gates[1], next, client.CodeVersionJump, tuf.RoleTimestamp)
	path := filepath.Join(dir, "timestamp.json")
	file, err := os.ReadFile(path)
	must(t, err)
	file, err = client.Merge(file, a.Signature)
	must(t, err, os.WriteFile(path, file, 0o600))
	w.wantSigned(w.gates[1], next)
}

// A gate that is slower than those that suffice signs as well.
func TestCollectWaitsForLateGates(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	dir := w.stage(w.vendor)
	s, err := client.ReadStaged(dir)
	must(t, err)
	signed := make(chan struct{})
	late := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		<-signed
		return http.DefaultTransport.RoundTrip(r)
	})}
	c := client.Collection{Gates: []client.Gate{w.gates[0].client(), {URL: w.gates[1].server.URL, Client: late}}, Repository: w.id, Staged: s, Late: time.Minute}
	c.Tell = func(r client.Result) {
		if r.Gate == w.gates[0].server.URL {
			close(signed)
		}
	}
	results, err := client.Collect(t.Context(), c)
	must(t, err)
	for _, r := range results {
		if r.Signature == nil {
			t.Errorf("%s has not signed: %v", r.Gate, r.Err)
		}
	}
}

// Anybody can send a timestamp that is published to a gate that was not needed for it. That does
// not use up the rate of the vendor's next one.
func TestGateKeepsAPlaceForTheVendorsNext(t *testing.T) {
	w := newWorld(t, 2, 1)
	g := w.gates[1]
	g.stop()
	g.cfg = func(c *gate.Config) { c.PerRepository = 0.5 }
	g.start()
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	w.wantSigned(g, w.stage(w.vendor))
	must(t, w.vendor.Release())
	published := w.stage(w.vendor)
	s, err := client.ReadStaged(published)
	must(t, err)
	b := bytes.NewBuffer(nil)
	tw := tar.NewWriter(b) // the timestamp, and nothing that it lists
	must(t, tw.WriteHeader(&tar.Header{Name: "timestamp.json", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(s.Timestamp.File))}))
	_, err = tw.Write(s.Timestamp.File)
	must(t, err, tw.Close())
	limited := false
	for range 40 {
		_, err := g.client().Sign(t.Context(), w.id, b.Bytes())
		var r *client.Refused
		if !errors.As(err, &r) {
			t.Fatal(err)
		}
		limited = limited || r.Code == client.CodeLimited
	}
	if !limited {
		t.Fatal("nothing is limited")
	}
	must(t, w.vendor.Release())
	w.wantSigned(g, w.stage(w.vendor))
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
