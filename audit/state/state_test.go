package state_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

func open(t testing.TB, dir string) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), dir)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sum(n int) tuf.Digest { return tuf.Sum(binary.AppendVarint(nil, int64(n))) }

// someLeaf makes the leaf at an index.
func someLeaf(index int64) *state.Leaf {
	if index%7 == 6 {
		return &state.Leaf{Index: index, Verdict: state.Wrong, Raw: []byte(fmt.Sprint("entry ", index))}
	}
	i := int(index)
	l := &state.Leaf{Index: index, Verdict: state.Right, Expires: index * 100, Leaf: leaf.Leaf{
		Kind: leaf.Release, Repository: sum(i % 3), Role: []string{"targets", "a/ü%\n"}[i%2], Version: index + 1,
		Payload: sum(1000 + i), Metadata: sum(2000 + i), Size: 100 + index, Encoding: tuf.JSON,
	}}
	switch i % 4 {
	case 1:
		l.Snapshot, l.Listed = sum(3000+i), leaf.ByHash
	case 2:
		l.Snapshot, l.Listed, l.Kind, l.Contradicts = sum(3000+i), leaf.ByVersion, leaf.Evidence, index-1
	case 3:
		l.Encoding, l.Expires = tuf.Pigweed, 0
	}
	return l
}

func fill(t testing.TB, db *state.DB, n int64) {
	t.Helper()
	for db.Size() < n {
		must(t, db.Append(t.Context(), someLeaf(db.Size())))
	}
}

// What is committed is there in the next process, to the byte, and nothing else is.
func TestLeaves(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	ctx := t.Context()
	db, err := state.Open(ctx, dir)
	must(t, err)
	tree := new(proofs.Edge)
	for i := range int64(300) {
		must(t, tree.Append(proofs.LeafHash(someLeaf(i).Entry())))
	}
	fill(t, db, 300)
	must(t, db.Commit(ctx))
	fill(t, db, 320)
	must(t, db.Close()) // without a commit
	db = open(t, dir)
	if db.Size() != 300 || db.Tree().Tree() != tree.Tree() {
		t.Fatalf("%d leaves, tree %v, want %v", db.Size(), db.Tree().Tree(), tree.Tree())
	}
	n := int64(0)
	must(t, db.Leaves(ctx, 0, 1000, func(l state.Leaf) error {
		want := someLeaf(n)
		if l.Leaf != want.Leaf || l.Index != n || l.Verdict != want.Verdict || l.Expires != want.Expires || !bytes.Equal(l.Entry(), want.Entry()) {
			t.Errorf("leaf %d is %+v, want %+v", n, l, want)
		}
		n++
		return nil
	}))
	if n != 300 {
		t.Errorf("%d leaves", n)
	}
	// The frontier goes on as if the process had not ended.
	fill(t, db, 700)
	again := new(proofs.Frontier)
	for i := range db.Size() {
		_, err := again.Append(proofs.LeafHash(someLeaf(i).Entry()))
		must(t, err)
	}
	must(t, db.Commit(ctx))
	if db.Tree().Tree() != again.Tree() {
		t.Errorf("tree %v, want %v", db.Tree().Tree(), again.Tree())
	}
	c, err := db.Check(ctx, nil)
	if err == nil || !errors.Is(err, state.ErrDamaged) || !strings.Contains(err.Error(), "newest checkpoint") {
		t.Errorf("leaves that no checkpoint covers: %+v, %v", c, err)
	}
	// An index that is not the next one is refused, and a rollback forgets.
	if err := db.Append(ctx, someLeaf(7)); err == nil {
		t.Error("appended in the wrong place")
	}
	must(t, db.Append(ctx, someLeaf(700)))
	must(t, db.Rollback(ctx))
	if db.Size() != 700 {
		t.Errorf("after a rollback: %d leaves", db.Size())
	}
	var of []int64
	must(t, db.LeavesOf(ctx, sum(1), func(l state.Leaf) error {
		if l.Index < 30 {
			of = append(of, l.Index)
		}
		return nil
	}))
	if !slices.Equal(of, []int64{1, 4, 7, 10, 16, 19, 22, 25, 28}) {
		t.Errorf("leaves of a repository: %v", of)
	}
	for _, tt := range []struct {
		sum  tuf.Digest
		want []int64
	}{{sum(1015), []int64{15}}, {sum(2016), []int64{16}}, {sum(17), nil}} {
		var named []int64
		must(t, db.Naming(ctx, tt.sum, func(l state.Leaf) error {
			named = append(named, l.Index)
			return nil
		}))
		if !slices.Equal(named, tt.want) {
			t.Errorf("leaves that name %v: %v, want %v", tt.sum, named, tt.want)
		}
	}
}

