package maintain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// LostFiles puts back files that leaves name and the log lacks, as after a restore from an old
// copy. Of a log on servers that needs no lease: a file is stored under its SHA-256, so
// everybody who puts it back stores the same.
type LostFiles struct {
	blobs  log.Blobs
	state  log.State
	later  map[tuf.Digest]bool // files of leaves that the derived state does not have
	record func(ctx context.Context, a Action) error
}

// OpenLostFiles reads the leaves that the derived state does not have: after a restore these
// are the ones whose files are missing. record records each file before it is stored.
func OpenLostFiles(ctx context.Context, l Log, record func(context.Context, Action) error) (*LostFiles, error) {
	storage, _, err := l.Storage(ctx)
	if err != nil {
		return nil, err
	}
	state, err := l.State()
	if err != nil {
		return nil, fmt.Errorf("%w; logserver reindex makes a new one", err)
	}
	// First the position, which must not be larger than the tree that is read after it.
	position, err := state.Position(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := storage.Integrated(ctx)
	if err != nil {
		return nil, err
	}
	f := &LostFiles{state: state, record: record, later: map[tuf.Digest]bool{}}
	for index := position.Tree().N / proofs.FullWidth; index*proofs.FullWidth < stored.N; index++ {
		bundle, err := storage.ReadEntries(ctx, index, proofs.TileWidth(stored.N, -1, index))
		if err != nil {
			return nil, err
		}
		entries, err := proofs.ParseEntries(bundle)
		if err != nil {
			return nil, err
		}
		for i, e := range entries {
			if leaf.IsEnd(e) {
				continue
			}
			leaf, err := leaf.Parse(e)
			if err != nil {
				return nil, fmt.Errorf("entry %d: %w", index*proofs.FullWidth+int64(i), err)
			}
			f.later[leaf.Metadata], f.later[leaf.Snapshot] = true, true
		}
	}
	f.blobs, err = l.Blobs()
	return f, err
}

// What PutBack did with a file.
const (
	Stored  = "stored"
	There   = "there already"
	Unnamed = "no leaf names it"
)

// PutBack stores a file that a leaf names, once the action is recorded, and returns what it
// did: Stored, There or Unnamed.
func (f *LostFiles) PutBack(ctx context.Context, file []byte) (did string, err error) {
	sum := tuf.Sum(file)
	if ok, err := f.named(ctx, sum); err != nil || !ok {
		return Unnamed, err
	}
	if _, err = f.blobs.Blob(ctx, sum); !errors.Is(err, fs.ErrNotExist) {
		return There, err
	}
	if err := f.record(ctx, ActionNow("blob-add", fmt.Sprintf("the file with SHA-256 %v", sum))); err != nil {
		return "", err
	}
	return Stored, f.blobs.Put(ctx, [][]byte{file})
}

// named reports whether a leaf names a file.
func (f *LostFiles) named(ctx context.Context, sum tuf.Digest) (bool, error) {
	if f.later[sum] {
		return true, nil
	}
	// One leaf that names a file does; others have it as their payload at most.
	records, _, err := f.state.Lookup(ctx, sum, 100)
	for _, rec := range records {
		if rec.Leaf.Metadata == sum || rec.Leaf.Snapshot == sum {
			return true, err
		}
	}
	return false, err
}
