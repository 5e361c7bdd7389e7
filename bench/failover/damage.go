package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

// harm is a change made by hand in one of the databases.
type harm struct {
	name string
	// do makes the change; undo takes it back.
	do     func(ctx context.Context, w *world) (undo func() error, err error)
	repair bool // logserver reindex --tiles repairs it; otherwise undo does
	// says is part of what a log that stops has to say.
	says string
	// unseen says that fsck cannot see it, because the log has nothing of it
	// yet: it must have stopped.
	unseen bool
}

// copyHarms are changes of the state database.
var copyHarms = []harm{
	{name: "one bit of the copy: bundle of entries, full", do: flipTile(-1, false), repair: true, says: " --tiles"},
	{name: "one bit of the copy: bundle of entries, growing", do: flipTile(-1, true), repair: true, says: " --tiles"},
	{name: "one bit of the copy: tile, level 0, full", do: flipTile(0, false), repair: true, says: " --tiles"},
	{name: "one bit of the copy: tile, level 0, growing", do: flipTile(0, true), repair: true, says: " --tiles"},
	{name: "one bit of the copy: tile, level 1, growing", do: flipTile(1, true), repair: true, says: " --tiles"},
}

// trillianHarms are changes of Trillian's database.
var trillianHarms = []harm{
	{name: "one bit of a leaf in Trillian's database", do: flipLeaf},
	{name: "one bit of a leaf in Trillian's database, before the signer has integrated it", do: flipPending, unseen: true, says: "does not belong to Trillian's tree"},
	{name: "one bit of a node of the tree in Trillian's database", do: flipNode, unseen: true},
}

// enough is for how many entries there must be: full tiles and bundles, too.
const enough = 300

// damage changes a database by hand while the front ends run, starts both again,
// and looks at what they say of it. What they show to witnesses or publish is held
// against the log as it is after the repair.
func (h *harness) damage(ctx context.Context, name, what string, harms []harm) (rows []rehearsal.Row, err error) {
	w, err := h.newWorld(ctx, name, worldConfig{})
	if err != nil {
		return nil, err
	}
	defer w.close()
	l := w.load(ctx)
	// As long as it takes, while it goes on.
	for err == nil && w.rec.Count() <= enough {
		err = l.progress(ctx, 1, w.fronts...)
	}
	l.stop()
	if err != nil {
		return nil, err
	}
	for _, harm := range harms {
		if !strings.Contains(harm.name, h.only) {
			continue
		}
		r := rehearsal.NewRow(harm.name)
		began := time.Now()
		for range h.times {
			if r.Held = w.harm(ctx, harm, &r); r.Held != nil {
				break
			}
		}
		rows = append(rows, r)
		h.Say("%s: %v", r.Fault, time.Since(began).Round(100*time.Millisecond))
		if ctx.Err() != nil {
			return rows, context.Cause(ctx)
		}
		if r.Held != nil {
			return rows, nil // what comes next would be about this
		}
	}
	all := rehearsal.NewRow(what)
	v, err := w.check(ctx)
	all.Held = err
	for _, r := range rows {
		all.Injected += r.Injected
	}
	all.Outcomes["entries that the auditor vouches for"] = int(v.judged)
	return append(rows, all), nil
}

// harm does one change and repairs it.
func (w *world) harm(ctx context.Context, h harm, r *rehearsal.Row) error {
	if err := w.goesOn(ctx); err != nil {
		return fmt.Errorf("before it: %w", err)
	}
	undo, err := h.do(ctx, w)
	if err != nil {
		return err
	}
	r.Injected++
	stopped, err := w.bothOutcomes(ctx, h, r)
	if err != nil {
		return err
	}
	if err := w.readDamage(ctx, r); err != nil {
		return err
	}
	w.stopFronts(stopped)
	if err := w.found(ctx, h, stopped, r); err != nil {
		return err
	}
	if !h.repair {
		err = undo()
	} else {
		_, err = w.tool(ctx, "reindex", "--tiles")
	}
	if err != nil {
		return fmt.Errorf("the repair: %w", err)
	}
	for _, then := range []func(context.Context) error{w.startBoth, w.goesOn} {
		if err := then(ctx); err != nil {
			return fmt.Errorf("after the repair: %w", err)
		}
	}
	r.Outcomes["went on after the repair"]++
	return w.rec.Err()
}

