package admit_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// rootLog is a log's verdicts on the roots of a repository, and the proofs that it
// gives devices of what it logged.
type rootLog struct {
	*prefix
	log    *testlog.Log
	leaves []leaf.Leaf // by index
}

// draft is a root as these tests tell them apart: two of one version differ in note.
type draft struct {
	version         int64
	root, timestamp who
	note            string
	signers         []string
}

func (d draft) file(t testing.TB) []byte {
	t.Helper()
	m := forgedRoot(d.version, topLevel{d.root, "t1", "s1", d.timestamp})
	if d.note != "" {
		m["note"] = d.note
	}
	return forge(t, m, d.signers...)
}

func newRootLog(t *testing.T, genesis []byte) *rootLog {
	t.Helper()
	l := &rootLog{prefix: newPrefix(t, genesis), log: testlog.New(t, "log.example/a", 3, "2")}
	l.append(l.repo.Records()[0].Leaf)
	return l
}

func (l *rootLog) append(leaf leaf.Leaf) {
	l.log.Add(leaf.Marshal())
	l.leaves = append(l.leaves, leaf)
}

// root submits a root, once more to see that it changes nothing, and returns the
// verdict in a word.
func (l *rootLog) root(file []byte) string {
	l.t.Helper()
	before := l.next
	d, err := l.submit(tuf.RoleRoot, file)
	if l.next > before {
		l.append(d.Leaf)
	}
	again, err2 := l.submit(tuf.RoleRoot, file)
	if (err == nil) != (err2 == nil) || err == nil && (!again.Logged || again.Index != d.Index) {
		l.t.Fatalf("asked again: %+v, %v; at first %+v, %v", again, err2, d, err)
	}
	return outcome(verdictOf(l.t, d, err))
}

// sidecarsOf is the proof that the log gives of a root; none if it has no leaf.
func (l *rootLog) sidecarsOf(file []byte) verify.Sidecars {
	l.t.Helper()
	payload := parse(l.t, file).PayloadDigest
	at := slices.IndexFunc(l.leaves, func(leaf leaf.Leaf) bool { return leaf.Payload == payload })
	if at < 0 {
		return verify.Sidecars{}
	}
	return verify.Sidecars{Proof: l.log.Proof(l.leaves[at].Marshal(), int64(at), 1, 1)}
}

