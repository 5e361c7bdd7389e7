package publish

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/log/api"
)

// delegate is one role to which targets metadata delegates.
type delegate struct {
	name string
	key  key
}

// delegating makes targets metadata that delegates to roles with keys of their own.
func delegating(version int, k key, to ...delegate) []byte {
	roles := []object{}
	var keys []key
	for _, d := range to {
		role := keyRole(d.key)
		role["name"], role["paths"], role["terminating"] = d.name, []string{"*"}, false
		roles, keys = append(roles, role), append(keys, d.key)
	}
	return signed("targets", version, object{"targets": object{fmt.Sprint("t", version, k): object{"length": 1, "hashes": object{"sha256": strings.Repeat("0", 64)}}},
		"delegations": object{"keys": keyTable(keys), "roles": roles}}, k)
}

// rotated is a directory with all versions of a repository in which a delegation got
// another key, one was withdrawn, the keys of root, snapshot and targets changed and
// came back, and a role two levels down was handed on.
func rotated() map[string][]byte {
	files := map[string][]byte{}
	put := func(version int, role string, data []byte) []byte {
		files[api.FileName(role, int64(version))] = data
		return data
	}
	put(1, "root", rootFile(1, "r1", "k1", "r1"))
	put(2, "root", rootFile(2, "r1", "k2", "r1"))
	put(3, "root", rootFile(3, "r2", "k1", "r1", "r2"))
	t1 := put(1, "targets", delegating(1, "k1", delegate{"role1", "a"}, delegate{"role2", "b"}))
	r11, r21 := put(1, "role1", delegating(1, "a", delegate{"deep", "x"})), put(1, "role2", targetsFile(1, "r2", "b"))
	d1 := put(1, "deep", targetsFile(1, "d1", "x"))
	put(1, "snapshot", snapshotFile(1, "k1", map[string][]byte{"targets": t1, "role1": r11, "role2": r21, "deep": d1}))
	r12 := put(2, "role1", delegating(2, "a", delegate{"deep", "y"}))
	d2 := put(2, "deep", targetsFile(2, "d2", "y"))
	put(2, "snapshot", snapshotFile(2, "k1", map[string][]byte{"targets": t1, "role1": r12, "role2": r21, "deep": d2}))
	t2 := put(2, "targets", delegating(2, "k2", delegate{"role1", "c"}))
	r13 := put(3, "role1", targetsFile(3, "r3", "c"))
	put(3, "snapshot", snapshotFile(3, "k2", map[string][]byte{"targets": t2, "role1": r13}))
	t3 := put(3, "targets", delegating(3, "k1", delegate{"role1", "c"}))
	put(4, "snapshot", snapshotFile(4, "k1", map[string][]byte{"targets": t3, "role1": r13}))
	files["timestamp.json"] = timestampFile(4, "k1")
	return files
}

// All versions of all roles go in, whatever was rotated or withdrawn between them, and
// whatever the order in which they are named.
func TestSubmitAfterDelegationsChanged(t *testing.T) {
	files := rotated()
	for seed := range uint64(4) {
		l := newFake(t, "snapshot", "timestamp")
		dir := release(t, files)
		var paths []string
		for name := range files {
			paths = append(paths, filepath.Join(dir, name))
		}
		slices.Sort(paths)
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(paths), func(a, b int) { paths[a], paths[b] = paths[b], paths[a] })
		r := mustSubmit(t, l.config(), paths...)
		if len(r.Refused()) != 0 || len(r.past()) != 0 || r.Total().Released != 12 {
			t.Fatalf("seed %d: %+v\n%s", seed, r.Total(), outcome(r))
		}
		if r = mustSubmit(t, l.config(), dir); r.Total().Logged != 12 {
			t.Errorf("again: %+v", r.Total())
		}
	}

	// Where the newest version of all was logged alone, the others are of the past, and
	// nothing can be done about it.
	l := newFake(t, "snapshot", "timestamp")
	dir := release(t, files)
	only := func(names ...string) (paths []string) {
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		return paths
	}
	mustSubmit(t, l.config(), only("1.root.json", "2.root.json", "3.root.json", "3.targets.json", "3.role1.json", "4.snapshot.json")...)
	r := mustSubmit(t, l.config(), dir)
	if len(r.Refused()) != 0 || len(r.past()) == 0 {
		t.Errorf("refused %+v, past %+v", r.Refused(), r.past())
	}
	past := map[string]string{}
	for _, v := range r.past() {
		past[filepath.Base(v.File)] = v.Past
	}
	for name, want := range map[string]string{"1.role1.json": "snapshot 4 lists version 3", "1.role2.json": "snapshot 4 lists no role2 any more", "2.deep.json": "lists no deep any more"} {
		if !strings.Contains(past[name], want) {
			t.Errorf("%s: %q, want %q", name, past[name], want)
		}
	}

	// Some tools go on listing a role that nobody delegates to any more.
	one, two, gone := delegating(1, "k1", delegate{"d", "d"}), delegating(2, "k1"), targetsFile(1, "g", "d")
	left := map[string][]byte{"1.root.json": rootFile(1, "r1", "k1", "r1"), "2.targets.json": two, "1.d.json": gone,
		"2.snapshot.json": snapshotFile(2, "k1", map[string][]byte{"targets": two, "d": gone})}
	other := newFake(t, "snapshot")
	if refused := mustSubmit(t, other.config(), release(t, left)).Refused(); len(refused) != 1 || refused[0].Code != api.CodeNotDelegated {
		t.Errorf("without the targets that delegated to it: %+v", refused)
	}
	left["1.targets.json"], left["1.snapshot.json"] = one, snapshotFile(1, "k1", map[string][]byte{"targets": one})
	if r := mustSubmit(t, other.config(), release(t, left)); len(r.Refused()) != 0 || len(r.past()) != 1 || !strings.Contains(r.past()[0].Past, "no longer delegate to d") {
		t.Errorf("with them: refused %+v, past %+v", r.Refused(), r.past())
	}

	// What was never listed may be a mistake, and so may be what is newer than listed.
	write(t, filepath.Join(dir, "1.new.json"), targetsFile(1, "n", "n"))
	write(t, filepath.Join(dir, "4.targets.json"), delegating(4, "k1", delegate{"new", "n"}))
	refused := mustSubmit(t, l.config(), dir).Refused()
	if len(refused) != 2 || refused[0].Code != api.CodeSnapshotNeeded || refused[1].Code != api.CodeNotDelegated || filepath.Base(refused[1].Because) != "4.targets.json" {
		t.Errorf("refused %+v", refused)
	}
}

