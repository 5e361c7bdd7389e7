package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

var faultsLong = flag.Bool("faults.long", false, "kill the witness 200 times, cut its power 50 times and fill its disk 10 times")

// cosigned is a checkpoint that the witness cosigned, and between which moments.
type cosigned struct {
	tree        proofs.Tree
	unix        int64
	asked, came time.Time
}

// contested is a log that grows in two ways at once, from whatever the witness
// cosigned last.
type contested struct {
	key proofs.Key

	mu   sync.Mutex
	head *witnesstest.Log
	// unanswered are trees that the witness may have cosigned, by size: the
	// answer was lost.
	unanswered map[int64][]*witnesstest.Log
	got        []cosigned
}

// attack sends checkpoints of its own branch until the context ends.
func (l *contested) attack(ctx context.Context, c *client.Client, r *rand.Rand, branch string) {
	for n := 0; ctx.Err() == nil; n++ {
		l.mu.Lock()
		next := l.head.Fork()
		l.mu.Unlock()
		l.send(ctx, c, next, 1+r.Int64N(3), fmt.Sprintf("%s %d %d", branch, n, r.Uint64()))
	}
}

// send makes a tree grow on a branch and has it cosigned. If the witness is at a
// tree whose answer was lost, it goes on from there.
func (l *contested) send(ctx context.Context, c *client.Client, next *witnesstest.Log, grow int64, branch string) bool {
	old := next.Size()
	next.Grow(grow, branch)
	asked := time.Now()
	sigs, err := c.AddCheckpoint(ctx, next.Request(old))
	came := time.Now()
	var conflict *client.ConflictError
	var status *client.StatusError
	if errors.As(err, &conflict) {
		l.mu.Lock()
		var lost []*witnesstest.Log
		if conflict.Size > l.head.Size() {
			for _, t := range l.unanswered[conflict.Size] {
				lost = append(lost, t.Fork())
			}
		}
		l.mu.Unlock()
		for i, t := range lost {
			if l.send(ctx, c, t, grow, fmt.Sprintf("%s %d", branch, i)) {
				break
			}
		}
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		cp := next.Checkpoint()
		unix, err := c.Key.Verify(cp.String(), sigs[0].Sig)
		if err != nil {
			panic(err) // AddCheckpoint has verified it
		}
		l.got = append(l.got, cosigned{cp.Tree, unix, asked, came})
		if next.Size() > l.head.Size() {
			l.head = next
		}
	case !errors.As(err, &status) || status.Code >= 500:
		l.unanswered[next.Size()] = append(l.unanswered[next.Size()], next)
	}
	return err == nil
}

// cosigned is how many checkpoints of the log were.
func (l *contested) cosigned() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.got)
}

// enough is how many cosigned checkpoints of a log say something of a witness.
const enough = 10

// victim is a witness, and the logs that it is to cosign two histories of.
type victim struct {
	t    *testing.T
	r    *rand.Rand
	dir  string
	key  proofs.Key
	logs []*contested
}

func newVictim(t *testing.T, dir string) *victim {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	v := &victim{t: t, r: rand.New(rand.NewPCG(seed, 0)), dir: dir}
	v.key = initWitness(t, dir)
	// Several logs, so that they share transactions and syncs.
	for i := range 3 {
		l := witnesstest.NewLog(t, fmt.Sprintf("log%d.example", i))
		mustRun(t, "log", "add", "--dir", dir, l.Key().String())
		v.logs = append(v.logs, &contested{key: l.Key(), head: l, unanswered: make(map[int64][]*witnesstest.Log)})
	}
	return v
}

// serve starts the process. No limits: the more happens, the more can go wrong.
func (v *victim) serve() *serving {
	v.t.Helper()
	return serveProgram(v.t, v.dir, "--max-per-log", "0", "--max-per-address", "0")
}

