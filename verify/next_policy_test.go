package verify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// offer releases a trust policy as the target that is the next one.
func (r *fakeRepo) offer(text string) {
	r.t.Helper()
	r.put("targets", "next.txt", text)
	r.publish("targets", "snapshot", "timestamp")
}

// adopt brings a device up to date, and offers it the target. It returns whether that is
// the trust policy from now on.
func (d *fakeDevice) adopt(r *fakeRepo, cfg verify.Config, text string) (bool, error) {
	d.t.Helper()
	wantOK(d.t, d.refresh(r, cfg))
	found, err := d.find(r, "next.txt")
	wantOK(d.t, err)
	adopted, err := d.client.Adopt(d.t.Context(), found, []byte(text))
	d.state = d.client.State()
	return adopted, err
}

func wantAdopted(t *testing.T, adopted bool, err error) {
	t.Helper()
	if !adopted || err != nil {
		t.Fatalf("adopted %v, %v", adopted, err)
	}
}

// A fleet without owners waits the quarantine out, and follows its vendor to other
// witnesses.
func TestNextPolicy(t *testing.T) {
	r := newFakeRepo(t)
	cfg := r.config()
	cfg.Install.NextPolicy, cfg.Install.RootQuarantine = "next.txt", 7*day
	cfg.Now = time.Time{}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		r.expire(role, epoch.Add(9000*day))
	}
	d := newFakeDevice(t, r.last("root"))

	// A fourth witness, which two of the old ones can do without, is less than before.
	old := r.log.PolicyText()
	fourth := testlog.NewSigner(t, "witness.example/w4", proofs.CosignatureV1)
	next := strings.Replace(old, "group all-of-them 2", "witness w4 "+fourth.Key().String()+"\ngroup all-of-them 2", 1)
	next = strings.Replace(next, " w1 w2 w3\n", " w1 w2 w3 w4\n", 1)
	r.offer(next)
	first := r.cosignTime() + 1
	adopted, err := d.adopt(r, cfg, next)
	wantRefused(t, err, verify.CodeQuarantined, "")
	if w := d.wait(""); adopted || w.Code != verify.CodeQuarantined || w.Since != first || !strings.Contains(w.Detail, `["w1" "w4"]`) {
		t.Errorf("adopted %v, waiting %+v", adopted, w)
	}
	// Later releases list it as well: it is as old as the first one. Nor does a mistake in
	// the configuration meanwhile make it younger.
	r.cosigned = first + int64(7*day/time.Second) - 2
	r.publish("targets", "snapshot", "timestamp")
	_, err = d.adopt(r, cfg, next)
	wantRefused(t, err, verify.CodeQuarantined, "")
	off := cfg
	off.Transparency = verify.Off
	wantRefused(t, d.refresh(r, off), verify.CodeDowngrade, "")
	if len(d.state.Waiting) != 2 {
		t.Errorf("waiting %+v", d.state.Waiting)
	}
	approves := *d
	approves.approvePolicy(verify.CodeQuarantined)
	adopted, err = approves.adopt(r, cfg, next)
	wantAdopted(t, adopted, err)

	r.cosigned += 2
	r.publish("targets", "snapshot", "timestamp")
	adopted, err = d.adopt(r, cfg, next)
	wantAdopted(t, adopted, err)
	if d.state.Adopted == nil || len(d.state.Waiting)+len(d.state.Approved) != 0 {
		t.Errorf("state %+v", d.state)
	}

	// From now on the fourth counts, and a file of the owner's does once it is another one.
	r.log.Witnesses = append(r.log.Witnesses, fourth)
	r.publish("targets", "snapshot", "timestamp")
	r.timesOf("targets", -1, -1, r.cosigned, r.cosigned)
	adopted, err = d.adopt(r, cfg, next) // it is in force already
	if adopted || err != nil {
		t.Errorf("adopted again %v, %v", adopted, err)
	}
	r.publish("targets", "snapshot", "timestamp")
	r.timesOf("targets", r.cosigned, r.cosigned)
	other := cfg
	other.Policy = parsePolicy(t, strings.Replace(old, "group all-of-them 2", "group all-of-them 3", 1))
	wantRefused(t, d.refresh(r, other), verify.CodeQuorumShort, "targets")
	if d.state.Adopted == nil {
		t.Error("it is forgotten before anything was accepted under the other")
	}
	r.timesOf("targets", r.cosigned, r.cosigned, r.cosigned)
	wantOK(t, d.refresh(r, other))
	if d.state.Adopted != nil {
		t.Error("the adopted policy is kept beside another one")
	}
}

