package lookup_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/lookup"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// memory is a log with what an auditor remembers of it, and the auditor.
type memory struct {
	*state.DB
	t     *testing.T
	log   *audittest.Log
	repos map[tuf.Digest]*admit.Repository
	blobs map[tuf.Digest][]byte
	fails error // of Prove
}

func newMemory(t *testing.T) *memory {
	t.Helper()
	db, err := state.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &memory{DB: db, t: t, log: audittest.New(t), repos: map[tuf.Digest]*admit.Repository{}, blobs: map[tuf.Digest][]byte{}}
}

func (m *memory) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *memory) Blob(_ context.Context, sum tuf.Digest) ([]byte, error) { return m.blobs[sum], nil }

func (m *memory) Current(ctx context.Context, id tuf.Digest, role string) (int64, bool, error) {
	r, ok, err := m.repos[id].Current(ctx, role)
	return r.Index, ok, err
}

func (m *memory) Prove(_ context.Context, index int64, raw []byte) ([]byte, error) {
	entry, err := leaf.Parse(raw)
	return fmt.Appendf(nil, "proof of %d: %s %d", index, entry.Role, entry.Version), errors.Join(err, m.fails)
}

// remember adds a leaf, as an auditor does that found it right.
func (m *memory) remember(entry leaf.Leaf, index int64, files ...[]byte) {
	m.t.Helper()
	for _, file := range files {
		m.blobs[tuf.Sum(file)] = file
	}
	l := &state.Leaf{Index: index, Verdict: state.Right, Leaf: entry, Expires: 2e9}
	m.must(m.List(m.t.Context(), l, audittest.Parse(m.t, files[0])))
	m.must(m.Append(m.t.Context(), l))
	if repo := m.repos[entry.Repository]; repo != nil {
		m.must(repo.Apply(index, entry))
		return
	}
	repo, err := admit.NewRepository(entry, index, m)
	m.must(err)
	m.repos[entry.Repository] = repo
}

