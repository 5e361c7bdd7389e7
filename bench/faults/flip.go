package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
	"github.com/tuflog/tuflog/proofs"
)

// kind is a kind of file that can rot. Its files are those of the log's directory
// (or of the ledger's) whose path is accepted.
type kind struct {
	name   string
	ledger bool
	is     func(path string) bool
	// closed: of a log that was stopped. One that was killed has its newest
	// pages in the write-ahead logs.
	closed bool
	// aim has the bit flipped in one of the places that hold the payload of an
	// old release, which is then sent again: what a log believes of its past.
	aim bool
}

func below(dir string) func(string) bool {
	return func(path string) bool { return strings.HasPrefix(path, dir) }
}

func named(name string) func(string) bool {
	return func(path string) bool { return path == name }
}

var kinds = []kind{
	{name: "tile, level 0", is: below("tree/tile/0/")},
	{name: "tile, higher", is: func(p string) bool {
		return below("tree/tile/")(p) && !below("tree/tile/0/")(p) && !below("tree/tile/entries/")(p)
	}},
	{name: "entry bundle", is: below("tree/tile/entries/")},
	{name: "tree state", is: below("tree/.state/")},
	{name: "blobs.db", closed: true, is: named("blobs.db")},
	{name: "blobs.db-wal", is: named("blobs.db-wal")},
	{name: "state.db", closed: true, is: named("state.db")},
	{name: "state.db-wal", is: named("state.db-wal")},
	{name: "state.db, the payload of a leaf", closed: true, is: named("state.db"), aim: true},
	{name: "ledger", ledger: true, is: named("ledger")},
	{name: "checkpoint", is: named("checkpoint")},
	{name: "log.key", is: named("log.key")},
}

// flipper has a log whose files it flips bits in, one at a time. Each time all
// of it, the witness included, begins as it was.
type flipper struct {
	h     *harness
	w     *world
	whole *rehearsal.History  // of the log before
	old   []rehearsal.Release // acknowledged before
	next  rehearsal.Release   // of a vendor of the log; acceptable, not sent yet
	saved string              // the directories as they were
}

// flippedBits flips one bit in each kind of file, and looks at what the log makes
// of it. It may refuse to start or to go on; it may serve what is damaged, where
// a reader notices; it may have what it needs elsewhere. It must never sign or
// serve what is wrong as right.
func flippedBits(ctx context.Context, h *harness) ([]rehearsal.Row, error) {
	f, err := h.newFlipper(ctx)
	if err != nil {
		return nil, err
	}
	defer f.w.close()
	rows := make([]rehearsal.Row, len(kinds))
	errs := make([][]error, len(kinds))
	for i, k := range kinds {
		rows[i] = rehearsal.NewRow("one flipped bit: " + k.name)
	}
	for n := range h.flips {
		i := n % len(kinds)
		outcome, where, err := f.flip(ctx, kinds[i])
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		rows[i].Injected++
		if err != nil {
			errs[i] = append(errs[i], fmt.Errorf("%s: %w", where, err))
			outcome = "WRONG"
		}
		rows[i].Outcomes[outcome]++
		if (n+1)%50 == 0 {
			h.Say("%d bits flipped", n+1)
		}
	}
	for i := range rows {
		rows[i].Held = errors.Join(errs[i]...)
	}
	return rows, nil
}

