package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// stick writes what the repository has into a folder, as it is carried to a device that
// has no network: metadata and targets.
func (s *site) stick() string {
	s.t.Helper()
	dir := s.t.TempDir()
	for path, content := range s.all() {
		name := filepath.Join(dir, filepath.FromSlash(path))
		s.must(os.MkdirAll(filepath.Dir(name), 0o755))
		s.must(os.WriteFile(name, content, 0o644))
	}
	return dir
}

func (s *site) all() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]byte{}
	for path, content := range s.files {
		all[path] = content
	}
	return all
}

// Files on a stick are judged by the state of the device that they are for.
func TestVerifyByADevice(t *testing.T) {
	s := newSite(t)
	s.release("firmware.bin", "two")
	older := s.stick()
	s.release("dir/firmware.bin", "three")
	newer := s.stick()
	d := s.newDevice()
	d.download("firmware.bin").want(0)
	before := d.contents()
	s.seen()
	verified := func(stick string, args ...string) ran {
		t.Helper()
		return d.run(append([]string{"verify", "--policy", s.log.policy, "--metadata-dir", d.metadata(), filepath.Join(stick, "metadata")}, args...)...)
	}

	verified(newer).want(0, "repository "+s.id.String()+": pinned by the device in "+d.metadata()+"\n")
	verified(older).want(1, "hint: the served files are older")
	if out := checked(t, verified(older, "--json").want(1)); len(out.Roles) != 2 || out.Roles[1].Role != "timestamp" || out.Roles[1].Verdict != "rollback" || out.PinnedBy == "" {
		t.Errorf("%+v", out)
	}
	if out := checked(t, verified(newer, "--json").want(0)); out.Roles[0].Verdict != "trusted" || out.Roles[3].Verdict != "ok" {
		t.Errorf("%+v", out)
	}
	// A newer release, roots included, from the root that the device has.
	s.must(s.vendor.Rotate("root"))
	s.release("firmware.bin", "four")
	next := s.stick()
	verified(next).want(0)
	// Another vendor's stick, however well signed and logged.
	other := newSite(t)
	other.log = s.log
	other.must(other.vendor.Rotate("root"))
	other.publish()
	verified(other.stick()).want(1)

	// Targets, as a repository has them and as a device does.
	targets := func(dir string, names ...string) []string {
		args := []string{"--target-dir", dir}
		for _, name := range names {
			args = append(args, "--target-name", name)
		}
		return args
	}
	both := []string{"firmware.bin", "dir/firmware.bin"}
	r := verified(newer, targets(filepath.Join(newer, "targets"), both...)...).want(0)
	if n := strings.Count(r.stdout, "ok\n"); n != 5 || !strings.Contains(r.stdout, "TARGET") {
		t.Errorf("%d files are ok, want 5:\n%s", n, r.stdout)
	}
	verified(newer, targets(d.targets(), "firmware.bin")...).want(0)
	evil := t.TempDir()
	s.must(os.WriteFile(filepath.Join(evil, "firmware.bin"), []byte("TWO"), 0o644))
	verified(newer, targets(evil, "firmware.bin")...).want(1, `refused (bad-metadata): target "firmware.bin": the target's sha`)
	verified(newer, targets(evil, "firmware.bin", "nothing")...).want(1, `target "nothing": no role`)
	verified(newer, targets(d.targets(), "dir/firmware.bin")...).want(2, `target "dir/firmware.bin" is not in`)
	verified(newer, targets(d.targets(), "../../etc/passwd")...).want(1)
	verified(older, targets(filepath.Join(newer, "targets"), "firmware.bin")...).want(1, `updater: the metadata is refused`)
	if out := checked(t, verified(newer, append(targets(evil, both...), "--json")...).want(1)); len(out.Targets) != 2 || out.OK ||
		out.Targets[0].Verdict != string(verify.CodeBadMetadata) || out.Targets[1].Verdict != failed {
		t.Errorf("%+v", out)
	}
	if seen := s.seen(); len(seen) > 0 {
		t.Errorf("requests %q", seen)
	}
	sameContents(t, d, before)
}

// Whatever flag would change nothing is refused.
func TestVerifyFlags(t *testing.T) {
	s := newSite(t)
	d := s.newDevice()
	dir := s.dump()
	for _, tt := range []struct{ args, why string }{
		{"--metadata-url http://x/", "leave --metadata-url out"},
		{"--target-base-url http://x/", "leave --target-base-url out"},
		{"--min-rate 1", "leave --min-rate out"},
		{"--timeout 1s", "leave --timeout out"},
		{"--max-root-length 100", "leave --max-root-length out"},
		{"--max-targets-length 100", "leave --max-targets-length out"},
		{"--target-name x", "--target-name without --target-dir"},
		{"--target-dir x", "--target-dir without --target-name"},
		{"--metadata-dir " + d.metadata() + " --trusted-root " + dir + "/1.root.json", "--trusted-root and --metadata-dir"},
		{"--metadata-dir " + d.dir, "run updater init first"},
	} {
		runUpdater(t, append([]string{"verify", "--policy", s.log.policy, dir}, strings.Fields(tt.args)...)...).want(2, tt.why)
	}
}

