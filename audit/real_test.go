package audit_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/tuf"
)

// realLog is a log of a real history.
type realLog struct {
	*audittest.Log
	all       bool // snapshots and timestamps are logged
	repos     []tuf.Digest
	snapshots []*tuf.Metadata
	waiting   []offered // what may be admitted once other files are
	refused   []offered
}

// offered is a file of a history, and why the log does not take it.
type offered struct {
	role string
	file *tuf.Metadata
	name string
	err  error
}

// replayHistory logs a real history commit by commit. visit is called before the log has a
// commit, and when it has published that.
func replayHistory(t testing.TB, history string, all bool, visit func(l *realLog, c realdata.Commit, logged bool)) *realLog {
	t.Helper()
	l := &realLog{Log: audittest.New(t), all: all}
	for _, c := range realdata.Commits(t, history) {
		if visit != nil {
			visit(l, c, false)
		}
		l.Time = c.Time.Unix()
		l.commit(c)
		if visit != nil {
			l.Publish(2)
			visit(l, c, true)
		}
	}
	l.refused = append(l.refused, l.waiting...)
	l.Publish(2)
	return l
}

// commit offers the files of a commit, in the order of need.
func (l *realLog) commit(c realdata.Commit) {
	for _, f := range c.Files {
		m, err := tuf.ParseJSON(f.Data)
		if err != nil {
			l.refused = append(l.refused, offered{f.Role, nil, f.Name, err})
			continue
		}
		if m.Snapshot != nil {
			l.snapshots = append(l.snapshots, m)
		}
		if l.all || f.Role != tuf.RoleSnapshot && f.Role != tuf.RoleTimestamp {
			l.waiting = append(l.waiting, offered{f.Role, m, f.Name, nil})
		}
	}
	slices.SortStableFunc(l.waiting, func(a, b offered) int {
		return admit.Compare(a.role, a.file.Version, b.role, b.file.Version)
	})
	for progress := true; progress; {
		progress = false
		l.waiting = slices.DeleteFunc(l.waiting, func(o offered) bool {
			err := l.offer(o)
			progress = progress || err == nil
			return err == nil
		})
	}
}

// offer offers a file to the repositories, the last one first. A first root that none of
// them takes is a repository of its own.
func (l *realLog) offer(o offered) error {
	var snapshots []*tuf.Metadata
	for _, s := range l.snapshots {
		if listed, ok := s.Snapshot.File(o.role + ".json"); ok && listed.Version == o.file.Version && o.file.Targets != nil {
			snapshots = append(snapshots, s)
		}
	}
	err := error(&admit.Refused{Code: admit.RefusedNoParent})
	for _, repo := range slices.Backward(l.repos) {
		if _, err = l.Offer(repo, o.role, o.file, snapshots); err == nil {
			return nil
		}
	}
	if o.role == tuf.RoleRoot && o.file.Version == 1 && o.file.Meets(o.file.Root.KeySet(tuf.RoleRoot)) == nil {
		l.repos = append(l.repos, l.Register(o.file.File))
		return nil
	}
	return err
}

var (
	real   = map[string][]audit.Finding{}
	realMu sync.Mutex
)

// findingsOf returns what an auditor finds in a whole real history, at the time of its last
// commit.
func findingsOf(t testing.TB, history string) []audit.Finding {
	t.Helper()
	realMu.Lock()
	defer realMu.Unlock()
	if real[history] == nil {
		l := logOf(t, history)
		a := newAuditor(t, l.Log, at(l.Time))
		step(t, a)
		r := report(t, a)
		if !r.Vouches {
			t.Errorf("%s: an auditor does not vouch for the log", history)
		}
		real[history] = r.Findings
	}
	return real[history]
}

// fixtures are repositories that the tests of TUF's implementations have, each in a folder
// without a history.
var fixtures = map[string]string{
	"fixtures_rust_tuf_fuchsia": "fuchsia-go-tuf-5527fe/consistent-snapshot-false/5/repository",
	"fixtures_tough":            "dubious-role-names/metadata",
	"fixtures_python_tuf":       "repository/metadata",
	"fixtures_tuf_conformance":  "tuf-on-ci-0.11/metadata",
}

