package maintain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// ErrOtherEntries means that the storage to be copied to holds what does not
// belong to the log: nothing was changed.
var ErrOtherEntries = errors.New("it holds other entries than this log")

// Migration copies the entries of a log, and the files that they name, to another
// storage: every entry keeps its index, so every root stays what it was. Nobody
// may append to either meanwhile. It can be broken off at any time and run again:
// it goes on where the storage copied to ends.
//
// The copy says nothing about what was signed. The ledger, and with it
// the right to sign, is handed over in a step of its own, when all of the copy has
// been read back (Fsck) and the old ledger has been retired (FileLedger.Retire).
type Migration struct {
	// From is the log. Tree is all that it holds. FromBlobs is nil where the files
	// stay where they are.
	From      log.Storage
	FromBlobs admit.Blobs
	Tree      proofs.Tree
	// To is where it goes: an empty storage, or one that holds its beginning.
	To      log.Storage
	ToBlobs log.Blobs

	// Batch is how many entries are appended at once. Zero means 4096.
	Batch int
	// Patience is for how long storage or blobs may be unavailable, without
	// any progress, before Run gives up. Zero means 2 minutes.
	Patience time.Duration
	// Progress, which may be nil, is told how many entries have been copied
	// since the last call.
	Progress func(n int)
	// Logger is told of files that are not there and of what is tried again.
	// Nil means slog.Default().
	Logger *slog.Logger
}

const (
	migrateBatch    = 4096
	migratePatience = 2 * time.Minute
	migratePause    = 200 * time.Millisecond
	// migrateBytes is about how much is put into the blobs at once.
	migrateBytes = 16 << 20
)

// batch is what is appended at once.
type batch struct {
	first   int64
	entries [][]byte
}

// Run copies what is not there yet.
func (m *Migration) Run(ctx context.Context) error {
	if m.Batch == 0 {
		m.Batch = migrateBatch
	}
	if m.Patience == 0 {
		m.Patience = migratePatience
	}
	if m.Logger == nil {
		m.Logger = slog.Default()
	}
	edge, err := m.begun(ctx)
	if err != nil {
		return err
	}
	// The next batch is read, and its files are put, while one is appended.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches, ended, first := make(chan batch), make(chan error, 1), edge.Tree().N
	go func() {
		defer close(batches)
		ended <- m.read(ctx, first, batches)
	}()
	for b := range batches {
		if err := m.append(ctx, edge, b); err != nil {
			cancel()
			<-ended
			return fmt.Errorf("copy the entries from %d on: %w", b.first, err)
		}
	}
	if err := <-ended; err != nil {
		return err
	}
	if tree := edge.Tree(); tree != m.Tree {
		return fmt.Errorf("at size %d the entries lead to root %v, the log's tiles have root %v: the log is damaged", tree.N, tree.Hash, m.Tree.Hash)
	}
	return nil
}

// begun returns the edge of what has been copied before.
func (m *Migration) begun(ctx context.Context) (*proofs.Edge, error) {
	have, err := m.To.Integrated(ctx)
	if err != nil {
		return nil, err
	}
	if have.N > m.Tree.N {
		return nil, fmt.Errorf("it has %d entries, the log %d: %w", have.N, m.Tree.N, ErrOtherEntries)
	}
	front, err := proofs.ReadFrontier(ctx, have.N, m.From)
	if err != nil {
		return nil, err
	}
	if tree := front.Tree(); tree != have {
		return nil, fmt.Errorf("at size %d it has root %v, the log root %v: %w", have.N, have.Hash, tree.Hash, ErrOtherEntries)
	}
	if m.Progress != nil {
		m.Progress(int(have.N))
	}
	return front.Edge(), nil
}