// The first line says whose repository it was, and what made that sure.
func TestVerifySaysWhose(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	dir := s.dump()
	is := "repository " + s.id.String() + ": "
	install := filepath.Join(t.TempDir(), "install.json")
	s.must(os.WriteFile(install, []byte(`{"repository":"`+s.id.String()+`"}`), 0o644))
	root := filepath.Join(dir, "1.root.json")
	d := s.newDevice()
	d.refresh().want(0)
	for _, tt := range []struct {
		args     []string
		pinnedBy string
	}{
		{[]string{dir}, ""},
		{[]string{dir, "--transparency", "off"}, ""},
		{[]string{dir, "--trusted-root", root}, "--trusted-root " + root},
		{[]string{dir, "--install-policy", install}, `"repository" in --install-policy`},
		{[]string{d.metadata()}, ""}, // a state that lies among files may have come with them
		{[]string{"--metadata-dir", d.metadata()}, "the device in " + d.metadata()},
	} {
		args := append([]string{"verify", "--policy", s.log.policy}, tt.args...)
		says := is + "pinned by " + tt.pinnedBy + "\n"
		if tt.pinnedBy == "" {
			says = is + "it is not pinned, so any repository would pass"
		}
		if r := runUpdater(t, args...).want(0); !strings.HasPrefix(r.stdout, says) {
			t.Errorf("%q: %s", tt.args, r.stdout)
		}
		if out := checked(t, runUpdater(t, append(args, "--json")...).want(0)); out.PinnedBy != tt.pinnedBy || out.Repository != s.id.String() {
			t.Errorf("%q: %+v", tt.args, out)
		}
	}
	// A stranger's folder is refused where the repository is named; without proofs the
	// name says nothing of a root that is not the first.
	other := newSite(t)
	other.log = s.log
	other.publish()
	stranger := other.dump()
	runUpdater(t, "verify", "--policy", s.log.policy, "--install-policy", install, stranger).want(1)
	if r := runUpdater(t, "verify", "--transparency", "off", "--install-policy", install, stranger).want(0); strings.Contains(r.stdout, "pinned by") {
		t.Errorf("stdout %s", r.stdout)
	}
	for _, out := range []string{
		runUpdater(t, "verify", "--transparency", "off", dir).want(0).stdout,
		runUpdater(t, "verify", "--transparency", "off", "--json", dir).want(0).stdout,
	} {
		if strings.Contains(out, "  ok\n") || strings.Contains(out, `"verdict": "ok"`) || !strings.Contains(out, unchecked) {
			t.Errorf("without proofs something is ok:\n%s", out)
		}
	}
}

// A log that no witness watches could show a device anything.
func TestQuorumNone(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	policy := filepath.Join(d.dir, "none.txt")
	s.must(os.WriteFile(policy, []byte("log "+s.log.Key.Key().String()+"\nquorum none\n"), 0o644))
	for _, r := range []ran{
		d.refresh("--policy", policy).want(0),
		d.run("verify", "--policy", policy, d.metadata()).want(0),
	} {
		if !strings.Contains(r.stderr, "warning: the trust policy does not require a witness") {
			t.Errorf("%q: stderr %q", r.args, r.stderr)
		}
	}
	if r := d.refresh().want(0); r.stderr != "" {
		t.Errorf("stderr %q", r.stderr)
	}
}

// What shows that a root has expired is said of the root, not of the file whose proof
// showed it.
func TestVerifyExpiredRoot(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	dir := s.dump()
	leaf := s.leaf("2.targets.json")
	write(s, dir, "2.targets.json.tlog-proof", s.log.proof(leaf, s.log.size-1, 3, time.Now().Add(48*time.Hour)))
	out := checked(t, runUpdater(t, "verify", "--policy", s.log.policy, "--now", "none", "--json", dir).want(1))
	if r := out.Roles[0]; r.Role != "root" || r.Version != 1 || r.Verdict != "expired" || !strings.HasPrefix(r.Detail, "version 1 expired at") {
		t.Errorf("%+v", r)
	}
	for _, r := range out.Roles[1:] {
		if r.Verdict != "ok" {
			t.Errorf("%+v", r)
		}
	}
}

