package admit_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

func ruleStands(t *testing.T) {
	w := newWorld(t, topLevel{"r1", "t1 t2", "s1", "x1"})
	w.released("targets", w.targets("t1", 1, "x"))
	two := w.released("targets", w.targets("t1 t2", 2, "x"))
	three := w.released("targets", w.targets("t2", 3, "x"))
	w.isCurrent(t.Context(), three, "targets")
	second := w.rotate(2, topLevel{"r1", "t1 t3", "s1", "x1"}) // t2 is gone
	w.isCurrent(t.Context(), two, "targets")
	w.rotate(3, topLevel{"r1", "t1 t2/2", "s1", "x1"}) // both are needed
	w.isCurrent(t.Context(), two, "targets")
	w.rotate(4, topLevel{"r1", "t3", "s1", "x1"})
	w.isCurrent(t.Context(), -1, "targets")
	w.rotate(5, topLevel{"r1", "t2", "s1", "x1"}) // back again, and so is what it signed
	w.isCurrent(t.Context(), three, "targets")
	w.rotate(6, topLevel{"r1", "t1", "s1", "x1"})
	w.isCurrent(t.Context(), two, "targets")
	// A key under another id is not who signed.
	w.rotate(7, topLevel{"r1", "t1=x", "s1", "x1"})
	w.isCurrent(t.Context(), -1, "targets")
	// Roots stand, though their keys are gone.
	w.mustRelease("root", forge(t, forgedRoot(8, topLevel{"r9", "t1", "s1", "x1"}), "r1", "r9"))
	w.mustBeEvidence(second, "root", forge(t, forgedRoot(2, topLevel{"r1", "t7", "s1", "x1"}), "r1"))
}

func ruleCurrent(t *testing.T) {
	w := newWorld(t, usual)
	w.isCurrent(t.Context(), -1, "targets")
	w.isCurrent(t.Context(), 0, "root")
	five := w.released("targets", w.targets("t1", 5, "x"))
	w.isCurrent(t.Context(), five, "targets")
	w.released("targets", w.targets("t1", 2, "x")) // late
	w.isCurrent(t.Context(), five, "targets")
	w.evidence(five, "targets", w.targets("t1", 5, "y"))
	w.isCurrent(t.Context(), five, "targets")
	nine := w.released("targets", w.targets("t1", 9, "x"))
	w.isCurrent(t.Context(), nine, "targets")
	two := w.rotate(2, usual)
	w.isCurrent(t.Context(), two, "root")
	w.isCurrent(t.Context(), nine, "targets")
	w.mustBeEvidence(two, "root", forge(t, forgedRoot(2, topLevel{"r1", "t9", "s1", "x1"}), "r1"))
	w.isCurrent(t.Context(), two, "root")
	w.isCurrent(t.Context(), -1, "nobody")
}

func ruleSignedAgain(t *testing.T) {
	w := newWorld(t, topLevel{"r1", "t1 t2", "s1", "x1"})
	signed := forgedTargets(1, "x")
	first := w.released("targets", forge(t, signed, "t1"))
	w.logged(first, "targets", forge(t, signed, "t1", "k1"))  // k1 is not the role's
	w.logged(first, "targets", forge(t, signed, "t1", "-t2")) // t2 did not sign
	again := forge(t, signed, "t2")
	w.mustBeLogged(first, "targets", again) // no snapshot lists it: nothing new is said
	second := w.released("targets", again)
	w.isCurrent(t.Context(), second, "targets")
	w.logged(second, "targets", forge(t, signed, "t1", "t2")) // each signed a logged file
	w.rotate(2, topLevel{"r1", "t1=x t3/2", "s1", "x1"})
	w.logged(second, "targets", forge(t, signed, "t1"))       // the role lists t1 only as t1=x
	w.logged(second, "targets", forge(t, signed, "t3"))       // new, but it takes two
	w.logged(second, "targets", forge(t, signed, "t1", "t3")) // enough once
	third := w.released("targets", forge(t, signed, "t1=x", "t3"))
	w.logged(third, "targets", forge(t, signed, "t3"))
	w.evidence(third, "targets", forge(t, forgedTargets(1, "y"), "t1=x", "t3"))
	w.rotate(3, topLevel{"r1", "t4", "s1", "x1"})
	w.mustBeRefused(admit.RefusedSuperseded, "targets", forge(t, forgedTargets(2, "x"), "t1=x", "t3"))
}

