package admit_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// After a rotation the signatures of two logged files, each of which falls short
// by itself, may together meet the threshold. A file with both must become a
// release: nothing else would stand, so that the role's delegations were gone and
// a second payload of the version no evidence, although devices accept both.
func ruleSignedTogether(t *testing.T) {
	w := newWorld(t, topLevel{"r1", "k1 k2 k3/2", "s1", "x1"})
	signed := forgedTargets(5, "x", delegation{name: "d", who: "d1"})
	w.released("targets", forge(t, signed, "k1", "k2"))
	second := w.released("targets", forge(t, signed, "k2", "k3"))
	w.isCurrent(t.Context(), second, "targets")
	w.rotate(2, topLevel{"r1", "k1 k3/2", "s1", "x1"})
	w.isCurrent(t.Context(), -1, "targets")

	// Less than the threshold is what is logged already.
	w.logged(second, "targets", forge(t, signed, "k1"))

	third := w.released("targets", forge(t, signed, "k1", "k3"))
	w.isCurrent(t.Context(), third, "targets")
	w.released("d", w.targets("d1", 1, "y"))
	w.evidence(third, "targets", w.targets("k1 k3", 5, "z"))
	w.logged(third, "targets", forge(t, signed, "k3", "k1")) // it is said once
}

// junkSigned is metadata with signatures under the ids k0, k1 and so on, all of
// them made by nobody.
func junkSigned(t testing.TB, signed map[string]any, ids int) *tuf.Metadata {
	t.Helper()
	var signers []string
	for i := range ids {
		signers = append(signers, fmt.Sprint("-k", i))
	}
	return parse(t, forge(t, signed, signers...))
}

// padded adds a field that readers do not know.
func padded(signed map[string]any, size int) map[string]any {
	signed["x"] = strings.Repeat("x", size)
	return signed
}

// Whoever has a repository chooses its keys and signatures. What a judgement costs
// must not grow with the history that he makes, or with what he sends beside.
func TestJudgementsAreBounded(t *testing.T) {
	const ids, roots, size = 16, 60, 256 << 10
	root := func(version int64) map[string]any {
		m := forgedRoot(version, topLevel{"r1", "t1", "k0 k1 k2 k3 k4 k5 k6 k7 k8 k9 k10 k11 k12 k13 k14 k15", "x1"})
		// The targets have the same ids in each root, and other keys.
		var list []string
		for i := range ids {
			list = append(list, fmt.Sprint("k", i))
			m["keys"].(map[string]any)[fmt.Sprint("k", i)] = publicKey(fmt.Sprint("k", version, "-", i))
		}
		m["roles"].(map[string]any)["targets"] = map[string]any{"keyids": list, "threshold": 1}
		return m
	}
	w := &world{prefix: newPrefix(t, forge(t, root(1), "r1"))}
	for version := int64(2); version <= roots; version++ {
		w.mustRelease(tuf.RoleRoot, forge(t, root(version), "r1"))
	}
	newest := parse(t, forge(t, root(roots), "r1")).Root
	large := junkSigned(t, padded(forgedTargets(1, "x"), size), ids)
	began := time.Now()
	if large.Meets(newest.KeySet(tuf.RoleTargets)) == nil {
		t.Fatal("junk meets a threshold")
	}
	once := time.Since(began)
	// On a busy machine any one time may be long: what is unbounded always takes it.
	bounded := func(what string, do func()) {
		t.Helper()
		var took time.Duration
		for range 10 {
			began := time.Now()
			do()
			if took = time.Since(began); took <= 20*once {
				return
			}
			w.repo = restarted(t, w.prefix) // which remembers nothing of it
		}
		t.Errorf("%s takes %v, looking at the signatures of one such file %v", what, took, once)
	}
	bounded("a file that nobody signed", func() {
		if _, err := w.repo.Judge(t.Context(), tuf.RoleTargets, large, nil); !admit.IsRefused(err) {
			t.Errorf("got %v", err)
		}
	})
	// Whoever signed it once does not make it dearer.
	signed := padded(forgedTargets(1, "x"), size)
	var names []string
	for i := 1; i < ids; i++ {
		names = append(names, fmt.Sprint("-k", i))
	}
	file := forgeAs(t, signed, "k0", "k1-0", names...)
	bounded("a file signed by a key of the first root", func() {
		if _, err := w.repo.Judge(t.Context(), tuf.RoleTargets, parse(t, file), nil); !admit.IsRefused(err) {
			t.Errorf("got %v", err)
		}
	})
	snapshot := junkSigned(t, padded(forgedSnapshot(1, map[string]map[string]any{"targets": plain(1), "a": plain(1)}), size), ids)
	bounded("forty files beside a snapshot that nobody signed", func() {
		for i := range 40 {
			file := forgeAs(t, forgedTargets(1, fmt.Sprint(i)), "k0", fmt.Sprint("k", roots, "-0"))
			if _, err := w.repo.Judge(t.Context(), tuf.RoleTargets, parse(t, file), []*tuf.Metadata{snapshot}); !admit.IsRefused(err) {
				t.Fatalf("got %v", err)
			}
		}
	})
}

