package verify_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// refreshed puts a newer proof beside the last file of a role, cosigned by all three
// witnesses at a time.
func (r *fakeRepo) refreshed(role string, at time.Time) {
	r.t.Helper()
	file := r.last(role)
	entry := r.leaf(role, file)
	index := r.indexes[tuf.Sum(file)]
	r.latest[tuf.Sum(file)] = r.log.Proof(entry.Marshal(), index, at.Unix(), at.Unix(), at.Unix())
}

// wait is what waits of a role.
func (d *fakeDevice) wait(role string) verify.Waiting {
	for _, w := range d.state.Waiting {
		if w.Role == role {
			return w
		}
	}
	return verify.Waiting{}
}

// Any later proof shows that time has passed, not only that of the release itself.
func TestAgeByTheTimeFloor(t *testing.T) {
	for _, tt := range []struct {
		name  string
		later []int64 // hours after the release at which a later root was cosigned
		ok    bool
	}{
		{"two days later", []int64{48, 48}, true},
		{"an hour short", []int64{47, 47}, false},
		{"one witness ahead", []int64{0, 900}, false},
		{"one witness behind", []int64{0, 48, 48}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newFakeRepo(t)
			r.publish("root", "targets", "snapshot", "timestamp")
			cfg := r.config()
			cfg.Install.MinAge = 48 * time.Hour
			cfg.Now = time.Time{}
			d := newFakeDevice(t, r.served["root"][0])
			wantRefused(t, d.refresh(r, cfg), verify.CodeTooYoung, "targets")
			w := d.wait("targets")
			// f+1 = 2 witnesses cosigned it, the later of them a second later.
			if w.Code != verify.CodeTooYoung || w.Since != r.cosignTime()+1 || w.Version != 2 {
				t.Errorf("waiting %+v", w)
			}
			r.publish("root")
			var times []int64
			for _, hours := range tt.later {
				times = append(times, r.cosignTime()+1+hours*3600)
			}
			r.timesOf("root", times...)
			// The mirror moves the proof to a later tree: the device knows an earlier one.
			r.timesOf("targets", r.cosignTime()+47*3600, r.cosignTime()+47*3600)
			err := d.refresh(r, cfg)
			if !tt.ok {
				wantRefused(t, err, verify.CodeTooYoung, "targets")
				return
			}
			wantOK(t, err)
			if len(d.state.Waiting) != 0 {
				t.Errorf("waiting %+v", d.state.Waiting)
			}
		})
	}
}

// What is remembered of a release that waits is true only under the policies of then: a
// witness may have been found to lie.
func TestSinceIsOfItsPolicies(t *testing.T) {
	r := newFakeRepo(t)
	r.publish("root", "targets", "snapshot", "timestamp")
	cfg := r.config()
	cfg.Install.MinAge = 48 * time.Hour
	d := newFakeDevice(t, r.served["root"][0])
	wantRefused(t, d.refresh(r, cfg), verify.CodeTooYoung, "targets")
	early := d.wait("targets").Since
	r.timesOf("targets", early+1000, early+1000)
	wantRefused(t, d.refresh(r, cfg), verify.CodeTooYoung, "targets")
	if got := d.wait("targets").Since; got != early {
		t.Errorf("since %d, want %d", got, early)
	}
	cfg.Install.MinAge += time.Second
	wantRefused(t, d.refresh(r, cfg), verify.CodeTooYoung, "targets")
	if got := d.wait("targets").Since; got != early+1000 {
		t.Errorf("under another policy since %d, want %d", got, early+1000)
	}
}

// A clock that jumps neither ages a release nor keeps an old one from being old enough.
func TestAgeAndClocks(t *testing.T) {
	r := newFakeRepo(t)
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		r.expire(role, epoch.Add(9000*day))
	}
	r.publish("root", "targets", "snapshot", "timestamp")
	cfg := r.config()
	cfg.Install.MinAge = 48 * time.Hour
	d := newFakeDevice(t, r.served["root"][0])
	for _, now := range []time.Time{epoch, epoch.Add(8000 * day), epoch.Add(-8000 * day), {}} {
		cfg.Now = now
		wantRefused(t, d.refresh(r, cfg), verify.CodeTooYoung, "targets")
	}
	r.refreshed("targets", epoch.Add(60*time.Hour))
	for _, now := range []time.Time{epoch, epoch.Add(8000 * day), epoch.Add(-8000 * day), {}} {
		cfg.Now = now
		other := *d
		wantOK(t, other.refresh(r, cfg))
	}
}