func (h *harness) newFlipper(ctx context.Context) (*flipper, error) {
	w, err := h.newWorld(ctx, "flip", 1, 1, place{})
	if err != nil {
		return nil, err
	}
	f := &flipper{h: h, w: w, saved: w.dir + ".saved"}
	if err := f.prepare(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return f, nil
}

func (f *flipper) prepare(ctx context.Context) error {
	if err := f.w.grow(ctx, 16, f.h.entries); err != nil {
		return err
	}
	v, err := rehearsal.NewVendor()
	if err == nil {
		err = f.w.submit(ctx, f.w.url(), v.Genesis(), 10)
	}
	if err != nil {
		return err
	}
	f.next = v.Next()
	if f.whole, err = f.w.check(ctx); err != nil {
		return err
	}
	size := f.whole.Size()
	for i := range size {
		if rel, ok := f.w.rec.Acked[i]; ok {
			f.old = append(f.old, rel)
		}
	}
	// Killed, the write-ahead logs of the databases stay; stopped, they go.
	f.w.killLog()
	if err := copyTree(ctx, f.w.dir, f.saved); err != nil {
		return err
	}
	if err := f.w.startLog(ctx); err != nil {
		return err
	}
	f.w.stopLog()
	f.w.witnesses.Processes[0].Stop()
	return copyTree(ctx, f.w.dir, f.saved+".closed")
}

// reset brings everything back to what it was.
func (f *flipper) reset(ctx context.Context, closed bool) error {
	f.w.killLog()
	f.w.witnesses.Processes[0].Kill()
	for _, dir := range []string{f.w.logDir, f.w.ledgerDir, f.w.witnesses.Dir(0), f.w.witnesses.Dir(0) + ".ledger"} {
		saved := filepath.Join(f.saved, filepath.Base(dir))
		if closed {
			saved = filepath.Join(f.saved+".closed", filepath.Base(dir))
		}
		if _, err := os.Stat(saved); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := copyTree(ctx, saved, dir); err != nil {
			return err
		}
	}
	f.w.rec = rehearsal.NewRecord()
	f.w.taps[0].Rec.Store(f.w.rec)
	return f.w.witnesses.Start(ctx, 0)
}

// flip flips one bit in a file of a kind. The error says what was signed or
// served wrongly.
func (f *flipper) flip(ctx context.Context, k kind) (outcome, where string, err error) {
	if err := f.reset(ctx, k.closed); err != nil {
		return "", "reset", err
	}
	dir := f.w.logDir
	if k.ledger {
		dir = f.w.ledgerDir
	}
	old := f.old[f.h.rand.IntN(len(f.old))]
	if k.aim {
		where, err = f.hit(filepath.Join(dir, "state.db"), old)
	} else {
		where, err = f.damage(dir, k.is)
	}
	if err != nil {
		return "", where, err
	}
	err = f.w.startLog(ctx)
	if process.IsEnded(err) {
		return "refused to start", where, f.judge()
	}
	if err != nil {
		return "", where, err
	}
	outcome, err = f.use(ctx, old, f.old[f.h.rand.IntN(len(f.old))])
	return outcome, where, errors.Join(err, f.judge())
}

// damage flips a bit in one of the files.
func (f *flipper) damage(dir string, is func(string) bool) (where string, err error) {
	var files []string
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		rel = filepath.ToSlash(rel)
		if info, err := d.Info(); err == nil && info.Size() > 0 && is(rel) && f.used(rel) {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		return dir, errors.Join(err, errors.New("no such file"))
	}
	slices.Sort(files)
	path := files[f.h.rand.IntN(len(files))]
	info, err := os.Stat(path)
	if err != nil {
		return path, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return path, err
	}
	bit := f.h.rand.IntN(8 * len(b))
	where = fmt.Sprintf("bit %d of %s (%d bytes)", bit, path, len(b))
	b[bit/8] ^= 1 << (bit % 8)
	return where, os.WriteFile(path, b, info.Mode().Perm())
}

// used reports whether a file is no partial tile of an earlier size, which nobody
// reads any more.
func (f *flipper) used(path string) bool {
	id, err := proofs.ParseTilePath(strings.TrimPrefix(path, "tree/"))
	return err != nil || id.Width == proofs.FullWidth || id.Width == proofs.TileWidth(f.whole.Size(), id.Level, id.Index)
}

// hit flips a bit of a release's payload in a file.
func (f *flipper) hit(path string, rel rehearsal.Release) (where string, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return path, err
	}
	var at []int
	for i := 0; ; i++ {
		n := bytes.Index(b[i:], rel.Leaf.Payload[:])
		if n < 0 {
			break
		}
		i += n
		at = append(at, i)
	}
	if len(at) == 0 {
		return path, errors.New("the payload is not in it")
	}
	bit := 8*at[f.h.rand.IntN(len(at))] + f.h.rand.IntN(8*len(rel.Leaf.Payload))
	b[bit/8] ^= 1 << (bit % 8)
	return fmt.Sprintf("bit %d of %s, in the payload of %s %d", bit, path, rel.Claim.Role, rel.Claim.Version), os.WriteFile(path, b, 0o600)
}

// use sends a new release and some old ones, and has an auditor replay the log.
func (f *flipper) use(ctx context.Context, again ...rehearsal.Release) (outcome string, err error) {
	acked := f.w.submit(ctx, f.w.url(), f.next, 2) == nil
	complaint := ""
	for _, old := range again {
		if err := f.w.submit(ctx, f.w.url(), old, 2); err != nil {
			complaint = err.Error()
		} else if at := f.w.rec.Index[old.Claim]; f.whole.Entries[at] == nil || string(f.whole.Entries[at]) != string(old.Leaf.Marshal()) {
			return "", fmt.Errorf("%v was acknowledged at index %d, where it is not", old.Claim, at)
		}
	}
	size := f.whole.Size()
	if acked {
		size++
	}
	against, err := f.w.audit(ctx, size)
	if err != nil && !acked {
		return "refused the new release", nil
	}
	if err != nil {
		complaint = err.Error()
	}
	switch {
	case !acked:
		return "refused the new release", nil
	case len(against) == 0 && complaint == "":
		return "unaffected, or put right", nil
	case len(against) == 0:
		return "refused what the damage is in the way of", nil
	}
	for _, a := range against {
		if strings.Contains(a, "false-admission") {
			return "", fmt.Errorf("the log admitted what it must not: %s", a)
		}
	}
	return "served damage, which a reader notices", nil
}

// judge holds every checkpoint that was signed or published against the only
// trees that are right: those of the log before, and with the one new release.
func (f *flipper) judge() error {
	right := &rehearsal.History{Trees: slices.Clone(f.whole.Trees), Entries: slices.Clone(f.whole.Entries)}
	edge := new(proofs.Edge)
	for _, e := range f.whole.Entries {
		if err := edge.Append(proofs.LeafHash(e)); err != nil {
			return err
		}
	}
	if err := right.Grow(edge, f.next.Leaf.Marshal()); err != nil {
		return err
	}
	return f.w.rec.Compare(right)
}
