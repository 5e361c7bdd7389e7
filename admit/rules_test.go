package admit_test

import (
	"os"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

// rules quotes every rule by which files are admitted (docs/rules.md) with a test that shows both sides of it.
var rules = []struct {
	says string
	test func(*testing.T)
}{
	{`The file parses strictly ("Strictness"); its encoding is the repository's; its type is the role's.`, ruleEncoding},
	{"SHA-256 of the payload of the first root registered for it (its genesis; any version)", ruleRepository},
	{"Identity is always the payload.", rulePayload},
	{"the genesis meets its own threshold", ruleGenesis},
	{"any other meets that of the released root v-1 and its own", ruleRoots},
	{"the root's entry is the one place of targets, snapshot and timestamp", ruleTopLevel},
	{"The walk begins at targets and follows the delegations of every current release.", ruleWalk},
	{"Names of top-level roles cannot be delegated.", ruleTopLevelNames},
	{"it counts only beside a snapshot that meets the current root's threshold and lists ROLE.json at this version, with hash and length where given", ruleSnapshot},
	{"That snapshot is kept as a blob and named in the leaf, which says hash or version.", ruleSnapshotNamed},
	{"A targets file or a delegated one does not name its own role; the submitter does (by file name)", rulePassingOff},
	{"a rival stands at a place while it meets it; roots always stand", ruleStands},
	{"Current at a place are, of the releases that meet it, all of the highest version.", ruleCurrent},
	{"It is signed again if, at a place that it fits, a key signed it that signed none of the released files,", ruleSignedAgain},
	{"or none of them meets the place any more", ruleSignedTogether},
	{"Logged payloads stay logged, even if the keys have changed", ruleStaysLogged},
	{"A root with a payload that is logged returns its index, with any signatures", ruleRootAgain},
	{"a bound file is evidence, once per role and version (later ones return that index)", ruleEvidence},
	{"it is released as another role's too, or fits a place of another role (targets included)", ruleSharedPayload},
	{"it fits it if, moreover, it is bound or every delegation on the way covers every path that it lists", ruleCovered},
	{"Of one name 64 places count; those whose way covers the file's paths come first.", ruleManyPlaces},
	{"Of one role and version at most 64 payloads that are released unbound, and not as another role's too, list or delegate something, and at most 64 do not.", ruleManyPayloads},
	{"Gaps, late versions, and versions used again after a rotation are for auditors to report.", ruleEverythingElse},
	{"superseded where only keys signed that roots no longer give the role", ruleSuperseded},
	{"Expiry is not judged", ruleExpiry},
	{"A key of an unknown type is ignored, and does not fail a role if other keys meet its threshold", ruleUnknownKeys},
	{"one public key counts once, under however many ids, one signature once", ruleCountOnce},
	{"Key ids are labels", ruleLabels},
}

func TestRules(t *testing.T) {
	design, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	// Without markup, on one line.
	text := strings.Join(strings.Fields(strings.NewReplacer("`", "", "*", "").Replace(string(design))), " ")
	for _, rule := range rules {
		if !strings.Contains(text, rule.says) {
			t.Errorf("the design does not say %q", rule.says)
		}
		t.Run(rule.says, rule.test)
	}
}

func ruleEncoding(t *testing.T) {
	w := newWorld(t, usual)
	file := w.targets("t1", 1, "x")
	m := parse(t, file)
	m.Encoding = tuf.Pigweed
	snapshot := parse(t, w.beside("targets", file))
	if _, err := w.repo.Judge(t.Context(), "targets", m, []*tuf.Metadata{snapshot}); err == nil || !strings.HasPrefix(err.Error(), admit.RefusedEncoding) {
		t.Errorf("a file in another encoding: %v", err)
	}
	// A snapshot in another encoding is none.
	snapshot.Encoding = tuf.Pigweed
	if _, err := w.repo.Judge(t.Context(), "targets", parse(t, file), []*tuf.Metadata{snapshot}); err == nil || !strings.HasPrefix(err.Error(), admit.RefusedSnapshotNeeded) {
		t.Errorf("a snapshot in another encoding: %v", err)
	}
	if _, err := tuf.ParseJSON([]byte(strings.Replace(string(file), `"version":1`, `"version":1,"version":1`, 1))); err == nil {
		t.Error("a file that repeats a name parses")
	}
	w.released("targets", file)
}

func ruleRepository(t *testing.T) {
	for _, version := range []int64{1, 7} {
		root := forge(t, forgedRoot(version, usual), "r1")
		p := newPrefix(t, root)
		if p.repo.ID() != parse(t, root).PayloadDigest {
			t.Errorf("the repository is %v", p.repo.ID())
		}
		p.mustBeLogged(0, tuf.RoleRoot, root)
		p.mustRelease(tuf.RoleRoot, forge(t, forgedRoot(version+1, usual), "r1"))
		if version > 1 {
			p.mustBeRefused(admit.RefusedNoParent, tuf.RoleRoot, forge(t, forgedRoot(version-1, usual), "r1"))
			p.mustBeRefused(admit.RefusedNoParent, tuf.RoleRoot, forge(t, forgedRoot(version, topLevel{"r1", "t2", "s1", "x1"}), "r1"))
		}
	}
}

// A payload comes in many files: signatures in another order, more of them, white
// space. They are one release.
func rulePayload(t *testing.T) {
	w := newWorld(t, topLevel{"r1", "t1 t2/2", "s1", "x1"})
	signed := forgedTargets(1, "x")
	file := forge(t, signed, "t1", "t2")
	at := w.released("targets", file)
	for _, same := range [][]byte{
		forge(t, signed, "t2", "t1"), forge(t, signed, "t1", "t2", "k1"), append(file[:len(file):len(file)], '\n'),
		[]byte(strings.ReplaceAll(string(file), `{"_type"`, `{ "_type"`)),
	} {
		w.logged(at, "targets", same)
	}
	w.evidence(at, "targets", forge(t, forgedTargets(1, "y"), "t1", "t2"))
}

func ruleGenesis(t *testing.T) {
	for _, test := range []struct {
		root    who
		signers string
		enough  bool
	}{
		{"r1", "r1", true},
		{"r1 r2/2", "r1 r2", true},
		{"r1 r2/2", "r1", false},
		{"r1 r2/2", "r1 -r2", false},
		{"r1 r1=x/2", "r1 r1=x", false},
		{"r1 r1=x", "r1=x", true},
		{"r1", "r2", false},
		{"r1", "t1", false},
		{"r1 u1/2", "r1 u1", false},
		{"r1 u1", "r1 u1", true},
		{"u1", "u1", false},
		{"r1", "", false},
	} {
		file := forge(t, forgedRoot(1, topLevel{test.root, "t1", "s1", "x1"}), strings.Fields(test.signers)...)
		if _, err := admit.JudgeGenesis(parse(t, file)); (err == nil) != test.enough {
			t.Errorf("root of %s signed by %q: %v", test.root, test.signers, err)
		}
	}
	for _, signed := range []map[string]any{forgedTargets(1, "x"), forgedSnapshot(1, nil), forgedTimestamp(1, 1)} {
		if _, err := admit.JudgeGenesis(parse(t, forge(t, signed, "r1", "t1", "s1", "x1"))); err == nil {
			t.Errorf("%v begins a repository", signed["_type"])
		}
	}
}

func ruleRoots(t *testing.T) {
	two := topLevel{"r1 r2/2", "t1", "s1", "x1"}
	three := topLevel{"r3", "t1", "s1", "x1"}
	w := newWorld(t, two)
	root := func(version int64, roles topLevel, signers ...string) []byte {
		return forge(t, forgedRoot(version, roles), signers...)
	}
	w.mustBeRefused(admit.RefusedThreshold, "root", root(2, three, "r1", "r2"))      // not its own
	w.mustBeRefused(admit.RefusedThreshold, "root", root(2, three, "r3"))            // not the one before
	w.mustBeRefused(admit.RefusedThreshold, "root", root(2, three, "r1", "r3"))      // too few of the one before
	w.mustBeRefused(admit.RefusedNoParent, "root", root(3, three, "r1", "r2", "r3")) // not the next
	at := w.mustRelease("root", root(2, three, "r1", "r2", "r3"))                    // both
	w.mustBeEvidence(at, "root", root(2, two, "r1", "r2"))                           // the logged root before it counts, not the current
	w.mustBeRefused(admit.RefusedThreshold, "root", root(3, usual, "r1", "r2"))      // signed by a root that is past
	w.mustBeRefused(admit.RefusedThreshold, "root", root(3, usual, "r3"))            // not its own
	w.mustRelease("root", root(3, usual, "r3", "r1"))
	w.mustBeRefused(admit.RefusedNoParent, "root", root(1, three, "r1", "r2", "r3")) // before the genesis there is nothing
	w.mustBeRefused(admit.RefusedNoParent, "root", root(1<<53-1, three, "r1", "r2"))
	w.mustBeRefused(admit.RefusedWrongType, "root", forge(t, forgedTimestamp(4, 1), "r1"))
}

func ruleTopLevel(t *testing.T) {
	w := newWorld(t, topLevel{"r1", "t1 t2/2", "s1 s2/2", "x1 x2/2"})
	files := map[string]func(signers ...string) []byte{
		"snapshot":  func(signers ...string) []byte { return forge(t, forgedSnapshot(1, nil), signers...) },
		"timestamp": func(signers ...string) []byte { return forge(t, forgedTimestamp(1, 1), signers...) },
	}
	for role, file := range files {
		a, b := "s1", "s2"
		if role == "timestamp" {
			a, b = "x1", "x2"
		}
		w.mustBeRefused(admit.RefusedThreshold, role, file(a))
		w.mustBeRefused(admit.RefusedThreshold, role, file(a, a, a))
		w.mustBeRefused(admit.RefusedThreshold, role, file("r1", "t1", "t2"))
		at := w.mustRelease(role, file(a, b))
		w.mustBeLogged(at, role, file(a))
	}
	signed := forgedTargets(1, "x")
	snapshot := func(file []byte, signers ...string) []byte {
		return forge(t, forgedSnapshot(9, map[string]map[string]any{"targets": hashed(file, 1)}), signers...)
	}
	short, full := forge(t, signed, "t1"), forge(t, signed, "t2", "t1")
	w.mustBeRefused(admit.RefusedThreshold, "targets", short, snapshot(short, "s1", "s2"))
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "targets", full, snapshot(full, "s1"))
	w.mustRelease("targets", full, snapshot(full, "s1", "s2"))
	// From the next root on its keys count, and nobody else's.
	w.rotate(2, topLevel{"r1", "t3", "s3", "x3"})
	next := forge(t, forgedTargets(2, "x"), "t3")
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "targets", next, forge(t, forgedSnapshot(10, map[string]map[string]any{"targets": hashed(next, 2)}), "s1", "s2"))
	w.mustRelease("targets", next, forge(t, forgedSnapshot(10, map[string]map[string]any{"targets": hashed(next, 2)}), "s3"))
	w.mustBeRefused(admit.RefusedSuperseded, "timestamp", forge(t, forgedTimestamp(2, 2), "x1", "x2"))
	w.mustRelease("timestamp", forge(t, forgedTimestamp(2, 2), "x3"))
}