func note(t testing.TB, tree proofs.Tree) proofs.Note {
	t.Helper()
	signer, err := proofs.GenerateSigner(bytes.NewReader(make([]byte, 64)), "log.test", proofs.Ed25519)
	must(t, err)
	n := proofs.Note{Text: proofs.Checkpoint{Origin: "log.test", Tree: tree}.String()}
	s, err := signer.Sign(n.Text, 0)
	must(t, err)
	n.Signatures = append(n.Signatures, s)
	return n
}

func treeOf(t testing.TB, leaves int64) proofs.Tree {
	t.Helper()
	edge := new(proofs.Edge)
	for i := range leaves {
		must(t, edge.Append(proofs.LeafHash(someLeaf(i).Entry())))
	}
	return edge.Tree()
}

// The leaves give every tile of their tree, and so the proof of each.
func TestTiles(t *testing.T) {
	db := open(t, "")
	fill(t, db, 100)
	tiles := db.Tiles()
	for _, size := range []int64{100, 256, 600} {
		fill(t, db, size) // the tree grows under the tiles
		tree := db.Tree().Tree()
		for i := int64(0); i < size; i += 37 {
			l, _, err := db.Leaf(t.Context(), i)
			must(t, err)
			hashes, err := proofs.InclusionProof(t.Context(), tree, i, tiles)
			must(t, err)
			must(t, proofs.VerifyInclusion(tree, i, proofs.LeafHash(l.Entry()), hashes))
		}
	}
	for _, id := range []proofs.TileID{{Level: 0, Index: 2, Width: 89}, {Level: 1, Index: 0, Width: 3}, {Level: 2, Index: 0, Width: 1}} {
		if _, err := tiles.ReadTile(t.Context(), id.Level, id.Index, id.Width); err == nil {
			t.Errorf("a tree of 600 leaves has tile %v", id)
		}
	}
}

func TestNotes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	ctx := t.Context()
	db := open(t, dir)
	fill(t, db, 5)
	for size := range int64(9) {
		must(t, db.PutNote(ctx, note(t, treeOf(t, size)), size == 3, time.Unix(100*size, 0)))
	}
	must(t, db.SetVerified(ctx, note(t, treeOf(t, 8)).Marshal()))
	must(t, db.Commit(ctx))
	waiting := func() (sizes []int64) {
		must(t, db.Notes(ctx, func(b []byte) error {
			n, err := proofs.ParseNote(b)
			must(t, err)
			c, err := proofs.ParseCheckpoint(n.Text)
			sizes = append(sizes, c.Tree.N)
			return err
		}))
		slices.Sort(sizes)
		return sizes
	}
	if got := waiting(); !slices.Equal(got, []int64{3, 6, 7, 8}) {
		t.Errorf("not compared: %v", got)
	}
	must(t, db.CloseNotes(ctx, 4))
	if got := waiting(); !slices.Equal(got, []int64{6, 7, 8}) {
		t.Errorf("then: %v", got)
	}
	n, ok, err := db.Note(ctx, note(t, treeOf(t, 3)).Text)
	if err != nil || !ok || !bytes.Equal(n.Marshal(), note(t, treeOf(t, 3)).Marshal()) {
		t.Errorf("note of size 3: %v, %v", ok, err)
	}
	verified, err := db.Verified(ctx)
	newest := db.Newest()
	if want := note(t, treeOf(t, 8)).Marshal(); err != nil || !bytes.Equal(verified, want) || !bytes.Equal(newest, want) {
		t.Errorf("verified %q, beside it %q, %v", verified, newest, err)
	}
	if b, err := os.ReadFile(dir + ".newest"); err != nil || !bytes.Equal(b, verified) {
		t.Errorf("beside the directory: %q, %v", b, err)
	}
}

