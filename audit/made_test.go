package audit_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// object is JSON. encoding/json prints it as canonical JSON does, since these tests use
// no characters that the two write in different ways.
type object = map[string]any

func (m *made) json(v any) []byte {
	m.T.Helper()
	b, err := json.Marshal(v)
	must(m.T, err)
	return b
}

// made is a log and a repository whose metadata a test writes member by member.
type made struct {
	*audittest.Log
	repo  tuf.Digest
	roles map[string][]string // names of the keys of the top-level roles
	least map[string]int      // thresholds that are not 1
	extra object              // members that the next root's keys have besides
	files map[string]int64    // versions of what snapshots list
	snap  int64               // version of the last snapshot
}

// newMade registers a root under the keys r, t, s and n, one for each role.
func newMade(t testing.TB) *made { return madeIn(audittest.New(t), nil) }

// madeIn registers such a root in a log, changed before it is signed.
func madeIn(l *audittest.Log, change func(m *made)) *made {
	m := &made{Log: l, roles: map[string][]string{
		tuf.RoleRoot: {"r"}, tuf.RoleTargets: {"t"}, tuf.RoleSnapshot: {"s"}, tuf.RoleTimestamp: {"n"},
	}, least: map[string]int{}, files: map[string]int64{}}
	if change != nil {
		change(m)
	}
	m.repo = m.Register(m.rootFile(1, "r"))
	return m
}

