package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	past "github.com/tuflog/tuflog/audit/history"
	"github.com/tuflog/tuflog/audit/lookup"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// history is a vendor and the log that it publishes in.
type history struct {
	*audittest.Log
	vendor *testvendor.Vendor
	repo   tuf.Digest
	wire   sync.Map // answers that take a wire: http.HandlerFunc by path
}

func newVendor(t testing.TB) *testvendor.Vendor {
	t.Helper()
	v, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	must(t, err)
	return v
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The leaves of newHistory.
const (
	leafRoot1 = iota
	leafTargets1
	leafTargets2
	leafTargets3 // delegates to plugin
	leafPlugin1
	leafRoot2        // another key for targets
	leafTargets3Back // signed again with it
	leafTargets4
	leafEvidence // another targets 4
	historySize
)

// newHistory returns a published log with one of everything.
func newHistory(t testing.TB) *history {
	t.Helper()
	h := &history{Log: audittest.New(t), vendor: newVendor(t)}
	h.repo = h.Register(h.file(tuf.RoleRoot))
	h.submit(tuf.RoleTargets)
	h.release(tuf.RoleTargets, "app.bin", "app, version 2")
	must(t, h.vendor.Delegate(tuf.RoleTargets, "plugin", "plugin/*"))
	must(t, h.vendor.Put("plugin", "plugin/one", []byte("a plugin")))
	must(t, h.vendor.Release(tuf.RoleTargets, "plugin"))
	h.submit(tuf.RoleTargets)
	h.submit("plugin")
	must(t, h.vendor.Rotate(tuf.RoleTargets))
	h.submit(tuf.RoleRoot)
	must(t, h.vendor.SignAgain(tuf.RoleTargets))
	h.submit(tuf.RoleTargets)
	evil, err := h.vendor.Clone()
	must(t, err)
	h.release(tuf.RoleTargets, "app.bin", "app, version 4")
	must(t, evil.Put(tuf.RoleTargets, "app.bin", []byte("app, for one customer")))
	must(t, evil.Release(tuf.RoleTargets))
	honest := h.vendor
	h.vendor = evil
	if entry, index := h.submit(tuf.RoleTargets); entry.Kind != leaf.Evidence || index != leafEvidence {
		t.Fatalf("the second payload became %+v at %d", entry, index)
	}
	h.vendor = honest
	h.Publish(2)
	return h
}

func (h *history) file(role string) []byte {
	h.T.Helper()
	name, b := h.vendor.File(role)
	if b == nil {
		h.T.Fatalf("no file %s", name)
	}
	return b
}

// submit has the log judge the vendor's present file of a role.
func (h *history) submit(role string) (leaf.Leaf, int64) {
	h.T.Helper()
	if role == tuf.RoleRoot {
		return h.Submit(h.repo, role, h.file(role))
	}
	return h.Submit(h.repo, role, h.file(role), h.file(tuf.RoleSnapshot))
}

func (h *history) release(role, path, content string) (leaf.Leaf, int64) {
	h.T.Helper()
	must(h.T, h.vendor.Put(role, path, []byte(content)))
	must(h.T, h.vendor.Release(role))
	return h.submit(role)
}

func (h *history) clone() *history {
	h.T.Helper()
	v, err := h.vendor.Clone()
	must(h.T, err)
	return &history{Log: h.Log.Clone(), vendor: v, repo: h.repo}
}

// began is the clock of auditors: it stands, so that two of them report the same times.
var began = time.Now()

func newAuditor(t testing.TB, l *audittest.Log, change ...func(*audit.Config)) *audit.Auditor {
	t.Helper()
	cfg := audit.Config{Source: l.Source(), Policy: l.Policy(), Now: func() time.Time { return began }}
	for _, c := range change {
		c(&cfg)
	}
	a, err := audit.New(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() { _ = a.Close() }) // twice where a test has closed it
	return a
}

func step(t testing.TB, a *audit.Auditor) audit.StepResult {
	t.Helper()
	result, err := a.Step(t.Context())
	must(t, err)
	return result
}

func report(t testing.TB, a *audit.Auditor) *audit.Report {
	t.Helper()
	r, err := a.Report(t.Context())
	must(t, err)
	r.Leaves, err = a.Leaves(t.Context(), 0, r.Judged)
	must(t, err)
	return r
}

// withoutPacks lets an auditor read files by themselves.
func withoutPacks(c *audit.Config) { c.Source = struct{ audit.Source }{c.Source} }

// kinds lists the findings that matter: kind and index, hygiene left out.
func kinds(findings []audit.Finding) string {
	var list []string
	for _, f := range findings {
		if f.Class != audit.Hygiene {
			list = append(list, fmt.Sprintf("%s@%d", f.Kind, f.Index))
		}
	}
	return strings.Join(list, " ")
}

func TestReplayHonestLog(t *testing.T) {
	h := newHistory(t)
	a := newAuditor(t, h.Log)
	result := step(t, a)
	if result.From != 0 || result.To != historySize || result.Checkpoint.Tree.N != historySize {
		t.Fatalf("judged %d to %d of %d", result.From, result.To, result.Checkpoint.Tree.N)
	}
	r := report(t, a)
	if got, want := kinds(r.Findings), fmt.Sprintf("second-payload@%d", leafEvidence); got != want {
		t.Fatalf("found %s, want %s", got, want)
	}
	if !r.Vouches {
		t.Error("an honest log is not vouched for")
	}
	if len(r.Checkpoint.Witnesses) != 2 || r.Checkpoint.Size != historySize {
		t.Errorf("checkpoint %+v", r.Checkpoint)
	}
	if len(r.Repositories) != 1 || r.Repositories[0].ID != h.repo || r.Repositories[0].Releases != historySize-1 || r.Repositories[0].Evidence != 1 {
		t.Fatalf("repositories %+v", r.Repositories)
	}
	roles := ""
	for _, role := range r.Repositories[0].Roles {
		roles += fmt.Sprintf("%s %d+%d highest %d current %d@%d\n", role.Role, role.Releases, role.Evidence, role.Highest, role.Current, role.Index)
	}
	want := fmt.Sprintf("root 2+0 highest 2 current 2@%d\ntargets 5+1 highest 4 current 4@%d\nplugin 1+0 highest 1 current 1@%d\n", leafRoot2, leafTargets4, leafPlugin1)
	if roles != want {
		t.Errorf("roles\n%swant\n%s", roles, want)
	}
	for i, leaf := range r.Leaves {
		if leaf.Index != int64(i) || leaf.Verdict != audit.Right {
			t.Errorf("leaf %d: %+v", i, leaf)
		}
	}
	if last := r.Leaves[leafEvidence]; last.Kind != "evidence" || *last.Contradicts != leafTargets4 {
		t.Errorf("evidence: %+v", last)
	}
	for _, f := range r.Findings {
		if f.Kind == audit.SecondPayload && (prove(t, h.Log, f).Repository != h.repo || !strings.Contains(f.Sentence, "signed both: key ")) {
			t.Errorf("equivocation without its evidence: %+v", f)
		}
	}
}

func TestFollowGrowingLog(t *testing.T) {
	h := newHistory(t)
	a := newAuditor(t, h.Log)
	step(t, a)
	if again := step(t, a); again.From != again.To || len(again.Findings) != 0 {
		t.Fatalf("nothing new, and yet %+v", again)
	}
	// Past the first full bundle, with stops at every kind of edge. The entries
	// are of a kind that the auditor does not know: it reports and goes on.
	for _, size := range []int64{historySize + 1, 255, 256, 257, 511, 514} {
		for i := h.Size(); i < size; i++ {
			h.Append(fmt.Appendf(nil, "tuflog motto v7\nnumber %d\n", i))
		}
		h.Publish(2)
		result := step(t, a)
		if result.To != size || result.Checkpoint.Tree.N != size {
			t.Fatalf("judged to %d of %d", result.To, size)
		}
	}
	_, index := h.release(tuf.RoleTargets, "app.bin", "app, version 5")
	h.Publish(2)
	if got := step(t, a); got.To != index+1 || kinds(got.Findings) != "" {
		t.Fatalf("after entries of an unknown kind: %+v", got)
	}
	r := report(t, a)
	if r.Leaves[index].Verdict != audit.Right || r.Leaves[index-1].Verdict != audit.UnknownToUs {
		t.Fatalf("verdicts %v and %v", r.Leaves[index].Verdict, r.Leaves[index-1].Verdict)
	}
	if r.Vouches {
		t.Error("an auditor vouches for leaves that it does not know")
	}
	// From the start in one go gives the same.
	fresh := newAuditor(t, h.Log)
	step(t, fresh)
	if got := report(t, fresh); kinds(got.Findings) != kinds(r.Findings) || len(got.Leaves) != len(r.Leaves) {
		t.Fatal("one step and many steps differ")
	}
	read := strings.Join(h.Read(), "\n")
	for _, path := range []string{"tile/0/000\n", "tile/0/001\n", "tile/0/002.p/3", "tile/1/000.p/2", "tile/entries/002.p/3"} {
		if !strings.Contains(read, path) {
			t.Errorf("%s was not read", strings.TrimSpace(path))
		}
	}
}

// TestEveryBitMatters turns over bits of every file that the log serves: whatever
// is spoilt, the auditor must not vouch for the log.
func TestEveryBitMatters(t *testing.T) {
	h := newHistory(t)
	a := newAuditor(t, h.Log)
	step(t, a)
	if !report(t, a).Vouches {
		t.Fatal("the log is not in order to begin with")
	}
	paths := map[string]bool{}
	for _, path := range h.Read() {
		paths[path] = true
	}
	// Without packs the files are read by themselves.
	a = newAuditor(t, h.Log, withoutPacks)
	step(t, a)
	for _, path := range h.Read() {
		paths[path] = true
	}
	if len(paths) < 2*historySize {
		t.Fatalf("only %d files were read", len(paths))
	}
	bits := []int{0, 1, 3, 5, 6}
	if testing.Short() {
		bits = []int{0, 5} // of each file all the same
	}
	for path := range paths {
		for _, at := range bits {
			h.Spoil(path, audittest.Flip(at, 7))
			a := newAuditor(t, h.Log)
			_, err := a.Step(t.Context())
			r, reportErr := a.Report(t.Context())
			if strings.HasPrefix(path, "tile/files/") {
				if !r.Vouches || !slices.ContainsFunc(r.Findings, func(f audit.Finding) bool { return f.Kind == audit.PackMismatch && f.Index == 0 }) {
					t.Errorf("one bit of %s at %d/7 was turned over: vouches %v, %s", path, at, r.Vouches, kinds(r.Findings))
				}
				continue // nobody signs a pack, and the files were read by themselves
			}
			if r.Vouches || err == nil && reportErr == nil && kinds(r.Findings) == fmt.Sprintf("second-payload@%d", leafEvidence) {
				t.Errorf("one bit of %s at %d/7 was turned over, and nothing was found", path, at)
			}
		}
		h.Spoil(path, nil)
	}
}

func TestOutageIsNotTampering(t *testing.T) {
	h := newHistory(t)
	for _, path := range []string{"checkpoint", "tile/entries/000.p/9", "tile/0/000.p/9", audittest.BlobPath(h.file(tuf.RoleTargets))} {
		down := errors.New("connection refused")
		h.Spoil(path, func([]byte) ([]byte, error) { return nil, down })
		a := newAuditor(t, h.Log)
		result, err := a.Step(t.Context())
		if !errors.Is(err, down) {
			t.Errorf("%s: %v", path, err)
		}
		if n := len(result.Findings); n == 0 || result.Findings[n-1].Kind != audit.Unreachable || result.Findings[n-1].Class != audit.Outage {
			t.Errorf("%s: %+v", path, result.Findings)
		}
		for _, f := range result.Findings {
			if f.Class == audit.Tampering {
				t.Errorf("%s: %s", path, f.Sentence)
			}
		}
		// It comes back, and the auditor takes up where it was.
		h.Spoil(path, nil)
		step(t, a)
		if r := report(t, a); !r.Vouches || len(r.Leaves) != historySize {
			t.Errorf("%s: after the outage: vouches %v, %d leaves", path, r.Vouches, len(r.Leaves))
		}
	}
}

func TestSmallOutages(t *testing.T) {
	h := newHistory(t)
	// Every file fails at its first reading.
	seen := map[string]bool{}
	for _, path := range append(h.pathsOfBlobs(t), "tile/entries/000.p/9") {
		h.Spoil(path, func(b []byte) ([]byte, error) {
			if !seen[path] {
				seen[path] = true
				return nil, errors.New("timeout")
			}
			return b, nil
		})
	}
	a := newAuditor(t, h.Log)
	for range 100 {
		if result, err := a.Step(t.Context()); err == nil {
			if result.To != historySize {
				t.Fatalf("judged to %d", result.To)
			}
			return
		}
	}
	t.Fatal("never done")
}

func (h *history) pathsOfBlobs(t *testing.T) []string {
	t.Helper()
	clone := h.clone()
	step(t, newAuditor(t, clone.Log, withoutPacks))
	var paths []string
	for _, path := range clone.Read() {
		if strings.HasPrefix(path, "blob/") {
			paths = append(paths, path)
		}
	}
	return paths
}

func TestLookup(t *testing.T) {
	h := newHistory(t)
	content := []byte("app, version 4")
	for _, asFile := range []bool{true, false} {
		query := lookup.QueryDigest(tuf.Sum(content))
		if asFile {
			var err error
			query, err = lookup.QueryFile(bytes.NewReader(content))
			must(t, err)
		}
		l := lookup.New(query)
		a := newAuditor(t, h.Log)
		step(t, a)
		must(t, l.Find(t.Context(), a.State(), a))
		if len(l.Answers) != 1 {
			t.Fatalf("answers %+v", l.Answers)
		}
		answer := l.Answers[0]
		if answer.Index != leafTargets4 || answer.Path != "app.bin" || answer.Version != 4 || answer.Current == nil || !*answer.Current || answer.Conflict != "" {
			t.Errorf("answer %+v", answer)
		}
		m := audittest.Parse(t, h.file(tuf.RoleTargets))
		logged, err := verify.CheckSidecar([]byte(answer.Proof), verify.ClaimFor(h.repo, tuf.RoleTargets, m), h.Policy())
		if err != nil || logged.Index != leafTargets4 {
			t.Errorf("the proof is no sidecar: %v", err)
		}
	}

	l := lookup.New(lookup.Query{SHA256: tuf.Sum([]byte("app, version 2")), Length: 5})
	a := newAuditor(t, h.Log)
	step(t, a)
	must(t, l.Find(t.Context(), a.State(), a))
	if len(l.Answers) != 1 || !strings.Contains(l.Answers[0].Conflict, "lists 14 bytes") || *l.Answers[0].Current {
		t.Errorf("another length: %+v", l.Answers)
	}

	l = lookup.New(lookup.QueryDigest(tuf.Sum(h.file(tuf.RoleRoot))))
	a = newAuditor(t, h.Log)
	step(t, a)
	must(t, l.Find(t.Context(), a.State(), a))
	if len(l.Answers) != 0 || len(l.Named) != 1 || l.Named[0] != (lookup.Named{Index: leafRoot2, As: "metadata"}) {
		t.Errorf("a metadata file: %+v", l)
	}
}

func TestHistories(t *testing.T) {
	h := newHistory(t)
	other := newVendor(t)
	_, root := other.File(tuf.RoleRoot)
	h.Register(root)
	h.Publish(2)
	a := newAuditor(t, h.Log)
	step(t, a)
	if all, err := a.Histories(t.Context(), ""); err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	one, err := a.Histories(t.Context(), h.repo.String()[:12])
	if err != nil || len(one) != 1 || one[0].ID() != h.repo {
		t.Fatal(one, err)
	}
	rows := rowsOf(t, one[0], "")
	var got []string
	for _, r := range rows {
		line := fmt.Sprintf("%d %s %s %d signed %d/%d of %d", r.Index, r.Kind, r.Role, r.Version, len(r.SignedBy), r.Threshold, r.Keys)
		if r.Against != nil {
			line += fmt.Sprintf(" against %d", *r.Against)
		}
		kinds := map[explain.Kind]int{}
		for _, c := range r.Changes.Changes {
			kinds[c.Kind]++
		}
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			line += fmt.Sprintf(" %s %d", kind, kinds[kind])
		}
		for _, u := range r.Unlike {
			line += " unlike: " + string(u.Kind)
		}
		if r.SeenBy != h.Time+2 {
			t.Errorf("entry %d was seen at %d, want %d", r.Index, r.SeenBy, h.Time+2)
		}
		got = append(got, line)
	}
	want := []string{
		"0 release root 1 signed 1/1 of 1 key-added 4 threshold 4",
		"1 release targets 1 signed 1/1 of 1",
		"2 release targets 2 signed 1/1 of 1 against 1 target-added 1",
		"3 release targets 3 signed 1/1 of 1 against 2 delegation-added 1 unlike: new-delegation",
		"4 release plugin 1 signed 1/1 of 1 target-added 1",
		"5 release root 2 signed 1/1 of 1 against 0 key-added 1 key-removed 1",
		"6 release targets 3 signed 1/1 of 1 against 3 unlike: new-signer unlike: absent-signer",
		"7 release targets 4 signed 1/1 of 1 against 6 target-changed 1",
		"8 evidence targets 4 signed 1/1 of 1 against 7 target-changed 1 version-back 1",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if rows = rowsOf(t, one[0], "plugin"); len(rows) != 1 {
		t.Error(rows)
	}

	// What was in force after each leaf.
	var forces []string
	for size := int64(1); size <= historySize; size++ {
		f, err := one[0].InForce(t.Context(), size)
		if err != nil {
			t.Fatal(err)
		}
		var at []string
		for _, role := range slices.Sorted(maps.Keys(f.Releases)) {
			at = append(at, fmt.Sprintf("%s@%d", role, f.Releases[role].Index))
		}
		forces = append(forces, strings.Join(at, " "))
	}
	if got, want := strings.Join(forces, "; "), "root@0; root@0 targets@1; root@0 targets@2; root@0 targets@3; plugin@4 root@0 targets@3; root@5; "+
		"plugin@4 root@5 targets@6; plugin@4 root@5 targets@7; plugin@4 root@5 targets@7"; got != want {
		t.Errorf("in force: %s\nwant %s", got, want)
	}
	if _, err := one[0].InForce(t.Context(), 0); !errors.Is(err, past.ErrNoLeaves) {
		t.Error(err)
	}
}

// TestEquivocationAboutRoots: whose keys signed both is judged by the root before
// them, whatever has been rotated since.
func TestEquivocationAboutRoots(t *testing.T) {
	h := newHistory(t)
	evil, err := h.vendor.Clone()
	must(t, err)
	must(t, h.vendor.Rotate(tuf.RoleRoot))
	h.submit(tuf.RoleRoot)
	must(t, evil.Rotate(tuf.RoleTimestamp))
	h.vendor = evil
	entry, index := h.submit(tuf.RoleRoot)
	if entry.Kind != leaf.Evidence {
		t.Fatalf("%+v", entry)
	}
	h.Publish(2)
	a := newAuditor(t, h.Log)
	result := step(t, a)
	f := result.Findings[len(result.Findings)-1]
	if f.Kind != audit.SecondPayload || f.Index != index || !strings.Contains(f.Sentence, "signed both: key ") {
		t.Fatalf("found %s", f.Sentence)
	}
	if s := prove(t, h.Log, f); s.Role != tuf.RoleRoot || s.Version != 3 || s.Entries[1] != index || len(s.SignedBoth) != 1 {
		t.Errorf("proved: %+v", s)
	}
}

// A log that has ended is as it should be, and an auditor knows that it has.
func TestReplayEndedLog(t *testing.T) {
	h := newHistory(t)
	a := newAuditor(t, h.Log)
	step(t, a)
	before := report(t, a)
	if before.Ended || !before.Vouches {
		t.Fatalf("before the end: %+v", before)
	}
	h.Append([]byte(leaf.End))
	h.Publish(2)
	for name, a := range map[string]*audit.Auditor{"one that follows": a, "a new one": newAuditor(t, h.Log)} {
		step(t, a)
		got := report(t, a)
		last := got.Leaves[len(got.Leaves)-1]
		if !got.Ended || !got.Vouches || got.Judged != before.Judged+1 || len(got.Findings) != len(before.Findings) || last.Verdict != audit.TheEnd {
			t.Errorf("%s: ended %v, vouches %v, judged %d, %v, last %+v", name, got.Ended, got.Vouches, got.Judged, got.Findings, last)
		}
	}
}