// A root that gives new power waits, and the device goes on with its own.
func TestRootQuarantine(t *testing.T) {
	r := newFakeRepo(t)
	cfg := r.config()
	cfg.Install.RootQuarantine = 7 * day
	d := newFakeDevice(t, r.last("root"))
	wantOK(t, d.refresh(r, cfg))

	// Another expiry, and a key less of two, are no new power.
	two := newFakeRepo(t)
	two.addKey("targets")
	given := newFakeDevice(t, two.firstAgain())
	wantOK(t, given.refresh(two, with(two, cfg)))
	two.must(two.root.Signed.RevokeKey(two.root.Signed.Roles["targets"].KeyIDs[0], "targets"))
	two.signers["targets"] = two.signers["targets"][1:]
	two.expire("root", epoch.Add(40*day))
	two.publish("root", "targets", "snapshot", "timestamp")
	wantOK(t, given.refresh(two, with(two, cfg)))
	if given.version("root") != 2 || given.client.Held() != nil {
		t.Errorf("root %d, held %v", given.version("root"), given.client.Held())
	}

	// A new key is: it waits, and nothing is signed by the root in force.
	r.rotate("targets")
	r.rotate("timestamp")
	r.publish("root", "targets", "snapshot", "timestamp")
	err := d.refresh(r, cfg)
	wantRefused(t, err, verify.CodeQuarantined, "root")
	if !strings.Contains(err.Error(), "under root 1") || d.version("root") != 1 || d.version("targets") != 1 || d.wait("root").Version != 2 {
		t.Errorf("root %d, targets %d, waiting %+v: %v", d.version("root"), d.version("targets"), d.state.Waiting, err)
	}
	// It need not wait if its owner approves, nor once it is old enough.
	approves := *d
	approves.files = map[string][]byte{"root": d.files["root"]}
	approves.approve("root")
	wantOK(t, approves.refresh(r, cfg))
	if len(approves.state.Waiting)+len(approves.state.Approved) != 0 || approves.version("root") != 2 {
		t.Errorf("root %d, state %+v", approves.version("root"), approves.state)
	}
	r.refreshed("root", time.Unix(r.cosignTime(), 0).Add(7*day+time.Second))
	cfg.Now = epoch.Add(7 * day)
	wantOK(t, d.refresh(r, cfg))

	// A root for which the online keys stay does not keep releases away.
	r.addKey("root")
	r.cosigned = epoch.Add(7 * day).Unix()
	r.publish("root", "targets", "snapshot", "timestamp")
	wantOK(t, d.refresh(r, cfg))
	if held := d.client.Held(); held == nil || held.Code != verify.CodeQuarantined || d.version("root") != 2 || d.version("targets") != 3 || d.wait("root").Version != 3 {
		t.Errorf("held %v, root %d, targets %d", held, d.version("root"), d.version("targets"))
	}
	// Nor is what waits under the root in force the root's.
	asks := cfg
	asks.Install.Approval = verify.ApproveAsk
	r.publish("targets", "snapshot", "timestamp")
	wantRefused(t, d.refresh(r, asks), verify.CodeNeedsApproval, "targets")
	d.approve("targets")
	wantOK(t, d.refresh(r, asks))
	cfg = asks
	// An outage is none of the root's.
	r.instead = map[string][]byte{"timestamp.json": nil}
	wantRefused(t, d.refresh(r, cfg), verify.CodeNetwork, "timestamp")
	r.instead = nil
	// Its own root may have expired meanwhile.
	cfg.Now = epoch.Add(31 * day)
	wantRefused(t, d.refresh(r, cfg), verify.CodeQuarantined, "root")

	// A lower threshold is power for each key.
	r = newFakeRepo(t)
	r.addKey("snapshot")
	r.root.Signed.Roles["snapshot"].Threshold = 2
	r.publish("root", "targets", "snapshot", "timestamp")
	cfg = r.config()
	cfg.Install.RootQuarantine = 7 * day
	d = newFakeDevice(t, r.last("root"))
	cfg.Install.Repository = r.genesis
	wantOK(t, d.refresh(r, cfg))
	r.root.Signed.Roles["snapshot"].Threshold = 1
	r.publish("root")
	wantOK(t, d.refresh(r, cfg))
	if d.client.Held() == nil {
		t.Error("a lower threshold did not wait")
	}
}

