package device_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// vendorScenes are of a vendor who errs or lies, or of a thief of the vendor's keys. An
// honest mirror has what the vendor released, and so does not end them all.
var vendorScenes = []scene{
	// Signed in secret, or twice.
	{name: "signed and not logged", code: verify.CodeNotLogged, role: "targets", process: true, do: func(w *world) {
		w.edit("targets", newExpiry)
		w.remove(w.proof("targets"))
	}},
	{name: "delegated role signed and not logged", code: verify.CodeNotLogged, role: "app", do: func(w *world) {
		w.edit("app", newExpiry)
		w.remove(w.proof("app"))
	}},
	{name: "root signed and not logged", code: verify.CodeNotLogged, role: "root", do: func(w *world) {
		w.rotate("targets")
		w.edit("root", newExpiry)
		w.remove(w.proof("root"))
	}},
	{name: "second payload with the proof of the first", code: verify.CodeBadProof, role: "targets", says: "another payload of version 3", do: func(w *world) {
		proof := w.get(w.proof("targets"))
		w.edit("targets", newExpiry)
		w.put(w.proof("targets"), proof)
	}},
	{name: "second payload that is evidence", code: verify.CodeEvidence, role: "targets", do: func(w *world) {
		w.edit("targets", newExpiry)
		w.entry("targets", func(l *leaf.Leaf) { l.Kind, l.Contradicts = leaf.Evidence, w.logged[w.name("targets")] })
	}},
	{name: "second payload of what the device has", code: verify.CodeSecondPayload, role: "targets", process: true, lasts: true, do: func(w *world) {
		must(w.t, w.update())
		w.publish("app")
		w.edit("targets", newExpiry)
	}},
	{name: "second payload of a delegated role", code: verify.CodeSecondPayload, role: "app", lasts: true, do: func(w *world) {
		must(w.t, w.update())
		w.publish("targets")
		w.edit("app", newExpiry)
	}},
	{name: "second timestamp of a version", code: verify.CodeSecondPayload, role: "timestamp", lasts: true, do: func(w *world) {
		must(w.t, w.update())
		w.edit("timestamp", newExpiry)
		w.keep("timestamp.json", func([]byte) []byte { return nil })
	}},
	{name: "second snapshot of a version", code: verify.CodeSecondPayload, role: "snapshot", lasts: true, do: func(w *world) {
		must(w.t, w.update())
		w.edit("snapshot", newExpiry)
		w.edit("timestamp", set("version", 4))
	}},

	// A thief of snapshot and timestamp takes the repository back.
	{name: "role no longer listed", code: verify.CodeRollback, role: "snapshot", says: "no longer lists", do: func(w *world) {
		w.edit("snapshot", func(s map[string]any) { delete(s["meta"].(map[string]any), "app.json") })
	}},
	{name: "older targets listed", code: verify.CodeRollback, role: "snapshot", says: "but this device has seen version 2", do: func(w *world) {
		w.edit("snapshot", func(s map[string]any) { s["meta"].(map[string]any)["targets.json"].(map[string]any)["version"] = 1 })
	}},
	{name: "older snapshot listed", code: verify.CodeRollback, role: "timestamp", says: "goes back to snapshot 1", do: func(w *world) {
		w.edit("timestamp", func(s map[string]any) { s["meta"].(map[string]any)["snapshot.json"].(map[string]any)["version"] = 1 })
	}},
	{name: "role passed off as another of the same key", code: verify.CodeBadProof, role: "twin", says: `about role "app"`, lasts: true, do: func(w *world) {
		must(w.t, w.vendor.DelegateShared("targets", "twin", "app", "twin/*"))
		w.publish("targets", "twin")
		must(w.t, w.vendor.PassOff("app", "twin"))
		w.serveVendor(w.vendor)
		w.put("2.twin.json.tlog-proof", w.get("2.app.json.tlog-proof"))
		w.want = append(w.want, "twin/x")
	}},

	// Signatures.
	{name: "revoked key of targets", code: verify.CodeBadMetadata, role: "targets", says: "keys that root 2 names", lasts: true, do: func(w *world) {
		old := w.vendor.Key("targets")
		w.rotate("targets")
		w.editBy(old, "targets", newExpiry)
	}},
	{name: "revoked key of the timestamp", code: verify.CodeBadMetadata, role: "timestamp", says: "keys that root 2 names", lasts: true, do: func(w *world) {
		old := w.vendor.Key("timestamp")
		w.rotate("timestamp")
		w.editBy(old, "timestamp", newExpiry)
	}},
	{name: "another role's key", code: verify.CodeBadMetadata, role: "targets", do: func(w *world) { w.editBy(w.vendor.Key("app"), "targets", newExpiry) }},
	{name: "delegated role under another key", code: verify.CodeBadMetadata, role: "app", says: "keys that targets 3 names", do: func(w *world) {
		w.editBy(w.vendor.Key("targets"), "app", newExpiry)
	}},
	{name: "unsigned delegated role", code: verify.CodeBadMetadata, role: "app", do: func(w *world) {
		file := string(w.get(w.name("app")))
		_, signed, _ := strings.Cut(file, `"signed"`)
		w.put(w.name("app"), []byte(`{"signatures":[],"signed"`+signed))
		w.list("app")
	}},
	{name: "one signature where two are needed", code: verify.CodeBadMetadata, role: "app", says: "not signed by enough", lasts: true, do: func(w *world) {
		w.edit("targets", func(s map[string]any) {
			d := s["delegations"].(map[string]any)
			role := d["roles"].([]any)[0].(map[string]any)
			id, key := publicKey(w, "root")
			d["keys"].(map[string]any)[id] = key
			role["keyids"], role["threshold"] = append(role["keyids"].([]any), id), 2
		})
	}},
	{name: "one signature given twice", code: verify.CodeBadMetadata, role: "timestamp", do: func(w *world) {
		file := string(w.get("timestamp.json"))
		head, rest, _ := strings.Cut(file, `"signatures":[`)
		sig, rest, _ := strings.Cut(rest, `]`)
		w.put("timestamp.json", []byte(head+`"signatures":[`+sig+`,`+sig+`]`+rest))
	}},
	{name: "root that its own keys did not sign", code: verify.CodeBadMetadata, role: "root", says: "its own keys", lasts: true, do: func(w *world) {
		old := w.vendor.Key("root")
		w.rotate("root")
		w.editBy(old, "root", newExpiry)
	}},
	{name: "root that the keys before did not sign", code: verify.CodeBadMetadata, role: "root", says: "the keys of root 1", lasts: true, do: func(w *world) {
		w.rotate("root")
		w.edit("root", newExpiry)
	}},

	// What is signed is not valid.
	{name: "expired root", code: verify.CodeExpired, role: "root", lasts: true, do: func(w *world) {
		w.rotate("targets")
		w.edit("root", expired)
	}},
	{name: "expired timestamp", code: verify.CodeExpired, role: "timestamp", process: true, do: func(w *world) { w.edit("timestamp", expired) }},
	{name: "expired snapshot", code: verify.CodeExpired, role: "snapshot", do: func(w *world) { w.edit("snapshot", expired) }},
	{name: "expired targets", code: verify.CodeExpired, role: "targets", do: func(w *world) { w.edit("targets", expired) }},
	{name: "expired delegated role", code: verify.CodeExpired, role: "app", do: func(w *world) { w.edit("app", expired) }},
	{name: "expired timestamp, signed again", code: verify.CodeExpired, role: "timestamp", says: "which changes nothing", lasts: true, do: func(w *world) {
		must(w.t, w.update())
		w.edit("timestamp", newExpiry)
		w.cfg.Now = epoch.Add(61 * day)
	}},
	{name: "another specification", code: verify.CodeBadMetadata, role: "timestamp", says: "specification", do: func(w *world) { w.edit("timestamp", set("spec_version", "2.0.0")) }},
	{name: "version 0", code: verify.CodeBadMetadata, role: "timestamp", do: func(w *world) { w.edit("timestamp", set("version", 0)) }},
	{name: "version beyond all numbers", code: verify.CodeBadMetadata, role: "timestamp", do: func(w *world) {
		w.edit("timestamp", set("version", int64(1)<<62))
	}},
	{name: "timestamp without a snapshot", code: verify.CodeBadMetadata, role: "timestamp", do: func(w *world) { w.edit("timestamp", set("meta", map[string]any{})) }},
	{name: "snapshot without targets", code: verify.CodeRollback, role: "snapshot", do: func(w *world) { w.edit("snapshot", set("meta", map[string]any{})) }},
	{name: "delegated role that is not listed", code: verify.CodeBadMetadata, role: "new", says: "does not list it", lasts: true, do: func(w *world) {
		must(w.t, w.vendor.Delegate("targets", "new", "new/*"))
		w.publish("targets")
		w.want = append(w.want, "new/x")
	}},
	{name: "target without a hash that is known", code: verify.CodeBadMetadata, says: "without a SHA-256 or SHA-512 hash", do: func(w *world) {
		w.edit("targets", func(s map[string]any) {
			s["targets"].(map[string]any)["firmware.bin"].(map[string]any)["hashes"] = map[string]any{"md5": strings.Repeat("00", 16)}
		})
	}},
	{name: "target that no role lists", code: verify.CodeNotListed, process: true, says: "searched: targets", do: func(w *world) { w.want = append(w.want, "none") }},
	{name: "target without a length", code: verify.CodeBadMetadata, do: func(w *world) {
		w.edit("targets", func(s map[string]any) {
			delete(s["targets"].(map[string]any)["firmware.bin"].(map[string]any), "length")
		})
	}},
}