// A directory of version 1 is taken over, once.
func TestTakeOver(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	edge := new(proofs.Edge)
	for i := range int64(5) {
		must(t, edge.Append(proofs.LeafHash(someLeaf(i).Entry())))
	}
	text, err := edge.MarshalText()
	must(t, err)
	v1 := slices.Concat([]byte("tuflog auditor state v1\n"), text, []byte("\n"), note(t, edge.Tree()).Marshal())
	must(t, os.Mkdir(filepath.Join(dir, "notes"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "state"), v1[:len(v1)-1], 0o644))
	if _, err := state.Open(ctx, dir); !errors.Is(err, state.ErrDamaged) {
		t.Fatalf("half a file: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "state"), v1, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "notes", "a.note"), note(t, treeOf(t, 3)).Marshal(), 0o644))
	for range 2 {
		db, err := state.Open(ctx, dir)
		must(t, err)
		verified, err := db.Verified(ctx)
		newest := db.Newest()
		if err != nil || !bytes.Equal(verified, note(t, edge.Tree()).Marshal()) || !bytes.Equal(newest, verified) || db.Size() != 0 {
			t.Errorf("verified %q, %d leaves, %v", verified, db.Size(), err)
		}
		n := 0
		must(t, db.Notes(ctx, func([]byte) error { n++; return nil }))
		if n != 1 {
			t.Errorf("%d notes", n)
		}
		must(t, db.Close())
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		must(t, err)
		for _, path := range left {
			if name := filepath.Base(path); name != "lock" && !strings.HasPrefix(name, state.FileName) {
				t.Errorf("left behind: %s", name)
			}
		}
	}
}

func TestFindings(t *testing.T) {
	db := open(t, t.TempDir())
	ctx := t.Context()
	at := func(n int64) time.Time { return time.Unix(n, 0) }
	one := state.Finding{Sum: sum(1), Kind: "fork", Class: "tampering", Leaf: -1, Body: []byte("{}")}
	two := state.Finding{Sum: sum(2), Kind: "twin", Class: "hygiene", Repository: sum(7), Leaf: 3, Body: []byte("{}")}
	must(t, db.PutFinding(ctx, one, at(10)))
	must(t, db.PutFinding(ctx, two, at(11)))
	must(t, db.FinishReplay(ctx, at(20)))
	get := func(s tuf.Digest) state.Finding {
		t.Helper()
		f, ok, err := db.Finding(ctx, s)
		if err != nil || !ok {
			t.Fatalf("%v, %v", ok, err)
		}
		return f
	}
	if f := get(one.Sum); f.First != 10 || f.Last != 20 || f.Replay != 1 || f.Gone != 0 {
		t.Errorf("at first: %+v", f)
	}
	f, err := db.Acknowledge(ctx, two.ID()[:5], "we know", at(30))
	if err != nil || f.Sum != two.Sum || f.Reason != "we know" || get(two.Sum).Acked != 30 {
		t.Errorf("acknowledged: %+v, %v", f, err)
	}
	for _, id := range []string{"", "abc", "zzzzz", strings.Repeat("0", 12), strings.Repeat("a", 65)} {
		if _, err := db.Acknowledge(ctx, id, "x", at(30)); !errors.Is(err, state.ErrUnknownFinding) {
			t.Errorf("acknowledged %q: %v", id, err)
		}
	}
	// A beginning names a finding as long as no other begins so.
	alike := state.Finding{Sum: two.Sum, Kind: "twin", Class: "hygiene", Leaf: -1, Body: []byte("{}")}
	alike.Sum[31] ^= 1
	for i, want := range []bool{true, false} {
		for _, id := range []string{state.ShortID(two.ID()), two.ID()[:63]} {
			if f, ok, err := db.FindingByID(ctx, id); err != nil || ok != want || ok && f.Sum != two.Sum {
				t.Errorf("finding %s: %+v, %v, %v; want %v", id, f, ok, err, want)
			}
			if _, err := db.Acknowledge(ctx, id, "we know", at(30)); (err == nil) != want || err != nil && !strings.Contains(err.Error(), alike.ID()) {
				t.Errorf("acknowledged %s: %v", id, err)
			}
		}
		if f, ok, err := db.FindingByID(ctx, two.ID()); err != nil || !ok || f.Sum != two.Sum {
			t.Errorf("the whole id: %+v, %v, %v", f, ok, err)
		}
		if i == 0 {
			must(t, db.PutFinding(ctx, alike, at(31)))
		}
	}
	if f := get(alike.Sum); f.Acked != 0 {
		t.Errorf("acknowledged with another: %+v", f)
	}
	must(t, db.FindingGone(ctx, alike.Sum, at(31)))
	must(t, db.Retract(ctx, sum(7), "blob-mismatch"))
	if f := get(two.Sum); f.Gone != state.InDoubt {
		t.Errorf("in doubt: %+v", f)
	}
	must(t, db.Back(ctx, two.Sum))
	if f := get(two.Sum); f.Gone != 0 || f.Replay != 1 {
		t.Errorf("back: %+v", f)
	}
	must(t, db.Retract(ctx, sum(7), "blob-mismatch"))
	must(t, db.EndDoubt(ctx, at(40)))
	if f := get(two.Sum); f.Gone != 40 || f.Last != 40 {
		t.Errorf("gone: %+v", f)
	}
	if n, err := db.CountFindings(ctx, "twin", sum(7)); n != 0 || err != nil {
		t.Errorf("%d are left, %v", n, err)
	}
	// It comes back: that is news, and of hygiene the acknowledgement stays.
	must(t, db.PutFinding(ctx, two, at(45)))
	must(t, db.KindGone(ctx, two.Kind, two.Repository, 0, two.Leaf, at(46)))
	must(t, db.KindGone(ctx, two.Kind, sum(8), 0, two.Leaf+1, at(46)))
	if f := get(two.Sum); f.Gone != 0 {
		t.Errorf("gone with others: %+v", f)
	}
	must(t, db.KindGone(ctx, two.Kind, two.Repository, two.Leaf, two.Leaf+1, at(46)))
	if f := get(two.Sum); f.Gone != 46 || f.Last != 46 {
		t.Errorf("gone with its kind: %+v", f)
	}
	must(t, db.PutFinding(ctx, two, at(50)))
	if f := get(two.Sum); f.First != 11 || f.Gone != 0 || f.Replay != 2 || f.Reason != "we know" || f.Acked != 30 {
		t.Errorf("come back: %+v", f)
	}
	// Of others it is of the time before. While they are there, or in doubt, it stays.
	three := state.Finding{Sum: sum(3), Kind: "rollback", Class: "tampering", Repository: sum(7), Leaf: 4, Body: []byte("{}")}
	must(t, db.PutFinding(ctx, three, at(50)))
	_, err = db.Acknowledge(ctx, three.ID(), "a restored backup", at(51))
	must(t, err)
	must(t, db.PutFinding(ctx, three, at(52)))
	must(t, db.Retract(ctx, sum(7), ""))
	must(t, db.Back(ctx, three.Sum))
	if f := get(three.Sum); f.Acked != 51 || f.Episode != 1 {
		t.Errorf("there all the time: %+v", f)
	}
	must(t, db.FindingGone(ctx, three.Sum, at(53)))
	if f := get(three.Sum); f.Acked != 51 {
		t.Errorf("gone: %+v", f)
	}
	must(t, db.PutFinding(ctx, three, at(54)))
	if f := get(three.Sum); f.Acked != 0 || f.Reason != "a restored backup" || f.Episode != 2 {
		t.Errorf("there again: %+v", f)
	}
	must(t, db.FindingGone(ctx, three.Sum, at(55)))
	must(t, db.PutFinding(ctx, one, at(50)))
	if f := get(one.Sum); f.First != 10 || f.Replay != 1 {
		t.Errorf("seen again: %+v", f)
	}
	for kind, want := range map[string]int{one.Kind: 1, "fork": 0} {
		n := 0
		if err := db.OfKind(ctx, kind, func(state.Finding) error { n++; return nil }); n != want || err != nil {
			t.Errorf("%d findings of kind %s, %v; want %d", n, kind, err, want)
		}
	}
	for range 3 {
		must(t, db.Suppress(ctx, "twin", sum(7)))
	}
	if list, err := db.Suppressed(ctx); err != nil || len(list) != 1 || list[0].Count != 3 || list[0].Repository != sum(7) {
		t.Errorf("suppressed: %+v, %v", list, err)
	}
}

func TestFacts(t *testing.T) {
	db := open(t, "")
	ctx := t.Context()
	id := sum(1)
	for _, name := range []string{"key/1", "key/2", "say", "says/a", "says/b", "sayz"} {
		must(t, db.SetFact(ctx, id, name, []byte(name)))
	}
	must(t, db.SetFact(ctx, sum(2), "says/a", nil))
	must(t, db.SetFact(ctx, id, "key/2", []byte("other")))
	for _, name := range []string{"says/a", "says/b", "says/c"} {
		must(t, db.RemoveFact(ctx, id, name))
	}
	facts := func(id tuf.Digest) (all []string) {
		must(t, db.Facts(ctx, id, func(name string, value []byte) error {
			all = append(all, name+"="+string(value))
			return nil
		}))
		return all
	}
	if got, want := facts(id), []string{"key/1=key/1", "key/2=other", "say=say", "sayz=sayz"}; !slices.Equal(got, want) {
		t.Errorf("facts %q, want %q", got, want)
	}
	must(t, db.Forget(ctx, id))
	if got := facts(id); len(got) != 0 || len(facts(sum(2))) != 1 {
		t.Errorf("forgotten: %q, %q", got, facts(sum(2)))
	}
}

// One process has a directory, and what is no state is not taken for a new one.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	db, err := state.Open(ctx, dir)
	must(t, err)
	var held *lockfile.HeldError
	if _, err := state.Open(ctx, dir); !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Errorf("opened twice: %v", err)
	}
	fill(t, db, 600)
	must(t, db.SetVerified(ctx, note(t, treeOf(t, 600)).Marshal()))
	must(t, db.Commit(ctx))
	c, err := db.Check(ctx, nil)
	if err != nil || c.Leaves != 600 || c.Tree != c.Verified || c.Bytes < 600*100 || len(c.Tables) < 10 {
		t.Fatalf("check: %+v, %v", c, err)
	}
	must(t, db.Close())
	path := filepath.Join(dir, state.FileName)
	good, err := os.ReadFile(path)
	must(t, err)
	spoil := func(what string, change func([]byte) []byte) error {
		t.Helper()
		must(t, os.WriteFile(path, change(bytes.Clone(good)), 0o644))
		db, err := state.Open(ctx, dir)
		if err != nil {
			return err
		}
		defer func() { _ = db.Close() }()
		_, err = db.Check(ctx, nil)
		return err
	}
	payload := sum(1200)
	edge, err := proofs.ParseCheckpoint(note(t, treeOf(t, 600)).Text)
	must(t, err)
	for what, change := range map[string]func([]byte) []byte{
		"half a file":   func(b []byte) []byte { return b[:len(b)/2] },
		"an empty file": func([]byte) []byte { return nil },
		"another file":  func(b []byte) []byte { return bytes.Repeat([]byte("hello"), 1000) },
		"a leaf's bit":  func(b []byte) []byte { b[bytes.Index(b, payload[:])+9] ^= 1; return b },
		"a root's text": func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte(edge.Tree.Hash.String()), []byte(treeOf(t, 3).Hash.String()))
		},
	} {
		if err := spoil(what, change); !errors.Is(err, state.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What releases list is one row for successive releases.
func TestListed(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	repo := sum(0)
	db, err := state.Open(ctx, dir)
	must(t, err)
	release := func(kind leaf.Kind, version int64, files ...string) {
		t.Helper()
		var targets []string
		for _, f := range files {
			path, content, _ := strings.Cut(f, "=")
			targets = append(targets, fmt.Sprintf(`%q: {"length": %d, "hashes": {"sha256": "%v"}}`, path, len(content), tuf.Sum([]byte(content))))
		}
		m, err := tuf.ParseJSON(fmt.Appendf(nil, `{"signed": {"_type": "targets", "expires": "2030-01-01T00:00:00Z", "spec_version": "1.0.0", "version": %d, "targets": {%s}}, "signatures": []}`, version, strings.Join(targets, ", ")))
		must(t, err)
		l := &state.Leaf{Index: db.Size(), Verdict: state.Right, Leaf: leaf.Leaf{Kind: kind, Repository: repo, Role: "targets", Version: version,
			Payload: m.PayloadDigest, Metadata: tuf.Sum(m.File), Size: int64(len(m.File)), Encoding: tuf.JSON}}
		must(t, db.List(ctx, l, m))
		must(t, db.Append(ctx, l))
	}
	reopen := func() {
		t.Helper()
		must(t, db.Commit(ctx))
		must(t, db.Close())
		db, err = state.Open(ctx, dir)
		must(t, err)
	}
	release(leaf.Release, 1, "a=1", "b=1")
	release(leaf.Release, 2, "a=1", "b=2")
	reopen()
	release(leaf.Evidence, 2, "a=1", "c=1")
	release(leaf.Release, 3, "a=1", "c=1")
	release(leaf.Release, 4, "c=1")
	reopen()
	release(leaf.Release, 5, "a=1", "c=1")
	must(t, db.Commit(ctx))
	for _, tt := range []struct {
		q    state.Query
		want string
	}{
		{state.Query{SHA256: tuf.Sum([]byte("1")), Path: "a"}, "a 0-3, a 2-2 evidence, a 5-5 open"},
		{state.Query{SHA256: tuf.Sum([]byte("1"))}, "a 0-3, a 2-2 evidence, a 5-5 open, b 0-0, c 2-2 evidence, c 3-5 open"},
		{state.Query{SHA256: tuf.Sum([]byte("2"))}, "b 1-1"},
		{state.Query{Path: "b"}, "b 0-0, b 1-1"},
		{state.Query{Path: "b", Repository: sum(1)}, ""},
		{state.Query{Repository: repo, Path: "c"}, "c 2-2 evidence, c 3-5 open"},
	} {
		var rows []string
		must(t, db.Files(ctx, tt.q, func(f state.File) error {
			s := fmt.Sprintf("%s %d-%d", f.Path, f.First, f.Last)
			if f.Evidence {
				s += " evidence"
			}
			if f.Open {
				s += " open"
			}
			rows = append(rows, s)
			return nil
		}))
		slices.Sort(rows)
		if got := strings.Join(rows, ", "); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.q, got, tt.want)
		}
	}
	if err := db.Files(ctx, state.Query{}, nil); err == nil {
		t.Error("a query for everything")
	}
	must(t, db.Close())
}

