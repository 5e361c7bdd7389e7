package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/statetest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// BenchmarkApply measures one leaf, in transactions of 1,000 leaves of 200
// repositories, each leaf listing 15 files of which one is new.
func BenchmarkApply(b *testing.B) {
	path := filepath.Join(b.TempDir(), "state.db")
	if err := sqlite.CreateState(path); err != nil {
		b.Fatal(err)
	}
	s, err := sqlite.OpenState(path)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const repositories, files, batch = 200, 15, 1000
	sum := func(format string, args ...any) tuf.Digest { return tuf.Sum(fmt.Appendf(nil, format, args...)) }
	var edge proofs.Edge
	var leaves []log.StateLeaf
	next := int64(0)
	add := func(n int) {
		leaves = leaves[:0]
		for range n {
			repository, version := next%repositories, next/repositories+1
			l := log.StateLeaf{Record: admit.Record{Index: next, Leaf: leaf.Leaf{
				Kind: leaf.Release, Repository: sum("r %d", repository), Role: tuf.RoleTargets, Version: version,
				Payload: sum("p %d", next), Metadata: sum("m %d", next), Size: 5000, Snapshot: sum("s %d", next), Listed: leaf.ByHash, Encoding: tuf.JSON,
			}}}
			for i := range int64(files) {
				content := i
				if i == 0 {
					content = version + files
				}
				t := log.Target{Path: fmt.Sprintf("device-%03d/%02d", repository, i), Length: 1 << 20, SHA256: sum("f %d %d", repository, content)}
				copy(t.SHA512[:], t.SHA256[:])
				l.Targets = append(l.Targets, t)
			}
			if err := edge.Append(proofs.LeafHash(l.Leaf.Marshal())); err != nil {
				b.Fatal(err)
			}
			leaves = append(leaves, l)
			next++
		}
	}
	for b.Loop() {
		b.StopTimer()
		add(batch)
		b.StartTimer()
		statetest.Apply(b, s, &edge, leaves)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(next), "ns/leaf")
}
