package verify_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tuflog/tuflog/verify"
)

// While a newer release waits the targets of the one that the device has accepted are found,
// and nothing else: not what it never accepted, nor what has lost its proof or its time.
func TestStanding(t *testing.T) {
	r := newFakeRepo(t)
	r.delegate("targets", "app", false, "app/*")
	r.delegate("targets", "other", false, "other/*")
	r.put("targets", "fw", "one")
	r.put("app", "app/x", "x one")
	r.put("other", "other/x", "other")
	r.publish("root", "app", "other", "targets", "snapshot", "timestamp")
	d := newFakeDevice(t, r.served["root"][0])
	wantOK(t, d.refresh(r, r.config()))
	accepted := d.version("targets")
	_, err := d.find(r, "app/x")
	wantOK(t, err)
	d.state = d.client.State()

	// A delegated role waits under targets that do not.
	young := r.config()
	young.Install.MinAge = 48 * time.Hour
	r.put("app", "app/x", "x two")
	r.publish("app", "snapshot", "timestamp")
	wantOK(t, d.refresh(r, young))
	for range 2 {
		found, err := d.find(r, "app/x")
		wantRefused(t, err, verify.CodeTooYoung, "app")
		if found.Target == nil || found.Target.Length != int64(len("x one")) {
			t.Errorf("found %+v", found.Target)
		}
	}

	r.put("targets", "fw", "the second")
	r.put("targets", "new", "new")
	r.publish("targets", "snapshot", "timestamp")
	stands := func(root bool) {
		t.Helper()
		role := "targets"
		if root {
			role = "root"
		}
		err := d.refresh(r, young)
		var why *verify.Refusal
		if !errors.As(err, &why) || why.Role != role || d.client.Standing() == nil || d.client.Standing().Code != why.Code {
			t.Fatalf("%v, standing %v", err, d.client.Standing())
		}
		if m := d.client.Metadata("targets"); m == nil || m.Version != accepted {
			t.Fatalf("targets %v", m)
		}
		for path, length := range map[string]int64{"fw": 3, "app/x": 5} {
			found, err := d.find(r, path)
			if err != nil || found.Target == nil || found.Target.Length != length {
				t.Errorf("%s: %+v, %v", path, found.Target, err)
			}
		}
		if _, err := d.client.Locate(t.Context(), "new"); !errors.Is(err, verify.ErrNotListed) {
			t.Errorf("of the release that waits: %v", err)
		}
		if _, err := d.client.Locate(t.Context(), "other/x"); err == nil {
			t.Error("a role was found that the device never had")
		}
		if d.client.State().Snapshot.Version != d.state.Snapshot.Version || d.wait(role).Role == "" || d.version("targets") != accepted {
			t.Errorf("%+v waits, kept are targets %d", d.state.Waiting, d.version("targets"))
		}
	}
	stands(false)

	// A proof that is lost, or another file in its place.
	proof, file := d.sidecars["targets"], d.files["targets"]
	d.sidecars["targets"] = verify.Sidecars{}
	wantRefused(t, d.refresh(r, young), verify.CodeTooYoung, "targets")
	if d.client.Standing() != nil {
		t.Error("stands by a release without its proof")
	}
	if w := d.wait("targets"); w.Version != accepted+1 || w.Code != verify.CodeTooYoung {
		t.Errorf("waiting is %+v", w)
	}
	d.sidecars["targets"], d.files["targets"] = proof, r.last("targets")
	wantRefused(t, d.refresh(r, young), verify.CodeTooYoung, "targets")
	if d.client.Standing() != nil {
		t.Error("stands by a release that was never accepted")
	}
	d.files["targets"] = file
	stands(false)

	// A root waits, by whose keys the files are signed that the repository has now.
	r.rotate("timestamp")
	r.publish("root", "timestamp")
	young.Install.RootQuarantine = 7 * 24 * time.Hour
	stands(true)

	// Once it has expired nothing is left.
	late := young
	late.Now = r.parse(file).Expires
	if err := d.refresh(r, late); err == nil || d.client.Standing() != nil {
		t.Errorf("stands by what has expired: %v", err)
	}
}