func set(name string, value any) func(map[string]any) {
	return func(signed map[string]any) { signed[name] = value }
}

var (
	newExpiry = set("expires", epoch.Add(60*day).Format(time.RFC3339))
	expired   = set("expires", epoch.Add(-time.Hour).Format(time.RFC3339))
)

// publicKey is a role's key as root has it.
func publicKey(w *world, role string) (id string, key any) {
	w.t.Helper()
	w.signed(w.vendor.Key("root"), w.get("1.root.json"), func(s map[string]any) {
		id = s["roles"].(map[string]any)[role].(map[string]any)["keyids"].([]any)[0].(string)
		key = s["keys"].(map[string]any)[id]
	})
	return id, key
}

// policyScenes are of what the device's owner has decided.
var policyScenes = []scene{
	{name: "younger than min_age", code: verify.CodeTooYoung, role: "targets", lasts: true, do: func(w *world) { w.cfg.Install.MinAge = day }},
	{name: "old enough", lasts: true, do: func(w *world) { w.aged() }},
	{name: "newer proof withheld", code: verify.CodeTooYoung, role: "targets", says: "a newer one is not beside it", do: func(w *world) {
		w.aged()
		w.remove(w.name("targets") + verify.LatestSuffix)
	}},
	{name: "older proof in the place of the newer", code: verify.CodeTooYoung, role: "targets", do: func(w *world) {
		w.aged()
		w.put(w.name("targets")+verify.LatestSuffix, w.get(w.proof("targets")))
	}},
	{name: "newer proof of another role", code: verify.CodeBadProof, role: "targets", says: `about role "app"`, do: func(w *world) {
		w.aged()
		w.put(w.name("targets")+verify.LatestSuffix, w.get(w.name("app")+verify.LatestSuffix))
	}},
	{name: "newer proof of another entry", code: verify.CodeBadProof, role: "targets", says: "the newer proof of version 3 is about entry", do: func(w *world) {
		w.aged()
		entry := w.leaf(w.name("targets")).Marshal()
		unix := epoch.Add(2 * day).Unix()
		w.put(w.name("targets")+verify.LatestSuffix, w.log.Proof(entry, w.log.Add(entry), unix, unix, unix))
	}},
	{name: "newer proof that two witnesses cosigned", code: verify.CodeQuorumShort, role: "targets", do: func(w *world) {
		w.aged()
		name, unix := w.name("targets"), epoch.Add(2*day).Unix()
		w.put(name+verify.LatestSuffix, w.log.Proof(w.leaf(name).Marshal(), w.logged[name], unix, unix))
	}},
	{name: "half a newer proof", code: verify.CodeNetwork, role: "targets", says: "cut off", do: func(w *world) {
		w.aged()
		w.halve(w.name("targets") + verify.LatestSuffix)
	}},
	{name: "root in quarantine", code: verify.CodeQuarantined, role: "root", lasts: true, do: func(w *world) {
		w.cfg.Install.RootQuarantine = week
		w.rotate("timestamp")
	}},
	{name: "root in quarantine, which the old keys do not need", lasts: true, do: func(w *world) {
		w.cfg.Install.RootQuarantine = week
		w.rotate("root")
	}},
	{name: "not approved", code: verify.CodeNeedsApproval, role: "targets", lasts: true, do: func(w *world) { w.cfg.Install.Approval = verify.ApproveManual }},
	{name: "no hash in the log", code: verify.CodeUnbound, role: "targets", lasts: true, do: func(w *world) { w.cfg.Install.SnapshotHashes = true }},
	{name: "smaller quorum than before", code: verify.CodeDowngrade, do: func(w *world) { w.trust("group all-of-them 3", "group all-of-them 2") }},
	{name: "no witnesses", code: verify.CodeDowngrade, do: func(w *world) { w.trust("quorum all-of-them", "quorum none") }},
	{name: "a log that is new to the trust policy", code: verify.CodeDowngrade, do: func(w *world) {
		_, rest, _ := strings.Cut(w.policy, "\n")
		w.trustText("log " + testlog.NewSigner(w.t, "log.example/third", proofs.Ed25519).Key().String() + "\n" + rest)
	}},
	{name: "proofs that are only warned of", code: verify.CodeDowngrade, do: func(w *world) { w.cfg.Transparency = verify.Warn }},
	{name: "proofs switched off", code: verify.CodeDowngrade, do: func(w *world) { w.cfg.Transparency = verify.Off }},
	{name: "root without a need for a proof", code: verify.CodeDowngrade, do: func(w *world) { w.cfg.Install.Require = []string{"targets", "delegated"} }},
	{name: "another repository in the install policy", code: verify.CodeDowngrade, do: func(w *world) { w.cfg.Install.Repository = tuf.Sum([]byte("another")) }},
	{name: "as many faulty witnesses as a quorum", code: verify.CodeSetting, process: true, do: func(w *world) { w.cfg.Install.FaultyWitnesses = 3 }},
	{name: "age that can never be known", code: verify.CodeSetting, do: func(w *world) {
		w.trust("quorum all-of-them", "quorum none")
		w.trustText(noWitnesses.ReplaceAllString(w.policy, ""))
		w.cfg.Install.MinAge = day
	}},
	{name: "no trust policy", code: verify.CodeSetting, do: func(w *world) { w.cfg.Policy = nil }},
	{name: "larger quorum than before", code: verify.CodeQuorumShort, role: "targets", lasts: true, do: func(w *world) {
		w.trust("group all-of-them 3", "group all-of-them 4")
		w.cosigned("targets", w.times[0], w.times[0], w.times[0])
	}},
}

