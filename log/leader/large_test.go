package leader_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/index"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/storagetest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// large is a log of releases that each list 12 files, one of them new, in about
// 5 KB. Nobody has signed them.
type large struct {
	storage storagetest.Mem
	blobs   *sqlite.Blobs
	edge    proofs.Edge
}

func newLarge(t testing.TB, releases, repositories int) *large {
	t.Helper()
	path := filepath.Join(t.TempDir(), "blobs.db")
	check(t, sqlite.CreateBlobs(path))
	l := &large{}
	var err error
	l.blobs, err = sqlite.OpenBlobs(path)
	check(t, err)
	t.Cleanup(func() { check(t, l.blobs.Close()) })
	var entries, files [][]byte
	for i := range releases {
		repository, version := i%repositories, i/repositories+1
		var targets []string
		for slot := range 12 {
			content := fmt.Sprint(repository, " ", slot)
			if slot == 0 {
				content += fmt.Sprint(" ", version)
			}
			sum := tuf.Sum([]byte(content))
			targets = append(targets, fmt.Sprintf(`"device-%04d/slot-%02d.bin":{"custom":{"version":"%s"},"hashes":{"sha256":"%v","sha512":"%v%v"},"length":%d}`,
				repository, slot, strings.Repeat("1.0.", 20), sum, sum, sum, 1<<20+slot))
		}
		file := fmt.Appendf(nil, `{"signatures":[],"signed":{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0.31","targets":{%s},"version":%d}}`,
			strings.Join(targets, ","), version)
		snapshot := fmt.Appendf(nil, "snapshot %d", i)
		leaf := leaf.Leaf{
			Kind: leaf.Release, Repository: tuf.Sum(fmt.Append(nil, repository)), Role: tuf.RoleTargets, Version: int64(version),
			Payload: tuf.Sum(snapshot), Metadata: tuf.Sum(file), Size: int64(len(file)), Snapshot: tuf.Sum(snapshot), Listed: leaf.ByVersion, Encoding: tuf.JSON,
		}
		entries, files = append(entries, leaf.Marshal()), append(files, file, snapshot)
		check(t, l.edge.Append(leaf.Hash()))
	}
	_, err = l.storage.Append(t.Context(), entries)
	check(t, err)
	check(t, l.blobs.Put(t.Context(), files))
	return l
}

// reindex builds the derived state in a file.
func (l *large) reindex(t testing.TB, path string) {
	t.Helper()
	state, err := sqlite.Build(path)
	check(t, err)
	indexer, err := index.Open(t.Context(), &l.storage, l.blobs, state, l.edge.Tree(), debugLogger(t.Output()))
	check(t, err)
	check(t, indexer.CatchUp(t.Context(), l.edge.Tree(), nil))
	check(t, state.Finish(t.Context(), func() {}))
}

// fsck checks everything, with the derived state in a file.
func (l *large) fsck(t testing.TB, path string, judge bool) []string {
	t.Helper()
	state, err := sqlite.OpenState(path)
	check(t, err)
	defer state.Close()
	position, err := state.Position(t.Context())
	check(t, err)
	anew, err := sqlite.Build(filepath.Join(t.TempDir(), "anew.db"))
	check(t, err)
	defer anew.Close()
	f := maintain.Fsck{Storage: &l.storage, Stored: l.edge.Tree(), Blobs: l.blobs, Judge: judge, Anew: anew, AnewSize: position.Tree().N, AnewListed: position.Tree().N}
	problems, err := f.Run(t.Context())
	check(t, err)
	if want := 2 * l.edge.Tree().N; f.Files != want && len(problems) == 0 {
		t.Errorf("%d files checked, want %d", f.Files, want)
	}
	made, err := anew.Position(t.Context())
	check(t, err)
	if len(problems) > 0 {
		return problems
	}
	if made.Tree() != position.Tree() {
		t.Errorf("made %v anew, want %v", made.Tree(), position.Tree())
	}
	found, err := state.Differences(t.Context(), anew)
	check(t, err)
	return found
}

