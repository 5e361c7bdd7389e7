package verify_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// gateCases are ways in which a proof can be lacking. Each changes what lies
// beside the newest file of a role; roles that follow are left alone.
var gateCases = []struct {
	name string
	do   func(r *fakeRepo, role string, file []byte) []byte
	code verify.Code
}{
	{"no proof", func(*fakeRepo, string, []byte) []byte { return nil }, verify.CodeNotLogged},
	{"not a proof", func(*fakeRepo, string, []byte) []byte { return []byte("no proof\n") }, verify.CodeBadProof},
	{"proof with one bit changed", func(r *fakeRepo, _ string, file []byte) []byte {
		b := slices.Clone(r.sidecars[tuf.Sum(file)])
		b[len("c2sp.org/tlog-proof@v1\nextra ")+40] ^= 1
		return b
	}, verify.CodeBadProof},
	{"proof of another role's file", func(r *fakeRepo, role string, _ []byte) []byte {
		other := "targets"
		if role == "targets" {
			other = "root"
		}
		return r.sidecars[tuf.Sum(r.last(other))]
	}, verify.CodeBadProof},
	{"proof of the version before", func(r *fakeRepo, role string, _ []byte) []byte {
		files := r.served[role]
		return r.sidecars[tuf.Sum(files[len(files)-2])]
	}, verify.CodeBadProof},
	{"logged as another role's", func(r *fakeRepo, role string, file []byte) []byte {
		leaf := r.leaf(role+"2", file)
		return r.log.Proof(leaf.Marshal(), r.log.Add(leaf.Marshal()), 1, 1, 1)
	}, verify.CodeBadProof},
	{"logged with another payload", func(r *fakeRepo, role string, file []byte) []byte {
		leaf := r.leaf(role, file)
		leaf.Payload = tuf.Sum([]byte("another"))
		return r.log.Proof(leaf.Marshal(), r.log.Add(leaf.Marshal()), 1, 1, 1)
	}, verify.CodeBadProof},
	{"logged with another encoding", func(r *fakeRepo, role string, file []byte) []byte {
		leaf := r.leaf(role, file)
		leaf.Encoding = tuf.Pigweed
		return r.log.Proof(leaf.Marshal(), r.log.Add(leaf.Marshal()), 1, 1, 1)
	}, verify.CodeBadProof},
	{"not included", func(r *fakeRepo, role string, file []byte) []byte {
		leaf := r.leaf(role, file)
		index := r.log.Add(leaf.Marshal())
		leaf.Size++ // another leaf than the one in the tree
		return r.log.Proof(leaf.Marshal(), index, 1, 1, 1)
	}, verify.CodeBadProof},
	{"one witness of the two needed", func(r *fakeRepo, role string, file []byte) []byte {
		leaf := r.leaf(role, file)
		return r.log.Proof(leaf.Marshal(), r.log.Add(leaf.Marshal()), -1, 1)
	}, verify.CodeQuorumShort},
	{"no witness", func(r *fakeRepo, role string, file []byte) []byte {
		leaf := r.leaf(role, file)
		return r.log.Proof(leaf.Marshal(), r.log.Add(leaf.Marshal()))
	}, verify.CodeQuorumShort},
	{"another log", func(r *fakeRepo, role string, file []byte) []byte {
		other := testlog.New(r.t, "log.example/b", 0, "")
		other.Witnesses = r.log.Witnesses
		leaf := r.leaf(role, file)
		return other.Proof(leaf.Marshal(), other.Add(leaf.Marshal()), 1, 1, 1)
	}, verify.CodeWrongLog},
	{"another repository", func(r *fakeRepo, role string, file []byte) []byte {
		leaf := r.leaf(role, file)
		leaf.Repository = tuf.Sum([]byte("another vendor"))
		return r.log.Proof(leaf.Marshal(), r.log.Add(leaf.Marshal()), 1, 1, 1)
	}, verify.CodeWrongRepository},
	{"logged as evidence", func(r *fakeRepo, role string, file []byte) []byte {
		entry := r.leaf(role, file)
		entry.Kind, entry.Contradicts = leaf.Evidence, 1
		return r.log.Proof(entry.Marshal(), r.log.Add(entry.Marshal()), 1, 1, 1)
	}, verify.CodeEvidence},
}