// Version 1 is read as it was written, and nothing else is.
func TestParseV1(t *testing.T) {
	text := func(leaves int64) []byte {
		edge := new(proofs.Edge)
		for i := range leaves {
			must(t, edge.Append(proofs.LeafHash(someLeaf(i).Entry())))
		}
		b, err := edge.MarshalText()
		must(t, err)
		return slices.Concat([]byte("tuflog auditor state v1\n"), b, []byte("\n"), note(t, edge.Tree()).Marshal())
	}
	for _, leaves := range []int64{0, 1, 3, 8, 255} {
		if v, err := state.ParseV1(text(leaves)); err != nil || v.Edge.Tree().N != leaves {
			t.Fatalf("%d leaves: %v", leaves, err)
		}
	}
	b := text(3)
	other := bytes.Replace(text(5), []byte("\n5\n"), []byte("\n3\n"), 1)
	for _, bad := range [][]byte{nil, b[:len(b)-1], append(bytes.Clone(b), '\n'), other, bytes.Replace(b, []byte("state v1"), []byte("state v2"), 1), bytes.Replace(b, []byte("\n\n"), []byte("\n"), 1)} {
		if _, err := state.ParseV1(bad); err == nil {
			t.Errorf("parsed %q", bad)
		}
	}
	for i := range bytes.Index(b, []byte("\n\n")) {
		spoilt := bytes.Clone(b)
		spoilt[i] ^= 1
		if _, err := state.ParseV1(spoilt); err == nil {
			t.Errorf("a bit at %d goes unseen", i)
		}
	}
}

