package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/statetest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// others are repositories of which history has nothing but the root: more than are
// remembered between transactions.
const others = 4200

// history is a log of seven repositories, with evidence and with files that come,
// change, go and come again. The others come in the middle.
func history(n int) []log.StateLeaf {
	const repositories = 7
	sum := func(format string, args ...any) tuf.Digest { return tuf.Sum(fmt.Appendf(nil, format, args...)) }
	var leaves []log.StateLeaf
	add := func(l leaf.Leaf, targets ...log.Target) {
		l.Metadata, l.Size, l.Encoding = sum("m %d", len(leaves)), 5000, tuf.JSON
		leaves = append(leaves, log.StateLeaf{Record: admit.Record{Index: int64(len(leaves)), Leaf: l}, Targets: targets})
	}
	for i := range n {
		repository, version := i%repositories, i/repositories+1
		l := leaf.Leaf{Kind: leaf.Release, Repository: sum("r %d", repository), Role: tuf.RoleTargets, Version: int64(version), Payload: sum("p %d", i)}
		switch {
		case version == 1:
			l.Role, l.Payload = tuf.RoleRoot, l.Repository
		case version%9 == 0:
			l.Kind, l.Contradicts = leaf.Evidence, int64(i-repositories)
		case version%5 == 0:
			l.Role, l.Snapshot, l.Listed = fmt.Sprintf("bin-%d", version%2), sum("s %d", version), leaf.ByHash
		}
		var targets []log.Target
		for f := range 5 {
			if l.Role == tuf.RoleRoot || (i+f)%4 == 0 {
				continue
			}
			t := log.Target{Path: fmt.Sprintf("%02d/%05d", repository, f), Length: int64(f), SHA256: sum("f %d %d", f, version/(f+1))}
			if f%3 == 0 {
				t.SHA512 = log.SHA512{byte(f), byte(version)}
			}
			targets = append(targets, t)
		}
		add(l, targets...)
		for other := 0; i == n/2 && other < others; other++ {
			root := sum("other %d", other)
			add(leaf.Leaf{Kind: leaf.Release, Repository: root, Role: tuf.RoleRoot, Version: 1, Payload: root})
		}
	}
	return leaves
}

// apply applies leaves in batches, on a state that is as large as edge.
func apply(t testing.TB, state log.StateWriter, edge *proofs.Edge, leaves []log.StateLeaf, batch int) {
	t.Helper()
	for len(leaves) > 0 {
		some := leaves[:min(batch, len(leaves))]
		leaves = leaves[len(some):]
		for _, l := range some {
			if err := edge.Append(l.Leaf.Hash()); err != nil {
				t.Fatal(err)
			}
		}
		statetest.Apply(t, state, edge, some)
	}
}

// A state that is built is the one that has grown, and grows like it.
func TestBuild(t *testing.T) {
	dir := t.TempDir()
	leaves := history(300)
	half := 200 + others
	grown := filepath.Join(dir, "grown.db")
	check(t, sqlite.CreateState(grown))
	state, err := sqlite.OpenState(grown)
	check(t, err)
	defer state.Close()
	var edge proofs.Edge
	apply(t, state, &edge, leaves[:half], 400)

	same := func(state *sqlite.State, n int) {
		t.Helper()
		b, err := sqlite.Build(filepath.Join(t.TempDir(), "anew.db"))
		check(t, err)
		apply(t, b, new(proofs.Edge), leaves[:n], 33)
		found, err := state.Differences(t.Context(), b)
		if err != nil || len(found) > 0 {
			t.Errorf("of %d leaves: %q, %v", n, found, err)
		}
		check(t, b.Close())
	}
	same(state, half)

	path := filepath.Join(dir, "built.db")
	b, err := sqlite.Build(path)
	check(t, err)
	apply(t, b, new(proofs.Edge), leaves[:half], 164)
	if position, err := b.Position(t.Context()); err != nil || position.Tree() != edge.Tree() {
		t.Errorf("position %v, %v", position.Tree(), err)
	}
	steps := int64(0)
	check(t, b.Finish(t.Context(), func() { steps++ }))
	if steps != sqlite.BuildSteps {
		t.Errorf("%d steps, want %d", steps, sqlite.BuildSteps)
	}
	built, err := sqlite.OpenState(path)
	check(t, err)
	defer built.Close()
	apply(t, built, &edge, leaves[half:], 17)
	same(built, len(leaves))
}

// What was broken off cannot be taken for a state, at whatever point, and a finished
// state has nothing of the one whose place it takes.
func TestBuildBrokenOff(t *testing.T) {
	dir := t.TempDir()
	path, next := filepath.Join(dir, "state.db"), filepath.Join(dir, "state.db.new")
	leaves := history(40)[:40]
	for _, n := range []int{0, 20, 40} {
		b, err := sqlite.Build(next)
		check(t, err)
		apply(t, b, new(proofs.Edge), leaves[:n], 10)
		check(t, b.Close())
		if state, err := sqlite.OpenState(next); err == nil || !strings.Contains(err.Error(), "run logserver reindex") {
			t.Errorf("after %d leaves: opened %v, %v", n, state, err)
		}
		if _, err := sqlite.Build(next); err == nil {
			t.Error("built over another state")
		}
		check(t, sqlite.RemoveState(next))
	}

	// A process that is killed leaves its write-ahead log.
	check(t, sqlite.CreateState(path))
	killed, err := sqlite.OpenState(path)
	check(t, err)
	apply(t, killed, new(proofs.Edge), leaves[:30], 10)
	wal, err := os.ReadFile(path + "-wal")
	check(t, err)
	check(t, killed.Close())
	check(t, os.WriteFile(path+"-wal", wal, 0o600))

	b, err := sqlite.Build(next)
	check(t, err)
	apply(t, b, new(proofs.Edge), leaves, 40)
	check(t, b.Finish(t.Context(), func() {}))
	check(t, sqlite.ReplaceState(path, next))
	state, err := sqlite.OpenState(path)
	check(t, err)
	defer state.Close()
	if edge, err := state.Position(t.Context()); err != nil || edge.Tree().N != 40 {
		t.Errorf("position %v, %v", edge.Tree(), err)
	}
	if _, err := os.Stat(next); err == nil {
		t.Error("the new state is there twice")
	}
}

// Many blobs at once are those that one by one are there and undamaged.
func TestReadBlobs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blobs.db")
	check(t, sqlite.CreateBlobs(path))
	blobs, err := sqlite.OpenBlobs(path)
	check(t, err)
	statetest.ReadBlobs(t, blobs, func() statetest.Blobs {
		check(t, blobs.Close())
		change(t, path, "UPDATE blobs SET data = CAST('fale 77' AS BLOB) WHERE data = CAST('file 77' AS BLOB)")
		blobs, err = sqlite.OpenBlobs(path)
		check(t, err)
		return blobs
	})
	check(t, blobs.Close())
}