func ruleStaysLogged(t *testing.T) {
	w := newWorld(t, usual)
	file := w.targets("t1", 1, "x", delegation{name: "a", who: "a1"})
	at := w.released("targets", file)
	a := forge(t, forgedTargets(1, "a"), "a1")
	atA := w.released("a", a)
	w.rotate(2, topLevel{"r1", "t2", "s2", "x1"})
	w.mustBeLogged(at, "targets", file)
	w.mustBeLogged(at, "targets", forge(t, forgedTargets(1, "x", delegation{name: "a", who: "a1"}))) // signed by nobody
	w.mustBeLogged(atA, "a", a)                                                                      // nobody delegates to it now
	w.mustBeLogged(atA, "a", forge(t, forgedTargets(1, "a"), "a2"))
	w.mustBeRefused(admit.RefusedNotDelegated, "a", forge(t, forgedTargets(2, "a"), "a1"), w.beside("a", a))
}

func ruleRootAgain(t *testing.T) {
	w := newWorld(t, usual)
	two := forgedRoot(2, topLevel{"r2", "t1", "s1", "x1"})
	at := w.mustRelease("root", forge(t, two, "r1", "r2"))
	w.mustBeLogged(at, "root", forge(t, two))
	w.mustBeLogged(at, "root", forge(t, two, "r2", "-r1", "k1"))
	w.mustBeLogged(0, "root", forge(t, forgedRoot(1, usual), "r2"))
	ev := w.mustBeEvidence(at, "root", forge(t, forgedRoot(2, usual), "r1"))
	w.mustBeLogged(ev, "root", forge(t, forgedRoot(2, usual)))
	w.mustBeRefused(admit.RefusedThreshold, "root", forge(t, forgedRoot(2, topLevel{"r2", "t2", "s1", "x1"}), "r2"))
}

func ruleEvidence(t *testing.T) {
	w := newWorld(t, topLevel{"r1", "t1 t2", "s1", "x1"})
	x := w.released("targets", w.targets("t1", 1, "x"))
	y := w.targets("t1", 1, "y")
	ev := w.evidence(x, "targets", y)
	w.logged(ev, "targets", y)
	w.logged(ev, "targets", w.targets("t1", 1, "z")) // once per version
	w.logged(ev, "targets", w.targets("t2", 1, "y")) // t2 had not signed it: still one leaf
	w.refused(admit.RefusedThreshold, "targets", w.targets("k1", 1, "z"))
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "targets", w.targets("t1", 1, "zz"))
	two := w.released("targets", w.targets("t1", 2, "x"))
	w.evidence(two, "targets", w.targets("t2", 2, "y")) // each version has its own

	// After a rotation neither stands. Whichever the new keys sign first is the
	// release; the other is then evidence, but there is such a leaf already.
	w.rotate(2, topLevel{"r1", "t3", "s1", "x1"})
	again := w.released("targets", w.targets("t3", 1, "y"))
	w.isCurrent(t.Context(), again, "targets")
	w.logged(x, "targets", w.targets("t3", 1, "x")) // a release, once
	w.isCurrent(t.Context(), again, "targets")
	// A version that has had no evidence gets it after the rotation too.
	three := w.released("targets", w.targets("t3", 3, "x"))
	w.evidence(three, "targets", w.targets("t3", 3, "y"))

	// Evidence does not stand, whoever signed it.
	w.rotate(3, topLevel{"r1", "t4", "s1", "x1"})
	four := w.released("targets", w.targets("t4", 4, "x"))
	w.evidence(four, "targets", w.targets("t4 t5", 4, "y"))
	w.rotate(4, topLevel{"r1", "t5", "s1", "x1"})
	w.isCurrent(t.Context(), -1, "targets")
	w.isCurrent(t.Context(), w.released("targets", w.targets("t5", 4, "z")), "targets")

	// Snapshots and timestamps equivocate like everything else.
	s := w.mustRelease("snapshot", forge(t, forgedSnapshot(1, nil), "s1"))
	w.mustBeEvidence(s, "snapshot", forge(t, forgedSnapshot(1, map[string]map[string]any{"targets": plain(1)}), "s1"))
	x1 := w.mustRelease("timestamp", forge(t, forgedTimestamp(1, 1), "x1"))
	x2 := w.mustBeEvidence(x1, "timestamp", forge(t, forgedTimestamp(1, 2), "x1"))
	w.mustBeLogged(x2, "timestamp", forge(t, forgedTimestamp(1, 3), "x1"))
}

