package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// follow reads the newest checkpoint and grows the tree to it, or by a part.
func (a *Auditor) follow(ctx context.Context) error {
	a.more = false
	served, err := a.published(ctx)
	if err != nil || served == nil {
		return err
	}
	c, err := a.cfg.Policy.OpenCheckpoint(served)
	if c != nil && !a.isOf(c) {
		a.passing = append(a.passing, newFinding(UnknownLog, "the log serves a checkpoint of log %s, but this auditor, or its state, is of %s: checkpoints of another log of the policy cannot contradict it (use a state directory for each log)", tuf.Word(c.Origin), tuf.Word(a.origin)))
		return nil
	}
	var short *proofs.QuorumError
	if err == nil || errors.As(err, &short) {
		a.answered = true
		if err := a.checkpointRight(ctx, BadSignature); err != nil {
			return err
		}
	}
	switch {
	case short != nil:
		a.passing = append(a.passing, newFinding(QuorumShort, "the checkpoint of size %d is signed by the log, but by too few witnesses: %v", c.Tree.N, err))
	case errors.Is(err, proofs.ErrUnknownLog):
		a.passing = append(a.passing, newFinding(UnknownLog, "the served file is not a checkpoint of a log in the policy: %v", err))
		return nil
	case errors.Is(err, proofs.ErrBadSignature):
		f := newFinding(BadSignature, "the served checkpoint carries a signature that does not verify: %v", err)
		f.Evidence = []Evidence{evidenceFile("checkpoint.note", served)}
		a.record(f)
		return nil
	case err != nil:
		return &outage{"the checkpoint", err}
	}

	signed, err := a.keepNote(ctx, c.Note)
	if err != nil {
		return err
	}
	seen := claim{c.Tree, signed}
	a.lookAtClocks(c)
	if a.contradicts(ctx, seen) {
		return nil
	}
	// The log's signature alone binds the log: what contradicts it is a fork, whoever
	// cosigned.
	own, has := a.own()
	switch {
	case short != nil && has && c.Tree.N < own.tree.N:
		if _, err := a.forksFrom(ctx, seen, own); err != nil && len(a.smaller) < maxSmaller {
			a.smaller = append(a.smaller, seen)
		}
		return nil
	case short != nil:
		a.claim(seen)
		return nil
	case c.Tree.N < a.highest.tree.N:
		a.recordRollback(ctx, seen)
		return nil
	}
	if err := a.checkpointRight(ctx, Rollback); err != nil {
		return err
	}
	if c.Tree.N > a.tree.Size() || a.verified == nil {
		return a.extend(ctx, c, signed)
	}
	if err := a.db.SetVerified(ctx, signed); err != nil {
		return err
	}
	a.verified, a.signed = c, signed // the same tree, perhaps with more cosignatures
	a.looked = a.cfg.Now().Unix()
	return nil
}

// own returns the tree of which the auditor has the entries, or the first of them, as the log
// signed it: in this process, or before.
func (a *Auditor) own() (claim, bool) {
	if a.verified != nil {
		return claim{a.verified.Tree, a.signed}, true
	}
	return a.highest, a.highest.note != nil && a.highest.tree == a.tree.Tree()
}

// isOf reports whether a checkpoint is of the log that is audited: the first one whose
// checkpoint was seen, in this run or before. A policy may list several.
func (a *Auditor) isOf(c *proofs.SignedCheckpoint) bool {
	if a.origin == "" {
		a.origin = c.Origin
	}
	return c.Origin == a.origin
}

// contradicts reports whether the log signed another tree of the same size
// before, and records that.
func (a *Auditor) contradicts(ctx context.Context, c claim) bool {
	known := a.claims[c.tree.N]
	if own, ok := a.own(); ok && own.tree.N == c.tree.N {
		known = []claim{own}
	}
	for _, old := range known {
		if old.tree != c.tree {
			a.fork(ctx, old, c)
			return true
		}
	}
	return false
}

// recordFork records that the log signed two trees of which neither is the
// beginning of the other. The evidence is a proof of that, or the two notes. prefix is the
// root that the newer tree has at the size of the older one; zero: it is not known.
func (a *Auditor) recordFork(older, newer claim, prefix proofs.Hash, evidence ...Evidence) {
	f := newFinding(Fork, "the log signed two histories: size %d with root %v, and size %d with root %v, which does not begin with the first",
		older.tree.N, older.tree.Hash, newer.tree.N, newer.tree.Hash)
	if older.tree.N == newer.tree.N {
		prefix = newer.tree.Hash
		f.Sentence = fmt.Sprintf("the log signed two histories: size %d with root %v and with root %v", older.tree.N, older.tree.Hash, newer.tree.Hash)
	}
	// It is the same fork with each checkpoint that follows, and whichever was seen first.
	roots := []string{older.tree.Hash.String(), prefix.String()}
	slices.Sort(roots)
	f.about = fmt.Sprint(older.tree.N, roots)
	f.Evidence = evidence
	a.record(f)
}