func ruleSnapshot(t *testing.T) {
	w := newWorld(t, usual)
	file := w.targets("t1", 3, "x")
	listing := func(listed map[string]any, signers ...string) []byte {
		return forge(t, forgedSnapshot(1, map[string]map[string]any{"targets": listed}), signers...)
	}
	with := func(listed map[string]any, name string, value any) map[string]any {
		listed[name] = value
		return listed
	}
	bad := [][]byte{
		listing(hashed(file, 3)),        // not signed
		listing(hashed(file, 3), "-s1"), // badly
		listing(hashed(file, 3), "t1"),  // by another role
		listing(hashed(file, 2), "s1"),  // another version
		listing(plain(4), "s1"),
		listing(hashed(append(file[:len(file):len(file)], ' '), 3), "s1"), // another file of the same payload
		listing(with(hashed(file, 3), "length", len(file)+1), "s1"),
		listing(with(plain(3), "length", len(file)-1), "s1"),
		listing(with(plain(3), "hashes", map[string]any{"sha512": strings.Repeat("00", 64)}), "s1"),
		listing(with(plain(3), "hashes", map[string]any{"newer": "00"}), "s1"), // none that anybody can check
		listing(with(plain(3), "hashes", map[string]any{}), "s1"),
		forge(t, forgedSnapshot(1, map[string]map[string]any{"Targets": plain(3), "targets.json": plain(3)}), "s1"),
		forge(t, forgedSnapshot(1, nil), "s1"),
		forge(t, forgedTimestamp(1, 1), "s1", "x1"),
		file,
	}
	for _, s := range bad {
		w.mustBeRefused(admit.RefusedSnapshotNeeded, "targets", file, s)
	}
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "targets", file)
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "targets", file, bad...)
	for _, good := range []map[string]any{hashed(file, 3), plain(3), with(plain(3), "length", len(file)), with(plain(3), "length", 0)} {
		w := newWorld(t, usual)
		if good["length"] == 0 {
			w.mustBeRefused(admit.RefusedSnapshotNeeded, "targets", file, listing(good, "s1"))
			continue
		}
		w.mustRelease("targets", file, append(bad, listing(good, "s1"))...)
	}
}