func ruleEverythingElse(t *testing.T) {
	w := newWorld(t, usual)
	w.released("targets", w.targets("t1", 10, "x"))
	w.released("targets", w.targets("t1", 1<<53-1, "x"))
	w.released("targets", w.targets("t1", 1, "x"))
	used := w.released("targets", w.targets("t1", 5, "x"))
	w.evidence(used, "targets", w.targets("t1", 5, "y"))
	w.rotate(2, topLevel{"r1", "t2", "s1", "x1"})
	w.released("targets", w.targets("t2", 5, "z"))
	w.released("targets", w.targets("t2", 10, "y"))
}

func ruleSuperseded(t *testing.T) {
	w := newWorld(t, topLevel{"r1", "t1 t2/2", "s1", "x1"})
	w.rotate(2, topLevel{"r1", "t2 t3/2", "s1", "x1"})
	w.rotate(3, topLevel{"r1", "t4", "s1", "x1"})
	w.refused(admit.RefusedSuperseded, "targets", w.targets("t1 t2", 1, "x"))
	w.refused(admit.RefusedSuperseded, "targets", w.targets("t2 t3", 1, "x"))
	w.refused(admit.RefusedThreshold, "targets", w.targets("t1 t3", 1, "x")) // never enough under one root
	w.refused(admit.RefusedThreshold, "targets", w.targets("t1", 1, "x"))
	w.refused(admit.RefusedThreshold, "targets", w.targets("-t1 -t2", 1, "x"))
	w.refused(admit.RefusedThreshold, "targets", w.targets("k1", 1, "x"))
	w.released("targets", w.targets("t1 t2 t4", 1, "x")) // beside a present key they do no harm
	w.released("targets", w.targets("t4", 2, "x", delegation{name: "a", who: "a1"}))
	// Delegated keys have no roots that remember them.
	w.released("a", forge(t, forgedTargets(1, "x"), "a1"))
	w.released("targets", w.targets("t4", 3, "x", delegation{name: "a", who: "a2"}))
	w.isCurrent(t.Context(), -1, "a")
	w.refused(admit.RefusedThreshold, "a", forge(t, forgedTargets(2, "x"), "a1"))
}

func ruleUnknownKeys(t *testing.T) {
	w := newWorld(t, topLevel{"u9 r1 b9", "u1 t1 b1 t2/2", "s1 u1", "x1"})
	w.refused(admit.RefusedThreshold, "targets", w.targets("u1 t1 b1", 1, "x"))
	w.refused(admit.RefusedThreshold, "targets", w.targets("u1 b1", 1, "x"))
	w.released("targets", w.targets("u1 t1 b1 t2", 1, "x", delegation{name: "a", who: "u1 a1"}, delegation{name: "b", who: "u1"}))
	w.released("a", forge(t, forgedTargets(1, "a"), "u1", "a1"))
	w.refused(admit.RefusedThreshold, "b", forge(t, forgedTargets(1, "b"), "u1"))
	file := w.targets("t1 t2", 2, "x")
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "targets", file, forge(t, forgedSnapshot(9, map[string]map[string]any{"targets": plain(2)}), "u1"))
	// A key id that names no key, in role or signature.
	root := string(forge(t, forgedRoot(2, usual), "r1"))
	root = strings.Replace(root, `"keyids":["t1"]`, `"keyids":["gone","t1"]`, 1)
	m := parse(t, []byte(root))
	if got := m.Root.Roles["targets"].KeyIDs; !slices.Equal(got, []string{"gone", "t1"}) {
		t.Fatalf("the test wants a key id that names no key: %v", got)
	}
	lone := parse(t, w.targets("gone t1", 3, "x"))
	if err := lone.Meets(m.Root.KeySet("targets")); err != nil {
		t.Error(err)
	}
}

