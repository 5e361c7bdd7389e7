package admit_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// submission is one file as somebody sends it in.
type submission struct {
	role      string
	file      []byte
	snapshots [][]byte
}

// schemer is a vendor, or the thief of some of its keys, who does at random what
// can be done.
type schemer struct {
	t       *testing.T
	random  *rand.Rand
	roles   topLevel
	root    int64
	deleg   map[string][]delegation   // by the role that delegates
	version map[string]int64          // of the role's metadata
	signed  map[string]map[string]any // the role's metadata
	last    map[string][]string       // who signed it last
	snaps   int64
	more    []string // keys that any role may have, too
	out     []submission
}

var schemedRoles = []string{"targets", "a", "b", "c"}

func newSchemer(t *testing.T, random *rand.Rand) *schemer {
	return &schemer{
		t: t, random: random, roles: topLevel{"r1 r2", "t1 t2", "s1", "x1"}, root: 1, deleg: map[string][]delegation{},
		version: map[string]int64{}, signed: map[string]map[string]any{}, last: map[string][]string{},
	}
}

func (s *schemer) clone() *schemer {
	c := *s
	c.deleg, c.version, c.signed, c.last = maps.Clone(s.deleg), maps.Clone(s.version), maps.Clone(s.signed), maps.Clone(s.last)
	for from, list := range c.deleg {
		c.deleg[from] = slices.Clone(list)
	}
	c.out = nil
	return &c
}

func (s *schemer) chance(percent int) bool { return s.random.IntN(100) < percent }

func pick[T any](random *rand.Rand, list []T) T { return list[random.IntN(len(list))] }

// whoever makes up keys and threshold of a role.
func (s *schemer) whoever(prefix string) who {
	keys := []string{prefix + "1", prefix + "2", prefix + "3", prefix + "1=x", "u1", "b1", "k1"}
	keys = append(keys, s.more...)
	s.random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	n := 1 + s.random.IntN(3)
	spec := strings.Join(keys[:n], " ")
	if n > 1 && s.chance(40) {
		spec += "/2"
	}
	return who(spec)
}

// who signs a role as far as this schemer knows.
func (s *schemer) whoSigns(role string) who {
	switch role {
	case "targets":
		return s.roles.targets
	case "snapshot":
		return s.roles.snapshot
	case "timestamp":
		return s.roles.timestamp
	}
	var found []who
	for _, from := range schemedRoles {
		for _, d := range s.deleg[from] {
			if d.name == role {
				found = append(found, d.who)
			}
		}
	}
	if len(found) == 0 {
		return who(role + "1")
	}
	return pick(s.random, found)
}

// signers is a set of keys that mostly is enough.
func (s *schemer) signers(by who) []string {
	keys := slices.DeleteFunc(slices.Clone(by.keys()), func(name string) bool { return name == "u1" || name == "b1" })
	switch {
	case s.chance(8) && len(keys) > 0:
		keys = keys[1:]
	case s.chance(5) && len(keys) > 0:
		keys[0] = "-" + keys[0]
	case s.chance(8):
		keys = append(keys, pick(s.random, []string{"t1", "k1", "a1", "u1"}))
	case s.chance(5) && len(keys) > 0:
		keys = append(keys, keys...)
	}
	return keys
}

// act does one thing and puts what comes of it into s.out.
func (s *schemer) act() {
	switch n := s.random.IntN(100); {
	case n < 12:
		s.rotate()
	case n < 30:
		s.delegate()
	case n < 60:
		s.release(pick(s.random, schemedRoles))
	case n < 72:
		s.signAgain(pick(s.random, schemedRoles))
	case n < 92:
		s.passOff()
	default:
		s.snaps++
		snapshot := forge(s.t, forgedSnapshot(s.snaps/2+1, map[string]map[string]any{"targets": plain(1 + s.snaps%3)}), s.signers(s.roles.snapshot)...)
		timestamp := forge(s.t, forgedTimestamp(s.snaps/2+1, s.snaps), s.signers(s.roles.timestamp)...)
		s.out = append(s.out, submission{role: "snapshot", file: snapshot}, submission{role: "timestamp", file: timestamp})
	}
}

func (s *schemer) rotate() {
	before := s.roles.root
	switch s.random.IntN(4) {
	case 0:
		s.roles.root = s.whoever("r")
	case 1, 2:
		s.roles.targets = s.whoever("t")
	case 3:
		s.roles.snapshot = s.whoever("s")
	}
	s.root++
	signers := append(s.signers(before), s.signers(s.roles.root)...)
	s.out = append(s.out, submission{role: "root", file: forge(s.t, forgedRoot(s.root, s.roles), signers...)})
	if s.chance(15) {
		s.root += int64(s.random.IntN(3)) - 1
	}
}