func parsePolicy(t testing.TB, text string) *proofs.Policy {
	t.Helper()
	p, err := proofs.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (d *fakeDevice) approvePolicy(code verify.Code) {
	d.t.Helper()
	for _, w := range d.state.Waiting {
		if w.Role == "" && w.Code == code {
			var err error
			d.state, _, err = d.state.Approve(w.ID(), false, epoch)
			wantOK(d.t, err)
			return
		}
	}
	d.t.Fatalf("no policy waits: %+v", d.state.Waiting)
}

// What is refused of a next trust policy, and what need not wait.
func TestNextPolicyCases(t *testing.T) {
	r := newFakeRepo(t)
	cfg := r.config()
	cfg.Install.NextPolicy, cfg.Install.RootQuarantine = "next.txt", 7*day
	stranger := testlog.New(t, "log.example/b", 3, "2")
	old := r.log.PolicyText()
	both := "log " + stranger.Key.Key().String() + "\n" + old
	plus := cfg // under which the other log is trusted as well
	plus.Policy = parsePolicy(t, both)
	for _, tt := range []struct {
		name, text string
		code       verify.Code // "": adopted at once
		why        string
	}{
		{"more is required", strings.Replace(old, "group all-of-them 2 w1 w2 w3", "group all-of-them 2 w1 w2", 1), "", ""},
		{"more than its own release has", strings.Replace(old, "group all-of-them 2", "group all-of-them 3", 1), verify.CodeBadMetadata, "not met by the release that lists it"},
		{"not a policy", "quorum\n", verify.CodeBadMetadata, "cannot be read"},
		{"nobody is required", strings.Split(old, "\n")[0] + "\nquorum none\n", verify.CodeBadMetadata, "root_quarantine can never be met"},
		{"another log as well", both, verify.CodeQuarantined, "log log.example/b is trusted by another key"},
		{"another log", stranger.PolicyText(), verify.CodeBadMetadata, "not met by the release that lists it"},
	} {
		r.offer(tt.text)
		d := newFakeDevice(t, r.last("root"))
		adopted, err := d.adopt(r, cfg, tt.text)
		if tt.code == "" {
			wantAdopted(t, adopted, err)
			wantOK(t, d.refresh(r, cfg))
			continue
		}
		wantRefused(t, err, tt.code, "")
		if !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.why)
		}
	}

	// Fewer logs are no less than before, but without that of its release nothing would be
	// proved any more.
	only := strings.Replace(old, r.log.Key.Key().String(), stranger.Key.Key().String(), 1)
	r.offer(only)
	d := newFakeDevice(t, r.served["root"][0])
	_, err := d.adopt(r, plus, only)
	wantRefused(t, err, verify.CodeBadMetadata, "")
	r.publish("targets", "snapshot", "timestamp")
	wantOK(t, d.refresh(r, plus))
	// Nor is the root that is in force, whose proof is older.
	r.publish("root")
	r.cosignAll = true
	all := strings.Replace(old, "group all-of-them 2", "group all-of-them 3", 1)
	r.offer(all)
	d = newFakeDevice(t, r.served["root"][0])
	_, err = d.adopt(r, cfg, all)
	wantRefused(t, err, verify.CodeBadMetadata, "")
	if !strings.Contains(err.Error(), "not met by root 2") {
		t.Error(err)
	}
	r.publish("root", "timestamp")
	r.offer(all)
	adopted, err := d.adopt(r, cfg, all)
	wantAdopted(t, adopted, err)
	r.cosignAll = false
	r.offer(old) // its own log stays
	d = newFakeDevice(t, r.served["root"][0])
	adopted, err = d.adopt(r, plus, old)
	wantAdopted(t, adopted, err)

	// Another content is no target, whoever serves it, and without the field nothing is.
	r.offer(both)
	d = newFakeDevice(t, r.served["root"][0])
	_, err = d.adopt(r, cfg, old)
	wantRefused(t, err, verify.CodeBadMetadata, "")
	plain := cfg
	plain.Install.NextPolicy = ""
	if adopted, err := d.adopt(r, plain, both); adopted || err != nil {
		t.Errorf("adopted %v, %v", adopted, err)
	}

	// Where the owner decides on releases, the owner decides on this.
	r.offer(both)
	manual := cfg
	manual.Install.Approval = verify.ApproveManual
	manual.Now = epoch.Add(8 * day)
	d = newFakeDevice(t, r.served["root"][0])
	wantRefused(t, d.refresh(r, manual), verify.CodeNeedsApproval, "targets")
	d.approve("targets")
	_, err = d.adopt(r, manual, both)
	wantRefused(t, err, verify.CodeQuarantined, "")
	r.refreshed("targets", epoch.Add(8*day))
	d.files = map[string][]byte{"root": d.files["root"]}
	_, err = d.adopt(r, manual, both)
	wantRefused(t, err, verify.CodeNeedsApproval, "")
	d.approvePolicy(verify.CodeNeedsApproval)
	adopted, err = d.adopt(r, manual, both)
	wantAdopted(t, adopted, err)
	if _, err := d.state.Marshal(); err != nil {
		t.Error(err)
	}
	if len(d.state.Approved)+len(d.state.Waiting) != 0 || d.state.Required.Digest() == (tuf.Digest{}) {
		t.Errorf("state %+v", d.state)
	}
}

