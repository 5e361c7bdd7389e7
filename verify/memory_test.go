package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tuflog/tuflog/verify"
)

// giveTargets gives the top-level targets role these keys, and no other.
func (r *fakeRepo) giveTargets(keys ...*metadata.Key) {
	r.t.Helper()
	for _, id := range slices.Clone(r.root.Signed.Roles["targets"].KeyIDs) {
		r.must(r.root.Signed.RevokeKey(id, "targets"))
	}
	for _, key := range keys {
		r.must(r.root.Signed.AddKey(key, "targets"))
	}
}

// An insider with the root keys rotates the targets keys away and back, so that two
// payloads of one version are logged, and both stand: root 1 names k1, root 2 names k2,
// root 3 names both. What a device has accepted it does not exchange.
func TestTwoPayloadsThatStand(t *testing.T) {
	r := newFakeRepo(t)
	k1, key1 := newTUFKey(t)
	k2, key2 := newTUFKey(t)
	payload := func(content string, key ed25519.PrivateKey) []byte {
		r.put("targets", "app.bin", content)
		r.signers["targets"] = []ed25519.PrivateKey{key}
		r.targets["targets"].Signed.Version = 14
		r.serve("targets")
		return r.last("targets")
	}
	r.giveTargets(key1)
	one := payload("for everybody", k1)
	r.publish("root", "snapshot", "timestamp")
	devices := map[string]*fakeDevice{}
	for _, name := range []string{"follows", "jumps", "late"} {
		devices[name] = newFakeDevice(t, r.served["root"][0])
	}
	wantOK(t, devices["follows"].refresh(r, r.config()))
	wantOK(t, devices["jumps"].refresh(r, r.config()))

	serve := func(file []byte) { r.served["targets"] = [][]byte{file} }
	wantInstalls := func(name string, want []byte) {
		t.Helper()
		wantOK(t, devices[name].refresh(r, r.config()))
		if got := devices[name].client.Metadata("targets").File; !slices.Equal(got, want) {
			t.Errorf("%s: another payload is trusted", name)
		}
	}
	wantKeeps := func(name string, other []byte) {
		t.Helper()
		d := *devices[name]
		d.files = map[string][]byte{"root": d.files["root"]} // also without its files
		serve(other)
		err := d.refresh(r, r.config())
		wantRefused(t, err, verify.CodeSecondPayload, "targets")
		if !strings.Contains(err.Error(), "version 14 has payload") {
			t.Error(err)
		}
	}

	// Its keys were rotated: the first payload does not stand, and the second may come.
	r.giveTargets(key2)
	r.publish("root")
	two := payload("for the target only", k2)
	wantInstalls("follows", two)

	// Now both stand. Each device keeps what it had, also one that comes from root 1.
	r.giveTargets(key1, key2)
	r.publish("root")
	wantInstalls("follows", two)
	wantKeeps("follows", one)
	serve(one)
	wantInstalls("jumps", one)
	wantKeeps("jumps", two)
	serve(two)
	wantInstalls("late", two)
	wantKeeps("late", one)

	// Where proofs are only looked at to warn it is noted, and plain TUF takes either.
	for _, mode := range []verify.Transparency{verify.Warn, verify.Off} {
		d := *devices["late"]
		d.files = map[string][]byte{"root": d.files["root"]}
		serve(one)
		cfg := r.config()
		cfg.Transparency = mode
		d.approves(r, cfg)
		wantOK(t, d.refresh(r, cfg))
		if w := d.client.Warnings(); mode == verify.Warn && (len(w) != 1 || w[0].Code != verify.CodeSecondPayload) || mode == verify.Off && len(w) != 0 {
			t.Errorf("%v: warnings %v", mode, w)
		}
	}

	// The next version ends it.
	payload("for everybody again", k1)
	r.targets["targets"].Signed.Version = 15
	r.serve("targets")
	r.publish("snapshot", "timestamp")
	for name, d := range devices {
		if err := d.refresh(r, r.config()); err != nil || d.version("targets") != 15 {
			t.Errorf("%s: targets %d, %v", name, d.version("targets"), err)
		}
	}
}