// with is a configuration with another repository's trust policy.
func with(r *fakeRepo, cfg verify.Config) verify.Config {
	cfg.Policy = r.log.Policy()
	return cfg
}

// firstAgain begins the repository again, as it is now, and returns its root.
func (r *fakeRepo) firstAgain() []byte {
	for _, role := range []string{"root", "targets", "snapshot", "timestamp"} {
		r.served[role] = nil
		r.serve(role)
	}
	return r.last("root")
}

func TestApproval(t *testing.T) {
	for _, approval := range []verify.Approval{verify.ApproveAsk, verify.ApproveManual} {
		r := newFakeRepo(t)
		r.delegate("targets", "A", false, "*")
		r.put("A", "app", "one")
		r.publish("A", "targets", "snapshot", "timestamp")
		cfg := r.config()
		cfg.Install.Approval = approval
		d := newFakeDevice(t, r.last("root"))
		wantRefused(t, d.refresh(r, cfg), verify.CodeNeedsApproval, "targets")
		if d.files["targets"] != nil || d.client.Metadata("targets") != nil {
			t.Error("the release was taken")
		}
		d.approve("targets")
		wantOK(t, d.refresh(r, cfg))
		_, err := d.find(r, "app")
		wantRefused(t, err, verify.CodeNeedsApproval, "A")
		d.state = d.client.State()
		d.approve("A")
		wantOK(t, d.refresh(r, cfg))
		_, err = d.find(r, "app")
		wantOK(t, err)
		d.state = d.client.State()
		if len(d.state.Approved)+len(d.state.Waiting) != 0 {
			t.Errorf("left: %+v, %+v", d.state.Approved, d.state.Waiting)
		}
		// What was accepted is not asked for again, also without its files; nor is a root
		// that gives no new power.
		r.publish("root")
		d.files = map[string][]byte{"root": d.files["root"]}
		wantOK(t, d.refresh(r, cfg))

		// An approval is of one release.
		r.publish("targets", "snapshot", "timestamp")
		wantRefused(t, d.refresh(r, cfg), verify.CodeNeedsApproval, "targets")
		d.approve("targets")
		r.publish("targets", "snapshot", "timestamp")
		wantRefused(t, d.refresh(r, cfg), verify.CodeNeedsApproval, "targets")
		if len(d.state.Approved) != 0 || len(d.state.Waiting) != 1 || d.wait("targets").Version != 4 {
			t.Errorf("approved %+v, waiting %+v", d.state.Approved, d.state.Waiting)
		}

		// A mode that only warns says so, and takes it; later it is not as if approved.
		warn := cfg
		warn.Transparency = verify.Warn
		d.approves(r, warn)
		wantOK(t, d.refresh(r, warn))
		if w := d.client.Warnings(); len(w) != 1 || w[0].Code != verify.CodeNeedsApproval {
			t.Errorf("warnings %v", w)
		}
		wantRefused(t, d.refresh(r, cfg), verify.CodeNeedsApproval, "targets")
	}
}

// An owner who says nothing decides too: a release is installed when it has waited for
// as long as the policy allows, and sooner if its vendor calls it urgent.
func TestPostpone(t *testing.T) {
	r := newFakeRepo(t)
	cfg := r.config()
	cfg.Install.Approval, cfg.Install.Postpone, cfg.Install.PostponeSecurity = verify.ApproveManual, 30*day, 3*day
	cfg.Now = time.Time{}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		r.expire(role, epoch.Add(9000*day))
	}
	r.publish("root", "targets", "snapshot", "timestamp")
	d := newFakeDevice(t, r.last("root"))
	cfg.Install.Repository = r.genesis
	since := time.Unix(r.cosignTime()+1, 0)
	mark := func(path, content, custom string) {
		since = since.Add(100 * day)
		r.cosigned = since.Unix() - 1
		r.put("targets", path, content)
		if custom != "" {
			raw := json.RawMessage(custom)
			r.targets["targets"].Signed.Targets[path].Custom = &raw
		}
		r.publish("targets", "snapshot", "timestamp")
	}
	at := func(age time.Duration, ok bool) {
		t.Helper()
		r.refreshed("targets", since.Add(age))
		err := d.refresh(r, cfg)
		if !ok {
			wantRefused(t, err, verify.CodeNeedsApproval, "targets")
			return
		}
		wantOK(t, err)
	}
	at(30*day-time.Second, false)
	at(30*day, true)
	mark("app", "one", `{"tuflog":{"security":true}}`)
	at(3*day-time.Second, false)
	at(3*day, true)
	// The next release still has that target, which is nothing new.
	mark("other", "two", "")
	at(29*day, false)
	at(30*day, true)
	// Anything but true is no mark.
	for _, custom := range []string{`{"tuflog":{"security":"true"}}`, `{"tuflog":{"security":1}}`, `{"tuflog":true}`, `{"security":true}`, `{"Tuflog":{"security":true}}`} {
		mark("third", custom, custom)
		at(29*day, false)
	}
	mark("third", "marked again", `{"tuflog":{"security":true,"more":null}}`)
	at(3*day, true)
	mark("third", "marked again, otherwise", `{"tuflog":{"security":true}}`)
	at(3*day, true)
	// What is urgent for the owner does not make it older for others.
	cfg.Install.MinAge = 5 * day
	mark("third", "young", `{"tuflog":{"security":true}}`)
	r.refreshed("targets", since.Add(4*day))
	wantRefused(t, d.refresh(r, cfg), verify.CodeTooYoung, "targets")
	at(5*day, true)
}