// A policy that is listed no more has been withdrawn, and begins anew if it comes back.
func TestNextPolicyWithdrawn(t *testing.T) {
	r := newFakeRepo(t)
	cfg := r.config()
	cfg.Now = time.Time{}
	cfg.Install.NextPolicy, cfg.Install.RootQuarantine = "next.txt", 7*day
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		r.expire(role, epoch.Add(9000*day))
	}
	d := newFakeDevice(t, r.last("root"))
	weak := strings.Replace(r.log.PolicyText(), "group all-of-them 2", "group all-of-them 1", 1)
	first := r.cosignTime()
	r.offer(weak)
	_, err := d.adopt(r, cfg, weak)
	wantRefused(t, err, verify.CodeQuarantined, "")

	delete(r.targets["targets"].Signed.Targets, "next.txt")
	r.cosigned = first + 3600
	r.publish("targets", "snapshot", "timestamp")
	wantOK(t, d.refresh(r, cfg))
	adopted, err := d.client.Adopt(d.t.Context(), verify.Lookup{}, nil)
	if d.state = d.client.State(); adopted || err != nil || len(d.state.Waiting) != 0 {
		t.Fatalf("adopted %v, %v; waiting %+v", adopted, err, d.state.Waiting)
	}

	r.cosigned = first + int64(8*day/time.Second)
	r.offer(weak)
	_, err = d.adopt(r, cfg, weak)
	wantRefused(t, err, verify.CodeQuarantined, "")
}

// A root may be years old when the witnesses change: a proof of it that the next policy is met
// by is asked for, and kept.
func TestNextPolicyAndAnOldRoot(t *testing.T) {
	r := newFakeRepo(t)
	cfg := r.config()
	cfg.Install.NextPolicy, cfg.Install.RootQuarantine = "next.txt", 7*day
	first := r.last("root")
	r.expire("root", epoch.Add(20*day))
	r.publish("root", "snapshot", "timestamp")
	d := newFakeDevice(t, first)
	wantOK(t, d.refresh(r, cfg))
	three := strings.Replace(r.log.PolicyText(), "group all-of-them 2", "group all-of-them 3", 1)
	r.cosignAll = true
	r.offer(three)
	_, err := d.adopt(r, cfg, three)
	wantRefused(t, err, verify.CodeBadMetadata, "")

	at := r.cosignTime()
	r.timesOf("root", at, at, at)
	adopted, err := d.adopt(r, cfg, three)
	wantAdopted(t, adopted, err)
	wantOK(t, d.refresh(r, cfg)) // by the next policy, with the proof that is kept
}