func ruleCountOnce(t *testing.T) {
	// One public key under two ids, and one signature many times.
	w := newWorld(t, topLevel{"r1", "t1 t1=x t2/2", "s1", "x1"})
	w.refused(admit.RefusedThreshold, "targets", w.targets("t1 t1=x", 1, "x"))
	w.released("targets", w.targets("t1=x t1 t2", 1, "x"))

	// A bad signature does not spoil a good one of the same key under another id.
	w.refused(admit.RefusedThreshold, "targets", w.targets("-t1 t1=x", 2, "x"))
	w.released("targets", w.targets("-t1 t1=x t2", 2, "x"))

	// Two keys that are made so that one signature verifies under both. The bytes
	// count once.
	payload := []byte("payload")
	one, other := twinKeys(t, payload)
	ks := tuf.NewKeySet(
		map[string]*tuf.Key{"one": one.key, "other": other.key, "again": other.key},
		tuf.Role{KeyIDs: []string{"one", "other", "again"}, Threshold: 2},
	)
	if !one.key.Verify(payload, one.sig) || !other.key.Verify(payload, one.sig) {
		t.Fatal("no signature verifies under both keys: this tests nothing")
	}
	m := &tuf.Metadata{Payload: payload, Signatures: []tuf.Signature{{KeyID: "one", Sig: one.sig}, {KeyID: "other", Sig: one.sig}}}
	if got := m.Signers(ks); len(got) != 1 {
		t.Errorf("one signature counts for %d keys", len(got))
	}
	m.Signatures = append(m.Signatures, tuf.Signature{KeyID: "again", Sig: other.sig})
	if got := m.Signers(ks); len(got) != 2 {
		t.Errorf("two signatures count for %d keys", len(got))
	}
}

// twin is a key and its own signature of a payload.
type twin struct {
	key *tuf.Key
	sig []byte
}

// twinKeys returns two ECDSA keys that the first one's signature verifies under:
// of the two points that have the signature's r as their x, one leads to the one
// key, the other to a key that is minus the first and twice the hash over r.
func twinKeys(t *testing.T, payload []byte) (one, other twin) {
	curve := elliptic.P256()
	first, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(payload)
	one.sig, err = ecdsa.SignASN1(rand.Reader, first, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(one.sig, &sig); err != nil {
		t.Fatal(err)
	}
	n := curve.Params().N
	d, err := first.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	z := new(big.Int).SetBytes(hash[:])
	twice := z.Lsh(z, 1).Mul(z, new(big.Int).ModInverse(sig.R, n))
	scalar := twice.Add(twice, new(big.Int).SetBytes(d))
	scalar.Neg(scalar).Mod(scalar, n)
	second, err := ecdsa.ParseRawPrivateKey(curve, scalar.FillBytes(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	if other.sig, err = ecdsa.SignASN1(rand.Reader, second, hash[:]); err != nil {
		t.Fatal(err)
	}
	for private, to := range map[*ecdsa.PrivateKey]*twin{first: &one, second: &other} {
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		to.key = &tuf.Key{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: hex.EncodeToString(point)}
	}
	return one, other
}

func ruleLabels(t *testing.T) {
	// Two roles use one id for two keys: each means its own.
	w := newWorld(t, usual)
	file := forge(t, forgedTargets(1, "x", delegation{name: "a", who: "a1"}), "t1")
	w.released("targets", file)
	var raw struct {
		Signatures []map[string]string `json:"signatures"`
		Signed     json.RawMessage     `json:"signed"`
	}
	relabelled := func(signed map[string]any, signer, id string) []byte {
		if err := json.Unmarshal(forge(t, signed, signer), &raw); err != nil {
			t.Fatal(err)
		}
		raw.Signatures[0]["keyid"] = id
		b, err := json.Marshal(raw)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	w.refused(admit.RefusedThreshold, "a", relabelled(forgedTargets(1, "a"), "t1", "a1"))
	w.refused(admit.RefusedThreshold, "a", relabelled(forgedTargets(1, "a"), "a1", "t1"))
	w.released("a", relabelled(forgedTargets(1, "a"), "a1", "a1"))
	if forgedKey("a1").Equal(ed25519.PrivateKey(forgedKey("t1"))) {
		t.Error("the test's keys are the same")
	}
}