// TestClientGate lacks a proof for each class of role in turn. Whatever is lacking
// must be refused by a device that enforces, also when it comes from the device's
// own cache; noted by one that warns; and not looked at by one that does neither.
func TestClientGate(t *testing.T) {
	for _, role := range []string{"root", "targets", "A"} {
		for _, tt := range gateCases {
			t.Run(role+"/"+tt.name, func(t *testing.T) {
				r := newFakeRepo(t)
				r.delegate("targets", "A", false, "*")
				r.publish("root", "A", "targets", "snapshot", "timestamp")
				r.publish("root", "A", "targets", "snapshot", "timestamp")
				file := r.last(role)
				lacking := tt.do(r, role, file)
				good := r.sidecars[tuf.Sum(file)]
				r.sidecars[tuf.Sum(file)] = lacking

				run := func(d *fakeDevice, cfg verify.Config) error {
					if err := d.refresh(r, cfg); err != nil {
						return err
					}
					_, err := d.find(r, "file")
					return err
				}
				d := newFakeDevice(t, r.served["root"][0])
				wantRefused(t, run(d, r.config()), tt.code, role)
				if role == "root" && d.version(role) != 1 || role != "root" && d.files[role] != nil {
					t.Errorf("%s %d was kept", role, d.version(role))
				}
				if m := d.client.Metadata(role); m != nil && m.FileDigest == tuf.Sum(file) {
					t.Errorf("%s %d is trusted", role, m.Version)
				}

				cfg := r.config()
				cfg.Transparency = verify.Warn
				d = newFakeDevice(t, r.served["root"][0])
				wantOK(t, run(d, cfg))
				if w := d.client.Warnings(); len(w) != 1 || w[0].Code != tt.code || w[0].Role != role {
					t.Errorf("warnings %v, want one %s", w, tt.code)
				}

				// What was kept while warning is not good enough for enforcing.
				wantRefused(t, run(d, r.config()), tt.code, role)
				r.sidecars[tuf.Sum(file)] = good
				wantOK(t, run(d, r.config()))

				r.sidecars = map[tuf.Digest][]byte{}
				cfg = r.config()
				cfg.Transparency, cfg.Policy = verify.Off, nil
				d = newFakeDevice(t, r.served["root"][0])
				wantOK(t, run(d, cfg))
				if w := d.client.Warnings(); len(w) != 0 {
					t.Errorf("warnings %v", w)
				}
			})
		}
	}
}

func TestClientGateRequire(t *testing.T) {
	for _, tt := range []struct {
		require []string
		refused string // the first role for which a proof is missed
	}{
		{nil, "root"},
		{[]string{"root"}, "root"},
		{[]string{"targets"}, "targets"},
		{[]string{"delegated"}, "A"},
		{[]string{"targets", "delegated"}, "targets"},
	} {
		r := newFakeRepo(t)
		r.delegate("targets", "A", false, "*")
		r.publish("root", "A", "targets", "snapshot", "timestamp")
		r.sidecars = map[tuf.Digest][]byte{}
		d := newFakeDevice(t, r.served["root"][0])
		cfg := r.config()
		cfg.Install.Require = tt.require
		err := d.refresh(r, cfg)
		if err == nil {
			_, err = d.find(r, "file")
		}
		t.Log(tt.require)
		wantRefused(t, err, verify.CodeNotLogged, tt.refused)
	}
}

// A device that starts from a later root has to be told the repository.
func TestClientRepository(t *testing.T) {
	r := newFakeRepo(t)
	r.publish("root")
	r.publish("root", "targets", "snapshot", "timestamp")
	d := newFakeDevice(t, r.served["root"][1])
	wantRefused(t, d.refresh(r, r.config()), verify.CodeWrongRepository, "root")
	cfg := r.config()
	cfg.Install.Repository = r.genesis
	wantOK(t, d.refresh(r, cfg))

	state, err := verify.Pin(r.served["root"][1], cfg.Install)
	wantOK(t, err)
	if state.Repository != r.genesis {
		t.Errorf("pinned %v, want %v", state.Repository, r.genesis)
	}
	d = newFakeDevice(t, r.served["root"][1])
	d.state = state
	wantOK(t, d.refresh(r, r.config()))
	if d.client.Repository() != r.genesis {
		t.Errorf("follows %v", d.client.Repository())
	}
}