// logOf logs a history, or the files of a fixture as one commit.
func logOf(t testing.TB, history string) *realLog {
	t.Helper()
	folder, ok := fixtures[history]
	if !ok {
		return replayHistory(t, history, true, nil)
	}
	l := &realLog{Log: audittest.New(t), all: true}
	l.Time = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	c := realdata.Commit{}
	for _, f := range realdata.Files(t, path.Join(history, folder)) {
		name := strings.TrimSuffix(path.Base(f.Name), ".json")
		if version, rest, ok := strings.Cut(name, "."); ok && !strings.ContainsFunc(version, func(r rune) bool { return r < '0' || r > '9' }) {
			name = rest
		}
		role, ok := tuf.UnescapeRole(name)
		if !ok {
			t.Fatal(f.Name)
		}
		c.Files = append(c.Files, realdata.Published{Role: role, Name: f.Name, Data: f.Data})
	}
	l.commit(c)
	l.Publish(2)
	return l
}

// TestRealHistories: what an auditor finds in the real histories is what is known of them,
// and nothing else.
func TestRealHistories(t *testing.T) {
	if testing.Short() {
		t.Skip("two seconds of processor time for the histories of three repositories")
	}
	tests := []struct {
		history string
		want    []string // kind, and role and version, or a part of the sentence
	}{
		// The README of the data lists the versions with two payloads, the id that is not the
		// hash of its key, the keys in hexadecimal, the target without a length, that all of
		// root's keys are those of targets, and that one key has been that of snapshots and
		// timestamps since root 10. The thresholds were lowered when root 2 gave snapshots and
		// timestamps keys of their own.
		{"sigstore_root_signing", []string{
			"second-payload staging 1", "second-payload snapshot 24", "second-payload timestamp 24", "second-payload revocation 1",
			"second-payload snapshot 38", "second-payload timestamp 38",
			"key-form root 1", "shared-top-level root 1", "threshold-lowered root 2", "threshold-lowered root 2",
			"key-form root 2", "key-form targets 2", "key-form root 4", "key-form targets 4",
			"no-length revocation 1", "shared-top-level root 10", "key-id root 11",
		}},
		{"docker_tuf", []string{
			"shared-top-level root 1", "shared-keys targets 2", "shared-keys targets 6", "shared-keys targets 7", "version-gap doi 0",
		}},
		// The second of its two chains shares no key with the first.
		{"jku_tuf_demo", []string{
			"threshold-lowered root 3", "shared-keys demo 2",
			"shared-top-level root 1", "threshold-lowered root 3", "shared-keys root 3", "expired  0",
		}},
		// An early go-tuf listed each key under two ids.
		{"fixtures_rust_tuf_fuchsia", []string{
			"key-id root 1", "key-id root 1", "key-id root 1", "key-id root 1", "two-ids root 1",
			"key-id root 2", "two-ids root 2", "key-id root 3", "two-ids root 3", "key-id root 4", "two-ids root 4", "key-id root 5", "two-ids root 5",
		}},
		{"fixtures_tough", []string{"shared-top-level root 1", "shared-keys targets 2", "odd-name targets 2", "never-logged  0"}},
		{"fixtures_python_tuf", []string{"shared-keys role1 1"}},
		{"fixtures_tuf_conformance", []string{"shared-top-level root 1", "shared-keys targets 1"}},
	}
	for _, tt := range tests {
		t.Run(tt.history, func(t *testing.T) {
			var got []string
			for _, f := range findingsOf(t, tt.history) {
				got = append(got, fmt.Sprintf("%s %s %d", f.Kind, f.Role, f.Version))
				t.Logf("%s %d: %s", f.Kind, f.Index, f.Sentence)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("found\n%q\nwant\n%q", got, tt.want)
			}
		})
	}
}

// An auditor that is started again and again, with the state of the one before it, finds in
// a real history what one finds that sees all of it at once.
func TestRealHistoriesInParts(t *testing.T) {
	if testing.Short() {
		t.Skip("three seconds of processor time for twenty starts on three histories")
	}
	for _, history := range []string{"sigstore_root_signing", "docker_tuf", "jku_tuf_demo"} {
		l := replayHistory(t, history, true, nil)
		dir := t.TempDir()
		const starts = 20
		for i := range int64(starts) {
			l.Serve(l.Checkpoint(l.Size()*(i+1)/starts, 2))
			a := newAuditor(t, l.Log, at(l.Time), func(c *audit.Config) { c.StateDir = dir })
			step(t, a)
			r := report(t, a)
			must(t, a.Close())
			if got, want := sentences(r), sentences(&audit.Report{Findings: findingsOf(t, history)}); i == starts-1 && !slices.Equal(got, want) {
				t.Errorf("%s: found\n%s\nwant\n%s", history, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}
