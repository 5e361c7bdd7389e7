package anchored

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

// A receipt that another has put there counts once an audit has found its text among the log's own trees,
// and one that was believed in and is of none does not.
func TestReceiptsOfTheLog(t *testing.T) {
	w := newKeepers(t, http.StatusBadGateway)
	w.rekor.Instead = nil
	k := w.open()
	leaves := make([]proofs.Hash, 5)
	trees := []proofs.Tree{proofs.EmptyTree}
	edge := new(proofs.Edge)
	for n := range leaves {
		leaves[n] = proofs.Hash{byte(n)}
		w.must(edge.Append(leaves[n]))
		trees = append(trees, edge.Tree())
	}
	newest := w.note(trees[5], w.signer)
	k.cfg.Newest = func() ([]byte, int64) { return newest, 5 }
	l, err := k.remembered()
	w.must(err)
	hidden := []proofs.Tree{{N: 4, Hash: proofs.Hash{1}}, {N: 9, Hash: proofs.Hash{1}}}
	for _, tree := range append(slices.Clone(hidden), trees[3], trees[1]) {
		_, _, err := l.Submit(t.Context(), w.note(tree, w.signer))
		w.must(err)
	}
	note, _, err := parseSigned(w.note(hidden[0], w.signer))
	w.must(err)
	k.pinned.anchored(4, digestOf(note), w.now) // as before the log's state was lost
	c, err := w.policy.OpenCheckpoint(newest)
	w.must(err)
	found, err := l.Judge(t.Context(), &Log{Policy: w.policy, Checkpoint: c, Leaves: func(_ context.Context, from, to int64, each func(proofs.Hash) error) error {
		for _, leaf := range leaves[from:to] {
			if err := each(leaf); err != nil {
				return err
			}
		}
		return nil
	}}, nil)
	w.must(err)
	if len(found.Strange) != 1 {
		t.Errorf("%d strange notes", len(found.Strange))
	}
	if k.count(); k.Status().Size != 4 {
		t.Errorf("%+v", k.Status())
	}
	k.shown = found
	if k.count(); k.Status().Size != 3 || k.Status().Time == 0 {
		t.Errorf("%+v", k.Status())
	}
	k = w.open()
	if k.resume(); k.Status().Size != 3 {
		t.Errorf("after a restart %+v", k.Status())
	}
}
