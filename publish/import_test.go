package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func mustImport(t testing.TB, cfg Config, h *History) *Report {
	t.Helper()
	r, err := Import(t.Context(), cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Files) != h.Len() {
		t.Fatalf("%d verdicts on %d files", len(r.Files), h.Len())
	}
	return r
}

// The order of the history is not that of need: targets come before the snapshot
// that lists them, a delegated role before its parent, a root before its parent.
func TestImportWaits(t *testing.T) {
	targets := targetsFile(1, "a", "k1", "ö", "../a", "1.2")
	strange := map[string][]byte{"ö": targetsFile(1, "b", "k1"), "../a": targetsFile(1, "c", "k1"), "1.2": targetsFile(2, "d", "k1")}
	files := maps.Clone(strange)
	files["targets"] = targets
	l := newFake(t)
	r := mustImport(t, l.config(), readHistory(t,
		entry{"c1", "root", 1, rootFile(1, "r1", "k1", "r1")},
		entry{"c1", "1.2", 2, strange["1.2"]},
		entry{"c2", "targets", 1, targets},
		entry{"c2", "ö", 1, strange["ö"]},
		entry{"c3", "root", 3, rootFile(3, "r2", "k1", "r2")},
		entry{"c4", "snapshot", 1, snapshotFile(1, "k1", files)},
		entry{"c5", "../a", 1, strange["../a"]},
		entry{"c6", "root", 2, rootFile(2, "r2", "k1", "r1", "r2")},
		entry{"c7", "timestamp", 1, timestampFile(1, "k1")},
	))
	expect(t, r, "root 1 released", "1.2 2 released", "targets 1 released", "ö 1 released", "root 3 released",
		"snapshot 1 released", "../a 1 released", "root 2 released", "timestamp 1 released")
	if len(r.Repositories) != 1 {
		t.Errorf("repositories %v", r.Repositories)
	}
}

func TestImportOfTwoLineages(t *testing.T) {
	// Both lineages use the key k1 for targets: what comes after the second
	// genesis belongs to it all the same.
	one, two := targetsFile(1, "a", "k1"), targetsFile(1, "b", "k1")
	old := targetsFile(2, "c", "old")
	l := newFake(t)
	h := readHistory(t,
		entry{"c1", "root", 1, rootFile(1, "r1", "k1", "r1")},
		entry{"c1", "targets", 1, one},
		entry{"c1", "snapshot", 1, snapshotFile(1, "k1", map[string][]byte{"targets": one})},
		entry{"c2", "root", 1, rootFile(1, "r9", "k1", "r9")},
		entry{"c2", "targets", 1, two},
		entry{"c2", "snapshot", 1, snapshotFile(1, "k1", map[string][]byte{"targets": two})},
		entry{"c3", "root", 2, rootFile(2, "r1", "old", "r1")},
		entry{"c4", "targets", 2, old},
		entry{"c4", "snapshot", 2, snapshotFile(2, "old", map[string][]byte{"targets": old})},
		entry{"c5", "root", 2, rootFile(2, "r9", "k1", "r9")},
		entry{"c6", "root", 7, rootFile(7, "r7", "k1", "r8")}, // not even its own threshold
	)
	want := []string{"root 1 released @0", "targets 1 released @0", "snapshot 1 released @0",
		"root 1 released @1", "targets 1 released @1", "snapshot 1 released @1",
		"root 2 released @0", "targets 2 released @0", "snapshot 2 released @0",
		"root 2 released @1", "root 7 refused no-parent @1"}
	expect(t, mustImport(t, l.config(), h), want...)

	// Again: the same, and nothing new in the log.
	n := len(l.leaves)
	for i := range want {
		want[i] = strings.Replace(want[i], "released", "logged", 1)
	}
	expect(t, mustImport(t, l.config(), h), want...)
	if len(l.leaves) != n {
		t.Errorf("%d new leaves", len(l.leaves)-n)
	}

	// Into the first repository alone: it opens no other, and takes nothing that
	// the first import put elsewhere but what the shared key signed.
	cfg := l.config()
	cfg.Repository = l.repos[0].ID()
	r := mustImport(t, cfg, h)
	if len(r.Repositories) != 1 || len(l.repos) != 2 || r.Files[3].Code != api.CodeNoParent {
		t.Errorf("repositories %v, root of the second: %+v", r.Repositories, r.Files[3])
	}
}

