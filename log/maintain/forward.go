package maintain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// ErrNoNews means that a checkpoint says no more than the ledger, which was left as it is.
var ErrNoNews = errors.New("nothing was changed")

// Forward brings a ledger that is lost, or of an older date, forward to a checkpoint that the
// log has signed. Nobody else may write the log meanwhile.
type Forward struct {
	// Ledger is that of the log; where it is lost, one that has signed nothing.
	Ledger log.Ledger
	// Storage must be the newest that the log ever had: see RecordFromCheckpoint.
	Storage log.Storage
	// Keys are the log's public keys.
	Keys []proofs.Key
	// Checkpoint is what the ledger is set to, and From says for people where it is from.
	Checkpoint []byte
	From       string
	// Why is the code of what is wrong, which is recorded as the action.
	Why string
	// Record records what is about to be done.
	Record func(ctx context.Context, a Action) error
}

// Run returns the size that the ledger then says was signed last. It is ErrNoNews where the
// ledger knows that already. The action is recorded first: one that is recorded and was not
// taken does less harm than the other way round.
func (f *Forward) Run(ctx context.Context) (size int64, err error) {
	old, err := f.Ledger.Load(ctx)
	if err != nil {
		return 0, err
	}
	next, err := RecordFromCheckpoint(ctx, f.Checkpoint, f.Keys, f.Storage, old)
	if err != nil {
		return 0, err
	}
	if tree := old.Edge.Tree(); tree.N > 0 && tree == next.Edge.Tree() {
		return 0, fmt.Errorf("%w: the ledger says already that size %d was signed last, and %s says no more", ErrNoNews, tree.N, f.From)
	}
	now := time.Now()
	next.Signed = max(old.Signed, now.Unix()) // signing times never decrease
	before, err := old.Marshal()
	if err != nil {
		return 0, err
	}
	after, err := next.Marshal()
	if err != nil {
		return 0, err
	}
	action := Action{Time: now.UTC(), Action: f.Why, Detail: "ledger set to " + f.From, Before: string(before), After: string(after)}
	if err := f.Record(ctx, action); err != nil {
		return 0, err
	}
	return next.Edge.Tree().N, f.Ledger.Swap(ctx, old, next)
}