func newVendor(t testing.TB) *testvendor.Vendor {
	t.Helper()
	v, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// vendor opens a repository.
func (m *memory) vendor() (*testvendor.Vendor, tuf.Digest) {
	m.t.Helper()
	v := newVendor(m.t)
	_, root := v.File(tuf.RoleRoot)
	index := m.log.Size()
	id := m.log.Register(root)
	decision, err := admit.JudgeGenesis(audittest.Parse(m.t, root))
	m.must(err)
	m.remember(decision.Leaf, index, root)
	return v, id
}

// release logs targets with files, given as path and content.
func (m *memory) release(v *testvendor.Vendor, id tuf.Digest, files ...string) {
	m.t.Helper()
	for i := 0; i < len(files); i += 2 {
		m.must(v.Put(tuf.RoleTargets, files[i], []byte(files[i+1])))
	}
	m.must(v.Release(tuf.RoleTargets))
	_, file := v.File(tuf.RoleTargets)
	_, snapshot := v.File(tuf.RoleSnapshot)
	entry, index := m.log.Submit(id, tuf.RoleTargets, file, snapshot)
	m.remember(entry, index, file, snapshot)
}

func (m *memory) find(q lookup.Query, vendors map[tuf.Digest]string) *lookup.Lookup {
	m.t.Helper()
	l := lookup.New(q)
	l.Vendors = vendors
	m.must(l.Find(m.t.Context(), m, m))
	return l
}

// answers is what there is to see of each answer.
func answers(l *lookup.Lookup) string {
	var lines []string
	for _, a := range l.Answers {
		line := fmt.Sprintf("%d-%d %s %s %d %s", a.Since, a.Index, a.Kind, a.Role, a.Version, a.Path)
		if a.Current != nil && *a.Current {
			line += " current"
		}
		if len(a.Rivals) > 0 {
			line += fmt.Sprint(" rivals ", a.Rivals)
		}
		if a.Conflict != "" {
			line += ": " + a.Conflict
		}
		if a.More > 0 {
			line += fmt.Sprintf(" and %d more", a.More)
		}
		if want := fmt.Sprintf("proof of %d: %s %d", a.Index, a.Role, a.Version); a.Proof != want {
			line += " without proof"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

func (m *memory) want(got, want string) {
	m.t.Helper()
	if got != want {
		m.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// From memory a file is found by its hashes and by its path: successive releases that list it
// are one answer.
func TestFind(t *testing.T) {
	m := newMemory(t)
	v, id := m.vendor()                    // 0
	m.release(v, id, "app.bin", "one")     // 1
	m.release(v, id, "notes.txt", "hello") // 2
	m.release(v, id, "app.bin", "two")     // 3
	evil, err := v.Clone()
	m.must(err)
	m.release(v, id, "app.bin", "three")          // 4
	m.release(evil, id, "app.bin", "for one")     // 5: evidence
	stranger, other := m.vendor()                 // 6
	m.release(stranger, other, "theirs", "hello") // 7

	one := tuf.Sum([]byte("one"))
	m.want(answers(m.find(lookup.QueryDigest(one), nil)), "1-2 release targets 3 app.bin")
	query, err := lookup.QueryFile(strings.NewReader("one"))
	m.must(err)
	m.want(answers(m.find(query, nil)), "1-2 release targets 3 app.bin")
	m.want(answers(m.find(lookup.Query{SHA512: query.SHA512, Length: 5}, nil)), "1-2 release targets 3 app.bin: lists 3 bytes, the file has 5")
	m.want(answers(m.find(lookup.QueryDigest(tuf.Sum([]byte("three"))), nil)), "4-4 release targets 5 app.bin current rivals [{5 evidence}]")
	m.want(answers(m.find(lookup.QueryDigest(tuf.Sum([]byte("for one"))), nil)), "5-5 evidence targets 5 app.bin rivals [{4 release}]")
	m.want(answers(m.find(lookup.Query{Path: "app.bin", Length: -1}, nil)),
		"1-2 release targets 3 app.bin; 3-3 release targets 4 app.bin; 4-4 release targets 5 app.bin current rivals [{5 evidence}]; 5-5 evidence targets 5 app.bin rivals [{4 release}]")
	hello := lookup.QueryDigest(tuf.Sum([]byte("hello")))
	m.want(answers(m.find(hello, nil)), "2-4 release targets 5 notes.txt current rivals [{5 evidence}]; 5-5 evidence targets 5 notes.txt rivals [{4 release}]; 7-7 release targets 2 theirs current")
	l := m.find(hello, map[tuf.Digest]string{other: "Them"})
	m.want(answers(l), "7-7 release targets 2 theirs current")
	if l.Elsewhere != 2 {
		t.Errorf("%d leaves elsewhere", l.Elsewhere)
	}
	_, root := v.File(tuf.RoleRoot)
	if l := m.find(lookup.QueryDigest(tuf.Sum(root)), nil); len(l.Named) != 1 || l.Named[0] != (lookup.Named{Index: 0, As: "metadata"}) {
		t.Errorf("a file of metadata: %+v", l)
	}
	m.want(answers(m.find(lookup.QueryDigest(tuf.Sum(nil)), nil)), "")

	m.fails = errors.New("no tiles")
	l = lookup.New(hello)
	if err := l.Find(t.Context(), m, m); !errors.Is(err, m.fails) || len(l.Answers) != 3 {
		t.Errorf("without proofs: %v, %s", err, answers(l))
	}
}

// A leaf that lists a file under very many paths has few answers.
func TestFindOfManyPaths(t *testing.T) {
	m := newMemory(t)
	v, id := m.vendor()
	files := []string{}
	for i := range 40 {
		files = append(files, fmt.Sprintf("%03d", i), "same")
	}
	m.release(v, id, files...)
	m.want(answers(m.find(lookup.QueryDigest(tuf.Sum([]byte("same"))), nil)),
		"1-1 release targets 2 000 current; 1-1 release targets 2 001 current; 1-1 release targets 2 002 current; 1-1 release targets 2 003 current and 36 more")
}

// A key is found by its id, and the files that a vendor's newest releases list by his repository.
func TestKeysAndFiles(t *testing.T) {
	m := newMemory(t)
	v, id := m.vendor()
	m.release(v, id, "app.bin", "one", "b", "two")
	old := keyOf(t, v)
	m.must(v.Rotate(tuf.RoleTargets))
	_, root := v.File(tuf.RoleRoot)
	entry, index := m.log.Submit(id, tuf.RoleRoot, root)
	m.remember(entry, index, root)
	m.release(v, id, "app.bin", "three")
	_, other := m.vendor()

	keys := func(l *lookup.Lookup, key string) string {
		found, more, err := l.Keys(t.Context(), m, key)
		m.must(err)
		var lines []string
		for _, k := range found {
			line := fmt.Sprintf("%s %d-%d signs %v", k.Role, k.Since, k.Index, k.Signs)
			if k.Newest {
				line += " newest"
			}
			lines = append(lines, line)
		}
		return fmt.Sprint(strings.Join(lines, "; "), " ", more, " ", l.Elsewhere)
	}
	m.want(keys(lookup.New(lookup.Query{}), old), "root 0-0 signs [{targets 1}] 0 0")
	m.want(keys(lookup.New(lookup.Query{}), keyOf(t, v)), "root 2-2 signs [{targets 1}] newest 0 0")
	l := lookup.New(lookup.Query{})
	l.Vendors = map[tuf.Digest]string{other: ""}
	m.want(keys(l, old), " 0 1")

	l.Vendors = map[tuf.Digest]string{id: "Acme", other: ""}
	files, more, err := l.Files(t.Context(), m)
	m.must(err)
	if len(files) != 2 || more != 0 || files[0].Path != "app.bin" || files[0].Since != 3 || files[1].Since != 1 || files[1].Index != 3 || files[1].Hashes["sha256"] != tuf.Sum([]byte("two")).String() {
		t.Errorf("%+v, %d more", files, more)
	}
}

// keyOf is the id of the key that signed the vendor's targets last.
func keyOf(t *testing.T, v *testvendor.Vendor) string {
	_, file := v.File(tuf.RoleTargets)
	return audittest.Parse(t, file).Signatures[0].KeyID
}

// Strangers can list a file in more releases than anybody looks at. That hides neither what a
// vendor released, nor evidence.
func TestFindInAFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("remembers two thousand leaves")
	}
	m := newMemory(t)
	v, id := m.vendor()
	m.release(v, id, "app.bin", "one") // 1
	evil, err := v.Clone()
	m.must(err)
	m.release(v, id, "app.bin", "two")    // 2
	m.release(evil, id, "b.bin", "three") // 3: evidence, which lists "one" as well
	flood, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	m.must(err)
	m.must(flood.Put(tuf.RoleTargets, "x", []byte("one")))
	m.must(flood.Release(tuf.RoleTargets))
	_, file := flood.File(tuf.RoleTargets)
	for i := range 2000 {
		other := leaf.Leaf{Kind: leaf.Release, Repository: tuf.Sum(fmt.Append(nil, i)), Role: tuf.RoleTargets, Version: 2, Metadata: tuf.Sum(file), Payload: tuf.Sum(fmt.Append(nil, "p", i)), Size: 1, Encoding: tuf.JSON}
		l := &state.Leaf{Index: m.Size(), Verdict: state.Right, Leaf: other}
		m.must(m.List(t.Context(), l, audittest.Parse(t, file)))
		m.must(m.Append(t.Context(), l))
		m.repos[other.Repository] = m.repos[id]
	}
	one := lookup.QueryDigest(tuf.Sum([]byte("one")))
	l := m.find(one, map[tuf.Digest]string{id: ""})
	m.want(answers(l), "1-1 release targets 2 app.bin; 3-3 evidence targets 3 app.bin rivals [{2 release}]")
	if l.Elsewhere != 2000 || l.More != 0 {
		t.Errorf("%d elsewhere, %d more", l.Elsewhere, l.More)
	}
	l = m.find(one, nil)
	if len(l.Answers) != lookup.MaxShown || l.More != 1002 || l.Answers[0].Index != 3 || l.Answers[lookup.MaxShown-1].Index != m.Size()-1 {
		t.Errorf("%d answers and %d more, the first of entry %d, the last of %d", len(l.Answers), l.More, l.Answers[0].Index, l.Answers[len(l.Answers)-1].Index)
	}
}