func FuzzV1(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("tuflog auditor state v1\n0\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := state.ParseV1(b)
		if err != nil {
			return
		}
		edge, err := v.Edge.MarshalText()
		if again := slices.Concat([]byte("tuflog auditor state v1\n"), edge, []byte("\n"), v.Checkpoint); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q is printed as %q, %v", b, again, err)
		}
	})
}

// What is new in a release leads to the same rows as all that it lists.
func TestListSince(t *testing.T) {
	ctx := t.Context()
	releases := [][]string{{"a=1", "b=1"}, {"a=1", "b=2"}, {"a=2", "b=2", "c=1"}, {"c=1", "d=1"}, {"c=1", "d=1"}}
	parse := func(version int, files []string) *tuf.Metadata {
		var targets []string
		for _, f := range files {
			path, content, _ := strings.Cut(f, "=")
			targets = append(targets, fmt.Sprintf(`%q: {"length": %d, "hashes": {"sha256": "%v"}}`, path, len(content), tuf.Sum([]byte(content))))
		}
		m, err := tuf.ParseJSON(fmt.Appendf(nil, `{"signed": {"_type": "targets", "expires": "2030-01-01T00:00:00Z", "spec_version": "1.0.0", "version": %d, "targets": {%s}}, "signatures": []}`, version, strings.Join(targets, ", ")))
		must(t, err)
		return m
	}
	var rows [2]string
	for i, since := range []bool{false, true} {
		db := open(t, "")
		for n, files := range releases {
			m := parse(n+1, files)
			l := &state.Leaf{Index: int64(n), Verdict: state.Right, Leaf: leaf.Leaf{Kind: leaf.Release, Repository: sum(0), Role: "targets", Version: int64(n) + 1,
				Payload: m.PayloadDigest, Metadata: tuf.Sum(m.File), Size: int64(len(m.File)), Encoding: tuf.JSON}}
			if since && n > 0 {
				must(t, db.ListSince(ctx, l, m, state.Since{Before: int64(n) - 1, SameKeys: true, Targets: func(yield func(string, tuf.TargetFile) bool) {
					before := parse(n, releases[n-1])
					for path, file := range m.Targets.Files() {
						if was, ok := before.Targets.File(path); ok && was.Hashes["sha256"] == file.Hashes["sha256"] {
							continue
						}
						if !yield(path, file) {
							return
						}
					}
				}}))
			} else {
				must(t, db.List(ctx, l, m))
			}
			must(t, db.Append(ctx, l))
		}
		must(t, db.Files(ctx, state.Query{Repository: sum(0)}, func(f state.File) error {
			rows[i] += fmt.Sprintf("%s %v %d-%d %v\n", f.Path, f.SHA256, f.First, f.Last, f.Open)
			return nil
		}))
	}
	if rows[0] != rows[1] || strings.Count(rows[0], "\n") != 6 {
		t.Errorf("with all\n%swith what is new\n%s", rows[0], rows[1])
	}
}