// delegate changes to whom a role delegates, in any direction: back, to itself,
// to what others delegate to as well. Then it releases the role.
func (s *schemer) delegate() {
	from := pick(s.random, append(schemedRoles, "targets", "targets", "targets"))
	list := s.deleg[from]
	name := pick(s.random, schemedRoles[1:])
	at := slices.IndexFunc(list, func(d delegation) bool { return d.name == name })
	switch {
	case at < 0:
		list = slices.Insert(list, s.random.IntN(len(list)+1), delegation{
			name: name, who: s.whoever(pick(s.random, []string{name, "k", "k"})), last: s.chance(30),
			paths: pick(s.random, []string{"*", "f?le", "a/* file", "other", "other/*"}),
		})
	case s.chance(30):
		list = slices.Delete(list, at, at+1)
	default:
		list[at].who = s.whoever(name)
	}
	s.deleg[from] = list
	s.release(from)
}

func (s *schemer) release(role string) {
	s.version[role]++
	if s.chance(15) {
		s.version[role] = 1 + int64(s.random.IntN(4))
	}
	s.signed[role] = forgedTargets(s.version[role], pick(s.random, []string{"x", "y"}), s.deleg[role]...)
	if s.chance(15) {
		s.signed[role]["targets"] = map[string]any{}
	}
	s.last[role] = s.signers(s.whoSigns(role))
	s.submit(role)
}

func (s *schemer) signAgain(role string) {
	if s.signed[role] == nil {
		return
	}
	now := s.signers(s.whoSigns(role))
	if s.chance(50) {
		now = append(slices.Clone(s.last[role]), now...)
	}
	s.last[role] = now
	s.submit(role)
}

// passOff submits a role's file as another's, which both may have signed.
func (s *schemer) passOff() {
	from, to := pick(s.random, schemedRoles), pick(s.random, append(schemedRoles, "d"))
	if s.signed[from] == nil {
		return
	}
	version := s.version[to]
	s.version[to] = s.version[from]
	signed, last := s.signed[to], s.last[to]
	s.signed[to], s.last[to] = s.signed[from], s.last[from]
	if s.chance(70) {
		s.last[to] = append(slices.Clone(s.last[from]), s.signers(s.whoSigns(to))...)
	}
	s.submit(to)
	s.version[to], s.signed[to], s.last[to] = version, signed, last
}

// submit sends the role's file in beside snapshots that mostly vouch for it.
func (s *schemer) submit(role string) {
	file := forge(s.t, s.signed[role], s.last[role]...)
	sub := submission{role: role, file: file}
	for range 1 + s.random.IntN(2) {
		s.snaps++
		listed := map[string]map[string]any{role: hashed(file, s.version[role])}
		switch n := s.random.IntN(100); {
		case n < 40:
			listed[role] = plain(s.version[role])
		case n < 44:
			listed[role] = plain(s.version[role] + 1)
		case n < 47:
			listed = map[string]map[string]any{"other": hashed(file, s.version[role])}
		case n < 50:
			listed[role] = hashed(append(file, ' '), s.version[role])
		}
		sub.snapshots = append(sub.snapshots, forge(s.t, forgedSnapshot(s.snaps, listed), s.signers(s.roles.snapshot)...))
	}
	s.out = append(s.out, sub)
}

// verdictOf is what Judge returned as one value.
func verdictOf(t testing.TB, d admit.Decision, err error) verdict {
	t.Helper()
	v := verdict{logged: d.Logged, index: d.Index, leaf: d.Leaf}
	var r *admit.Refused
	switch {
	case errors.As(err, &r):
		v.code = r.Code
	case err != nil:
		t.Fatal(err)
	}
	return v
}

// twoJudges asks Repository and reference, and fails if they disagree.
func twoJudges(t *testing.T, p *prefix, ref *reference, sub submission) verdict {
	t.Helper()
	d, err := p.judge(sub.role, sub.file, sub.snapshots...)
	got := verdictOf(t, d, err)
	if want := ref.judge(sub.role, sub.file, sub.snapshots); got != want {
		t.Fatalf("%s %s\nis judged %+v (%v)\nthe reference says %+v", sub.role, sub.file, got, err, want)
	}
	return got
}