func TestImportSignedAgain(t *testing.T) {
	// The vendor's new key signs the old payload, in the commit whose targets
	// metadata makes it a key of the role, which itself waits for its snapshot.
	delegating := func(version int, k key) []byte {
		role := keyRole(k)
		role["name"], role["paths"], role["terminating"] = "d", []string{"*"}, false
		return signed("targets", version, object{"targets": object{}, "delegations": object{"keys": keyTable([]key{k}), "roles": []object{role}}}, "k1")
	}
	role := func(keys ...key) []byte { return signed("targets", 1, object{"targets": object{}}, keys...) }
	list := func(version int, t []byte) []byte {
		m, err := tuf.ParseJSON(t)
		if err != nil {
			panic(err)
		}
		return signed("snapshot", version, object{"meta": object{"targets.json": object{"version": m.Version}, "d.json": object{"version": 1}}}, "k1")
	}
	l := newFake(t, "snapshot")
	h := readHistory(t,
		entry{"c1", "root", 1, rootFile(1, "r1", "k1", "r1")},
		entry{"c1", "targets", 1, delegating(1, "d1")},
		entry{"c1", "d", 1, role("d1")},
		entry{"c1", "snapshot", 1, list(1, delegating(1, "d1"))},
		entry{"c2", "d", 1, role("d1", "d2")},
		entry{"c2", "targets", 2, delegating(2, "d2")},
		entry{"c3", "snapshot", 2, list(2, delegating(2, "d2"))},
	)
	expect(t, mustImport(t, l.config(), h), "root 1 released", "targets 1 released", "d 1 released", "snapshot 1 refused not-logged-role",
		"d 1 released", "targets 2 released", "snapshot 2 refused not-logged-role")
	n := len(l.leaves)
	mustImport(t, l.config(), h)
	if len(l.leaves) != n {
		t.Errorf("a second import added %d leaves", len(l.leaves)-n)
	}
}

func TestImportRefusals(t *testing.T) {
	targets := targetsFile(1, "a", "k1")
	l := newFake(t)
	r := mustImport(t, l.config(), readHistory(t,
		entry{"c1", "targets", 1, targets}, // before any root
		entry{"c1", "root", 1, rootFile(1, "r1", "k1")},
		entry{"c2", "root", 1, rootFile(1, "r1", "k1", "r1")},
		entry{"c3", "root", 2, []byte(`{"signatures":[],"signatures":[]}`)},
		entry{"c3", "root", 4, targetsFile(4, "x", "k1")},
		entry{"c4", "d", 1, targetsFile(1, "y", "k1")},
		entry{"c5", "targets", 2, targetsFile(2, "never listed", "k1")},
	))
	expect(t, r, "targets 1 refused snapshot-needed", "root 1 logged", "root 1 released", "root 2 refused malformed", "root 4 refused wrong-type",
		"d 1 refused not-delegated", "targets 2 refused snapshot-needed")
	if d := r.Files[3].Detail; !strings.Contains(d, "repeated") {
		t.Errorf("the malformed file: %q", d)
	}

	// A history that opens no repository.
	r = mustImport(t, newFake(t).config(), readHistory(t,
		entry{"c1", "root", 1, rootFile(1, "r1", "k1")},
		entry{"c1", "targets", 1, targets},
		entry{"c2", "root", 2, []byte("{")},
	))
	expect(t, r, "root 1 refused threshold", "targets 1 refused unknown-repository", "root 2 refused malformed")
}