// The newest note is beside the directory, however that is called.
func TestNewestBeside(t *testing.T) {
	parent, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	dir := filepath.Join(parent, "state")
	full(t, dir)
	want, err := os.ReadFile(dir + ".newest")
	must(t, err)
	must(t, os.Mkdir(filepath.Join(parent, "a"), 0o755))
	must(t, os.Symlink(dir, filepath.Join(parent, "a", "link")))
	t.Chdir(dir)
	for _, name := range []string{".", "./", "../state", "../state/", dir + "/", "../a/link", "../a/link/.", "../a/../state"} {
		db, err := state.Open(t.Context(), name)
		if err != nil {
			t.Fatal(name, err)
		}
		if newest := db.Newest(); string(newest) != string(want) || db.NewestFile() != dir+".newest" {
			t.Errorf("%s: the newest note in %s is %q", name, db.NewestFile(), newest)
		}
		must(t, db.Close())
	}
	// It is read where a version before has left it, and kept where it belongs.
	must(t, os.Rename(dir+".newest", filepath.Join(dir, "..newest")))
	db, err := state.Open(t.Context(), ".")
	must(t, err)
	if newest := db.Newest(); string(newest) != string(want) {
		t.Errorf("%q", newest)
	}
	fill(t, db, 310)
	must(t, db.SetVerified(t.Context(), note(t, db.Tree().Tree()).Marshal()))
	must(t, db.Commit(t.Context()))
	must(t, db.Close())
	if b, err := os.ReadFile(dir + ".newest"); err != nil || string(b) == string(want) {
		t.Error(err)
	}
}
