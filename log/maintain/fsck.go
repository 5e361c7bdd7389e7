package maintain

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/index"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// maxProblems is how many problems Fsck names.
const maxProblems = 1000

// Fsck checks everything that a log stores against everything else. Nothing may
// be written meanwhile.
type Fsck struct {
	Storage log.Storage
	// Stored is the tree that the storage says it holds.
	Stored proofs.Tree
	Blobs  admit.Blobs
	// Trees are those that the log is known to have had, by what knows of
	// them: the ledger, the published checkpoint, the derived state.
	Trees map[string]proofs.Tree
	// Judge asks for every leaf to be judged again, in further passes over the entries:
	// each is for repositories of about JudgeAtOnce leaves together, of which
	// everything is in memory, about two kilobytes for a leaf. Zero means 50,000.
	Judge       bool
	JudgeAtOnce int64
	// Anew, which may be nil, is an empty state. It gets the first AnewSize
	// entries on the way, and the target files of the first AnewListed, to be
	// compared with the derived one. Where there are problems it may lack some.
	Anew                 log.StateWriter
	AnewSize, AnewListed int64
	// Absent, which may be nil, is asked of files that are not there whether
	// that is known: a file that is withheld is not a problem.
	Absent func(sum tuf.Digest) bool
	// Progress, which may be nil, is told how many entries have been checked
	// since the last call.
	Progress func(n int)

	// Files is how many files Run has hashed, for every leaf that names them.
	Files int64

	tree     proofs.Frontier // of the entries so far
	anew     index.Filler
	problems []string
	ended    int64 // the size at which the log has ended; 0: it has not
	more     int
	repos    map[tuf.Digest]*admit.Repository
	roots    map[tuf.Digest]int64 // where a payload is released as a root first
}

// Run returns what is wrong, in plain words; none means that all is well. The
// error is that it could not be checked.
func (f *Fsck) Run(ctx context.Context) ([]string, error) {
	f.roots = map[tuf.Digest]int64{}
	f.anew = index.Filler{State: f.Anew, Edge: new(proofs.Edge), List: f.AnewListed}
	f.compare(0)
	s := index.Scan{Storage: f.Storage, Blobs: f.Blobs, Size: f.Stored.N, Need: f.need}
	err := s.Run(ctx, func(b *index.Bundle) error { return f.bundle(ctx, &s, b) })
	if err == nil && len(f.problems) == 0 {
		err = f.anew.End(ctx)
	}
	if err := cmp.Or(err, f.anew.Wait()); err != nil {
		return f.problems, err
	}
	if err := f.tiles(ctx, f.tree.Partial()); err != nil {
		return f.problems, err
	}
	if tree := f.tree.Tree(); tree != f.Stored {
		f.problem("the storage says that its tree of size %d has root %v; its entries have root %v", f.Stored.N, f.Stored.Hash, tree.Hash)
	}
	for part := range f.Passes() - 1 {
		if err := f.judgePart(ctx, part); err != nil {
			return f.problems, err
		}
	}
	for who, tree := range f.Trees {
		if tree.N > f.Stored.N {
			f.problem("the storage has %d entries; %s knows a tree of size %d", f.Stored.N, who, tree.N)
		}
	}
	if f.more > 0 {
		f.problems = append(f.problems, fmt.Sprintf("and %d more", f.more))
	}
	return f.problems, nil
}

// need notes the files that are to be read for an entry.
func (f *Fsck) need(e *index.Scanned) {
	e.File.Need = index.Existence
	if f.indexed(e) && e.Index < f.AnewListed && log.Lists(e.Leaf.Role) {
		e.File.Need = index.TargetList
	}
	if !e.Leaf.Snapshot.IsZero() {
		e.Snapshot.Need = index.Existence
	}
}

// indexed reports whether an entry goes into the state that is made anew.
func (f *Fsck) indexed(e *index.Scanned) bool { return f.Anew != nil && e.Index < f.AnewSize }

// bundle checks the entries of a bundle.
func (f *Fsck) bundle(ctx context.Context, s *index.Scan, b *index.Bundle) error {
	if mayPass(ctx, b.Err) {
		return b.Err
	}
	hashes, err := f.hashes(ctx, b)
	if err != nil {
		return err
	}
	var full []proofs.Tile
	for i, h := range hashes {
		filled, err := f.tree.Append(h)
		if err != nil {
			return err
		}
		full = append(full, filled...)
		f.compare(b.Index*proofs.FullWidth + int64(i) + 1)
		if b.Err != nil {
			continue
		}
		e := &b.Entries[i]
		if err := complete(ctx, s, e); err != nil {
			return err
		}
		f.leaf(e)
		if err := f.index(ctx, e); err != nil {
			return err
		}
	}
	if err := f.tiles(ctx, full); err != nil {
		return err
	}
	if f.Progress != nil {
		f.Progress(len(hashes))
	}
	return nil
}

