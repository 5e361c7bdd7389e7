package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// maxProblems is how many problems Fsck names.
const maxProblems = 1000

// Fsck checks everything that a log stores against everything else. Nothing may
// be written meanwhile.
type Fsck struct {
	Storage Storage
	// Stored is the tree that the storage says it holds.
	Stored proofs.Tree
	Blobs  verify.Blobs
	// Trees are those that the log is known to have had, by what knows of
	// them: the ledger, the published checkpoint, the derived state.
	Trees map[string]proofs.Tree
	// Judge has every leaf judged again. It takes about half a kilobyte of
	// memory for each.
	Judge bool
	// Absent, which may be nil, is asked of files that are not there whether
	// that is known: one that is withheld is no problem.
	Absent func(sum verify.Digest) bool
	// Progress, which may be nil, is told how many entries have been checked
	// since the last call.
	Progress func(n int)

	problems []string
	more     int
	levels   [][]proofs.Hash // of each level's last tile, as far as computed
	full     []int64         // tiles before it
	repos    map[verify.Digest]*verify.Repository
	roots    map[verify.Digest]bool // payloads of released roots
}

// Run returns what is wrong, in plain words; none means that all is well. The
// error is that it could not be checked.
func (f *Fsck) Run(ctx context.Context) ([]string, error) {
	f.repos, f.roots = map[verify.Digest]*verify.Repository{}, map[verify.Digest]bool{}
	var edge proofs.Edge
	f.compare(&edge, 0)
	for first := int64(0); first < f.Stored.N; first += entriesPerBundle {
		if err := ctx.Err(); err != nil {
			return f.problems, err
		}
		entries, hashes := f.bundle(first / entriesPerBundle)
		for i, h := range hashes {
			if err := edge.Append(h); err != nil {
				return f.problems, err
			}
			f.compare(&edge, first+int64(i)+1)
			if entries != nil {
				f.leaf(first+int64(i), entries[i])
			}
		}
		f.add(0, hashes)
		if f.Progress != nil {
			f.Progress(len(hashes))
		}
	}
	f.checkPartial()
	if tree := edge.Tree(); tree != f.Stored {
		f.problem("the storage says that its tree of size %d has root %v; its entries have root %v", f.Stored.N, f.Stored.Hash, tree.Hash)
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

func (f *Fsck) problem(format string, args ...any) {
	if len(f.problems) == maxProblems {
		f.more++
		return
	}
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

// compare holds the tree of an edge against what is known of its size.
func (f *Fsck) compare(edge *proofs.Edge, size int64) {
	for who, known := range f.Trees {
		if known.N != size {
			continue
		}
		if tree := edge.Tree(); known != tree {
			f.problem("at size %d the entries have root %v; %s knows root %v", tree.N, tree.Hash, who, known.Hash)
		}
	}
}

// bundle reads the entries of a bundle and the hashes that the tile above has of
// them. Where the entries cannot be read, the tile's hashes stand in so that the
// rest can be checked.
func (f *Fsck) bundle(index int64) ([][]byte, []proofs.Hash) {
	width := widthAt(f.Stored.N, 0, index)
	hashes := make([]proofs.Hash, width)
	entries, err := readBundle(f.Storage, index, f.Stored.N)
	if err == nil {
		for i, e := range entries {
			hashes[i] = proofs.LeafHash(e)
		}
		return entries, hashes
	}
	f.problem("%s: %v", proofs.EntriesPath(index, width), err)
	if tile, err := f.Storage.ReadTile(0, index, width); err == nil {
		for i := range hashes {
			copy(hashes[i][:], tile[i*tlog.HashSize:])
		}
	}
	return nil, hashes
}

// add adds hashes to a level and checks the tiles that they fill.
func (f *Fsck) add(level int, hashes []proofs.Hash) {
	if level == len(f.levels) {
		f.levels, f.full = append(f.levels, nil), append(f.full, 0)
	}
	f.levels[level] = append(f.levels[level], hashes...)
	if len(f.levels[level]) < entriesPerBundle {
		return
	}
	tile := f.levels[level]
	f.tile(level, f.full[level], tile)
	f.levels[level] = nil
	f.full[level]++
	for len(tile) > 1 {
		for i := range len(tile) / 2 {
			tile[i] = tlog.NodeHash(tile[2*i], tile[2*i+1])
		}
		tile = tile[:len(tile)/2]
	}
	f.add(level+1, tile)
}

func (f *Fsck) checkPartial() {
	for level, tile := range f.levels {
		if len(tile) > 0 {
			f.tile(level, f.full[level], tile)
		}
	}
}

// tile compares a tile with what it should be.
func (f *Fsck) tile(level int, index int64, want []proofs.Hash) {
	path := proofs.TilePath(level, index, len(want))
	got, err := f.Storage.ReadTile(level, index, len(want))
	if err != nil {
		f.problem("%s: %v", path, err)
		return
	}
	for i, h := range want {
		if !bytes.Equal(got[i*tlog.HashSize:][:tlog.HashSize], h[:]) {
			f.problem("%s: hash %d is not that of what lies below it", path, i)
			return
		}
	}
}

// leaf checks an entry, the blobs it names and, if asked, the judgement.
func (f *Fsck) leaf(index int64, entry []byte) {
	leaf, err := verify.ParseLeaf(entry)
	if err != nil {
		f.problem("entry %d: %v", index, err)
		return
	}
	file, err := f.Blobs.Blob(leaf.Metadata)
	switch {
	case f.absent(leaf.Metadata, err):
	case err != nil:
		f.problem("entry %d: its metadata: %v", index, err)
	case int64(len(file)) != leaf.Size:
		f.problem("entry %d: its metadata has %d bytes, the leaf says %d", index, len(file), leaf.Size)
	}
	var snapshot []byte
	if !leaf.Snapshot.IsZero() {
		var err2 error
		if snapshot, err2 = f.Blobs.Blob(leaf.Snapshot); err2 != nil {
			if !f.absent(leaf.Snapshot, err2) {
				f.problem("entry %d: its snapshot: %v", index, err2)
			}
			err = err2
		}
	}
	if !f.Judge || err != nil {
		return
	}
	if err := f.judge(verify.Record{Index: index, Leaf: leaf}, file, snapshot); err != nil {
		f.problem("entry %d: %v", index, err)
	}
}

// absent says whether a file is known not to be there.
func (f *Fsck) absent(sum verify.Digest, err error) bool {
	return f.Absent != nil && errors.Is(err, fs.ErrNotExist) && f.Absent(sum)
}

func (f *Fsck) judge(rec verify.Record, file, snapshot []byte) error {
	m, err := verify.Parse(rec.Leaf.Encoding, file)
	if err != nil {
		return err
	}
	repo := f.repos[rec.Leaf.Repository]
	var decision verify.Decision
	if repo == nil {
		if f.roots[m.PayloadDigest] {
			return errors.New("it opens a repository with a root that another has")
		}
		decision, err = verify.JudgeGenesis(m)
	} else {
		var snapshots []*verify.Metadata
		if snapshot != nil {
			s, err := verify.Parse(rec.Leaf.Encoding, snapshot)
			if err != nil {
				return err
			}
			snapshots = append(snapshots, s)
		}
		decision, err = repo.Judge(rec.Leaf.Role, m, snapshots)
	}
	switch {
	case err != nil:
		return err
	case decision.Logged || decision.Leaf != rec.Leaf:
		return fmt.Errorf("its file leads to another leaf: %+v", decision.Leaf)
	}
	if rec.Leaf.Role == verify.RoleRoot && rec.Leaf.Kind == verify.Release {
		f.roots[rec.Leaf.Payload] = true
	}
	if repo == nil {
		f.repos[rec.Leaf.Repository], err = verify.NewRepository(rec.Leaf, rec.Index, f.Blobs)
		return err
	}
	return repo.Apply(rec.Index, rec.Leaf)
}
