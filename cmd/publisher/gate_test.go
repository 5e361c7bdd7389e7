package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/tuf"
)

// Clients that know no log, go-tuf's and tuf-js as they are, install what is logged, and refuse
// what is not, what is evidence, and what was rolled back.
func TestGatesForStockClients(t *testing.T) {
	g := newGateWorld(t, 4, 2)
	dir := g.Path("metadata")
	c := stockClients{newGoTUF(t)}
	js := t.TempDir() // lasts longer than the subtest
	t.Run("npm has tuf-js", func(t *testing.T) { c = append(c, newTUFJS(t, g, js)) })

	g.release(t, g.vendor, "one", dir)
	if out, code := g.gate(t, dir); code != 1 || strings.Count(out, "not-logged") < 3 || !strings.Contains(out, "has 1 of the 3 signatures") {
		t.Fatalf("before it is logged: exit %d\n%s", code, out)
	}
	g.publish(t, dir)
	c.wantRefused(t, g, unsigned)
	if out, code := g.submit(t, dir); code != 0 {
		t.Fatal(out)
	}
	before, err := os.ReadFile(filepath.Join(dir, "timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	g.mustGate(t, dir)
	after, err := os.ReadFile(filepath.Join(dir, "timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	if signedPart(t, before) != signedPart(t, after) {
		t.Errorf("what is signed has changed:\n%s\n%s", before, after)
	}
	g.publish(t, dir)
	c.wantInstalled(t, g, "one")
	if out, code := g.gate(t, dir); code != 0 || !strings.Contains(out, "no gate was asked") {
		t.Errorf("again: exit %d\n%s", code, out)
	}

	// Evidence: another payload of a version that is logged.
	twin, err := g.vendor.Clone()
	if err != nil {
		t.Fatal(err)
	}
	next, evil := g.Path("next"), g.Path("evil")
	g.release(t, g.vendor, "two", next)
	g.release(t, twin, "evil", evil)
	if out, code := g.submit(t, next); code != 0 {
		t.Fatal(out)
	}
	if out, code := g.submit(t, evil); code != 1 || !strings.Contains(out, "evidence") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if out, code := g.gate(t, evil); code != 1 || !strings.Contains(out, "targets: ") {
		t.Fatalf("evidence: exit %d\n%s", code, out)
	}
	g.publish(t, evil)
	c.wantRefused(t, g, unsigned)
	g.mustGate(t, next)
	g.publish(t, next)
	c.wantInstalled(t, g, "two")

	// What was signed before is older; the vendor's key alone cannot make it newer.
	g.publish(t, dir)
	c.wantRefused(t, g, older)
	old := g.Path("old")
	g.write(t, g.vendor, old)
	rolled, err := g.vendor.Clone()
	if err != nil {
		t.Fatal(err)
	}
	g.release(t, rolled, "three", old) // the role's next version, which is not logged
	if out, code := g.gate(t, old); code != 1 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	g.publish(t, old)
	c.wantRefused(t, g, unsigned)
	g.publish(t, next)
	c.wantInstalled(t, g, "two")
}

// signedPart returns what stands behind "signed" in a file.
func signedPart(t *testing.T, file []byte) string {
	t.Helper()
	var top map[string]json.RawMessage
	if err := json.Unmarshal(file, &top); err != nil {
		t.Fatal(err)
	}
	return string(top["signed"])
}

// With as many gates as are needed releases go on; with fewer they wait, and nothing breaks.
func TestGatesThatAreAway(t *testing.T) {
	g := newGateWorld(t, 4, 2)
	dir := g.Path("metadata")
	c := newGoTUF(t)
	step := func(content string) {
		t.Helper()
		g.release(t, g.vendor, content, dir)
		if out, code := g.submit(t, dir); code != 0 {
			t.Fatal(out)
		}
	}
	step("one")
	g.gates[0].End(t, os.Kill)
	g.gates[1].End(t, os.Kill)
	g.mustGate(t, dir)
	g.publish(t, dir)
	c.wantInstalled(t, g, "one")

	g.gates[2].End(t, os.Kill)
	step("two")
	if out, code := g.gate(t, dir, "--wait", "100ms"); code != 2 || !strings.Contains(out, "has 2 of the 3 signatures") {
		t.Fatalf("one of 4 gates: exit %d\n%s", code, out)
	}
	c.wantInstalled(t, g, "one") // which is still served
	for _, s := range g.gates[:2] {
		s.Start(t)
	}
	g.mustGate(t, dir)
	g.publish(t, dir)
	c.wantInstalled(t, g, "two")

	// The loop waits by itself.
	g.gates[0].End(t, os.Kill)
	g.gates[1].End(t, os.Kill)
	args := []string{"gate", "--loop", "--every", "1s", "--wait", "0s"}
	for _, s := range g.gates {
		args = append(args, "--gate", s.URL)
	}
	loop := runtest.Command(t, "publisher", append(args, dir)...)
	if err := loop.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = loop.Process.Signal(syscall.SIGTERM); _ = loop.Wait() }()
	step("three")
	g.gates[2].Start(t)
	runtest.Eventually(t, "the loop has the timestamp signed", func() bool {
		s, err := client.ReadStaged(dir)
		return err == nil && s.Lacks() == 0
	})
	g.publish(t, dir)
	c.wantInstalled(t, g, "three")
}

// Gates are killed at any time, and a second content of each version is offered to them: none
// signs both, and every release is gated. A gate that starts while another has signed the
// second content refuses the first: then the vendor has to sign the next version.
func TestGatesThatAreKilled(t *testing.T) {
	releases := 20
	if n, err := strconv.Atoi(os.Getenv("TUFLOG_GATE_RELEASES")); err == nil {
		releases = n // 200 take some minutes, on a machine with much to do longer than a test may
	}
	g := newGateWorld(t, 4, 2)
	dir := g.Path("metadata")
	rnd := rand.New(rand.NewPCG(18, 200))
	signed, again := signatures{all: map[string]tuf.Digest{}}, 0
	for n := range releases {
		twin, err := g.vendor.Clone()
		if err != nil {
			t.Fatal(err)
		}
		g.release(t, g.vendor, fmt.Sprint("release ", n), dir)
		if out, code := g.submit(t, dir); code != 0 {
			t.Fatal(out)
		}
		// The twin has the same snapshot, and another timestamp of the same version.
		other := g.Path(fmt.Sprint("other", n))
		twin.TimestampExpires = time.Now().Add(48 * time.Hour).Truncate(time.Second)
		if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		g.release(t, twin, fmt.Sprint("release ", n), other)

		victim, doubled := g.gates[rnd.IntN(4)], rnd.IntN(4)
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(time.Duration(rnd.IntN(60)) * time.Millisecond)
			signed.ask(t, g.gates[doubled].URL, other)
		})
		killed := make(chan struct{})
		after := time.Duration(rand.IntN(80)) * time.Millisecond
		go func() {
			time.Sleep(after)
			victim.End(t, os.Kill)
			close(killed)
		}()
		wait := make(chan struct{})
		go func() { <-killed; victim.Start(t); close(wait) }()
		out, code := g.gate(t, dir, "--wait", "60s")
		wg.Wait()
		<-wait
		if code == 1 && strings.Contains(out, "second-payload") {
			again++
			if err := g.vendor.Release(); err != nil {
				t.Fatal(err)
			}
			g.write(t, g.vendor, dir)
			out, code = g.gate(t, dir, "--wait", "60s")
		}
		if code != 0 {
			t.Fatalf("release %d: exit %d\n%s", n, code, out)
		}
		signed.merged(t, g, dir)
		for _, s := range g.gates {
			if rnd.IntN(3) == 0 {
				signed.ask(t, s.URL, dir)
				signed.ask(t, s.URL, other)
			}
		}
		g.publish(t, dir)
		if n%20 == 19 {
			newGoTUF(t).wantInstalled(t, g, fmt.Sprint("release ", n))
		}
		if err := os.RemoveAll(other); err != nil {
			t.Fatal(err)
		}
	}
	if len(signed.all) < 2*releases {
		t.Errorf("%d signatures were seen for %d releases", len(signed.all), releases)
	}
	t.Logf("%d signatures of %d releases, %d of them under the next version", len(signed.all), releases, again)
}

