package audit_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// scheming is a vendor who does at random what can be done, in a log that now and then takes
// what it should not.
type scheming struct {
	*made
	random   *rand.Rand
	root     int64
	versions map[string]int64
	bodies   map[string]object // of the last release
	signs    map[string]string // the key of a delegated role
	later    []leaf.Leaf       // that were refused, with their files in the log
}

func (s *scheming) chance(percent int) bool { return s.random.IntN(100) < percent }

// offer offers a file. If the rules refuse it, it may be logged nevertheless.
func (s *scheming) offer(role string, file []byte, snapshots ...[]byte) {
	s.T.Helper()
	m := audittest.Parse(s.T, file)
	var parsed []*tuf.Metadata
	for _, snapshot := range snapshots {
		parsed = append(parsed, audittest.Parse(s.T, snapshot))
	}
	_, err := s.Offer(s.repo, role, m, parsed)
	if err != nil && !errors.As(err, new(*admit.Refused)) {
		s.T.Fatal(err)
	}
	if err == nil {
		return
	}
	l := leaf.Leaf{Kind: leaf.Release, Repository: s.repo, Role: role, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON}
	if len(parsed) > 0 {
		l.Snapshot, l.Listed = parsed[0].FileDigest, leaf.ByHash
		if s.chance(50) {
			l.Listed = leaf.ByVersion
		}
	}
	s.Keep(append(snapshots, file)...)
	if s.chance(30) {
		s.Append(l.Marshal())
	} else {
		s.later = append(s.later, l)
	}
}

// release offers a version of a role.
func (s *scheming) release(role string, version int64, body object, by string) {
	if body["targets"] == nil {
		body["targets"] = object{}
	}
	body["_type"], body["version"] = "targets", version
	file := s.sign(body, by)
	s.files[role] = version
	s.snap++
	snapshot := s.snapshotFile(s.snap, file, role)
	if s.chance(15) { // it lists the version alone
		snapshot = s.snapshotFile(s.snap, nil, role)
	}
	s.offer(role, file, snapshot)
	if s.chance(20) {
		s.offer(tuf.RoleSnapshot, snapshot)
	}
	s.versions[role], s.bodies[role] = max(s.versions[role], version), body
}

func (s *scheming) key(role string) string {
	switch {
	case s.chance(4):
		return "thief"
	case role == tuf.RoleTargets:
		return s.roles[role][0]
	}
	return s.signs[role]
}

func (s *scheming) act(orderly bool) {
	role := []string{tuf.RoleTargets, tuf.RoleTargets, tuf.RoleTargets, "a", "b"}[s.random.IntN(5)]
	next := s.versions[role] + 1
	content := listing(fmt.Sprintf("file-%d", s.random.IntN(3)), target(fmt.Sprint(s.repo, s.random.IntN(1000)), nil))
	if role == tuf.RoleTargets && s.versions["a"]+s.versions["b"] > 0 || s.chance(10) {
		if d, ok := s.bodies[role]["delegations"]; ok {
			content["delegations"] = d
		}
	}
	n := s.random.IntN(100)
	if orderly && n >= 70 {
		n = s.random.IntN(70)
	}
	switch {
	case n < 55:
		s.release(role, next, content, s.key(role))
	case n < 62:
		from := []string{tuf.RoleTargets, tuf.RoleTargets, "a"}[s.random.IntN(3)]
		to := []string{"a", "b"}[s.random.IntN(2)]
		s.signs[to] = fmt.Sprint(to, s.random.IntN(2))
		content["delegations"] = delegations(object{"name": to, "paths": []string{"*"}, "keys": []string{s.signs[to]}})
		s.release(from, s.versions[from]+1, content, s.key(from))
	case n < 70:
		s.root++
		if s.chance(60) {
			s.roles[tuf.RoleTargets] = []string{fmt.Sprint("t", s.random.IntN(3))}
		} else {
			s.roles[tuf.RoleSnapshot] = []string{fmt.Sprint("s", s.random.IntN(2))}
		}
		s.offer(tuf.RoleRoot, s.rootFile(s.root, "r"))
	case n < 76: // late, or once more
		s.release(role, 1+s.random.Int64N(next), content, s.key(role))
	case n < 82: // signed again
		if body := s.bodies[role]; body != nil {
			s.release(role, body["version"].(int64), body, s.key(role))
		}
	case n < 88: // as another role's
		if body := s.bodies[role]; body != nil {
			s.release([]string{tuf.RoleTargets, "a", "b"}[s.random.IntN(3)], body["version"].(int64), body, s.key("a"))
		}
	case n < 92:
		s.offer(tuf.RoleTimestamp, s.sign(object{"_type": "timestamp", "version": 1 + s.random.Int64N(4), "meta": object{"snapshot.json": object{"version": s.snap + 1}}}, "n"))
	case n < 96 && len(s.later) > 0: // what was refused once
		s.Append(s.later[s.random.IntN(len(s.later))].Marshal())
	default:
		s.root += s.random.Int64N(3) - 1
		s.root = max(s.root, 1)
		s.offer(tuf.RoleRoot, s.rootFile(s.root+1, "r"))
	}
}