// A delegated role is remembered for each delegator that named its keys: where their
// keys differ, so may what they delegate to.
func TestTwoPayloadsOfADelegatedRole(t *testing.T) {
	r := newFakeRepo(t)
	r.delegate("targets", "A", false, "a/*")
	r.delegate("targets", "B", false, "b/*")
	r.delegate("A", "C", false, "a/*")
	r.delegate("B", "C", false, "b/*")
	keys := r.signers["C"]
	file := func(content string, signers ...ed25519.PrivateKey) []byte {
		r.put("C", "a/file", content)
		r.put("C", "b/file", content)
		r.signers["C"] = signers
		r.serve("C")
		return r.last("C")
	}
	byA, byB := file("by A's key", keys[0]), file("by B's key", keys[1])
	byBoth := file("by both keys", keys...)
	r.publish("A", "B", "targets", "snapshot", "timestamp")
	d := newFakeDevice(t, r.last("root"))
	find := func(path string, served []byte) error {
		r.served["C"] = [][]byte{served}
		delete(d.files, "C")
		wantOK(t, d.refresh(r, r.config()))
		_, err := d.find(r, path)
		d.state = d.client.State()
		return err
	}
	wantOK(t, find("a/file", byA))
	wantOK(t, find("b/file", byB))
	wantRefused(t, find("a/file", byBoth), verify.CodeSecondPayload, "C")
	wantRefused(t, find("b/file", byBoth), verify.CodeSecondPayload, "C")
	wantOK(t, find("a/file", byA))
	wantOK(t, find("b/file", byB))
	if got := len(d.state.Accepted["C"]); got != 2 {
		t.Errorf("%d releases of C are remembered, want 2", got)
	}

	// What is reached by a second delegator in one search is remembered for both.
	d = newFakeDevice(t, r.last("root"))
	wantOK(t, find("a/file", byBoth))
	_, err := d.find(r, "b/file")
	wantOK(t, err)
	d.state = d.client.State()
	wantRefused(t, find("b/file", byB), verify.CodeSecondPayload, "C")
}

// What a device took without asking for a proof does not keep it from what has one.
func TestUnprovedPayloadsAreNotRemembered(t *testing.T) {
	r := newFakeRepo(t)
	good := r.last("targets")
	r.put("targets", "app.bin", "for the target only")
	evil := r.sign("targets")
	for _, mode := range []verify.Transparency{verify.Warn, verify.Off} {
		d := newFakeDevice(t, r.last("root"))
		cfg := r.config()
		cfg.Transparency = mode
		r.served["targets"] = [][]byte{evil}
		wantOK(t, d.refresh(r, cfg))
		wantRefused(t, d.refresh(r, r.config()), verify.CodeNotLogged, "targets")
		r.served["targets"] = [][]byte{good}
		wantOK(t, d.refresh(r, r.config()))
		r.served["targets"], d.files["targets"] = [][]byte{evil}, nil
		wantRefused(t, d.refresh(r, r.config()), verify.CodeSecondPayload, "targets")
	}
}

// longSnapshot returns a snapshot with the roles' names all of one character, signed as
// the repository's next, and a timestamp for it.
func (r *fakeRepo) longSnapshot(char string, size int) {
	r.t.Helper()
	r.bump("snapshot")
	version := r.snapshot.Signed.Version
	var payload bytes.Buffer
	fmt.Fprintf(&payload, `{"_type":"snapshot","expires":"%s","meta":{`, epoch.Add(valid).Format(time.RFC3339))
	name := strings.Repeat(char, 1100/len(char))
	for i := range size / len(name) {
		fmt.Fprintf(&payload, `"%06d%s.json":{"version":1},`, i, name)
	}
	fmt.Fprintf(&payload, `"targets.json":{"version":1}},"spec_version":"1.0.31","version":%d}`, version)
	sig := ed25519.Sign(r.signers["snapshot"][0], payload.Bytes())
	file := fmt.Appendf(nil, `{"signatures":[{"keyid":"%s","sig":"%x"}],"signed":%s}`, r.root.Signed.Roles["snapshot"].KeyIDs[0], sig, payload.Bytes())
	r.served["snapshot"] = append(r.served["snapshot"], file)
	r.timestamp.Signed.Meta["snapshot.json"] = &metadata.MetaFiles{Version: version}
	r.publish("timestamp")
}

// Whatever a device is served, it can read again what it remembers. A thief of the
// online keys signs snapshots that take as much as they can; the vendor rotates them.
func TestClientRemembersWhatItCanRead(t *testing.T) {
	if testing.Short() {
		t.Skip("a snapshot of 30 MB")
	}
	r := newFakeRepo(t)
	d := newFakeDevice(t, r.last("root"))
	wantOK(t, d.refresh(r, r.config()))
	r.longSnapshot("\u2028", 25<<20) // which a state has as six bytes
	wantRefused(t, d.refresh(r, r.config()), verify.CodeBadMetadata, "snapshot")
	r.longSnapshot("<", 4<<20) // which could be six, too
	wantOK(t, d.refresh(r, r.config()))
	b, err := d.state.Marshal()
	wantOK(t, err)
	if size := len(r.last("snapshot")); len(b) > size {
		t.Errorf("a snapshot of %d bytes is remembered in %d", size, len(b))
	}
	r.rotate("snapshot")
	r.rotate("timestamp")
	r.publish("root", "snapshot", "timestamp")
	wantOK(t, d.refresh(r, r.config()))
}