// signatures are those that were seen, by key and version.
type signatures struct {
	mu  sync.Mutex
	all map[string]tuf.Digest
}

func (s *signatures) seen(t *testing.T, keyID string, version int64, payload tuf.Digest) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprint(keyID, " ", version)
	if before, ok := s.all[name]; ok && before != payload {
		t.Errorf("the gate %s has signed two contents of version %d: %v and %v", keyID, version, before, payload)
	}
	s.all[name] = payload
}

// ask asks one gate for what is in a folder; it may refuse, or be gone.
func (s *signatures) ask(t *testing.T, url, dir string) {
	staged, err := client.ReadStaged(dir)
	if err != nil {
		t.Error(err)
		return
	}
	tar, err := staged.Tar()
	if err != nil {
		t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if a, err := (client.Gate{URL: url}).Sign(ctx, staged.Repository, tar); err == nil {
		s.seen(t, a.KeyID, staged.Timestamp.Version, staged.Timestamp.PayloadDigest)
	}
}

// merged notes the gates' signatures in a timestamp.
func (s *signatures) merged(t *testing.T, g *gateWorld, dir string) {
	t.Helper()
	staged, err := client.ReadStaged(dir)
	if err != nil {
		t.Fatal(err)
	}
	if staged.Lacks() > 0 {
		t.Fatalf("%d signatures are lacking", staged.Lacks())
	}
	for _, id := range staged.Timestamp.Signers(staged.Keys()) {
		s.seen(t, staged.Keys().IDs(id)[0], staged.Timestamp.Version, staged.Timestamp.PayloadDigest)
	}
}

func TestGatePlan(t *testing.T) {
	g := newGateWorld(t, 3, 2)
	dir := g.Path("metadata")
	plain := g.Path("plain")
	g.write(t, g.vendor, dir)
	g.write(t, g.vendor, plain)
	if err := os.Remove(filepath.Join(plain, "2.root.json")); err != nil {
		t.Fatal(err)
	}
	args := []string{"gate", "plan"}
	for _, s := range g.gates {
		args = append(args, "--gate", s.URL)
	}
	out := runtest.Must(t, "publisher", append(args, plain)...)
	for _, want := range []string{"Root 2 has to add 3 keys to the role timestamp, and to change its threshold from 1 to 3: one signature of yours, and those of 2 of 3 gates.", "3 of the 3 gates together could sign a timestamp without you", "with threshold 1"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	// What it says of the role is what the gated root has.
	var plan struct {
		KeyIDs  []string `json:"keyids"`
		Clients []any    `json:"clients"`
	}
	if err := json.Unmarshal([]byte(runtest.Must(t, "publisher", append(args, "--json", plain)...)), &plan); err != nil {
		t.Fatal(err)
	}
	staged, err := client.ReadStaged(dir)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, id := range staged.Keys().Identities() {
		ids = append(ids, staged.Keys().IDs(id)...)
	}
	slices.Sort(ids)
	if !slices.Equal(ids, plan.KeyIDs) || len(plan.Clients) == 0 {
		t.Errorf("the plan has the keys %q and %d clients; the root with gates has %q", plan.KeyIDs, len(plan.Clients), ids)
	}
	// Nobody takes that root's timestamps for gated ones.
	if out, code := g.gate(t, plain); code != 2 || !strings.Contains(out, "publisher gate plan says what to change") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if out := runtest.Must(t, "publisher", append(args, dir)...); !strings.Contains(out, "Root 2 needs no change") || strings.Contains(out, "Add to") || !strings.Contains(out, "timestamp was signed by 1/3 keys") {
		t.Errorf("%s", out)
	}
	if out, code := g.submit(t, dir); code != 0 {
		t.Fatal(out)
	}
	g.mustGate(t, dir)
	asked := false
	for _, s := range g.gates {
		out, _, code := runtest.Run(t, "auditor", "gate", "status", s.URL)
		if code == 0 && strings.Contains(out, "signs for 1 repositories; 0 of them") {
			asked = true
		}
	}
	if !asked {
		t.Error("no gate says that all is well")
	}
}

// BenchmarkSubmitToGated measures from the start of publisher submit to a timestamp with all
// signatures of three gates, with the start of both programs.
func BenchmarkSubmitToGated(b *testing.B) {
	g := newGateWorld(b, 3, 3)
	dir := g.Path("metadata")
	g.release(b, g.vendor, "first", dir)
	g.submit(b, dir)
	g.mustGate(b, dir)
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		g.release(b, g.vendor, fmt.Sprint(n), dir)
		b.StartTimer()
		if out, code := g.submit(b, dir); code != 0 {
			b.Fatal(out)
		}
		g.mustGate(b, dir)
	}
}