// TestAgainstReference lets schemers submit whatever they come up with, in any
// order and more than once, and compares every judgement with the reference's.
// Then it replays the log: every leaf must be judged to be exactly that leaf
// again.
func TestAgainstReference(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	outcomes := map[string]int{}
	for round := range rounds {
		random := rand.New(rand.NewPCG(7, uint64(round)))
		first := newSchemer(t, random)
		p := newPrefix(t, forge(t, forgedRoot(1, first.roles), "r1"))
		ref := &reference{t: t, records: slices.Clone(p.repo.Records()), files: p.blobs}
		schemers := []*schemer{first}
		first.release("targets")
		pool := first.out
		for range 60 {
			s := pick(random, schemers)
			s.act()
			if len(schemers) < 3 && s.chance(8) {
				schemers = append(schemers, s.clone())
			}
			pool, s.out = append(pool, s.out...), nil
			for try := range 3 {
				sub := pool[len(pool)-1]
				if try > 0 || random.IntN(4) == 0 {
					sub = pick(random, pool)
				}
				got := twoJudges(t, p, ref, sub)
				outcomes[outcome(got)]++
				if got.code != "" || got.logged {
					continue
				}
				p.blobs[tuf.Sum(sub.file)] = sub.file
				for _, snapshot := range sub.snapshots {
					p.blobs[tuf.Sum(snapshot)] = snapshot
				}
				if err := p.repo.Apply(p.next, got.leaf); err != nil {
					t.Fatal(err)
				}
				ref.records = append(ref.records, admit.Record{Index: p.next, Leaf: got.leaf})
				p.next += 1 + int64(random.IntN(3))
			}
			sameCurrent(t, p, ref)
		}
		replay(t, p, pool)
	}
	t.Log(outcomes)
	for _, want := range []string{
		"release", "evidence", "logged", "logged evidence", admit.RefusedThreshold, admit.RefusedSuperseded, admit.RefusedNoParent,
		admit.RefusedNotDelegated, admit.RefusedSnapshotNeeded, admit.RefusedSecondPayload, admit.RefusedNotCovered,
	} {
		if outcomes[want] < rounds/5 {
			t.Errorf("%s came out %d times: this tests little", want, outcomes[want])
		}
	}
}

// sameCurrent compares what is current of every role.
func sameCurrent(t *testing.T, p *prefix, ref *reference) {
	t.Helper()
	for _, role := range append(schemedRoles, tuf.RoleRoot, tuf.RoleSnapshot, "d") {
		got, ok, err := p.repo.Current(t.Context(), role)
		if err != nil {
			t.Fatal(err)
		}
		var want admit.Record
		wantOK := false
		for _, p := range ref.placesOf(role, nil) {
			if current := ref.current(role, p.keys); len(current) > 0 && !wantOK {
				want, wantOK = current[len(current)-1], true
			}
		}
		if got != want || ok != wantOK {
			t.Fatalf("current %s: %+v, %v\nthe reference says %+v, %v", role, got, ok, want, wantOK)
		}
	}
}

func outcome(v verdict) string {
	switch {
	case v.code != "":
		return v.code
	case !v.logged:
		return string(v.leaf.Kind)
	case v.leaf.Kind == leaf.Evidence:
		return "logged evidence"
	}
	return "logged"
}

// replay judges the leaves of a log again, and compares a repository that has
// judged all of them with one that has only been told of them.
func replay(t *testing.T, p *prefix, pool []submission) {
	t.Helper()
	records := p.repo.Records()
	again, err := admit.NewRepository(records[0].Leaf, records[0].Index, p)
	if err != nil {
		t.Fatal(err)
	}
	told, err := admit.NewRepository(records[0].Leaf, records[0].Index, p)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records[1:] {
		var snapshots []*tuf.Metadata
		if !rec.Leaf.Snapshot.IsZero() {
			snapshots = append(snapshots, parse(t, p.blobs[rec.Leaf.Snapshot]))
		}
		d, err := again.Judge(t.Context(), rec.Leaf.Role, parse(t, p.blobs[rec.Leaf.Metadata]), snapshots)
		if err != nil || d.Logged || d.Leaf != rec.Leaf {
			t.Fatalf("leaf %d\n%+v\nis judged again %+v, %v", rec.Index, rec.Leaf, d, err)
		}
		for _, r := range []*admit.Repository{again, told} {
			if err := r.Apply(rec.Index, rec.Leaf); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, sub := range pool {
		var snapshots []*tuf.Metadata
		for _, s := range sub.snapshots {
			snapshots = append(snapshots, parse(t, s))
		}
		m := parse(t, sub.file)
		want, err := p.repo.Judge(t.Context(), sub.role, m, snapshots)
		for _, r := range []*admit.Repository{again, told} {
			got, err2 := r.Judge(t.Context(), sub.role, m, snapshots)
			if got != want || (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
				t.Fatalf("%s is judged %+v, %v by one and %+v, %v by another", sub.role, want, err, got, err2)
			}
		}
	}
}