// The state that fsck makes on its way through the log is the one that reindex
// makes, and the one that a log had when it was smaller.
func TestFsckAndReindex(t *testing.T) {
	l := newLarge(t, 1000, 7)
	path := filepath.Join(t.TempDir(), "state.db")
	l.reindex(t, path)
	if problems := l.fsck(t, path, false); len(problems) > 0 {
		t.Errorf("nothing is wrong: %q", problems)
	}
	if problems := l.fsck(t, path, true); len(problems) != 1000 || !strings.Contains(problems[0], "entry 0: ") {
		t.Errorf("nobody has signed it: %d problems", len(problems))
	}

	small := &large{blobs: l.blobs}
	entries := l.storage.Entries()
	_, err := small.storage.Append(t.Context(), entries[:600])
	check(t, err)
	for _, e := range entries[:600] {
		check(t, small.edge.Append(proofs.LeafHash(e)))
	}
	path = filepath.Join(t.TempDir(), "behind.db")
	small.reindex(t, path)
	if problems := l.fsck(t, path, false); len(problems) > 0 {
		t.Errorf("a state that is behind: %q", problems)
	}

	l.storage.Replace(300, entries[301])
	if problems := l.fsck(t, path, false); len(problems) != 1 || !strings.HasPrefix(problems[0], "the storage says") {
		t.Errorf("another entry: %q", problems)
	}
}

// A log whose entries are not those of its tree is not indexed.
func TestReindexOfADamagedLog(t *testing.T) {
	l := newLarge(t, 300, 3)
	entries := l.storage.Entries()
	l.storage.Replace(200, entries[201])
	state, err := sqlite.Build(filepath.Join(t.TempDir(), "state.db"))
	check(t, err)
	defer state.Close()
	indexer, err := index.Open(t.Context(), &l.storage, l.blobs, state, l.edge.Tree(), debugLogger(t.Output()))
	check(t, err)
	if err := indexer.CatchUp(t.Context(), l.edge.Tree(), nil); err == nil || !strings.Contains(err.Error(), "logserver fsck") {
		t.Errorf("indexed a damaged log: %v", err)
	}
	if edge, err := state.Position(t.Context()); err != nil || edge.Tree().N != 0 {
		t.Errorf("%d entries are in the state, %v", edge.Tree().N, err)
	}
}

// away are blobs of a server that cannot be reached any more.
type away struct{ admit.Blobs }

func (away) Blob(context.Context, tuf.Digest) ([]byte, error) { return nil, log.ErrUnavailable }

// That a server is away is no damage.
func TestFsckWithoutServers(t *testing.T) {
	l := newLarge(t, 10, 1)
	f := maintain.Fsck{Storage: &l.storage, Stored: l.edge.Tree(), Blobs: away{l.blobs}}
	if problems, err := f.Run(t.Context()); !errors.Is(err, log.ErrUnavailable) || len(problems) > 0 {
		t.Errorf("without blobs: %q, %v", problems, err)
	}
}

// BenchmarkReindex builds the derived state of a log. ns/entry is what counts.
func BenchmarkReindex(b *testing.B) {
	l := newLarge(b, 10000, 100)
	dir := b.TempDir()
	n := 0
	for b.Loop() {
		n++
		l.reindex(b, filepath.Join(dir, fmt.Sprint(n)))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(l.edge.Tree().N), "ns/entry")
}

// BenchmarkFsck checks a log and compares its derived state. ns/entry is what counts.
func BenchmarkFsck(b *testing.B) {
	l := newLarge(b, 10000, 100)
	path := filepath.Join(b.TempDir(), "state.db")
	l.reindex(b, path)
	for b.Loop() {
		if problems := l.fsck(b, path, false); len(problems) > 0 {
			b.Fatal(problems[0])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(l.edge.Tree().N), "ns/entry")
}