// An import that is cut off anywhere goes on when it is run again, and the log is
// the same as if nothing had happened.
func TestImportGoesOn(t *testing.T) {
	h := realHistory(t, "sigstore_root_signing")
	whole := newFake(t, "timestamp")
	mustImport(t, whole.config(), h)
	for _, cut := range []int{1, 2, 3, 7, 50, whole.requests} {
		l := newFake(t, "timestamp")
		broken := errors.New("connection reset")
		l.fail = func(request int) error {
			if request == cut {
				return broken
			}
			return nil
		}
		r, err := Import(t.Context(), l.config(), h)
		if !errors.Is(err, broken) || len(r.Files) >= h.Len() {
			t.Fatalf("cut at request %d: %d verdicts, %v", cut, len(r.Files), err)
		}
		mustImport(t, l.config(), realHistory(t, "sigstore_root_signing"))
		if !slices.Equal(l.leaves, whole.leaves) {
			t.Errorf("cut at request %d: %d leaves, want the %d of an import in one go", cut, len(l.leaves), len(whole.leaves))
		}
	}
}

// A log that gives something else than it says is caught, whatever it is.
func TestImportBelievesNothing(t *testing.T) {
	targets := targetsFile(1, "a", "k1")
	other := targetsFile(1, "b", "k1")
	h := readHistory(t,
		entry{"c1", "root", 1, rootFile(1, "r1", "k1", "r1")},
		entry{"c1", "targets", 1, targets},
		entry{"c1", "snapshot", 1, snapshotFile(1, "k1", map[string][]byte{"targets": targets})},
		entry{"c2", "targets", 1, other},
		entry{"c2", "snapshot", 2, snapshotFile(2, "k1", map[string][]byte{"targets": other})},
	)
	lies := map[string]func(*fakeLog, *api.FileResult){
		"no sidecar":         func(_ *fakeLog, r *api.FileResult) { r.Sidecar = "" },
		"another entry's":    func(l *fakeLog, r *api.FileResult) { r.Sidecar = l.sidecar((r.Index + 1) % int64(len(l.leaves))) },
		"another index":      func(_ *fakeLog, r *api.FileResult) { r.Index++ },
		"released":           func(_ *fakeLog, r *api.FileResult) { r.Status = api.StatusReleased },
		"evidence":           func(_ *fakeLog, r *api.FileResult) { r.Status = api.StatusEvidence },
		"another log's":      func(l *fakeLog, r *api.FileResult) { r.Sidecar = strings.ReplaceAll(r.Sidecar, "fake", "false") },
		"a broken sidecar":   func(_ *fakeLog, r *api.FileResult) { r.Sidecar = r.Sidecar[:len(r.Sidecar)-9] + "\n" },
		"no index, released": func(_ *fakeLog, r *api.FileResult) { r.Index = -1 },
	}
	for name, lie := range lies {
		honest := newFake(t)
		want := outcome(mustImport(t, honest.config(), h))
		if !strings.Contains(want, "targets 1 evidence") {
			t.Fatalf("the honest log:\n%s", want)
		}
		caught := 0
		for at := range len(honest.leaves) {
			l := newFake(t)
			told := 0
			l.tamper = func(r *api.FileResult) {
				if told++; told == at+1 {
					lie(l, r)
				}
			}
			r, err := Import(t.Context(), l.config(), h)
			var unproved *ProofError
			switch {
			case errors.As(err, &unproved):
				caught++
			case err != nil:
				t.Errorf("%s at %d: %v", name, at, err)
			case outcome(r) != want:
				t.Errorf("%s at %d is believed:\n%s", name, at, outcome(r))
			}
		}
		if caught == 0 {
			t.Errorf("%s: never caught", name)
		}
	}

	// Its proofs are good, but the policy knows another log.
	l := newFake(t)
	cfg := l.config()
	cfg.Policy = newFake(t).policy
	var unproved *ProofError
	var refusal *verify.Refusal
	if _, err := Import(t.Context(), cfg, h); !errors.As(err, &unproved) || !errors.As(err, &refusal) {
		t.Errorf("another policy: %v", err)
	}
	cfg.Policy = nil
	if _, err := Import(t.Context(), cfg, h); !errors.As(err, &unproved) {
		t.Errorf("no policy: %v", err)
	}
}

