package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/verify"
)

// install writes an install policy and returns the flags that name it.
func (d *machine) install(policy string) []string {
	d.t.Helper()
	path := filepath.Join(d.dir, "install.json")
	if err := os.WriteFile(path, []byte(policy), 0o644); err != nil {
		d.t.Fatal(err)
	}
	return []string{"--install-policy", path}
}

// An owner is shown what a release changes, approves of it, and it alone is installed.
func TestOwnerApproves(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	manual := d.install(`{"approval":"manual"}`)
	pending := func() string { return d.run("pending", "--metadata-dir", d.metadata()).want(0).stdout }
	if got := pending(); got != "nothing waits\n" {
		t.Errorf("at first: %s", got)
	}
	d.download("app", manual...).want(1, "refused (needs-approval): targets: version 2", "hint: updater pending")
	if _, err := os.Stat(filepath.Join(d.targets(), "app")); err == nil {
		t.Fatal("installed without an approval")
	}
	if got := pending(); !strings.Contains(got, "targets 2 waits (needs-approval)") || !strings.Contains(got, "app") ||
		!strings.Contains(got, "signed by 1 key (") || !strings.Contains(got, "; entry 2 of log log.example/test, cosigned by w1, w2\n") {
		t.Errorf("pending: %s", got)
	}
	d.run("approve", "--metadata-dir", d.metadata(), "0123456789abcdef0123456789abcdef").want(2, "nothing waits under that id", "updater pending")
	d.approve("targets")
	d.download("app", manual...).want(0)
	if got := pending(); got != "nothing waits\n" {
		t.Errorf("afterwards: %s", got)
	}

	// The next one says what it changes against the one installed.
	s.release("tool", "two")
	d.download("app", manual...).want(1, "needs-approval")
	if got := pending(); !strings.Contains(got, "targets 3 waits") || !strings.Contains(got, "tool") || strings.Contains(got, "app is") {
		t.Errorf("pending: %s", got)
	}
	var rows []waitingRow
	if err := json.Unmarshal([]byte(d.run("pending", "--json", "--metadata-dir", d.metadata()).want(0).stdout), &rows); err != nil || len(rows) != 1 || rows[0].Code != verify.CodeNeedsApproval || len(rows[0].Changes) < 2 {
		t.Errorf("%+v, %v", rows, err)
	}
	d.approve("targets")
	// It is offered another one: the approval was of that one.
	s.release("tool", "three")
	d.download("tool", manual...).want(1, "refused (needs-approval): targets: version 4")
	d.run("status", "--metadata-dir", d.metadata()).want(0, "1 release accepted, 1 wait", "waits: needs-approval", "it knows that ", "the newest tree that it has seen of log log.example/test has ")
	d.approve("targets")
	d.download("tool", manual...).want(0)

	// Who took the present policy for another one would not be asked any more.
	d.download("tool").want(1, "refused (evidence-downgrade)", "the owner's approval is no longer required")
	if got := pending(); !strings.Contains(got, "a policy waits (evidence-downgrade)") || !strings.Contains(got, "no longer required") {
		t.Errorf("pending: %s", got)
	}
	d.approve("")
	d.download("tool").want(0)
}

