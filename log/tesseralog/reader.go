package tesseralog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Reader reads a log that no other process has open, and does not change it. It
// is a log.Storage that refuses Append.
type Reader struct {
	log  Log
	tree proofs.Tree // as Tessera's state has it
}

// OpenReader opens a log for reading, and locks it until Close.
func OpenReader(dir string) (*Reader, error) {
	raw, err := os.ReadFile(filepath.Join(dir, ".state", "treeState"))
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	var state struct {
		Size uint64 `json:"size"`
		Root []byte `json:"root"`
	}
	if err := json.Unmarshal(raw, &state); err != nil {
		return nil, fmt.Errorf("read log: state of the tree: %w", err)
	}
	if state.Size > math.MaxInt64 || state.Size > 0 && len(state.Root) != len(proofs.Hash{}) {
		return nil, fmt.Errorf("read log: state of the tree: size %d, root of %d bytes", state.Size, len(state.Root))
	}
	lock, err := lockfile.AcquireDir(dir)
	if err != nil {
		return nil, err
	}
	r := &Reader{log: Log{cfg: Config{Dir: dir}, lock: lock}, tree: proofs.EmptyTree}
	if state.Size > 0 {
		r.tree.N = int64(state.Size)
		copy(r.tree.Hash[:], state.Root)
	}
	r.log.size.Store(r.tree.N)
	return r, nil
}

// State returns the tree that is integrated according to Tessera's state.
func (r *Reader) State() proofs.Tree { return r.tree }

// Integrated implements log.Storage: the tree that the tiles have.
func (r *Reader) Integrated(ctx context.Context) (proofs.Tree, error) {
	return log.TreeFromTiles(ctx, r.tree.N, r)
}

// ReadTile implements log.Storage.
func (r *Reader) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return r.log.ReadTile(ctx, level, index, width)
}

// ReadEntries implements log.Storage.
func (r *Reader) ReadEntries(ctx context.Context, index int64, width int) ([]byte, error) {
	return r.log.ReadEntries(ctx, index, width)
}

// Append implements log.Storage.
func (r *Reader) Append(context.Context, [][]byte) ([]int64, error) {
	return nil, errors.New("the log is open for reading only")
}

// Close implements log.Storage.
func (r *Reader) Close() error { return r.log.lock.Release() }
