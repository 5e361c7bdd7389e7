package audit_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// product is a repository with a key for each of the names that its roles are given.
type product struct {
	t    *testing.T
	keys map[string]ed25519.PrivateKey
}

func newProduct(t *testing.T) *product { return &product{t, map[string]ed25519.PrivateKey{}} }

func (p *product) key(name string) ed25519.PrivateKey {
	if p.keys[name] == nil {
		_, key, err := ed25519.GenerateKey(nil)
		must(p.t, err)
		p.keys[name] = key
	}
	return p.keys[name]
}

func (p *product) public(name string) *metadata.Key {
	key, err := metadata.KeyFromPublicKey(p.key(name).Public())
	must(p.t, err)
	return key
}

var laterOn = time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)

func signed[T metadata.Roles](p *product, m *metadata.Metadata[T], keys ...string) []byte {
	p.t.Helper()
	for _, name := range keys {
		signer, err := signature.LoadSigner(p.key(name), crypto.Hash(0))
		must(p.t, err)
		_, err = m.Sign(signer)
		must(p.t, err)
	}
	b, err := m.ToBytes(false)
	must(p.t, err)
	return b
}

// root gives the keys named to targets, and its own to the other roles.
func (p *product) root(version int64, targets ...string) []byte {
	root := metadata.Root(laterOn)
	root.Signed.Version = version
	for _, role := range []string{tuf.RoleRoot, tuf.RoleSnapshot, tuf.RoleTimestamp} {
		must(p.t, root.Signed.AddKey(p.public(role), role))
	}
	for _, name := range targets {
		must(p.t, root.Signed.AddKey(p.public(name), tuf.RoleTargets))
	}
	return signed(p, root, tuf.RoleRoot)
}

// targets is a file of targets metadata with one target, which may delegate to roles:
// each is its name, and the key's behind an equals sign.
func (p *product) targets(version int64, path string, key string, delegated ...string) []byte {
	m := metadata.Targets(laterOn)
	m.Signed.Version = version
	if path != "" {
		file, err := metadata.TargetFile().FromBytes(path, []byte(path), "sha256")
		must(p.t, err)
		m.Signed.Targets[path] = file
	}
	for _, d := range delegated {
		role, of, _ := strings.Cut(d, "=")
		if m.Signed.Delegations == nil {
			m.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
		}
		id, err := p.public(of).ID()
		must(p.t, err)
		m.Signed.Delegations.Keys[id] = p.public(of)
		m.Signed.Delegations.Roles = append(m.Signed.Delegations.Roles,
			metadata.DelegatedRole{Name: role, KeyIDs: []string{id}, Threshold: 1, Paths: []string{"*", "*/*"}})
	}
	return signed(p, m, key)
}

// delegating is targets metadata that gives roles keys, not signed.
func (p *product) delegating(version int64, roles map[string][]string) *metadata.Metadata[metadata.TargetsType] {
	m := metadata.Targets(laterOn)
	m.Signed.Version = version
	m.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	for name, keys := range roles {
		role := metadata.DelegatedRole{Name: name, Threshold: 1, Paths: []string{"*"}}
		for _, key := range keys {
			id, err := p.public(key).ID()
			must(p.t, err)
			m.Signed.Delegations.Keys[id] = p.public(key)
			role.KeyIDs = append(role.KeyIDs, id)
		}
		m.Signed.Delegations.Roles = append(m.Signed.Delegations.Roles, role)
	}
	return m
}

// signedBy is a file with the signature of one key alone.
func (p *product) signedBy(m *metadata.Metadata[metadata.TargetsType], key string) []byte {
	m.Signatures = nil
	return signed(p, m, key)
}

// snapshot lists files of roles, by their hashes or by their versions alone.
func (p *product) snapshot(version int64, byHash bool, files map[string][]byte) []byte {
	m := metadata.Snapshot(laterOn)
	m.Signed.Version = version
	m.Signed.Meta = map[string]*metadata.MetaFiles{}
	for role, file := range files {
		meta := metadata.MetaFile(audittest.Parse(p.t, file).Version)
		if byHash {
			sum := sha256.Sum256(file)
			meta.Hashes = metadata.Hashes{"sha256": sum[:]}
		}
		m.Signed.Meta[role+".json"] = meta
	}
	return signed(p, m, tuf.RoleSnapshot)
}

func (p *product) vouched(version int64, byHash bool, role string, file []byte) []byte {
	return p.snapshot(version, byHash, map[string][]byte{role: file})
}