// attack lets the attackers work until each log has had least more checkpoints
// cosigned, and then for some time, up to a bound; then it calls fault.
func (v *victim) attack(p *serving, least int, bound time.Duration, fault func()) {
	v.t.Helper()
	ctx, cancel := context.WithCancel(v.t.Context())
	var wg sync.WaitGroup
	want := map[*contested]int{}
	for _, l := range v.logs {
		want[l] = l.cosigned() + least
		for _, branch := range []string{"a", "b"} {
			r := rand.New(rand.NewPCG(v.r.Uint64(), 0))
			c := p.client(v.key)
			wg.Go(func() { l.attack(ctx, c, r, branch) })
		}
	}
	err := process.Eventually(ctx, fmt.Sprintf("%d more checkpoints of each log are cosigned", least), process.Patience, func() bool {
		return !slices.ContainsFunc(v.logs, func(l *contested) bool { return l.cosigned() < want[l] })
	})
	// Not a wait for something: the moment of the fault is part of the test.
	process.Pause(ctx, bound/8+time.Duration(v.r.Int64N(int64(bound*7/8))))
	fault()
	cancel()
	wg.Wait()
	if err != nil {
		v.t.Fatal(err)
	}
}

// check checks that the witness remembers all that it cosigned, and that the
// faults have not made it distrust itself.
func (v *victim) check() {
	v.t.Helper()
	if got := runProgram(v.t, "latch", "list", "--dir", v.dir); got.code != cli.ExitOK {
		v.t.Fatalf("latched: %s%s", got.stdout, got.stderr)
	}
	p := v.serve()
	for _, l := range v.logs {
		last := l.last()
		got := p.latest(l.key, v.key)
		if got.N < last.N || got.N == last.N && got.Hash != last.Hash {
			v.t.Fatalf("%s: the witness remembers size %d, but has cosigned %d", l.key.Name(), got.N, last.N)
		}
	}
	p.kill()
}

// last returns the largest tree that was cosigned.
func (l *contested) last() proofs.Tree {
	last := proofs.Tree{N: -1}
	for _, c := range l.got {
		if c.tree.N > last.N {
			last = c.tree
		}
	}
	return last
}

// checkAll checks what a witness promises of all it ever cosigned.
func (v *victim) checkAll() {
	v.t.Helper()
	total := 0
	for _, l := range v.logs {
		total += len(l.got)
		v.t.Run(l.key.Name(), func(t *testing.T) { checkCosigned(t, l.got) })
	}
	v.t.Logf("%d checkpoints cosigned", total)
}

// checkCosigned checks what a witness promises of all it cosigned of a log.
func checkCosigned(t *testing.T, all []cosigned) {
	t.Helper()
	if len(all) < enough {
		t.Fatalf("only %d checkpoints were cosigned", len(all))
	}
	roots := make(map[int64]proofs.Hash)
	for _, c := range all {
		if have, ok := roots[c.tree.N]; ok && have != c.tree.Hash {
			t.Errorf("two roots at size %d: %v and %v", c.tree.N, have, c.tree.Hash)
		}
		roots[c.tree.N] = c.tree.Hash
	}
	// Of two cosignatures one of which was there before the other was asked
	// for, the later one has neither the smaller size nor the earlier time.
	byCame := slices.SortedFunc(slices.Values(all), func(x, y cosigned) int { return x.came.Compare(y.came) })
	byAsked := slices.SortedFunc(slices.Values(all), func(x, y cosigned) int { return x.asked.Compare(y.asked) })
	var size, unix int64
	for _, later := range byAsked {
		for len(byCame) > 0 && byCame[0].came.Before(later.asked) {
			size, unix = max(size, byCame[0].tree.N), max(unix, byCame[0].unix)
			byCame = byCame[1:]
		}
		if later.tree.N < size || later.unix < unix {
			t.Errorf("size %d at time %d was cosigned after size %d and time %d", later.tree.N, later.unix, size, unix)
		}
	}
}

// TestFaults ends the witness in the middle of its work, again and again, while
// two branches of each log compete for its cosignature. With -faults.long it is
// the run that docs/witness.md reports on.
func TestFaults(t *testing.T) {
	t.Run("kill", testKill)
	t.Run("power", testPower)
	t.Run("full", testFull)
}