// What a log may get wrong without lying.
func TestImportOfConfusedLog(t *testing.T) {
	h := readHistory(t, entry{"c1", "root", 1, rootFile(1, "r1", "k1", "r1")}, entry{"c1", "targets", 1, targetsFile(1, "a", "k1")})
	for name, confuse := range map[string]func(*api.Result){
		"no verdict": func(r *api.Result) { r.Results = nil },
		"two":        func(r *api.Result) { r.Results = append(r.Results, r.Results[0]) },
		"another":    func(r *api.Result) { r.Results[0].File = "x.json" },
		"no status":  func(r *api.Result) { r.Results[0].Status = "" },
		"pending":    func(r *api.Result) { r.Results[0].Status = api.StatusPending },
	} {
		l := newFake(t)
		cfg := l.config()
		cfg.Log = confused{l, confuse}
		if r, err := Import(t.Context(), cfg, h); err == nil {
			t.Errorf("%s: %s", name, outcome(r))
		}
	}
}

type confused struct {
	*fakeLog
	confuse func(*api.Result)
}

func (c confused) Submit(ctx context.Context, repository string, files []api.File) (*api.Result, error) {
	r, err := c.fakeLog.Submit(ctx, repository, files)
	if err == nil {
		c.confuse(r)
	}
	return r, err
}

// roleCounts is what a history's role comes to: released, logged, evidence.
type roleCounts map[string][3]int

func TestRealHistories(t *testing.T) {
	sigstore := roleCounts{"root": {15, 3}, "targets": {14, 3}, "registry.npmjs.org": {8, 1}, "rekor": {3}, "revocation": {2, 0, 1}, "staging": {2, 1, 1}}
	sigstoreAll := roleCounts{"snapshot": {165, 3, 2}, "timestamp": {762, 3, 2}}
	docker := roleCounts{"root": {1}, "targets": {7}, "doi": {3}, "rekor": {2}, "testing": {3}}
	dockerAll := roleCounts{"snapshot": {10}, "timestamp": {141}}
	tests := []struct {
		history      string
		all          bool // snapshots and timestamps are logged
		repositories []roleCounts
		requests     int // at most
	}{
		{"sigstore_root_signing", false, []roleCounts{sigstore}, 110},
		{"sigstore_root_signing", true, []roleCounts{join(sigstore, sigstoreAll)}, 150},
		{"docker_tuf", false, []roleCounts{docker}, 40},
		{"docker_tuf", true, []roleCounts{join(docker, dockerAll)}, 50},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s/all=%v", tt.history, tt.all), func(t *testing.T) {
			h := realHistory(t, tt.history)
			l := newFake(t, "snapshot", "timestamp")
			if tt.all {
				l = newFake(t)
			}
			r := mustImport(t, l.config(), h)
			compare(t, r, tt.repositories)
			if l.requests > tt.requests {
				t.Errorf("%d requests, want at most %d", l.requests, tt.requests)
			}
			if !tt.all && l.sent["timestamp"] > 8 {
				t.Errorf("sent %d timestamps to a log that does not log them", l.sent["timestamp"])
			}
			if len(r.Refused()) != 0 {
				t.Errorf("refused: %+v", r.Refused())
			}

			n := len(l.leaves)
			again := mustImport(t, l.config(), realHistory(t, tt.history))
			if total := again.Total(); len(l.leaves) != n || total.Released != 0 || total.Evidence != r.Total().Evidence {
				t.Errorf("imported again: %d new leaves, %+v", len(l.leaves)-n, total)
			}
		})
	}
}

func join(a, b roleCounts) roleCounts {
	c := maps.Clone(a)
	maps.Copy(c, b)
	return c
}

// compare compares everything but refusals.
func compare(t *testing.T, r *Report, want []roleCounts) {
	t.Helper()
	got := make([]roleCounts, len(r.Repositories))
	for _, c := range r.Counts() {
		if c.Released+c.Logged+c.Evidence > 0 {
			i := r.order(c.Repository)
			if got[i] == nil {
				got[i] = roleCounts{}
			}
			got[i][c.Role] = [3]int{c.Released, c.Logged, c.Evidence}
		}
	}
	if !slices.EqualFunc(got, want, func(a, b roleCounts) bool { return maps.Equal(a, b) }) {
		t.Errorf("released, logged, evidence:\ngot  %v\nwant %v", got, want)
	}
}