// A new root waits while releases go on, and a log that is gone can be done without, once
// and on the record.
func TestOwnerAndRoots(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	quarantine := d.install(`{"root_quarantine":"7d"}`)
	d.download("app", quarantine...).want(0)
	s.must(s.vendor.Rotate("root"))
	s.release("app", "two")
	r := d.download("app", quarantine...).want(0)
	if !strings.Contains(r.stderr, "a newer root waits (quarantined), and this device goes on with root 1") || d.version("root") != 1 {
		t.Errorf("root %d: %s", d.version("root"), r.stderr)
	}
	if got := d.run("pending", "--metadata-dir", d.metadata()).want(0).stdout; !strings.Contains(got, "root 2 waits (quarantined)") || !strings.Contains(got, "root 2") {
		t.Errorf("pending: %s", got)
	}
	d.approve("root")
	d.download("app", quarantine...).want(0)
	if d.version("root") != 2 {
		t.Errorf("root %d", d.version("root"))
	}

	s.release("app", "three")
	s.set("/metadata/4.targets.json.tlog-proof", nil)
	d.download("app", quarantine...).want(1, "refused (not-logged): targets: version 4")
	var rows []waitingRow
	if err := json.Unmarshal([]byte(d.run("pending", "--json", "--metadata-dir", d.metadata()).want(0).stdout), &rows); err != nil || len(rows) != 1 {
		t.Fatalf("%+v, %v", rows, err)
	}
	d.run("approve", "--metadata-dir", d.metadata(), rows[0].ID).want(2, "has no proof (not-logged)")
	d.run("approve", "--unlogged", "--metadata-dir", d.metadata(), rows[0].ID).want(0, "WITHOUT A PROOF")
	out := checked(t, d.download("app", append(quarantine, "--json")...).want(0))
	if last := out.Roles[len(out.Roles)-1]; last.Role != "targets" || last.Version != 4 || last.Verdict != unlogged || last.Index != -1 {
		t.Errorf("%+v", last)
	}
	d.run("status", "--metadata-dir", d.metadata()).want(0, "1 without a proof", "accepted WITHOUT A PROOF, as its owner approved at 20")
	s.release("app", "four")
	d.download("app", quarantine...).want(0)
	var status deviceStatus
	if err := json.Unmarshal([]byte(d.run("status", "--json", "--metadata-dir", d.metadata()).want(0).stdout), &status); err != nil ||
		len(status.Unlogged) != 1 || status.Unlogged[0].Version != 4 || !status.Unlogged[0].Unlogged || status.Root != 2 || len(status.Waiting) != 0 {
		t.Errorf("%+v, %v", status, err)
	}
	d.run("status", "--metadata-dir", filepath.Join(d.dir, "none")).want(2, "run updater init first")
	d.run("status").want(2, "--metadata-dir is needed")
}

// What waits is shown with its age, and what is no longer kept is not guessed.
func TestPendingAge(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	young := d.install(`{"min_age":"4h"}`)
	leaf, now := s.leaf("2.targets.json"), time.Now()
	s.set("/metadata/2.targets.json.tlog-proof", s.log.proof(leaf, s.log.size-1, 3, now.Add(-3*time.Hour)))
	d.refresh(young...).want(1, "too-young")
	s.set("/metadata/2.targets.json.latest.tlog-proof", s.log.proof(leaf, s.log.size-1, 3, now))
	d.refresh(young...).want(1, "too-young")
	pending := d.run("pending", "--metadata-dir", d.metadata()).want(0).stdout
	if !strings.Contains(pending, "targets 2 waits (too-young), public for 3 hours at least") {
		t.Errorf("pending: %s", pending)
	}
	s.must(os.Remove(filepath.Join(d.metadata(), "targets.json.waiting")))
	if got := d.run("pending", "--metadata-dir", d.metadata()).want(0).stdout; !strings.Contains(got, "its file is not kept: the next refresh brings it") {
		t.Errorf("pending: %s", got)
	}
	s.must(os.WriteFile(filepath.Join(d.metadata(), "targets.json.waiting"), s.get("/metadata/1.targets.json"), 0o644))
	if got := d.run("pending", "--metadata-dir", d.metadata()).want(0).stdout; !strings.Contains(got, "its file is not kept") {
		t.Errorf("pending: %s", got)
	}
	// An owner who cannot wait need not.
	d.approve("targets")
	d.refresh(young...).want(0)
	for _, name := range d.names() {
		if strings.HasSuffix(name, ".waiting") {
			t.Errorf("%s is left", name)
		}
	}
}