// The owner can take what is not logged, if the log is gone for good. That is recorded.
func TestBreakGlass(t *testing.T) {
	r := newFakeRepo(t)
	d := newFakeDevice(t, r.last("root"))
	wantOK(t, d.refresh(r, r.config()))
	r.publish("targets", "snapshot", "timestamp")
	proof := r.sidecars[tuf.Sum(r.last("targets"))]
	delete(r.sidecars, tuf.Sum(r.last("targets")))
	wantRefused(t, d.refresh(r, r.config()), verify.CodeNotLogged, "targets")
	w := d.wait("targets")
	if _, _, err := d.state.Approve(w.ID(), false, epoch); err == nil || !strings.Contains(err.Error(), "has no proof") {
		t.Errorf("approved as if logged: %v", err)
	}
	d.state = approved(t, d.state, "targets", true)
	wantOK(t, d.refresh(r, r.config()))
	want := []verify.Approved{{Role: "targets", Version: 2, Payload: w.Payload, Time: epoch.Unix(), Unlogged: true}}
	if !slices.Equal(d.state.Unlogged, want) || len(d.state.Approved)+len(d.state.Waiting) != 0 {
		t.Errorf("recorded %+v, state %+v", d.state.Unlogged, d.state)
	}
	// It stays good, from the device's own files, and goes on to be what was accepted.
	wantOK(t, d.refresh(r, r.config()))
	r.sidecars[tuf.Sum(r.last("targets"))] = proof
	wantOK(t, d.refresh(r, r.config()))
	if !slices.Equal(d.state.Unlogged, want) {
		t.Errorf("recorded %+v", d.state.Unlogged)
	}
	// The next one needs its proof.
	r.publish("targets", "snapshot", "timestamp")
	delete(r.sidecars, tuf.Sum(r.last("targets")))
	wantRefused(t, d.refresh(r, r.config()), verify.CodeNotLogged, "targets")

	// What is logged as evidence is not for an owner to take.
	r.publish("targets", "snapshot", "timestamp")
	file := r.last("targets")
	entry := r.leaf("targets", file)
	entry.Kind, entry.Contradicts = leaf.Evidence, 1
	r.sidecars[tuf.Sum(file)] = r.log.Proof(entry.Marshal(), r.log.Add(entry.Marshal()), r.cosignTime(), r.cosignTime())
	wantRefused(t, d.refresh(r, r.config()), verify.CodeEvidence, "targets")
	if w := d.wait("targets"); w.Version == 4 {
		t.Errorf("evidence waits: %+v", w)
	}
}