// A vendor's insider with the root keys has two payloads of one version released under
// one key each, and then gives the role both keys: devices may install either.
func TestBothStand(t *testing.T) {
	for _, tt := range []struct {
		name        string
		first, then bool // listed by hash
		kind        audit.Kind
		class       audit.Class
		says        string
	}{
		{"both by hash", true, true, audit.BothStand, audit.Equivocation, "targets 14 is signed with two payloads, each listed by its hash: the releases at index 1 and 3 both stand since leaf 4"},
		{"one by version", true, false, audit.TwoPayloads, audit.Hygiene, "all stand since leaf 4: index 1 (listed by its hash), index 3"},
		{"both by version", false, false, audit.TwoPayloads, audit.Hygiene, "targets 14 is released with 2 payloads that all stand since leaf 4: index 1, index 3."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, p, dir := audittest.New(t), newProduct(t), t.TempDir()
			id := l.Register(p.root(1, "k1"))
			one, two := p.targets(14, "for-everybody", "k1"), p.targets(14, "for-one", "k2")
			l.Submit(id, tuf.RoleTargets, one, p.vouched(1, tt.first, tuf.RoleTargets, one))
			l.Submit(id, tuf.RoleRoot, p.root(2, "k2"))
			if entry, _ := l.Submit(id, tuf.RoleTargets, two, p.vouched(2, tt.then, tuf.RoleTargets, two)); entry.Kind != leaf.Release {
				t.Fatalf("the second payload is %s", entry.Kind)
			}
			l.Publish(2)
			a := newAuditor(t, l, func(c *audit.Config) { c.StateDir = dir })
			step(t, a)
			if r := report(t, a); hygiene(r) != "version-reused@3" || kinds(r.Findings) != "" {
				t.Errorf("while one stands: %s %s", hygiene(r), kinds(r.Findings))
			}
			_, index := l.Submit(id, tuf.RoleRoot, p.root(3, "k1", "k2"))
			l.Publish(2)
			found := step(t, a).Findings
			if len(found) != 1 || found[0].Kind != tt.kind || found[0].Class != tt.class || found[0].Index != index || !strings.Contains(found[0].Sentence, tt.says) {
				t.Fatalf("found %+v", found)
			}
			if tt.class == audit.Equivocation {
				if s := prove(t, l, found[0]); s.Repository != id || s.Version != 14 || len(s.SignedBoth) != 0 {
					t.Errorf("proved: %+v", s)
				}
				checkEvidence(t, dir, found[0])
			}
			// It is said once.
			l.Submit(id, tuf.RoleRoot, p.root(4, "k1", "k2"))
			l.Publish(2)
			if again := step(t, a).Findings; len(again) != 0 {
				t.Errorf("said again: %+v", again)
			}
			if !report(t, a).Vouches {
				t.Error("it is not the log's fault")
			}
		})
	}
}

// The same by delegations: which are in force is changed by roots and by old files that
// are signed again.
func TestBothStandByOldDelegations(t *testing.T) {
	l, p := audittest.New(t), newProduct(t)
	id := l.Register(p.root(1, "t1"))
	submit := func(role string, file []byte, version int64) int64 {
		t.Helper()
		entry, index := l.Submit(id, role, file, p.vouched(version, true, role, file))
		if entry.Kind != leaf.Release {
			t.Fatalf("%s at %d is %s", role, index, entry.Kind)
		}
		return index
	}
	four := p.delegating(4, map[string][]string{"d": {"k2"}})
	five := p.delegating(5, map[string][]string{"d": {"k1", "k2"}})
	submit(tuf.RoleTargets, p.signedBy(four, "t1"), 1)
	submit(tuf.RoleTargets, p.signedBy(five, "t1"), 2)
	first := submit("d", p.targets(1, "for-everybody", "k1"), 3)
	l.Submit(id, tuf.RoleRoot, p.root(2, "t2"))
	submit(tuf.RoleTargets, p.signedBy(four, "t2"), 4)
	second := submit("d", p.targets(1, "for-one", "k2"), 5)
	l.Publish(2)
	a := newAuditor(t, l)
	step(t, a)
	if r := report(t, a); kinds(r.Findings) != "" {
		t.Fatalf("while one stands: %s", kinds(r.Findings))
	}
	last := submit(tuf.RoleTargets, p.signedBy(five, "t2"), 6)
	l.Publish(2)
	found := step(t, a).Findings
	if len(found) != 1 || found[0].Kind != audit.BothStand || found[0].Index != last || !strings.Contains(found[0].Sentence, fmt.Sprintf("index %d and %d both stand", first, second)) {
		t.Errorf("found %+v", found)
	}
}