func TestSigstoreEvidence(t *testing.T) {
	l := newFake(t)
	r := mustImport(t, l.config(), realHistory(t, "sigstore_root_signing"))
	var got []string
	for _, v := range r.Evidence() {
		logged := l.leaves[v.Index]
		release := l.leaves[logged.Contradicts]
		if release.Role != v.Role || release.Version != v.Version || release.Kind != leaf.Release {
			t.Errorf("%s contradicts %+v", v.File, release)
		}
		got = append(got, fmt.Sprint(v.Role, " ", v.Version))
	}
	want := []string{"staging 1", "snapshot 24", "timestamp 24", "revocation 1", "snapshot 38", "timestamp 38"}
	if !slices.Equal(got, want) {
		t.Errorf("evidence %v, want %v", got, want)
	}

	// The drafts of the same repository: one that was fully signed and replaced
	// is evidence, and none that lacks signatures gets in.
	before := len(l.leaves)
	drafts := mustImport(t, l.config(), realHistory(t, "sigstore_root_signing_drafts"))
	evidence := drafts.Evidence()
	if len(evidence) != 1 || evidence[0].Role != "root" || evidence[0].Version != 2 || evidence[0].Repository != r.Repositories[0] {
		t.Errorf("evidence among the drafts: %+v", evidence)
	}
	ids := map[string]*admit.Repository{}
	for _, repo := range l.repos {
		ids[repo.ID().String()] = repo
	}
	for _, logged := range l.leaves[before:] {
		m, err := tuf.ParseJSON(l.blobs[logged.Metadata])
		if err != nil {
			t.Fatal(err)
		}
		if logged.Repository.String() == r.Repositories[0] && logged.Kind == leaf.Release {
			t.Errorf("a draft became a release: %+v", logged)
		}
		root, err := ids[logged.Repository.String()].Root(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Meets(root.Root.KeySet(logged.Role)); err != nil && logged.Kind == leaf.Release {
			t.Errorf("%s %d: %v", logged.Role, logged.Version, err)
		}
	}

	// By hand into the one repository: nothing else is opened, nothing new gets in.
	before = len(l.leaves)
	cfg := l.config()
	cfg.Repository = l.repos[0].ID()
	drafts = mustImport(t, cfg, realHistory(t, "sigstore_root_signing_drafts"))
	if len(drafts.Repositories) != 1 || len(l.leaves) != before || len(drafts.Evidence()) != 1 {
		t.Errorf("%d repositories, %d new leaves, evidence %+v", len(drafts.Repositories), len(l.leaves)-before, drafts.Evidence())
	}
}

func TestRestartedRepository(t *testing.T) {
	l := newFake(t, "snapshot", "timestamp")
	r := mustImport(t, l.config(), realHistory(t, "jku_tuf_demo"))
	if len(r.Repositories) != 2 {
		t.Fatalf("%d repositories", len(r.Repositories))
	}
	want := [2]map[string]int{{"root": 8, "targets": 11, "role1": 7, "badgers": 2}, {"root": 5, "targets": 7, "jku": 6, "rdimitrov": 3}}
	for _, c := range r.Counts() {
		if n, ok := want[r.order(c.Repository)][c.Role]; ok && c.Released != n {
			t.Errorf("repository %d: %d releases of %s, want %d", r.order(c.Repository), c.Released, c.Role, n)
		}
	}
	// Empty hash bins share one payload, and snapshots without hashes do not tell
	// them apart: nothing else is refused.
	for _, v := range r.Refused() {
		if !strings.HasPrefix(v.Role, "demo-bin-") || v.Code != api.CodeSnapshotNeeded {
			t.Errorf("refused: %+v", v)
		}
	}
}