// A state that came with the files says which versions were seen, and lets nothing pass:
// neither an approval in it counts, nor a trust policy, nor a release that it has accepted.
func TestVerifyDistrustsAStateThatCame(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	d.download("app").want(0)
	forge := func(change func(*verify.State)) {
		t.Helper()
		for _, name := range []string{"updater.state", "updater.state.copy"} {
			d.edit(name, func(b []byte) []byte {
				state, err := verify.ParseState(b)
				s.must(err)
				change(&state)
				b, err = state.Marshal()
				s.must(err)
				return b
			})
		}
	}
	check := func(more ...string) ran {
		return d.run(append([]string{"verify", "--policy", s.log.policy, d.metadata()}, more...)...)
	}
	check().want(0)
	young := d.install(`{"min_age":"1h"}`)
	check(young...).want(1, "hint")
	d.run(append([]string{"verify", "--policy", s.log.policy, "--metadata-dir", d.metadata()}, young...)...).want(0) // which this device has accepted

	payload := func() verify.Approved {
		m, err := tuf.ParseJSON(s.get("/metadata/2.targets.json"))
		s.must(err)
		return verify.Approved{Role: "targets", Version: 2, Payload: m.PayloadDigest, Unlogged: true}
	}()
	forge(func(state *verify.State) {
		state.Unlogged, state.Approved = []verify.Approved{payload}, []verify.Approved{payload}
	})
	s.must(os.Remove(filepath.Join(d.metadata(), "targets.json.tlog-proof")))
	check().want(1, "hint")

	other := newTestLog(t)
	policy, err := proofs.ParsePolicy([]byte(s.log.PolicyText()))
	s.must(err)
	forge(func(state *verify.State) {
		state.Unlogged, state.Approved = nil, nil
		state.Adopted = &verify.Adopted{Policy: []byte(other.PolicyText()), For: tuf.Sum(policy.Marshal())}
	})
	s.must(os.WriteFile(filepath.Join(d.metadata(), "targets.json.tlog-proof"), other.submit(s.leaf("2.targets.json"), 2), 0o644))
	check().want(1, "hint")
}

// While a newer release waits a device's own files are all right, and a target of the one
// that it has accepted can be fetched again. Nothing of the newer one is taken.
func TestWhileAReleaseWaits(t *testing.T) {
	s := newSite(t)
	s.must(s.vendor.Delegate("targets", "apps", "apps/*"))
	s.must(s.vendor.Put("apps", "apps/x", []byte("x one")))
	s.must(s.vendor.Put("targets", "fw", []byte("one")))
	s.must(s.vendor.Release("apps", "targets"))
	s.publish()
	d := s.newDevice()
	d.download("fw", "--target-name", "apps/x").want(0)
	s.must(s.vendor.Put("apps", "apps/x", []byte("x two")))
	s.must(s.vendor.Put("targets", "fw", []byte("two")))
	s.must(s.vendor.Release("apps", "targets"))
	s.publish()
	young := d.install(`{"min_age":"48h"}`)
	file := filepath.Join(d.targets(), "fw")
	s.must(errors.Join(os.Remove(file), os.WriteFile(filepath.Join(d.targets(), "apps%2Fx"), []byte("damaged"), 0o644)))
	d.download("fw", append(young, "--target-name", "apps/x")...).want(1, "refused (too-young): targets: version 3", "no update now (too-young): "+file+" is that of targets 2, which was accepted before")
	for name, want := range map[string]string{"fw": "one", "apps%2Fx": "x one"} {
		if b, err := os.ReadFile(filepath.Join(d.targets(), name)); err != nil || string(b) != want {
			t.Errorf("%s is %q, %v", name, b, err)
		}
	}
	args := append([]string{"verify", "--policy", s.log.policy, "--metadata-dir", d.metadata()}, young...)
	r := d.run(append(args, "--target-dir", d.targets(), "--target-name", "fw", "--target-name", "apps/x")...).want(0, "targets 3 waits (too-young): version 3")
	if strings.Count(r.stdout, "  ok\n") != 6 || strings.Contains(r.stdout+r.stderr, "rollback") {
		t.Errorf("%s%s", r.stdout, r.stderr)
	}
	if out := checked(t, d.run(append(args, "--json")...).want(0)); len(out.Waiting) != 1 || out.Waiting[0].Version != 3 || len(out.Roles) != 5 {
		t.Errorf("%+v", out)
	}
	// Older files on a stick are a rollback as before.
	d.run(append(args, d.metadata())...).want(1)
	// What the device never accepted is not right because something waits.
	d.edit("targets.json", func([]byte) []byte { return s.get("/metadata/1.targets.json") })
	d.run(args...).want(1)
}
