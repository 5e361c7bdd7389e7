package explain

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

// A model of a repository and of a device, which shares nothing with the code under test.
// Keys are numbers, sets of keys are bits.

type modelRole struct {
	keys      []int
	threshold int
}

type modelDelegation struct {
	name string
	modelRole
	paths, prefixes []string
	terminating     bool
}

type modelFile struct {
	lists       map[string]bool
	delegations []modelDelegation
	bins        *modelRole // bins-0 and bins-1, by the first bit of the hash
}

type model struct {
	root, targets, snapshot, timestamp modelRole
	files                              map[string]*modelFile // absent: the snapshot does not list the role
	hashed                             map[string]bool       // listed by hash
}

func (r modelRole) met(keys uint) bool {
	n := 0
	for k := range modelKeys {
		if keys>>k&1 != 0 && slices.Contains(r.keys, k) {
			n++
		}
	}
	return n >= r.threshold
}

func (d modelDelegation) covers(target string) bool {
	sum := sha256.Sum256([]byte(target))
	for _, prefix := range d.prefixes {
		if strings.HasPrefix(hex.EncodeToString(sum[:]), prefix) {
			return true
		}
	}
	for _, pattern := range d.paths {
		if ok, err := path.Match(pattern, target); err == nil && ok {
			return true
		}
	}
	return false
}

// What the attacker does with a role's file.
type forgery int

const (
	honest    forgery = iota
	listing           // lists another file
	delegates         // delegates the path to a role with a key of the attacker's own
	empty             // lists nothing, delegates nothing
)

type outcome int

const (
	goOn   outcome = iota // not here
	vendor                // the vendor's file
	evil                  // the attacker's
	end                   // the search ends: refused, or after a terminating role
)

// device searches for a target as TUF 5.6.7 says.
type device struct {
	model    *model
	target   string
	attacker uint
	forged   map[string]forgery
	visited  map[string]bool
}

func (d *device) visit(role string, keys modelRole) outcome {
	if d.visited[role] {
		return goOn
	}
	d.visited[role] = true
	forged := d.forged[role]
	if forged != honest && !keys.met(d.attacker) {
		return end
	}
	switch forged {
	case listing, delegates:
		return evil
	case empty:
		return goOn
	}
	file := d.model.files[role]
	if file == nil {
		return end
	}
	if file.lists[d.target] {
		return vendor
	}
	if file.bins != nil {
		sum := sha256.Sum256([]byte(d.target))
		if found := d.visit(fmt.Sprintf("bins-%d", sum[0]>>7), *file.bins); found != goOn {
			return found
		}
		return end
	}
	for _, child := range file.delegations {
		if !child.covers(d.target) {
			continue
		}
		if found := d.visit(child.name, child.modelRole); found != goOn {
			return found
		}
		if child.terminating {
			return end
		}
	}
	return goOn
}

// fooled reports whether an attacker with some keys can make a device take another file. A
// device that is behind has none of the versions in force.
func (m *model) fooled(target string, attacker uint, behind bool) bool {
	if m.root.met(attacker) {
		return true // a root with the attacker's own keys in all roles
	}
	releases := m.snapshot.met(attacker) && m.timestamp.met(attacker)
	if !releases && !behind {
		return false // no file is new
	}
	var can []string
	for _, role := range append([]string{tuf.RoleTargets}, modelRoles...) {
		signs := role == tuf.RoleTargets && m.targets.met(attacker)
		for _, file := range m.files {
			if file.bins != nil && strings.HasPrefix(role, "bins-") && file.bins.met(attacker) {
				signs = true
			}
			for _, d := range file.delegations {
				signs = signs || d.name == role && d.met(attacker)
			}
		}
		if signs && (releases || m.files[role] != nil && !m.hashed[role]) {
			can = append(can, role)
		}
	}
	for plan := range 1 << (2 * len(can)) {
		forged := map[string]forgery{}
		for i, role := range can {
			forged[role] = forgery(plan >> (2 * i) & 3)
		}
		d := device{m, target, attacker, forged, map[string]bool{}}
		if d.visit(tuf.RoleTargets, m.targets) == evil {
			return true
		}
	}
	return false
}

const modelKeys = 6

var (
	modelRoles    = []string{"a", "b", "c", "bins-0", "bins-1"}
	modelTargets  = []string{"x", "d/x", "d/y.bin"}
	modelPatterns = []string{"*", "x", "d/*", "d/?", "?", "*/x", "*/*.bin", "d/y*", "*/*/*"}
)