// The first error is not hidden by those that follow from it.
func TestRefusedBecause(t *testing.T) {
	targets := delegating(1, "k1", delegate{"d", "d"})
	d := targetsFile(1, "x", "d")
	files := func() map[string][]byte {
		return map[string][]byte{"1.root.json": rootFile(1, "r1", "k1", "r1"), "1.targets.json": targets, "1.d.json": d,
			"1.snapshot.json": snapshotFile(1, "k1", map[string][]byte{"targets": targets, "d": d})}
	}
	tests := []struct {
		name     string
		spoil    func(map[string][]byte)
		verdicts []string // file, code and because, causes first
	}{
		{"targets cannot be read", func(f map[string][]byte) {
			f["1.targets.json"] = []byte(strings.Replace(string(targets), `"paths":["*"]`, `"paths":null`, 1))
		},
			[]string{"1.targets.json malformed ", "1.d.json not-delegated 1.targets.json"}},
		{"targets signed by nobody", func(f map[string][]byte) {
			f["1.targets.json"] = delegating(1, "other", delegate{"d", "d"})
			f["1.snapshot.json"] = snapshotFile(1, "k1", map[string][]byte{"targets": f["1.targets.json"], "d": d})
		}, []string{"1.targets.json threshold ", "1.d.json not-delegated 1.targets.json"}},
		{"the snapshot cannot be read", func(f map[string][]byte) {
			f["1.snapshot.json"] = append([]byte("\xef\xbb\xbf"), f["1.snapshot.json"]...)
		},
			[]string{"1.snapshot.json malformed ", "1.d.json not-delegated 1.targets.json", "1.targets.json snapshot-needed 1.snapshot.json"}},
		{"the genesis is signed by nobody", func(f map[string][]byte) { f["1.root.json"] = rootFile(1, "r1", "k1") },
			[]string{"1.root.json threshold ", "1.d.json unknown-repository 1.root.json", "1.snapshot.json unknown-repository 1.root.json", "1.targets.json unknown-repository 1.root.json"}},
		{"a root is signed by nobody", func(f map[string][]byte) {
			f["2.root.json"], f["3.root.json"] = rootFile(2, "r2", "k1", "r2"), rootFile(3, "r3", "k1", "r2", "r3")
		}, []string{"2.root.json threshold ", "3.root.json no-parent 2.root.json"}},
	}
	for _, tt := range tests {
		f := files()
		tt.spoil(f)
		l := newFake(t, "snapshot")
		r := mustSubmit(t, l.config(), release(t, f))
		var got []string
		for _, v := range r.Refused() {
			because := ""
			if v.Because != "" {
				because = filepath.Base(v.Because)
			}
			got = append(got, fmt.Sprintf("%s %s %s", filepath.Base(v.File), v.Code, because))
		}
		if !slices.Equal(got, tt.verdicts) {
			t.Errorf("%s:\n%q\nwant\n%q", tt.name, got, tt.verdicts)
		}
		var b strings.Builder
		if err := r.WriteFiles(&b); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), "because "+strings.Fields(tt.verdicts[0])[0]+" is refused: ") {
			t.Errorf("%s:\n%s", tt.name, b.String())
		}
	}
}

// evolving is a repository that changes step by step and keeps all versions.
type evolving struct {
	random   *rand.Rand
	files    map[string][]byte
	versions map[string]int
	current  map[string][]byte // of targets and the delegated roles
	keys     map[string]key    // of root, targets, snapshot and each role
	roles    []string          // that are delegated now
	parent   map[string]string
	made     int
	hashes   bool
}

