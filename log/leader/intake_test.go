package leader_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/tuf"
)

// history is a vendor with a delegation, a rotation of the root key and two
// versions of its targets.
func history(t *testing.T) (files []api.File, genesis []byte) {
	t.Helper()
	v := newVendor(t)
	genesis = file(v, "root").Data
	check(t, errors.Join(
		v.Rotate("root"),
		v.Put("targets", "app", []byte("1")),
		v.Delegate("targets", "1.a/ö", "d/*"),
		v.Release("targets"),
		v.Put("1.a/ö", "d/x", []byte("delegated")),
		v.Delegate("1.a/ö", "b", "d/b*"),
		v.Release("1.a/ö"),
		v.Release("b"),
	))
	for _, f := range all(v) {
		// testvendor does not encode role names.
		f.Name = strings.ReplaceAll(strings.ReplaceAll(f.Name, "/", "%2F"), "ö", "%C3%B6")
		files = append(files, f)
	}
	return files, genesis
}

func TestSubmitInAnyOrder(t *testing.T) {
	r := start(t, nil)
	files, genesis := history(t)
	id := r.register(t, genesis)
	rand.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	wantSummary(t, r.submit(t, id, files...),
		"1.root.json root logged",
		"2.root.json root released",
		"1.targets.json targets released",
		"2.targets.json targets released",
		"1.1.a%2F%C3%B6.json 1.a/ö released",
		"1.b.json b released")
	// The same again, and once more after a restart, changes nothing.
	for range 2 {
		for i, f := range r.submit(t, id, files...) {
			if f.Status != api.StatusLogged || f.Index != []int64{0, 1, 2, 3, 4, 5}[i] {
				t.Errorf("again: %+v", f)
			}
		}
		r.close(t)
		r.open(t)
	}
	if n := len(r.Storage.Entries()); n != 6 {
		t.Fatalf("%d entries, want 6", n)
	}
	// Registering any root of the chain finds the repository.
	for _, f := range files {
		if f.Name == "2.root.json" && r.register(t, f.Data) != id {
			t.Error("a root of the chain opened another repository")
		}
	}
}

func TestRetriesUntilNothingChanges(t *testing.T) {
	r := start(t, nil)
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	// z delegates to y, y to x: in the order of names the children come
	// first. lone is delegated by nobody in the log.
	check(t, v.Delegate("targets", "z", "*"))
	for _, pair := range [][2]string{{"z", "y"}, {"y", "x"}} {
		check(t, v.Delegate(pair[0], pair[1], "*"))
	}
	check(t, v.Release("targets", "z", "y", "x"))
	files := []api.File{file(v, "targets"), file(v, "x"), file(v, "y"), file(v, "z"), file(v, "snapshot"), {Name: "1.lone.json", Data: file(v, "x").Data}}
	wantSummary(t, r.submit(t, id, files...),
		"2.targets.json targets released",
		"1.lone.json lone refused not-delegated",
		"1.x.json x released",
		"1.y.json y released",
		"1.z.json z released")
}

// A refusal is for the first reason that there was, unless that was that nothing
// led to the file: then another file may have changed that.
func TestFirstReasonStays(t *testing.T) {
	r := start(t, nil)
	v, other := newVendor(t), newVendor(t)
	id := r.register(t, file(v, "root").Data)
	check(t, v.Delegate("targets", "z", "*"))
	check(t, v.Delegate("z", "y", "*"))
	check(t, errors.Join(v.Release("targets", "z", "y"), other.Delegate("targets", "y", "*"), other.Release("targets", "y")))
	wantSummary(t, r.submit(t, id, file(v, "targets"), file(v, "z"), file(v, "snapshot"), file(other, "y")),
		"2.targets.json targets released",
		"1.y.json y refused threshold",
		"1.z.json z released")
}