func TestClientMinAge(t *testing.T) {
	const hour = 3600
	base := epoch.Add(-100 * time.Hour).Unix()
	at := func(hours ...int64) (times []int64) {
		for _, h := range hours {
			if h < 0 {
				times = append(times, h) // -1: none
				continue
			}
			times = append(times, base+h*hour)
		}
		return times
	}
	zero := int64(-2) // a cosignature at time 0
	tests := []struct {
		name           string
		older, newer   []int64 // hours at which the three witnesses cosigned; newer nil: no second proof
		faulty, minAge int64   // minAge in hours
		ok             bool
	}{
		{"old enough", at(0, 0, 0), at(48, 48, 48), 1, 48, true},
		{"one second short", at(0, 0, 0), []int64{base + 48*hour - 1, base + 48*hour - 1, base + 48*hour - 1}, 1, 48, false},
		{"one witness ahead does not help", at(0, 0, 0), at(0, 0, 90), 1, 1, false},
		{"one witness behind does not help", at(0, 90, 90), at(90, 90, 90), 1, 1, false},
		{"one witness lies, two do not", at(0, 0, 90), at(48, 48, 0), 1, 48, true},
		{"two of two agree", at(0, 0, -1), at(-1, 48, 48), 1, 48, true},
		{"believing every witness", at(0, 0, 0), at(0, 0, 48), 0, 48, true},
		{"two may lie", at(0, 0, 0), at(90, 90, 10), 2, 11, false},
		{"two may lie, all agree", at(0, 0, 0), at(90, 90, 10), 2, 10, true},
		{"without the newer proof", at(0, 0, 0), nil, 1, 1, false},
		{"times of zero do not count", at(0, 0, zero), at(48, zero, zero), 1, 1, false},
		{"a time of zero is not an early one", at(zero, zero, 0), at(48, 48, 48), 1, 1, false},
		{"the newer is older", at(48, 48, 48), at(0, 0, 0), 1, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, times := range [][]int64{tt.older, tt.newer} {
				for i := range times {
					if times[i] == zero {
						times[i] = 0
					}
				}
			}
			r := newFakeRepo(t)
			r.cosigned = base - 1 // of the root: no later time is known from there
			if tt.faulty == 2 {
				r.log.Quorum = "3"
			}
			r.cosignAll = tt.faulty == 2
			r.publish("root", "targets", "snapshot", "timestamp")
			file := r.last("targets")
			leaf := r.leaf("targets", file)
			index := r.log.Add(leaf.Marshal())
			r.sidecars[tuf.Sum(file)] = r.log.Proof(leaf.Marshal(), index, tt.older...)
			r.log.Add(r.leaf("later", file).Marshal())
			if tt.newer != nil {
				r.latest[tuf.Sum(file)] = r.log.Proof(leaf.Marshal(), index, tt.newer...)
			}
			cfg := r.config()
			cfg.Install.FaultyWitnesses = int(tt.faulty)
			cfg.Install.MinAge = time.Duration(tt.minAge) * time.Hour
			d := newFakeDevice(t, r.served["root"][0])
			err := d.refresh(r, cfg)
			if tt.ok {
				wantOK(t, err)
				return
			}
			wantRefused(t, err, verify.CodeTooYoung, "targets")
		})
	}
}

func TestClientMinAgeProofs(t *testing.T) {
	r := newFakeRepo(t)
	file := r.last("targets")
	cfg := r.config()
	cfg.Install.MinAge = time.Hour
	d := newFakeDevice(t, r.last("root"))
	late := epoch.Unix()

	// The newer proof is checked as the older is, and must be about the same entry.
	r.latest[tuf.Sum(file)] = []byte("no proof\n")
	wantRefused(t, d.refresh(r, cfg), verify.CodeBadProof, "targets")
	leaf := r.leaf("targets", file)
	r.latest[tuf.Sum(file)] = r.log.Proof(leaf.Marshal(), r.log.Add(leaf.Marshal()), late, late)
	wantRefused(t, d.refresh(r, cfg), verify.CodeBadProof, "targets")
	r.latest[tuf.Sum(file)] = r.log.Proof(leaf.Marshal(), 1, late)
	wantRefused(t, d.refresh(r, cfg), verify.CodeQuorumShort, "targets")
	r.latest[tuf.Sum(file)] = r.log.Proof(leaf.Marshal(), 1, late, late)
	wantOK(t, d.refresh(r, cfg))
	// Kept, it goes on proving the age.
	delete(r.latest, tuf.Sum(file))
	r.requests = nil
	wantOK(t, d.refresh(r, cfg))
	if slices.Contains(r.requests, "1.targets.json") {
		t.Error("the kept file was not used")
	}

}