func (e *evolving) newKey() key { e.made++; return key(fmt.Sprint("e", e.made)) }

func (e *evolving) put(role string, data []byte) {
	e.files[api.FileName(role, int64(e.versions[role]))] = data
	e.current[role] = data
}

func (e *evolving) root(signers ...key) {
	e.versions["root"]++
	e.put("root", signed("root", e.versions["root"], object{"consistent_snapshot": true, "keys": keyTable([]key{e.keys["root"], e.keys["targets"], e.keys["snapshot"]}),
		"roles": object{"root": keyRole(e.keys["root"]), "targets": keyRole(e.keys["targets"]), "snapshot": keyRole(e.keys["snapshot"]), "timestamp": keyRole(e.keys["snapshot"])}}, append(signers, e.keys["root"])...))
}

func (e *evolving) publish(role string) {
	e.versions[role]++
	var to []delegate
	for _, r := range e.roles {
		if e.parent[r] == role {
			to = append(to, delegate{r, e.keys[r]})
		}
	}
	e.put(role, delegating(e.versions[role], e.keys[role], to...))
}

func (e *evolving) snapshot() {
	e.versions["snapshot"]++
	list := map[string][]byte{"targets": e.current["targets"]}
	for _, r := range e.roles {
		list[r] = e.current[r]
	}
	data := snapshotFile(e.versions["snapshot"], e.keys["snapshot"], list)
	if !e.hashes {
		meta := object{}
		for r := range list {
			meta[r+".json"] = object{"version": e.versions[r]}
		}
		data = signed("snapshot", e.versions["snapshot"], object{"meta": meta}, e.keys["snapshot"])
	}
	e.files[api.FileName("snapshot", int64(e.versions["snapshot"]))] = data
}

// step changes something that vendors change.
func (e *evolving) step() {
	role := func() string { return e.roles[e.random.IntN(len(e.roles))] }
	switch n := e.random.IntN(8); {
	case n == 0:
		old := e.keys["root"]
		e.keys["root"] = e.newKey()
		e.root(old)
	case n == 1:
		e.keys["targets"] = e.newKey()
		e.root()
		e.publish("targets")
	case n == 2:
		e.keys["snapshot"] = e.newKey()
		e.root()
	case n == 3 && len(e.roles) > 0:
		r := role()
		e.keys[r] = e.newKey()
		e.publish(e.parent[r])
		e.publish(r)
	case n == 4 && len(e.roles) > 0: // with all that it delegates to
		gone := map[string]bool{role(): true}
		for range e.roles {
			for _, r := range e.roles {
				gone[r] = gone[r] || gone[e.parent[r]]
			}
		}
		var parents []string
		for r := range gone {
			if gone[r] && !gone[e.parent[r]] {
				parents = append(parents, e.parent[r])
			}
		}
		e.roles = slices.DeleteFunc(e.roles, func(r string) bool { return gone[r] })
		e.publish(parents[0])
	case n <= 6 && len(e.roles) < 5:
		r := fmt.Sprint("role", e.random.IntN(7))
		if slices.Contains(e.roles, r) {
			return
		}
		parents := append([]string{"targets"}, e.roles...)
		e.parent[r] = parents[e.random.IntN(len(parents))]
		if e.keys[r] == "" || e.random.IntN(2) == 0 {
			e.keys[r] = e.newKey()
		}
		e.roles = append(e.roles, r)
		e.publish(e.parent[r])
		e.publish(r)
	case len(e.roles) > 0:
		e.publish(role())
	default:
		e.publish("targets")
	}
	e.snapshot()
}

// Whatever a repository went through, all of it can be logged from the folder that has
// all versions, in whatever order the files are named.
func TestSubmitEvolved(t *testing.T) {
	seeds := uint64(30)
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		e := &evolving{random: rand.New(rand.NewPCG(seed, 1)), files: map[string][]byte{}, versions: map[string]int{}, current: map[string][]byte{},
			keys: map[string]key{}, parent: map[string]string{}, hashes: seed%2 == 0}
		for _, r := range []string{"root", "targets", "snapshot"} {
			e.keys[r] = e.newKey()
		}
		e.root()
		e.publish("targets")
		e.snapshot()
		for range 12 {
			e.step()
		}
		dir := release(t, e.files)
		var paths []string
		for name := range e.files {
			paths = append(paths, filepath.Join(dir, name))
		}
		slices.Sort(paths)
		e.random.Shuffle(len(paths), func(a, b int) { paths[a], paths[b] = paths[b], paths[a] })
		l := newFake(t, "snapshot")
		r := mustSubmit(t, l.config(), paths...)
		if want := len(paths) - e.versions["snapshot"]; r.Total().Released != want {
			slices.SortFunc(r.Files, func(a, b Verdict) int { return strings.Compare(a.Role, b.Role)*1000 + int(a.Version-b.Version) })
			t.Errorf("seed %d: %d of %d released\n%s", seed, r.Total().Released, want, outcome(r))
		}
	}
}