func private(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// key returns a public key as metadata lists it. A name such as "k#2" is key k under
// another id.
func key(name string) (id string, value object) {
	seed, other, _ := strings.Cut(name, "#")
	value = object{"keytype": "ed25519", "scheme": "ed25519", "keyval": object{"public": hex.EncodeToString(private(seed).Public().(ed25519.PublicKey))}}
	b, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256([]byte(other + string(b)))
	return hex.EncodeToString(sum[:]), value
}

func keyTable(names ...string) object {
	table := object{}
	for _, name := range names {
		id, value := key(name)
		table[id] = value
	}
	return table
}

func keysAndThreshold(threshold int, names ...string) object {
	ids := []string{}
	for _, name := range names {
		id, _ := key(name)
		ids = append(ids, id)
	}
	return object{"keyids": ids, "threshold": threshold}
}

func (m *made) sign(signed object, by ...string) []byte {
	m.T.Helper()
	if signed["expires"] == nil {
		signed["expires"] = "2040-01-01T00:00:00Z"
	}
	signed["spec_version"] = "1.0.31"
	payload := m.json(signed)
	signatures := []object{}
	for _, name := range by {
		id, _ := key(name)
		seed, _, _ := strings.Cut(name, "#")
		signatures = append(signatures, object{"keyid": id, "sig": hex.EncodeToString(ed25519.Sign(private(seed), payload))})
	}
	return m.json(object{"signatures": signatures, "signed": signed})
}

func (m *made) rootFile(version int64, by ...string) []byte {
	roles, keys := object{}, object{}
	for role, names := range m.roles {
		roles[role] = keysAndThreshold(max(1, m.least[role]), names...)
		maps.Copy(keys, keyTable(names...))
	}
	maps.Copy(keys, m.extra)
	return m.sign(object{"_type": "root", "version": version, "consistent_snapshot": true, "keys": keys, "roles": roles}, by...)
}

// root logs a root.
func (m *made) root(version int64, by ...string) {
	m.T.Helper()
	m.Submit(m.repo, tuf.RoleRoot, m.rootFile(version, by...))
}

// targets logs a file of targets, or of a delegated role, with a snapshot that lists it.
func (m *made) targets(role string, version int64, body object, by ...string) leaf.Leaf {
	m.T.Helper()
	if body["targets"] == nil {
		body["targets"] = object{}
	}
	body["_type"], body["version"] = "targets", version
	file := m.sign(body, by...)
	m.files[role] = version
	m.snap++
	logged, _ := m.Submit(m.repo, role, file, m.snapshotFile(m.snap, file, role))
	return logged
}

// snapshotFile lists all files, and the hash of one.
func (m *made) snapshotFile(version int64, file []byte, role string) []byte {
	meta := object{}
	for name, v := range m.files {
		meta[name+".json"] = object{"version": v}
	}
	if file != nil {
		sum := sha256.Sum256(file)
		meta[role+".json"] = object{"version": m.files[role], "hashes": object{"sha256": hex.EncodeToString(sum[:])}}
	}
	return m.sign(object{"_type": "snapshot", "version": version, "meta": meta}, m.roles[tuf.RoleSnapshot]...)
}

// snapshot logs a snapshot.
func (m *made) snapshot(version int64) {
	m.T.Helper()
	m.Submit(m.repo, tuf.RoleSnapshot, m.snapshotFile(version, nil, ""))
}

// target is a file of a content, with custom data; nil: none.
func target(content string, custom any) object {
	sum := sha256.Sum256([]byte(content))
	t := object{"length": len(content), "hashes": object{"sha256": hex.EncodeToString(sum[:])}}
	if custom != nil {
		t["custom"] = custom
	}
	return t
}

// delegations delegates to roles; each has the key of its name unless it says so.
func delegations(roles ...object) object {
	keys := object{}
	for _, role := range roles {
		names, ok := role["keys"].([]string)
		if !ok {
			names = []string{role["name"].(string)}
		}
		delete(role, "keys")
		maps.Copy(keys, keyTable(names...))
		maps.Copy(role, keysAndThreshold(1, names...))
		if role["terminating"] == nil {
			role["terminating"] = false
		}
	}
	return object{"keys": keys, "roles": roles}
}

func listing(files ...any) object {
	targets := object{}
	for i := 0; i < len(files); i += 2 {
		targets[files[i].(string)] = files[i+1]
	}
	return object{"targets": targets}
}

func delegating(roles ...object) object { return object{"delegations": delegations(roles...)} }

// A change is a history of releases, and what is said of it.
type change struct {
	name string
	do   func(m *made)
	want []string // kind, index and a part of the sentence
}

// usualChanges: what every vendor does.
var usualChanges = []change{
	{"nothing", func(m *made) {
		m.targets("targets", 1, listing("a", target("1", nil), "app-1.0.bin", target("1", nil)), "t")
		m.targets("targets", 2, listing("a", target("2", nil), "app-1.0.bin", target("1", nil), "app-1.1.bin", target("2", nil)), "t")
		m.snapshot(2)
		m.snapshot(3)
	}, nil},
}

// changesOfDelegations: who is trusted for which paths.
var changesOfDelegations = []change{
	{"a delegation widened", func(m *made) {
		m.targets("targets", 1, delegating(object{"name": "d", "paths": []string{"x/*"}}), "t")
		m.targets("targets", 2, delegating(object{"name": "d", "paths": []string{"x/*", "*"}}), "t")
		m.targets("targets", 3, delegating(object{"name": "d", "paths": []string{"x/*", "*"}}), "t")
		m.targets("targets", 4, delegating(object{"name": "d", "paths": []string{"x/*"}}), "t")
	}, []string{`delegation-widened@2 targets 2 trusts d for more paths: * (unlike version 1 at index 1)`}},
	{"terminating, and no longer", func(m *made) {
		m.targets("targets", 1, delegating(object{"name": "d", "paths": []string{"x/*"}}), "t")
		m.targets("targets", 2, delegating(object{"name": "d", "paths": []string{"x/*"}, "terminating": true}), "t")
		m.targets("targets", 3, delegating(object{"name": "d", "paths": []string{"x/*"}}), "t")
	}, []string{
		"terminating-changed@2 targets 2 changes who answers for the paths of d: a search that enters it ends there (unlike version 1 at index 1)",
		"terminating-changed@3 a search that enters it no longer ends there (unlike version 2 at index 2)",
	}},
	{"shadowed from the first release on", func(m *made) {
		ends := object{"name": "d", "paths": []string{"x/*"}, "terminating": true}
		m.targets("targets", 1, delegating(ends, object{"name": "e", "paths": []string{"x/y"}}), "t")
		ends = object{"name": "d", "paths": []string{"x/*"}, "terminating": true}
		m.targets("targets", 2, delegating(ends, object{"name": "e", "paths": []string{"x/y"}}, object{"name": "f", "paths": []string{"z"}}), "t")
	}, []string{"delegation-shadowed@1 because terminating delegations before them take all their paths: e (it is the first release)"}},
	{"another order", func(m *made) {
		m.targets("targets", 1, delegating(object{"name": "d", "paths": []string{"x"}}, object{"name": "e", "paths": []string{"x"}}), "t")
		m.targets("targets", 2, delegating(object{"name": "e", "paths": []string{"x"}}, object{"name": "d", "paths": []string{"x"}}), "t")
	}, []string{`delegation-order@2 targets 2 asks its delegated roles in another order: "e d", before "d e"`}},
}

// changesOfTargets: other content under a version that stays.
var changesOfTargets = []change{
	{"a target under a version of its name", func(m *made) {
		m.targets("targets", 1, listing("app-1.0.bin", target("1", nil)), "t")
		m.targets("targets", 2, listing("app-1.0.bin", target("2", nil)), "t")
	}, []string{"target-rebound@2 targets 2 lists other content for targets whose own version is the same: app-1.0.bin (unlike version 1 at index 1)"}},
	{"a target under a version of its custom data", func(m *made) {
		m.targets("targets", 1, listing("a", target("1", object{"version": 7}), "b", target("1", object{"version": 7})), "t")
		m.targets("targets", 2, listing("a", target("2", object{"version": 7}), "b", target("2", object{"version": 8})), "t")
	}, []string{"target-rebound@2 whose own version is the same: a"}},
	{"a target under one version of the role", func(m *made) {
		m.targets("targets", 1, listing("a", target("1", nil), "b", target("1", nil)), "t")
		m.targets("targets", 1, listing("a", target("2", nil), "b", target("1", nil)), "t")
	}, []string{"second-payload@2 ; other content: a"}},
	{"a target under one version after a rotation", func(m *made) {
		m.targets("targets", 1, listing("a", target("1", nil)), "t")
		m.roles[tuf.RoleTargets] = []string{"u"}
		m.root(2, "r")
		m.targets("targets", 1, listing("a", target("2", nil)), "u")
	}, []string{
		"version-reused@3 targets 1 is released with another payload",
		"target-rebound@3 targets 1 lists other content than the release of the same version at index 1 for targets: a",
	}},
}

// oddTargets: targets and roles that few vendors would name so.
var oddTargets = []change{
	{"no length", func(m *made) {
		without := target("1", nil)
		delete(without, "length")
		m.targets("targets", 1, listing("a", without), "t")
		m.targets("targets", 2, listing("a", without, "b", target("1", nil)), "t")
	}, []string{"no-length@1 targets 1 lists targets without their length: a (it is the first release)"}},
	{"names that lead out of a folder", func(m *made) {
		m.targets("targets", 1, listing("../a", target("1", nil), "/etc/x", target("1", nil), "a/..b", target("1", nil)), "t")
		body := listing("../a", target("1", nil))
		body["delegations"] = delegations(object{"name": "../d", "paths": []string{"x"}})
		m.targets("targets", 2, body, "t")
	}, []string{
		"odd-name@1 target ../a (goes up), target /etc/x (begins at the root of the file system) (it is the first release)",
		"odd-name@2 role ../d (goes up) (unlike version 1 at index 1)",
	}},
	{"names of devices", func(m *made) {
		m.targets("targets", 1, listing("app-123e4567-e89b-12d3-a456-426614174000.bin", target("1", nil), "0123456789abcdef0123456789abcdef.bin", target("1", nil)), "t")
		m.targets("targets", 2, listing("app-123e4567-e89b-12d3-a456-426614174000.bin", target("2", nil), "fw/00:1a:2b:3c:4d:5e", target("2", nil)), "t")
		m.targets("targets", 3, listing("app-123e4567-e89b-12d3-a456-426614174001.bin", target("2", nil), "fw/00:1a:2b:3c:4d:5f", target("2", nil)), "t")
	}, []string{
		"singled-out@1 app-123e4567-e89b-12d3-a456-426614174000.bin (a UUID) (it is the first release)",
		`singled-out@2 "fw/00:1a:2b:3c:4d:5e" (a MAC address) (unlike version 1 at index 1)`,
	}},
	{"a role for a device", func(m *made) {
		m.targets("targets", 1, delegating(object{"name": "d", "paths": []string{"x"}}), "t")
		m.targets("targets", 2, delegating(object{"name": "d", "paths": []string{"x"}}, object{"name": "e", "paths": []string{"y", "fw/00-1a-2b-3c-4d-5e/*"}}), "t")
	}, []string{"singled-out@2 targets 2 begins to name a device, a customer or a group of them: role e for fw/00-1a-2b-3c-4d-5e/* (a MAC address)"}},
	{"custom data of devices", func(m *made) {
		m.targets("targets", 1, listing("a", target("1", object{"hardwareIds": []string{"board-4"}, "version": "1"})), "t")
		m.targets("targets", 2, listing("a", target("2", object{"hardwareIds": []string{"board-4"}, "version": "2", "rollout": object{"ecu_serial": "17"}})), "t")
		m.targets("targets", 3, listing("a", target("3", object{"hardwareIds": []string{"board-4"}, "version": "3", "rollout": object{"ecu_serial": "18"}})), "t")
	}, []string{"singled-out@2 targets 2 begins to name a device, a customer or a group of them: a (its custom data has rollout)"}},
}

// changesOfSnapshots: snapshots that clients refuse.
var changesOfSnapshots = []change{
	{"a snapshot that goes back", func(m *made) {
		m.targets("targets", 1, listing(), "t")
		m.targets("targets", 2, listing(), "t")
		m.snapshot(10)
		m.files["targets"] = 1
		m.snapshot(11)
		delete(m.files, "targets")
		m.files["d"] = 1
		m.snapshot(12)
	}, []string{
		"listed-back@4 snapshot 11 lists older versions, which clients refuse: targets.json 1 after 2 (unlike version 10 at index 3)",
		"listed-back@5 snapshot 12 no longer lists files, which clients refuse: targets.json (unlike version 11 at index 4)",
	}},
	{"a snapshot that goes back under another key", func(m *made) {
		m.files["targets"] = 2
		m.snapshot(10)
		m.roles[tuf.RoleSnapshot] = []string{"s2"}
		m.root(2, "r")
		m.files["targets"] = 1
		m.snapshot(11)
	}, nil},
}

// oddKeys: keys that clients understand in different ways, or that suffice for two roles.
var oddKeys = []change{
	{"a key under two ids", func(m *made) {
		m.roles[tuf.RoleTargets] = []string{"t", "t#2"}
		m.root(2, "r")
		m.root(3, "r")
	}, []string{"two-ids@1 root 2 lists one key under several ids, which some clients take for several signers: ", "key-id@1 which is not the hash of that key"}},
	{"a key that no client can read", func(m *made) {
		m.extra = object{"0123": object{"keytype": "quantum", "scheme": "qubit", "keyval": object{"public": "00"}}}
		m.root(2, "r")
	}, []string{"key-form@1 root 2 lists keys that sign nothing here, because their type is not known or they cannot be read: 0123 (quantum)", "key-id@1 "}},
	{"keys for two roles", func(m *made) {
		m.roles[tuf.RoleSnapshot] = []string{"s", "t"}
		m.roles[tuf.RoleTargets] = []string{"t", "s"}
		m.least[tuf.RoleTargets] = 2
		m.root(2, "r")
		m.least[tuf.RoleTargets] = 1
		m.root(3, "r")
		m.root(4, "r")
	}, []string{
		"shared-top-level@1 root 2 gives roles keys in common that suffice for either: targets and snapshot",
		"threshold-lowered@2 ",
	}},
}

// removedKeys: signatures by keys that may no longer sign.
var removedKeys = []change{
	{"a removed key still signs", func(m *made) {
		m.targets("targets", 1, listing(), "t")
		m.roles[tuf.RoleTargets] = []string{"u"}
		m.root(2, "r")
		m.targets("targets", 2, listing(), "u")
		m.targets("targets", 3, listing(), "u", "t")
		m.roles[tuf.RoleTargets] = []string{"u", "t"}
		m.root(3, "r")
		m.targets("targets", 4, listing(), "u", "t")
	}, []string{"revoked-key@4 targets 3 is still signed by keys that may no longer sign it: key "}},
	{"a removed root key still signs", func(m *made) {
		m.roles[tuf.RoleRoot] = []string{"q"}
		m.root(2, "r", "q") // as it must
		m.root(3, "q", "r")
	}, []string{"revoked-key@2 root 3 is still signed by keys that may no longer sign it: key "}},
	{"a removed key of a delegated role still signs", func(m *made) {
		m.targets("targets", 1, delegating(object{"name": "d", "paths": []string{"x"}, "keys": []string{"d1", "d2"}}), "t")
		m.targets("d", 1, listing("x", target("1", nil)), "d1")
		m.targets("targets", 2, delegating(object{"name": "d", "paths": []string{"x"}, "keys": []string{"d2"}}), "t")
		m.targets("d", 2, listing("x", target("2", nil)), "d1", "d2")
	}, []string{"revoked-key@4 d 2 is still signed by keys that may no longer sign it: key "}},
}

// secondChains: roots of one chain in two repositories.
var secondChains = []change{
	{"a second chain under the same keys", func(m *made) {
		m.root(2, "r")
		m.roles[tuf.RoleTimestamp] = []string{"n2"}
		m.Register(m.rootFile(1, "r"))
	}, []string{"second-chain@2 root 1 begins a repository under keys that may also sign the root of repository "}},
	{"a fork in a repository of its own", func(m *made) {
		m.root(2, "r")
		m.root(3, "r")
		m.roles[tuf.RoleTargets] = []string{"thief"}
		m.Register(m.rootFile(3, "r"))
	}, []string{"second-chain@3 ", "forked-root@3 root 3 of repository "}},
	{"a fork that was there before", func(m *made) {
		own := m.roles[tuf.RoleTargets]
		m.roles[tuf.RoleTargets] = []string{"thief"}
		m.Register(m.rootFile(2, "r"))
		m.roles[tuf.RoleTargets] = own
		m.root(2, "r")
		m.root(3, "r")
	}, []string{"second-chain@1 ", "forked-root@2 root 2 of repository "}},
}

// TestFindingsOfChanges: what is odd about a release compared with the one before it is
// said once, and what is not odd is not said.
func TestFindingsOfChanges(t *testing.T) {
	for _, tt := range slices.Concat(usualChanges, changesOfDelegations, changesOfTargets, oddTargets, changesOfSnapshots, oddKeys, removedKeys, secondChains) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMade(t)
			tt.do(m)
			m.Publish(2)
			a := newAuditor(t, m.Log)
			step(t, a)
			r := report(t, a)
			if !r.Vouches {
				t.Errorf("does not vouch: %+v", r.Findings)
			}
			got := sentences(r)
			if !testing.Short() { // starting auditors takes processor time
				if again := sentences(inSteps(t, m.Log)); !slices.Equal(again, got) {
					t.Errorf("an auditor that is started for each entry found\n%s\none that saw all at once\n%s", strings.Join(again, "\n"), strings.Join(got, "\n"))
				}
			}
			for _, want := range tt.want {
				at, part, _ := strings.Cut(want, " ")
				i := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, at+" ") && strings.Contains(s, part) })
				if i < 0 {
					t.Errorf("nothing says %q", want)
					continue
				}
				got = slices.Delete(got, i, i+1)
			}
			if len(got) > 0 {
				t.Errorf("found besides:\n%s", strings.Join(got, "\n"))
			}
		})
	}
}

func sentences(r *audit.Report) []string {
	list := []string{}
	for _, f := range r.Findings {
		list = append(list, fmt.Sprintf("%s@%d %s", f.Kind, f.Index, f.Sentence))
	}
	return list
}

// inSteps audits a log as it grew: for each entry an auditor is started with the state of the
// one before it.
func inSteps(t *testing.T, l *audittest.Log) (r *audit.Report) {
	t.Helper()
	dir := t.TempDir()
	for size := range l.Size() {
		l.Serve(l.Checkpoint(size+1, 2))
		a := newAuditor(t, l, func(c *audit.Config) { c.StateDir = dir })
		step(t, a)
		r = report(t, a)
		must(t, a.Close())
	}
	return r
}
