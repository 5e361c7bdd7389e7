package audited

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// maxPool is how many trees are kept for which some signatures are still missing: auditors
// that are asked at different times need not show the same one.
const maxPool = 256

// pool has the signatures that have come for trees of the log. Its trees are known to be the
// log's.
type pool struct{ notes map[proofs.Tree]*proofs.Note }

// add adds the signatures of a note, and makes it one of the pool if there is room.
func (p *pool) add(k *Keeper, tree proofs.Tree, signed []byte) {
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return // it was opened before
	}
	if p.notes == nil {
		p.notes = map[proofs.Tree]*proofs.Note{}
	}
	into := p.notes[tree]
	if into == nil {
		into = &proofs.Note{Text: note.Text}
		if len(p.notes) >= maxPool {
			// The smallest is the first that auditors have left behind.
			smallest := slices.MinFunc(slices.Collect(maps.Keys(p.notes)), func(a, b proofs.Tree) int { return cmp.Compare(a.N, b.N) })
			delete(p.notes, smallest)
		}
		p.notes[tree] = into
	}
	k.merge(into, note)
}

// join adds the signatures of the published note, if the pool has its tree.
func (p *pool) join(k *Keeper, published log.Published) {
	if p.notes[published.Tree] != nil {
		p.add(k, published.Tree, published.Note)
	}
}

// newest returns the newest checkpoint that meets the policy, if it is newer than have, or
// has other signatures. Its note is nil if there is none.
func (p *pool) newest(policy *proofs.Policy, have log.Published) log.Published {
	trees := slices.SortedFunc(maps.Keys(p.notes), func(a, b proofs.Tree) int { return cmp.Compare(b.N, a.N) })
	for _, tree := range trees {
		if tree.N < have.Tree.N {
			break
		}
		note := p.notes[tree].Marshal()
		if bytes.Equal(note, have.Note) {
			break
		}
		if _, err := policy.OpenCheckpoint(note); err == nil {
			return log.Published{Tree: tree, Note: note}
		}
	}
	return log.Published{}
}

// forget drops the trees below a size.
func (p *pool) forget(size int64) {
	maps.DeleteFunc(p.notes, func(tree proofs.Tree, _ *proofs.Note) bool { return tree.N < size })
}

// merge adds to a note the signatures that another has of the same text: those of the log
// and of the witnesses and auditors of the policy that verify, of each key the newest. They
// stand in the order of the keys.
func (k *Keeper) merge(into *proofs.Note, from proofs.Note) {
	if into.Text != from.Text {
		return
	}
	var merged []proofs.Signature
	all := slices.Concat(into.Signatures, from.Signatures)
	take := func(key proofs.Key, counts func(unix int64) bool) {
		var best *proofs.Signature
		var latest int64
		for i, sig := range all {
			if sig.Name != key.Name() || sig.KeyID != key.ID() || best != nil && bytes.Equal(best.Sig, sig.Sig) {
				continue
			}
			unix, err := key.Verify(from.Text, sig.Sig)
			if err == nil && counts(unix) && (best == nil || unix > latest) {
				best, latest = &all[i], unix
			}
		}
		if best != nil {
			merged = append(merged, *best)
		}
	}
	for _, key := range k.cfg.Keys {
		take(key, func(int64) bool { return true })
	}
	now := k.cfg.Now()
	for _, w := range k.policies.Audited.Witnesses {
		// Devices keep the largest time of each witness forever.
		take(w.Key, func(unix int64) bool { return unix > 0 && client.CheckTime(unix, now) == nil })
	}
	into.Signatures = merged
}