// rollbackProof is the evidence of a rollback that signatures prove.
const rollbackProof = "rollback.accusation"

// recordRollback says that the log serves less than it did; of a copy, that it is behind,
// unless signatures say that somebody went back. Where the tree that
// was verified does not even begin with what is served now, it is a fork.
func (a *Auditor) recordRollback(ctx context.Context, now claim) {
	forked, err := a.forksFrom(ctx, now, a.highest)
	if forked {
		return
	}
	if err != nil && len(a.smaller) < maxSmaller {
		a.smaller = append(a.smaller, now)
	}
	f := newFinding(Rollback, "the log serves a checkpoint of size %d after one of size %d was verified", now.tree.N, a.highest.tree.N)
	f.Evidence = []Evidence{evidenceFile("verified.note", a.highest.note), evidenceFile("served.note", now.note)}
	if b, err := evidence.RolledBack(ctx, a.highest.note, now.note, a.cfg.Policy.Keys()...); err == nil {
		// A witness, or its clock, went back with the log. Otherwise the smaller checkpoint may be old.
		f.Evidence, f.proved = []Evidence{evidenceFile(rollbackProof, b)}, true
	} else if a.cfg.Copy {
		a.passing = append(a.passing, newFinding(CopyBehind, "the copy of the log ends at size %d, and size %d was verified before: nothing newer can be read from it", now.tree.N, a.highest.tree.N))
		return
	}
	a.record(f)
}

// fork records that now does not begin with old, with the proof if the tiles
// give it.
func (a *Auditor) fork(ctx context.Context, old, now claim) {
	if forked, err := a.forksFrom(ctx, old, now); err != nil || !forked {
		a.recordFork(old, now, proofs.Hash{}, evidenceFile("older.note", old.note), evidenceFile("newer.note", now.note))
	}
}

// maxCompared is how many of the largest trees seen earlier are compared with one
// whose entries are not at hand: each takes a few tiles.
const maxCompared = 16

// forks looks for what the log signed before and the tree it signed now does not
// begin with, as far as the tiles tell, and records it.
func (a *Auditor) forks(ctx context.Context, now claim) bool {
	var known []claim
	if own, ok := a.own(); ok {
		known = append(known, own)
	}
	for _, size := range slices.Backward(slices.Sorted(maps.Keys(a.claims))) {
		if size < now.tree.N && len(known) < maxCompared {
			known = append(known, a.claims[size]...)
		}
	}
	found := false
	for _, old := range known {
		forked, _ := a.forksFrom(ctx, old, now)
		found = found || forked
	}
	return found
}

// locate reads the new entries again and finds the first that is not the one
// signed, if the tiles say what was. If they do not, the entries must be the same again.
func (a *Auditor) locate(ctx context.Context, now claim, g *growth) error {
	general := fmt.Sprintf("the %d entries served hash to root %v", g.Size(), g.Tree().Hash)
	again := freshly(a.cfg.Source)
	for start := a.tree.Size() / proofs.FullWidth * proofs.FullWidth; start < g.Size(); start += proofs.FullWidth {
		width := proofs.TileWidth(now.tree.N, 0, start/proofs.FullWidth)
		signed, err := proofs.VerifiedTiles(now.tree, tileReader{a}).ReadTile(ctx, 0, start/proofs.FullWidth, width)
		if err != nil {
			return a.compareAgain(ctx, now, g, general)
		}
		data, err := again.Entries(ctx, start/proofs.FullWidth, width)
		if err != nil {
			return &outage{proofs.EntriesPath(start/proofs.FullWidth, width), err}
		}
		entries, err := proofs.ParseEntries(data)
		if err != nil || len(entries) != width {
			a.recordMismatch(now, -1, general, nil)
			return nil
		}
		for i, e := range entries {
			if hash := proofs.LeafHash(e); !bytes.Equal(signed[i*len(hash):][:len(hash)], hash[:]) {
				a.recordMismatch(now, start+int64(i), fmt.Sprintf("entry %d is not the one whose hash the log signed", start+int64(i)), e)
				return nil
			}
		}
	}
	return &outage{"the entries", errors.New("they were corrupted on the first read and intact when read again")}
}