// noWitnesses finds what a trust policy without witnesses does not have.
var noWitnesses = regexp.MustCompile("(?m)^(witness|group) .*\n")

// trust changes the device's trust policy.
func (w *world) trust(old, with string) {
	w.t.Helper()
	if !strings.Contains(w.policy, old) {
		w.t.Fatalf("%s is not in %s", old, w.policy)
	}
	w.trustText(strings.Replace(w.policy, old, with, 1))
}

func (w *world) trustText(text string) {
	w.t.Helper()
	var err error
	w.policy = text
	w.cfg.Policy, err = proofs.ParsePolicy([]byte(text))
	must(w.t, err)
}

// aged makes the release two days old, where a day is wanted.
func (w *world) aged() {
	w.t.Helper()
	w.cfg.Install.MinAge, w.cfg.Now = day, epoch.Add(2*day)
	for _, role := range []string{"targets", "app"} {
		w.latest(role, epoch.Add(2*day))
	}
}

// latest serves a newer proof of a role's file, which all witnesses cosigned at a time.
func (w *world) latest(role string, at time.Time) {
	w.t.Helper()
	name := w.name(role)
	unix := at.Unix()
	w.put(name+verify.LatestSuffix, w.log.Proof(w.leaf(name).Marshal(), w.logged[name], unix, unix, unix, unix))
}

