package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// This file is about how the tree grows to one that the log signed. That may be of any size,
// and nobody has seen its entries: it is grown in parts. The entries of a part are hashed,
// the log's tiles prove that the signed tree begins with them, and they are judged before the
// next part is read. What is not proved is not judged, since it may not be what was signed.
//
// The tiles prove a part and are not needed otherwise. If they are missing, the part grows
// until it is proved or is all that was signed, whose root needs no proof, or until there is
// too much of it.

// Limits of what is hashed before it is judged.
const (
	partBundles = 64       // bundles that make a part: as many leaves as are judged before they are committed
	maxUnproved = 1 << 16  // new bundles of a tree of which no part can be proved
	maxHeld     = 16 << 20 // bytes of bundles that are held between hashing and judging
)

// A bundle is a bundle of entries whose hashes led to a signed root.
type bundle struct {
	index int64
	width int
	sum   tuf.Digest
	data  []byte // nil: to be read again, and compared with sum
}

// answer is what a source returned.
type answer struct {
	data []byte
	err  error
}

// A growth is the tree after the new entries, and what is to be done with them.
type growth struct {
	*proofs.Frontier
	bundles      []bundle
	held         int // bytes of bundles held
	tiles        []wantedTile
	contradicted []claim // what the log signed and this history is not
}

// newGrowth returns the growth of no new entries.
func (a *Auditor) newGrowth() *growth {
	g := &growth{Frontier: a.tree.Clone()}
	for _, b := range a.bundles {
		g.held += len(b.data)
	}
	return g
}

// total is how many leaves there are to be judged: of the tree that was verified, or of the
// one that is being read.
func (a *Auditor) total() int64 { return max(a.tree.Size(), a.target) }

// extend hashes new entries, and takes over the checkpoint if they lead to its root or are
// proved to be the first ones that do. What was hashed is kept when the step is late or there
// is an outage.
func (a *Auditor) extend(ctx context.Context, c *proofs.SignedCheckpoint, signed []byte) error {
	now := claim{c.Tree, signed}
	a.target = c.Tree.N
	waits := len(a.bundles) >= a.partBundles/2 && len(a.bundles) > 1
	if own, ok := a.own(); ok && own.tree != c.Tree && (waits || own.tree.N > a.tree.Size()) {
		// Its entries are not there to contradict the new one, or this one's are not.
		if forked, _ := a.forksFrom(ctx, own, now); forked {
			return nil
		}
	}
	if waits {
		// What was hashed is judged before more is.
		a.more = a.verified != nil && a.tree.Size() < a.verified.Tree.N
		a.claim(now)
		return nil
	}
	if a.growth == nil || a.growth.Size() > c.Tree.N {
		a.growth = a.newGrowth()
	}
	for {
		if size := a.growth.Size(); size > a.tree.Size() && size < c.Tree.N {
			if done, err := a.extendByPart(ctx, c, signed); done || err != nil {
				return err
			}
		}
		g := a.growth
		wrong, err := a.hashPart(ctx, g, c.Tree)
		if err != nil {
			return err
		}
		if wrong != nil {
			a.growth = nil
			if !wrong.changed || !a.forks(ctx, now) {
				a.recordMismatch(now, wrong.entry, wrong.what, wrong.served)
			}
			return nil
		}
		if g.Size() == c.Tree.N {
			break
		}
	}
	if g := a.growth; g.Tree() != c.Tree {
		a.growth = nil
		if a.forks(ctx, now) {
			return nil
		}
		return a.locate(ctx, now, g)
	}
	return a.takeOver(ctx, c, signed)
}

// extendByPart takes over the checkpoint if the log's tiles prove that its tree begins with the
// entries that were hashed. If it does not, these are not the entries that were signed. done
// reports whether it is one of the two.
func (a *Auditor) extendByPart(ctx context.Context, c *proofs.SignedCheckpoint, signed []byte) (done bool, err error) {
	g := a.growth
	hashes, err := proofs.ConsistencyProof(ctx, g.Size(), c.Tree, tileReader{a})
	switch {
	case err != nil && (c.Tree.N-a.tree.Size())/proofs.FullWidth >= a.maxUnproved:
		return false, &outage{fmt.Sprintf("the tiles that prove what the first %d entries of size %d are", g.Size(), c.Tree.N), err}
	case err != nil:
		return false, nil
	case proofs.VerifyConsistency(g.Tree(), c.Tree, hashes) == nil:
		return true, a.takeOver(ctx, c, signed)
	}
	a.growth = nil
	now := claim{c.Tree, signed}
	if a.forks(ctx, now) {
		return true, nil
	}
	return true, a.locate(ctx, now, g)
}

