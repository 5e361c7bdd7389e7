package admit_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// fuzzedKeys sign what the fuzzer writes: one bit of a mask for each.
var fuzzedKeys = []string{"r1", "r2", "t1", "t2", "t1=x", "s1", "x1", "a1", "a2", "k1", "u1", "r3", "-t2", "-s1"}

// fuzzedRoles is who may sign in the repository that the fuzzer submits to.
var fuzzedRoles = map[string]who{"root": "r1 r2/2", "targets": "t1 t1=x t2 u1/2", "snapshot": "s1", "timestamp": "x1", "a": "a1 a2/2", "b": "k1", "c": "k1"}

// signText signs metadata given as JSON, if it is JSON that has a canonical form
// and the reader takes it; otherwise the text is the file.
func signText(signed []byte, mask uint16) []byte {
	m, err := tuf.ParseJSON(slices.Concat([]byte(`{"signatures":[],"signed":`), signed, []byte("}")))
	if err != nil {
		return signed
	}
	var b strings.Builder
	for _, name := range chosen(mask) {
		name, wrong := strings.CutPrefix(name, "-")
		sig := ed25519.Sign(forgedKey(name), m.Payload)
		if wrong {
			sig[9] ^= 1
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"keyid":%q,"sig":"%s"}`, name, hex.EncodeToString(sig))
	}
	return slices.Concat([]byte(`{"signatures":[`+b.String()+`],"signed":`), signed, []byte("}"))
}

func chosen(mask uint16) (names []string) {
	for i, name := range fuzzedKeys {
		if mask&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// enough counts once more, from what the test knows, whether the signers chosen
// meet a role.
func enough(role who, mask uint16) bool {
	keys, threshold := role.parse()
	signed := map[string]bool{}
	for _, name := range chosen(mask) {
		if base, _, _ := strings.Cut(name, "="); slices.Contains(keys, name) && name[0] != 'u' && name[0] != '-' {
			signed[base] = true
		}
	}
	return len(signed) >= threshold
}

// fuzzedRepository is small: root 1, targets 1 that delegates to a and b, and b 1
// that delegates to c.
func fuzzedRepository(t testing.TB) *world {
	roles := topLevel{fuzzedRoles["root"], fuzzedRoles["targets"], fuzzedRoles["snapshot"], fuzzedRoles["timestamp"]}
	w := &world{prefix: newPrefix(t, forge(t, forgedRoot(1, roles), "r1", "r2"))}
	w.released("targets", w.targets("t1 t2", 1, "x", delegation{name: "a", who: fuzzedRoles["a"]}, delegation{name: "b", who: fuzzedRoles["b"]}))
	w.released("b", w.targets("k1", 1, "b", delegation{name: "c", who: fuzzedRoles["c"]}, delegation{name: "a", who: "k1"}))
	return w
}

// FuzzJudge submits anything, signed by anybody, to a small repository. Nothing
// panics, and nothing is admitted that the role's keys have not signed or, being
// targets metadata, no signed snapshot lists.
func FuzzJudge(f *testing.F) {
	text := func(signed map[string]any) []byte {
		b, err := cjson.EncodeCanonical(signed)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	const all = 1<<14 - 1
	next := forgedRoot(2, topLevel{"r3", "t1", "s1", "x1"})
	listing := text(forgedSnapshot(1, map[string]map[string]any{"targets": plain(2), "a": plain(2), "b": plain(1), "c": plain(7)}))
	f.Add("root", text(next), uint16(all), []byte{}, uint16(0))
	f.Add("root", text(next), uint16(1|1<<11), []byte{}, uint16(0))
	f.Add("targets", text(forgedTargets(2, "x")), uint16(all), listing, uint16(all))
	f.Add("targets", text(forgedTargets(2, "x")), uint16(1<<2|1<<4|1<<10|1<<12), listing, uint16(all))
	f.Add("targets", text(forgedTargets(1, "y")), uint16(all), text(forgedSnapshot(1, map[string]map[string]any{"targets": plain(1)})), uint16(1<<5))
	f.Add("a", text(forgedTargets(2, "x")), uint16(1<<7|1<<8), listing, uint16(1<<5))
	f.Add("b", text(forgedTargets(1, "z")), uint16(1<<9), listing, uint16(1<<5))
	f.Add("c", text(forgedTargets(7, "z", delegation{name: "b", who: "k1"})), uint16(1<<9), listing, uint16(1<<5|1<<13))
	f.Add("snapshot", listing, uint16(1<<5), listing, uint16(1<<5))
	f.Add("timestamp", text(forgedTimestamp(1, 1)), uint16(1<<6), []byte("{}"), uint16(0))
	f.Add("\xff", []byte(`{"signatures":[],"signed":{}}`), uint16(0), []byte("null"), uint16(0))

	f.Fuzz(func(t *testing.T, role string, signed []byte, signers uint16, listing []byte, listers uint16) {
		file, snapshot := signText(signed, signers), signText(listing, listers)
		m, err := tuf.ParseJSON(file)
		if err != nil {
			return
		}
		var snapshots []*tuf.Metadata
		if s, err := tuf.ParseJSON(snapshot); err == nil {
			snapshots = append(snapshots, s)
		}
		w := fuzzedRepository(t)
		for _, rec := range w.repo.Records() {
			if rec.Leaf.Role == role && rec.Leaf.Payload == m.PayloadDigest {
				return
			}
		}
		d, err := w.repo.Judge(t.Context(), role, m, snapshots)
		if err != nil {
			if !admit.IsRefused(err) {
				t.Fatalf("%q %s: %v", role, file, err)
			}
			return
		}
		by, ok := fuzzedRoles[role]
		if !ok || !enough(by, signers) {
			t.Fatalf("%q %s is judged %+v; want it refused: the role is of %q", role, file, d, by)
		}
		if m.Type == "root" && m.Meets(m.Root.KeySet("root")) != nil {
			t.Fatalf("%s is judged %+v; want it refused: it does not meet its own threshold", file, d)
		}
		if m.Type == "targets" && (len(snapshots) == 0 || snapshots[0].Snapshot == nil || !enough("s1", listers) ||
			listedVersion(snapshots[0], role) != m.Version || d.Leaf.Snapshot != snapshots[0].FileDigest) {
			t.Fatalf("%q %s is judged %+v beside %s; want it refused", role, file, d, snapshot)
		}
		logThen(t, w, role, m, snapshots, d)
	})
}

// listedVersion is the version of a role that a snapshot lists, 0 if none.
func listedVersion(snapshot *tuf.Metadata, role string) int64 {
	listed, _ := snapshot.Snapshot.File(role + ".json")
	return listed.Version
}

// logThen logs a leaf and judges the same file again: it is there already.
func logThen(t *testing.T, w *world, role string, m *tuf.Metadata, snapshots []*tuf.Metadata, d admit.Decision) {
	t.Helper()
	if got, err := leaf.Parse(d.Leaf.Marshal()); err != nil || got != d.Leaf {
		t.Fatalf("leaf %s: %+v, %v", d.Leaf.Marshal(), got, err)
	}
	if d.Logged || d.Leaf.Payload != m.PayloadDigest || d.Leaf.Metadata != m.FileDigest || d.Leaf.Version != m.Version {
		t.Fatalf("%s is judged %+v", m.File, d)
	}
	w.blobs[m.FileDigest] = m.File
	if err := w.repo.Apply(w.next, d.Leaf); err != nil {
		t.Fatal(err)
	}
	again, err := w.repo.Judge(t.Context(), role, m, snapshots)
	if err != nil || !again.Logged || again.Index != w.next || again.Leaf != d.Leaf {
		t.Fatalf("%s is judged %+v, and again %+v, %v", m.File, d, again, err)
	}
}