// An install policy that the trust policy cannot bear is a mistake in the
// configuration, whether an age is asked for or not.
func TestClientFaultyWitnesses(t *testing.T) {
	for _, tt := range []struct {
		witnesses int
		quorum    string
		faulty    int
		minAge    time.Duration
		why       string // "": fine
	}{
		{3, "2", verify.DefaultFaultyWitnesses, time.Hour, ""},
		{3, "2", 0, time.Hour, ""},
		{3, "2", 1, time.Hour, ""},
		{3, "2", 2, 0, "2 witnesses are a quorum"},
		{3, "2", 5, 0, "faulty_witnesses is 5"},
		{3, "3", 2, 0, ""},
		{1, "1", verify.DefaultFaultyWitnesses, time.Hour, ""},
		{1, "1", 1, 0, "1 witnesses are a quorum"},
		{0, "", verify.DefaultFaultyWitnesses, 0, ""},
		{0, "", verify.DefaultFaultyWitnesses, time.Hour, "min_age can never be met"},
		{0, "", 1, 0, "0 witnesses are a quorum"},
	} {
		r := newFakeRepo(t)
		cfg := r.config()
		cfg.Policy = testlog.New(t, "log.example/b", tt.witnesses, tt.quorum).Policy()
		cfg.Install.FaultyWitnesses, cfg.Install.MinAge = tt.faulty, tt.minAge
		d := newFakeDevice(t, r.last("root"))
		c, err := d.begins(r, cfg)
		if tt.why == "" && c == nil || tt.why != "" && (err == nil || !strings.Contains(err.Error(), tt.why)) {
			t.Errorf("%+v: %v", tt, err)
		}
		cfg.Transparency, cfg.Policy = verify.Off, nil
		if c, err := d.begins(r, cfg); c == nil {
			t.Errorf("%+v, transparency off: %v", tt, err)
		}
	}
}

func TestClientTimeFloor(t *testing.T) {
	r := newFakeRepo(t)
	r.timestamp.Signed.Expires = epoch.Add(2 * day)
	r.publish("timestamp")
	d := newFakeDevice(t, r.last("root"))
	cfg := r.config()
	cfg.Now = time.Time{} // a device without a clock
	wantOK(t, d.refresh(r, cfg))
	if got, want := d.client.Floor(), time.Unix(r.cosignTime(), 0).UTC(); !got.Equal(want) {
		t.Errorf("floor %v, want %v", got, want)
	}

	// Time passes: witnesses cosign after the timestamp has expired, and the same
	// timestamp is served on. One witness alone would not be believed.
	late := epoch.Add(3 * day).Unix()
	r.publish("root")
	leaf := r.leaf("root", r.last("root"))
	index := r.log.Add(leaf.Marshal())
	r.sidecars[tuf.Sum(r.last("root"))] = r.log.Proof(leaf.Marshal(), index, r.cosignTime(), late, -1)
	other := *d
	wantOK(t, other.refresh(r, cfg))
	r.sidecars[tuf.Sum(r.last("root"))] = r.log.Proof(leaf.Marshal(), index, -1, late, late)
	d = newFakeDevice(t, r.served["root"][0])
	wantRefused(t, d.refresh(r, cfg), verify.CodeExpired, "timestamp")
	if got := d.client.Floor(); !got.Equal(time.Unix(late, 0)) {
		t.Errorf("floor %v", got)
	}
	// A device that gets a clock believes it: what witnesses sign when their clocks are
	// wrong cannot be taken back.
	d.files["root"] = r.last("root")
	d.sidecars["root"] = r.sidecarsOf(r.last("root"))
	cfg.Now = epoch
	right := *d
	wantOK(t, right.refresh(r, cfg))

	// A witness that the policy no longer names has no say.
	cfg.Policy.Witnesses = cfg.Policy.Witnesses[:1]
	d.files["root"] = r.served["root"][0]
	if c, err := d.begins(r, cfg); c == nil || !c.Floor().IsZero() {
		t.Errorf("floor %v, %v", c.Floor(), err)
	}
}