// hashPart appends the entries of a signed tree to a growth, up to the end of a part or of
// the tree. The error is an *outage, errLate or of the Merkle tree.
func (a *Auditor) hashPart(ctx context.Context, g *growth, tree proofs.Tree) (*wrongBundle, error) {
	first, part := g.Size()/proofs.FullWidth, int64(a.partBundles)
	end := tree.N / proofs.FullWidth
	if tree.N%proofs.FullWidth > 0 {
		end++
	}
	end = min(end, (first/part+1)*part)
	read := func(ctx context.Context, from Source, index int64) answer {
		data, err := from.Entries(ctx, index, proofs.TileWidth(tree.N, proofs.EntriesLevel, index))
		return answer{data, err}
	}
	get := func(ctx context.Context, i int) answer { return read(ctx, a.cfg.Source, first+int64(i)) }
	for i, got := range inOrder(ctx, int(end-first), filesAhead, get) {
		index := first + int64(i)
		width := proofs.TileWidth(tree.N, proofs.EntriesLevel, index)
		wrong, err := a.take(g, index, width, got)
		if wrong != nil {
			// One wrong answer, as of a network that wants a log-in first, accuses nobody.
			wrong, err = a.take(g, index, width, read(ctx, freshly(a.cfg.Source), index))
		}
		if wrong != nil || err != nil {
			return wrong, err
		}
		if g.Size() == tree.N {
			break
		}
		if a.cfg.Progress != nil {
			a.cfg.Progress(a.next, a.total())
		}
		if err := a.late(); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// takeOver takes over a checkpoint whose tree begins with what was hashed, or is that.
func (a *Auditor) takeOver(ctx context.Context, c *proofs.SignedCheckpoint, signed []byte) error {
	g, now := a.growth, claim{c.Tree, signed}
	a.growth = nil
	if len(g.contradicted) > 0 {
		a.fork(ctx, g.contradicted[0], now) // the smallest: those that follow are of the same history
		return nil
	}
	if err := a.db.SetVerified(ctx, signed); err != nil {
		return err
	}
	larger := a.verified == nil || a.verified.Tree != c.Tree
	a.tree, a.verified, a.signed, a.highest = g.Frontier, c, signed, now
	if larger {
		a.noteLook(c.Tree.N)
	}
	a.looked = a.cfg.Now().Unix()
	maps.DeleteFunc(a.claims, func(size int64, _ []claim) bool { return size <= g.Size() })
	a.bundles = append(a.bundles, g.bundles...)
	a.tiles = append(a.tiles, g.tiles...)
	if a.more = g.Size() < c.Tree.N; a.more {
		a.claim(now) // the entries that follow must lead to it
	} else {
		a.tiles = append(a.tiles, wanted(g.Partial())...)
	}
	return nil
}

// wrongBundle is what is wrong with a bundle.
type wrongBundle struct {
	entry   int64 // the first that is wrong
	changed bool  // the tree has it, with other bytes
	what    string
	served  []byte
}

// take appends the entries of a bundle to the tree, if the answer has as many as it must
// have. The error is an *outage.
func (a *Auditor) take(g *growth, index int64, width int, got answer) (*wrongBundle, error) {
	if got.err != nil && !errors.Is(got.err, ErrTooLarge) {
		return nil, &outage{proofs.EntriesPath(index, width), got.err}
	}
	entries, err := proofs.ParseEntries(got.data)
	if err != nil || len(entries) != width {
		what := fmt.Sprintf("%s does not hold %d entries", proofs.EntriesPath(index, width), width)
		return &wrongBundle{entry: index * proofs.FullWidth, what: what, served: got.data}, nil
	}
	changed, err := a.hash(g, index, entries)
	if err != nil {
		return nil, err
	}
	if changed >= 0 {
		return &wrongBundle{changed, true, fmt.Sprintf("entry %d is served with other bytes than before", changed), got.data}, nil
	}
	if index*proofs.FullWidth+int64(width) <= a.next {
		return nil, nil // all of it has been judged
	}
	b := bundle{index: index, width: width, sum: tuf.Sum(got.data)}
	if g.held += len(got.data); g.held <= maxHeld {
		b.data = got.data
	}
	g.bundles = append(g.bundles, b)
	return nil, nil
}

// hash appends the entries of a bundle to the tree. Those that the tree has
// already are compared: it returns the index of the first that changed, or -1.
func (a *Auditor) hash(g *growth, index int64, entries [][]byte) (changed int64, err error) {
	var known []byte // the hashes of those that the tree has
	if last := g.Partial(); len(last) > 0 && last[0].Level == 0 {
		known = last[0].Hashes
	}
	for i, e := range entries {
		hash := proofs.LeafHash(e)
		if at := i * len(hash); at < len(known) {
			if !bytes.Equal(known[at:at+len(hash)], hash[:]) {
				return index*proofs.FullWidth + int64(i), nil
			}
			continue
		}
		full, err := g.Append(hash)
		if err != nil {
			return -1, err
		}
		g.tiles = append(g.tiles, wanted(full)...)
		for _, old := range a.claims[g.Size()] {
			if old.tree != g.Tree() {
				g.contradicted = append(g.contradicted, old)
			}
		}
	}
	return -1, nil
}