// testKill kills the process.
func testKill(t *testing.T) {
	v := newVictim(t, filepath.Join(t.TempDir(), "w"))
	kills := faults(200, 12, 3)
	for i := range kills {
		p := v.serve()
		v.attack(p, 4, 200*time.Millisecond, p.kill)
		if i%10 == 9 {
			v.check()
		}
	}
	v.check()
	v.checkAll()
	t.Logf("%d kills", kills)
}

// testPower cuts the power of the file system that the witness is on: what was
// not synced is lost.
func testPower(t *testing.T) {
	fs := mountExt4(t)
	v := newVictim(t, filepath.Join(fs.mount, "w"))
	cuts := faults(50, 3, 1)
	for range cuts {
		p := v.serve()
		v.attack(p, enough, time.Second, func() {
			// Half of the time it is frozen before, as in a real power cut; else
			// it sees every write fail first.
			if v.r.IntN(2) == 0 {
				p.Signal(t, syscall.SIGSTOP)
			}
			fs.cut()
			p.kill()
		})
		fs.restore()
		v.check()
	}
	v.checkAll()
	t.Logf("%d power cuts", cuts)
}

// testFull fills the file system while the witness works.
func testFull(t *testing.T) {
	fs := mountExt4(t)
	v := newVictim(t, filepath.Join(fs.mount, "w"))
	filler := filepath.Join(fs.mount, "filler")
	for range faults(10, 2, 1) {
		p := v.serve()
		v.attack(p, enough, 200*time.Millisecond, p.kill)
		p = v.serve()
		if err := fill(filler); err != nil {
			t.Fatal(err)
		}
		v.attack(p, 0, time.Second, p.kill)
		// It may not even start now, but must say so and end.
		if r := runProgram(t, "serve", "--dir", v.dir, "--listen", "none"); r.code == cli.ExitOK {
			t.Fatal("serve ended well")
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		v.check()
	}
	v.checkAll()
}

// fill writes a file until there is no room.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	block := make([]byte, 64<<10)
	for len(block) > 0 {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2] // to the last byte
		}
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func faults(long, usual, short int) int {
	switch {
	case *faultsLong:
		return long
	case testing.Short():
		return short
	}
	return usual
}

// ext4 is a file system in a file.
type ext4 struct {
	t            *testing.T
	image, mount string
}

// mountExt4 makes and mounts a file system, for which it must be root.
func mountExt4(t *testing.T) *ext4 {
	t.Helper()
	if os.Geteuid() != 0 || !canCut {
		t.Skip("cutting the power needs Linux and root, to mount a file system")
	}
	dir := t.TempDir()
	fs := &ext4{t: t, image: filepath.Join(dir, "image"), mount: filepath.Join(dir, "mount")}
	if err := errors.Join(os.WriteFile(fs.image, nil, 0o600), os.Truncate(fs.image, 64<<20), os.Mkdir(fs.mount, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", fs.image}, {"mount", "-o", "loop", fs.image, fs.mount}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("cutting the power needs a file system that can be mounted: %v: %v: %s", args, err, out)
		}
	}
	t.Cleanup(fs.unmount)
	return fs
}

func (fs *ext4) unmount() {
	if out, err := exec.Command("umount", fs.mount).CombinedOutput(); err != nil {
		fs.t.Errorf("umount: %v: %s", err, out)
	}
}

// cut makes the file system forget what was not synced, and do nothing more.
func (fs *ext4) cut() {
	fs.t.Helper()
	if err := shutdownExt4(fs.mount); err != nil {
		fs.t.Fatal(err)
	}
}

// restore mounts it again, as after the power came back.
func (fs *ext4) restore() {
	fs.t.Helper()
	fs.unmount()
	if out, err := exec.Command("mount", "-o", "loop", fs.image, fs.mount).CombinedOutput(); err != nil {
		fs.t.Fatalf("mount: %v: %s", err, out)
	}
}