// An auditor that has room for one repository at a time, and reads as little as it can of each,
// says the same as one that forgets nothing; and so does one that begins again and again.
func TestVerdictsWithLittleMemory(t *testing.T) {
	rounds, acts := uint64(4), 250
	if testing.Short() {
		rounds, acts = 1, 120
	}
	inPart, right, wrong := 0, int64(0), int64(0)
	for round := range rounds {
		random := rand.New(rand.NewPCG(round, 9))
		log := audittest.New(t)
		var vendors []*scheming
		for i := range 7 {
			m := madeIn(log, func(m *made) {
				m.roles[tuf.RoleRoot] = []string{"r"}
				m.extra = object{fmt.Sprint("unused-", i): object{"keytype": "ed25519", "scheme": "ed25519", "keyval": object{"public": fmt.Sprintf("%064x", i)}}}
			})
			vendors = append(vendors, &scheming{made: m, random: random, root: 1, versions: map[string]int64{}, bodies: map[string]object{}, signs: map[string]string{"a": "a0", "b": "b0"}})
		}
		var sizes []int64
		for i := range acts {
			n := random.IntN(len(vendors))
			vendors[n].act(n < 4)
			if i%10 == 9 {
				sizes = append(sizes, log.Size())
			}
		}
		whole := newAuditor(t, log)
		whole.SetMaxInMemory(1<<30, 1)
		dir := t.TempDir()
		var little, restarted *audit.Auditor
		little = newAuditor(t, log)
		little.SetMaxInMemory(1, 1+int(round%3))
		for _, size := range sizes {
			log.Serve(log.Checkpoint(size, 2))
			step(t, whole)
			step(t, little)
			inPart += little.InPart()
			restarted = newAuditor(t, log, func(c *audit.Config) { c.StateDir = dir })
			restarted.SetMaxInMemory(1, 1)
			step(t, restarted)
			if size < sizes[len(sizes)-1] {
				must(t, restarted.Close())
			}
		}
		r := report(t, whole)
		right, wrong = right+r.Verdicts[audit.Right], wrong+r.Verdicts[audit.Wrong]
		for name, a := range map[string]*audit.Auditor{"with little memory": little, "begun again and again": restarted} {
			if got, want := summary(report(t, a)), summary(r); got != want {
				t.Fatalf("round %d, %s:\n%s", round, name, firstDifference(got, want))
			}
		}
	}
	if inPart == 0 || right == 0 || wrong == 0 {
		t.Errorf("%d times a part was held, %d leaves are right and %d wrong: this tests nothing", inPart, right, wrong)
	}
}

// firstDifference shows where two texts begin to differ.
func firstDifference(got, want string) string {
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	from := max(0, n-300)
	return fmt.Sprintf("got …%.900s\nwant …%.900s", got[from:], want[from:])
}

// A key that comes back puts in force what is too old to be read with the last releases.
func TestOldReleaseIsInForceAgain(t *testing.T) {
	m := newMade(t)
	other := madeIn(m.Log, func(m *made) { m.extra = keyTable("unused") })
	m.targets(tuf.RoleTargets, 1, delegating(object{"name": "a", "paths": []string{"*"}}), "t")
	m.roles[tuf.RoleTargets] = []string{"u"}
	m.root(2, "r")
	m.targets(tuf.RoleTargets, 2, delegating(object{"name": "a", "paths": []string{"*"}, "keys": []string{"b"}}), "u")
	m.targets("a", 1, object{}, "b")
	m.targets(tuf.RoleTargets, 3, delegating(object{"name": "a", "paths": []string{"*"}, "keys": []string{"b"}}), "u")
	m.roles[tuf.RoleTargets] = []string{"t"}
	m.root(3, "r")
	other.targets(tuf.RoleTargets, 1, object{}, "t")
	m.targets("a", 2, object{}, "a")
	m.Publish(2)
	whole, little := newAuditor(t, m.Log), newAuditor(t, m.Log)
	little.SetMaxInMemory(1, 1)
	step(t, whole)
	step(t, little)
	r := report(t, whole)
	if r.Verdicts[audit.Right] != m.Size() || r.Repositories[0].Roles[1].Current != 1 {
		t.Fatalf("want all right, and targets 1 in force: %v, %+v", r.Verdicts, r.Repositories)
	}
	if got, want := summary(report(t, little)), summary(r); got != want {
		t.Error(firstDifference(got, want))
	}
}
