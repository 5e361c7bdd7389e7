package verify_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// gated is a repository whose timestamp role has keys of its vendor and of gates.
type gated struct {
	*fakeRepo
	own, gates []ed25519.PrivateKey
	ids        []tuf.KeyIdentity // of gates
}

func newGated(t *testing.T, own, gates, threshold int) *gated {
	t.Helper()
	r := &gated{fakeRepo: newFakeRepo(t)}
	for range own - 1 + gates {
		r.addKey("timestamp")
	}
	all := r.signers["timestamp"]
	r.own, r.gates = all[:own], all[own:]
	r.root.Signed.Roles["timestamp"].Threshold = threshold
	for _, key := range r.gates {
		r.ids = append(r.ids, identityOf(t, key))
	}
	r.signers["timestamp"] = all
	r.publish("root", "timestamp")
	return r
}

func identityOf(t *testing.T, key ed25519.PrivateKey) tuf.KeyIdentity {
	t.Helper()
	id, ok := (&tuf.Key{Type: "ed25519", Scheme: "ed25519", Public: fmt.Sprintf("%x", key.Public())}).Identity()
	if !ok {
		t.Fatal("the key cannot be read")
	}
	return id
}

// some returns each of the keys or not.
func some(rnd *rand.Rand, keys []ed25519.PrivateKey) (chosen []ed25519.PrivateKey) {
	for _, key := range keys {
		if rnd.IntN(2) == 0 {
			chosen = append(chosen, key)
		}
	}
	return chosen
}

func (r *gated) config(gates bool) verify.Config {
	cfg := r.fakeRepo.config()
	if gates {
		cfg.GateKeys = r.ids
	}
	return cfg
}

// For any keys, threshold and signatures: a gate accepts a timestamp that one of its vendor's
// keys has signed and gates can complete, and a device what is complete.
func TestTimestampsOfGates(t *testing.T) {
	rnd := rand.New(rand.NewPCG(18, 1))
	for range 60 {
		own, gates := 1+rnd.IntN(3), 1+rnd.IntN(4)
		threshold := 1 + rnd.IntN(own+gates)
		r := newGated(t, own, gates, threshold)
		first := r.served["root"][0]
		mine, theirs := some(rnd, r.own), some(rnd, r.gates)
		r.signers["timestamp"] = append(mine[:len(mine):len(mine)], theirs...)
		r.publish("timestamp")
		for _, gate := range []bool{false, true} {
			want := len(mine)+len(theirs) >= threshold
			if gate {
				want = len(mine) > 0 && len(mine)+gates >= threshold
			}
			d := newFakeDevice(t, first)
			err := d.refresh(r.fakeRepo, r.config(gate))
			name := fmt.Sprintf("gate %v, %d of %d own keys, %d of %d gates, threshold %d", gate, len(mine), own, len(theirs), gates, threshold)
			if want != (err == nil) {
				t.Fatalf("%s: %v", name, err)
			}
			if !want {
				wantRefused(t, err, verify.CodeBadMetadata, tuf.RoleTimestamp)
			}
		}
	}
}

