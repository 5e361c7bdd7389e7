package registry

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

// This file judges files whose roles share keys and whose snapshots list versions
// only, with a part of the repository in memory.

type obj = map[string]any

var forgedKeys = map[string]ed25519.PrivateKey{}

func forgedKey(name string) ed25519.PrivateKey {
	if k, ok := forgedKeys[name]; ok {
		return k
	}
	seed := tuf.Sum([]byte("key " + name))
	forgedKeys[name] = ed25519.NewKeyFromSeed(seed[:])
	return forgedKeys[name]
}

func forgedRole(keys obj, who string) obj {
	names, th, ok := strings.Cut(who, "/")
	n := 1
	if ok {
		n, _ = strconv.Atoi(th)
	}
	ids := []string{}
	for _, id := range strings.Fields(names) {
		ids = append(ids, id)
		keys[id] = obj{"keytype": "ed25519", "scheme": "ed25519", "keyval": obj{"public": hex.EncodeToString(forgedKey(id).Public().(ed25519.PublicKey))}}
	}
	return obj{"keyids": ids, "threshold": n}
}

func forgedHead(typ string, v int64) obj {
	return obj{"_type": typ, "spec_version": "1.0.31", "version": v, "expires": "2030-01-02T03:04:05Z"}
}

// forge signs metadata with the keys of these names, each under its name.
func forge(t *testing.T, m obj, signers ...string) *tuf.Metadata {
	t.Helper()
	payload, err := cjson.EncodeCanonical(m)
	if err != nil {
		t.Fatal(err)
	}
	sigs := []any{}
	seen := map[string]bool{}
	for _, s := range signers {
		if seen[s] {
			continue
		}
		seen[s] = true
		sigs = append(sigs, obj{"keyid": s, "sig": hex.EncodeToString(ed25519.Sign(forgedKey(s), payload))})
	}
	file, _ := json.Marshal(obj{"signatures": sigs, "signed": json.RawMessage(payload)})
	md, err := tuf.ParseJSON(file)
	if err != nil {
		t.Fatal(err, string(file))
	}
	return md
}

// forgedTargets delegates, to each name with a key, every path.
func forgedTargets(version int64, path string, delegations ...[2]string) obj {
	m := forgedHead(tuf.RoleTargets, version)
	m["targets"] = obj{path: obj{"length": 1, "hashes": obj{"sha256": tuf.Sum([]byte(path)).String()}}}
	keys, list := obj{}, []any{}
	for _, d := range delegations {
		role := forgedRole(keys, d[1])
		role["name"], role["paths"], role["terminating"] = d[0], []string{"*"}, false
		list = append(list, role)
	}
	if len(list) > 0 {
		m["delegations"] = obj{"keys": keys, "roles": list}
	}
	return m
}

// tailWorld is a repository twice: the whole, and the part that a registry keeps of it.
type tailWorld struct {
	t        *testing.T
	blobs    mapBlobs
	whole    *admit.Repository
	state    *slowState
	registry *Registry
	next     int64
}

func newTailWorld(t *testing.T, targets string) *tailWorld {
	t.Helper()
	w := &tailWorld{t: t, blobs: mapBlobs{}, next: 1}
	keys := obj{}
	m := forgedHead(tuf.RoleRoot, 1)
	m["consistent_snapshot"] = true
	m["roles"] = obj{"root": forgedRole(keys, "r1"), "targets": forgedRole(keys, targets), "snapshot": forgedRole(keys, "s1"), "timestamp": forgedRole(keys, "x1")}
	m["keys"] = keys
	root := forge(t, m, "r1")
	w.blobs[root.FileDigest] = root.File
	genesis, err := admit.JudgeGenesis(root)
	if err == nil {
		w.whole, err = admit.NewRepository(genesis.Leaf, 0, w.blobs)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.state = &slowState{records: slices.Clone(w.whole.Records())}
	w.registry = New(w.blobs, w.state, func() int64 { return w.state.records[len(w.state.records)-1].Index + 1 }, nil)
	w.registry.keepVersions = 1
	return w
}

// reload lets the state catch up, and the registry read its part again.
func (w *tailWorld) reload() {
	w.state.records = slices.Clone(w.whole.Records())
	w.registry.mu.Lock()
	defer w.registry.mu.Unlock()
	if repo := w.registry.repos[w.whole.ID()]; repo != nil {
		w.registry.drop(repo, w.registry.applied())
	}
}

// release judges a file beside a snapshot that lists its version, by the whole and by
// the part, and logs it.
func (w *tailWorld) release(role string, m *tuf.Metadata) {
	w.t.Helper()
	s := forgedHead(tuf.RoleSnapshot, w.next)
	s["meta"] = obj{role + ".json": obj{"version": m.Version}}
	snapshot := forge(w.t, s, "s1")
	w.blobs[m.FileDigest], w.blobs[snapshot.FileDigest] = m.File, snapshot.File
	want, err := w.whole.Judge(w.t.Context(), role, m, []*tuf.Metadata{snapshot})
	if err != nil || want.Logged {
		w.t.Fatalf("%s %d: %+v, %v", role, m.Version, want, err)
	}
	repo, err := w.registry.Get(w.t.Context(), w.whole.ID())
	if err != nil {
		w.t.Fatal(err)
	}
	if got, err := w.registry.Judge(w.t.Context(), repo, role, m, []*tuf.Metadata{snapshot}); err != nil || got != want {
		w.t.Fatalf("%s %d: %+v, %v; the whole says %+v", role, m.Version, got, err, want)
	}
	rec := admit.Record{Index: w.next, Leaf: want.Leaf}
	w.next++
	if err := w.whole.Apply(rec.Index, rec.Leaf); err != nil {
		w.t.Fatal(err)
	}
	if err := w.registry.apply(w.t.Context(), rec); err != nil {
		w.t.Fatal(err)
	}
}

// What a file itself delegates explains a payload through what was released long ago,
// at a place that nothing has now.
func TestTailOfWhatAFileDelegates(t *testing.T) {
	w := newTailWorld(t, "t1")
	w.release("targets", forge(t, forgedTargets(1, "x", [2]string{"a", "a1"}, [2]string{"z", "z1"}), "t1"))
	w.release("z", forge(t, forgedTargets(1, "x", [2]string{"w", "a1"}), "z1"))
	w.release("targets", forge(t, forgedTargets(2, "x", [2]string{"a", "a1"}, [2]string{"z", "z2"}), "t1"))
	w.release("z", forge(t, forgedTargets(2, "x"), "z2"))
	w.release("a", forge(t, forgedTargets(3, "of w"), "a1"))
	w.reload()
	w.release("a", forge(t, forgedTargets(3, "own", [2]string{"z", "z1"}), "a1"))
}

// A payload that is in memory alone is explained by a release that the state has alone.
func TestTailBeforeTheState(t *testing.T) {
	w := newTailWorld(t, "t1")
	w.release("targets", forge(t, forgedTargets(1, "x", [2]string{"a", "a1"}, [2]string{"c", "a1"}), "t1"))
	shared := forge(t, forgedTargets(3, "of c"), "a1")
	w.release("c", shared)
	w.release("targets", forge(t, forgedTargets(2, "x", [2]string{"a", "a1"}, [2]string{"c", "c2"}), "t1"))
	w.release("c", forge(t, forgedTargets(4, "x"), "c2"))
	w.reload()
	w.release("a", shared)
	w.release("a", forge(t, forgedTargets(3, "own"), "a1"))
}