// What an owner has let in without a proof is recorded once it is in, and not before: it may
// be refused for another reason, or give way to another release.
func TestBreakGlassInVain(t *testing.T) {
	r := newFakeRepo(t)
	d := newFakeDevice(t, r.last("root"))
	wantOK(t, d.refresh(r, r.config()))
	r.expire("targets", epoch.Add(-day))
	r.bump("targets")
	r.serve("targets")
	r.publish("snapshot", "timestamp")
	delete(r.sidecars, tuf.Sum(r.last("targets")))
	wantRefused(t, d.refresh(r, r.config()), verify.CodeNotLogged, "targets")
	d.state = approved(t, d.state, "targets", true)
	wantRefused(t, d.refresh(r, r.config()), verify.CodeExpired, "targets")
	if len(d.state.Unlogged) != 0 || len(d.state.Approved) != 1 {
		t.Errorf("not accepted: recorded %+v, approved %+v", d.state.Unlogged, d.state.Approved)
	}
	r.expire("targets", epoch.Add(valid))
	r.publish("targets", "snapshot", "timestamp")
	later := *d
	later.files, later.sidecars = maps.Clone(d.files), maps.Clone(d.sidecars)
	wantOK(t, later.refresh(r, r.config()))
	delete(r.sidecars, tuf.Sum(r.last("targets")))
	wantRefused(t, d.refresh(r, r.config()), verify.CodeNotLogged, "targets")
	for name, state := range map[string]verify.State{"accepted": later.state, "refused": d.state} {
		if len(state.Unlogged)+len(state.Approved) != 0 {
			t.Errorf("another release, %s: recorded %+v, approved %+v", name, state.Unlogged, state.Approved)
		}
	}
	// A record of what the device does not have lets nothing in.
	d.state.Unlogged = []verify.Approved{{Role: "targets", Version: d.wait("targets").Version, Payload: d.wait("targets").Payload, Unlogged: true}}
	wantRefused(t, d.refresh(r, r.config()), verify.CodeNotLogged, "targets")
}

func TestApproveByID(t *testing.T) {
	s := exampleState()
	id := s.Waiting[0].Payload.String()
	for _, tt := range []struct{ id, why string }{
		{"", "32 digits"}, {id[:31], "32 digits"}, {strings.ToUpper(id), "nothing waits"}, {strings.Repeat("0", 32), "nothing waits"},
		{id + "0", "nothing waits"},
	} {
		if _, _, err := s.Approve(tt.id, false, epoch); err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%q: %v, want %q", tt.id, err, tt.why)
		}
	}
	if _, _, err := s.Approve(strings.Repeat("0", 32), false, epoch); !errors.Is(err, verify.ErrNotWaiting) {
		t.Error(err)
	}
	after, w, err := s.Approve(id[:32], false, time.Time{})
	if err != nil || len(w) != 1 || w[0] != s.Waiting[0] || len(s.Approved) != 1 || len(after.Approved) != 2 || after.Approved[1].Time != 0 {
		t.Errorf("%+v, %+v, %v", after.Approved, w, err)
	}
	if _, _, err := s.Approve(id[:32], true, epoch); err == nil {
		t.Error("a release that waits for its age was approved of as unlogged")
	}
	// Files that are the same, as those of empty bins, are approved of together.
	twice := s
	twice.Waiting = append(slices.Clone(s.Waiting), s.Waiting[0])
	twice.Waiting[2].Role = "B"
	if after, w, err := twice.Approve(id[:32], false, epoch); err != nil || len(w) != 2 || !after.Approves(twice.Waiting[0]) || !after.Approves(twice.Waiting[2]) {
		t.Errorf("%+v, %v", w, err)
	}
	twice.Waiting[2].Payload[20]++
	if _, _, err := twice.Approve(id[:32], false, epoch); err == nil || !strings.Contains(err.Error(), "give more of it") {
		t.Error(err)
	}
}