// Where roles share keys, and snapshots list versions only, a file of one may be taken
// for the other's: the structure is a finding before anything has happened, and two
// payloads of a version name the role that may be meant.
func TestRolesThatShareKeys(t *testing.T) {
	l, p := audittest.New(t), newProduct(t)
	id := l.Register(p.root(1, "targets"))
	top := p.targets(1, "", "targets", "a=shared", "b=shared", "c=own")
	ofA, ofB := p.targets(1, "a", "shared"), p.targets(1, "b", "shared")
	snapshot := p.snapshot(1, false, map[string][]byte{"targets": top, "a": ofA, "b": ofB, "c": ofA})
	l.Submit(id, tuf.RoleTargets, top, snapshot)
	l.Submit(id, "b", ofA, snapshot) // by an outsider
	l.Submit(id, "b", ofB, snapshot)
	l.Publish(2)
	a := newAuditor(t, l)
	step(t, a)
	r := report(t, a)
	if got, want := hygiene(r), "shared-keys@1 two-payloads@3 never-logged@-1"; got != want {
		t.Fatalf("found %s, want %s", got, want)
	}
	for i, says := range []string{"roles a, b share keys", "b 1 is released with 2 payloads that all stand since leaf 3: index 2 (it may be a's), index 3 (it may be a's)", "listed by snapshot 1, but never logged: a, c"} {
		if !strings.Contains(r.Findings[i].Sentence, says) {
			t.Errorf("%s does not say %s", r.Findings[i].Sentence, says)
		}
	}
	// Once it is logged, nothing is missing of it; the structure is told once.
	l.Submit(id, "a", ofA, snapshot)
	next := p.targets(2, "", "targets", "a=shared", "b=shared", "c=own")
	l.Submit(id, tuf.RoleTargets, next, p.snapshot(2, false, map[string][]byte{"targets": next, "a": ofA, "b": ofB}))
	l.Publish(2)
	step(t, a)
	if got, want := hygiene(report(t, a)), "shared-keys@1 two-payloads@3 shared-payload@4"; got != want {
		t.Errorf("found %s, want %s", got, want)
	}
}

// Which roles share keys, by thresholds and across files.
func TestSharedKeys(t *testing.T) {
	l, p := audittest.New(t), newProduct(t)
	id := l.Register(p.root(1, "t"))
	top := p.targets(1, "", "t", "one=t", "two=x", "three=y")
	deeper := p.targets(1, "", "x", "four=y", "five=z")
	snapshot := p.snapshot(1, true, map[string][]byte{"targets": top, "two": deeper})
	l.Submit(id, tuf.RoleTargets, top, snapshot)
	l.Submit(id, "two", deeper, snapshot)
	l.Publish(2)
	a := newAuditor(t, l)
	step(t, a)
	var got []string
	for _, f := range report(t, a).Findings {
		got = append(got, fmt.Sprint(f.Index, " ", strings.Split(f.Sentence, " share")[0]))
	}
	if want := "[1 roles targets, one 2 roles four, three]"; fmt.Sprint(got) != want {
		t.Errorf("found %v, want %s", got, want)
	}
}

// A release that two repositories have is a finding, whatever it lists; that two vendors
// begin with the same empty payload is none.
func TestTwinsThatListNothing(t *testing.T) {
	l, p := audittest.New(t), newProduct(t)
	ids := []tuf.Digest{l.Register(p.root(1, "t")), l.Register(p.root(2, "t"))}
	empty := p.targets(1, "", "t")
	var last int64
	for _, id := range ids {
		_, last = l.Submit(id, tuf.RoleTargets, empty, p.vouched(1, true, tuf.RoleTargets, empty))
	}
	other := newProduct(t)
	id, alike := l.Register(other.root(1, "t")), other.targets(1, "", "t")
	l.Submit(id, tuf.RoleTargets, alike, other.vouched(1, true, tuf.RoleTargets, alike))
	l.Publish(2)
	a := newAuditor(t, l)
	step(t, a)
	if got, want := hygiene(report(t, a)), fmt.Sprintf("second-chain@1 twin@%d", last); got != want {
		t.Errorf("found %s, want %s", got, want)
	}
}

// What asking costs is bounded by what a vendor has logged, and it is said when it is
// not asked any more.
func TestAskingWhatStandsIsBounded(t *testing.T) {
	l, p := audittest.New(t), newProduct(t)
	id := l.Register(p.root(1, "k1"))
	one, two := p.targets(14, "for-everybody", "k1"), p.targets(14, "for-one", "k2")
	l.Submit(id, tuf.RoleTargets, one, p.vouched(1, true, tuf.RoleTargets, one))
	l.Submit(id, tuf.RoleRoot, p.root(2, "k2"))
	l.Submit(id, tuf.RoleTargets, two, p.vouched(2, true, tuf.RoleTargets, two))
	for version := range int64(10) {
		l.Submit(id, tuf.RoleRoot, p.root(version+3, "k2"))
	}
	l.Submit(id, tuf.RoleRoot, p.root(13, "k1", "k2"))
	l.Publish(2)
	for perByte, want := range map[int64]string{
		16: "both-stand", // asked of two files for twelve roots
		0:  "two-payloads",
	} {
		a := newAuditor(t, l)
		a.SetStanding(0, perByte)
		step(t, a)
		var got []string
		for _, f := range report(t, a).Findings {
			if f.Kind != audit.VersionReused {
				got = append(got, string(f.Kind))
			}
			if f.Kind == audit.TwoPayloads && !strings.Contains(f.Sentence, "no longer checked for all of them") {
				t.Errorf("found %s", f.Sentence)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%d bytes for each byte logged: found %v, want %s", perByte, got, want)
		}
	}
}