// Of a large payload few signatures are looked at: each costs a pass over it.
func TestSignaturesOfLargePayloads(t *testing.T) {
	if testing.Short() {
		t.Skip("signs and checks some hundred MB")
	}
	signed := padded(forgedTargets(1, "x"), 4<<20)
	looked := tuf.MaxSigned / len(parse(t, forge(t, signed)).Payload)
	if looked < 10 || looked > 200 {
		t.Fatalf("%d signatures are looked at", looked)
	}
	var junk []string
	var by who = "t1 "
	for i := range looked {
		junk = append(junk, fmt.Sprint("-j", i))
		by += who(fmt.Sprint("j", i, " "))
	}
	keys := parse(t, forge(t, forgedRoot(1, topLevel{"r1", by, "s1", "x1"}), "r1")).Root.KeySet(tuf.RoleTargets)
	// Those under ids that the role does not have are not looked at anyway.
	others := []string{"-o1", "-o2", "-o3"}
	if err := parse(t, forge(t, signed, slices.Concat(others, junk[1:], []string{"t1"})...)).Meets(keys); err != nil {
		t.Errorf("the last signature that is looked at: %v", err)
	}
	if parse(t, forge(t, signed, append(junk, "t1")...)).Meets(keys) == nil {
		t.Error("one more is looked at")
	}
}

// forgeAs signs metadata with one key under an id, beside other signatures.
func forgeAs(t testing.TB, signed map[string]any, id, key string, more ...string) []byte {
	t.Helper()
	var f struct {
		Signatures []map[string]string `json:"signatures"`
		Signed     json.RawMessage     `json:"signed"`
	}
	if err := json.Unmarshal(forge(t, signed, append([]string{key}, more...)...), &f); err != nil {
		t.Fatal(err)
	}
	f.Signatures[0]["keyid"] = id
	file, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// All current releases at once are those of each role, and are not looked for role
// by role: a vendor may have renamed thousands of bins.
func TestCurrents(t *testing.T) {
	w := newWorld(t, usual)
	logBins := func(prefix string) {
		file := w.targets("k1", 1, prefix)
		m := parse(t, file)
		w.blobs[m.FileDigest] = file
		for i := range 1 << 9 {
			leaf := leaf.Leaf{
				Kind: leaf.Release, Repository: w.repo.ID(), Role: fmt.Sprintf("%s-%03x", prefix, i), Version: 1, Payload: m.PayloadDigest,
				Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON,
			}
			if err := w.repo.Apply(w.next, leaf); err != nil {
				t.Fatal(err)
			}
			w.next++
		}
	}
	w.released("targets", forge(t, forgedBins(1, "old", 9, "k1"), "t1"))
	logBins("old")
	w.released("targets", forge(t, forgedBins(2, "new", 9, "k1"), "t1"))
	logBins("new")

	compare := func() {
		t.Helper()
		before := w.reads
		all, err := w.repo.Currents(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// Each file is read once, however many roles there are.
		if read := w.reads - before; read > len(w.repo.Records()) {
			t.Errorf("%d files are read", read)
		}
		of := map[string]admit.Record{}
		for _, rec := range all {
			if _, ok := of[rec.Leaf.Role]; ok {
				t.Errorf("%s is there twice", rec.Leaf.Role)
			}
			of[rec.Leaf.Role] = rec
		}
		roles := map[string]bool{}
		for _, rec := range w.repo.Records() {
			if roles[rec.Leaf.Role] {
				continue
			}
			roles[rec.Leaf.Role] = true
			want, ok, err := w.repo.Current(t.Context(), rec.Leaf.Role)
			if got, has := of[rec.Leaf.Role]; err != nil || has != ok || got != want {
				t.Errorf("%s: %+v, %v; want %+v, %v, %v", rec.Leaf.Role, got, has, want, ok, err)
			}
		}
	}
	compare()
	w.rotate(2, topLevel{"r1", "t2", "s1", "x1"})
	all, err := w.repo.Currents(t.Context())
	if err != nil || len(all) != 1 || all[0].Leaf.Role != tuf.RoleRoot {
		t.Errorf("after a rotation: %d are current, %v", len(all), err)
	}
}