func randomModel(r *rand.Rand) *model {
	role := func() modelRole {
		n := 1 + r.IntN(4)
		return modelRole{r.Perm(modelKeys)[:n], 1 + r.IntN(min(n, 3)) + r.IntN(20)/19}
	}
	m := &model{root: role(), targets: role(), snapshot: role(), timestamp: role(), files: map[string]*modelFile{}, hashed: map[string]bool{}}
	if r.IntN(2) == 0 { // often one key signs both, online
		m.timestamp = m.snapshot
	}
	for _, name := range append([]string{tuf.RoleTargets}, modelRoles...) {
		if name != tuf.RoleTargets && r.IntN(10) == 0 {
			continue
		}
		file := &modelFile{lists: map[string]bool{}}
		for _, target := range modelTargets {
			file.lists[target] = r.IntN(4) == 0
		}
		if r.IntN(5) == 0 {
			bins := role()
			file.bins = &bins
		} else {
			for _, child := range r.Perm(3)[:r.IntN(4)] {
				d := modelDelegation{name: modelRoles[child], modelRole: role(), terminating: r.IntN(3) == 0}
				if r.IntN(3) == 0 {
					d.prefixes = []string{[]string{"0", "1", "2d", "7", "8", "a", "f"}[r.IntN(7)]}
				} else {
					for range 1 + r.IntN(2) {
						d.paths = append(d.paths, modelPatterns[r.IntN(len(modelPatterns))])
					}
				}
				file.delegations = append(file.delegations, d)
			}
		}
		m.files[name] = file
		m.hashed[name] = r.IntN(2) == 0
	}
	return m
}

// object is JSON.
type object = map[string]any

func modelKeyID(k int) string { return fmt.Sprintf("key-%d", k) }

func modelKeyList() object {
	all := object{}
	for k := range modelKeys {
		seed := sha256.Sum256([]byte(modelKeyID(k)))
		public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
		key := object{"keytype": "ed25519", "scheme": "ed25519", "keyval": object{"public": hex.EncodeToString(public)}}
		all[modelKeyID(k)] = key
		all["same-"+modelKeyID(k)] = key
	}
	return all
}

var allModelKeys = modelKeyList()

func (r modelRole) object() object {
	var ids []string
	for _, k := range r.keys {
		ids = append(ids, modelKeyID(k))
		if (k+len(r.keys))%3 == 0 { // one key under two ids counts once
			ids = append(ids, "same-"+modelKeyID(k))
		}
	}
	return object{"keyids": ids, "threshold": r.threshold}
}