// compareAgain reads the new entries again, and accuses the log if they are the same.
func (a *Auditor) compareAgain(ctx context.Context, now claim, g *growth, what string) error {
	again := freshly(a.cfg.Source)
	get := func(ctx context.Context, i int) answer {
		data, err := again.Entries(ctx, g.bundles[i].index, g.bundles[i].width)
		return answer{data, err}
	}
	for i, got := range inOrder(ctx, len(g.bundles), filesAhead, get) {
		b := g.bundles[i]
		if got.err != nil {
			return &outage{proofs.EntriesPath(b.index, b.width), got.err}
		}
		if tuf.Sum(got.data) != b.sum {
			return &outage{proofs.EntriesPath(b.index, b.width), errors.New("it was read twice, with other bytes each time")}
		}
	}
	a.recordMismatch(now, -1, what, nil)
	return nil
}

// recordMismatch says that the log does not serve the entries that it signed. It goes when
// the log has served them.
func (a *Auditor) recordMismatch(now claim, index int64, what string, served []byte) {
	f := newFinding(RootMismatch, "%s; the log signed root %v for size %d", what, now.tree.Hash, now.tree.N)
	f.Index = index
	f.Evidence = []Evidence{evidenceFile("checkpoint.note", now.note)}
	if served != nil {
		f.Evidence = append(f.Evidence, evidenceFile("served.bin", served))
	}
	a.claim(now)
	a.record(f)
}

// checkTiles compares the tiles served with those that the entries gave. Those that
// the log did not serve, or served wrong, are asked for again, as many of them as missing files are.
func (a *Auditor) checkTiles(ctx context.Context) error {
	for again := min(len(a.lost), maxAskedAgain); again > 0; again-- {
		want := a.lost[0]
		tile, err := a.cfg.Source.Tile(ctx, want.id.Level, want.id.Index, want.id.Width)
		right, err := a.checkTile(ctx, &want, answer{tile, err})
		if err != nil {
			return err
		}
		if !want.wrong || right {
			key, _ := doubtful(want.mismatch())
			a.servedRight(key)
		}
		if a.lost = a.lost[1:]; !right {
			a.lost = append(a.lost, want)
			continue
		}
		if err := a.db.RemoveLost(ctx, state.LostTile{ID: want.id, Sum: want.sum}); err != nil {
			return err
		}
		if err := a.db.FindingGone(ctx, want.mismatch().digest(), a.cfg.Now()); err != nil {
			return err
		}
	}
	tiles := a.tiles
	get := func(ctx context.Context, i int) answer {
		tile, err := a.cfg.Source.Tile(ctx, tiles[i].id.Level, tiles[i].id.Index, tiles[i].id.Width)
		return answer{tile, err}
	}
	for _, got := range inOrder(ctx, len(tiles), filesAhead, get) {
		right, err := a.checkTile(ctx, &a.tiles[0], got)
		if err != nil {
			return err
		}
		if !right {
			a.lost = append(a.lost, a.tiles[0])
			if err := a.db.AddLost(ctx, state.LostTile{ID: a.tiles[0].id, Sum: a.tiles[0].sum}); err != nil {
				return err
			}
		}
		a.tiles = a.tiles[1:]
		if err := a.late(); err != nil {
			return err
		}
	}
	return nil
}

// checkTile reports whether the log serves a tile as it must, by its answer, and if that is
// wrong by a second one.
func (a *Auditor) checkTile(ctx context.Context, want *wantedTile, got answer) (right bool, err error) {
	id := want.id
	is := func() bool { return got.err == nil && tuf.Sum(got.data) == want.sum }
	if !is() && (got.err == nil || errors.Is(got.err, ErrTooLarge)) {
		got.data, got.err = freshly(a.cfg.Source).Tile(ctx, id.Level, id.Index, id.Width)
	}
	switch {
	case is():
		return true, nil
	case errors.Is(got.err, ErrNotFound):
		want.wrong = false
		return false, nil
	case got.err != nil && !errors.Is(got.err, ErrTooLarge):
		return false, &outage{id.Path(), got.err}
	}
	want.wrong = true
	f := *want.mismatch()
	f.Evidence = []Evidence{evidenceFile("checkpoint.note", a.signed)}
	if got.err == nil { // otherwise it is larger than any tile, and was not read
		f.Evidence = append(f.Evidence, evidenceFile("tile.bin", got.data))
	}
	a.record(f)
	return false, nil
}

// lostTiles words which tiles are missing.
func (a *Auditor) lostTiles() []Finding {
	var found []Finding
	for _, want := range a.lost {
		if len(found) == a.maxPerKind {
			break
		}
		if want.wrong {
			continue // a finding says so, until it is right
		}
		f := newFinding(TileMissing, "the log does not serve %s", want.id.Path())
		f.Index = want.id.Index << (8 * (want.id.Level + 1))
		found = append(found, f)
	}
	return found
}