// Gates that are not in the role change nothing, and neither does a timestamp that has all
// its signatures: what is accepted, remembered and refused is the same.
func TestGateKeysChangeNothingElse(t *testing.T) {
	rnd := rand.New(rand.NewPCG(18, 2))
	strange, _ := newTUFKey(t)
	steps := []func(r *fakeRepo){
		func(r *fakeRepo) { r.publish("timestamp") },
		func(r *fakeRepo) { r.publish("snapshot", "timestamp") },
		func(r *fakeRepo) {
			r.put("targets", "a", fmt.Sprint(rnd.Int()))
			r.publish("targets", "snapshot", "timestamp")
		},
		func(r *fakeRepo) { r.rotate("timestamp"); r.publish("root", "timestamp") },
		func(r *fakeRepo) {
			r.timestamp.Signed.Version = max(1, r.timestamp.Signed.Version-1)
			r.serve("timestamp")
		},
		func(r *fakeRepo) { r.timestamp.Signed.Expires = epoch.Add(valid + 1e9); r.serve("timestamp") },
		func(r *fakeRepo) { r.timestamp.Signed.Expires = epoch; r.publish("timestamp") },
		func(r *fakeRepo) { r.signers["timestamp"] = nil; r.publish("timestamp") },
		func(r *fakeRepo) {
			r.snapshot.Signed.Version = max(1, r.snapshot.Signed.Version-1)
			r.serve("snapshot")
			r.publish("timestamp")
		},
	}
	for range 40 {
		r := newFakeRepo(t)
		plain, gate := newFakeDevice(t, r.last("root")), newFakeDevice(t, r.last("root"))
		for range 6 {
			if rnd.IntN(3) > 0 {
				steps[rnd.IntN(3)](r)
			} else {
				steps[rnd.IntN(len(steps))](r)
			}
			cfg := r.config()
			err := plain.refresh(r, cfg)
			cfg.GateKeys = []tuf.KeyIdentity{identityOf(t, strange)}
			err2 := gate.refresh(r, cfg)
			var a, b *verify.Refusal
			if isA, isB := asRefusal(err, &a), asRefusal(err2, &b); isA != isB || isA && (a.Code != b.Code || a.Role != b.Role) {
				t.Fatalf("%v; with gates %v", err, err2)
			}
			x, err := plain.state.Marshal()
			wantOK(t, err)
			y, err := gate.state.Marshal()
			wantOK(t, err)
			if string(x) != string(y) {
				t.Fatalf("states differ:\n%s\n%s", x, y)
			}
		}
	}
}

// What a gate has seen stands, although too few keys have signed it for a device.
func TestGateRemembersTimestamps(t *testing.T) {
	r := newGated(t, 1, 4, 3)
	r.signers["timestamp"] = r.own
	r.publish("snapshot", "timestamp")
	d := newFakeDevice(t, r.served["root"][0])
	wantOK(t, d.refresh(r.fakeRepo, r.config(true)))
	seen := d.state.Timestamp
	wantOK(t, d.refresh(r.fakeRepo, r.config(true))) // the same again

	r.timestamp.Signed.Expires = epoch.Add(valid / 2)
	r.serve("timestamp")
	wantOK(t, d.refresh(r.fakeRepo, r.config(true))) // another file of that version changes nothing
	if now := d.client.Metadata(tuf.RoleTimestamp).PayloadDigest; now != seen.Payload {
		t.Fatalf("a second timestamp %d, %v, has replaced %v", seen.Version, now, seen.Payload)
	}
	delete(d.files, tuf.RoleTimestamp)
	wantRefused(t, d.refresh(r.fakeRepo, r.config(true)), verify.CodeSecondPayload, tuf.RoleTimestamp)
	r.timestamp.Signed.Version--
	r.serve("timestamp")
	wantRefused(t, d.refresh(r.fakeRepo, r.config(true)), verify.CodeRollback, tuf.RoleTimestamp)
	if d.state.Timestamp.Version != seen.Version || d.state.Timestamp.Payload != seen.Payload {
		t.Fatalf("timestamp %d is remembered, want %d", d.state.Timestamp.Version, seen.Version)
	}

	// Gates alone are not enough, even if they are as many as the threshold.
	r.timestamp.Signed.Version = seen.Version + 1
	r.signers["timestamp"] = r.gates
	r.serve("timestamp")
	wantRefused(t, d.refresh(r.fakeRepo, r.config(true)), verify.CodeBadMetadata, tuf.RoleTimestamp)

	// The vendor's key is taken away: what it signed is forgotten, as on a device.
	wantOK(t, r.root.Signed.RevokeKey(r.root.Signed.Roles["timestamp"].KeyIDs[0], "timestamp"))
	r.addKey("timestamp")
	r.timestamp.Signed.Version = 1
	r.publish("root")
	r.signers["timestamp"] = r.signers["timestamp"][len(r.signers["timestamp"])-1:]
	r.serve("timestamp")
	wantOK(t, d.refresh(r.fakeRepo, r.config(true)))
	if d.state.Timestamp.Version != 1 {
		t.Errorf("timestamp %d is remembered, want 1 under the new key", d.state.Timestamp.Version)
	}
}

func asRefusal(err error, r **verify.Refusal) bool { return errors.As(err, r) }