func parse(t testing.TB, kind string, more object) *tuf.Metadata {
	t.Helper()
	signed := object{"_type": kind, "spec_version": "1.0.31", "version": 1, "expires": "2030-01-01T00:00:00Z"}
	for k, v := range more {
		signed[k] = v
	}
	b, err := json.Marshal(object{"signed": signed, "signatures": []any{}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := tuf.ParseJSON(b)
	if err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return m
}

func (m *model) repository(t testing.TB) Repository {
	roles := object{"root": m.root.object(), "targets": m.targets.object(), "snapshot": m.snapshot.object(), "timestamp": m.timestamp.object()}
	repo := Repository{
		Root:      parse(t, "root", object{"consistent_snapshot": true, "keys": allModelKeys, "roles": roles}),
		Delegated: map[string]*tuf.Metadata{},
	}
	listed := object{}
	for name, file := range m.files {
		targets := object{}
		for target, lists := range file.lists {
			if lists {
				targets[target] = object{"length": 1, "hashes": object{"sha256": strings.Repeat("00", 32)}}
			}
		}
		signed := object{"targets": targets}
		if file.bins != nil {
			bins := file.bins.object()
			bins["bit_length"], bins["name_prefix"] = 1, "bins"
			signed["delegations"] = object{"keys": allModelKeys, "succinct_roles": bins}
		} else if len(file.delegations) > 0 {
			var delegated []object
			for _, d := range file.delegations {
				o := d.object()
				o["name"], o["terminating"] = d.name, d.terminating
				if d.prefixes != nil {
					o["path_hash_prefixes"] = d.prefixes
				} else {
					o["paths"] = d.paths
				}
				delegated = append(delegated, o)
			}
			signed["delegations"] = object{"keys": allModelKeys, "roles": delegated}
		}
		parsed := parse(t, "targets", signed)
		entry := object{"version": 1}
		if m.hashed[name] {
			entry["hashes"] = object{"sha256": parsed.FileDigest.String()}
		}
		listed[name+".json"] = entry
		if name == tuf.RoleTargets {
			repo.Targets = parsed
			continue
		}
		repo.Delegated[name] = parsed
	}
	repo.Snapshot = parse(t, "snapshot", object{"meta": listed})
	return repo
}

// Radius says of every set of keys what trying everything says: that a device can be
// fooled with it, or that it cannot.
func TestRadiusAgainstAllSubsetsOfKeys(t *testing.T) {
	repositories := 10_000
	if testing.Short() {
		repositories = 200
	}
	r := rand.New(rand.NewPCG(14, 2026))
	fooled := 0
	for i := range repositories {
		m := randomModel(r)
		repo := m.repository(t)
		target := modelTargets[r.IntN(len(modelTargets))]
		got, err := Radius(repo, target)
		if err != nil {
			t.Fatal(err)
		}
		fooled += checkAgainst(t, m, target, got)
		if t.Failed() {
			t.Fatalf("repository %d, %s: %+v\n%s", i, target, m, strings.Join(got.Sentences(), "\n"))
		}
	}
	if fooled == 0 {
		t.Error("no device was ever fooled: the model is wrong")
	}
}

// checkAgainst compares an answer with the model for every set of keys, and returns how
// many sets fool the device without the keys of root.
func checkAgainst(t *testing.T, m *model, target string, got *Replace) (fooled int) {
	t.Helper()
	var can [1 << modelKeys]bool
	for attacker := range uint(1 << modelKeys) {
		can[attacker] = m.fooled(target, attacker, false)
		if can[attacker] && !m.root.met(attacker) {
			fooled++
		}
		if says := opens(got.Ways, attacker); says != can[attacker] {
			t.Errorf("keys %06b: the ways say %v, the model %v", attacker, says, can[attacker])
		}
		behind := m.fooled(target, attacker, true)
		if says := opens(got.Ways, attacker) || opens(got.Behind, attacker); says != behind {
			t.Errorf("keys %06b, device behind: the ways say %v, the model %v", attacker, says, behind)
		}
	}
	var want []string
	smallest := 0
	for attacker := range uint(1 << modelKeys) {
		minimal := can[attacker]
		for k := range modelKeys {
			minimal = minimal && (attacker>>k&1 == 0 || !can[attacker&^(1<<k)])
		}
		if minimal {
			want = append(want, ids(attacker))
			if n := bits.OnesCount(attacker); smallest == 0 || n < smallest {
				smallest = n
			}
		}
	}
	var sets []string
	for _, set := range got.Sets {
		sets = append(sets, strings.Join(set, " "))
	}
	if !slices.IsSortedFunc(got.Sets, func(a, b []string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return slices.Compare(a, b)
	}) {
		t.Errorf("not in order: %v", got.Sets)
	}
	slices.Sort(sets)
	slices.Sort(want)
	if !slices.Equal(sets, want) || got.Smallest != smallest || got.MoreSets || len(got.Limits) > 0 {
		t.Errorf("sets %q, smallest %d, want %q, %d; limits %q", sets, got.Smallest, want, smallest, got.Limits)
	}
	for i, way := range got.Ways {
		for j, other := range got.Ways {
			alone := i == j
			for attacker := range uint(1 << modelKeys) {
				alone = alone || opens([]Way{way}, attacker) && !opens([]Way{other}, attacker)
			}
			if !alone {
				t.Errorf("way %v needs all that %v needs", way, other)
			}
		}
	}
	for _, way := range got.Covered {
		for attacker := range uint(1 << modelKeys) {
			if opens([]Way{way}, attacker) && !can[attacker] {
				t.Errorf("way %v opens nothing with %06b", way, attacker)
			}
		}
	}
	return fooled
}

func ids(keys uint) string {
	var all []string
	for k := range modelKeys {
		if keys>>k&1 != 0 {
			all = append(all, modelKeyID(k))
		}
	}
	return strings.Join(all, " ")
}

func opens(ways []Way, keys uint) bool {
	return slices.ContainsFunc(ways, func(w Way) bool {
		return !slices.ContainsFunc(w.Needs, func(n Need) bool {
			have := 0
			for k := range modelKeys {
				if keys>>k&1 != 0 && slices.Contains(n.Keys, modelKeyID(k)) {
					have++
				}
			}
			return have < n.Count
		})
	})
}
