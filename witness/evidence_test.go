package witness_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

func (d *doubtful) kept() []witness.KeptSuspect {
	d.t.Helper()
	all, err := d.store.Suspects(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

func (d *doubtful) examine() {
	d.t.Helper()
	if err := d.w.Examine(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// conflicts checks all evidence and returns the sizes.
func (d *doubtful) conflicts() []string {
	d.t.Helper()
	ids, err := d.evidence.List()
	if err != nil {
		d.t.Fatal(err)
	}
	var sizes []string
	for _, id := range ids {
		b, err := d.evidence.Read(id)
		if err != nil {
			d.t.Fatal(err)
		}
		c, err := fraud.ParseConflict(b)
		if err != nil {
			d.t.Fatal(err)
		}
		v, err := c.Check(d.log.Key())
		if err != nil || v.Origin != "log.example" {
			d.t.Fatalf("evidence %s: %+v, %v", id, v, err)
		}
		sizes = append(sizes, fmt.Sprintf("%d-%d", v.Older.N, v.Newer.N))
	}
	return sizes
}

func (d *doubtful) wantConflicts(want ...string) {
	d.t.Helper()
	if got := d.conflicts(); strings.Join(got, " ") != strings.Join(want, " ") {
		d.t.Fatalf("evidence of sizes %q, want %q", got, want)
	}
}

// TestTwoRootsAtOneSize become evidence at once, whatever else is wrong.
func TestTwoRootsAtOneSize(t *testing.T) {
	for name, request := range map[string]func(f *witnesstest.Log) client.Request{
		"right old size": func(f *witnesstest.Log) client.Request { return f.Request(5) },
		"old size 0":     func(f *witnesstest.Log) client.Request { return f.Request(0) },
		"too large": func(f *witnesstest.Log) client.Request {
			r := f.Request(0)
			r.OldSize = 7
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoubtful(t)
			d.log.Grow(5, "")
			d.cosign(d.log.Request(0))
			r := request(fork(d, 5))
			for range 3 {
				if a := d.post(r.Marshal()); a.status == http.StatusOK {
					t.Fatal("cosigned a fork")
				}
			}
			d.wantConflicts("5-5")
			if n := strings.Count(d.out.String(), "the log signed two histories"); n != 1 {
				t.Errorf("it was said %d times", n)
			}
			// The witness goes on with the history it knows.
			d.log.Grow(1, "")
			d.cosign(d.log.Request(5))
		})
	}
	t.Run("published", func(t *testing.T) {
		d := newDoubtful(t)
		d.log.Grow(5, "")
		d.cosign(d.log.Request(0))
		f := fork(d, 5)
		d.peer.put("/"+d.id.String()+"/checkpoint", f.Sign(f.Checkpoint()))
		if err := d.w.Check(t.Context(), d.id); err != nil {
			t.Fatal(err)
		}
		d.wantConflicts("5-5")
	})
}

// TestFailedProof becomes evidence only when the log's tiles say so.
func TestFailedProof(t *testing.T) {
	d := newDoubtful(t)
	d.log.Grow(5, "")
	d.cosign(d.log.Request(0))
	f := fork(d, 9)
	d.expect(d.post(f.Request(5).Marshal()), http.StatusUnprocessableEntity, "")
	d.wantConflicts()
	if kept := d.kept(); len(kept) != 1 || !kept[0].Failed || kept[0].Tree != f.Checkpoint().Tree {
		t.Fatalf("kept %+v", kept)
	}
	d.examine() // no tiles: nothing is proven
	d.wantConflicts()
	if kept := d.kept(); kept[0].Verdict != witness.Undecided || kept[0].Tries != 1 || kept[0].Next != now+60 {
		t.Fatalf("kept %+v", kept)
	}
	d.at.tiles(d.log) // those of another tree do not prove anything, either
	d.at.put("/"+proofs.TileID{Width: 9}.Path(), d.log.Tile())
	d.setClock(now + 60)
	d.examine()
	d.wantConflicts()
	d.at.tiles(f)
	d.examine() // not yet due
	d.wantConflicts()
	d.setClock(now + 60 + 120)
	d.examine()
	d.wantConflicts("5-9")
	if kept := d.kept(); kept[0].Verdict != witness.Conflicts {
		t.Fatalf("kept %+v", kept)
	}
}

// Old checkpoints are public, so anybody can send any number of them: they use up
// nothing of what is kept of forks.
func TestStaleRequestsHideNoFork(t *testing.T) {
	d := newDoubtful(t)
	var stale []client.Request
	for range 100 {
		d.log.Grow(1, "")
		stale = append(stale, d.log.Request(0))
	}
	d.cosign(d.log.Request(0))
	for _, r := range stale[:99] {
		d.expectConflict(d.post(r.Marshal()), 100)
	}
	for _, size := range []int64{50, 51} {
		d.expect(d.post(fork(d, 100+size).Request(100).Marshal()), http.StatusUnprocessableEntity, "")
	}
	var failed []int64
	kept := d.kept()
	for _, k := range kept {
		if k.Failed {
			failed = append(failed, k.Tree.N)
		}
	}
	if fmt.Sprint(failed) != "[150 151]" || len(kept) == 2 {
		t.Errorf("%d suspects are kept, with failed proofs those of sizes %v", len(kept), failed)
	}
	if n := strings.Count(d.out.String(), "refused a checkpoint that its log signed"); n != 2 {
		t.Errorf("%d forks are logged", n)
	}
}

// TestBadProof: a good checkpoint with a bad proof accuses nobody.
func TestBadProof(t *testing.T) {
	d := newDoubtful(t)
	d.log.Grow(5, "")
	d.cosign(d.log.Request(0))
	good := d.log.Fork()
	good.Grow(4, "")
	r := good.Request(5)
	r.Proof = r.Proof[:1]
	d.expect(d.post(r.Marshal()), http.StatusUnprocessableEntity, "")
	d.at.tiles(good)
	d.examine()
	if kept := d.kept(); len(kept) != 1 || kept[0].Verdict != witness.Consistent {
		t.Fatalf("kept %+v", kept)
	}
	d.wantConflicts()
}

// TestSmallerFork: a fork below the latest size is judged by the tiles of the
// latest tree, even if the log hides its own.
func TestSmallerFork(t *testing.T) {
	d := newDoubtful(t)
	d.log.Grow(3, "")
	d.cosign(d.log.Request(0))
	d.log.Grow(6, "")
	d.cosign(d.log.Request(3))
	d.at.tiles(d.log)
	honest := d.log.Fork() // an old checkpoint, come late
	late := witnesstest.NewLog(t, "log.example")
	late.Signer = honest.Signer
	late.Grow(4, "")
	for _, l := range []*witnesstest.Log{fork(d, 5), late} {
		d.expectConflict(d.post(l.Request(3).Marshal()), 9)
	}
	// What was cosigned before is nothing to look at.
	cosignedBefore := witnesstest.NewLog(t, "log.example")
	cosignedBefore.Signer = honest.Signer
	cosignedBefore.Grow(3, "")
	d.expectConflict(d.post(cosignedBefore.Request(0).Marshal()), 9)
	if kept := d.kept(); len(kept) != 2 || kept[0].Failed {
		t.Fatalf("kept %+v", kept)
	}
	d.examine()
	d.wantConflicts("5-9")
	for _, k := range d.kept() {
		if want := map[int64]witness.Verdict{4: witness.Consistent, 5: witness.Conflicts}[k.Tree.N]; k.Verdict != want {
			t.Errorf("size %d: %q, want %q", k.Tree.N, k.Verdict, want)
		}
	}
}

// TestPublishedFork: the log publishes another history than it shows us.
func TestPublishedFork(t *testing.T) {
	for _, size := range []int64{4, 8} {
		d := newDoubtful(t)
		d.log.Grow(6, "")
		d.cosign(d.log.Request(0))
		d.at.tiles(d.log)
		f := fork(d, size)
		d.at.tiles(f)
		d.at.put("/checkpoint", f.Sign(f.Checkpoint()))
		if err := d.w.Check(t.Context(), d.id); err != nil {
			t.Fatal(err)
		}
		d.wantConflicts(fmt.Sprintf("%d-%d", min(size, 6), max(size, 6)))
	}
}

// TestOtherRefusals are not kept: anybody can cause them.
func TestOtherRefusals(t *testing.T) {
	d := newDoubtful(t)
	d.log.Grow(5, "")
	at5 := d.log.Request(0)
	d.cosign(at5)
	d.log.Grow(2, "")
	ahead := d.log.Request(0)
	stranger := witnesstest.NewLog(t, "log.example")
	stranger.Grow(5, "other")
	for name, r := range map[string]client.Request{
		"latest again": at5, "larger, with a wrong old size": ahead, "not signed by the log": stranger.Request(5),
		"empty tree": {Checkpoint: witnesstest.SignText(t, proofs.Checkpoint{Origin: "log.example", Tree: proofs.EmptyTree}.String(), d.log.Signer)},
	} {
		if a := d.post(r.Marshal()); a.status == http.StatusOK {
			t.Errorf("%s: cosigned", name)
		}
	}
	if kept := d.kept(); len(kept) != 0 {
		t.Errorf("kept %+v", kept)
	}
	// An empty tree with a wrong root is a lie, but there is no second one to
	// contradict it.
	wrong := proofs.Checkpoint{Origin: "log.example", Tree: proofs.Tree{Hash: proofs.LeafHash(nil)}}
	d.post(client.Request{Checkpoint: d.log.Sign(wrong)}.Marshal())
	d.wantConflicts()
}

func TestEvidenceDir(t *testing.T) {
	d := newDoubtful(t)
	if ids, err := d.evidence.List(); err != nil || len(ids) != 0 {
		t.Fatalf("ids of no directory: %v, %v", ids, err)
	}
	var conflicts []fraud.Conflict
	for n := int64(3); n < 110; n++ {
		a, b := witnesstest.NewLog(t, "log.example"), fork(d, n)
		a.Signer = d.log.Signer
		a.Grow(n, "")
		c, err := fraud.NewConflict(t.Context(), a.Sign(a.Checkpoint()), b.Sign(b.Checkpoint()), nil)
		if err != nil {
			t.Fatal(err)
		}
		conflicts = append(conflicts, c)
	}
	kept := 0
	for range 2 {
		for _, c := range conflicts {
			if _, isNew, err := d.evidence.Keep("log.example", c); err != nil {
				t.Fatal(err)
			} else if isNew {
				kept++
			}
		}
	}
	if kept != 100 || len(d.conflicts()) != 100 {
		t.Errorf("kept %d files, want 100 at most", kept)
	}
	for _, id := range []string{"../state", ".", "a/b", "nothing"} {
		if b, err := d.evidence.Read(id); err == nil {
			t.Errorf("read %q under %q", b, id)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(d.evidence.Path), "state.db")); err != nil {
		t.Fatal(err)
	}
}

// TestSilentLog: a log that does not answer for its tiles holds up neither the
// judgement of others' suspects nor the looks at what they publish.
func TestSilentLog(t *testing.T) {
	d := newDoubtful(t)
	asked, looked := make(chan struct{}, 100), make(chan struct{}, 100)
	silent := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/checkpoint" {
			looked <- struct{}{}
			http.NotFound(rw, r)
			return
		}
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	quiet := witnesstest.NewLog(t, "quiet.example")
	if err := d.store.AddLog(t.Context(), witness.NewLog{Key: quiet.Key(), URL: silent.URL}); err != nil {
		t.Fatal(err)
	}
	quiet.Grow(3, "")
	d.expect(d.post(quiet.Request(0).Marshal()), http.StatusOK, "")
	for n := range int64(20) {
		f := quiet.Fork()
		f.Grow(1+n, "")
		r := f.Request(3)
		r.Proof = []proofs.Hash{{1}}
		d.expect(d.post(r.Marshal()), http.StatusUnprocessableEntity, "")
	}
	d.log.Grow(5, "")
	d.cosign(d.log.Request(0))
	f := fork(d, 9)
	d.at.tiles(f)
	d.expect(d.post(f.Request(5).Marshal()), http.StatusUnprocessableEntity, "")
	// One after the other they would take the silent log minutes.
	ctx, cancel := context.WithCancel(t.Context())
	examined := make(chan error, 1)
	go func() { examined <- d.w.Examine(ctx) }()
	<-asked
	for deadline := time.Now().Add(time.Minute); len(d.conflicts()) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no evidence against the other log")
		}
	}
	cancel()
	if err := <-examined; !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	// The looks of the schedule go on while tiles are waited for.
	d.every = time.Millisecond
	d.start()
	for len(looked) > 0 {
		<-looked
	}
	ctx, cancel = context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		d.w.Run(ctx)
	}()
	d.expect(d.post(quiet.Request(0).Marshal()), http.StatusConflict, "")
	r := quiet.Fork()
	r.Grow(30, "")
	bad := r.Request(3)
	bad.Proof = nil
	d.expect(d.post(bad.Marshal()), http.StatusUnprocessableEntity, "") // wakes the judge
	<-asked
	for len(looked) > 0 {
		<-looked
	}
	for range 3 {
		<-looked
	}
	cancel()
	<-ran
}

// TestRun: the schedule does by itself what the tests above ask for.
func TestRun(t *testing.T) {
	d := newDoubtful(t)
	d.log.Grow(5, "")
	d.cosign(d.log.Request(0))
	f := fork(d, 9)
	d.at.tiles(f)
	ran := make(chan struct{})
	ctx := t.Context()
	go func() {
		defer close(ran)
		d.w.Run(ctx)
	}()
	d.expect(d.post(f.Request(5).Marshal()), http.StatusUnprocessableEntity, "")
	for deadline := time.Now().Add(10 * time.Second); len(d.conflicts()) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("no evidence")
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Cleanup(func() { <-ran })
}