func (w *world) startBoth(ctx context.Context) error {
	for _, f := range w.fronts {
		if err := f.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// bothOutcomes looks at what the log does, first while it runs and then started
// again, and reports whether it has stopped.
func (w *world) bothOutcomes(ctx context.Context, h harm, r *rehearsal.Row) (stopped bool, err error) {
	for i, when := range []string{"while the front ends ran", "after they were started again"} {
		acked, err := w.outcome(ctx, h.says)
		if err != nil {
			return false, fmt.Errorf("%s: %w", when, err)
		}
		if acked {
			r.Outcomes["went on rightly "+when]++
		} else {
			stopped = true
			r.Outcomes["stopped, and said why, "+when]++
		}
		if i == 0 {
			w.stopFronts(stopped)
			if err := w.startBoth(ctx); err != nil {
				return false, err
			}
		}
	}
	return stopped, nil
}

// found has fsck look for the damage.
func (w *world) found(ctx context.Context, h harm, stopped bool, r *rehearsal.Row) error {
	said, err := w.fsck(ctx)
	var ended *process.EndedError
	switch {
	case errors.As(err, &ended) && ended.Code == 1:
		r.Outcomes["found by fsck"]++
		return nil
	case err != nil:
		return fmt.Errorf("fsck could not look: %w", err)
	case h.unseen && stopped:
		return nil
	}
	return fmt.Errorf("neither did the log stop nor did fsck find it: %s", said)
}

// goesOn submits until each front end has acknowledged a release.
func (w *world) goesOn(ctx context.Context) error {
	if err := w.settled(ctx); err != nil {
		return err
	}
	for _, f := range w.fronts {
		v, err := rehearsal.NewVendor()
		if err != nil {
			return err
		}
		var last error
		err = process.Eventually(ctx, "a release is acknowledged through "+f.name, process.Patience, func() bool {
			last = w.client().Submit(ctx, f.url(), v.Genesis(), wait)
			return last == nil
		})
		if err != nil {
			return fmt.Errorf("%w: %w%s", err, last, w.lastWords())
		}
	}
	return w.settled(ctx)
}

// briefly is for how many seconds a client asks to wait that expects nothing.
const briefly = 1

// outcome waits until a new release is acknowledged through every front end, or one
// says why it is not ready, in these words, and reports whether it was the former.
// What is served is taken down.
func (w *world) outcome(ctx context.Context, words string) (acked bool, err error) {
	var releases []rehearsal.Release
	for range w.fronts {
		v, err := rehearsal.NewVendor()
		if err != nil {
			return false, err
		}
		releases = append(releases, v.Genesis())
	}
	done := make([]bool, len(w.fronts))
	said := ""
	err = process.Eventually(ctx, fmt.Sprintf("releases are acknowledged, or a front end says why the log does not go on: %q", words), process.Patience, func() bool {
		acked = true
		for i, f := range w.fronts {
			done[i] = done[i] || w.client().Submit(ctx, f.url(), releases[i], briefly) == nil
			acked = acked && done[i]
		}
		if acked {
			return true
		}
		for _, f := range w.fronts {
			if _, err := w.client().Get(ctx, f.url()+"/readyz"); err != nil {
				if said = err.Error(); strings.Contains(said, words) {
					return true
				}
			}
		}
		return false
	})
	if err != nil {
		return false, fmt.Errorf("%w: %s%s", err, said, w.lastWords())
	}
	return acked, w.serve(ctx)
}

// serve takes down what each front end serves. One that has just been started may
// have to learn first what is published.
func (w *world) serve(ctx context.Context) error {
	for _, f := range w.fronts {
		var last error
		err := process.Eventually(ctx, f.name+" serves a checkpoint", process.Patience, func() bool {
			t, err := w.client().Published(ctx, f.url())
			if last = err; err == nil {
				w.rec.Serve(f.name, t)
			}
			return err == nil
		})
		if err != nil {
			return fmt.Errorf("%w: %w", err, last)
		}
	}
	return nil
}

// readDamage reads the whole log as a monitor would: what is damaged must not hash
// to the checkpoint.
func (w *world) readDamage(ctx context.Context, r *rehearsal.Row) error {
	for _, f := range w.fronts {
		whole, err := w.client().Read(ctx, f.url())
		switch {
		case err != nil:
			r.Outcomes["served damage, which a reader notices"]++
			return nil
		case whole.Size() < w.rec.Largest():
			// It cannot hold what is published against that, and goes on with it.
			r.Outcomes["served what it had served before"]++
		default:
			if err := w.rec.Compare(whole); err != nil {
				return err
			}
		}
	}
	return nil
}

// stopFronts ends both front ends: one that stands still would take its time to
// give up, and is killed.
func (w *world) stopFronts(still bool) {
	for _, f := range w.fronts {
		if still {
			f.kill()
		} else {
			f.process.Stop()
		}
	}
}

// flip flips a bit in a bytea column of the one row that a condition names, within
// the given part of it if that is not empty, and returns the way back.
func (w *world) flip(ctx context.Context, database, table, column, where string, part []byte) (undo func() error, err error) {
	said, err := w.postgres.Exec(ctx, database, fmt.Sprintf("SELECT encode(%s, 'hex') FROM %s WHERE %s", column, table, where))
	if err != nil {
		return nil, err
	}
	before, err := hex.DecodeString(said)
	if err != nil || len(before) == 0 {
		return nil, fmt.Errorf("%s WHERE %s: %q", table, where, said)
	}
	after := slices.Clone(before)
	within := after
	if i := bytes.Index(after, part); i >= 0 && len(part) > 0 {
		within = after[i : i+len(part)]
	}
	within[w.rand.IntN(len(within))] ^= 1 << w.rand.IntN(8)
	change := func(from, to []byte) error {
		_, err := w.postgres.Exec(ctx, database, fmt.Sprintf("UPDATE %s SET %s = '\\x%x' WHERE %s AND %s = '\\x%x'", table, column, to, where, column, from))
		return err
	}
	// One that was written over meanwhile stays as it is.
	return func() error { return change(after, before) }, change(before, after)
}

// flipTile flips a bit of a tile in the state database.
func flipTile(level int, growing bool) func(context.Context, *world) (func() error, error) {
	return func(ctx context.Context, w *world) (func() error, error) {
		// The last part of a tile is what was added to it last.
		order := "index, part"
		if growing {
			order = "index DESC, part DESC"
		}
		key, err := w.postgres.Exec(ctx, stateDatabase, fmt.Sprintf("SELECT index, part FROM tiles WHERE level = %d ORDER BY %s LIMIT 1", level, order))
		if err != nil {
			return nil, err
		}
		index, part, ok := strings.Cut(key, "|")
		if !ok {
			return nil, fmt.Errorf("no tile of level %d: %q", level, key)
		}
		return w.flip(ctx, stateDatabase, "tiles", "data", fmt.Sprintf("level = %d AND index = %s AND part = %s", level, index, part), nil)
	}
}

// flipLeaf flips a bit of a leaf that Trillian has integrated long ago.
func flipLeaf(ctx context.Context, w *world) (func() error, error) {
	return w.flip(ctx, trillianDatabase, "LeafData", "LeafValue",
		"LeafIdentityHash = (SELECT LeafIdentityHash FROM SequencedLeafData WHERE SequenceNumber = 100)", nil)
}

// flipPending has a leaf changed between its arrival and its integration.
func flipPending(ctx context.Context, w *world) (undo func() error, err error) {
	if err := w.trillian.PauseSigner(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.trillian.ResumeSigner()) }()
	v, err := rehearsal.NewVendor()
	if err != nil {
		return nil, err
	}
	// It is not acknowledged, with the signer away.
	if err := w.client().Submit(ctx, w.fronts[0].url(), v.Genesis(), 1); err == nil {
		return nil, errors.New("a release was acknowledged without a signer")
	}
	const pending = "SELECT max(SequenceNumber) FROM SequencedLeafData HAVING max(SequenceNumber) >= (SELECT max(TreeSize) FROM TreeHead)"
	number := ""
	err = process.Eventually(ctx, "the leaf has arrived", process.Patience, func() bool {
		said, err := w.postgres.Exec(ctx, trillianDatabase, pending)
		number = said
		return err == nil && said != ""
	})
	if err != nil {
		return nil, err
	}
	return w.flip(ctx, trillianDatabase, "LeafData", "LeafValue",
		fmt.Sprintf("LeafIdentityHash = (SELECT LeafIdentityHash FROM SequencedLeafData WHERE SequenceNumber = %s)", number), nil)
}

// flipNode flips a bit of a node of Trillian's tree with which its signer goes on:
// while the size is odd, the last leaf's is one.
func flipNode(ctx context.Context, w *world) (func() error, error) {
	var size int64
	for {
		said, err := w.postgres.Exec(ctx, trillianDatabase, "SELECT max(TreeSize) FROM TreeHead")
		if err != nil {
			return nil, err
		}
		if size, err = strconv.ParseInt(said, 10, 64); err != nil {
			return nil, err
		}
		if size%2 == 1 {
			break
		}
		v, err := rehearsal.NewVendor()
		if err != nil {
			return nil, err
		}
		err = process.Eventually(ctx, "a release is acknowledged", process.Patience, func() bool {
			return w.client().Submit(ctx, w.fronts[0].url(), v.Genesis(), wait) == nil
		})
		if err != nil {
			return nil, err
		}
	}
	said, err := w.postgres.Exec(ctx, trillianDatabase, fmt.Sprintf("SELECT encode(MerkleLeafHash, 'hex') FROM SequencedLeafData WHERE SequenceNumber = %d", size-1))
	if err != nil {
		return nil, err
	}
	hash, err := hex.DecodeString(said)
	if err != nil {
		return nil, err
	}
	// The row is named by what the change does not change.
	id, err := w.postgres.Exec(ctx, trillianDatabase, fmt.Sprintf("SELECT encode(SubtreeId, 'hex') FROM Subtree WHERE position('\\x%x'::bytea IN Nodes) > 0", hash))
	if err != nil {
		return nil, err
	}
	return w.flip(ctx, trillianDatabase, "Subtree", "Nodes", fmt.Sprintf("SubtreeId = '\\x%s'", id), hash)
}