// ownScenes are of what the device keeps, and of its clock.
var ownScenes = []scene{
	{name: "kept timestamp destroyed", do: func(w *world) { w.keep("timestamp.json", garbage) }},
	{name: "kept snapshot destroyed", do: func(w *world) { w.keep("snapshot.json", garbage) }},
	{name: "kept targets destroyed", do: func(w *world) { w.keep("targets.json", garbage) }},
	{name: "kept targets of another role", do: func(w *world) { w.keep("targets.json", w.kept("app.json")) }},
	{name: "kept proof removed", do: func(w *world) { w.keep("targets.json.tlog-proof", nothing) }},
	{name: "kept proof of another role", do: func(w *world) { w.keep("targets.json.tlog-proof", w.kept("app.json.tlog-proof")) }},
	{name: "kept files removed", do: func(w *world) {
		for _, name := range []string{"timestamp.json", "snapshot.json", "targets.json", "app.json"} {
			w.keep(name, nothing)
		}
	}},
	{name: "newer files kept that nobody logged", code: verify.CodeNotLogged, role: "targets", lasts: true, process: true, do: func(w *world) {
		// An installer wrote them past the updater, and the mirror serves them, too.
		w.edit("targets", newExpiry)
		w.remove(w.proof("targets"))
		for _, role := range []string{"timestamp", "snapshot", "targets"} {
			w.keep(role+".json", func([]byte) []byte { return w.get(w.name(role)) })
		}
		w.keep("targets.json.tlog-proof", nothing)
	}},
	{name: "first copy of the state destroyed", do: func(w *world) { w.keep("updater.state", garbage) }},
	{name: "second copy of the state destroyed", do: func(w *world) { w.keep("updater.state.copy", nothing) }},
	{name: "half of the state", do: func(w *world) { w.keep("updater.state", func(b []byte) []byte { return b[:len(b)/2] }) }},
	{name: "older state, and a mirror as old", code: verify.CodeRollback, role: "timestamp", lasts: true, do: func(w *world) {
		before, copied := w.kept("updater.state")(nil), w.kept("updater.state.copy")(nil)
		must(w.t, w.update())
		w.keep("updater.state", func([]byte) []byte { return before })
		w.keep("updater.state.copy", func([]byte) []byte { return copied })
		maps.Copy(w.files, w.old)
	}},
	{name: "both copies of the state destroyed", code: verify.CodeDevice, says: "both copies", lasts: true, process: true, do: func(w *world) {
		w.keep("updater.state", garbage)
		w.keep("updater.state.copy", garbage)
	}},
	{name: "state removed", code: verify.CodeDevice, says: "updater init", lasts: true, do: func(w *world) {
		w.keep("updater.state", nothing)
		w.keep("updater.state.copy", nothing)
	}},
	{name: "kept root destroyed", code: verify.CodeDevice, role: "root", says: "updater init", lasts: true, do: func(w *world) { w.keep("root.json", garbage) }},
	{name: "kept root of another repository", code: verify.CodeDevice, role: "root", says: "updater init", lasts: true, do: func(w *world) {
		w.keep("root.json", func([]byte) []byte { return w.stranger().Files()["1.root.json"] })
	}},
	{name: "kept root of another repository, which is newer", code: verify.CodeDevice, role: "root", says: "does not follow from root", lasts: true, do: func(w *world) {
		w.keep("root.json", func([]byte) []byte {
			v := w.stranger()
			for range 4 {
				must(w.t, v.Rotate("root"))
			}
			return v.Files()["5.root.json"]
		})
	}},
	{name: "place of a kept file taken", code: verify.CodeDevice, lasts: true, do: func(w *world) {
		w.keep("snapshot.json", nothing)
		must(w.t, os.Mkdir(filepath.Join(w.dir, "snapshot.json"), 0o755))
	}},
	{name: "installed target altered", do: func(w *world) { w.keep("installed/firmware.bin", garbage) }},
	{name: "part of a target left behind", do: func(w *world) {
		must(w.t, os.WriteFile(filepath.Join(w.dir, "installed", ".download.123.tmp"), []byte("firmw"), 0o644))
	}},
	{name: "clock that was never set", do: func(w *world) { w.cfg.Now = time.Time{} }},
	{name: "clock set back", do: func(w *world) { w.cfg.Now = epoch.Add(-365 * day) }},
	{name: "clock set back, and an expired timestamp", code: verify.CodeExpired, role: "timestamp", do: func(w *world) {
		w.cfg.Now = epoch.Add(-time.Hour * 25)
		w.edit("timestamp", set("expires", epoch.Add(-49*time.Hour).Format(time.RFC3339)))
	}},
	{name: "clock a year ahead", code: verify.CodeExpired, role: "timestamp", do: func(w *world) { w.cfg.Now = epoch.Add(364 * day) }},
}

func garbage(b []byte) []byte { return append([]byte("garbage "), b[:len(b)/2]...) }
func nothing([]byte) []byte   { return nil }

// kept returns what another file that the device keeps has, in the place of any.
func (w *world) kept(name string) func([]byte) []byte {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	must(w.t, err)
	return func([]byte) []byte { return b }
}