func (l *rootLog) config() verify.Config {
	return verify.Config{Policy: l.log.Policy(), Install: verify.DefaultInstallPolicy(), Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

// served is the source of a device that has the first of the roots, and is served the
// others and what else there is, with the proofs that the log gives.
type served struct {
	*rootLog
	roots  [][]byte
	others map[string][]byte // by role
}

func (s served) Kept(_ context.Context, role string) ([]byte, verify.Sidecars, error) {
	if role != tuf.RoleRoot {
		return nil, verify.Sidecars{}, nil
	}
	return s.roots[0], verify.Sidecars{}, nil
}

func (s served) Fetch(_ context.Context, r verify.Request) ([]byte, error) {
	file := s.others[r.Role]
	for _, root := range s.roots {
		if r.Role == tuf.RoleRoot && parse(s.t, root).Version == r.Version {
			file = root
		}
	}
	if file != nil && r.Suffix == verify.SidecarSuffix {
		file = s.sidecarsOf(file).Proof
	}
	if file == nil {
		return nil, fs.ErrNotExist
	}
	return file, nil
}

func (s served) Keep(context.Context, verify.Accepted) error { return nil }

// climb asks a device that has the first of the roots to update itself. That there is
// nothing but roots is no error.
func (l *rootLog) climb(cfg verify.Config, state verify.State, roots ...[]byte) (*verify.Client, error) {
	l.t.Helper()
	return l.update(cfg, state, served{l, roots, nil})
}

func (l *rootLog) update(cfg verify.Config, state verify.State, source served) (*verify.Client, error) {
	l.t.Helper()
	c, err := verify.Refresh(l.t.Context(), cfg, state, source)
	if c == nil {
		l.t.Fatal(err)
	}
	var r *verify.Refusal
	if errors.As(err, &r) && r.Code == verify.CodeNetwork && r.Role != tuf.RoleRoot && source.others[r.Role] == nil {
		err = nil
	}
	return c, err
}

func rootOf(c *verify.Client) *tuf.Metadata { return c.Metadata(tuf.RoleRoot) }

// stays fails the test unless the client has stayed at root 1 and remembers what it
// did before.
func stays(t *testing.T, c *verify.Client, before verify.State) {
	t.Helper()
	if rootOf(c).Version != 1 || len(c.Accepted()) != 0 || !reflect.DeepEqual(remembered(c), before) {
		t.Errorf("root %d, %d files accepted, state %+v; want root 1, none, %+v", rootOf(c).Version, len(c.Accepted()), c.State(), before)
	}
}

// remembered is the state of a device but for what waits, which has no say.
func remembered(c *verify.Client) verify.State {
	state := c.State()
	state.Waiting = nil
	return state
}

// TestRootsAndDrafts is what becomes of drafts of a root that outsiders log first,
// and of the devices that come after. The rows have the numbers of the table of
// root cases.
func TestRootsAndDrafts(t *testing.T) {
	const kept, other = who("r1"), who("r2")
	one := draft{1, kept, "x1", "", []string{"r1"}}.file(t)
	two := draft{2, kept, "x1", "", []string{"r1"}}.file(t)
	twoOther := draft{2, other, "x1", "", []string{"r1", "r2"}}.file(t) // root 2 with other root keys
	drafts := [][]byte{
		draft{2, kept, "x1", "draft 0", []string{"r1"}}.file(t),
		draft{2, kept, "x1", "draft 1", []string{"r1"}}.file(t),
	}
	draftOther := draft{2, "r3", "x1", "draft", []string{"r1", "r3"}}.file(t)
	three := draft{3, kept, "x1", "", []string{"r1"}}.file(t)
	threeOther := draft{3, other, "x1", "", []string{"r2"}}.file(t)
	threeBoth := draft{3, other, "x1", "", []string{"r2", "r3"}}.file(t)
	four := draft{4, kept, "x1", "", []string{"r1"}}.file(t)

	for _, tt := range []struct {
		name     string
		submit   [][]byte
		verdicts []string
		served   [][]byte // to a device at root 1
		refused  verify.Code
	}{
		{"R1", [][]byte{two, drafts[0]}, []string{"release", "evidence"}, [][]byte{two}, ""},
		{"R1, device served the draft", [][]byte{two, drafts[0]}, []string{"release", "evidence"}, [][]byte{drafts[0]}, verify.CodeEvidence},
		{"R2, R3", [][]byte{drafts[0], two, three}, []string{"release", "evidence", "release"}, [][]byte{two, three}, ""},
		{"R3, by the draft", [][]byte{drafts[0], two, three}, []string{"release", "evidence", "release"}, [][]byte{drafts[0], three}, ""},
		{"R4", [][]byte{drafts[0], two}, []string{"release", "evidence"}, [][]byte{two}, verify.CodeEvidence},
		{"R5", [][]byte{drafts[0], drafts[1], two, three}, []string{"release", "evidence", "logged evidence", "release"}, [][]byte{two, three}, ""},
		{"R5, root 2 is the newest", [][]byte{drafts[0], drafts[1], two}, []string{"release", "evidence", "logged evidence"}, [][]byte{two}, verify.CodeNotLogged},
		{"R6", [][]byte{draftOther, twoOther, threeOther}, []string{"release", "evidence", admit.RefusedThreshold}, [][]byte{twoOther, threeOther}, verify.CodeNotLogged},
		{"R7", [][]byte{draftOther, twoOther, threeBoth}, []string{"release", "evidence", "release"}, [][]byte{twoOther, threeBoth}, ""},
		{"a root is not logged", [][]byte{two, four}, []string{"release", admit.RefusedNoParent}, [][]byte{two, three, four}, verify.CodeNotLogged},
		{"in order", [][]byte{two, three, four}, []string{"release", "release", "release"}, [][]byte{two, three, four}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newRootLog(t, one)
			for i, file := range tt.submit {
				if got := l.root(file); got != tt.verdicts[i] {
					t.Errorf("%d: %s, want %s", i, got, tt.verdicts[i])
				}
			}
			state, err := verify.Pin(one, verify.InstallPolicy{})
			deviceAccepts(t, err)
			served := append([][]byte{one}, tt.served...)
			last := parse(t, served[len(served)-1])
			c, err := l.climb(l.config(), state, served...)
			if tt.refused == "" {
				deviceAccepts(t, err)
			} else {
				deviceRefuses(t, err, tt.refused, "root")
				stays(t, c, state)
			}
			cfg := l.config()
			cfg.Transparency = verify.Warn
			c, err = l.climb(cfg, state, served...)
			deviceAccepts(t, err)
			w := c.Warnings()
			if rootOf(c).PayloadDigest != last.PayloadDigest || len(w) > 1 || (len(w) == 1) != (tt.refused != "") || len(w) == 1 && w[0].Code != tt.refused {
				t.Errorf("while warning: root %d, warnings %v, want %q", rootOf(c).Version, w, tt.refused)
			}
			c, err = l.climb(verify.Config{Transparency: verify.Off, Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, state, served...)
			deviceAccepts(t, err)
			if len(c.Warnings()) != 0 || c.State().Root.Payload != last.PayloadDigest {
				t.Errorf("with transparency off: root %d, warnings %v", rootOf(c).Version, c.Warnings())
			}
		})
	}
}

// A device may start from a root that is older than the first that its vendor logged.
func TestRootsOlderThanTheLog(t *testing.T) {
	var roots [][]byte
	for v := range int64(5) {
		roots = append(roots, draft{v + 1, "r1", "x1", "", []string{"r1"}}.file(t))
	}
	l := newRootLog(t, roots[2])
	for _, file := range roots[3:] {
		if got := l.root(file); got != "release" {
			t.Fatal(got)
		}
	}
	cfg := l.config()
	cfg.Install.Repository = parse(t, roots[2]).PayloadDigest
	state, err := verify.Pin(roots[0], cfg.Install)
	deviceAccepts(t, err)
	c, err := l.climb(cfg, state, roots[:2]...)
	deviceRefuses(t, err, verify.CodeNotLogged, "root")
	stays(t, c, state)
	for _, n := range []int{3, 4, 5} {
		c, err := l.climb(cfg, state, roots[:n]...)
		deviceAccepts(t, err)
		if rootOf(c).Version != int64(n) {
			t.Errorf("arrived at root %d, want %d", rootOf(c).Version, n)
		}
	}
}

// A thief of the keys of root 1, which root 2 replaced, can make roots that chain to
// root 1, and has them logged as evidence; he gains nothing (R8). All chains of up to
// three roots are offered, of the vendor's and of his, logged or not.
func TestRootsOfAThief(t *testing.T) {
	const stolen, his = "k1", "k9"
	one := draft{1, stolen, "t1", "", []string{stolen}}.file(t)
	vendor := []draft{{2, "k2", "t1", "", []string{stolen, "k2"}}, {3, "k2", "t1", "", []string{"k2"}}, {4, "k3", "t1", "", []string{"k2", "k3"}}}
	var thief []draft
	for v := range int64(3) {
		for _, root := range []who{"k1", "k2", "k9", "k1 k2", "k1 k9", "k2 k9"} {
			for _, signers := range [][]string{{stolen}, {his}, {stolen, his}} {
				thief = append(thief, draft{v + 2, root, "t9", "", signers})
			}
		}
	}
	byVersion := map[int64][][]byte{}
	own := map[tuf.Digest]bool{parse(t, one).PayloadDigest: true}
	for i, d := range append(slices.Clone(vendor), thief...) {
		file := d.file(t)
		byVersion[d.version] = append(byVersion[d.version], file)
		own[parse(t, file).PayloadDigest] = i < len(vendor)
	}
	offered, climbed, arrived := 0, 0, 0
	for logged := 1; logged <= len(vendor); logged++ {
		if testing.Short() && logged < len(vendor) {
			continue
		}
		l := newRootLog(t, one)
		for _, d := range vendor[:logged] {
			if got := l.root(d.file(t)); got != "release" {
				t.Fatal(got)
			}
		}
		outcomes := map[string]int{}
		for _, d := range thief {
			outcomes[l.root(d.file(t))]++
		}
		t.Logf("%d roots of the vendor logged; the thief's: %v", logged, outcomes)
		if outcomes["release"] > 0 || outcomes["evidence"] != 1 {
			t.Errorf("the thief's roots became %v", outcomes)
		}
		state, err := verify.Pin(one, verify.InstallPolicy{})
		deviceAccepts(t, err)
		cfg := l.config()
		var try func(chain [][]byte)
		try = func(chain [][]byte) {
			for _, file := range byVersion[int64(len(chain)+1)] {
				offered++
				longer := append(slices.Clone(chain), file)
				c, err := l.climb(cfg, state, longer...)
				var r *verify.Refusal
				switch {
				case err == nil:
					if arrived++; !own[rootOf(c).PayloadDigest] || rootOf(c).FileDigest != tuf.Sum(file) {
						t.Errorf("a device arrived at %s", file)
					}
				case errors.As(err, &r) && r.Code == verify.CodeBadMetadata: // its signatures do not do
					stays(t, c, state)
					continue
				default:
					stays(t, c, state)
				}
				climbed++
				try(longer)
			}
		}
		try([][]byte{one})
	}
	t.Logf("%d chains offered, %d climbed, %d devices arrived, all at roots of the vendor", offered, climbed, arrived)
	if arrived == 0 {
		t.Error("no device arrived anywhere: this tests nothing")
	}
}

// What a device remembers of timestamp and snapshot is compared with the root at
// which it ends: a root on the way, with other keys, makes it forget nothing (R9).
func TestRootsForgetNothingOnTheWay(t *testing.T) {
	one := draft{1, "r1", "x1", "", []string{"r1"}}.file(t)
	l := newRootLog(t, one)
	timestamp := func(version int64, key string) []byte { return forge(t, forgedTimestamp(version, version), key) }
	snapshot := func(version int64) []byte {
		return forge(t, forgedSnapshot(version, map[string]map[string]any{"targets": plain(version)}), "s1")
	}
	state, err := verify.Pin(one, verify.InstallPolicy{})
	deviceAccepts(t, err)
	c, err := l.update(l.config(), state, served{l, [][]byte{one}, map[string][]byte{tuf.RoleTimestamp: timestamp(5, "x1"), tuf.RoleSnapshot: snapshot(5)}})
	deviceAccepts(t, err)
	state = c.State()

	two := draft{2, "r1", "x2", "", []string{"r1"}}.file(t)
	rotated := draft{2, "r1", "x9", "with other timestamp keys", []string{"r1"}}.file(t)
	three := draft{3, "r1", "x1", "", []string{"r1"}}.file(t)
	for _, file := range [][]byte{two, rotated, three} {
		l.root(file)
	}
	c, err = l.climb(l.config(), state, one, rotated)
	deviceRefuses(t, err, verify.CodeEvidence, "root")
	stays(t, c, state)

	for _, way := range [][]byte{two, rotated} {
		c, err = l.climb(l.config(), state, one, way, three)
		deviceAccepts(t, err)
		if got := c.State(); !reflect.DeepEqual(got.Timestamp, state.Timestamp) || !reflect.DeepEqual(got.Snapshot, state.Snapshot) {
			t.Errorf("timestamp %+v, snapshot %+v are remembered, want %+v, %+v", got.Timestamp, got.Snapshot, state.Timestamp, state.Snapshot)
		}
		_, err = l.update(l.config(), state, served{l, [][]byte{one, way, three}, map[string][]byte{tuf.RoleTimestamp: timestamp(4, "x1")}})
		deviceRefuses(t, err, verify.CodeRollback, "timestamp")
	}
	// The root at which it ends does make it forget.
	c, err = l.climb(l.config(), state, one, two)
	deviceAccepts(t, err)
	if got := c.State(); got.Timestamp.Version != 0 || got.Snapshot.Version != 5 {
		t.Errorf("timestamp %d, snapshot %d are remembered, want none, 5", got.Timestamp.Version, got.Snapshot.Version)
	}
	c, err = l.update(l.config(), state, served{l, [][]byte{one, two}, map[string][]byte{tuf.RoleTimestamp: timestamp(4, "x2"), tuf.RoleSnapshot: snapshot(4)}})
	deviceRefuses(t, err, verify.CodeRollback, "snapshot")
	if got := c.State().Timestamp.Version; got != 4 {
		t.Errorf("timestamp %d is remembered, want 4", got)
	}
}

// A root that was trusted without a proof, or under another policy, counts as one on
// the way as soon as there is a newer one.
func TestRootsFromAnUnprovedOne(t *testing.T) {
	one := draft{1, "r1", "x1", "", []string{"r1"}}.file(t)
	two, three := draft{2, "r1", "x1", "", []string{"r1"}}.file(t), draft{3, "r1", "x1", "", []string{"r1"}}.file(t)
	l := newRootLog(t, one)
	l.root(draft{2, "r1", "x1", "draft", []string{"r1"}}.file(t))
	l.root(two)
	state, err := verify.Pin(one, verify.InstallPolicy{})
	deviceAccepts(t, err)
	c, err := l.climb(verify.Config{Transparency: verify.Off, Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, state, one, two)
	deviceAccepts(t, err)
	state = c.State()
	c, err = l.climb(l.config(), state, two)
	deviceRefuses(t, err, verify.CodeEvidence, "root")
	if !reflect.DeepEqual(remembered(c), state) {
		t.Error("the state has changed")
	}
	l.root(three)
	c, err = l.climb(l.config(), state, two, three)
	deviceAccepts(t, err)
	if fmt.Sprint(rootOf(c).Version, c.State().Root.Version) != "3 3" {
		t.Errorf("arrived at root %d", rootOf(c).Version)
	}
	_, err = l.climb(l.config(), c.State(), two)
	deviceRefuses(t, err, verify.CodeRollback, "root")
}

func deviceRefuses(t *testing.T, err error, code verify.Code, role string) {
	t.Helper()
	var r *verify.Refusal
	if !errors.As(err, &r) || r.Code != code || r.Role != role {
		t.Fatalf("got %v; want %s of %s", err, code, role)
	}
}

func deviceAccepts(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