func ruleSnapshotNamed(t *testing.T) {
	w := newWorld(t, usual)
	file := w.targets("t1", 1, "x")
	none := forge(t, forgedSnapshot(1, nil), "s1")
	first, second := w.beside("targets", file), w.beside("targets", file)
	d, err := w.submit("targets", file, none, first, second)
	if err != nil || d.Leaf.Snapshot != tuf.Sum(first) {
		t.Errorf("%+v, %v; want the first snapshot that vouches, %v", d, err, tuf.Sum(first))
	}
	for _, m := range []map[string]any{forgedSnapshot(1, nil), forgedTimestamp(1, 1)} {
		role := m["_type"].(string)
		d, err := w.submit(role, forge(t, m, "s1", "x1"), first)
		if err != nil || !d.Leaf.Snapshot.IsZero() {
			t.Errorf("%s: %+v, %v; want no snapshot in the leaf", role, d, err)
		}
	}
	if d, err := w.submit("root", forge(t, forgedRoot(2, usual), "r1"), first); err != nil || !d.Leaf.Snapshot.IsZero() {
		t.Errorf("root: %+v, %v; want no snapshot in the leaf", d, err)
	}
}

func ruleExpiry(t *testing.T) {
	old := forgedRoot(1, usual)
	old["expires"] = "1970-01-01T00:00:00Z"
	w := &world{prefix: newPrefix(t, forge(t, old, "r1"))}
	signed := forgedTargets(1, "x")
	signed["expires"] = "0001-01-01T00:00:00Z"
	file := forge(t, signed, "t1")
	listed := forgedSnapshot(1, map[string]map[string]any{"targets": hashed(file, 1)})
	listed["expires"] = "2000-01-01T00:00:00Z"
	w.mustRelease("targets", file, forge(t, listed, "s1"))
}