// An owner puts off what waits, as long as the install policy lets it wait, and that ends
// with an approval, with the time, and with the next release.
func TestPutOff(t *testing.T) {
	r := newFakeRepo(t)
	cfg := r.config()
	cfg.Install.Approval, cfg.Install.Postpone, cfg.Install.PostponeSecurity = verify.ApproveAsk, 30*day, 3*day
	cfg.Now = time.Time{}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		r.expire(role, epoch.Add(9000*day))
	}
	r.publish("root", "targets", "snapshot", "timestamp")
	d := newFakeDevice(t, r.last("root"))
	cfg.Install.Repository = r.genesis
	since := r.cosignTime() + 1
	putOff := func(wait time.Duration, want int64) {
		t.Helper()
		state, w, err := d.state.Postpone(d.wait("targets").ID(), wait, cfg.Now)
		if err != nil || len(w) != 1 || w[0].Until != want {
			t.Fatalf("%+v, %v; want %d", w, err, want)
		}
		d.state = state
	}
	isPutOff := func(age time.Duration, want bool) {
		t.Helper()
		r.refreshed("targets", time.Unix(since, 0).Add(age))
		wantRefused(t, d.refresh(r, cfg), verify.CodeNeedsApproval, "targets")
		if got := d.state.PutOff(d.wait("targets"), cfg.Now); got != want {
			t.Errorf("at %v put off: %v, %+v", age, got, d.wait("targets"))
		}
	}
	days := func(d time.Duration) int64 { return int64(d / time.Second) }
	isPutOff(day, false)
	putOff(2*day, days(3*day))
	isPutOff(3*day-time.Second, true)
	isPutOff(3*day, false)
	putOff(99*day, days(30*day))
	isPutOff(29*day, true)
	d.approve("targets")
	if d.state.PutOff(d.wait("targets"), cfg.Now) {
		t.Error("put off and approved of")
	}
	putOff(time.Hour, days(29*day+time.Hour))
	if d.state.Approves(d.wait("targets")) {
		t.Error("approved of and put off")
	}
	r.refreshed("targets", time.Unix(since, 0).Add(30*day))
	wantOK(t, d.refresh(r, cfg))

	// The next one is asked about, whatever was said of the one before; one that the vendor
	// calls urgent waits less.
	r.cosigned = since + days(40*day) - 1
	since = r.cosigned + 1
	r.put("targets", "app", "one")
	r.publish("targets", "snapshot", "timestamp")
	isPutOff(time.Hour, false)
	putOff(2*day, days(2*day+time.Hour))
	urgent := json.RawMessage(`{"tuflog":{"security":true}}`)
	r.put("targets", "app", "two")
	r.targets["targets"].Signed.Targets["app"].Custom = &urgent
	r.publish("targets", "snapshot", "timestamp")
	isPutOff(time.Hour, false)
	putOff(20*day, days(3*day))

	// A policy that lets it wait less counts at once, and one under which nobody is asked.
	for _, tt := range []struct {
		change func(*verify.InstallPolicy)
		why    error
	}{
		{func(p *verify.InstallPolicy) {
			p.Approval, p.Postpone, p.PostponeSecurity, p.MinAge = verify.ApproveAuto, 0, 0, 90*day
		}, verify.ErrNotOwners},
		{func(p *verify.InstallPolicy) { p.MinAge, p.PostponeSecurity = 90*day, time.Minute }, nil},
	} {
		d := *d
		cfg := cfg
		tt.change(&cfg.Install)
		d.approves(r, cfg)
		wantRefused(t, d.refresh(r, cfg), verify.CodeTooYoung, "targets")
		if w := d.wait("targets"); d.state.PutOff(w, cfg.Now) {
			t.Errorf("put off under another policy: %+v", w)
		}
		if _, _, err := d.state.Postpone(d.wait("targets").ID(), day, cfg.Now); err == nil || tt.why != nil && !errors.Is(err, tt.why) {
			t.Error(err)
		}
	}
	if _, _, err := d.state.Postpone(d.wait("targets").ID(), 0, cfg.Now); err == nil {
		t.Error("put off for no time")
	}
}

// What waits behind that which waits is found with it, is asked for once, and is decided on
// together; nothing of it is trusted or kept.
func TestLookAhead(t *testing.T) {
	r := newFakeRepo(t)
	cfg := r.config()
	cfg.Install.Approval = verify.ApproveManual
	r.delegate("targets", "outer", false, "*")
	r.delegate("outer", "inner", false, "*")
	r.put("inner", "app", "one")
	r.publish("root", "inner", "outer", "targets", "snapshot", "timestamp")
	d := newFakeDevice(t, r.last("root"))
	cfg.Install.Repository = r.genesis
	wantRefused(t, d.refresh(r, cfg), verify.CodeNeedsApproval, "targets")
	r.requests = nil
	d.client.LookAhead(t.Context(), []string{"app", "nowhere"})
	if got := strings.Join(r.requests, " "); got != "1.outer.json 1.inner.json" {
		t.Errorf("it asked for %s", got)
	}
	if n := len(d.client.State().Accepted); n != 0 || d.files["outer"] != nil || d.client.Metadata("targets") != nil || len(d.client.Troubles()) != 0 {
		t.Errorf("trusted: %d, %v", n, d.client.Troubles())
	}
	d.state = d.client.State()
	var ids []string
	for _, w := range d.state.Waiting {
		if ids = append(ids, w.ID()); w.Code != verify.CodeNeedsApproval || d.client.Offered(w) == nil {
			t.Errorf("%+v", w)
		}
	}
	if len(ids) != 3 {
		t.Fatalf("%+v", d.state.Waiting)
	}
	r.requests = nil
	wantRefused(t, d.refresh(r, cfg), verify.CodeNeedsApproval, "targets")
	for _, id := range ids {
		var err error
		d.state, _, err = d.state.Approve(id, false, epoch)
		wantOK(t, err)
	}
	wantOK(t, d.refresh(r, cfg))
	if found, err := d.find(r, "app"); err != nil || found.Role != "inner" {
		t.Errorf("%+v, %v", found, err)
	}
	d.client.LookAhead(t.Context(), []string{"app"}) // nothing waits
	if s := d.client.State(); len(s.Waiting) != 0 || len(s.Approved) != 0 {
		t.Errorf("%+v, %+v", s.Waiting, s.Approved)
	}
}