// A vendor's next trust policy comes as a target, and is in force when it is old enough.
func TestNextPolicy(t *testing.T) {
	s := newSite(t)
	d := s.newDevice()
	policy := d.install(`{"next_policy":"policy/trust.txt","root_quarantine":"7d"}`)
	s.release("app", "one")
	long := time.Now().Add(-8 * 24 * time.Hour)
	s.set("/metadata/2.targets.json.tlog-proof", s.log.proof(s.leaf("2.targets.json"), s.log.size-1, 3, long))
	d.download("app", policy...).want(0)
	next := strings.Replace(s.log.PolicyText(), "group all-of-them 2", "group all-of-them 1", 1)
	s.release("policy/trust.txt", next)
	leaf, now := s.leaf("3.targets.json"), time.Now()
	s.set("/metadata/3.targets.json.tlog-proof", s.log.proof(leaf, s.log.size-1, 3, now.Add(-7*24*time.Hour)))
	if r := d.download("app", policy...).want(0); !strings.Contains(r.stderr, "the next trust policy (policy/trust.txt) is not in force: quarantined") {
		t.Error(r.stderr)
	}
	d.run("pending", "--metadata-dir", d.metadata()).want(0, "a policy waits (quarantined)", "witnesses that were not enough are")
	s.set("/metadata/3.targets.json.latest.tlog-proof", s.log.proof(leaf, s.log.size-1, 3, now))
	s.must(os.Remove(filepath.Join(d.metadata(), "targets.json")))
	// A command that judges the files without updating says what an update would do.
	stick := filepath.Join(d.dir, "stick")
	s.must(os.MkdirAll(stick, 0o755))
	for _, name := range []string{"2.root.json", "timestamp.json", "3.snapshot.json", "3.targets.json", "3.targets.json.tlog-proof", "3.targets.json.latest.tlog-proof"} {
		if b := s.get("/metadata/" + name); b != nil {
			s.must(os.WriteFile(filepath.Join(stick, name), b, 0o644))
		}
	}
	check := append([]string{"verify", "--policy", s.log.policy, "--metadata-dir", d.metadata(), stick}, policy...)
	if r := d.run(check...).want(0); strings.Contains(r.stderr, "trust policy") {
		t.Error(r.stderr)
	}
	check = append(check, "--target-dir", filepath.Join(stick, "targets"))
	if r := d.run(check...).want(0); !strings.Contains(r.stderr, "the next trust policy (policy/trust.txt) would not be in force: target \"policy/trust.txt\" is not in ") {
		t.Error(r.stderr)
	}
	s.must(os.MkdirAll(filepath.Join(stick, "targets", "policy"), 0o755))
	s.must(os.WriteFile(filepath.Join(stick, "targets", "policy", "trust.txt"), []byte(next), 0o644))
	if r := d.run(check...).want(0); !strings.Contains(r.stderr, "an update from here would make policy/trust.txt the trust policy from the next run on") {
		t.Error(r.stderr)
	}
	// A bundle brings it to a device without a network.
	offline, packed := filepath.Join(d.dir, "offline"), filepath.Join(d.dir, "update.bundle")
	s.must(os.CopyFS(offline, os.DirFS(d.metadata())))
	d.run(append([]string{"bundle", "create", packed, "--policy", s.log.policy, "--metadata-url", s.url + "/metadata", "--target-base-url", s.url + "/targets", "--target-name", "app",
		"--trusted-root", filepath.Join(d.dir, "given.json")}, policy...)...).want(0)
	install := append([]string{"bundle", "install", packed, "--policy", s.log.policy, "--metadata-dir", offline, "--target-dir", filepath.Join(d.dir, "installed")}, policy...)
	if r := d.run(install...).want(0); !strings.Contains(r.stderr, "from the next run on the trust policy is policy/trust.txt, which targets lists") {
		t.Error(r.stderr)
	}
	if r := d.refresh(policy...).want(0); !strings.Contains(r.stderr, "the next trust policy (policy/trust.txt) was not looked for: it is a target, and --target-base-url is missing") {
		t.Error(r.stderr)
	}
	if r := d.refresh(append(policy, "--target-base-url", s.url+"/targets")...).want(0); !strings.Contains(r.stderr, "from the next run on the trust policy is policy/trust.txt, which targets lists") {
		t.Error(r.stderr)
	}
	d.run("status", "--metadata-dir", d.metadata()).want(0, "the trust policy is one that came as a target")
	s.release("app", "two")
	s.set("/metadata/4.targets.json.tlog-proof", s.log.submit(s.leaf("4.targets.json"), 1))
	if r := d.download("app", policy...).want(0); strings.Contains(r.stderr, "trust policy") {
		t.Error(r.stderr)
	}
	// A device that was not told of it refuses that.
	other := s.newDevice()
	other.download("app").want(1, "refused (quorum-short)")
	// A mirror that serves something else has no say.
	s.set("/targets/policy/"+s.hashOf("policy/trust.txt")+".trust.txt", []byte("quorum none\n"+strings.Repeat("#", 400)))
	s.must(os.Remove(filepath.Join(d.metadata(), "next-policy.txt")))
	if r := d.download("app", policy...).want(0); !strings.Contains(r.stderr, "is not in force: ") || !strings.Contains(r.stderr, "bad-metadata") {
		t.Error(r.stderr)
	}
}