// The proof of the targets can be what shows that the timestamp before it has
// expired.
func TestClientTimeFloorFromTargets(t *testing.T) {
	r := newFakeRepo(t)
	r.timestamp.Signed.Expires = epoch.Add(2 * day)
	r.publish("timestamp")
	file := r.last("targets")
	leaf := r.leaf("targets", file)
	late := epoch.Add(3 * day).Unix()
	r.sidecars[tuf.Sum(file)] = r.log.Proof(leaf.Marshal(), 1, late, late)
	cfg := r.config()
	cfg.Now = time.Time{}
	d := newFakeDevice(t, r.last("root"))
	wantRefused(t, d.refresh(r, cfg), verify.CodeExpired, "timestamp")
	if d.client.Metadata("targets") != nil || d.files["targets"] != nil {
		t.Error("the targets are trusted")
	}
}

// witnessedAt publishes a root that two witnesses cosigned at a time, and a timestamp
// that expires two days after epoch.
func witnessedAt(t *testing.T, unix int64) *fakeRepo {
	r := newFakeRepo(t)
	r.timestamp.Signed.Expires = epoch.Add(2 * day)
	r.cosigned = unix
	r.publish("root", "targets", "snapshot", "timestamp")
	return r
}

// Two of three witnesses had clocks that were 400 days ahead for one release.
func TestClientAndClocksOfWitnesses(t *testing.T) {
	ahead := epoch.Add(400 * day).Unix()

	// A device with a clock of its own goes by that, then and afterwards.
	r := witnessedAt(t, ahead)
	d := newFakeDevice(t, r.served["root"][0])
	wantOK(t, d.refresh(r, r.config()))
	if got := d.client.Floor(); got.After(epoch) {
		t.Errorf("floor %v, and it is %v", got, epoch)
	}
	cfg := r.config()
	cfg.Now = epoch.Add(day)
	wantOK(t, d.refresh(r, cfg))
	// When that clock is set back it shows less than it has shown.
	cfg.Now = epoch.Add(3 * day)
	r.cosigned++
	r.timestamp.Signed.Expires = epoch.Add(30 * day)
	r.publish("root", "timestamp")
	wantOK(t, d.refresh(r, cfg)) // cosigned: the clock is looked at
	r.timestamp.Signed.Expires = epoch.Add(2 * day)
	r.publish("timestamp")
	cfg.Now = epoch
	d.files["timestamp"] = nil
	wantRefused(t, d.refresh(r, cfg), verify.CodeExpired, "timestamp")

	// A device without a clock cannot tell, until the witnesses have new keys.
	r = witnessedAt(t, ahead)
	cfg = r.config()
	cfg.Now = time.Time{}
	d = newFakeDevice(t, r.served["root"][0])
	wantRefused(t, d.refresh(r, cfg), verify.CodeExpired, "root")
	r.cosigned = 0
	for i, w := range r.log.Witnesses {
		r.log.Witnesses[i] = testlog.NewSigner(t, w.Key().Name(), proofs.CosignatureV1)
	}
	for _, role := range []string{"root", "targets"} {
		r.submit(role, r.last(role))
	}
	cfg.Policy = r.log.Policy()
	d.approves(r, cfg)
	wantOK(t, d.refresh(r, cfg))

	// Where proofs are only looked at to warn, nothing is refused by the times in them;
	// without them none counts.
	r = witnessedAt(t, ahead)
	cfg = r.config()
	cfg.Now, cfg.Transparency = time.Time{}, verify.Warn
	d = newFakeDevice(t, r.served["root"][0])
	wantOK(t, d.refresh(r, cfg))
	var warned []string
	for _, w := range d.client.Warnings() {
		warned = append(warned, string(w.Code)+" "+w.Role)
	}
	if want := []string{"expired root", "expired timestamp", "expired snapshot", "expired targets"}; !slices.Equal(warned, want) {
		t.Errorf("warnings %q, want %q", warned, want)
	}
	cfg.Transparency, cfg.Policy = verify.Off, nil
	wantOK(t, d.refresh(r, cfg))
}