// A chain of delegations whose files are sorted from its end costs a pass for each.
// Of a very long one the rest comes in when it is sent again.
func TestPassesAreBounded(t *testing.T) {
	r := start(t, nil)
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	const chain, passes = 40, 32
	roles := []string{"targets"}
	for i := range chain {
		roles = append(roles, fmt.Sprintf("r%02d", chain-i))
		check(t, v.Delegate(roles[i], roles[i+1], "*"))
	}
	check(t, v.Release(roles...))
	var files []api.File
	for _, role := range append(roles, "snapshot") {
		files = append(files, file(v, role))
	}
	for _, want := range []int{1 + passes, 1 + chain} {
		accepted := 0
		for _, f := range r.submit(t, id, files...) {
			switch f.Status {
			case api.StatusReleased, api.StatusLogged:
				accepted++
			default:
				if f.Code != api.CodeNotDelegated {
					t.Errorf("%+v", f)
				}
			}
		}
		if accepted != want {
			t.Errorf("%d files are accepted, want %d", accepted, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	r := start(t, nil)
	v, other := newVendor(t), newVendor(t)
	id := r.register(t, file(v, "root").Data)
	check(t, errors.Join(v.Release("targets"), other.Put("targets", "x", nil), other.Release("targets")))
	twin := `{"signatures":[],"signed":{},"signed":{}}`
	wantSummary(t, r.submit(t, id,
		file(v, "targets"),
		api.File{Name: "3.targets.json", Data: file(v, "targets").Data},
		api.File{Name: "9.root.json", Data: []byte(twin)},
		api.File{Name: "root.txt", Data: file(v, "root").Data},
		api.File{Name: "root.json", Data: file(v, "targets").Data},
		api.File{Name: "nobody.json", Data: file(other, "targets").Data},
		file(v, "snapshot")),
		"9.root.json root refused malformed",
		"root.json root refused wrong-type",
		"2.targets.json targets released",
		"root.txt  refused role-name",
		"3.targets.json  refused role-name",
		"nobody.json nobody refused not-delegated")
	res := r.submit(t, id, api.File{Name: "targets.json", Data: file(other, "targets").Data}, file(other, "snapshot"))
	wantSummary(t, res, "targets.json targets refused threshold")

	// Without its snapshot a targets file is nobody's.
	check(t, v.Release("targets"))
	wantSummary(t, r.submit(t, id, file(v, "targets")), "3.targets.json targets refused snapshot-needed")
	wantSummary(t, r.submit(t, id, file(v, "snapshot"), file(v, "timestamp")),
		"3.snapshot.json snapshot refused not-logged-role",
		"timestamp.json timestamp refused not-logged-role")
	if n := len(r.Storage.Entries()); n != 2 {
		t.Fatalf("%d entries, want 2", n)
	}
}

func TestSnapshotsAsLeaves(t *testing.T) {
	r := start(t, func(c *leader.Config) { c.LogSnapshots, c.LogTimestamps = true, true })
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	check(t, v.Release("targets"))
	wantSummary(t, r.submit(t, id, all(v)...),
		"1.root.json root logged",
		"1.targets.json targets released",
		"2.targets.json targets released",
		"1.snapshot.json snapshot released",
		"2.snapshot.json snapshot released",
		"timestamp.json timestamp released")
}

func TestEvidence(t *testing.T) {
	r := start(t, nil)
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	evil, err := v.Clone()
	check(t, err)
	worse, err := v.Clone()
	check(t, err)
	check(t, errors.Join(v.Put("targets", "app", []byte("good")), v.Release("targets")))
	check(t, errors.Join(evil.Put("targets", "app", []byte("evil")), evil.Release("targets")))
	check(t, errors.Join(worse.Put("targets", "app", []byte("worse")), worse.Release("targets")))
	r.submit(t, id, file(v, "targets"), file(v, "snapshot"))
	first := r.submit(t, id, file(evil, "targets"), file(evil, "snapshot"))
	wantSummary(t, first, "2.targets.json targets evidence")
	// Once per role and version: a third payload is proved by the same leaf.
	for _, w := range []struct{ files []api.File }{{[]api.File{file(evil, "targets")}}, {[]api.File{file(worse, "targets"), file(worse, "snapshot")}}} {
		again := r.submit(t, id, w.files...)
		if again[0].Status != api.StatusEvidence || again[0].Index != first[0].Index {
			t.Errorf("again: %+v, want evidence at %d", again[0], first[0].Index)
		}
	}
	repo, err := r.client.Repository(t.Context(), id)
	check(t, err)
	if repo.Releases != 2 || repo.Evidence != 1 || len(repo.Leaves) != 3 || *repo.Leaves[2].Contradicts != 1 {
		t.Errorf("repository: %+v", repo)
	}
	if want := []api.RoleCurrent{{Role: "root", Version: 1, Index: 0}, {Role: "targets", Version: 2, Index: 1}}; !slices.Equal(repo.Roles, want) {
		t.Errorf("roles: %v, want %v", repo.Roles, want)
	}
}

// Two roots of one chain, both new, must not become two repositories: the second
// is judged when the first is in the log.
func TestRootAtOnceInAChainAndAsAGenesis(t *testing.T) {
	for range 5 {
		r := start(t, nil)
		v := newVendor(t)
		id := r.register(t, file(v, "root").Data)
		check(t, v.Rotate("targets"))
		var group sync.WaitGroup
		var registered string
		group.Go(func() { registered = r.register(t, file(v, "root").Data) })
		group.Go(func() { r.submit(t, id, file(v, "root")) })
		group.Wait()
		leaves := map[string]int{}
		for _, e := range r.Storage.Entries() {
			leaf, err := leaf.Parse(e)
			check(t, err)
			leaves[leaf.Repository.String()]++
		}
		switch {
		case registered == id && len(leaves) == 1 && leaves[id] == 2:
		case registered != id && len(leaves) == 2:
			// The genesis came first; the chain reached it later.
		default:
			t.Fatalf("registered %s, leaves %v", registered, leaves)
		}
		r.close(t)
	}
}

// appendFault makes storage fail in ways that leave open what was appended.
type appendFault struct {
	mu   sync.Mutex
	left int
}

func (a *appendFault) onAppend(entries [][]byte) ([][]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left == 0 {
		return entries, nil
	}
	a.left--
	kept := [][][]byte{nil, entries, entries[:len(entries)/2]}[rand.IntN(3)]
	return kept, []error{nil, errors.New("disk on fire")}[rand.IntN(2)]
}

func TestManyClientsOnAFailingDisk(t *testing.T) {
	r := start(t, nil)
	fault := &appendFault{left: 20}
	r.Storage.OnAppend = fault.onAppend
	r.Ledger.OnSwap = func() (bool, error) {
		if rand.IntN(4) == 0 {
			return rand.IntN(2) == 0, errors.New("disk on fire")
		}
		return true, nil
	}
	const clients, releases = 6, 5
	var group sync.WaitGroup
	for range clients {
		v := newVendor(t)
		group.Go(func() {
			id := r.register(t, file(v, "root").Data)
			for n := range releases {
				if err := errors.Join(v.Put("targets", "app", fmt.Append(nil, n)), v.Release("targets")); err != nil {
					t.Error(err)
					return
				}
				res := r.submit(t, id, file(v, "targets"), file(v, "snapshot"))
				if len(res) != 1 || res[0].Status != api.StatusReleased {
					t.Errorf("release %d: %+v", n, res)
				}
			}
		})
	}
	group.Wait()
	seen := map[string]bool{}
	for _, e := range r.Storage.Entries() {
		if seen[string(e)] {
			t.Errorf("twice in the log:\n%s", e)
		}
		seen[string(e)] = true
	}
	if len(seen) != clients*(releases+1) {
		t.Errorf("%d leaves, want %d", len(seen), clients*(releases+1))
	}
}

// failingBlobs cannot store anything for a while.
type failingBlobs struct {
	log.Blobs
	mu   sync.Mutex
	left int
}

func (b *failingBlobs) Put(ctx context.Context, files [][]byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left > 0 {
		b.left--
		return errors.New("disk full")
	}
	return b.Blobs.Put(ctx, files)
}

func TestBlobsCannotBeStored(t *testing.T) {
	blobs := &failingBlobs{left: 3}
	r := start(t, func(c *leader.Config) { c.Blobs = blobs })
	blobs.Blobs = r.blobs
	appended := 0
	r.Storage.OnAppend = func(entries [][]byte) ([][]byte, error) {
		blobs.mu.Lock()
		defer blobs.mu.Unlock()
		if blobs.left > 0 {
			t.Error("appended a leaf whose file is not durable")
		}
		appended++
		return entries, nil
	}
	r.register(t, file(newVendor(t), "root").Data)
	if appended != 1 {
		t.Errorf("%d appends", appended)
	}
}

// keptBatches keeps the last batch, or cannot for a while.
type keptBatches struct {
	log.Blobs
	mu      sync.Mutex
	left    int
	first   int64
	entries [][]byte
}

func (b *keptBatches) PutBatch(ctx context.Context, files [][]byte, first int64, entries [][]byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left > 0 {
		b.left--
		return errors.New("disk full")
	}
	b.first, b.entries = first, entries
	return b.Put(ctx, files)
}

// Where another process may append, too, nothing is appended that is not kept: by its index
// and its entries.
func TestBatchIsKeptBeforeItIsAppended(t *testing.T) {
	kept := &keptBatches{left: 2}
	r := start(t, func(c *leader.Config) { c.Batches = kept })
	kept.Blobs = r.blobs
	appended := 0
	r.Storage.OnAppend = func(entries [][]byte) ([][]byte, error) {
		kept.mu.Lock()
		defer kept.mu.Unlock()
		if size := len(r.Storage.Entries()); kept.first != int64(size) || !slices.EqualFunc(entries, kept.entries, bytes.Equal) {
			t.Errorf("%d entries are appended at %d; %d at %d are kept", len(entries), size, len(kept.entries), kept.first)
		}
		if appended++; appended == 2 {
			return entries[:0], errors.New("nobody knows")
		}
		return entries, nil
	}
	for range 3 {
		r.register(t, file(newVendor(t), "root").Data)
	}
	if appended != 4 || kept.left != 0 {
		t.Errorf("%d appends, want 4; %d faults are left", appended, kept.left)
	}
}

// A contradiction that shows while something is appended stops the log.
func TestContradictedAppendHalts(t *testing.T) {
	r := start(t, nil)
	r.register(t, file(newVendor(t), "root").Data)
	r.Storage.OnAppend = func([][]byte) ([][]byte, error) {
		return nil, fmt.Errorf("append: %w", &log.Halt{Code: log.HaltStorageDamaged, What: "two roots", Do: "Look"})
	}
	resp, body := r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data)
	problem(t, resp, body, 503, api.CodeUnavailable)
	logtest.WantHalt(t, r.log.Publisher().Halted(), "two roots")
}

// Something in the log's storage that this log would not have appended is not
// signed.
func TestForeignEntryHalts(t *testing.T) {
	r := start(t, nil)
	v := newVendor(t)
	r.register(t, file(v, "root").Data)
	r.Append(1)
	resp, body := r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data)
	problem(t, resp, body, 503, api.CodeUnavailable)
	logtest.WantHalt(t, r.log.Publisher().Halted(), "index 1")
	resp, body = r.do(t, "GET", "/readyz", nil)
	problem(t, resp, body, 503, api.CodeUnavailable)
	if resp, _ := r.do(t, "GET", "/checkpoint", nil); resp.StatusCode != 200 {
		t.Errorf("reads end with the halt: %d", resp.StatusCode)
	}
	if n := r.Ledger.Record.Edge.Tree().N; n != 1 {
		t.Errorf("signed size %d", n)
	}
}

// What a process appended and did not sign is signed by the next one, if it is
// what the log would have admitted; a state that is made anew changes nothing.
func TestLeftovers(t *testing.T) {
	r := start(t, func(c *leader.Config) { c.DrainTimeout = 50 * time.Millisecond })
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	r.Ledger.OnSwap = func() (bool, error) { return false, errors.New("disk on fire") }
	check(t, v.Release("targets"))
	files := []api.File{file(v, "targets"), file(v, "snapshot")}
	body, err := api.Tar(files)
	check(t, err)
	if resp, body := r.do(t, "POST", "/v1/repositories/"+id+"/metadata", body, "Content-Type", api.TypeTar, "Prefer", "wait=1"); resp.StatusCode != 202 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	r.close(t)
	left := r.Storage.Entries()
	if len(left) != 2 || r.Ledger.Record.Edge.Tree().N != 1 {
		t.Fatalf("%d entries, signed %v", len(left), r.Ledger.Record.Edge.Tree())
	}
	reset := func() {
		t.Helper()
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(filepath.Join(r.dir, "state.db"+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		check(t, sqlite.CreateState(filepath.Join(r.dir, "state.db")))
	}

	// Forged on the disk: never judged, and not what judging leads to.
	entry, err := leaf.Parse(left[1])
	check(t, err)
	r.Ledger.OnSwap = nil
	for name, forge := range map[string]func(l *leaf.Leaf){
		"another version":  func(l *leaf.Leaf) { l.Version++ },
		"another file":     func(l *leaf.Leaf) { l.Metadata[0] ^= 1 },
		"without snapshot": func(l *leaf.Leaf) { l.Snapshot, l.Listed = tuf.Digest{}, "" },
		"another role":     func(l *leaf.Leaf) { l.Role = "other" },
		"a genesis": func(l *leaf.Leaf) {
			l.Role, l.Repository, l.Snapshot = "root", l.Payload, tuf.Digest{}
			l.Listed = ""
		},
		"another repository": func(l *leaf.Leaf) { l.Repository[0] ^= 1 },
	} {
		forged := entry
		forge(&forged)
		r.Storage.Truncate(1)
		_, err := r.Storage.Append(t.Context(), [][]byte{forged.Marshal()})
		check(t, err)
		reset()
		err = r.tryOpen(t)
		words := "would not have admitted"
		if name == "another file" {
			words = "cannot be judged"
		}
		logtest.WantHalt(t, err, "index 1", words)
		if n := r.Ledger.Record.Edge.Tree().N; n != 1 {
			t.Fatalf("%s: signed size %d", name, n)
		}
	}

	r.Storage.Truncate(1)
	_, err = r.Storage.Append(t.Context(), left[1:])
	check(t, err)
	reset()
	r.open(t)
	if res := r.submit(t, id, files...); res[0].Status != api.StatusLogged || res[0].Index != 1 {
		t.Errorf("after the restart: %+v", res)
	}
}
