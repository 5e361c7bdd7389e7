package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testpigweed"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/tuf/pigweed"
)

// bundles are those of Pigweed's own tools, copied into a world's folder.
func (w *world) bundles(t *testing.T) {
	t.Helper()
	dir := realdata.Bundles(t)
	names, err := filepath.Glob(filepath.Join(dir, "*.pb"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(t, filepath.Base(name), string(b))
	}
}

func (w *world) read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(w.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// logged submits a bundle, and checks that nothing but the two payloads is new in it.
func (w *world) logged(t *testing.T, name string, flags ...string) string {
	t.Helper()
	out, stderr, code := runtest.Run(t, "publisher", w.args("submit", append(flags, w.Path(name+".pb"))...)...)
	if code != 0 {
		t.Fatalf("%s: exit %d\n%s%s", name, code, out, stderr)
	}
	before, after := w.read(t, name+".pb"), w.read(t, name+".logged.pb")
	same := func(b []byte) []byte {
		rest, err := testpigweed.Without(b, pigweed.Proof, pigweed.RootProof)
		if err != nil {
			t.Fatal(err)
		}
		return rest
	}
	if !bytes.Equal(same(before), same(after)) || bytes.Equal(before, after) {
		t.Errorf("%s: more than the two payloads is changed, or nothing", name)
	}
	b, err := pigweed.ParseBundle(after)
	if err != nil {
		t.Fatal(err)
	}
	_, proved := b.Payload(pigweed.Proof)
	_, rootProved := b.Payload(pigweed.RootProof)
	if !proved || rootProved != (b.Root != nil) {
		t.Errorf("%s: it has the payloads %v", name, b.Names())
	}
	return w.Path(name + ".logged.pb")
}

// All of Pigweed's bundles through a log and a device: the good ones pass, each of the bad
// ones is refused for what is wrong with it.
func TestPigweedBundles(t *testing.T) {
	w := newWorld(t)
	w.bundles(t)
	var m, err = pigweed.Parse(w.read(t, "root_v1.pb"))
	if err != nil {
		t.Fatal(err)
	}
	repository := m.PayloadDigest.String()
	verify := func(trusted, bundle string, more ...string) (string, int) {
		t.Helper()
		out, stderr, code := runtest.Run(t, "updater", append([]string{"pigweed", "verify", "--policy", w.Path("policy"), "--trusted", trusted, bundle}, more...)...)
		return out + stderr, code
	}
	passes := func(trusted, bundle string, more ...string) {
		t.Helper()
		if out, code := verify(w.Path(trusted), bundle, more...); code != 0 {
			t.Errorf("%s after %s: exit %d\n%s", bundle, trusted, code, out)
		}
	}
	refused := func(code, trusted, bundle string, more ...string) {
		t.Helper()
		if out, exit := verify(w.Path(trusted), bundle, more...); exit != 1 || !strings.Contains(out, code+": ") {
			t.Errorf("%s after %s: exit %d, want %s\n%s", bundle, trusted, exit, code, out)
		}
	}
	whose := []string{"--repository", repository}

	// Nobody is asked about a repository that may be another's.
	if _, stderr, code := runtest.Run(t, "publisher", w.args("submit", w.Path("release_3_targets_key_rotated.pb"))...); code != 2 {
		t.Errorf("a bundle with root 2 alone: exit %d, %s", code, stderr)
	}
	one := w.logged(t, "release_1")
	passes("root_v1.pb", one)
	refused("not-logged", "root_v1.pb", w.Path("release_1.pb"))
	two := w.logged(t, "release_2")
	passes(filepath.Base(one), two)
	passes("release_1.pb", two)
	refused("rollback", filepath.Base(two), one)
	passes("release_1.pb", w.logged(t, "release_2_with_extra_payload")) // whose placeholder is replaced
	passes("release_1.pb", w.logged(t, "release_2_with_unknown_field"))
	// Again, and from the bundle that has its proofs already: nothing is written anew.
	first := w.read(t, "release_2.logged.pb")
	w.logged(t, "release_2")
	runtest.Must(t, "publisher", w.args("submit", two)...)
	if !bytes.Equal(first, w.read(t, "release_2.logged.pb")) {
		t.Error("what is logged was written anew")
	}
	runtest.Must(t, "publisher", w.args("submit", "--out", w.Path("elsewhere.pb"), w.Path("release_2.pb"))...)
	passes("release_1.pb", w.Path("elsewhere.pb"))

	// A second release of version 2, validly signed: Pigweed's own verifier takes it.
	for _, name := range []string{"release_2_equivocation", "release_2_no_root"} {
		out, stderr, code := runtest.Run(t, "publisher", w.args("submit", append(whose, w.Path(name+".pb"))...)...)
		if code != 1 || !strings.Contains(out, "evidence") || !strings.Contains(out, "or publish version 3. If") && name == "release_2_equivocation" {
			t.Errorf("%s: exit %d\n%s%s", name, code, out, stderr)
		}
		if _, err := os.Stat(w.Path(name + ".logged.pb")); !os.IsNotExist(err) {
			t.Errorf("%s was written, %v", name, err)
		}
	}
	refused("second-payload", filepath.Base(two), w.Path("release_2_equivocation.pb"))
	refused("not-logged", "release_1.pb", w.Path("release_2_equivocation.pb"))
	w.embedded(t, "release_2_equivocation", two)
	refused("bad-proof", "release_1.pb", w.Path("release_2_equivocation.with.pb"))

	// Roots: each is gated, and none has to come before the other.
	w.logged(t, "release_3_targets_key_rotated", whose...)
	four := w.logged(t, "release_4_root_key_rotated", whose...)
	passes("release_2.pb", w.Path("release_3_targets_key_rotated.logged.pb"))
	passes("release_1.pb", four)
	passes("release_3_targets_key_rotated.pb", four, whose...)
	refused("wrong-repository", "release_3_targets_key_rotated.pb", four)
	refused("bad-metadata", "release_4_root_key_rotated.pb", w.Path("release_3_targets_key_rotated.logged.pb"), whose...)
	refused("not-logged", "release_1.pb", w.Path("release_3_targets_key_rotated.pb"))

	for _, bad := range []string{"unsigned", "release_2_bad_payload", "release_2_bad_signature", "threshold2_same_key_twice"} {
		judged := w.Path(bad + ".pb")
		if bad == "release_2_bad_payload" { // the images come behind the gate
			w.embedded(t, bad, two)
			judged = w.Path(bad + ".with.pb")
		}
		refused("bad-metadata", "release_1.pb", judged)
		out, stderr, code := runtest.Run(t, "publisher", w.args("submit", append(whose, w.Path(bad+".pb"))...)...)
		if _, err := os.Stat(w.Path(bad + ".logged.pb")); code == 0 && bad != "release_2_bad_signature" || err == nil && bad != "release_2_bad_signature" {
			t.Errorf("%s: exit %d, %v\n%s%s", bad, code, err, out, stderr)
		}
	}

	w.keepsState(t, one, two, four)
	w.remembersNothingUnproved(t, repository, four)
	w.audited(t, repository)
}

// embedded writes a bundle with the proofs of another.
func (w *world) embedded(t *testing.T, name, from string) {
	t.Helper()
	b, err := pigweed.ParseBundle(w.read(t, name+".pb"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := pigweed.ParseBundle(w.read(t, filepath.Base(from)))
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range []string{pigweed.Proof, pigweed.RootProof} {
		sidecar, _ := other.Payload(payload)
		file, err := b.Embed(payload, sidecar)
		if err != nil {
			t.Fatal(err)
		}
		if b, err = pigweed.ParseBundle(file); err != nil {
			t.Fatal(err)
		}
	}
	w.Write(t, name+".with.pb", string(b.Marshal()))
}

// keepsState is a device that stores what it trusts: a root once it has passed its gate, and
// not before, whatever is wrong with the rest.
func (w *world) keepsState(t *testing.T, one, two, four string) {
	t.Helper()
	if err := os.Mkdir(w.Path("device"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.Write(t, "device/root.pb", string(w.read(t, "root_v1.pb")))
	run := func(want int, bundle, says string) {
		t.Helper()
		out, stderr, code := runtest.Run(t, "updater", "pigweed", "verify", "--policy", w.Path("policy"), "--state", w.Path("device"), bundle)
		if code != want || !strings.Contains(out+stderr, says) {
			t.Errorf("%s: exit %d, want %d and %q\n%s%s", bundle, code, want, says, out, stderr)
		}
	}
	root := func(want string) {
		t.Helper()
		if !bytes.Equal(w.read(t, "device/root.pb"), w.read(t, want)) {
			t.Errorf("the device's root is not %s", want)
		}
	}
	run(0, two, "ok")
	run(1, one, "rollback")
	run(1, w.Path("release_4_root_key_rotated.pb"), "not-logged") // its root, too
	root("root_v1.pb")
	// The root of release 4 passes its gate, and the images do not.
	b, err := pigweed.ParseBundle(w.read(t, filepath.Base(four)))
	if err != nil {
		t.Fatal(err)
	}
	file, err := b.Embed(pigweed.Proof, []byte("no proof"))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "half.pb", string(file))
	run(1, w.Path("half.pb"), "bad-proof")
	root("root_v3.pb")
	run(1, two, "bad-metadata")
	run(0, four, "ok")
	run(0, four, "trusted")
	run(1, w.Path("release_3_targets_key_rotated.logged.pb"), "bad-metadata")
}

// remembersNothingUnproved is a device that begins with a later root than the first one, so
// that it has to be told the repository: what it was told wrongly before does not bind it.
// And it is a device on which another run is at work.
func (w *world) remembersNothingUnproved(t *testing.T, repository, four string) {
	t.Helper()
	state := w.Path("later")
	if err := os.Mkdir(state, 0o755); err != nil {
		t.Fatal(err)
	}
	w.Write(t, "later/root.pb", string(w.read(t, "root_v2.pb")))
	run := func(want int, says string, more ...string) {
		t.Helper()
		out, stderr, code := runtest.Run(t, "updater", append([]string{"pigweed", "verify", "--policy", w.Path("policy"), "--state", state}, more...)...)
		if code != want || !strings.Contains(out+stderr, says) {
			t.Errorf("%v: exit %d, want %d and %q\n%s%s", more, code, want, says, out, stderr)
		}
	}
	w.Write(t, "rootless.pb", string(w.rootless(t, "release_3_targets_key_rotated.logged.pb")))
	for _, bundle := range []string{four, w.Path("rootless.pb")} {
		run(1, "wrong-repository", bundle)
		run(1, "wrong-repository", bundle, "--repository", strings.Repeat("0", 63)+"1")
	}
	lock, err := lockfile.Acquire(filepath.Join(state, "updater.lock"), "another run")
	if err != nil {
		t.Fatal(err)
	}
	run(2, "in use by another run", four, "--repository", repository, "--wait", "0s")
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	run(0, "ok", w.Path("rootless.pb"), "--repository", repository)
	run(0, "ok", four) // remembered
	run(2, "is a device of repository "+repository, four, "--repository", strings.Repeat("0", 63)+"1")
}

// rootless returns a bundle without its root.
func (w *world) rootless(t *testing.T, name string) []byte {
	t.Helper()
	var rest []byte
	for b := w.read(t, name); len(b) > 0; {
		number, _, n := protowire.ConsumeField(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		if number != 5 {
			rest = append(rest, b[:n]...)
		}
		b = b[n:]
	}
	return rest
}

// audited is what an auditor says of all that.
func (w *world) audited(t *testing.T, repository string) {
	t.Helper()
	out, stderr, code := runtest.Run(t, "auditor", "replay", "--log", w.Log.URL, "--policy", w.Path("policy"))
	if code != 1 || !contains(out, "never-expires", "second-payload") || contains(out, "unknown-leaf") {
		t.Errorf("replay: exit %d\n%s%s", code, out, stderr)
	}
	shown := runtest.Must(t, "auditor", "show", "--log", w.Log.URL, "--policy", w.Path("policy"), repository)
	if !contains(shown, "never expires", "application") {
		t.Errorf("show:\n%s", shown)
	}
	for _, args := range [][]string{
		{"diff", "targets:1", "targets:2", "--repository", repository, "--log", w.Log.URL, "--policy", w.Path("policy")},
		{"diff", w.Path("release_1.pb"), w.Path("release_2.pb")},
	} {
		if out := runtest.Must(t, "auditor", args...); !contains(out, "Target application has other content") {
			t.Errorf("%v:\n%s", args, out)
		}
	}
	out = runtest.Must(t, "auditor", "radius", "rtos", "--repository", repository, "--log", w.Log.URL, "--policy", w.Path("policy"))
	if !contains(out, "takes 1 key to replace rtos", "(root)", "(targets)") || contains(out, "snapshot") {
		t.Errorf("radius:\n%s", out)
	}
}