// read reads batches from the log, puts their files into the new blobs and hands
// them on.
func (m *Migration) read(ctx context.Context, next int64, batches chan<- batch) error {
	for next < m.Tree.N {
		b := batch{first: next}
		for next < m.Tree.N && len(b.entries) < m.Batch {
			bundle, err := m.bundle(ctx, next/proofs.FullWidth)
			if err != nil {
				return err
			}
			bundle = bundle[next%proofs.FullWidth:]
			bundle = bundle[:min(len(bundle), m.Batch-len(b.entries))]
			b.entries = append(b.entries, bundle...)
			next += int64(len(bundle))
		}
		if err := m.files(ctx, b); err != nil {
			return fmt.Errorf("copy the files of entries from %d on: %w", b.first, err)
		}
		select {
		case batches <- b:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// bundle reads a bundle whose entries are those that the tile above it has: an
// entry that is damaged must not get into the new storage, which never forgets.
func (m *Migration) bundle(ctx context.Context, index int64) ([][]byte, error) {
	entries, err := log.ReadBundle(ctx, m.From, index, m.Tree.N)
	if err != nil {
		return nil, err
	}
	tile, err := m.From.ReadTile(ctx, 0, index, len(entries))
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if h := proofs.LeafHash(e); !bytes.Equal(tile[i*tlog.HashSize:][:tlog.HashSize], h[:]) {
			return nil, fmt.Errorf("entry %d is not the one that the tile above it has: the log is damaged", index*proofs.FullWidth+int64(i))
		}
	}
	return entries, nil
}

// files copies the files that the entries of a batch name. One that is not there
// may be withheld.
func (m *Migration) files(ctx context.Context, b batch) error {
	if m.FromBlobs == nil {
		return nil
	}
	var files [][]byte
	size := 0
	seen := map[tuf.Digest]bool{{}: true}
	for i, e := range b.entries {
		if leaf.IsEnd(e) {
			continue
		}
		leaf, err := leaf.Parse(e)
		if err != nil {
			return fmt.Errorf("entry %d: %w", b.first+int64(i), err)
		}
		for _, sum := range []tuf.Digest{leaf.Metadata, leaf.Snapshot} {
			if seen[sum] {
				continue
			}
			seen[sum] = true
			file, err := m.FromBlobs.Blob(ctx, sum)
			if errors.Is(err, fs.ErrNotExist) {
				m.Logger.Warn("a leaf's file is not there and is not copied", "index", b.first+int64(i), "sha256", sum)
				continue
			}
			if err != nil {
				return fmt.Errorf("entry %d: %w", b.first+int64(i), err)
			}
			files, size = append(files, file), size+len(file)
			if size < migrateBytes {
				continue
			}
			if err := m.put(ctx, files); err != nil {
				return err
			}
			files, size = nil, 0
		}
	}
	return m.put(ctx, files)
}

func (m *Migration) put(ctx context.Context, files [][]byte) error {
	if len(files) == 0 {
		return nil
	}
	deadline := time.Now().Add(m.Patience)
	for {
		err := m.ToBlobs.Put(ctx, files)
		if err == nil || !m.again(ctx, err, deadline) {
			return err
		}
	}
}

// append appends a batch at its place and moves the edge.
func (m *Migration) append(ctx context.Context, edge *proofs.Edge, b batch) error {
	deadline := time.Now().Add(m.Patience)
	for len(b.entries) > 0 {
		indices, err := m.To.Append(ctx, b.entries)
		n := len(b.entries)
		if err == nil {
			err = inPlace(b, indices)
		} else if m.again(ctx, err, deadline) {
			n, err = m.arrived(ctx, edge, b, deadline)
		}
		if err != nil {
			return err
		}
		for _, e := range b.entries[:n] {
			if err := edge.Append(proofs.LeafHash(e)); err != nil {
				return err
			}
		}
		if n > 0 {
			deadline = time.Now().Add(m.Patience)
		}
		if m.Progress != nil {
			m.Progress(n)
		}
		b = batch{b.first + int64(n), b.entries[n:]}
	}
	return nil
}

// inPlace checks that the entries of a batch were appended where they were.
func inPlace(b batch, indices []int64) error {
	if len(indices) != len(b.entries) {
		return fmt.Errorf("%d of %d entries were appended: %w", len(indices), len(b.entries), ErrOtherEntries)
	}
	for i, index := range indices {
		if want := b.first + int64(i); index != want {
			return fmt.Errorf("entry %d was appended at %d: %w", want, index, ErrOtherEntries)
		}
	}
	return nil
}

// arrived asks, after an append that has failed, how many of its entries are there.
// Nothing else may be there. No entry is sent again before that is known.
func (m *Migration) arrived(ctx context.Context, edge *proofs.Edge, b batch, deadline time.Time) (int, error) {
	tree, err := m.To.Integrated(ctx)
	for err != nil {
		if !m.again(ctx, err, deadline) {
			return 0, err
		}
		tree, err = m.To.Integrated(ctx)
	}
	n := tree.N - b.first
	if n < 0 || n > int64(len(b.entries)) {
		return 0, fmt.Errorf("it has %d entries after %d were copied: %w", tree.N, b.first, ErrOtherEntries)
	}
	edge = edge.Clone()
	for _, e := range b.entries[:n] {
		if err := edge.Append(proofs.LeafHash(e)); err != nil {
			return 0, err
		}
	}
	if want := edge.Tree(); tree != want {
		return 0, fmt.Errorf("at size %d it has root %v, the log root %v: %w", tree.N, tree.Hash, want.Hash, ErrOtherEntries)
	}
	return int(n), nil
}

// again reports whether to try once more after an error, and waits before that.
func (m *Migration) again(ctx context.Context, err error, deadline time.Time) bool {
	if !errors.Is(err, log.ErrUnavailable) || time.Now().After(deadline) {
		return false
	}
	m.Logger.Warn("not copied yet, it is tried again", "err", err)
	return wait.For(ctx, migratePause) == nil
}
