package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/bench/testpigweed"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// pigweedHistory is a log with a Pigweed repository.
type pigweedHistory struct {
	*audittest.Log
	repo tuf.Digest
	keys map[string]testpigweed.Key
}

func newPigweedHistory(t *testing.T) *pigweedHistory {
	t.Helper()
	h := &pigweedHistory{Log: audittest.New(t), keys: map[string]testpigweed.Key{}}
	h.repo = h.Register(h.root(1, "r1", "t1", "r1"))
	return h
}

func (h *pigweedHistory) key(name string) testpigweed.Key {
	k, ok := h.keys[name]
	if !ok {
		var err error
		k, err = testpigweed.NewKey()
		must(h.T, err)
		h.keys[name] = k
	}
	return k
}

func (h *pigweedHistory) root(version uint32, root, targets string, signers ...string) []byte {
	var by []testpigweed.Key
	for _, s := range signers {
		by = append(by, h.key(s))
	}
	file, err := testpigweed.Root{Version: version, Root: []testpigweed.Key{h.key(root)}, Targets: []testpigweed.Key{h.key(targets)}}.Sign(by...)
	must(h.T, err)
	return file
}

func (h *pigweedHistory) targets(version uint32, content, signer string) []byte {
	file, err := testpigweed.Targets(version, map[string][]byte{"app": []byte(content)}, h.key(signer))
	must(h.T, err)
	return file
}

// A Pigweed repository is audited like any other: what never expires is a finding, and two
// payloads of one version are proved with the repository's keys alone.
func TestPigweed(t *testing.T) {
	h := newPigweedHistory(t)
	h.Submit(h.repo, tuf.RoleTargets, h.targets(1, "one", "t1"))
	h.Submit(h.repo, tuf.RoleRoot, h.root(5, "r2", "t2", "r1", "r2"))
	h.Submit(h.repo, tuf.RoleTargets, h.targets(2, "two", "t2"))
	h.Publish(2)
	a := newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = t.TempDir() })
	r := report(t, stepped(t, a))
	if got := listed(r.Findings); got != "version-gap@-1 never-expires@-1" || !r.Vouches {
		t.Errorf("found %q, vouches %v", got, r.Vouches)
	}
	if len(r.Repositories) != 1 || r.Repositories[0].Encoding != tuf.Pigweed || r.Repositories[0].Roles[1].Current != 2 || r.Repositories[0].Roles[1].Expires != 0 {
		t.Errorf("reported %+v", r.Repositories)
	}

	second, at := h.Submit(h.repo, tuf.RoleTargets, h.targets(2, "another two", "t2"))
	if second.Kind != leaf.Evidence {
		t.Fatalf("logged as %+v", second)
	}
	_, rootAt := h.Submit(h.repo, tuf.RoleRoot, h.root(5, "r2", "t3", "r1", "r2"))
	h.Publish(2)
	r = report(t, stepped(t, a))
	proved := 0
	for _, f := range r.Findings {
		if f.Kind != audit.SecondPayload || len(f.Evidence) != 1 {
			continue
		}
		proved++
		for _, keys := range [][]proofs.Key{nil, {h.Signer.Key()}} { // the log's is not needed
			s, err := evidence.Check(t.Context(), []byte(f.Evidence[0].Text), keys...)
			if err != nil || s.Kind != evidence.Equivocation || s.Repository != h.repo || strings.Contains(s.Sentence, "snapshot") || len(s.SignedBoth) != 1 {
				t.Errorf("%+v, %v", s, err)
			}
		}
	}
	if proved != 2 {
		t.Errorf("%d of the entries %d and %d are proved: %+v", proved, at, rootAt, r.Findings)
	}

	// A root below the one in force is right, and late.
	h.Submit(h.repo, tuf.RoleRoot, h.root(3, "r3", "t3", "r1", "r3"))
	h.Publish(2)
	if got := listed(report(t, stepped(t, a)).Findings); got != "second-payload@4 second-payload@5 version-late@6 version-gap@-1 never-expires@-1" {
		t.Errorf("found %q", got)
	}
	// Another process, and a replay from the beginning.
	if got := listed(report(t, stepped(t, newAuditor(t, h.Log))).Findings); got != "second-payload@4 second-payload@5 version-late@6 version-gap@-1 never-expires@-1" {
		t.Errorf("a replay finds %q", got)
	}
}

// listed names findings of all classes.
func listed(findings []audit.Finding) string {
	var list []string
	for _, f := range findings {
		list = append(list, fmt.Sprintf("%s@%d", f.Kind, f.Index))
	}
	return strings.Join(list, " ")
}

// What the rules do not give of Pigweed's files is found, and proved.
func TestPigweedFalseAdmissions(t *testing.T) {
	for name, tt := range map[string]struct {
		do     func(h *pigweedHistory)
		says   string
		proved bool
	}{
		"nobody's targets":                {func(h *pigweedHistory) { h.put(tuf.RoleTargets, h.targets(2, "two", "t9"), nil) }, "threshold", true},
		"a root that root 1 did not sign": {func(h *pigweedHistory) { h.put(tuf.RoleRoot, h.root(4, "r4", "t4", "r4"), nil) }, "threshold of root 1", true},
		"a delegated role":                {func(h *pigweedHistory) { h.put("app", h.targets(2, "two", "t1"), nil) }, "not-delegated", true},
		"a snapshot beside it": {func(h *pigweedHistory) {
			h.put(tuf.RoleTargets, h.targets(2, "two", "t1"), func(l *leaf.Leaf) { l.Snapshot, l.Listed = l.Metadata, leaf.ByHash })
		}, "snapshot", true},
		"called JSON": {func(h *pigweedHistory) {
			h.put(tuf.RoleTargets, h.targets(2, "two", "t1"), func(l *leaf.Leaf) { l.Encoding = tuf.JSON })
		}, "does not parse", true},
		"a second payload as a release": {func(h *pigweedHistory) { h.put(tuf.RoleTargets, h.targets(1, "another one", "t1"), nil) }, "its kind is release", true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newPigweedHistory(t)
			h.Submit(h.repo, tuf.RoleTargets, h.targets(1, "one", "t1"))
			tt.do(h)
			h.Publish(2)
			r := report(t, stepped(t, newAuditor(t, h.Log)))
			for _, f := range r.Findings {
				if f.Kind != audit.FalseAdmission {
					continue
				}
				if !strings.Contains(f.Sentence, tt.says) {
					t.Errorf("it says %s", f.Sentence)
				}
				_, err := evidence.Check(t.Context(), []byte(f.Evidence[0].Text), h.Signer.Key())
				if (err == nil) != tt.proved {
					t.Errorf("evidence %s: %v", f.Evidence[0].Name, err)
				}
				return
			}
			t.Errorf("found %q", kinds(r.Findings))
		})
	}
}

// put appends a release of a file as no rule would.
func (h *pigweedHistory) put(role string, file []byte, change func(*leaf.Leaf)) {
	m := audittest.Parse(h.T, file)
	l := leaf.Leaf{Kind: leaf.Release, Repository: h.repo, Role: role, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest, Size: int64(len(file)), Encoding: m.Encoding}
	if change != nil {
		change(&l)
	}
	h.Append(l.Marshal(), file)
}
