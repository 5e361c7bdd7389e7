package maintain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// RecordFromCheckpoint makes the ledger's record anew from a checkpoint that the
// log has signed, usually the published one, and the storage that holds its tree.
// It looks only forward: a ledger that knows more is not replaced.
//
// The entries that the log has signed beyond the checkpoint are in storage, too, if
// storage is the log's newest: then everything that is signed next extends them. Only
// the operator can know that.
func RecordFromCheckpoint(ctx context.Context, signed []byte, keys []proofs.Key, storage log.Storage, old log.LedgerRecord) (log.LedgerRecord, error) {
	var next log.LedgerRecord
	cp, note, err := proofs.OpenCheckpoint(signed, keys...)
	if err != nil {
		return next, err
	}
	if cp.Origin != old.Origin {
		return next, fmt.Errorf("the checkpoint is of log %q, the ledger of %q", cp.Origin, old.Origin)
	}
	before := old.Edge.Tree()
	if cp.Tree.N < before.N {
		return next, fmt.Errorf("the checkpoint has size %d, the ledger knows %d already", cp.Tree.N, before.N)
	}
	stored, err := storage.Integrated(ctx)
	if err != nil {
		return next, err
	}
	if stored.N < cp.Tree.N {
		return next, fmt.Errorf("storage has %d entries, the checkpoint's tree %d: bring back the newest storage first", stored.N, cp.Tree.N)
	}
	front, err := proofs.ReadFrontier(ctx, cp.Tree.N, storage)
	if err != nil {
		return next, err
	}
	if tree := front.Tree(); tree != cp.Tree {
		return next, fmt.Errorf("at size %d storage has root %v, the checkpoint %v", tree.N, tree.Hash, cp.Tree.Hash)
	}
	proof, err := proofs.ConsistencyProof(ctx, before.N, cp.Tree, storage)
	if err == nil {
		err = proofs.VerifyConsistency(before, cp.Tree, proof)
	}
	if err != nil {
		return next, fmt.Errorf("the ledger's tree is not a prefix of the checkpoint's: %w", err)
	}
	own := proofs.Note{Text: note.Text}
	for _, sig := range note.Signatures {
		for _, key := range keys {
			if sig.Name == key.Name() && sig.KeyID == key.ID() {
				own.Signatures = append(own.Signatures, sig)
			}
		}
	}
	if len(own.Signatures) == 0 {
		return next, errors.New("the checkpoint has no signature of the log")
	}
	ended, err := log.EndsIn(ctx, cp.Tree, storage)
	if err != nil {
		return next, err
	}
	return log.LedgerRecord{Origin: old.Origin, Edge: front.Edge(), Signed: old.Signed, Ended: ended, Note: own.Marshal()}, nil
}

// Action is something that was done to a log by hand, kept for later questions.
type Action struct {
	Time   time.Time `json:"time"`
	Action string    `json:"action"` // freeze, blob-add, tree-replace, or the code that resume was given
	Detail string    `json:"detail"`
	Before string    `json:"before,omitempty"` // the ledger's record
	After  string    `json:"after,omitempty"`
}

// ActionNow is an action that is about to be taken.
func ActionNow(action, detail string) Action {
	return Action{Time: time.Now().UTC(), Action: action, Detail: detail}
}

// ActionsFile is the file in a ledger's directory that AppendAction adds to.
const ActionsFile = "actions.jsonl"

// AppendAction records an action in the directory of the ledger, durably, as one
// line of JSON. Nothing ever removes a line.
func AppendAction(dir string, a Action) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, ActionsFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Sync(), f.Close(), durable.SyncDir(dir))
}

// ReadActions returns the actions that AppendAction has recorded in a directory, oldest first.
// A line that cannot be read, because a crash cut it short, is an action of its own.
func ReadActions(dir string) ([]Action, error) {
	b, err := os.ReadFile(filepath.Join(dir, ActionsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Action
	for line := range bytes.Lines(b) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		var a Action
		if err := json.Unmarshal(line, &a); err != nil {
			a = Action{Action: "unreadable", Detail: string(line)}
		}
		list = append(list, a)
	}
	return list, nil
}