// Of two logs that a trust policy lists, neither knows what the other has released.
func TestClientKeepsToOneLog(t *testing.T) {
	r := newFakeRepo(t)
	a, b := r.log, testlog.New(t, "log.example/b", 0, "2")
	b.Witnesses = a.Witnesses
	cfg := r.config()
	cfg.Policy.Logs = append(cfg.Policy.Logs, b.Policy().Logs...)
	d := newFakeDevice(t, r.last("root"))
	wantOK(t, d.refresh(r, cfg))
	if d.state.Log != "log.example/a" {
		t.Fatalf("pinned %q", d.state.Log)
	}
	r.log = b
	r.publish("targets", "snapshot", "timestamp")
	err := d.refresh(r, cfg)
	wantRefused(t, err, verify.CodeWrongLog, "targets")
	if !strings.Contains(err.Error(), "log.example/a") {
		t.Errorf("the log that it has is not named: %v", err)
	}
	warn := cfg
	warn.Transparency = verify.Warn
	other := *d
	other.approves(r, warn)
	wantOK(t, other.refresh(r, warn))
	if other.state.Log != "log.example/a" || len(other.client.Warnings()) != 1 {
		t.Errorf("pinned %q, warnings %v", other.state.Log, other.client.Warnings())
	}
	// A log that the policy no longer lists has no say.
	cfg.Policy.Logs = cfg.Policy.Logs[1:]
	wantOK(t, d.refresh(r, cfg))
	if d.state.Log != "log.example/b" {
		t.Errorf("pinned %q", d.state.Log)
	}
}

// An install policy can require that the log was shown the hash: what the device's own
// snapshot lists does not show that.
func TestClientSnapshotHashes(t *testing.T) {
	r := newFakeRepo(t)
	r.hashes = true
	r.delegate("targets", "A", false, "*")
	r.publish("A", "targets", "snapshot", "timestamp")
	cfg := r.config()
	cfg.Install.SnapshotHashes = true
	log := func(role string, listed leaf.Listing) {
		leaf := r.leaf(role, r.last(role))
		leaf.Snapshot, leaf.Listed = tuf.Sum(r.last("snapshot")), listed
		at := r.cosignTime()
		r.sidecars[tuf.Sum(r.last(role))] = r.log.Proof(leaf.Marshal(), r.log.Add(leaf.Marshal()), at, at)
	}
	d := newFakeDevice(t, r.last("root"))
	log("targets", leaf.ByVersion)
	wantRefused(t, d.refresh(r, cfg), verify.CodeUnbound, "targets")
	log("targets", leaf.ByHash)
	log("A", leaf.ByVersion)
	wantOK(t, d.refresh(r, cfg))
	_, err := d.find(r, "file")
	wantRefused(t, err, verify.CodeUnbound, "A")
	log("A", leaf.ByHash)
	_, err = d.find(r, "file")
	wantOK(t, err)
	// Without the word it does not matter.
	log("targets", leaf.ByVersion)
	wantOK(t, newFakeDevice(t, r.last("root")).refresh(r, r.config()))
}

// A log that shows a device two histories is noticed where they have the same size, without
// any request to the log, and whatever the quorum of witnesses has signed.
func TestForkedLog(t *testing.T) {
	r := newFakeRepo(t)
	cfg := r.config()
	r.publish("root", "targets", "snapshot", "timestamp")
	d := newFakeDevice(t, r.last("root"))
	cfg.Install.Repository = r.genesis
	wantOK(t, d.refresh(r, cfg))
	seen, accepted := d.state.Tree, d.state.Accepted["targets"][0].Version
	if seen.N == 0 || d.state.TreeOf != r.log.Key.Key().Name() {
		t.Fatalf("it remembers tree %+v of %q", seen, d.state.TreeOf)
	}
	honest := r.log
	fork := func(size int64) {
		r.log = testlog.New(t, honest.Key.Key().Name(), 0, honest.Quorum)
		r.log.Key, r.log.Witnesses = honest.Key, honest.Witnesses
		for range size - 1 {
			r.log.Add([]byte("of another history"))
		}
		r.put("targets", "app", "evil")
		r.publish("targets", "snapshot", "timestamp")
	}
	fork(seen.N)
	wantRefused(t, d.refresh(r, cfg), verify.CodeForked, "targets")
	if d.state.Tree != seen || d.state.Accepted["targets"][0].Version != accepted {
		t.Errorf("%+v, %+v", d.state.Tree, d.state.Accepted)
	}
	// What has another size could be of the same history. Then that is the newest tree.
	r.log = honest
	r.put("targets", "app", "good")
	r.publish("targets", "snapshot", "timestamp")
	wantOK(t, d.refresh(r, cfg))
	newer := d.state.Tree
	if newer.N != seen.N+1 {
		t.Errorf("%+v", newer)
	}
	fork(newer.N - 1)
	wantOK(t, d.refresh(r, cfg))
	if d.state.Tree != newer {
		t.Errorf("%+v, want %+v", d.state.Tree, newer)
	}
}