// What waits of a role that is gone waits no longer.
func TestWaitingIsForgotten(t *testing.T) {
	r := newFakeRepo(t)
	r.delegate("targets", "A", false, "*")
	r.publish("A", "targets", "snapshot", "timestamp")
	cfg := r.config()
	cfg.Install.Approval = verify.ApproveManual
	d := newFakeDevice(t, r.last("root"))
	wantRefused(t, d.refresh(r, cfg), verify.CodeNeedsApproval, "targets")
	d.approve("targets")
	wantOK(t, d.refresh(r, cfg))
	_, err := d.find(r, "file")
	wantRefused(t, err, verify.CodeNeedsApproval, "A")
	d.state = d.client.State()
	r.targets["targets"].Signed.Delegations = nil
	r.publish("targets")
	delete(r.snapshot.Signed.Meta, "A.json")
	r.publish("snapshot", "timestamp")
	// A snapshot that no longer lists a role is a rollback, unless its keys are new.
	r.rotate("snapshot")
	r.publish("root", "snapshot", "timestamp")
	cfg.Install.Approval = verify.ApproveAuto
	d.state.Required = nil
	wantOK(t, d.refresh(r, cfg))
	if len(d.state.Waiting) != 0 {
		t.Errorf("waiting %+v", d.state.Waiting)
	}
}

// A mirror cannot fill the state with roles that wait.
func TestWaitingIsBounded(t *testing.T) {
	r := newFakeRepo(t)
	for i := range 70 {
		r.delegate("targets", "role"+strings.Repeat("x", i), false, "*")
	}
	for role := range r.targets {
		r.publish(role)
	}
	r.publish("targets", "snapshot", "timestamp")
	cfg := r.config()
	d := newFakeDevice(t, r.last("root"))
	wantOK(t, d.refresh(r, cfg))
	clear(r.sidecars)
	refused := 0
	wantOK(t, d.client.Delegated(t.Context(), func(_ verify.Request, err error) error {
		if err != nil {
			refused++
		}
		return nil
	}))
	s := d.client.State()
	if refused != 70 || len(s.Waiting) != 64 {
		t.Errorf("%d refused, %d waiting", refused, len(s.Waiting))
	}
	if _, err := s.Marshal(); err != nil {
		t.Error(err)
	}
}

// A mirror that keeps the proof back for a while does not cancel what the owner put off.
func TestPutOffWithoutProof(t *testing.T) {
	r := newFakeRepo(t)
	cfg := r.config()
	cfg.Install.Approval, cfg.Install.Postpone = verify.ApproveAsk, 30*day
	d := newFakeDevice(t, r.last("root"))
	wantRefused(t, d.refresh(r, cfg), verify.CodeNeedsApproval, "targets")
	var err error
	d.state, _, err = d.state.Postpone(d.wait("targets").ID(), 7*day, epoch)
	wantOK(t, err)
	sum := tuf.Sum(r.last("targets"))
	proof := r.sidecars[sum]
	delete(r.sidecars, sum)
	wantRefused(t, d.refresh(r, cfg), verify.CodeNotLogged, "targets")
	text, err := d.state.Marshal()
	wantOK(t, err)
	d.state, err = verify.ParseState(text)
	wantOK(t, err)
	r.sidecars[sum] = proof
	wantRefused(t, d.refresh(r, cfg), verify.CodeNeedsApproval, "targets")
	if !d.state.PutOff(d.wait("targets"), epoch) {
		t.Errorf("it is asked about again: %+v", d.wait("targets"))
	}
}