// complete completes what was read for an entry. The error is that servers are away, or
// that the check was ended, which is not damage.
func complete(ctx context.Context, s *index.Scan, e *index.Scanned) error {
	s.Complete(ctx, e)
	for _, err := range []error{e.File.Err, e.Snapshot.Err} {
		if mayPass(ctx, err) {
			return err
		}
	}
	return nil
}

// index puts an entry into the state that is made anew. One that was made from a
// damaged log would say nothing.
func (f *Fsck) index(ctx context.Context, e *index.Scanned) error {
	if !f.indexed(e) || len(f.problems) > 0 {
		return nil
	}
	return f.anew.Add(ctx, log.StateLeaf{Record: e.Record, Targets: e.File.Targets, End: e.End}, e.Hash)
}

func (f *Fsck) problem(format string, args ...any) {
	if len(f.problems) == maxProblems {
		f.more++
		return
	}
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

// compare holds the tree of the entries so far against what is known of its size.
func (f *Fsck) compare(size int64) {
	for who, known := range f.Trees {
		if known.N != size {
			continue
		}
		if tree := f.tree.Tree(); known != tree {
			f.problem("at size %d the entries have root %v; %s knows root %v", tree.N, tree.Hash, who, known.Hash)
		}
	}
}

// hashes returns the hashes of a bundle's entries. Where the entries cannot be
// read, those of the tile above stand in so that the rest can be checked.
func (f *Fsck) hashes(ctx context.Context, b *index.Bundle) ([]proofs.Hash, error) {
	width := proofs.TileWidth(f.Stored.N, 0, b.Index)
	hashes := make([]proofs.Hash, width)
	if b.Err == nil {
		for i := range b.Entries {
			hashes[i] = b.Entries[i].Hash
		}
		return hashes, nil
	}
	f.problem("%s: %v", proofs.EntriesPath(b.Index, width), b.Err)
	tile, err := f.Storage.ReadTile(ctx, 0, b.Index, width)
	switch {
	case mayPass(ctx, err):
		return nil, err
	case err == nil:
		for i := range hashes {
			copy(hashes[i][:], tile[i*tlog.HashSize:])
		}
	}
	return hashes, nil
}

// tiles compares tiles with what they should be. The error is that they cannot be read
// now.
func (f *Fsck) tiles(ctx context.Context, want []proofs.Tile) error {
	for _, tile := range want {
		got, err := f.Storage.ReadTile(ctx, tile.Level, tile.Index, tile.Width)
		if mayPass(ctx, err) {
			return err
		}
		if err != nil {
			f.problem("%s: %v", tile.Path(), err)
			continue
		}
		for i := 0; i < len(tile.Hashes); i += tlog.HashSize {
			if !bytes.Equal(got[i:][:tlog.HashSize], tile.Hashes[i:][:tlog.HashSize]) {
				f.problem("%s: hash %d is not that of what lies below it", tile.Path(), i/tlog.HashSize)
				break
			}
		}
	}
	return nil
}

// leaf checks an entry and the blobs it names.
func (f *Fsck) leaf(e *index.Scanned) {
	if f.ended > 0 {
		f.problem("entry %d lies behind the log's end, which is entry %d", e.Index, f.ended-1)
	}
	if e.End {
		f.ended = cmp.Or(f.ended, e.Index+1)
		return
	}
	if e.Bad != nil {
		f.problem("entry %d: %v", e.Index, e.Bad)
		return
	}
	if _, ok := f.roots[e.Leaf.Payload]; !ok && e.Leaf.Role == tuf.RoleRoot && e.Leaf.Kind == leaf.Release {
		f.roots[e.Leaf.Payload] = e.Index
	}
	for _, file := range []index.Named{e.File, e.Snapshot} {
		if file.Got && file.Err == nil {
			f.Files++
		}
	}
	err := e.File.Err
	switch {
	case f.absent(e.Leaf.Metadata, err):
	case err != nil:
		f.problem("entry %d: its metadata: %v", e.Index, err)
	case int64(e.File.Size) != e.Leaf.Size:
		f.problem("entry %d: its metadata has %d bytes, the leaf says %d", e.Index, e.File.Size, e.Leaf.Size)
	}
	if e.Snapshot.Err != nil {
		if !f.absent(e.Leaf.Snapshot, e.Snapshot.Err) {
			f.problem("entry %d: its snapshot: %v", e.Index, e.Snapshot.Err)
		}
		err = e.Snapshot.Err
	}
	if err == nil && e.File.Invalid != nil {
		f.problem("entry %d: %v", e.Index, e.File.Invalid)
	}
}

// absent reports whether a file is known not to be there.
func (f *Fsck) absent(sum tuf.Digest, err error) bool {
	return f.Absent != nil && errors.Is(err, fs.ErrNotExist) && f.Absent(sum)
}