func TestPolicyExplain(t *testing.T) {
	s := newSite(t)
	runUpdater(t, "policy", "explain", "--policy", s.log.policy, "--install-policy", "../../docs/policies/fleet.json").
		want(0, "What a release needs:\n  - Proofs are needed of", "Who can do what:", "Weak:\n  - 1 lying witness is enough")
	var p verify.Promise
	r := runUpdater(t, "policy", "explain", "--json", "--policy", s.log.policy)
	if err := json.Unmarshal([]byte(r.want(0).stdout), &p); err != nil || len(p.Needs) < 3 || len(p.Against) < 5 || len(p.Warnings) < 3 {
		t.Errorf("%+v, %v", p, err)
	}
	runUpdater(t, "policy", "explain").want(2, "--policy is needed")
	runUpdater(t, "policy", "explain", "--transparency", "off").want(2, "nothing is promised")
	d := s.newDevice()
	runUpdater(t, append(d.install(`{"faulty_witnesses":2}`), "policy", "explain", "--policy", s.log.policy)...).want(2, "faulty_witnesses is 2")
}

// Evidence that comes along with an update is shown to its owner, with what it proves against
// the parties that the device trusts. What proves nothing accuses nobody.
func TestEvidenceComesAlong(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	stick := s.stick()
	put := func(name string, content []byte) {
		t.Helper()
		path := filepath.Join(stick, filepath.FromSlash(name))
		s.must(errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)))
	}
	checkpoint := func(l *testlog.Log, entry string) []byte {
		t.Helper()
		for range 4 {
			l.Add([]byte(entry))
		}
		proof, err := proofs.ParseProof(l.Proof([]byte(entry), 0))
		s.must(err)
		return proof.Checkpoint
	}
	conflict := func(l *testlog.Log) []byte {
		t.Helper()
		other := testlog.New(t, l.Key.Key().Name(), 0, "0")
		other.Key = l.Key
		mine := testlog.New(t, l.Key.Key().Name(), 0, "0")
		mine.Key = l.Key
		c, err := fraud.NewConflict(t.Context(), checkpoint(mine, "one"), checkpoint(other, "another"), nil)
		s.must(err)
		return c.Marshal()
	}
	manual := d.install(`{"approval":"manual"}`)
	download := func() string {
		t.Helper()
		return d.run(append([]string{"download", "--policy", s.log.policy, "--metadata-dir", d.metadata(), "--from", stick, "--target-dir", d.targets(), "--target-name", "app"}, manual...)...).
			want(1, "needs-approval").stderr
	}
	if out := download(); strings.Contains(strings.ToLower(out), "evidence") {
		t.Error(out)
	}
	put("evidence/fork\x1b[1m", conflict(s.log.Log))
	put("evidence/of-another-log", conflict(testlog.New(t, "log.example/another", 0, "0")))
	put("evidence/garbage", []byte("garbage"))
	out := download()
	if n := strings.Count(out, "EVIDENCE came along that the trust policy's parties lie: log.example/test showed two histories, signed by log.example/test ("); n != 1 {
		t.Errorf("%d accusations: %s", n, out)
	}
	if n := strings.Count(out, "evidence came along that says nothing here: "); n != 2 || strings.Contains(out, "\x1b") {
		t.Errorf("%d others: %s", n, out)
	}
	for i := range maxEvidence {
		put("evidence/"+strconv.Itoa(i), []byte("garbage"))
	}
	if out := download(); !strings.Contains(out, "more than 16 files of evidence came along") {
		t.Error(out)
	}
}
